"""The privileged state vector, and environments that observe it in place of a camera."""

import math
import time

import gymnasium
import numpy as np
import pytest
from conftest import ROAD_SPEED, road_pose, write_road, write_straight
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import SyncVectorEnv
from test_vector_env import assert_same

import vista_sim
from vista_sim.envs.lane_following import lane_following_env
from vista_sim.errors import WorldError
from vista_sim.policies import Action
from vista_sim.sensors.randomization import Randomization
from vista_sim.sensors.state_vector import (
    PREVIEW_SPEED,
    PREVIEW_TIMES,
    STATE_LIMITS,
    STATE_NAMES,
    STATE_UNITS,
)
from vista_sim.tasks.lane_following import Endings

ID = "VistaSim/LaneFollowing-v0"
SHORT = {
    "observe": "state",
    "perturb_lateral": 0.8,
    "perturb_heading": 0.1,
    "section": (0.0, 8.0),
    "endings": Endings(max_lateral=1.5, time_limit=1.6),
}

pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture(scope="module")
def traces(road_trace, tmp_path_factory):
    """Two traces."""
    other = tmp_path_factory.mktemp("traces") / "other"
    return [road_trace, write_road(other, fov=0.9, size=(40, 60), camera="dash")]


def car_on(trace, **start):
    car = vista_sim.World([trace]).spawn_agent()
    car.start(0, **start)
    return car


def entries(car):
    return dict(zip(STATE_NAMES, car.state_vector().tolist(), strict=True))


def test_it_holds_what_its_names_say(road_trace):
    seen = entries(car_on(road_trace, s=20.0, lateral=0.7, heading=-0.1))
    assert seen["lateral"] == pytest.approx(0.7, abs=1e-3)
    assert seen["heading_error"] == pytest.approx(-0.1, abs=1e-3)
    assert seen["speed"] == pytest.approx(ROAD_SPEED)
    assert len(STATE_NAMES) == len(STATE_UNITS) == STATE_LIMITS.shape[1]


def test_the_bends_ahead_are_those_of_the_road_as_it_was_made(road_trace):
    straight = entries(car_on(road_trace, s=20.0, lateral=1.0))
    bend = entries(car_on(road_trace, s=55.0, lateral=-1.0))
    # The first bend, to the left at 1/40 m, is from 40 to 80 m; 8 m/s.
    assert straight["path_curvature_0.0s"] == pytest.approx(0.0, abs=1e-3)
    assert straight["path_curvature_0.5s"] == pytest.approx(0.0, abs=1e-3)
    assert bend["path_curvature_0.0s"] == pytest.approx(1 / 40, abs=1e-3)
    assert bend["path_curvature_2.0s"] == pytest.approx(1 / 40, abs=1e-3)
    assert bend["tire_angle"] == pytest.approx(math.atan(2.7 / 40), abs=3e-3)
    before = entries(car_on(road_trace, s=30.0))  # 2 s: 46 m
    assert before["path_curvature_1.0s"] == pytest.approx(0.0, abs=1e-2)
    assert before["path_curvature_2.0s"] == pytest.approx(1 / 40, abs=1e-2)
    assert road_pose(46.0)[2] == pytest.approx(6 / 40)  # it is in the bend there


def test_a_slow_car_looks_as_far_as_one_at_the_preview_speed(tmp_path):
    trace = vista_sim.Trace.open(write_road(tmp_path / "road"))
    world = vista_sim.World([trace])
    car = world.spawn_agent()
    car.start(0, 33.0)
    while car.speed > 0.01:
        car.move(Action(0.0, -8.0))
    ahead = [car.s + t * PREVIEW_SPEED for t in PREVIEW_TIMES]
    expected = [trace.path.curvature(s) for s in ahead]
    assert expected[0] != pytest.approx(expected[-1], abs=1e-3)
    assert car.state_vector()[4:] == pytest.approx(expected, abs=1e-6)


def test_beyond_the_end_of_the_path_the_curvature_is_that_of_the_end(road_trace):
    car = car_on(road_trace, s=178.0)
    end = car.path.curvature(car.path.length)
    assert entries(car)["path_curvature_2.0s"] == pytest.approx(end, abs=1e-6)


def test_it_is_kept_within_its_limits(tmp_path):
    write_straight(tmp_path / "fast", lambda t: 90.0, seconds=10.0)
    car = car_on(tmp_path / "fast", s=100.0, lateral=50.0)
    seen = entries(car)
    assert seen["lateral"] == pytest.approx(STATE_LIMITS[1, 0]) == 30.0
    assert seen["speed"] == 70.0


def test_a_car_observes_it_when_told_to(road_trace):
    car = car_on(road_trace, s=20.0)
    car.observe()
    assert "state" not in car.observations
    car.observes_state = True
    car.observe()
    assert np.array_equal(car.observations["state"], car.state_vector())
    car.spawn_camera("camera")
    with pytest.raises(WorldError, match="'state'"):
        car.spawn_camera("state")


