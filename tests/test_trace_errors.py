"""What is wrong with a trace is said in one line that names the file."""

import json
import os
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vista_sim.errors import TraceError
from vista_sim.traces.trace import Trace
from vista_sim.traces.video import VideoWriter


@pytest.fixture
def folder(tiny_trace, tmp_path):
    return shutil.copytree(tiny_trace, tmp_path / "trace")


def edit_json(folder, change):
    path = folder / "trace.json"
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))


def edit_column(folder, name, column, change):
    table = pq.read_table(folder / name)
    values = table.column(column).to_numpy().copy()
    values = change(values)
    index = table.schema.get_field_index(column)
    pq.write_table(table.set_column(index, column, pa.array(values)), folder / name)


def drop_column(folder, name, column):
    pq.write_table(pq.read_table(folder / name).drop_columns([column]), folder / name)


def set_row(row, value):
    def change(values):
        values[row] = value
        return values

    return change


def swap(values):
    values[[10, 11]] = values[[11, 10]]
    return values


def recode(folder, size, frames):
    with VideoWriter(folder / "front.mp4", size, 10.0) as video:
        for _ in range(frames):
            video.write(np.zeros((*size, 3), dtype=np.uint8))


def truncate(folder, name, share):
    path = folder / name
    os.truncate(path, int(path.stat().st_size * share))


