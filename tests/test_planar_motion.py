"""The likeliest motion through noisy positions, against motions that are known."""

import numpy as np
import pytest

from vista_sim.traces.importers.motion_evidence import Evidence, Measured
from vista_sim.traces.importers.planar_motion import planar_motion
from vista_sim.traces.importers.rough_motion import reachable

T = np.arange(0.0, 60.0, 0.1)


def drive(t):
    """A car that turns, brakes to a stop at 30 s and goes on: position (n, 2), yaw, speed, rate."""
    fine = np.arange(0.0, 60.0, 0.002)
    speed = 10.0 * np.clip(np.abs(fine - 30.0) / 8.0 - 0.3, 0.0, 1.0)
    rate = 0.04 * speed * np.sin(fine / 5.0)
    yaw = 0.7 + np.cumsum(rate) * 0.002
    x, y = np.cumsum(speed * np.cos(yaw)) * 0.002, np.cumsum(speed * np.sin(yaw)) * 0.002
    return tuple(np.interp(t, fine, v) for v in (x, y, yaw, speed, rate))


def fixes(seed, std=1.5, wrong=3, arm=0.0):
    rng = np.random.default_rng(seed)
    t = np.arange(0.4, 59.5, 1.0)
    x, y, yaw, *_ = drive(t)
    place = np.stack([x + arm * np.cos(yaw), y + arm * np.sin(yaw)], axis=1)
    place += rng.normal(0, std, place.shape)
    bad = rng.choice(len(t), wrong, replace=False)
    place[bad] += rng.choice([-1, 1], (wrong, 2)) * rng.uniform(20, 60, (wrong, 2))
    return Measured(t, place, np.full(len(t), 3.0)), bad


def errors(found):
    x, y, yaw, speed, _ = drive(found.t)
    place = np.linalg.norm(found.xy - np.stack([x, y], axis=1), axis=1)
    return place, np.angle(np.exp(1j * (found.yaw - yaw))), found.speed - speed


def rms(values):
    return float(np.sqrt(np.mean(np.square(values))))


@pytest.mark.parametrize("seed", range(3))
def test_positions_once_a_second_become_a_path_and_wrong_ones_are_found(seed):
    position, bad = fixes(seed)
    found = planar_motion(T, Evidence(position))
    place, yaw, speed = errors(found)
    assert rms(place) < 1.5  # better than one fix, whose deviation is 2.1 m
    assert rms(speed) < 0.8
    moving = drive(T)[3] > 2.0
    assert np.degrees(rms(yaw[moving])) < 6.0
    assert set(bad) <= set(np.flatnonzero(found.outliers))
    assert found.outliers.sum() <= len(bad) + 1
    assert found.noise * 3.0 == pytest.approx(1.5, rel=0.3)
    # What it says of itself is what it is.
    assert 0.5 < rms(place) / (np.sqrt(2) * rms(found.position_std)) < 2.0
    assert 0.3 < rms(yaw[moving]) / rms(found.yaw_std[moving]) < 2.0


@pytest.mark.parametrize("seed", range(3))
def test_a_yaw_rate_makes_headings_of_a_path(seed):
    rng = np.random.default_rng(10 + seed)
    position, _ = fixes(seed)
    rate = Measured(T, drive(T)[4] + rng.normal(0, 0.005, len(T)), np.full(len(T), 0.006))
    found = planar_motion(T, Evidence(position, yaw_rate=rate))
    place, yaw, _ = errors(found)
    assert np.degrees(rms(yaw)) < 1.0  # also where the car stands
    assert rms(place) < 1.3


def test_what_yaw_rates_are_wrong_by_is_found():
    position, _ = fixes(1, wrong=0)
    late = 0.2
    told = 1.15 * drive(T - late)[4]
    rate = Measured(T, told, np.full(len(T), 0.006))
    found = planar_motion(T, Evidence(position, yaw_rate=rate, gauge=(0.3, 0.3, 0.0)))
    assert found.factor == pytest.approx(1.15, rel=0.03)
    assert found.late == pytest.approx(late, abs=0.1)
    assert abs(np.log(found.factor / 1.15)) < 3 * found.gauge_std[0]
    assert found.gauge_std[2] == 0
    biased = Measured(T, drive(T)[4] + 0.02, np.full(len(T), 0.006))
    found = planar_motion(T, Evidence(position, yaw_rate=biased, gauge=(0.0, 0.0, 0.05)))
    assert np.degrees(rms(errors(found)[1])) < 1.0
    assert (found.factor, found.late) == (1.0, 0.0)


def test_positions_of_an_antenna_are_not_taken_for_those_of_the_rear_axle():
    position, _ = fixes(2, std=0.02, wrong=0, arm=2.5)
    rate = Measured(T, drive(T)[4], np.full(len(T), 0.002))
    found = planar_motion(T, Evidence(position, yaw_rate=rate, arm=(2.5, 0.0)))
    place, yaw, _ = errors(found)
    # Beside the first and last fix nothing is known.
    assert np.median(place) < 0.05
    assert np.degrees(rms(yaw)) < 0.5


def test_without_positions_speed_and_yaw_rate_are_added_up():
    _, _, _, speed, rate = drive(T)
    evidence = Evidence(
        speed=Measured(T, speed, np.full(len(T), 0.05)),
        yaw_rate=Measured(T, rate, np.full(len(T), 0.002)),
    )
    found = planar_motion(T, evidence)
    x, y, yaw, *_ = drive(T)
    c, s = np.cos(0.7), np.sin(0.7)
    turned = np.stack([c * (x - x[0]) + s * (y - y[0]), c * (y - y[0]) - s * (x - x[0])], axis=1)
    assert np.linalg.norm(found.xy - turned, axis=1).max() < 1.5
    assert np.abs(found.yaw - (yaw - yaw[0])).max() < 0.02
    assert found.position_std[0] < found.position_std[-1]  # it drifts, and says so


def test_fixes_that_no_car_can_have_reached_are_not_believed():
    t = np.arange(20.0)
    xy = np.stack([10 * t, np.zeros(20)], axis=1)
    xy[7] += 5000
    xy[12:15] -= 3000
    kept = reachable(t, xy)
    assert np.flatnonzero(~kept).tolist() == [7, 12, 13, 14]
