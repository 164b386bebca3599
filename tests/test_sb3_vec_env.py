"""The Stable-Baselines3 adapter against SB3's own loop over single environments."""

import logging
import subprocess
import sys

import gymnasium
import numpy as np
import pytest

from vista_sim.envs.lane_following import lane_following_env
from vista_sim.errors import WorldError
from vista_sim.tasks.lane_following import Endings

pytest.importorskip("stable_baselines3")

import torch
from stable_baselines3 import PPO
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecMonitor

from vista_sim.envs.sb3 import SB3VecEnv, as_vec_env

ID = "VistaSim/LaneFollowing-v0"
SHORT = {
    "size": (24, 48),
    "perturb_lateral": 0.8,
    "perturb_heading": 0.1,
    "endings": Endings(max_lateral=1.5, time_limit=1.6),
}


@pytest.fixture
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def _quiet(caplog):
    caplog.set_level(logging.ERROR)  # the ground is assumed flat where nothing was baked


def many(trace, num_envs=3, **options):
    envs = gymnasium.make_vec(
        ID,
        num_envs=num_envs,
        vectorization_mode="vector_entry_point",
        traces=[trace],
        **(SHORT | options),
    )
    return as_vec_env(envs)


def loop(trace, num_envs=3, **options):
    return DummyVecEnv([lambda: lane_following_env([trace], **(SHORT | options))] * num_envs)


def plain(value):
    """What is compared: arrays with their type and bytes, everything else as it is."""
    if isinstance(value, dict):
        return {name: plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, np.ndarray):
        return (str(value.dtype), value.shape, value.tobytes())
    return (type(value), value)


@pytest.mark.parametrize("options", [{}, {"copy": False}])
def test_it_gives_what_a_dummy_vec_env_gives(road_trace, options):
    ours, theirs = many(road_trace, **options), loop(road_trace)
    assert isinstance(ours, SB3VecEnv)
    assert ours.observation_space == theirs.observation_space
    assert ours.action_space == theirs.action_space
    assert ours.seed(4) == theirs.seed(4)
    said = ours.reset()
    assert plain(said) == plain(theirs.reset())
    rng = np.random.default_rng(1)
    dones, cut = 0, set()
    for _ in range(40):
        before = plain(said)
        actions = rng.uniform(-0.4, 0.4, (3, 1)).astype(np.float32)
        step = ours.step(actions)
        assert plain(said) == before  # the last observation is left alone
        assert plain(step) == plain(theirs.step(actions))
        assert plain(ours.reset_infos) == plain(theirs.reset_infos)
        said = step[0]
        dones += int(step[2].sum())
        cut |= {info["TimeLimit.truncated"] for info in step[3] if "terminal_observation" in info}
    assert dones >= 6
    assert cut == {True, False}
    ours.close()


def test_seeds_and_options_are_used_once(road_trace):
    ours, theirs = many(road_trace), loop(road_trace)
    for envs in (ours, theirs):
        envs.seed(2)
        envs.set_options([{"s": 20.0}, {"s": 50.0}, {}])
    assert plain(ours.reset()) == plain(theirs.reset())
    assert plain(ours.reset_infos) == plain(theirs.reset_infos)
    assert [round(info["s"]) for info in ours.reset_infos[:2]] == [20, 50]
    assert plain(ours.reset()) == plain(theirs.reset())
    assert [round(info["s"]) for info in ours.reset_infos[:2]] != [20, 50]


def test_attributes_and_methods_reach_the_single_environments(road_trace):
    envs = many(road_trace, render_mode="rgb_array")
    envs.seed(0)
    envs.reset()
    assert envs.get_attr("render_mode") == ["rgb_array"] * 3
    cars = envs.get_attr("car", indices=[0, 2])
    assert len({car.s for car in cars}) == 2
    envs.set_attr("curvature_limit", 0.05, indices=1)
    envs.step(np.ones((3, 1), dtype=np.float32))
    assert [car.action.curvature for car in envs.get_attr("car")] == [0.2, 0.05, 0.2]
    assert envs.env_method("info", indices=2)[0]["s"] == cars[1].s
    assert envs.env_is_wrapped(Monitor) == [False] * 3
    pictures = envs.get_images()
    assert np.array_equal(pictures[1], envs.env_method("render", indices=1)[0])
    height, width, _ = pictures[0].shape
    assert envs.render().shape == (2 * height, 2 * width, 3)  # three pictures, tiled
    envs.close()


@pytest.mark.usefixtures("_one_thread")
def test_ppo_learns_from_it(road_trace):
    envs = VecMonitor(many(road_trace, 4, size=(40, 60)))  # SB3's network needs 36 pixels
    small = {"net_arch": [16], "features_extractor_kwargs": {"cnn_output_dim": 16}}
    settings = {"n_steps": 32, "batch_size": 64, "n_epochs": 1, "seed": 0}
    model = PPO("MultiInputPolicy", envs, policy_kwargs=small, **settings)
    before = {name: value.clone() for name, value in model.policy.state_dict().items()}
    model.learn(256)
    assert model.num_timesteps == 256
    assert any((value != before[name]).any() for name, value in model.policy.state_dict().items())
    assert 1 <= np.mean([episode["l"] for episode in model.ep_info_buffer]) <= 16


def test_other_vector_environments_are_refused():
    with pytest.raises(WorldError, match="SyncVectorEnv; the adapter takes"):
        as_vec_env(gymnasium.make_vec("CartPole-v1", vectorization_mode="sync"))


def test_stable_baselines3_is_asked_for_by_the_name_of_the_extra():
    code = (
        "import sys; sys.modules['stable_baselines3'] = None\n"
        "from vista_sim.errors import MissingDependencyError\n"
        "try:\n    import vista_sim.envs.sb3\n"
        "except MissingDependencyError as error:\n    print(error)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'vista-sim[train]'" in said.stdout
