"""`VistaSim/LaneFollowing-v0`: its contract, its determinism, its starts, and its pictures."""

import logging
import math
import time

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import vista_sim  # noqa: F401  # registers the environment
from vista_sim.colours import CAR, TRACK
from vista_sim.envs.lane_following import lane_following_env
from vista_sim.errors import VistaError, WorldError
from vista_sim.tasks.lane_following import Endings, Rewards

ID = "VistaSim/LaneFollowing-v0"
SIZE = (48, 96)

pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture(autouse=True)
def _quiet(caplog):
    caplog.set_level(logging.ERROR)  # the ground is assumed flat where nothing was baked


@pytest.fixture
def env(road_trace):
    with lane_following_env(road_trace, size=SIZE) as env:
        yield env


def start(s=20.0, lateral=0.0, heading=0.0):
    return {"trace": 0, "s": s, "lateral": lateral, "heading": heading}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"control_speed": True, "perturb_lateral": 0.5, "perturb_heading": 0.05},
        {"reset_mode": "curvature", "fov": 1.0, "dt": 0.05, "section": (2.0, 20.0)},
    ],
)
def test_it_passes_gymnasiums_checks_without_a_warning(road_trace, options, monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    env = gymnasium.make(f"vista_sim:{ID}", traces=[road_trace], size=SIZE, **options)
    check_env(env.unwrapped)
    env.close()


def test_it_passes_stable_baselines3s_checks_without_a_warning(road_trace):
    checker = pytest.importorskip("stable_baselines3.common.env_checker")
    env = gymnasium.make(ID, traces=[road_trace], size=SIZE, render_mode="rgb_array")
    checker.check_env(env)
    env.close()


def test_spaces_are_as_documented(road_trace):
    env = gymnasium.make(ID, traces=[road_trace])
    assert env.observation_space["camera"] == gymnasium.spaces.Box(0, 255, (66, 200, 3), np.uint8)
    speed = env.observation_space["speed"]
    assert (speed.shape, speed.dtype) == ((1,), np.float32)
    assert np.isfinite(speed.high).all()
    assert env.action_space == gymnasium.spaces.Box(-1, 1, (1,), np.float32)
    two = gymnasium.make(ID, traces=[road_trace], control_speed=True)
    assert two.action_space.shape == (2,)


def rollout(road_trace, seed, **options):
    """Bytes of everything that an environment says over 60 random steps."""
    said = []
    with lane_following_env(road_trace, size=SIZE, perturb_lateral=0.8, **options) as env:
        rng = np.random.default_rng(5)
        observation, info = env.reset(seed=seed)
        for _ in range(60):
            said.append(observation["camera"].tobytes() + observation["speed"].tobytes())
            said.append(repr(sorted(info.items())))
            action = rng.uniform(-0.6, 0.6, env.action_space.shape).astype(np.float32)
            observation, reward, terminated, truncated, info = env.step(action)
            said.append((reward, terminated, truncated))
            if terminated or truncated:
                observation, info = env.reset()
    return said


def test_the_same_seed_and_actions_give_identical_bytes(road_trace):
    assert rollout(road_trace, 7) == rollout(road_trace, 7)
    assert rollout(road_trace, 7) != rollout(road_trace, 8)


def test_actions_scale_to_the_curvature_limit_and_are_clipped(road_trace):
    with lane_following_env(road_trace, size=SIZE, curvature_limit=0.05) as env:
        for action, curvature in ((1.0, 0.05), (-0.5, -0.025), (7.0, 0.05), (-np.inf, -0.05)):
            env.reset(seed=0, options=start())
            env.step(np.array([action], dtype=np.float32))
            assert env.car.action.curvature == pytest.approx(curvature)
            assert env.car.action.acceleration is None


def test_the_second_action_is_the_pedals(road_trace):
    with lane_following_env(road_trace, size=SIZE, control_speed=True) as env:
        for pedal, change in ((1.0, 0.3), (-0.5, -0.4), (0.0, 0.0)):
            env.reset(seed=0, options=start())
            observation, *_ = env.step(np.array([0.0, pedal], dtype=np.float32))
            assert observation["speed"][0] == pytest.approx(8.0 + change, abs=1e-5)


@pytest.mark.parametrize("action", [[math.nan], [0.0, 0.0], []])
def test_actions_that_cannot_be_are_refused(env, action):
    env.reset(seed=0)
    with pytest.raises(WorldError, match="action"):
        env.step(np.array(action, dtype=np.float32))


def test_reward_is_the_sum_of_its_named_terms(env):
    _, info = env.reset(seed=0, options=start())
    assert set(info["reward_terms"]) == set(vars(Rewards()))
    for _ in range(5):
        _, reward, _, _, info = env.step(np.array([0.1], dtype=np.float32))
        assert reward == pytest.approx(sum(info["reward_terms"].values()))


def test_info_tells_where_the_car_is(env):
    _, info = env.reset(seed=1, options=start(40.0, 0.5, -0.05))
    assert info["trace"] == 0
    assert info["s"] == pytest.approx(40.0, abs=1e-3)
    assert info["lateral"] == pytest.approx(0.5, abs=1e-3)
    assert info["heading_error"] == pytest.approx(-0.05, abs=1e-3)
    assert info["speed"] == pytest.approx(8.0)
    assert info["distance_to_recording"] == pytest.approx(0.5, abs=0.05)
    assert 0.5 < info["validity"] <= 1.0
    assert (info["ending_code"], "ending" in info) == (0, False)


def test_leaving_the_road_terminates_and_the_traces_end_truncates(env):
    env.reset(options=start(20.0, 1.5))
    for _ in range(50):
        _, _, terminated, truncated, info = env.step(np.array([0.1], dtype=np.float32))
        if terminated or truncated:
            break
    assert (terminated, truncated) == (True, False)
    assert info["ending"] in ("off_road", "heading")
    env.reset(options=start(177.0))
    for _ in range(50):
        _, _, terminated, truncated, info = env.step(np.zeros(1, dtype=np.float32))
        if terminated or truncated:
            break
    assert (terminated, truncated, info["ending"]) == (False, True, "end_of_trace")


def test_a_time_limit_truncates(road_trace):
    with lane_following_env(road_trace, size=SIZE, endings=Endings(time_limit=0.5)) as env:
        env.reset(options=start())
        ends = [env.step(np.zeros(1, dtype=np.float32))[2:4] for _ in range(5)]
    assert ends == [(False, False)] * 4 + [(False, True)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lane": 1}, "'lane' is unknown"),
        ({"trace": 5}, "there are 1"),
        ({"trace": "road"}, "whole number"),
        ({"trace": True}, "whole number"),
        ({"s": "far"}, "a number"),
        ({"s": 1e4}, "can be driven"),
        ({"s": math.nan}, "finite"),
        ({"s": 20.0, "lateral": 3.0}, "over at once"),
        ({"s": 20.0, "heading": 1.0}, "over at once"),
    ],
)
def test_reset_options_that_cannot_be_are_refused(env, options, message):
    with pytest.raises(WorldError, match=message):
        env.reset(seed=0, options=options)


