"""Tasks by name: what scenarios say of them, others bring along, and what is refused.

What every task must be stands in tests/contracts.
"""

import json
import logging

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import SyncVectorEnv
from same_bytes import assert_same

import vista_sim
from vista_sim.envs.lane_following import lane_following_env
from vista_sim.envs.scenario import scenario_env
from vista_sim.errors import ScenarioError, VistaError, WorldError
from vista_sim.runs.run import read_run
from vista_sim.scenarios.suite import load_suite
from vista_sim.tasks import registry
from vista_sim.tasks.endings import CRASH, CUT, Ending
from vista_sim.tasks.lane_following import LaneFollowing, Rewards
from vista_sim.tasks.registry import find_task, known_tasks, make_task, register

LANE_FOLLOWING, SCENARIO = "VistaSim/LaneFollowing-v0", "VistaSim/Scenario-v0"
TASKS = known_tasks()
CARS = 4

pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture(autouse=True)
def _quiet(caplog):
    caplog.set_level(logging.ERROR)  # the ground is assumed flat where nothing was baked


def scenario(folder, trace, task):
    """A scenario file of a task; its cars choose their speed, and its episodes are short."""
    text = f'format = "vista-scenario/1"\nname = "{folder.name}"\ntask = "{task}"\n'
    text += f"traces = {json.dumps(str(trace))}\ntime_limit = 1.5\n"
    path = folder / f"{task}.toml"
    path.write_text(text + '[speed]\nmode = "free"\n[start]\nlateral = { values = [-1, 0.5] }\n')
    return path


def compare(ours, theirs, steps=40):
    """A vector environment of this project and Gymnasium's own, of single ones."""
    rng, over = np.random.default_rng(4), 0
    first = ours.reset(seed=7)
    assert_same(first, theirs.reset(seed=7))
    for _ in range(steps):
        actions = rng.uniform(-0.5, 0.4, ours.action_space.shape).astype(np.float32)
        step = ours.step(actions)
        assert_same(step, theirs.step(actions))
        over += int((step[2] | step[3]).sum())
    assert over > CARS
    ours.close()
    theirs.close()


def test_cases_of_several_tasks_stand_beside_each_other(road_trace, tmp_path):
    entries = []
    for name in TASKS:
        path = scenario(tmp_path, road_trace, name)
        entries.append(f'[[scenarios]]\npath = "{path.name}"\nname = "{name}"\n')
    suite = tmp_path / "suite.toml"
    suite.write_text('format = "vista-suite/1"\nname = "all"\n' + "".join(entries))
    settings = {"scenario": suite, "observe": "state"}
    many = gymnasium.make_vec(
        SCENARIO, num_envs=6, vectorization_mode="vector_entry_point", **settings
    )
    assert {name for env in many.envs for name in env.terms} == {
        term for name in TASKS for term in make_task(name).terms
    }
    compare(many, SyncVectorEnv([lambda: scenario_env(text_infos=False, **settings)] * 6))
    run = tmp_path / "run"
    vista_sim.evaluate("expert", suite, run, video=False, workers=0)
    told = read_run(run)
    assert set(told.episodes["scenario"].to_pylist()) == set(TASKS)
    assert {f"reward_{term}" for term in many.envs[0].terms} <= set(told.steps.column_names)
    for row in told.episodes.to_pylist():
        endings = make_task(row["scenario"]).endings
        assert row["ending_kind"] == {one.name: one.kind for one in endings}[row["ending"]]


