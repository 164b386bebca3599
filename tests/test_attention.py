"""Attention over space and time: against PyTorch's own, its window, and its weights read out."""

import pytest
import torch
from architectures import SMALL, build, sequences
from torch import nn
from torch.nn import functional
from vista_agents.networks.attention import Block, SelfAttention, attention_maps
from vista_agents.networks.spatial import SpatialAttention, SpatialAttentionConfig
from vista_agents.networks.temporal import TemporalAttention, TemporalAttentionConfig

CONFIG = TemporalAttentionConfig(window=4, width=16, heads=2, layers=2)


def temporal(config=CONFIG, inputs=5):
    torch.manual_seed(3)
    memory = TemporalAttention(config, inputs).eval()
    nn.init.normal_(memory.age)
    return memory


def features(count=2, length=10, seed=4):
    return torch.randn(count, length, 5, generator=torch.Generator().manual_seed(seed))


def run(memory, x, mask=None):
    with torch.no_grad():
        return memory(x, mask, memory.initial_state(len(x)))[0]


def test_self_attention_is_that_of_pytorch():
    torch.manual_seed(0)
    ours, theirs = SelfAttention(24, 3), nn.MultiheadAttention(24, 3, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(ours.project.weight)
        theirs.in_proj_bias.copy_(ours.project.bias)
        theirs.out_proj.weight.copy_(ours.out.weight)
        theirs.out_proj.bias.copy_(ours.out.bias)
    tokens = torch.randn(2, 7, 24)
    with attention_maps(ours) as maps:
        found = ours(tokens)
    wanted, weights = theirs(tokens, tokens, tokens, average_attn_weights=False)
    assert torch.allclose(found, wanted, atol=1e-5)
    assert torch.allclose(maps[""], weights, atol=1e-6)


@pytest.mark.parametrize("name", ["patches", "cells", "attention"])
def test_the_weights_of_every_layer_can_be_read_out_and_sum_to_one(name):
    network = build(SMALL[name])
    inputs = sequences(SMALL[name], count=2, length=5)
    with attention_maps(network) as maps, torch.no_grad():
        network(inputs)
    spatial = network.config.encoder
    tokens = spatial.grid[0] * spatial.grid[1]
    shapes = {
        f"encoder.blocks.{i}.attention": (10, spatial.heads, tokens, tokens)
        for i in range(spatial.layers)
    }
    if name == "attention":
        memory = network.config.memory
        for i in range(memory.layers):  # keys: the cache of window - 1, then the frames
            keys = memory.window - 1 + 5
            shapes[f"memory.blocks.{i}.attention"] = (2, memory.heads, 5, keys)
    assert {key: tuple(weights.shape) for key, weights in maps.items()} == shapes
    for weights in maps.values():
        assert torch.allclose(weights.sum(dim=-1), torch.ones(()), atol=1e-5)
        assert weights.min() >= 0


def test_nothing_is_kept_after_reading_out():
    network = build(SMALL["patches"])
    inputs = sequences(SMALL["patches"])
    with attention_maps(network):
        network(inputs)
    with torch.no_grad():
        network(inputs)
    layers = [m for m in network.modules() if isinstance(m, SelfAttention)]
    assert layers
    assert all(layer.kept is None and not layer.keep for layer in layers)


def test_attention_over_time_is_that_of_pytorch_with_a_band_and_a_bias_by_age():
    memory, x = temporal(), features()
    length, window = x.shape[1], CONFIG.window
    with torch.no_grad():
        tokens = memory.embed(x)
        for i, block in enumerate(memory.blocks):
            bias = torch.full((CONFIG.heads, length, length), float("-inf"))
            for query in range(length):
                for key in range(max(0, query - window + 1), query + 1):
                    bias[:, query, key] = memory.age[i, :, query - key]
            q, k, v = block.attention.queries_keys_values(block.before_attention(tokens))
            mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=bias)
            tokens = tokens + block.attention.out(mixed.transpose(1, 2).flatten(2))
            tokens = tokens + block.dense(tokens)
        wanted = memory.norm(tokens)
    assert torch.allclose(run(memory, x), wanted, atol=1e-5)


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_each_layer_reaches_back_by_a_window_and_no_farther(layers):
    config = TemporalAttentionConfig(window=3, width=16, heads=2, layers=layers)
    memory, x = temporal(config), features(count=1, length=12)
    reach = layers * (config.window - 1)
    base = run(memory, x)[0, -1]
    for age in range(12):
        changed = x.clone()
        changed[0, -1 - age] += 3.0
        influence = (run(memory, changed)[0, -1] - base).abs().max()
        assert (influence > 1e-5) == (age <= reach), age


