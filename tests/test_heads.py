"""Heads: their distributions against PyTorch's, their losses, and what their numbers stand for."""

import math

import pytest
import torch
from torch import distributions
from torch.nn import functional
from vista_agents.actions import Scales, follow_waypoints, in_units, to_action
from vista_agents.networks.heads import Distribution, Head, HeadConfig, answer, loss

MIXTURE = HeadConfig("curvature+acceleration", "mixture", components=3)
GAUSSIAN = HeadConfig("waypoints", "gaussian")


def parameters(config, *shape, seed=0):
    return torch.randn(*shape, config.parameters, generator=torch.Generator().manual_seed(seed))


def of_pytorch(numbers, config):
    """The same distribution, by the layout that heads promise: weights, means, deviations."""
    count = config.components if config.distribution == "mixture" else 1
    logits = numbers[..., :count] if config.distribution == "mixture" else numbers[..., :1] * 0
    rest = numbers[..., -2 * count * config.size :]
    shape = (*numbers.shape[:-1], count, config.size)
    means = rest[..., : count * config.size].reshape(shape)
    deviation = rest[..., count * config.size :].reshape(shape).clamp(-5, 1).exp()
    return distributions.MixtureSameFamily(
        distributions.Categorical(logits=logits),
        distributions.Independent(distributions.Normal(means, deviation), 1),
    )


@pytest.mark.parametrize("config", [MIXTURE, GAUSSIAN])
def test_the_log_probability_is_that_of_pytorch(config):
    numbers = parameters(config, 4, 5)
    answers = torch.randn(4, 5, config.size)
    found = Distribution.of(numbers, config).log_probability(answers)
    assert torch.allclose(found, of_pytorch(numbers, config).log_prob(answers), atol=1e-4)


@pytest.mark.parametrize("config", [MIXTURE, GAUSSIAN])
def test_samples_have_the_mean_and_the_deviation_of_the_distribution(config):
    numbers = parameters(config, 1)
    theirs = of_pytorch(numbers, config)
    drawn = Distribution.of(numbers.expand(40_000, -1), config).sample(
        torch.Generator().manual_seed(0)
    )
    error = (drawn.mean(dim=0) - theirs.mean[0]).abs() / theirs.stddev[0]
    assert error.max() < 5 / math.sqrt(40_000)
    assert torch.allclose(drawn.std(dim=0), theirs.stddev[0], rtol=0.03)


def test_components_of_a_mixture_are_drawn_as_often_as_their_weights_say():
    config = HeadConfig(distribution="mixture", components=2)
    narrow = math.log(1e-2)
    numbers = torch.tensor([math.log(0.8), math.log(0.2), -1.0, 1.0, narrow, narrow])
    drawn = Distribution.of(numbers.expand(20_000, -1), config).sample(
        torch.Generator().manual_seed(3)
    )
    assert (drawn > 0).float().mean().item() == pytest.approx(0.2, abs=0.02)
    assert (drawn.abs() - 1).abs().max() < 0.06


def test_the_mode_is_the_mean_of_the_likeliest_component():
    config = HeadConfig("curvature+acceleration", "mixture", components=3)
    logits = torch.tensor([0.0, 2.0, 1.0])
    means = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    numbers = torch.cat([logits, means.flatten(), torch.zeros(6)])
    assert Distribution.of(numbers, config).mode().tolist() == [3.0, 4.0]
    assert answer(numbers[None], config).tolist() == [[3.0, 4.0]]


def test_the_same_generator_draws_the_same_sample():
    distribution = Distribution.of(parameters(MIXTURE, 10), MIXTURE)
    a, b, c = (distribution.sample(torch.Generator().manual_seed(s)) for s in (1, 1, 2))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


def test_deviations_stay_within_bounds_that_a_loss_can_bear():
    config = HeadConfig(distribution="gaussian")
    for number in (-1e4, 1e4):
        numbers = torch.tensor([[0.0, number]], requires_grad=True)
        value = loss(numbers, torch.tensor([[0.5]]), config, 0.3)
        value.sum().backward()
        assert torch.isfinite(value).all()
        assert torch.isfinite(numbers.grad).all()


def test_the_loss_of_points_is_hubers_and_otherwise_the_negative_log_likelihood():
    config = HeadConfig("curvature+acceleration")
    numbers, target = torch.tensor([[0.1, 2.0]]), torch.tensor([[0.0, 0.0]])
    small, large = 0.5 * 0.1**2, 0.3 * (2.0 - 0.5 * 0.3)  # Huber 1964
    assert loss(numbers, target, config, 0.3).item() == pytest.approx((small + large) / 2)
    numbers, target = parameters(MIXTURE, 7), torch.randn(7, 2)
    wanted = -of_pytorch(numbers, MIXTURE).log_prob(target)
    assert torch.allclose(loss(numbers, target, MIXTURE, 0.3), wanted, atol=1e-4)


