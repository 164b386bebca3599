"""Composite scores against values by hand; what is not applicable is said, and never 1."""

import json
import math
import re

import numpy as np
import pytest

from vista_sim.evaluation.metrics import composite
from vista_sim.evaluation.metrics.tables import Tables


def drive(endings=("end_of_trace",), ends=(100.0,), starts=(0.0,), s=None, speed=None):
    count = len(endings)
    episodes = {
        "episode": np.arange(count),
        "trace": np.zeros(count, int),
        "ending": np.array(endings, dtype=object),
        "start_s": np.array(starts),
        "end_s": np.array(ends),
        "section_start_s": np.zeros(count),
        "section_end_s": np.full(count, 100.0),
    }
    s = np.linspace(0.0, 10.0, 11) if s is None else np.array(s, dtype=float)
    zero = np.zeros(len(s))
    steps = {
        "episode": np.zeros(len(s), int),
        "t": 0.1 * np.arange(len(s)),
        "s": s,
        "speed": np.full(len(s), 10.0) if speed is None else np.array(speed),
        "curvature": zero,
        "yaw": zero,
    }
    return Tables(steps, episodes)


def test_the_driving_score_is_completion_times_a_penalty_a_crash():
    assert composite.driving_score(drive()).value == 1.0
    # 40 and 45 m of 100 m by itself, one crash: 0.85 * 0.65.
    crashed = drive(("off_road", "end_of_trace"), (40.0, 100.0), (0.0, 55.0))
    assert composite.driving_score(crashed).value == pytest.approx(0.85 * 0.65)
    # Two crashes, 40 + 10 m: 0.5 * 0.65².
    twice = drive(("off_road", "heading"), (40.0, 65.0), (0.0, 55.0))
    assert composite.driving_score(twice).value == pytest.approx(0.5 * 0.65**2)


def test_the_closed_loop_score_is_a_weighted_average_times_multipliers():
    assert composite.closed_loop_score(drive()).value == 1.0
    # 60 of 100 m, comfortable: (5 * 0.6 + 2 * 1) / 7.
    short = drive(("time_limit",), (60.0,))
    assert composite.closed_loop_score(short).value == pytest.approx(5 / 7)
    # All the way, but braking at 10 m/s² for half a second: (5 * 1 + 2 * 0) / 7.
    rough = drive(speed=[10.0] * 4 + [9.0, 8.0, 7.0, 6.0] + [5.0] * 3)
    assert composite.closed_loop_score(rough).value == pytest.approx(5 / 7)
    assert composite.closed_loop_score(drive(("off_road",), (90.0,))).value == 0.0
    assert composite.closed_loop_score(drive(("time_limit",), (19.0,))).value == 0.0  # no progress


def test_driving_backwards_costs_half_the_score_and_then_all():
    forth_and_back = [10, 11, 12, 11, 10, 9.5]  # 2.5 m back within a second
    assert composite.largest_way_back(drive(s=forth_and_back).steps) == pytest.approx(2.5)
    assert composite.closed_loop_score(drive(s=forth_and_back)).value == pytest.approx(0.5)
    back = 20.0 - np.arange(11.0)  # 10 m within a second
    assert composite.closed_loop_score(drive(s=back)).value == 0.0
    slowly = 20.0 - 0.1 * np.arange(41.0)  # 4 m in all, 1 m within a second
    assert composite.largest_way_back(drive(s=slowly).steps) == pytest.approx(1.0)
    assert composite.closed_loop_score(drive(s=slowly)).value == 1.0


def test_from_its_limits_on_driving_backwards_counts():
    just = [10, 11, 12, 11, 10, 10]  # 2 m back
    assert composite.closed_loop_score(drive(s=just)).value == pytest.approx(0.5)
    back = [16, 14, 12, 10, 10, 10]  # 6 m back
    assert composite.closed_loop_score(drive(s=back)).value == 0.0


def test_progress_counts_short_ways_as_two_metres():
    def progress(start, end):
        return composite.progress(drive(("time_limit",), (end,), (start,)).episodes)

    assert progress(0.0, 60.0) == pytest.approx(0.6)
    assert progress(0.0, 0.5) == pytest.approx(2 / 100)  # half a metre of 100 m
    assert progress(96.0, 96.5) == pytest.approx(2 / 4)  # and of 4 m
    assert progress(99.0, 99.0) == 1.0  # 1 m was asked for
    assert progress(96.0, 94.5) == pytest.approx(2 / 4)  # 1.5 m behind its start
    assert progress(96.0, 93.5) == 0.0  # 2.5 m
    assert math.isnan(progress(100.0, 100.0))


def test_terms_of_other_road_users_are_not_applicable():
    for score in composite.scores(drive()):
        assert "without other road users" in score.name
        assert re.search(r"/\d+ without", score.name)
        values = json.loads(json.dumps(score.to_json(), allow_nan=False))
        missing = [term for term in values["terms"] if term["reason"] is not None]
        assert len(missing) >= 3
        assert all(term["value"] is None for term in missing)
        assert {"there are no other road users"} < {term["reason"] for term in missing}
        known = [term for term in values["terms"] if term["reason"] is None]
        assert all(term["value"] is not None for term in known)


def test_without_a_route_there_is_no_score():
    nothing = drive((), (), ())
    for score in composite.scores(nothing):
        assert math.isnan(score.value)
        assert score.to_json()["value"] is None
