"""Runs on disk: written as they go, readable after a kill, kept from accidents."""

import json
import signal
import subprocess
import sys

import pyarrow.parquet as pq
import pytest

from vista_sim.errors import RunError
from vista_sim.runs import writer as run_writer
from vista_sim.runs.run import columns, read_run
from vista_sim.runs.writer import RunWriter


def write(folder, count=5, **options):
    with RunWriter(folder, {"what": "a test"}, ("survive",), **options) as writer:
        for i in range(count):
            writer.steps.append({"episode": 0, "step": i, "t": 0.1 * i, "reward_survive": 1.0})
            if i == 2:
                writer.flush()
        writer.episodes.append({"episode": 0, "trace": 0, "ending": "end_of_trace"})
        writer.finish({"crashes": 0})
    return folder


def test_what_is_written_is_read_back(tmp_path):
    run = read_run(write(tmp_path / "run"))
    assert run.info["format"] == "vista-run/1"
    assert run.info["status"] == "complete"
    assert run.info["results"] == {"crashes": 0}
    assert run.info["versions"]["vista-sim"]
    assert run.steps.column("step").to_pylist() == [0, 1, 2, 3, 4]
    assert run.steps.column("reward_survive").to_pylist() == [1.0] * 5
    assert columns(run.episodes)["ending"].tolist() == ["end_of_trace"]
    names = {path.name for path in (tmp_path / "run").iterdir()}
    tables = ("episodes", "steps", "timings", "frames")
    assert names == {"run.json", *(f"{table}.parquet" for table in tables)}
    assert (tmp_path / "run" / "steps.parquet").is_file()
    assert pq.read_table(tmp_path / "run" / "steps.parquet").num_rows == 5


def test_a_killed_run_is_readable_with_any_parquet_reader(tmp_path):
    program = f"""
import os, signal
from vista_sim.runs.writer import RunWriter
writer = RunWriter({str(tmp_path / "run")!r}, {{"what": "a test"}})
for i in range(10):
    writer.steps.append({{"episode": 0, "step": i, "t": 0.1 * i}})
    if i in (3, 7):
        writer.flush()
os.kill(os.getpid(), signal.SIGKILL)
"""
    killed = subprocess.run([sys.executable, "-c", program], check=False)
    assert killed.returncode == -signal.SIGKILL
    run = read_run(tmp_path / "run")
    assert run.info["status"] == "running"
    assert run.steps.column("step").to_pylist() == list(range(8))
    assert run.episodes.num_rows == 0
    assert pq.read_table(tmp_path / "run" / "steps.parquet").num_rows == 8


def test_a_kill_while_tables_are_merged_loses_nothing(tmp_path, monkeypatch):
    replace = run_writer.os.replace

    def stop_at_the_last_step(source, destination):
        if str(destination).endswith("steps.parquet"):
            raise KeyboardInterrupt
        replace(source, destination)

    monkeypatch.setattr(run_writer.os, "replace", stop_at_the_last_step)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "run")
    assert read_run(tmp_path / "run").steps.num_rows == 5


@pytest.mark.parametrize(
    ("error", "status"), [(KeyboardInterrupt, "interrupted"), (ValueError, "failed")]
)
def test_an_error_keeps_what_was_driven(tmp_path, error, status):
    def fail():
        with RunWriter(tmp_path / "run", {}) as writer:
            writer.steps.append({"episode": 0, "step": 0, "t": 0.0})
            raise error

    with pytest.raises(error):
        fail()
    run = read_run(tmp_path / "run")
    assert run.info["status"] == status
    assert run.steps.num_rows == 1


def test_what_is_there_is_not_written_over_by_accident(tmp_path):
    write(tmp_path / "run")
    with pytest.raises(RunError, match="is there already"):
        RunWriter(tmp_path / "run", {})
    write(tmp_path / "run", count=3, overwrite=True)
    assert read_run(tmp_path / "run").steps.num_rows == 3
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "thesis.tex").write_text("years of work")
    with pytest.raises(RunError, match="holds no run"):
        RunWriter(tmp_path / "thesis", {}, overwrite=True)
    assert (tmp_path / "thesis" / "thesis.tex").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="no folder"):
        RunWriter(tmp_path / "file", {}, overwrite=True)


def test_an_empty_folder_may_be_used(tmp_path):
    assert read_run(write(tmp_path)).steps.num_rows == 5


def test_without_a_folder_the_tables_stay_in_memory():
    with RunWriter(None, {}) as writer:
        writer.steps.append({"episode": 0, "step": 1})
        writer.flush()
        writer.steps.append({"episode": 0, "step": 2})
        assert writer.steps.table().column("step").to_pylist() == [1, 2]
        assert writer.views is None
        writer.finish({})


def spoil(folder, name, text):
    (folder / name).write_text(text)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "run.json").unlink(), r"run\.json: not found"),
        (lambda f: spoil(f, "run.json", "{"), r"run\.json: cannot be read as JSON"),
        (lambda f: spoil(f, "run.json", "[]"), r"run\.json: format is None"),
        (lambda f: spoil(f, "run.json", json.dumps({"format": "vista-run/2"})), "vista-run/2"),
        (lambda f: (f / "steps.parquet").unlink(), r"steps\.parquet: not found"),
        (lambda f: spoil(f, "steps.parquet", "PAR1"), r"steps\.parquet: cannot be read"),
    ],
)
def test_damaged_runs_are_reported(tmp_path, damage, message):
    write(tmp_path / "run")
    damage(tmp_path / "run")
    with pytest.raises(RunError, match=message):
        read_run(tmp_path / "run")


def test_a_run_whose_views_lead_elsewhere_is_not_gone_on_with(tmp_path):
    """Nor is what lies there touched when the run is replaced."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "film.mp4").write_bytes(b"mine")
    with RunWriter(tmp_path / "run", {}):
        pass
    (tmp_path / "run" / "views").symlink_to(outside)
    before = read_run(tmp_path / "run")
    with pytest.raises(RunError, match=r"run/views: is a link"):
        RunWriter(tmp_path / "run", {}, resumed=before)
    with RunWriter(tmp_path / "run", {}, overwrite=True):
        pass
    assert not (tmp_path / "run" / "views").exists()
    assert (outside / "film.mp4").read_bytes() == b"mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["outside", "run"]


def test_a_run_that_is_to_be_replaced_is_there_until_another_is(tmp_path, monkeypatch):
    with RunWriter(tmp_path / "run", {"name": "older"}) as writer:
        writer.finish({})

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("vista_sim.atomic.replace_folder", killed)
        with pytest.raises(KeyboardInterrupt):
            RunWriter(tmp_path / "run", {"name": "newer"}, overwrite=True)
    assert read_run(tmp_path / "run").info["name"] == "older"
    with RunWriter(tmp_path / "run", {"name": "newer"}, overwrite=True):
        pass
    assert read_run(tmp_path / "run").info["name"] == "newer"
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_what_comes_to_be_at_the_place_of_a_run_meanwhile_is_kept(tmp_path, monkeypatch):
    place, write_info = tmp_path / "run", run_writer._write_info

    def late(*arguments):
        write_info(*arguments)
        place.mkdir()
        (place / "thesis").write_text("years of work")

    monkeypatch.setattr(run_writer, "_write_info", late)
    with pytest.raises(RunError, match="run: holds no run"):
        run_writer._make_folder(place, True, {}, None)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    assert (place / "thesis").read_text() == "years of work"