def test_frames_left_out_are_not_attended_to():
    memory, x = temporal(), features(count=1, length=6)
    mask = torch.tensor([[True, False, True, True, False, True]])
    with attention_maps(memory) as maps:
        run(memory, x, mask)
    cache = CONFIG.window - 1
    for weights in maps.values():
        to_padding = weights[:, :, mask[0]][..., cache:][..., ~mask[0]]
        to_cache = weights[:, :, mask[0]][..., :cache]
        assert to_padding.abs().max() == 0
        assert to_cache.abs().max() == 0  # nothing was seen before
        assert torch.allclose(weights.sum(dim=-1), torch.ones(()), atol=1e-5)


def test_a_cached_step_attends_as_the_whole_sequence_does():
    memory, x = temporal(), features(count=1, length=9)
    with attention_maps(memory) as maps:
        run(memory, x)
    whole = {key: weights[0, :, -1, -CONFIG.window :] for key, weights in maps.items()}
    state = memory.initial_state(1)
    with torch.no_grad():
        for t in range(8):
            _, state = memory(x[:, t : t + 1], None, state)
        with attention_maps(memory) as maps:
            memory(x[:, 8:], None, state)
    for key, weights in maps.items():
        assert torch.allclose(weights[0, :, 0], whole[key], atol=1e-5)


def test_a_block_is_a_pre_norm_transformer_layer_of_pytorch():
    torch.manual_seed(1)
    ours = Block(16, 2, dropout=0.0).eval()
    theirs = nn.TransformerEncoderLayer(
        16, 2, 32, dropout=0.0, activation="gelu", norm_first=True, batch_first=True
    )
    pairs = {
        "norm1": ours.before_attention,
        "self_attn.out_proj": ours.attention.out,
        "norm2": ours.dense[0],
        "linear1": ours.dense[1],
        "linear2": ours.dense[3],
    }
    weights = {
        f"{name}.{key}": value for name, m in pairs.items() for key, value in m.state_dict().items()
    }
    weights["self_attn.in_proj_weight"] = ours.attention.project.weight
    weights["self_attn.in_proj_bias"] = ours.attention.project.bias
    theirs.load_state_dict(weights)
    tokens = torch.randn(3, 5, 16)
    assert torch.allclose(ours(tokens), theirs.eval()(tokens), atol=1e-5)


def test_where_a_patch_stands_matters():
    network = build(SMALL["patches"])
    view = sequences(SMALL["patches"], count=1, length=1)
    # The same patches, each two patches to the right of where it was.
    moved = dict(view, camera=view["camera"].roll(2 * network.config.encoder.patch[1], dims=3))
    with torch.no_grad():
        tokens, moved_tokens = (network.encoder.tokens(x["camera"][0]) for x in (view, moved))
        assert torch.allclose(moved_tokens, tokens.roll(2, dims=3), atol=1e-5)
        assert not torch.allclose(network(view)[0], network(moved)[0], atol=1e-4)


def test_the_grid_of_tokens_is_that_of_the_feature_map():
    for size in ((24, 48), (66, 200), (67, 131)):
        for tokens in ("patches", "cells"):
            config = SpatialAttentionConfig(size=size, tokens=tokens)
            encoder = SpatialAttention(config).eval()
            found = encoder.tokens(torch.zeros(1, *size, 3))
            assert tuple(found.shape[2:]) == config.grid