@pytest.mark.parametrize(
    "options",
    [
        {"size": (0, 10)},
        {"size": 66},
        {"curvature_limit": -1.0},
        {"render_mode": "text"},
        {"reset_mode": "anywhere"},
        {"perturb_lateral": math.nan},
        {"section": (50.0, 60.0)},
        {"dt": 0.0},
        {"recorded_camera": "rear"},
    ],
)
def test_settings_that_cannot_be_are_refused(road_trace, options):
    with pytest.raises(VistaError):
        lane_following_env(road_trace, **options).reset(seed=0)


def test_perturbed_starts_stay_in_their_range(road_trace):
    with lane_following_env(
        road_trace, size=SIZE, perturb_lateral=0.4, perturb_heading=0.05
    ) as env:
        infos = [env.reset(seed=seed)[1] for seed in range(40)]
    lateral = np.abs([info["lateral"] for info in infos])
    heading = np.abs([info["heading_error"] for info in infos])
    assert 0.3 < lateral.max() <= 0.401
    assert 0.03 < heading.max() <= 0.0501


def has_color(picture, color):
    return bool((np.abs(picture.astype(int) - color).max(axis=-1) < 12).any())


def test_the_picture_shows_view_map_and_numbers(road_trace):
    env = lane_following_env(road_trace, size=(200, 320), render_mode="rgb_array")
    env.reset(seed=0, options=start(30.0))
    for _ in range(10):
        env.step(np.zeros(1, dtype=np.float32))
    first = env.render()
    assert first.dtype == np.uint8
    assert first.shape[2] == 3
    assert first.shape[0] % 2 == first.shape[1] % 2 == 0
    view = first[:400, :640].astype(int)
    assert np.abs(view[::2, ::2] - env.car.observations["camera"]).mean() < 12
    for _ in range(5):
        env.step(np.zeros(1, dtype=np.float32))
    picture = env.render()
    assert has_color(picture[:, 640:], CAR)
    assert has_color(picture[:, 640:], TRACK)
    env.reset(seed=0, options=start(60.0))
    assert not has_color(env.render()[:, 640:], TRACK)  # a new episode, a new track
    numbers = np.abs(picture[400:, :640].astype(int) - first[400:, :640])
    assert numbers.max() > 50  # the time went on


def test_a_window_opens_without_a_display(road_trace, monkeypatch):
    pytest.importorskip("pygame")
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER"):
        monkeypatch.delenv(name, raising=False)
    env = lane_following_env(road_trace, size=SIZE, render_mode="human")
    env.reset(seed=0)
    env.step(np.zeros(1, dtype=np.float32))
    assert env.render() is None
    env.close()
    env.close()


def test_many_environments_run_side_by_side(road_trace):
    envs = gymnasium.make_vec(
        ID, num_envs=3, vectorization_mode="sync", traces=[road_trace], size=SIZE
    )
    observations, _ = envs.reset(seed=4)
    assert observations["camera"].shape == (3, *SIZE, 3)
    single = gymnasium.make(ID, traces=[road_trace], size=SIZE)
    for i in range(3):
        observation, _ = single.reset(seed=4 + i)
        assert np.array_equal(observation["camera"], observations["camera"][i])
    envs.close()


def test_a_step_costs_little_beside_the_view(env):
    env.reset(seed=0, options=start(5.0))
    times = []
    for _ in range(100):
        began = time.perf_counter()
        _, _, terminated, truncated, _ = env.step(np.zeros(1, dtype=np.float32))
        times.append(time.perf_counter() - began - env.car.view_seconds)
        if terminated or truncated:
            env.reset(options=start(5.0))
    assert np.median(times) < 0.5e-3  # about 0.08 ms on an idle core


def test_a_start_far_beside_the_path_is_refused_with_its_own_numbers(road_trace):
    env = gymnasium.make("VistaSim/LaneFollowing-v0", traces=[road_trace])
    for lateral in (50.0, -60.0):
        with pytest.raises(WorldError, match=f"lateral {lateral:.2f} m.*off_road"):
            env.reset(seed=1, options={"s": 40.0, "lateral": lateral})
    env.close()
