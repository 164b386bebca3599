"""A sample's name stands for its trace wherever a trace is asked for."""

import json
import pickle
import shutil
from pathlib import Path

import gymnasium
import pytest

import vista_sim
from vista_sim.cli import main
from vista_sim.drive.course import read_target
from vista_sim.errors import ScenarioError, TraceError
from vista_sim.scenarios.library import find_drive
from vista_sim.scenarios.suite import load_suite
from vista_sim.traces.samples import find_trace
from vista_sim.traces.trace import Trace

ASSETS = Path(__file__).resolve().parents[1] / "assets"
NAME = "proving-ground-unseen"
SCENARIO = 'format = "vista-scenario/1"\nname = "one"\ntime_limit = 2.0\ntraces = "NAME"\n'


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    """Where no folder has the name of a sample."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", ["proving-ground", NAME])
def test_a_name_opens_the_sample(name):
    assert Trace.open(name).root == ASSETS / name
    assert Trace.open(f"sample:{name}") is Trace.open(ASSETS / name)
    assert pickle.loads(pickle.dumps(Trace.open(name))).root == ASSETS / name


def test_cameras_worlds_and_environments_take_a_name():
    camera = vista_sim.Camera(NAME, "front", size=(12, 20))
    assert camera.trace.root == ASSETS / NAME
    assert [t.root.name for t in vista_sim.World([NAME, "proving-ground"]).traces] == [
        NAME,
        "proving-ground",
    ]
    env = gymnasium.make("VistaSim/LaneFollowing-v0", traces=NAME, size=(12, 20))
    assert env.observation_space["camera"].shape == (12, 20, 3)
    env.close()


def test_commands_take_a_name(tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["info", NAME, "--json"])
    assert stop.value.code == 0
    assert json.loads(capsys.readouterr().out)["duration"] == pytest.approx(32.0)
    assert read_target(NAME, 0.05, None).traces == (ASSETS / NAME,)


def test_a_viewer_takes_a_name():
    pytest.importorskip("rerun")
    from vista_sim.replay.viewer.commands import _open

    assert _open([Path(NAME)], "", points=False).trace.root == ASSETS / NAME


def test_a_folder_of_that_name_comes_before_the_sample(tiny_trace, tmp_path):
    shutil.copytree(tiny_trace, tmp_path / NAME)
    assert Trace.open(NAME).root == tmp_path / NAME
    assert Trace.open(f"sample:{NAME}").root == ASSETS / NAME


def test_a_folder_of_that_name_that_is_no_trace_is_told_from_the_sample(tmp_path):
    (tmp_path / NAME).mkdir()
    with pytest.raises(TraceError, match=f"the sample trace of that name is sample:{NAME}"):
        Trace.open(NAME)


@pytest.mark.parametrize("name", ["proving-grond", "Proving-Ground", "road"])
def test_a_misspelt_name_lists_the_samples(name):
    with pytest.raises(TraceError, match=r"sample traces: proving-ground, proving-ground-unseen"):
        Trace.open(name)


@pytest.mark.parametrize("path", ["drives/proving-ground", "./proving-ground", "proving-ground/"])
def test_a_path_is_no_name(path):
    with pytest.raises(TraceError, match="no such folder; a trace is a folder"):
        find_trace(path)


def test_a_name_may_be_of_a_scenario_or_of_a_sample(tmp_path):
    assert find_drive("lane-following") is None
    assert find_drive(NAME) == ASSETS / NAME
    (tmp_path / NAME).write_text("a file")  # is what is meant, and read as a scenario
    assert find_drive(NAME) is None
    with pytest.raises(ScenarioError, match=r"lane-following.*sample traces: proving-ground"):
        find_drive("nonsense")


def test_a_scenario_takes_a_name_unless_a_folder_of_it_lies_beside_the_file(tiny_trace, tmp_path):
    folder = tmp_path / "scenarios"
    folder.mkdir()
    (folder / "one.toml").write_text(SCENARIO.replace("NAME", NAME))
    (tmp_path / NAME).mkdir()  # not beside the file
    assert {case.trace for case in load_suite(folder / "one.toml").cases()} == {ASSETS / NAME}
    shutil.copytree(tiny_trace, folder / NAME)
    assert {case.trace for case in load_suite(folder / "one.toml").cases()} == {folder / NAME}


def test_a_scenario_with_a_misspelt_name_lists_the_samples(tmp_path):
    (tmp_path / "one.toml").write_text(SCENARIO.replace("NAME", "proving-grond"))
    with pytest.raises(ScenarioError, match=r"sample traces: proving-ground"):
        load_suite(tmp_path / "one.toml")
