"""One kill each of a few commands, in the middle of what they write; `make kill` has 200."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import suite_files
from test_kitti import write_kitti

from vista_sim.cli import main
from vista_sim.runs.run import read_run
from vista_sim.traces.trace import Trace

VICTIM = Path(__file__).resolve().parent / "kill" / "victim.py"


def killed(folder, operation, *arguments):
    """Run a command that ends itself by SIGKILL at a file operation below a folder."""
    counter = folder.parent / "count"
    command = [sys.executable, VICTIM, counter, operation, folder, "vista-sim", *arguments]
    ended = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=300)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert not counter.exists()


def contents(folder):
    """Bytes of all files that are no hidden ones, by their places."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name[0] != ".")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def run(*arguments):
    """Run a command in this process. An evaluation ends with the status of its suite."""
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    assert ended.value.code in (None, 0, 1)


def test_an_import_that_is_killed_keeps_the_trace_that_it_was_to_replace(tmp_path):
    write_kitti(tmp_path / "kitti")
    place = tmp_path / "place"
    command = ["import", "kitti-odometry", tmp_path / "kitti", place / "drive"]
    run(*command)
    wanted = contents(place)
    killed(place, 4, *command, "--overwrite")
    assert contents(place / "drive") == {name[6:]: data for name, data in wanted.items()}
    assert len(os.listdir(place)) == 2  # what was half-written is beside it
    run(*command, "--overwrite")
    assert contents(place) == wanted
    assert os.listdir(place) == ["drive"]


def test_a_bake_that_is_killed_goes_on_to_the_same_geometry(tiny_trace, tmp_path):
    for name in ("undisturbed", "killed"):
        shutil.copytree(tiny_trace, tmp_path / name / "drive")
    given = ("--geometry", "multiview", "--workers", "1")
    run("bake", tmp_path / "undisturbed" / "drive", *given)
    killed(tmp_path / "killed", 8, "bake", tmp_path / "killed" / "drive", *given)
    with Trace.open(tmp_path / "killed" / "drive") as trace:
        assert trace.cameras["front"].frame_count == 31
    run("bake", tmp_path / "killed" / "drive", *given)
    assert contents(tmp_path / "killed") == contents(tmp_path / "undisturbed")


@pytest.mark.parametrize("more", [(), ("--overwrite",)])
def test_an_evaluation_that_is_killed_leaves_a_run_to_go_on_with(road_trace, tmp_path, more):
    suite = suite_files.scenario(
        tmp_path, road_trace, top=["time_limit = 1.0", "seeds = 2"], section=["time = [3.0, 8.0]"]
    )
    given = ("evaluate", "--policy", "expert", "--suite", suite, "--no-video")
    run(*given, "--out", tmp_path / "undisturbed")
    place = tmp_path / "place"
    place.mkdir()
    if more:
        run(*given, "--out", place / "run")
    killed(place, 14, *given, "--out", place / "run", *more)
    assert read_run(place / "run").info["status"] in ("running", "complete")
    run(*given, "--out", place / "run", "--resume")
    found, wanted = read_run(place / "run"), read_run(tmp_path / "undisturbed")
    for table in ("steps", "episodes", "frames", "roads"):
        assert getattr(found, table).equals(getattr(wanted, table))
    assert os.listdir(place) == ["run"]
