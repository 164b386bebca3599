"""Pieces of networks: sizes, normalization, dropout, inputs, and configurations as JSON."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from architectures import SMALL, at, build, sequences, with_head
from torch import nn
from torch.nn import functional
from vista_agents.networks.cnn import PilotNet, PilotNetConfig, ResNetConfig
from vista_agents.networks.heads import HeadConfig
from vista_agents.networks.layers import Pixels, norm
from vista_agents.networks.mlp import StateMLP, StateMLPConfig
from vista_agents.networks.network import COMMANDS, NetworkConfig
from vista_agents.networks.recurrent import RecurrentConfig
from vista_agents.networks.registry import (
    ARCHITECTURES,
    build_network,
    network_from_json,
    network_to_json,
)
from vista_agents.networks.spatial import SpatialAttentionConfig
from vista_agents.networks.temporal import TemporalAttentionConfig

from vista_sim.errors import PolicyError

CNN = SMALL["cnn"]


def answer(network, inputs):
    with torch.no_grad():
        return network(inputs)[0]


def encoder_with(config, **values):
    return dataclasses.replace(config, encoder=dataclasses.replace(config.encoder, **values))


def test_pilotnet_has_the_250_000_weights_of_the_paper():
    """Bojarski et al. 2016, section 4: "about 27 million connections and 250 thousand
    parameters"; by hand for its figure 4, with our one dense layer of 100 less than theirs.
    """
    convolutions = [(3, 24, 5), (24, 36, 5), (36, 48, 5), (48, 64, 3), (64, 64, 3)]
    paper = sum(i * o * k * k + o for i, o, k in convolutions)
    paper += 1152 * 100 + 100 + 100 * 50 + 50 + 50 * 10 + 10 + 10 + 1
    plain = encoder_with(NetworkConfig(speed=False), norm="none")
    assert sum(p.numel() for p in build_network(plain).parameters()) == paper
    assert 245_000 < paper < 255_000


def test_pixels_keep_the_order_of_channels_and_rows():
    view = torch.zeros(1, 4, 6, 3)
    view[0, 1, 2] = torch.tensor([255.0, 127.5, 0.0])
    fixed = Pixels("fixed")(view)
    assert fixed.shape == (1, 3, 4, 6)
    assert fixed[0, :, 1, 2].tolist() == [1.0, 0.0, -1.0]
    assert fixed[0, :, 0, 0].tolist() == [-1.0, -1.0, -1.0]


def test_normalization_per_image_ignores_brightness_and_contrast():
    inputs = sequences(CNN, count=1, length=1)
    darker = dict(inputs, camera=0.5 * inputs["camera"] + 20)
    tolerance = {"rtol": 0.05, "atol": 0.02}
    per_image, fixed = build(CNN), build(encoder_with(CNN, pixels="fixed"))
    assert torch.allclose(answer(per_image, inputs), answer(per_image, darker), **tolerance)
    assert not torch.allclose(answer(fixed, inputs), answer(fixed, darker), **tolerance)


def test_local_normalization_compares_each_pixel_with_the_square_around_it():
    view = torch.randint(0, 256, (2, 20, 30, 3), generator=torch.Generator().manual_seed(0))
    found = Pixels("local")(view).permute(0, 2, 3, 1).double().numpy()
    image = view.double().numpy()
    gray = image.mean(-1)

    def around(values):
        height, width = values.shape[1:]
        return np.array(
            [
                [
                    values[:, max(v - 8, 0) : v + 9, max(u - 8, 0) : u + 9].mean((1, 2))
                    for u in range(width)
                ]
                for v in range(height)
            ]
        ).transpose(2, 0, 1)

    mean = around(gray)
    deviation = np.sqrt(around((gray - mean) ** 2) + 6.0**2)
    assert found == pytest.approx((image - mean[..., None]) / deviation[..., None], abs=1e-4)


def test_a_shadow_changes_a_locally_normalized_view_at_its_edge_alone():
    view = torch.randint(60, 200, (1, 24, 90, 1), generator=torch.Generator().manual_seed(1))
    view = view.expand(-1, -1, -1, 3)
    shaded = view.float()
    shaded[:, :, 45:] = 0.5 * shaded[:, :, 45:] + 10
    lit, dark = (Pixels("local")(x.float())[..., 62:] for x in (view, shaded))
    assert (lit - dark).abs().mean() < 0.05
    assert lit.std() > 0.9


def test_a_camera_of_bytes_answers_as_one_of_floats():
    network, inputs = build(CNN), sequences(CNN)
    as_bytes = dict(inputs, camera=inputs["camera"].to(torch.uint8))
    assert torch.equal(answer(network, as_bytes), answer(network, inputs))


@pytest.mark.parametrize("name", ["cnn", "resnet"])
def test_group_norm_keeps_views_of_a_batch_apart_while_training_and_batch_norm_does_not(name):
    for kind, apart in (("group", True), ("none", True), ("batch", False)):
        network = build(encoder_with(SMALL[name], norm=kind, dropout=0.0)).train()
        inputs = sequences(SMALL[name], count=2, length=1)
        together, alone = network(inputs)[0][:1], network(at(inputs, slice(0, 1)))[0]
        assert torch.allclose(together, alone, atol=1e-5) == apart, kind


def test_group_norm_takes_eight_channels_together():
    maps = 3.0 + 2.0 * torch.randn(2, 16, 5, 4)
    found = norm("group", 16)(maps)
    groups = maps.reshape(2, 2, 8 * 5 * 4)
    mean, deviation = groups.mean(-1, keepdim=True), groups.std(-1, keepdim=True, correction=0)
    assert torch.allclose(found, ((groups - mean) / deviation).reshape(maps.shape), atol=1e-4)
    assert norm("group", 6).num_groups == 1  # what does not divide is one group


@pytest.mark.parametrize("name", ["cnn", "resnet", "patches", "attention"])
def test_dropout_is_for_training_alone(name):
    config = encoder_with(SMALL[name], dropout=0.5)
    network, inputs = build(config), sequences(config, count=1, length=3)
    assert torch.equal(answer(network, inputs), answer(network, inputs))
    network.train()
    for module in network.modules():  # whose own training would change answers too
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    assert not torch.equal(answer(network, inputs), answer(network, inputs))


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu", "silu"])
def test_a_perceptron_is_a_weighted_sum_and_its_activation(activation):
    mlp = StateMLP(StateMLPConfig(hidden=(1,), activation=activation, scale=(2.0, 0.5)))
    state = torch.tensor([[1.0, -0.25]])
    layer = mlp.layers[0]
    scaled = torch.tensor([[0.5, -0.5]])
    function = {"sigmoid": torch.sigmoid, "tanh": torch.tanh}.get(activation) or getattr(
        functional, activation
    )
    assert torch.allclose(mlp(state), function(scaled @ layer.weight.T + layer.bias))


@pytest.mark.parametrize("command", ["one-hot", "embedding"])
@pytest.mark.parametrize("name", ["mlp", "cnn", "lstm", "attention"])
def test_every_command_has_an_answer_of_its_own(name, command):
    config = dataclasses.replace(SMALL[name], command=command)
    network, inputs = build(config), at(sequences(config), slice(0, 1))
    answers = {
        round(answer(network, dict(inputs, command=torch.full((1, 6), i)))[0, -1, 0].item(), 5)
        for i in range(len(COMMANDS))
    }
    assert len(answers) == len(COMMANDS)


def test_what_is_no_input_is_not_asked_for():
    config = dataclasses.replace(CNN, speed=False)
    assert config.inputs == ("camera",)
    assert answer(build(config), {"camera": torch.zeros(1, 2, 24, 48, 3)}).shape == (1, 2, 1)
    every = dataclasses.replace(SMALL["mlp"], command="one-hot")
    assert every.inputs == ("state", "speed", "command")


def test_speed_changes_the_answer_where_it_is_an_input():
    network, inputs = build(CNN), sequences(CNN)
    faster = dict(inputs, speed=inputs["speed"] + 5)
    assert not torch.allclose(answer(network, inputs), answer(network, faster), atol=1e-4)


@pytest.mark.parametrize("name", SMALL)
def test_gradient_steps_decrease_the_loss(name):
    config = SMALL[name]
    torch.manual_seed(0)
    network, inputs = build_network(config), sequences(config, count=4, length=3)
    target = torch.linspace(-1, 1, 12).reshape(4, 3, 1)
    optimizer = torch.optim.AdamW(network.parameters(), lr=5e-3)
    losses = []
    for _ in range(60):
        loss = (network(inputs)[0] - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert min(losses[-5:]) < 0.5 * losses[0]


HEADS = [
    HeadConfig("curvature+acceleration", "gaussian"),
    HeadConfig("waypoints", "mixture", components=2, waypoints=(3.0, 6.5)),
    HeadConfig(hidden=()),
]


@pytest.mark.parametrize("config", [*ARCHITECTURES.values(), *SMALL.values()])
def test_a_configuration_survives_json(config):
    config = dataclasses.replace(config, command="embedding", speed=False)
    assert network_from_json(json.loads(json.dumps(network_to_json(config)))) == config


@pytest.mark.parametrize("head", HEADS)
def test_a_head_survives_json(head):
    config = dataclasses.replace(CNN, head=head)
    assert network_from_json(json.loads(json.dumps(network_to_json(config)))) == config
    numbers = build(config)(sequences(config))[0]
    assert numbers.shape == (3, 6, head.parameters)


def test_a_head_gives_as_many_numbers_as_its_distribution_has():
    for outputs, size in (("curvature", 1), ("curvature+acceleration", 2), ("waypoints", 12)):
        for kind, count in (("point", size), ("gaussian", 2 * size), ("mixture", 3 + 6 * size)):
            config = with_head(SMALL["mlp"], outputs=outputs, distribution=kind)
            numbers = build(config)(sequences(config))[0]
            assert numbers.shape[-1] == config.head.parameters == count


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PilotNetConfig(size=(20, 20)), "size is \\(20, 20\\); too small"),
        (lambda: PilotNetConfig(size=(0, 20)), "size is \\(0, 20\\)"),
        (lambda: PilotNetConfig(size=(10**6, 10**6)), "feature map holds"),
        (lambda: PilotNetConfig(channels=(8,)), "same length"),
        (lambda: PilotNetConfig(channels=(), kernels=(), strides=()), "same length"),
        (lambda: PilotNetConfig(strides=(2, 2, 2, 1, 0)), "at least 1"),
        (lambda: PilotNetConfig(norm="spectral"), "norm is 'spectral'; known are none"),
        (lambda: PilotNetConfig(pixels="raw"), "pixels is 'raw'"),
        (lambda: PilotNetConfig(dropout=1.0), "dropout is 1.0"),
        (lambda: PilotNetConfig(features=0), "features is 0"),
        (lambda: ResNetConfig(size=(40, 200)), "too small for 3 stages"),
        (lambda: ResNetConfig(blocks=0), "blocks is 0"),
        (lambda: ResNetConfig(channels=()), "stages is 0"),
        (lambda: SpatialAttentionConfig(width=50), "width 50 is not divisible by 4"),
        (lambda: SpatialAttentionConfig(patch=(0, 5)), "patch is 0"),
        (lambda: SpatialAttentionConfig(tokens="pixels"), "tokens is 'pixels'"),
        (lambda: SpatialAttentionConfig(tokens="patches", size=(8, 200)), "one token"),
        (lambda: TemporalAttentionConfig(window=1), "window is 1"),
        (lambda: TemporalAttentionConfig(layers=1000), "layers is 1000"),
        (lambda: RecurrentConfig("transformer"), "cell is 'transformer'"),
        (lambda: RecurrentConfig(size=-1), "size is -1"),
        (lambda: StateMLPConfig(hidden=()), "hidden is \\(\\)"),
        (lambda: StateMLPConfig(activation="cosine"), "activation is 'cosine'"),
        (lambda: StateMLPConfig(scale=(1.0, 0.0)), "scale is 0.0"),
        (lambda: HeadConfig("speed"), "outputs is 'speed'"),
        (lambda: HeadConfig(distribution="cauchy"), "distribution is 'cauchy'"),
        (lambda: HeadConfig(components=0), "components are 0"),
        (lambda: HeadConfig(waypoints=(3.0, 2.0)), "distances must rise"),
        (lambda: HeadConfig(waypoints=()), "waypoints is 0"),
        (lambda: HeadConfig(hidden=(0,)), "widths must be at least 1"),
        (lambda: NetworkConfig(command="voice"), "command is 'voice'"),
        (lambda: NetworkConfig(speed_scale=0), "speed_scale is 0"),
    ],
)
def test_a_network_that_cannot_be_is_refused_in_one_line(make, message):
    with pytest.raises(ValueError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


def changed(name, part, values):
    described = network_to_json(ARCHITECTURES[name])
    (described[part] if part else described).update(values)
    return described


@pytest.mark.parametrize(
    ("name", "part", "values", "message"),
    [
        ("cnn", "encoder", {"kind": "vgg"}, "encoder 'vgg' is unknown; known: mlp, pilotnet"),
        ("cnn", "encoder", {"kind": ["pilotnet"]}, "is unknown"),
        ("cnn", "encoder", {"layers": 3}, "encoder has no field 'layers'"),
        ("cnn", "encoder", {"size": [66.5, 200]}, "size is 66.5; it must be a whole number"),
        ("cnn", "encoder", {"size": [66]}, "size has 1 entries; it must have 2"),
        ("cnn", "encoder", {"size": "large"}, "size is 'large'; it must be a list"),
        ("cnn", "encoder", {"features": True}, "features is True"),
        ("cnn", "encoder", {"dropout": float("nan")}, "dropout is nan"),
        ("cnn", "encoder", {"norm": "spectral"}, "norm is 'spectral'"),
        ("mlp", "encoder", {"activation": None}, "activation is None"),
        ("mlp", "encoder", {"scale": [1.0, float("inf")]}, "scale is inf"),
        ("lstm", "memory", {"kind": "turing"}, "memory 'turing' is unknown"),
        ("lstm", "memory", {"size": "64"}, "size is '64'"),
        ("cnn", None, {"memory": 3}, "memory 3 is unknown"),
        ("cnn", None, {"head": 3}, "head is 3; it must be an object"),
        ("cnn", None, {"encoder": None}, "encoder None is unknown"),
        ("cnn", None, {"speed": "yes"}, "speed is 'yes'; it must be true or false"),
        ("cnn", None, {"colour": 1}, "network has no field 'colour'"),
        ("cnn", "head", {"outputs": {}}, "outputs is {}"),
        ("cnn", "head", {"waypoints": [1, "2"]}, "waypoints is '2'"),
        # What would fill the memory is refused before anything is allocated.
        ("cnn", "encoder", {"size": [10**6, 10**6]}, "at most 100,000,000"),
        ("cnn", "encoder", {"features": 10**9}, "at most 100,000,000"),
        ("cnn", "encoder", {"features": 10**18}, "no such network"),
        ("mlp", "encoder", {"hidden": [10**7, 10**7]}, "at most 100,000,000"),
        ("mlp", "encoder", {"hidden": [1] * 1000}, "layers is 1000"),
        ("rnn", "memory", {"size": 10**6}, "at most 100,000,000"),
        ("lstm", "memory", {"size": 10**6}, "at most 100,000,000"),
        ("cfc", "memory", {"size": 10**8}, "at most 100,000,000"),
        ("attention", "memory", {"window": 10**8}, "at most 100,000,000"),
        ("attention", "memory", {"layers": 10**9}, "layers is 1000000000"),
        ("patches", "encoder", {"patch": [1, 1]}, "at most 100,000,000"),
        ("resnet", "encoder", {"blocks": 10**9}, "blocks is 1000000000"),
        ("cnn", "head", {"distribution": "mixture", "components": 10**9}, "components are"),
        ("cnn", "head", {"hidden": [1] * 1000}, "hidden has 1000 layers"),
        ("cnn", None, {"command": "embedding", "command_size": 10**9}, "at most 100,000,000"),
    ],
)
def test_json_of_a_network_that_cannot_be_is_refused_in_one_line(name, part, values, message):
    with pytest.raises(PolicyError, match=message) as caught:
        network_from_json(changed(name, part, values))
    assert "\n" not in str(caught.value)


def test_missing_fields_have_their_defaults():
    assert network_from_json({"encoder": {"kind": "pilotnet"}}) == NetworkConfig()


def test_a_convolution_sees_what_the_configuration_says():
    config = PilotNetConfig(size=(24, 48), channels=(8, 8), kernels=(5, 3), strides=(2, 2))
    maps = PilotNet(config).convolutions(torch.zeros(1, 24, 48, 3))
    assert tuple(maps.shape[2:]) == config.map_size
