"""Nothing half-written is left, whatever ends the writing."""

import errno
import os
import resource
import subprocess
import sys
import textwrap

import av
import numpy as np
import pyarrow.parquet as pq
import pytest
from tiny import START_NS, calibration, circle_motion, frame_of, write_tiny_trace

from vista_sim import atomic
from vista_sim.errors import TraceError
from vista_sim.traces.calibration import Vehicle
from vista_sim.traces.trace import Trace
from vista_sim.traces.video import VideoWriter
from vista_sim.traces.writer import TraceWriter

ABOUT = {"name": "t", "licence": "-", "source": "-", "vehicle": Vehicle()}


def write_ego(writer, seconds=1.0):
    t = np.arange(0, seconds, 0.02)
    position, quaternion, _ = circle_motion(t)
    ns = START_NS + np.round(t * 1e9).astype(np.int64)
    writer.write_ego(ns, position, quaternion, np.full(len(t), 8.0), np.full(len(t), 0.2))


def no_space(*_args, **_kwargs):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def no_space_in_av(*_args, **_kwargs):
    raise av.error.OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "front.mp4")


def interrupt(*_args, **_kwargs):
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (pq, "write_table"),
        (VideoWriter, "write"),
        (VideoWriter, "close"),
        (atomic.os, "mkdir"),
        (atomic.os, "replace"),
    ],
)
@pytest.mark.parametrize("failure", [no_space, no_space_in_av])
def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path, monkeypatch, owner, name, failure):
    monkeypatch.setattr(owner, name, failure)
    with pytest.raises(TraceError, match="no space left on the device") as caught:
        write_tiny_trace(tmp_path / "new" / "drive")
    monkeypatch.undo()
    assert str(tmp_path / "new" / "drive") in str(caught.value)
    assert ".part-" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_keeps_the_trace_that_was_to_be_overwritten(tmp_path, monkeypatch):
    write_tiny_trace(tmp_path / "drive", source="the old one")
    monkeypatch.setattr(VideoWriter, "close", no_space)
    with pytest.raises(TraceError, match="no space left"):
        write_tiny_trace(tmp_path / "drive", overwrite=True)
    monkeypatch.undo()
    assert Trace.open(tmp_path / "drive").source == "the old one"
    assert [p.name for p in tmp_path.iterdir()] == ["drive"]


