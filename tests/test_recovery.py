"""The recovery test: where it starts, what counts, and what is compared."""

import math

import numpy as np
import pytest
from conftest import ROAD_PIECES, write_straight

from vista_sim.errors import WorldError
from vista_sim.evaluation.evaluate import evaluate
from vista_sim.policies import Action
from vista_sim.policies.reference import ReferenceDriver
from vista_sim.runs.run import columns, read_run
from vista_sim.scenarios.places import RecoveryTest, draw_places, road_kind
from vista_sim.world import World


class Straight:
    camera = None

    def reset(self):
        pass

    def act(self, observation, car=None):
        return Action(0.0)


class OneSided(ReferenceDriver):
    """Comes back from the left alone."""

    def act(self, observation, car=None):
        return Action(0.0) if car.lateral < -0.3 else super().act(observation, car)


def test_kinds_of_road_are_those_of_the_geometry(road_trace):
    world = World(road_trace)
    edges = np.cumsum([0.0] + [length for length, _ in ROAD_PIECES])
    for i, (length, curvature) in enumerate(ROAD_PIECES[:-1]):
        expected = "straight" if curvature == 0 else "left" if curvature > 0 else "right"
        # The next two seconds (16 m) lie within the piece.
        for s in np.linspace(edges[i] + 1, edges[i] + length - 17, 5):
            assert road_kind(world, 0, float(s)) == expected, s


def test_places_are_drawn_by_seed_on_every_kind_of_road(road_trace):
    world = World([road_trace, road_trace])
    test = RecoveryTest(starts_per_kind=3)
    places = draw_places(world, test, seed=5)
    assert places == draw_places(World([road_trace, road_trace]), test, seed=5)
    assert places != draw_places(world, test, seed=6)
    assert [place.road for place in places] == ["straight"] * 3 + ["left"] * 3 + ["right"] * 3
    assert len(set(places)) == 9
    for place in places:
        assert road_kind(world, place.trace, place.s) == place.road
        assert place.s / 8.0 + 5.0 <= 22.5  # five seconds of drive ahead


def test_a_kind_of_road_that_is_not_there_gets_no_place(road_trace):
    world = World(road_trace, section=(5.0, 10.6))  # a left bend
    places = draw_places(world, RecoveryTest(), seed=0)
    assert {place.road for place in places} == {"left"}


def test_the_reference_recovers_from_every_start(road_trace):
    recovery = evaluate("expert", road_trace).recovery
    assert recovery.tried.sum() == 3 * 4 * 49
    assert recovery.expert_rate == 1.0
    assert recovery.rate == 1.0


@pytest.fixture
def straight_trace(tmp_path):
    write_straight(tmp_path / "straight", lambda t: 8.0, seconds=8.0)
    return tmp_path / "straight"


def test_who_never_steers_recovers_from_the_path_alone(straight_trace):
    test = RecoveryTest(starts_per_kind=1)
    recovery = evaluate(Straight(), straight_trace, recovery=test).recovery
    assert recovery.policy.sum() == 1
    i, j = test.laterals.index(0.0), test.headings.index(0.0)
    assert recovery.policy[0, i, j] == 1
    assert recovery.rate == pytest.approx(1 / 49)


def test_the_rate_counts_starts_that_the_expert_recovers_from(straight_trace):
    test = RecoveryTest(laterals=(-1.0, 0.0, 1.0), headings=(0.0,), starts_per_kind=1)
    recovery = evaluate(OneSided(), straight_trace, recovery=test).recovery
    assert recovery.policy[0].ravel().tolist() == [0, 1, 1]
    assert recovery.expert[0].ravel().tolist() == [1, 1, 1]
    assert recovery.rate == pytest.approx(2 / 3)
    values = recovery.to_json()
    assert values["policy"] == [[0], [1], [1]]
    assert values["roads"]["straight"] == {"tried": 3, "rate": pytest.approx(2 / 3)}
    assert values["roads"]["left"] == {"tried": 0, "rate": None}


def test_recovered_means_a_second_near_the_path_and_along_it_in_time(road_trace, tmp_path):
    evaluate("expert", road_trace, tmp_path / "run", video=False)
    run = read_run(tmp_path / "run")
    episodes, steps = columns(run.episodes), columns(run.steps)
    recovered = np.flatnonzero(episodes["recovered"])
    assert len(recovered) == 2 * 12 * 49
    near = np.abs(steps["lateral"]) <= 0.3
    near &= np.abs(steps["heading_error"]) <= math.radians(2)
    for i in recovered[::7]:
        rows = np.flatnonzero(steps["episode"] == episodes["episode"][i])
        assert near[rows[-11:]].all()  # ten steps of 0.1 s
        assert len(rows) == 12 or not near[rows[-12]]  # not before; the start does not count
        assert steps["t"][rows[-1]] == episodes["recovery_time"][i] <= 5.0 + 1e-9
        assert np.abs(steps["lateral"][rows]).max() <= 2.0


@pytest.mark.parametrize("options", [{"starts_per_kind": 0}, {"within_time": 0.0}, {"held": 5.0}])
def test_tests_that_cannot_be_are_refused(options):
    with pytest.raises(WorldError):
        RecoveryTest(**options)
