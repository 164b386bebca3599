"""Saliency: what a policy's answer depended on, against covering it and known dependence."""

import cv2
import numpy as np
import pytest
import torch
from architectures import SMALL, build, with_head
from small_networks import VIEW
from vista_agents.networks.cnn import PilotNetConfig, ResNetConfig
from vista_agents.networks.network import NetworkConfig
from vista_agents.networks.sensors import own_sensors
from vista_agents.networks.spatial import SpatialAttention, SpatialAttentionConfig
from vista_agents.policy import NetworkPolicy, PolicySpec

from vista_sim.errors import PolicyNotFiniteError
from vista_sim.policies import SalientPolicy

SEEING = [name for name, config in SMALL.items() if config.camera_size is not None]


def policy_of(config, seed=0):
    network = build(config, seed)
    return NetworkPolicy(PolicySpec(own_sensors(config), config), network)


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
    policy = NetworkPolicy(PolicySpec(own_sensors(SMALL["mlp"]), SMALL["mlp"]), network)
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


POSTS = (32, 64)
LEARNING = {
    "cnn": PilotNetConfig(POSTS, (8, 8), (5, 3), (2, 2), features=16),
    "resnet": ResNetConfig(POSTS, (8,), features=16),
    "patches": SpatialAttentionConfig(
        POSTS, "patches", (8, 8), width=16, heads=2, layers=1, features=16
    ),
}


def posts(count, seed):
    """Views of soft noise with a bright post somewhere, and the columns that it begins at."""
    rng = np.random.default_rng(seed)
    columns = rng.integers(3, POSTS[1] - 6, count)
    images = []
    for column in columns:
        noise = cv2.GaussianBlur(rng.normal(size=(*POSTS, 3)), (0, 0), 1.5)
        image = 110 + 25 * noise / noise.std()
        image[8:20, column : column + 3] = (250, 240, 60)
        images.append(np.clip(image, 0, 255).astype(np.uint8))
    return np.stack(images), columns


def steering_by_the_post(encoder):
    """A policy that learned to steer by where the post is, and by nothing else."""
    policy = policy_of(NetworkConfig(encoder, head=SMALL["cnn"].head))
    network = policy.network.train()
    images, columns = posts(256, 0)
    seen_before = torch.from_numpy(images)[:, None]
    wanted = torch.from_numpy(columns / 32 - 1).float()
    optimizer = torch.optim.Adam(network.parameters(), 4e-3)
    generator = torch.Generator().manual_seed(0)
    for _ in range(200):
        rows = torch.randint(0, len(images), (32,), generator=generator)
        inputs = {"camera": seen_before[rows], "speed": torch.full((32, 1), 8.0)}
        loss = (network(inputs)[0][:, 0, 0] - wanted[rows]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    network.eval()
    return policy


@pytest.mark.usefixtures("_own_threads")
@pytest.mark.parametrize("name", LEARNING)
def test_what_a_trained_policy_steers_by_is_salient(name):
    torch.set_num_threads(1)
    policy = steering_by_the_post(LEARNING[name])
    rng = np.random.default_rng(2)
    changes, on_post = np.zeros(3), []
    images, columns = posts(24, 1)
    for image, column in zip(images, columns, strict=True):
        answer = policy.act(seen(image)).curvature / policy.spec.scales.curvature_scale
        assert answer == pytest.approx(column / 32 - 1, abs=0.4)  # it has learned that
        found = policy.saliency()
        changes += [change_of(policy, image, mask) for mask in masks_of(found, 0.05, rng)]
        v, u = np.unravel_index(found.argmax(), POSTS)
        on_post.append(4 <= v < 24 and column - 4 <= u < column + 7)
    most, least, random = changes
    assert most > 4 * random
    assert most > 4 * least
    # Maps of attention are coarse: their brightest spot is on the post more often than by chance
    # (a tenth of the view is near it), those of gradients nearly always.
    assert np.mean(on_post) > (0.2 if name == "patches" else 0.9)


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
