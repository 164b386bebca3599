"""What is judged or learned on views of a trace that is not baked: refused, baked, or as it is."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from vista_agents.cli import main as train

from vista_sim.cli import main
from vista_sim.geometry.store import GeometryStore
from vista_sim.policies import Action, CameraSpec
from vista_sim.traces.trace import Trace

POLICY = "test_readiness:Looking"
SUITE = 'format = "vista-scenario/1"\nname = "short"\ntraces = "drive"\ntime_limit = 1.0\n'


class Looking:
    """Follows the tiny trace's circle, and sees a view."""

    camera = CameraSpec(size=(12, 20))

    def reset(self):
        pass

    def act(self, observation, car=None):
        return Action(car.path.curvature(car.s))


@pytest.fixture
def drive(tiny_trace, tmp_path, monkeypatch) -> Path:
    """A trace without geometry, `drive` in the working directory."""
    monkeypatch.delenv("VISTA_SIM_UNBAKED")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "drive"
    shutil.copytree(tiny_trace, folder, ignore=shutil.ignore_patterns("geometry"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "short.toml").write_text(SUITE)
    return folder


def passed(capsys, command, *args):
    """What a command that ends well prints."""
    with pytest.raises(SystemExit) as stop:
        command([str(arg) for arg in args])
    assert stop.value.code == 0
    return capsys.readouterr().out


def refused(capsys, command, *args):
    with pytest.raises(SystemExit) as stop:
        command([str(arg) for arg in args])
    assert stop.value.code == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    return line


COMMANDS = {
    "suite": (main, ["evaluate", "--suite", "short.toml", "--policy", POLICY, "--workers", "0"]),
    "traces": (main, ["evaluate", "--traces", "drive", "--policy", POLICY, "--no-recovery"]),
    "drive": (main, ["drive", "drive", "--port", "0", "--no-open"]),
    "guided": (train, ["guided", "--traces", "drive", "--out", "policy"]),
    "shifted": (train, ["bc", "--traces", "drive", "--out", "policy", "--shift.lateral", "1"]),
    "reward": (train, ["reinforce", "--traces", "drive", "--out", "policy"]),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_views_of_an_unbaked_trace_are_refused_with_the_command_to_run(drive, capsys, name):
    command, args = COMMANDS[name]
    said = refused(capsys, command, *args)
    assert "is not baked" in said
    assert f"run: vista-sim bake {drive} " in said
    assert "--bake" in said
    assert "--unbaked" in said
    assert sorted(p.name for p in drive.parent.iterdir()) == ["drive", "short.toml"]


def test_the_command_in_the_refusal_mends_it(drive, capsys):
    command, args = COMMANDS["traces"]
    said = refused(capsys, command, *args)
    mend = re.search(r"run: (vista-sim bake \S+)", said)[1]
    program = [str(Path(sys.executable).with_name("vista-sim")), *shlex.split(mend)[1:]]
    subprocess.run(program, check=True, capture_output=True)
    assert "closed loop" in passed(capsys, command, *args)


def test_bake_bakes_first_and_unbaked_takes_it_as_it_is(drive, capsys):
    _, args = COMMANDS["suite"]
    with pytest.raises(SystemExit) as stop:
        main([*args, "--unbaked"])
    assert stop.value.code in (0, 1)
    assert not (drive / "geometry").exists()
    with pytest.raises(SystemExit) as stop:
        main([*args, "--bake"])
    assert stop.value.code in (0, 1)
    trace = Trace.open(drive)
    (camera,) = trace.cameras
    assert GeometryStore.find(trace, camera) is not None
    assert "choose one" in refused(capsys, main, *args, "--bake", "--unbaked")


def test_flat_ground_that_was_asked_for_is_geometry(drive, capsys):
    passed(capsys, main, "bake", "drive", "--geometry", "ground")
    command, args = COMMANDS["traces"]
    assert "closed loop" in passed(capsys, command, *args)


def test_the_expert_who_sees_no_views_needs_no_geometry(drive, capsys):
    args = ("evaluate", "--traces", "drive", "--policy", "expert", "--no-recovery")
    assert "closed loop" in passed(capsys, main, *args)


def test_damaged_geometry_is_told_and_baked_anew(drive, capsys):
    passed(capsys, main, "bake", "drive", "--geometry", "ground")
    (description,) = drive.glob("geometry/*/geometry.json")
    description.write_text("{")
    command, args = COMMANDS["traces"]
    assert "bake" in refused(capsys, command, *args)
    passed(capsys, command, *args, "--bake")
    trace = Trace.open(drive)
    store = GeometryStore.find(trace, next(iter(trace.cameras)))
    assert np.isfinite(store.poses).all()
