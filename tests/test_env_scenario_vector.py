"""Many cases in one process against Gymnasium's own loop over single environments."""

import json
import logging

import gymnasium
import numpy as np
import pytest
from conftest import write_road
from ending_codes import ENDINGS
from gymnasium.vector import SyncVectorEnv
from same_bytes import assert_same

from vista_sim.envs.scenario import scenario_env
from vista_sim.errors import ScenarioError, WorldError

ID = "VistaSim/Scenario-v0"
SIZE = (24, 48)
COUNT = 5
#: What can differ from case to case: traces of different rigs, tasks, controls, and all faults.
SUITE = {
    "plain": "[start]\nlateral = { values = [-1, 1] }\n[endings]\nmax_lateral = 1.5\n",
    "faulty": (
        "seeds = 3\n[image]\nnoise = 5\nexposure = 1.4\n"
        "[vehicle]\nactuation_delay = 0.15\ncurvature_limit = 0.1\n"
        "[sensors]\ndropped_frames = 0.4\nlate_frames = 0.1\n"
    ),
    "mounted": "seeds = 2\n[sensors]\nmount_yaw = 0.05\nmount_z = 0.2\n",
    "recovering": (
        'mode = "recovery"\n[start]\nlateral = { values = [0.2, 0.8] }\n'
        "[recovery]\nwithin_time = 0.8\nheld = 0.2\nwithin_heading = 1.0\n"
    ),
    "free": '[speed]\nmode = "free"\nlimit = 6.0\n',
    "restarting": 'dt = 0.05\nmode = "restart"\n[endings]\nmax_lateral = 0.4\n',
}

pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture(autouse=True)
def _quiet(caplog):
    caplog.set_level(logging.ERROR)  # the ground is assumed flat where nothing was baked


@pytest.fixture(scope="module")
def suite(road_trace, tmp_path_factory):
    folder = tmp_path_factory.mktemp("suite")
    roads = [road_trace]
    roads += [
        write_road(folder / name, fov=fov, size=size, camera=name)
        for name, fov, size in (("dash", 0.9, (40, 60)), ("roof", 1.4, (48, 64)))
    ]
    traces = json.dumps([str(road) for road in roads])
    for name, text in SUITE.items():
        head = f'format = "vista-scenario/1"\nname = "{name}"\ntraces = {traces}\n'
        (folder / f"{name}.toml").write_text(head + "time_limit = 1.2\n" + text)
    path = folder / "suite.toml"
    listed = "".join(f'[[scenarios]]\npath = "{name}.toml"\n' for name in SUITE)
    path.write_text(f'format = "vista-suite/1"\nname = "all"\n{listed}')
    return path


def many(suite, num_envs=COUNT, **options):
    return gymnasium.make_vec(
        ID,
        num_envs=num_envs,
        vectorization_mode="vector_entry_point",
        scenario=suite,
        **({"size": SIZE} | options),
    )


def loop(suite, num_envs=COUNT, autoreset_mode="NextStep", **options):
    options = {"size": SIZE, "text_infos": False} | options
    make = lambda: scenario_env(suite, **options)  # noqa: E731
    return SyncVectorEnv([make] * num_envs, autoreset_mode=autoreset_mode)


@pytest.mark.parametrize(
    ("mode", "options"),
    [
        ("NextStep", {}),
        ("SameStep", {"copy": False}),
        ("Disabled", {"workers": 1}),
        ("NextStep", {"observe": "state"}),
    ],
)
def test_it_gives_the_same_bytes_as_single_environments(suite, mode, options):
    singles = {name: value for name, value in options.items() if name == "observe"}
    ours = many(suite, autoreset_mode=mode, text_infos=False, **({"workers": 3} | options))
    theirs = loop(suite, autoreset_mode=mode, **singles)
    rng = np.random.default_rng(3)
    first = ours.reset(seed=7)
    assert_same(first, theirs.reset(seed=7))
    cases = ours.envs[0].episodes.cases
    seen, endings = {cases[i].scenario for i in first[1]["case_index"]}, set()
    for _ in range(90):
        actions = rng.uniform(-0.4, 0.4, ours.action_space.shape).astype(np.float32)
        step = ours.step(actions)
        assert_same(step, theirs.step(actions))
        seen |= {cases[i].scenario for i in step[4]["case_index"]}
        endings |= {ENDINGS[i] for i in step[4].get("final_info", step[4])["ending_code"]}
        over = step[2] | step[3]
        if mode == "Disabled" and over.any():
            again = [envs.reset(options={"reset_mask": over.copy()}) for envs in (ours, theirs)]
            assert_same(*again)
    assert seen == set(SUITE)
    assert {"off_road", "time_limit", "recovered", "not_recovered"} <= endings
    ours.close()
    theirs.close()