def test_a_real_limit_on_file_size_is_one_line_and_leaves_nothing(tmp_path):
    script = f"""
        import resource
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
        import sys
        sys.path.insert(0, {os.path.dirname(__file__)!r})
        import numpy as np
        from tiny import write_tiny_trace
        from vista_sim.errors import VistaError
        import tiny
        rng = np.random.default_rng(0)
        tiny.frame_of = lambda i: rng.integers(0, 256, (47, 71, 3)).astype(np.uint8)
        try:
            write_tiny_trace({str(tmp_path / "drive")!r})
        except VistaError as error:
            print(error)
            sys.exit(2)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2, done.stderr
    assert done.stdout.count("\n") == 1
    assert "front.mp4: no space left on the device" in done.stdout
    assert list(tmp_path.iterdir()) == []
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


@pytest.mark.parametrize("failure", [KeyboardInterrupt, ValueError, SystemExit])
def test_any_error_leaves_nothing(tmp_path, failure):
    def write():
        with TraceWriter(tmp_path / "drive", **ABOUT) as writer:
            write_ego(writer)
            writer.add_camera("front", calibration(), 10.0).write(frame_of(0), START_NS)
            raise failure

    with pytest.raises(failure):
        write()
    assert list(tmp_path.iterdir()) == []


def test_the_destination_appears_only_when_the_trace_is_whole(tmp_path):
    with TraceWriter(tmp_path / "drive", **ABOUT) as writer:
        write_ego(writer)
        assert not (tmp_path / "drive").exists()
    assert (tmp_path / "drive" / "trace.json").exists()
    assert [p.name for p in tmp_path.iterdir()] == ["drive"]


def test_a_trace_is_overwritten_only_when_asked(tmp_path):
    write_tiny_trace(tmp_path / "drive", source="one")
    with pytest.raises(TraceError, match="drive: is there already"):
        write_tiny_trace(tmp_path / "drive", source="two")
    write_tiny_trace(tmp_path / "drive", source="two", overwrite=True)
    assert Trace.open(tmp_path / "drive").source == "two"
    assert [p.name for p in tmp_path.iterdir()] == ["drive"]


def test_what_is_no_trace_is_never_overwritten(tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "thesis.tex").write_text("years of work")
    with pytest.raises(TraceError, match="thesis: holds no trace"):
        write_tiny_trace(tmp_path / "thesis", overwrite=True)
    (tmp_path / "file").write_text("a file")
    with pytest.raises(TraceError, match="file: is there already and is no folder"):
        write_tiny_trace(tmp_path / "file", overwrite=True)
    assert (tmp_path / "thesis" / "thesis.tex").read_text() == "years of work"


@pytest.mark.parametrize(
    "name", ["../front", "a/b", "", ".", "..", "ego", "front cam", "é", "x" * 65]
)
def test_hostile_camera_names_are_refused(tmp_path, name):
    def write():
        with TraceWriter(tmp_path / "drive", **ABOUT) as writer:
            writer.add_camera(name, calibration(), 10.0)

    with pytest.raises(TraceError, match="drive: sensor name"):
        write()
    assert list(tmp_path.iterdir()) == []


def spoil_position(columns):
    columns["position"][20, 1] = np.nan


def spoil_time(columns):
    columns["t_ns"][[5, 6]] = columns["t_ns"][[6, 5]]


def spoil_length(columns):
    columns["speed"] = columns["speed"][:-1]


def spoil_unit(columns):
    columns["speed"] = columns["speed"] * 3.6


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (spoil_position, r"ego\.parquet: row 20: y is nan"),
        (spoil_time, r"ego\.parquet: row 6: t_ns .* time must increase"),
        (spoil_length, r"ego\.parquet: columns have different lengths"),
        (spoil_unit, r"ego\.parquet: speed is 3\.6. times"),
    ],
)
def test_a_wrong_motion_is_refused_when_it_is_written(tmp_path, spoil, message):
    t = np.arange(0, 5, 0.02)
    position, quaternion, _ = circle_motion(t)
    columns = {
        "t_ns": np.round(t * 1e9).astype(np.int64),
        "position": position,
        "quaternion": quaternion,
        "speed": np.full(len(t), 8.0),
        "yaw_rate": np.full(len(t), 0.2),
    }
    spoil(columns)

    def write():
        with TraceWriter(tmp_path / "drive", **ABOUT) as writer:
            writer.write_ego(**columns)

    with pytest.raises(TraceError, match=message):
        write()
    assert list(tmp_path.iterdir()) == []


def test_frames_must_follow_in_time(tmp_path):
    def write():
        with TraceWriter(tmp_path / "drive", **ABOUT) as writer:
            write_ego(writer)
            camera = writer.add_camera("front", calibration(), 10.0)
            camera.write(frame_of(0), START_NS + 5)
            camera.write(frame_of(1), START_NS + 5)

    with pytest.raises(TraceError, match=r"drive/front\.mp4: frame 1: .* time must increase"):
        write()


@pytest.mark.parametrize("missing", ["ego", "frames"])
def test_an_incomplete_trace_is_not_kept(tmp_path, missing):
    def write():
        with TraceWriter(tmp_path / "drive", **ABOUT) as writer:
            if missing == "frames":
                write_ego(writer)
            camera = writer.add_camera("front", calibration(), 10.0)
            if missing == "ego":
                camera.write(frame_of(0), START_NS)

    with pytest.raises(TraceError, match=r"ego\.parquet: not found|camera 'front' got no frame"):
        write()
    assert list(tmp_path.iterdir()) == []


def test_extra_keys_cannot_hide_those_of_the_format(tmp_path):
    with pytest.raises(TraceError, match="extra key 'sensors' belongs to the format"):
        TraceWriter(tmp_path / "drive", **ABOUT, extra={"sensors": {}})


@pytest.mark.parametrize(
    ("overwrite", "there", "said"),
    [
        (False, "notes.txt", "drive: is there already; choose another name, or replace it with"),
        (True, "notes.txt", r"drive: holds no trace \(no trace.json\), so it is not overwritten"),
        (False, "trace.json", "drive: is there already"),
    ],
)
def test_what_comes_to_be_at_the_destination_meanwhile_is_kept(
    tmp_path, monkeypatch, overwrite, there, said
):
    place = tmp_path / "drive"

    def appear(_):
        place.mkdir()
        (place / there).write_text("years of work")
        return ()

    monkeypatch.setattr("vista_sim.traces.writer.find_all", appear)
    with pytest.raises(TraceError, match=said):
        write_tiny_trace(place, overwrite=overwrite)
    assert (place / there).read_text() == "years of work"
    assert [path.name for path in tmp_path.iterdir()] == ["drive"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_what_comes_between_the_last_look_and_the_change_of_names_is_kept(
    tmp_path, monkeypatch, overwrite
):
    place = tmp_path / "drive"
    place.mkdir()
    exchange = atomic.exchange

    def late(*names):
        (place / "thesis").write_text("years of work")
        monkeypatch.undo()
        return exchange(*names)

    monkeypatch.setattr(atomic, "exchange", late)
    with pytest.raises(TraceError, match=r"drive: (is there already|holds no trace)"):
        write_tiny_trace(place, overwrite=overwrite)
    assert (place / "thesis").read_text() == "years of work"
    assert [path.name for path in tmp_path.iterdir()] == ["drive"]


def test_a_trace_that_another_process_writes_is_left_to_it(tmp_path):
    with TraceWriter(tmp_path / "drive", **ABOUT, overwrite=True) as writer:
        write_ego(writer)
        with pytest.raises(TraceError, match="drive: is being written by another process"):
            write_tiny_trace(tmp_path / "drive", overwrite=True)
    assert Trace.open(tmp_path / "drive").name == "t"
    write_tiny_trace(tmp_path / "drive", overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["drive"]
