"""One process at a time writes into a folder, and one that was killed keeps nobody out."""

import subprocess
import sys

import pytest

from vista_sim.errors import RunError
from vista_sim.locks import Lock
from vista_sim.runs.run import read_run
from vista_sim.runs.writer import RunWriter

HOLDER = """
import sys
from pathlib import Path
from vista_sim.runs.writer import RunWriter
RunWriter(Path(sys.argv[1]), {"what": "of another process"})
print("writing", flush=True)
sys.stdin.read()
"""


def holding(folder):
    """Another process that writes a run, until it is killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "writing\n"
    return process


def test_a_run_that_another_process_writes_is_neither_joined_nor_replaced(tmp_path):
    folder = tmp_path / "run"
    other = holding(folder)
    try:
        before = sorted(path.name for path in folder.rglob("*"))
        with pytest.raises(RunError, match="another process is writing this run"):
            RunWriter(folder, {}, overwrite=True)
        with pytest.raises(RunError, match="another process is writing this run"):
            RunWriter(folder, {})
        assert sorted(path.name for path in folder.rglob("*")) == before
    finally:
        other.kill()
        other.wait()
    lock = tmp_path / ".run.lock"
    assert lock.exists()  # left behind, and held by nobody
    writer = RunWriter(folder, {"what": "mine"}, overwrite=True)
    writer.finish({})
    assert read_run(folder).info["what"] == "mine"
    assert not lock.exists()


def test_two_that_begin_at_the_same_moment_do_not_both_write(tmp_path):
    first = RunWriter(tmp_path / "run", {})
    (tmp_path / "run" / "run.json").unlink()  # as it is before anything was written
    for path in (tmp_path / "run").iterdir():
        if path.is_dir():
            path.rmdir()
    with pytest.raises(RunError, match="another process"):
        RunWriter(tmp_path / "run", {})
    first.__exit__(None, None, None)
    RunWriter(tmp_path / "run", {}).finish({})


def test_a_lock_is_held_once_and_goes_with_its_file(tmp_path):
    path = tmp_path / "lock"
    with Lock(path, RunError, "in use") as lock:
        with pytest.raises(RunError, match=r"^in use$"):
            Lock(path, RunError, "in use")
        lock.release()
        with Lock(path, RunError, "in use"):
            assert path.exists()
    assert not path.exists()
    with pytest.raises(RunError, match="cannot be written"):
        Lock(tmp_path / "none" / "lock", RunError, "in use")
