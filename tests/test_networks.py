"""The CNN: shapes, what its input normalization ignores, and that it learns."""

import dataclasses

import pytest
import torch
from vista_agents.networks.pilotnet import PilotNet, PilotNetConfig
from vista_agents.networks.registry import build_network, network_from_json, network_to_json

from vista_sim.errors import PolicyError

SMALL = PilotNetConfig(size=(24, 48), channels=(8, 8), kernels=(5, 3), strides=(2, 2), hidden=(16,))


def images(count, size=(24, 48), seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, *size, 3), dtype=torch.uint8, generator=generator)


def with_output(config, seed=0):
    """A network that does not answer zero, as a fresh one does."""
    torch.manual_seed(seed)
    network = PilotNet(config).eval()
    torch.nn.init.normal_(network.head[-1].weight)
    return network


def test_pilotnet_has_about_250_000_weights_and_gives_one_number_a_view():
    network = PilotNet(PilotNetConfig())
    assert 245_000 < sum(p.numel() for p in network.parameters()) < 260_000
    assert network(images(3, (66, 200)), torch.full((3,), 8.0)).shape == (3,)


def test_a_fresh_network_drives_straight_ahead():
    assert PilotNet(SMALL)(images(2), torch.zeros(2)).tolist() == [0.0, 0.0]


def test_normalization_per_image_ignores_brightness_and_contrast():
    network = with_output(SMALL)
    view = images(1).float()
    darker = 0.5 * view + 20.0
    speed = torch.tensor([8.0])
    assert network(view, speed).item() == pytest.approx(network(darker, speed).item(), rel=0.05)
    fixed = with_output(dataclasses.replace(SMALL, input_norm="fixed"))
    assert fixed.normalize(torch.zeros(1, 24, 48, 3)).unique().item() == -1.0
    assert fixed.normalize(torch.full((1, 24, 48, 3), 255)).unique().item() == 1.0


def test_channels_keep_their_order():
    view = torch.zeros(1, 24, 48, 3)
    view[..., 0] = 255.0
    red, green, blue = PilotNet(SMALL).normalize(view)[0]
    assert red.min() > green.max()
    assert torch.equal(green, blue)


@pytest.mark.parametrize("norm", ["none", "batch", "group"])
def test_a_view_of_one_batch_does_not_change_the_answer_for_another(norm):
    network = with_output(dataclasses.replace(SMALL, norm=norm))
    views, speed = images(4), torch.full((4,), 8.0)
    together = network(views, speed)
    alone = torch.cat([network(views[i : i + 1], speed[:1]) for i in range(4)])
    assert torch.allclose(together, alone, atol=1e-5)


def test_speed_is_an_input_only_where_it_is_asked_for():
    views = images(1).expand(2, -1, -1, -1)
    speeds = torch.tensor([3.0, 15.0])
    seeing, blind = with_output(SMALL), with_output(dataclasses.replace(SMALL, speed=False))
    assert len(seeing(views, speeds).unique()) == 2
    assert len(blind(views, speeds).unique()) == 1


def test_gradient_steps_decrease_the_loss():
    torch.manual_seed(0)
    network = PilotNet(SMALL)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    views, speed = images(16), torch.full((16,), 8.0)
    target = torch.linspace(-1, 1, 16)
    losses = []
    for _ in range(60):
        loss = (network(views, speed) - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]


def test_a_configuration_survives_json():
    config = dataclasses.replace(SMALL, norm="batch", dropout=0.1)
    assert network_from_json(network_to_json(config)) == config
    assert isinstance(build_network(config), PilotNet)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": "transformer"}, "'transformer' is unknown; known: pilotnet"),
        ({"name": "pilotnet", "config": {"layers": 3}}, "layers"),
        ({"name": "pilotnet", "config": {"norm": "spectral"}}, "norm is 'spectral'"),
        ({"name": "pilotnet", "config": {"size": [4, 4]}}, "too small"),
    ],
)
def test_a_network_that_cannot_be_built_is_refused_in_one_line(values, message):
    with pytest.raises(PolicyError, match=message) as caught:
        network_from_json(values)
    assert "\n" not in str(caught.value)
