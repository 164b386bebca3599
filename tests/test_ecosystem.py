"""The tools that people put around environments work with these, also when episodes end."""

import shutil

import gymnasium
import numpy as np
import pytest
from ending_codes import ENDINGS
from gymnasium import wrappers
from gymnasium.vector import AsyncVectorEnv
from gymnasium.wrappers import vector as vector_wrappers

from vista_sim.envs.lane_following import lane_following_env
from vista_sim.tasks.lane_following import Endings

pytestmark = pytest.mark.usefixtures("_unwarned")

ID = "VistaSim/LaneFollowing-v0"
SHORT = {"size": (24, 48), "endings": Endings(time_limit=0.3)}
SCENARIO = """
format = "vista-scenario/1"
name = "plain"
traces = ["{}"]
time_limit = 0.3
"""


@pytest.fixture(scope="module")
def scenario(road_trace, tmp_path_factory):
    path = tmp_path_factory.mktemp("scenarios") / "plain.toml"
    path.write_text(SCENARIO.format(road_trace))
    return path


def numeric(infos):
    """Whether infos are arrays of numbers alone, and dicts of them."""
    return all(
        numeric(value) if isinstance(value, dict) else value.dtype != object
        for value in infos.values()
    )


@pytest.mark.parametrize("mode", ["vector_entry_point", "sync"])
@pytest.mark.parametrize("kind", ["lane following", "scenario"])
def test_tensors_are_made_of_all_that_vector_environments_tell(road_trace, scenario, kind, mode):
    torch = pytest.importorskip("torch")
    pytest.importorskip("array_api_compat")
    options = {"size": (24, 48), "num_envs": 2, "vectorization_mode": mode}
    if mode == "sync":  # each of these tells names too, unless it is asked not to
        options["text_infos"] = False
    if kind == "scenario":
        envs = gymnasium.make_vec("VistaSim/Scenario-v0", scenario=scenario, **options)
    else:
        envs = gymnasium.make_vec(ID, traces=[road_trace], endings=SHORT["endings"], **options)
    envs = vector_wrappers.NumpyToTorch(envs)
    envs.reset(seed=1)
    codes = []
    for _ in range(5):  # through an ending, and the reset after it
        _, rewards, _, truncated, infos = envs.step(torch.zeros((2, 1)))
        assert rewards.shape == (2,)
        codes.append([ENDINGS[int(code)] for code in infos["ending_code"]])
        assert truncated.tolist() == [name == "time_limit" for name in codes[-1]]
    assert codes[:3] == [[None] * 2, [None] * 2, ["time_limit"] * 2]
    envs.close()


def test_infos_of_vector_environments_hold_no_texts(road_trace, scenario):
    for envs in (
        gymnasium.make_vec(ID, num_envs=2, traces=[road_trace], **SHORT),
        gymnasium.make_vec("VistaSim/Scenario-v0", num_envs=2, scenario=scenario, size=(24, 48)),
    ):
        _, infos = envs.reset(seed=1)
        assert numeric(infos)
        for _ in range(4):
            infos = envs.step(np.zeros(envs.action_space.shape, np.float32))[4]
            assert numeric(infos)
        envs.close()


def test_the_name_of_an_ending_is_told_in_the_step_that_ends(road_trace):
    env = lane_following_env(road_trace, observe="state", endings=Endings(time_limit=0.2))
    infos = [env.reset(seed=1)[1]] + [env.step(np.zeros(1))[4] for _ in range(2)]
    assert [info.get("ending") for info in infos] == [None, None, "time_limit"]
    assert [ENDINGS[info["ending_code"]] for info in infos] == [None, None, "time_limit"]


@pytest.mark.parametrize("mode", ["NextStep", "SameStep", "Disabled"])
def test_a_vector_environment_cuts_episodes_as_gymnasiums_time_limit_does(road_trace, mode):
    options = {"num_envs": 2, "traces": [road_trace], "observe": "state", "max_episode_steps": 3}
    ours = gymnasium.make_vec(ID, autoreset_mode=mode, **options)
    theirs = gymnasium.make_vec(
        ID,
        vectorization_mode="sync",
        vector_kwargs={"autoreset_mode": gymnasium.vector.AutoresetMode(mode)},
        text_infos=False,
        **options,
    )
    for envs in (ours, theirs):
        envs.reset(seed=3, options={"s": 10.0})
    cut = {"NextStep": (2, 6), "SameStep": (2, 5), "Disabled": (2,)}[mode]
    for step in range(cut[-1] + 1):
        actions = np.full((2, 1), 0.1, np.float32)
        a, b = ours.step(actions), theirs.step(actions)
        for x, y in zip(a[:4], b[:4], strict=True):
            np.testing.assert_equal(x, y)
        np.testing.assert_equal(a[4]["s"], b[4]["s"])
        assert a[3].tolist() == [step in cut] * 2
    for envs in (ours, theirs):
        envs.close()


