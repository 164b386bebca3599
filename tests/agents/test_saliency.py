"""Saliency: what a policy's answer depended on, against covering it and known dependence."""

import cv2
import numpy as np
import pytest
import torch
from architectures import SMALL, build, with_head
from small_networks import VIEW
from vista_agents.networks.attention import attention_maps
from vista_agents.networks.cnn import PilotNetConfig
from vista_agents.networks.network import NetworkConfig
from vista_agents.networks.spatial import SpatialAttention, SpatialAttentionConfig
from vista_agents.policy import NetworkPolicy, PolicySpec

from vista_sim.errors import PolicyNotFiniteError
from vista_sim.policies import CameraSpec, SalientPolicy

SEEING = [name for name, config in SMALL.items() if config.camera_size is not None]


def policy_of(config, seed=0):
    network = build(config, seed)
    return NetworkPolicy(PolicySpec(CameraSpec(config.camera_size), config), network)


def view(seed, size=VIEW):
    """Soft blotches over the whole view, (height, width, 3)."""
    noise = np.random.default_rng(seed).normal(size=(*size, 3))
    soft = cv2.GaussianBlur(noise, (0, 0), 1.0)
    return np.clip(128 + 60 * soft / soft.std(), 0, 255).astype(np.uint8)


def seen(image, speed=8.0):
    return {"camera": image, "speed": np.array([speed], np.float32), "command": "follow"}


@pytest.mark.parametrize("name", SEEING)
def test_every_architecture_with_a_camera_gives_a_map_of_its_size(name):
    policy = policy_of(SMALL[name])
    assert isinstance(policy, SalientPolicy)
    assert policy.saliency() is None  # before the first frame
    for step in range(3):
        policy.act(seen(view(step)))
    found = policy.saliency()
    assert (found.shape, found.dtype) == (VIEW, np.float32)
    assert (found.min() >= 0, found.max()) == (True, 1.0)
    policy.reset()
    assert policy.saliency() is None


def test_a_policy_of_the_state_vector_has_none():
    network = build(SMALL["mlp"])
    policy = NetworkPolicy(PolicySpec(None, SMALL["mlp"]), network)
    assert policy.saliency() is None


@pytest.mark.parametrize("name", SEEING)
def test_asking_changes_no_answer_and_no_weight(name):
    asked, silent = policy_of(SMALL[name]), policy_of(SMALL[name])
    for step in range(6):
        observation = seen(view(step))
        assert asked.act(observation) == silent.act(observation)
        first = asked.saliency()
        assert np.array_equal(asked.saliency(), first)
    assert all(p.grad is None for p in asked.network.parameters())
    for a, b in zip(
        asked.network.state_dict().values(), silent.network.state_dict().values(), strict=True
    ):
        assert torch.equal(a, b)


def test_the_map_is_of_what_was_seen_and_not_of_what_the_array_holds_now():
    policy = policy_of(SMALL["cnn"])
    image = view(0)
    policy.act(seen(image))
    before = policy.saliency()
    image[:] = 0
    assert np.array_equal(policy.saliency(), before)


def test_it_can_be_asked_within_inference_mode():
    policy = policy_of(SMALL["attention"])
    with torch.inference_mode():
        policy.act(seen(view(0)))
        policy.act(seen(view(1)))
        inside = policy.saliency()
    assert np.array_equal(policy.saliency(), inside)


def change_of(policy, image, cover):
    """How much the answer changes where a mask (h, w) of the view is blurred away."""
    blurred = cv2.GaussianBlur(image, (0, 0), 8.0)
    answers = []
    for shown in (image, np.where(cover[..., None], blurred, image)):
        policy.reset()
        answers.append(policy.act(seen(shown)).curvature)
    return abs(answers[1] - answers[0])


def masks_of(found, share, rng):
    """The most salient pixels of a map, as many of the least, and as many by chance."""
    count = int(share * found.size)
    order = np.argsort(found, axis=None)
    chosen = (order[-count:], order[:count], rng.permutation(found.size)[:count])
    masks = np.zeros((3, found.size), bool)
    for mask, indices in zip(masks, chosen, strict=True):
        mask[indices] = True
    return masks.reshape(3, *found.shape)


@pytest.mark.parametrize("name", SEEING)
def test_covering_what_is_salient_changes_the_answer_more_than_covering_other_things(name):
    rng = np.random.default_rng(0)
    changes = np.zeros(3)
    for seed in range(16):
        policy, image = policy_of(SMALL[name], seed), view(seed)
        policy.act(seen(image))
        masks = masks_of(policy.saliency(), 0.15, rng)
        one = np.array([change_of(policy, image, mask) for mask in masks])
        changes += one / one.max()
    most, least, random = changes / 16
    assert most > 1.25 * random > 1.25 * least


def looking_at(columns):
    """A PilotNet whose answer depends on some columns of its last feature map alone."""
    config = PilotNetConfig(VIEW, (8, 8), (5, 3), (2, 2), features=16, pixels="fixed")
    policy = policy_of(NetworkConfig(config, head=SMALL["cnn"].head))
    dense = policy.network.encoder.gather[2]
    height, width = config.map_size
    weights = dense.weight.detach().reshape(16, -1, height, width)
    keep = torch.zeros(width, dtype=torch.bool)
    keep[columns] = True
    weights[..., ~keep] = 0.0
    with torch.no_grad():
        dense.weight.copy_(weights.reshape(16, -1))
    return policy