def test_a_mixture_learns_both_ways_around_an_obstacle_where_a_point_drives_into_it():
    target = torch.tensor([-1.0, 1.0]).repeat(8)[:, None]
    features = torch.ones(16, 4)
    answers = {}
    for kind in ("point", "mixture"):
        config = HeadConfig(distribution=kind, components=2, hidden=(8,))
        torch.manual_seed(0)
        head = Head(config, 4)
        optimizer = torch.optim.Adam(head.parameters(), lr=0.02)
        for _ in range(200):
            optimizer.zero_grad()
            loss(head(features), target, config, 1.0).mean().backward()
            optimizer.step()
        answers[kind] = answer(head(features), config)[0].item()
    assert abs(answers["point"]) < 0.1
    assert abs(answers["mixture"]) == pytest.approx(1.0, abs=0.2)


@pytest.mark.parametrize("outputs", ["curvature", "curvature+acceleration", "waypoints"])
@pytest.mark.parametrize("distribution", ["point", "gaussian"])
def test_a_fresh_head_drives_straight_ahead(outputs, distribution):
    config = HeadConfig(outputs, distribution)
    assert not answer(Head(config, 5)(torch.randn(3, 5)), config).any()


def test_components_of_a_fresh_mixture_differ():
    config = HeadConfig(distribution="mixture")
    head = Head(config, 5)
    means = Distribution.of(head(torch.randn(1, 5)), config).means
    assert len(means.unique()) == 3


def test_a_head_of_points_has_no_distribution():
    with pytest.raises(ValueError, match="no distribution"):
        Distribution.of(torch.zeros(1, 1), HeadConfig())


def circle(curvature, distances):
    """Points at arc lengths of a circle that leaves the origin along x."""
    return [
        (math.sin(curvature * d) / curvature, (1 - math.cos(curvature * d)) / curvature)
        for d in distances
    ]


@pytest.mark.parametrize("curvature", [-0.1, -0.02, 0.05, 0.15])
@pytest.mark.parametrize("speed", [0.0, 5.0, 10.0, 14.0, 40.0])
def test_points_of_a_circle_are_followed_with_its_curvature(curvature, speed):
    distances = HeadConfig().waypoints
    points = torch.tensor([circle(curvature, distances)])
    found = follow_waypoints(points, distances, torch.tensor([speed])).item()
    assert found == pytest.approx(curvature, rel=1e-4)


def test_the_point_at_the_lookahead_distance_is_the_one_followed():
    points = torch.tensor([[[4.0, 0.0], [8.0, 1.0], [12.0, 5.0]]])
    curvatures = [0.0, 2 * 1 / (8**2 + 1**2), 2 * 5 / (12**2 + 5**2)]
    for ahead, wanted in ((4, curvatures[0]), (8, curvatures[1]), (12, curvatures[2])):
        speed = torch.tensor([(ahead - 3.2) / 0.48])
        found = follow_waypoints(points, (4.0, 8.0, 12.0), speed).item()
        assert found == pytest.approx(wanted, abs=1e-6)


def test_beyond_the_last_point_the_last_is_followed():
    points = torch.tensor([[[2.0, 0.5]]])
    found = follow_waypoints(points, (2.0,), torch.tensor([20.0])).item()
    assert found == pytest.approx(2 * 0.5 / (2.0**2 + 0.5**2))


def test_points_on_the_spot_do_not_divide_by_zero():
    found = follow_waypoints(torch.zeros(1, 3, 2), (2.0, 4.0, 6.0), torch.tensor([3.0]))
    assert found.item() == 0.0


def test_numbers_become_physical_units_within_the_limits():
    scales = Scales(curvature_scale=0.05, acceleration_scale=2.0)
    head = HeadConfig("curvature+acceleration")
    gentle = to_action([1.0, -0.5], head, scales, speed=8.0)
    assert (gentle.curvature, gentle.acceleration) == (0.05, -1.0)
    wild = to_action([-100.0, 100.0], head, scales, speed=8.0)
    assert (wild.curvature, wild.acceleration) == (-0.2, 6.0)
    assert to_action([1.0], HeadConfig(), scales, 8.0).acceleration is None


def test_waypoints_are_scaled_to_metres_and_followed():
    head = HeadConfig("waypoints", waypoints=(4.0, 8.0))
    points = torch.tensor(circle(0.08, head.waypoints))
    numbers = (points / 10.0).flatten()
    values = in_units(numbers[None], head, Scales(), torch.tensor([10.0]))
    assert torch.allclose(values["waypoints"][0], points)
    assert values["curvature"].item() == pytest.approx(0.08, rel=1e-5)
    assert to_action(numbers.tolist(), head, Scales(), 10.0).curvature == pytest.approx(0.08)


def test_a_batch_of_answers_has_the_units_of_each_alone():
    head = HeadConfig("waypoints")
    numbers, speed = torch.randn(5, head.size), torch.linspace(0, 20, 5)
    together = in_units(numbers, head, Scales(), speed)["curvature"]
    alone = [
        to_action(n.tolist(), head, Scales(), v.item()).curvature
        for n, v in zip(numbers, speed, strict=True)
    ]
    assert together.tolist() == pytest.approx(alone, abs=1e-6)
    assert functional.relu(together.abs() - 0.2).max() < 1e-6