def test_gymnasiums_wrappers_go_around_it(road_trace, tmp_path):
    env = gymnasium.make(ID, traces=[road_trace], render_mode="rgb_array", **SHORT)
    env = wrappers.TransformAction(env, lambda action: 0.5 * action, env.action_space)
    env = wrappers.RecordEpisodeStatistics(wrappers.TimeLimit(env, 2))
    env = wrappers.NormalizeObservation(wrappers.FlattenObservation(env))
    seen, _ = env.reset(seed=1)
    assert env.observation_space.shape == seen.shape == (24 * 48 * 3 + 1,)
    env.step(np.zeros(1, np.float32))
    *_, truncated, info = env.step(np.zeros(1, np.float32))
    assert (truncated, info["episode"]["l"]) == (True, 2)


def test_gymnasiums_vector_wrappers_go_around_many(road_trace):
    envs = gymnasium.make_vec(ID, num_envs=2, traces=[road_trace], observe="state")
    before = str(envs.single_observation_space)
    space = gymnasium.spaces.utils.flatten_space(envs.single_observation_space)
    envs = vector_wrappers.FlattenObservation(vector_wrappers.RecordEpisodeStatistics(envs))
    envs = vector_wrappers.NormalizeObservation(envs)
    envs.reset(seed=1)
    seen = envs.step(np.zeros((2, 1), np.float32))[0]
    assert seen.shape == (2, *space.shape)
    assert str(envs.unwrapped.single_observation_space) == before


@pytest.mark.parametrize("context", [None, "spawn"])
def test_processes_of_gymnasium_drive_as_one_process_does(road_trace, context):
    options = {"traces": [road_trace], "observe": "state", "text_infos": False}
    alone = gymnasium.make_vec(ID, num_envs=2, **options)
    beside = AsyncVectorEnv([_Make(options)] * 2, context=context)
    for envs in (alone, beside):
        envs.reset(seed=4)
    actions = np.full((2, 1), 0.1, np.float32)
    a, b = alone.step(actions), beside.step(actions)
    np.testing.assert_equal(a[0], b[0])
    np.testing.assert_equal(a[1], b[1])
    beside.close()


class _Make:
    """Makes an environment, in whatever process it is unpickled."""

    def __init__(self, options):
        self.options = options

    def __call__(self):
        import vista_sim  # noqa: F401  # a spawned process knows nothing yet

        return gymnasium.make(ID, **self.options)


def test_stable_baselines3s_wrappers_leave_the_environments_spaces_alone(road_trace):
    pytest.importorskip("stable_baselines3")
    from stable_baselines3.common.vec_env import VecFrameStack, VecMonitor, VecNormalize

    from vista_sim.envs.sb3 import as_vec_env

    envs = gymnasium.make_vec(ID, num_envs=2, traces=[road_trace], **SHORT)
    picture = gymnasium.spaces.Box(0, 255, (24, 48, 3), np.uint8)
    stacked = VecFrameStack(VecNormalize(VecMonitor(as_vec_env(envs))), 2)
    stacked.reset()
    stacked.step(np.zeros((2, 1), np.float32))
    again = as_vec_env(envs)
    for space in (envs.single_observation_space, envs.envs[1].observation_space):
        assert space["camera"] == picture
    first = {name: value[0] for name, value in again.reset().items()}
    assert again.observation_space["camera"] == picture
    assert again.observation_space.contains(first)


@pytest.mark.parametrize("name", ["a [1] b", "so % {x} 100", "ä ü"])
def test_paths_may_have_spaces_and_brackets(road_trace, tmp_path, name):
    folder = tmp_path / name / "drive [2]"
    shutil.copytree(road_trace, folder)
    env = lane_following_env(str(folder), size=(24, 48))
    plain = lane_following_env(str(road_trace), size=(24, 48))
    np.testing.assert_equal(env.reset(seed=1)[0], plain.reset(seed=1)[0])