@pytest.mark.parametrize("options", [{}, {"control_speed": True, "reset_mode": "curvature"}])
def test_it_passes_gymnasiums_checks_without_a_warning(road_trace, options, monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    env = gymnasium.make(f"vista_sim:{ID}", traces=[road_trace], observe="state", **options)
    check_env(env.unwrapped)
    env.close()


def test_it_passes_stable_baselines3s_checks_without_a_warning(road_trace):
    checker = pytest.importorskip("stable_baselines3.common.env_checker")
    checker.check_env(gymnasium.make(ID, traces=[road_trace], observe="state"))


def test_the_spaces_are_as_documented_and_nothing_is_rendered(road_trace):
    env = lane_following_env(road_trace, observe="state")
    assert set(env.observation_space.spaces) == {"state", "speed"}
    assert env.observation_space["state"].shape == (len(STATE_NAMES),)
    assert env.observation_space["state"].dtype == np.float32
    observation, info = env.reset(seed=0)
    for _ in range(5):
        assert env.observation_space.contains(observation)
        assert observation["state"][0] == np.float32(info["lateral"])
        assert "validity" not in info
        observation, *_, info = env.step(np.zeros(1, dtype=np.float32))
    assert not env.car.cameras
    assert math.isnan(env.car.validity)
    assert not env.world.cameras._cameras


def test_a_trace_without_a_camera_can_be_driven(tmp_path):
    write_straight(tmp_path / "straight", lambda t: 8.0)
    env = lane_following_env(tmp_path / "straight", observe="state")
    observation, _ = env.reset(seed=0, options={"s": 20.0, "lateral": 0.5})
    assert observation["state"][:3] == pytest.approx([0.5, 0.0, 8.0], abs=1e-3)
    pictured = lane_following_env(tmp_path / "straight", observe="state", render_mode="rgb_array")
    pictured.reset(seed=0)
    with pytest.raises(WorldError, match="no camera"):
        pictured.render()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"observe": "lidar"}, "'lidar'; known are camera and state"),
        ({"observe": "state", "fov": 1.0}, "fov is given"),
        ({"observe": "state", "mount": np.eye(4)}, "mount is given"),
        ({"observe": "state", "randomization": Randomization()}, "randomization is given"),
    ],
)
def test_settings_that_cannot_be_are_named(road_trace, options, message):
    with pytest.raises(WorldError, match=message):
        lane_following_env(road_trace, **options)


def test_the_picture_shows_what_the_recorded_camera_would(road_trace):
    start = {"s": 30.0, "lateral": 0.4}
    pictures = []
    for options in ({"observe": "state"}, {}):
        env = lane_following_env(road_trace, size=(48, 96), render_mode="rgb_array", **options)
        env.reset(seed=0, options=start)
        env.step(np.zeros(1, dtype=np.float32))
        pictures.append(env.render())
    view = (slice(0, 320), slice(0, 640))
    assert np.array_equal(pictures[0][view], pictures[1][view])
    assert pictures[0][view].std() > 10


def many(traces, num_envs=5, **options):
    return gymnasium.make_vec(
        ID,
        num_envs=num_envs,
        vectorization_mode="vector_entry_point",
        traces=traces,
        **(SHORT | options),
    )


@pytest.mark.parametrize("mode", ["NextStep", "SameStep", "Disabled"])
@pytest.mark.parametrize("options", [{}, {"control_speed": True}])
def test_many_give_the_same_bytes_as_single_environments(traces, mode, options):
    ours = many(traces, autoreset_mode=mode, text_infos=False, **options)
    make = lambda: lane_following_env(traces, **(SHORT | {"text_infos": False} | options))  # noqa: E731
    theirs = SyncVectorEnv([make] * 5, autoreset_mode=mode)
    rng = np.random.default_rng(3)
    assert_same(ours.reset(seed=7), theirs.reset(seed=7))
    ended = np.zeros(5, dtype=int)
    for _ in range(45):
        actions = rng.uniform(-0.5, 0.3, ours.action_space.shape).astype(np.float32)
        step = ours.step(actions)
        assert_same(step, theirs.step(actions))
        over = step[2] | step[3]
        ended += over
        if mode == "Disabled" and over.any():
            options = {"reset_mask": over.copy()}
            assert_same(ours.reset(options=options), theirs.reset(options=dict(options)))
    assert (ended >= 2).all()
    cars = ours.get_attr("car")
    alone = np.stack([car.state_vector() for car in cars])
    assert alone.tobytes() == np.stack([car.observations["state"] for car in cars]).tobytes()
    ours.close()


def test_copies_stay_as_they_are_and_shared_arrays_are_overwritten(traces):
    for copy in (True, False):
        envs = many(traces, 2, copy=copy)
        first = envs.reset(seed=0)[0]
        before = first["state"].tobytes()
        second = envs.step(np.zeros((2, 1)))[0]
        assert (second["state"] is first["state"]) is not copy
        assert (first["state"].tobytes() == before) is copy


def test_stable_baselines3_gets_what_its_own_loop_gives(traces):
    sb3 = pytest.importorskip("vista_sim.envs.sb3")
    from stable_baselines3.common.vec_env import DummyVecEnv

    ours = sb3.as_vec_env(many(traces, 3))
    theirs = DummyVecEnv([lambda: lane_following_env(traces, **SHORT)] * 3)
    for envs in (ours, theirs):
        envs.seed(4)
    first = (ours.reset(), theirs.reset())
    assert first[0]["state"].tobytes() == first[1]["state"].tobytes()
    rng, dones = np.random.default_rng(1), 0
    for _ in range(30):
        actions = rng.uniform(-0.4, 0.4, (3, 1)).astype(np.float32)
        (a, ra, da, ia), (b, rb, db, ib) = ours.step(actions), theirs.step(actions)
        assert a["state"].tobytes() == b["state"].tobytes()
        assert ra.tolist() == rb.tolist()
        assert da.tolist() == db.tolist()
        for done, mine, other in zip(da, ia, ib, strict=True):
            if done:
                dones += 1
                last, expected = mine["terminal_observation"], other["terminal_observation"]
                assert last["state"].tobytes() == expected["state"].tobytes()
    assert dones > 3


def test_steps_are_fast(traces):
    envs = many(traces, 64, copy=False)
    envs.reset(seed=0)
    actions = np.zeros((64, 1), dtype=np.float32)
    times = []
    for _ in range(40):
        began = time.perf_counter()
        envs.step(actions)
        times.append(time.perf_counter() - began)
    assert np.min(times) < 64 / 20_000  # s
