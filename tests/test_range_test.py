"""The learning-rate range test, on losses whose best learning rate is known."""

import csv
import dataclasses

import cv2
import numpy as np
import pytest
import torch
from made_up_road import AUGMENT, CNN, CONFIG, Bars, spec_of
from vista_agents.imitation.frames import Batch
from vista_agents.networks.heads import HeadConfig
from vista_agents.networks.mlp import StateMLPConfig
from vista_agents.networks.network import NetworkConfig
from vista_agents.networks.sensors import own_sensors
from vista_agents.policy import PolicySpec
from vista_agents.training import AugmentConfig, RangeConfig, TrainingError, range_test
from vista_agents.training.curves import running_mean


def test_rates_rise_exponentially_from_the_smallest_to_the_largest():
    config = RangeConfig(1e-5, 1e-1, steps=41)
    rates = [config.rate(step) for step in range(41)]
    assert rates[0] == pytest.approx(1e-5)
    assert rates[-1] == pytest.approx(1e-1)
    assert np.allclose(np.diff(np.log10(rates)), 0.1)


def test_the_table_and_the_picture_show_every_rate_and_no_policy_is_left(tmp_path):
    source = Bars()
    rates = RangeConfig(1e-5, 10.0, steps=60)
    found = range_test(spec_of(CNN), source, CONFIG, AUGMENT, tmp_path / "out", 0, rates)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["rates.csv", "rates.png"]
    with (tmp_path / "out/rates.csv").open() as file:
        table = list(csv.DictReader(file))
    assert [float(row["learning_rate"]) for row in table] == list(found.rates)
    assert [float(row["loss"]) for row in table] == list(found.losses)
    assert len(table) == 60
    assert cv2.imread(str(tmp_path / "out/rates.png")).std() > 10
    assert source.closed == 1
    assert source.prepared == list(range(60))
    # AdamW moves each weight by about the rate: this network learns by some thousandths a step.
    assert 1e-4 < found.suggested < 3e-2
    assert found.smoothed[-1] > 2 * min(found.smoothed)


class Line:
    """The answer is always 1, give or take some noise, so that gradients never end."""

    def prepare(self, step, network):
        pass

    def batch(self, step, size):
        state = torch.tensor([1.0, *(0.0,) * 7]).expand(size, 1, 8)
        mask = torch.ones(size, 1, dtype=torch.bool)
        noise = np.random.default_rng(step).normal(0.0, 0.1, (size, 1, 1))
        return Batch({"state": state}, torch.from_numpy(1.0 + noise).float(), mask)

    def validation(self):
        return self.batch(0, 4)

    def close(self):
        pass


def test_gradient_descent_on_a_parabola_turns_where_theory_says(tmp_path):
    """The last layer's loss ½ (w h + b - 1)², with h between 0 and 1, has curvature 1 + h²: above
    a rate of 2 / (1 + h²), at most 2, gradient descent diverges.
    """
    network = NetworkConfig(
        StateMLPConfig(hidden=(1,), scale=(1.0,) * 8, activation="sigmoid"),
        head=HeadConfig(hidden=()),
        speed=False,
    )
    config = dataclasses.replace(
        CONFIG, optimizer="sgd", clip=0.0, weight_decay=0.0, huber=1e6, batch_size=4
    )
    rates = RangeConfig(1e-4, 1e2, steps=240)
    spec, plain = PolicySpec(own_sensors(network), network), AugmentConfig(augment=False)
    found = range_test(spec, Line(), config, plain, tmp_path, 0, rates)
    assert found.losses[0] == pytest.approx(0.5, abs=0.15)
    lowest = found.rates[found.smoothed.index(min(found.smoothed))]
    assert min(found.smoothed) < 0.02
    assert 0.05 < lowest < 2.0
    assert found.suggested == pytest.approx(lowest / 10)
    beyond = [loss for rate, loss in zip(found.rates, found.losses, strict=True) if rate > 4.0]
    assert len(found.rates) < 240 or max(beyond) > 1e6  # it broke off, or is far out


def test_a_loss_that_is_never_finite_is_said_in_one_line(tmp_path):
    with pytest.raises(TrainingError, match=r"not finite before the first step"):
        range_test(spec_of(CNN), Bars(broken_at=0), CONFIG, AUGMENT, tmp_path, 0, RangeConfig())
    assert list(tmp_path.iterdir()) == []


def test_a_loss_that_breaks_ends_the_test_and_what_was_seen_is_shown(tmp_path):
    found = range_test(
        spec_of(CNN), Bars(broken_at=15), CONFIG, AUGMENT, tmp_path, 0, RangeConfig(steps=30)
    )
    assert len(found.rates) == len(found.losses) == 15


def test_the_running_mean_of_a_constant_is_the_constant():
    assert running_mean([3.0] * 5, 0.9) == pytest.approx([3.0] * 5)
    assert running_mean([0.0, 1.0], 0.5) == pytest.approx([0.0, 2 / 3])


@pytest.mark.parametrize(
    ("values", "field"),
    [((0.0, 1.0, 100), "smallest"), ((1.0, 0.1, 100), "largest"), ((1e-3, 1.0, 2), "steps")],
)
def test_rates_that_cannot_be_are_refused(values, field):
    with pytest.raises(ValueError, match=field):
        RangeConfig(*values)
