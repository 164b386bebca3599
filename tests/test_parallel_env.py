"""Several learners in one scene, as PettingZoo has it."""

import copy
import math
import sys

import numpy as np
import pytest
from range_sensor import RangeSpec
from same_bytes import assert_same

import vista_sim
from vista_sim import CameraSpec
from vista_sim.envs.lane_following import lane_following_env
from vista_sim.errors import MissingDependencyError, WorldError
from vista_sim.sensors.spec import StateSpec

tests = pytest.importorskip("pettingzoo.test")

SIZE = (24, 48)
MORE = {"sensors": {"camera": CameraSpec(SIZE), "range": RangeSpec(), "state": StateSpec()}}
STRAIGHT = np.zeros(1, dtype=np.float32)


def make(trace, agents=2, **settings):
    seen = {} if "sensors" in settings else {"size": SIZE}
    return vista_sim.parallel_env(trace, agents=agents, **seen, **settings)


@pytest.mark.filterwarnings("ignore:.*reset option 'options' is not used")
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"agents": 1},
        {"agents": 3, "gap": 12.0, "control_speed": True, "task": "stop-at-end"},
        MORE,
    ],
)
def test_it_passes_the_tests_of_pettingzoo(road_trace, settings):
    tests.parallel_api_test(make(road_trace, **settings), num_cycles=60)
    tests.parallel_seed_test(lambda: make(road_trace, **settings), num_cycles=8)


def test_one_agent_drives_as_the_environment_of_one_car_does(road_trace):
    env, alone = make(road_trace, 1), lane_following_env(road_trace, size=SIZE)
    observations, infos = env.reset(seed=3)
    seen, info = alone.reset(seed=3)
    assert_same(observations["car_0"], seen)
    rng = np.random.default_rng(0)
    for _ in range(40):
        action = rng.uniform(-1, 1, 1).astype(np.float32)
        *all_of, infos = env.step({"car_0": action})
        *expected, info = alone.step(action)
        assert infos["car_0"] == info
        for ours, theirs in zip(all_of, expected, strict=True):
            assert_same(ours["car_0"], theirs) if isinstance(theirs, dict) else None
            assert isinstance(theirs, dict) or ours["car_0"] == theirs
        if not env.agents:
            break
    assert info["ending"] == "heading"


def test_cars_start_behind_each_other_and_see_each_other(road_trace):
    env, alone = make(road_trace, 2, gap=10.0), lane_following_env(road_trace, size=SIZE)
    observations, infos = env.reset(seed=1, options={"s": 40.0})
    assert [infos[agent]["s"] for agent in env.agents] == pytest.approx([40.0, 30.0])
    unseen, _ = alone.reset(options={"s": 30.0})
    assert (observations["car_1"]["camera"] != unseen["camera"]).any()
    unseen, _ = alone.reset(options={"s": 40.0})  # the other is behind it
    assert_same(observations["car_0"]["camera"], unseen["camera"])


def test_cars_end_at_different_times_and_the_others_drive_on(road_trace):
    env = make(road_trace, 2, gap=10.0, control_speed=True)
    env.reset(options={"s": 60.0})
    off, on = np.array([1.0, 0.0], np.float32), np.zeros(2, np.float32)
    for _ in range(60):
        actions = {"car_0": off, "car_1": on}
        _, rewards, ended, cut, infos = env.step({agent: actions[agent] for agent in env.agents})
        if len(env.agents) == 1:
            break
    assert env.agents == ["car_1"]
    assert (ended, cut) == ({"car_0": True, "car_1": False}, {"car_0": False, "car_1": False})
    assert infos["car_0"]["ending"] == "heading"
    assert infos["car_0"]["ending_code"] == 2
    observations, rewards, *_ = env.step({"car_1": on})
    assert set(observations) == set(rewards) == {"car_1"}
    with pytest.raises(WorldError, match=r"given to \['car_0', 'car_1'\]; those who drive"):
        env.step({"car_0": on, "car_1": on})
    with pytest.raises(WorldError, match="action of car_1 has shape"):
        env.step({"car_1": STRAIGHT})
    env.reset(seed=0)
    assert env.agents == ["car_0", "car_1"]


def test_an_option_of_reset_that_is_unknown_is_warned_of(road_trace):
    env = make(road_trace)
    with pytest.warns(UserWarning, match="'ahead' is not used; known: trace, s, lateral, heading"):
        env.reset(seed=0, options={"ahead": 3.0})


def test_what_cannot_be_is_said(road_trace, monkeypatch):
    with pytest.raises(WorldError, match="agents is 0"):
        make(road_trace, 0)
    with pytest.raises(WorldError, match="at most 64"):
        make(road_trace, 65)
    with pytest.raises(WorldError, match="gap is -2"):
        make(road_trace, 2, gap=-2)
    with pytest.raises(WorldError, match=r"gap is nan|gap is NaN"):
        make(road_trace, 2, gap=math.nan)
    env = make(road_trace, 3, gap=10.0)
    with pytest.raises(WorldError, match="no room for car_2 20 m behind"):
        env.reset(options={"s": 15.0})
    with pytest.raises(WorldError, match="section"):
        make(road_trace, 2, section=(3, 2))
    with pytest.raises(WorldError, match="deepcopy"):
        copy.copy(env)
    monkeypatch.setitem(sys.modules, "pettingzoo", None)
    monkeypatch.delitem(sys.modules, "vista_sim.envs.parallel", raising=False)
    with pytest.raises(MissingDependencyError, match=r"vista-sim\[multi\]"):
        make(road_trace)


def test_a_copy_drives_on_alike(road_trace):
    env = make(road_trace, 2)
    env.reset(seed=2)
    other = copy.deepcopy(env)
    actions = dict.fromkeys(env.agents, STRAIGHT)
    ours, theirs = env.step(actions), other.step(actions)
    assert_same(ours[0], theirs[0])
    assert ours[1:] == theirs[1:]


def test_pictures_are_those_of_the_first_car(road_trace):
    env = make(road_trace, 2, render_mode="rgb_array")
    env.reset(seed=0)
    env.step(dict.fromkeys(env.agents, STRAIGHT))
    picture = env.render()
    assert picture.dtype == np.uint8
    assert picture.std() > 10
    env.close()