PARKING = '''
from dataclasses import dataclass, field

import numpy as np

from vista_sim.dynamics import state as c
from vista_sim.quantities import number
from vista_sim.tasks.endings import Ending, Endings
from vista_sim.tasks.task import Task, Weights, weight


@dataclass(frozen=True)
class Far(Endings):
    far: float = number(3.0, 0.1, 100.0, "m")


@dataclass(frozen=True)
class Worth(Weights):
    metres: float = weight(2.0)


@dataclass(frozen=True)
class Get(Task):
    """Get some metres far."""

    limits: Far = field(default_factory=Far)
    rewards: Worth = field(default_factory=Worth)
    terms = ("metres",)
    endings = (Ending("lost", "crash"), Ending("there", "success"), Ending("time_limit", "cut"))

    def judge(self, table, rows, dt, terms, codes):
        terms[rows, 0] = self.rewards.metres * table[rows, c.PROGRESS]
        late = table[rows, c.TIME] >= (self.limits.time_limit or np.inf) - 1e-9
        there = table[rows, c.S] - table[rows, c.START_S] >= self.limits.far
        lost = (table[rows, c.IN_REACH] == 0) | (table[rows, c.S] >= table[rows, c.END_S] - 1e-6)
        codes[rows] = np.select([lost, there, late], [1, 2, 3], 0)
'''


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A package that brings a task along, as `pip install` leaves it."""
    monkeypatch.setattr(registry, "_tasks", registry._tasks.copy())
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "far_task.py").write_text(PARKING)
    about = tmp_path / "far_task-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: far-task\nVersion: 1.0\n")
    lines = (
        "[vista_sim.tasks]\nget-far = far_task:Get\nbroken = far_task:Gone\nwrong = json:loads\n"
    )
    (about / "entry_points.txt").write_text(lines)


@pytest.mark.usefixtures("installed")
def test_an_installed_package_brings_its_task_along(road_trace, tmp_path):
    assert "get-far" in known_tasks()
    env = lane_following_env(
        road_trace,
        task="get-far",
        observe="state",
        endings={"far": 11.9},
        rewards={"metres": 1.0},
        reset_mode="start",
    )
    env.reset(seed=0)
    rewards, over = [], False
    while not over:
        _, reward, terminated, truncated, info = env.step(np.zeros(1, np.float32))
        rewards.append(reward)
        over = terminated or truncated
    assert (terminated, truncated, info["ending"], info["ending_code"]) == (True, False, "there", 2)
    assert sum(rewards) == pytest.approx(info["s"])
    assert info["s"] == pytest.approx(12.0)  # 0.8 m a step
    path = tmp_path / "far.toml"
    path.write_text(
        f'format = "vista-scenario/1"\nname = "far"\ntraces = {json.dumps(str(road_trace))}\n'
        '[task]\nname = "get-far"\n[task.rewards]\nmetres = { values = [1, 2] }\n'
        '[endings]\nfar = "790 cm"\n'
    )
    run = tmp_path / "run"
    vista_sim.evaluate("expert", path, run, video=False, workers=0)
    rows = read_run(run).episodes.to_pylist()
    assert [row["ending_kind"] for row in rows] == ["success", "success"]
    assert [row["reward"] / row["end_s"] for row in rows] == pytest.approx([1.0, 2.0])
    assert {round(row["end_s"], 1) for row in rows} == {8.0}


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("broken", r"task 'broken' \(far_task:Gone\) cannot be loaded \(.*Gone"),
        ("wrong", r"'wrong' \(json:loads\) cannot be loaded \(loads is no task; derive"),
        (
            "get-fat",
            r"no task 'get-fat'; did you mean 'get-far'\? known are broken, get-far,",
        ),
    ],
)
def test_a_task_that_cannot_be_is_named(road_trace, name, said):
    with pytest.raises(WorldError, match=said):
        vista_sim.World([road_trace], task=name)


def test_a_program_adds_a_task_once(monkeypatch):
    monkeypatch.setattr(registry, "_tasks", registry._tasks.copy())

    class Other(LaneFollowing):
        pass

    with pytest.raises(WorldError, match="there is a task 'lane-following' already"):
        register("lane-following", Other)
    register("other", Other)
    register("other", Other)
    assert isinstance(make_task("other", rewards={"survive": 2}), Other)
    with pytest.raises(WorldError, match="name of a task is 'to stop'"):
        register("to stop", Other)
    with pytest.raises(WorldError, match="Rewards is no task"):
        register("rewards", Rewards)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"rewards": {"survival": 1.0}}, "rewards has 'survival'; known are survive, progress"),
        ({"rewards": {"survive": "much"}}, "reward weight survive is 'much'; it must be a number"),
        ({"rewards": 3}, r"rewards is 3; give Rewards\(...\) of .*, or a mapping of its fields"),
        ({"endings": {"max_width": 1.0}}, "endings has 'max_width'; known are max_lateral"),
        ({"task": 3}, "task is 3; give a name"),
        ({"task": LaneFollowing(), "rewards": {}}, "rewards is given beside a task"),
        ({"task": "stop-at-end", "rewards": Rewards()}, r"give StopRewards\(...\)"),
        ({"task": "stop-at-end", "control_speed": False}, "cars must choose their speed"),
    ],
)
def test_what_is_wrong_with_a_task_is_one_line(road_trace, given, said):
    with pytest.raises(WorldError, match=said) as caught:
        lane_following_env(road_trace, observe="state", **given)
    assert "\n" not in str(caught.value)


def test_of_a_task_that_is_unknown_nothing_else_is_told(road_trace, tmp_path):
    path = tmp_path / "one.toml"
    head = f'format = "vista-scenario/1"\nname = "one"\ntraces = {json.dumps(str(road_trace))}\n'
    path.write_text(head + 'task = "stop"\n[endings]\nwithin = 3\n')
    with pytest.raises(ScenarioError) as caught:
        load_suite(path)
    said = str(caught.value)
    assert said == f"{path}:4: task.name: there is no task 'stop'; known are {', '.join(TASKS)}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('task = "lane-folowing"', r"task.name: there is no task 'lane-folowing'; did you mean"),
        ("task = 3", r"task: is 3; it must be a table"),
        ('task = "stop-at-end"', r'speed.mode: is "recorded"; the task stop-at-end needs mode = '),
        ("[endings]\nwithin = 3", r"endings.within: is an unknown key; known: max_lateral"),
        ("[endings]\ntime_limit = 3", r"endings.time_limit: is unknown here; it belongs into the"),
        ("[task.rewards]\nstop = 3", r"task.rewards.stop: is an unknown key; known: survive"),
        (
            '[task]\nname = "stop-at-end"\n[task.rewards]\nstop = "3 m"\n[speed]\nmode = "free"',
            r"task.rewards.stop: is '3 m': its unit must be a number without a unit",
        ),
        (
            'task = "stop-at-end"\n[speed]\nmode = "free"\n[endings]\nwithin = "3 kg"',
            r"one.toml:8: endings.within: is '3 kg': its unit must be ",
        ),
    ],
)
def test_the_tables_of_a_file_are_those_of_its_task(road_trace, tmp_path, text, said):
    path = tmp_path / "one.toml"
    path.write_text(
        f'format = "vista-scenario/1"\nname = "one"\ntraces = {json.dumps(str(road_trace))}\n{text}'
    )
    with pytest.raises(ScenarioError, match=said):
        load_suite(path)


def test_what_tasks_are_made_of_is_at_hand():
    assert vista_sim.Rewards is Rewards
    assert vista_sim.LaneFollowing is LaneFollowing
    assert vista_sim.Ending is Ending
    assert issubclass(find_task("stop-at-end"), LaneFollowing)
    assert vista_sim.Task in LaneFollowing.__mro__
    task = make_task("lane-following", {"time_limit": 5}, {"comfort": 0.0})
    assert task == LaneFollowing(vista_sim.Endings(time_limit=5), Rewards(comfort=0.0))


def test_an_ending_is_of_a_kind_that_there_is():
    for name, kind in (("off road", CRASH), (3, CUT), ("off_road", "failure")):
        with pytest.raises(VistaError):
            Ending(name, kind)


def test_endings_of_one_task_have_different_names():
    class Twice(LaneFollowing):
        endings = (Ending("off_road", CRASH), Ending("off_road", CUT))

    with pytest.raises(WorldError, match="have a name twice: off_road, off_road"):
        make_task(Twice())