CASES = {
    "no folder": (lambda f: shutil.rmtree(f), "no such folder"),
    "no trace.json": (lambda f: (f / "trace.json").unlink(), "trace.json: not found"),
    "broken json": (lambda f: truncate(f, "trace.json", 0.5), "trace.json: cannot be read"),
    "json list": (lambda f: (f / "trace.json").write_text("[]"), "trace.json: holds no JSON"),
    "newer format": (
        lambda f: edit_json(f, lambda v: v.update(format="vista-trace/2")),
        r"trace.json: format is 'vista-trace/2', newer than 'vista-trace/1'",
    ),
    "other format": (
        lambda f: edit_json(f, lambda v: v.update(format="rosbag/1")),
        "trace.json: format is 'rosbag/1'",
    ),
    "no sensors": (lambda f: edit_json(f, lambda v: v.pop("sensors")), "'sensors'.* is missing"),
    "no K": (
        lambda f: edit_json(f, lambda v: v["sensors"]["front"].pop("K")),
        "trace.json: sensor 'front': calibration field 'K' is missing",
    ),
    "no mount": (
        lambda f: edit_json(f, lambda v: v["sensors"]["front"].pop("T_vehicle_camera")),
        "trace.json: sensor 'front': calibration field 'T_vehicle_camera' is missing",
    ),
    "path as a name": (
        lambda f: edit_json(f, lambda v: v["sensors"].update({"../x": v["sensors"]["front"]})),
        r"trace.json: sensor name '\.\./x' is not allowed",
    ),
    "reserved name": (
        lambda f: edit_json(f, lambda v: v["sensors"].update(ego=v["sensors"]["front"])),
        "trace.json: sensor name 'ego' is reserved",
    ),
    "sensor is no object": (
        lambda f: edit_json(f, lambda v: v["sensors"].update(front=3)),
        "trace.json: sensor 'front'",
    ),
    "mask elsewhere": (
        lambda f: edit_json(f, lambda v: v["sensors"]["front"].update(mask="../secret.png")),
        "mask '../secret.png'",
    ),
    "wheelbase is text": (
        lambda f: edit_json(f, lambda v: v["vehicle"].update(wheelbase="long")),
        "trace.json: vehicle wheelbase",
    ),
    "no ego": (lambda f: (f / "ego.parquet").unlink(), "ego.parquet: not found"),
    "cut ego": (lambda f: truncate(f, "ego.parquet", 0.5), "ego.parquet: cannot be read"),
    "ego column": (lambda f: drop_column(f, "ego.parquet", "qw"), "ego.parquet: column 'qw'"),
    "ego nan": (
        lambda f: edit_column(f, "ego.parquet", "x", set_row(57, np.nan)),
        "ego.parquet: row 57: x is nan",
    ),
    "ego null": (
        lambda f: edit_column(f, "ego.parquet", "y", lambda v: [*v[:-1].tolist(), None]),
        "ego.parquet: row 150: y has no value",
    ),
    "ego text": (
        lambda f: edit_column(f, "ego.parquet", "y", lambda v: [str(x) for x in v]),
        "ego.parquet: column 'y' is of type string",
    ),
    "float times": (
        lambda f: edit_column(f, "ego.parquet", "t_ns", lambda v: v * 1e-9),
        "ego.parquet: column 't_ns' is of type double",
    ),
    "time backwards": (
        lambda f: edit_column(f, "ego.parquet", "t_ns", swap),
        "ego.parquet: row 11: t_ns .* time must increase",
    ),
    "microseconds": (
        lambda f: edit_column(f, "ego.parquet", "t_ns", lambda v: (v - v[0]) // 10000),
        "ego.parquet: rows are .* another unit",
    ),
    "quaternion": (
        lambda f: edit_column(f, "ego.parquet", "qw", lambda v: v * 1.5),
        "ego.parquet: row 0: quaternion has length 1.5",
    ),
    "km/h": (
        lambda f: edit_column(f, "ego.parquet", "speed", lambda v: v * 3.6),
        r"ego.parquet: speed is 3.6. times what the positions say.*km/h",
    ),
    "absurd speed": (
        lambda f: edit_column(f, "ego.parquet", "speed", lambda v: v * 100),
        "ego.parquet: row 0: speed is 800; it must be in m/s",
    ),
    "degrees": (
        lambda f: edit_column(f, "ego.parquet", "yaw_rate", np.degrees),
        "ego.parquet: row 0: yaw_rate is 11.46; it must be in rad/s",
    ),
    "jump": (
        lambda f: edit_column(f, "ego.parquet", "x", set_row(100, 1e4)),
        "ego.parquet: row 100: position jumps",
    ),
    "one row": (
        lambda f: pq.write_table(
            pq.read_table(f / "ego.parquet").slice(0, 1), f / "ego.parquet"
        ),
        "ego.parquet: has 1 rows",
    ),
    "no frame table": (lambda f: (f / "front.parquet").unlink(), "front.parquet: not found"),
    "frame times": (
        lambda f: edit_column(f, "front.parquet", "t_ns", swap),
        "front.parquet: row 11: t_ns",
    ),
    "frame numbers": (
        lambda f: edit_column(f, "front.parquet", "frame", set_row(4, 9)),
        "front.parquet: row 4: frame is 9; it must be 4",
    ),
    "other clock": (
        lambda f: edit_column(f, "front.parquet", "t_ns", lambda v: v + 10**12),
        "front.parquet: no frame lies within the time of ego.parquet",
    ),
    "no video": (lambda f: (f / "front.mp4").unlink(), "front.mp4: not found"),
    "empty video": (lambda f: truncate(f, "front.mp4", 0), "front.mp4: no frame can be read"),
    "text as video": (
        lambda f: (f / "front.mp4").write_text("hello" * 100),
        r"front.mp4: no frame can be read \(not an MP4",
    ),
    "fewer frames": (
        lambda f: recode(f, (47, 71), 29),
        "front.mp4: holds 29 frames, but front.parquet lists 31",
    ),
    "other size": (
        lambda f: recode(f, (48, 80), 31),
        r"front.mp4: frames are \(48, 80\), the calibration says \(47, 71\)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_malformed_trace_is_refused_with_one_line(folder, case):
    spoil, message = CASES[case]
    spoil(folder)
    with pytest.raises(TraceError, match=message) as caught:
        Trace.open(folder)
    assert "\n" not in str(caught.value)
    assert str(folder) in str(caught.value)


@pytest.mark.parametrize("table", ["road", "labels", "tracks"])
def test_optional_tables_are_checked_too(folder, table):
    pq.write_table(pa.table({"nonsense": [1.0]}), folder / f"{table}.parquet")
    with pytest.raises(TraceError, match=rf"{table}\.parquet: column .* is missing"):
        Trace.open(folder).tracks()


def test_a_label_that_ends_before_it_starts_is_refused(folder):
    columns = {"start_ns": [5], "end_ns": [4], "key": ["weather"], "value": ["rain"]}
    pq.write_table(pa.table(columns), folder / "labels.parquet")
    with pytest.raises(TraceError, match=r"labels\.parquet: row 0: the label ends before"):
        Trace.open(folder)


def test_a_truncated_video_is_reported_with_its_last_readable_frame(folder):
    import av

    path = folder / "front.mp4"
    with av.open(str(path)) as container:
        entries = container.streams.video[0].index_entries
        middle = entries[20].pos + entries[20].size - 1
    os.truncate(path, middle)
    with pytest.raises(TraceError, match=r"front\.mp4: cut off .* last readable frame is 19 of 31"):
        Trace.open(folder)


def test_a_video_without_its_index_is_reported(folder):
    data = (folder / "front.mp4").read_bytes()
    at = data.index(b"moov") - 4
    size = int.from_bytes(data[at : at + 4], "big")
    (folder / "front.mp4").write_bytes(data[:at] + data[at + size :])
    with pytest.raises(TraceError, match=r"front\.mp4: no frame can be read .*moov"):
        Trace.open(folder)


def test_a_frame_with_broken_bytes_is_reported_when_it_is_read(folder):
    import av

    path = folder / "front.mp4"
    with av.open(str(path)) as container:
        entry = container.streams.video[0].index_entries[5]
        start, size = entry.pos, entry.size
    data = bytearray(path.read_bytes())
    data[start : start + size] = b"\xff" * size
    path.write_bytes(data)
    camera = Trace.open(folder).cameras["front"]
    with pytest.raises(TraceError, match=r"front\.mp4: frame 5 cannot be decoded") as caught:
        camera.frame(5)
    assert "\n" not in str(caught.value)
    assert camera.frame(6).shape == (47, 71, 3)


def test_a_video_with_frames_that_are_not_key_frames_is_refused(folder):
    import av

    with av.open(str(folder / "front.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.height, stream.width, stream.pix_fmt = 48, 72, "yuv420p"
        for _ in range(31):
            image = np.zeros((48, 72, 3), dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
        container.mux(stream.encode(None))
    with pytest.raises(TraceError, match=r"front\.mp4: frame \d+ is not a key frame"):
        Trace.open(folder)