@pytest.mark.parametrize(
    ("columns", "start", "end"),  # a cell of the map sees 4 u to 4 u + 8
    [(slice(0, 3), 0, 17), (slice(4, 7), 16, 33), (slice(8, 11), 32, 48)],
)
def test_what_the_network_cannot_see_is_not_salient(columns, start, end):
    policy = looking_at(columns)
    image = view(3)
    answer = policy.act(seen(image)).curvature
    found = policy.saliency()
    other = view(4)
    other[:, start:end] = image[:, start:end]
    assert policy.act(seen(other)).curvature == answer  # the region is as this test says
    reach = 4  # px that the map is smoothed over
    outside = np.ones(VIEW[1], bool)
    outside[max(0, start - reach) : end + reach] = False
    assert found[:, outside].max() < 0.01
    assert found[:, start:end].max() == 1.0


def test_a_stripe_on_an_even_view_is_what_is_salient():
    policy = policy_of(SMALL["cnn"])
    image = np.full((*VIEW, 3), 90, np.uint8)
    image[:, 30:33] = 230
    policy.act(seen(image))
    found = policy.saliency()
    inside = found[:, 27:36].sum()
    assert inside > 0.9 * found.sum()


def test_nothing_is_salient_in_an_even_view_nor_to_a_network_that_ignores_it():
    policy = policy_of(SMALL["cnn"])
    policy.act(seen(np.full((*VIEW, 3), 90, np.uint8)))
    assert policy.saliency().max() == 0.0
    for name in SEEING:
        blind = policy_of(SMALL[name])
        torch.nn.init.zeros_(blind.network.head.output.weight)
        blind.act(seen(view(0)))
        assert blind.saliency().max() == 0.0, name


@pytest.mark.parametrize("name", ["patches", "cells"])
@pytest.mark.parametrize("token", [0, 5, -1])
def test_attention_to_one_token_alone_is_drawn_where_that_token_is(name, token):
    """Without shortcuts around attention, all that is read is read from one token."""
    policy = policy_of(SMALL[name])
    encoder = policy.network.encoder
    config = policy.network.config.encoder
    count = config.grid[0] * config.grid[1]
    token %= count
    attention = encoder.blocks[0].attention
    attend = attention.attend

    def forced(queries, keys, values, bias=None):
        only = torch.full((count,), float("-inf"))
        only[token] = 0.0
        return attend(queries, keys, values, only)

    attention.attend = forced
    image = view(7)
    policy.act(seen(image))
    with attention_maps(encoder) as maps, torch.no_grad():
        encoder(torch.from_numpy(image)[None])
    assert maps["blocks.0.attention"][..., token].min() == 1.0
    found = policy.saliency()
    # Every token is also read by itself, so that the map is not zero elsewhere; beyond that:
    row, column = divmod(token, config.grid[1])
    v, u = np.unravel_index(found.argmax(), found.shape)
    (down, top), (across, left) = config.token_places
    assert abs(v - (top + row * down)) <= down / 2
    assert abs(u - (left + column * across)) <= across / 2


@pytest.mark.parametrize("tokens", ["patches", "cells"])
def test_tokens_are_where_they_are_said_to_be(tokens):
    """The middle of the pixels that move a token, by moving pixels."""
    config = SpatialAttentionConfig((66, 200), tokens)
    encoder = SpatialAttention(config).eval()
    (down, top), (across, left) = config.token_places
    row, column = config.grid[0] // 2, config.grid[1] // 2
    image = torch.from_numpy(view(0, config.size)).float()[None].requires_grad_()
    weights = torch.zeros(*config.size)
    for _ in range(8):
        noise = torch.randn(image.shape) * 20
        found = encoder.tokens(image + noise)[0, :, row, column]
        (slope,) = torch.autograd.grad(found.square().sum(), image)
        weights += slope[0].abs().sum(-1)
    v, u = torch.meshgrid(*(torch.arange(n).float() for n in config.size), indexing="ij")
    near = weights > 0.05 * weights.max()  # each view is normalized as a whole
    weights = weights * near
    middle = [(x * weights).sum() / weights.sum() for x in (v, u)]
    assert middle[0] == pytest.approx(top + row * down, abs=2.0)
    assert middle[1] == pytest.approx(left + column * across, abs=2.0)


def test_waypoints_are_explained_by_the_curvature_that_follows_them():
    config = with_head(SMALL["cnn"], outputs="waypoints")
    policy = policy_of(config)
    image = view(2)
    policy.act(seen(image))
    masks = masks_of(policy.saliency(), 0.1, np.random.default_rng(1))
    most, least, _ = (change_of(policy, image, mask) for mask in masks)
    assert most > 5 * least


def test_a_curvature_at_its_limit_is_explained_too():
    policy = policy_of(SMALL["cnn"])
    with torch.no_grad():
        policy.network.head.output.bias += 100.0
    action = policy.act(seen(view(0)))
    assert action.curvature == policy.spec.scales.curvature_limit
    assert policy.saliency().max() == 1.0


def test_a_gradient_that_overflows_is_an_error_and_no_map():
    policy = policy_of(SMALL["cnn"])
    image = view(0)
    policy.act(seen(image))
    with torch.no_grad():
        policy.network.head.output.weight.fill_(torch.inf)
    with pytest.raises(PolicyNotFiniteError, match="saliency"):
        policy.saliency()