def test_cases_can_be_named_and_are_drawn_as_single_environments_draw_them(suite):
    ours, single = many(suite, 3), scenario_env(suite, size=SIZE)
    drawn = ours.reset(seed=11)[1]["case_index"].tolist()
    names = [single.reset(seed=11 + i)[1]["case"] for i in range(3)]
    assert [single.episodes.cases[i].case for i in drawn] == names
    assert set(ours.reset(options={"case": 4})[1]["case_index"]) == {4}
    with pytest.raises(WorldError, match="index below"):
        ours.reset(options={"case": -1})
    ours.close()


def test_copies_stay_as_they_are_and_shared_arrays_are_overwritten(suite):
    for copy in (True, False):
        envs = many(suite, copy=copy)
        first = envs.reset(seed=0)[0]["camera"]
        before = first.tobytes()
        second = envs.step(np.zeros(envs.action_space.shape))[0]["camera"]
        assert (second is first) is not copy
        assert (first.tobytes() == before) is copy
        envs.close()


def test_traces_of_all_cars_stay_open_and_are_shared(suite):
    envs = many(suite, 12)
    envs.reset(seed=0)
    at_first = {env.episodes.case.trace: env.world.cameras for env in envs.unwrapped.envs}
    assert len(at_first) == 3
    envs.reset(seed=1)
    for env in envs.unwrapped.envs:
        assert env.world.cameras is at_first[env.episodes.case.trace]
    envs.close()


def test_pictures_are_those_of_single_environments(suite):
    envs = many(suite, 2, render_mode="rgb_array")
    envs.reset(seed=4)
    steer = np.zeros(envs.action_space.shape, dtype=np.float32)
    envs.step(steer)
    for i, picture in enumerate(envs.render()):
        single = scenario_env(suite, size=SIZE, render_mode="rgb_array")
        single.reset(seed=4 + i)
        single.step(steer[i])
        assert np.array_equal(single.render(), picture)
    envs.close()


def test_gymnasiums_wrappers_work_with_it(suite):
    envs = gymnasium.wrappers.vector.RecordEpisodeStatistics(many(suite, 2))
    envs.reset(seed=0)
    lengths = []
    for _ in range(40):
        *_, infos = envs.step(np.zeros(envs.action_space.shape))
        if "episode" in infos:
            lengths += infos["episode"]["l"][infos["_episode"]].tolist()
    assert lengths
    assert max(lengths) <= 15
    envs.close()


def test_stable_baselines3_gets_what_its_own_loop_gives(suite):
    pytest.importorskip("stable_baselines3")
    from stable_baselines3.common.vec_env import DummyVecEnv

    from vista_sim.envs.sb3 import as_vec_env

    ours = as_vec_env(many(suite, 3))
    theirs = DummyVecEnv([lambda: scenario_env(suite, size=SIZE)] * 3)
    assert ours.seed(4) == theirs.seed(4)
    assert_same(ours.reset(), dict(theirs.reset()))
    ended = 0
    for _ in range(30):
        actions = np.full((3, 2), 0.1, dtype=np.float32)
        (seen, rewards, dones, infos), expected = ours.step(actions), theirs.step(actions)
        assert_same((dict(seen), rewards, dones), (dict(expected[0]), *expected[1:3]))
        for info, other in zip(infos, expected[3], strict=True):
            assert set(info) == set(other)
            assert info["case"] == other["case"]
            assert info["TimeLimit.truncated"] == other["TimeLimit.truncated"]
            if "terminal_observation" in info:
                assert_same(info["terminal_observation"], other["terminal_observation"])
                ended += 1
    assert ended >= 3


def test_what_cannot_be_is_refused(suite, tmp_path):
    with pytest.raises(WorldError, match="num_envs is 0"):
        many(suite, 0)
    with pytest.raises(WorldError, match="'human'"):
        many(suite, render_mode="human")
    with pytest.raises(ScenarioError, match=r"none\.toml"):
        many(tmp_path / "none.toml")
    envs = many(suite, 2)
    with pytest.raises(WorldError, match="call reset before"):
        envs.step(np.zeros(envs.action_space.shape))
    envs.reset(seed=0)
    with pytest.raises(WorldError, match="action of environment 1"):
        envs.step(np.array([[0.0, 0.0], [np.nan, 0.0]]))
    envs.close()
