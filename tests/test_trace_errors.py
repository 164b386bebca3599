"""What is wrong with a trace is said in one line that names the file."""

import json
import os
import shutil

import cv2
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


def sensor(**values):
    return lambda f: edit_json(f, lambda v: v["sensors"]["front"].update(values))


def vehicle(**values):
    return lambda f: edit_json(f, lambda v: v["vehicle"].update(values))


def matrix(row, column, value, name="K"):
    return lambda f: edit_json(
        f, lambda v: v["sensors"]["front"][name][row].__setitem__(column, value)
    )


def text(pattern, by):
    """Replace a part of trace.json that only some writers would write."""

    def spoil(folder):
        path = folder / "trace.json"
        content = path.read_text()
        assert pattern in content
        path.write_text(content.replace(pattern, by, 1))

    return spoil


def ego(column, value, row=5):
    return lambda f: edit_column(f, "ego.parquet", column, set_row(row, value))


def pipe(name):
    def spoil(folder):
        (folder / name).unlink()
        os.mkfifo(folder / name)

    return spoil


def twice(name, column):
    def spoil(folder):
        table = pq.read_table(folder / name)
        pq.write_table(table.append_column(column, table.column(column)), folder / name)

    return spoil


def no_rows(name):
    return lambda f: pq.write_table(pq.read_table(f / name).slice(0, 0), f / name)


def all_sizes_alike(folder):
    """Let the video's index declare as many frames as there are numbers, all of one size."""
    path = folder / "front.mp4"
    data = bytearray(path.read_bytes())
    at = data.index(b"stsz") + 8
    data[at : at + 8] = (100).to_bytes(4, "big") + (2**32 - 1).to_bytes(4, "big")
    path.write_bytes(data)


ABSURD = {
    "K 1e308": (matrix(0, 0, 1e308), "sensor 'front': camera focal length fx is 1e.308"),
    "cx 1e300": (matrix(0, 2, 1e300), "trace.json: sensor 'front': camera cx is 1e.300"),
    "K of text": (matrix(0, 0, "60"), "trace.json: sensor 'front': K must be numbers"),
    "K null": (sensor(K=None), "trace.json: sensor 'front': K must be numbers"),
    "K of lists": (sensor(K=[[1], [2, 3]]), "trace.json: sensor 'front': K must be numbers"),
    "K of booleans": (sensor(K=[[True] * 3] * 3), "sensor 'front': K must be numbers"),
    "size 1e18": (sensor(size=[10**18, 10**18]), "trace.json: sensor 'front': camera size is"),
    "size broken": (sensor(size=[47.5, 71]), "trace.json: sensor 'front': size is .47.5, 71."),
    "size negative": (sensor(size=[-47, 71]), "trace.json: sensor 'front': camera size is"),
    "distortion": (sensor(distortion=[1e200, 0, 0, 0, 0]), "'front': distortion is 1e.200"),
    "distortion long": (sensor(distortion=[0.0] * 10**5), "'front': a pinhole camera has 5"),
    "distortion null": (sensor(distortion=[None] * 5), "'front': distortion is None"),
    "readout": (sensor(readout=1e300), "'front': readout is 1e.300"),
    "mount far": (matrix(0, 3, 1e15, "T_vehicle_camera"), "T_vehicle_camera is over 100 m"),
    "mask of another size": (
        lambda f: [
            cv2.imwrite(str(f / "m.png"), np.zeros((47, 72), np.uint8)),
            sensor(mask="m.png")(f),
        ],
        r"m.png: is \(47, 72\); the camera's pictures are \(47, 71\)",
    ),
    "mask a number": (sensor(mask=3), "'front': mask is 3"),
    "timestamp": (sensor(timestamp="x" * 10**6), "'front': timestamp is 'xx"),
    "model": (sensor(model="y" * 10**6), "'front': camera model is 'yy"),
    "wheelbase": (vehicle(wheelbase=1e200), "trace.json: vehicle wheelbase is 1e.200"),
    "length null": (vehicle(length=None), "trace.json: vehicle length is None"),
    "vehicle list": (
        lambda f: edit_json(f, lambda v: v.update(vehicle=[])), "trace.json: 'vehicle'"
    ),
    "name a list": (
        lambda f: edit_json(f, lambda v: v.update(name=[1])), r"trace.json: name is \[1\]"
    ),
    "digits": (text("4.5", "9" * 400), "trace.json: cannot be read as JSON .*400 digits"),
    "infinity": (text("4.5", "1e999"), "trace.json: cannot be read as JSON .*1e999"),
    "x 1e300": (ego("x", 1e300), "ego.parquet: row 5: x is 1e.300"),
    "all x 1e8": (
        lambda f: edit_column(f, "ego.parquet", "x", lambda v: v + 1e8),
        "ego.parquet: row 0: x is 1e.08",
    ),
    "qx 1e300": (ego("qx", 1e300), "ego.parquet: row 5: qx is 1e.300"),
    "speed 1e300": (ego("speed", -1e300), "ego.parquet: row 5: speed is 1e.300"),
    "yaw rate": (ego("yaw_rate", 1e300), "ego.parquet: row 5: yaw_rate is 1e.300"),
    "first time": (ego("t_ns", -(2**63), 0), "ego.parquet: row 0: t_ns is -9223372036854775808"),
    "last time": (ego("t_ns", 2**63 - 1, -1), "ego.parquet: row 150: t_ns is 9223372036854775807"),
    "times of 64 bits": (
        lambda f: edit_column(f, "ego.parquet", "t_ns", lambda v: v.astype(np.uint64) + 2**63),
        "ego.parquet: column 't_ns' holds numbers that 63 bits do not hold",
    ),
    "frame time": (
        lambda f: edit_column(f, "front.parquet", "t_ns", set_row(0, -(2**63))),
        "front.parquet: row 0: t_ns is -9223372036854775808",
    ),
    "column twice": (twice("ego.parquet", "speed"), "ego.parquet: has the column 'speed' twice"),
    "no ego rows": (no_rows("ego.parquet"), "ego.parquet: has 0 rows"),
    "no frames": (no_rows("front.parquet"), "front.parquet"),
    "ego a pipe": (pipe("ego.parquet"), "ego.parquet: is a pipe"),
    "video a pipe": (pipe("front.mp4"), "front.mp4: is a pipe"),
    "json a pipe": (pipe("trace.json"), "trace.json: is a pipe"),
    "frames without bytes": (all_sizes_alike, "front.mp4: declares 4294967295 frames"),
    "a playlist": (
        lambda f: (f / "front.mp4").write_text("#EXTM3U\n#EXTINF:1,\n/etc/hostname\n"),
        "front.mp4: no frame can be read",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", ABSURD)
def test_numbers_of_absurd_size_and_other_types_are_refused_with_one_line(folder, case):
    spoil, message = ABSURD[case]
    spoil(folder)
    with pytest.raises(TraceError, match=message) as caught:
        Trace.open(folder)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


OTHER_TABLES = {
    "label time": (
        "labels",
        {"start_ns": [-(2**63)], "end_ns": [2**62], "key": ["a"], "value": ["b"]},
        "row 0: start_ns is 9.22",
    ),
    "label null": (
        "labels", {"start_ns": [1], "end_ns": [2], "key": [None], "value": ["b"]}, "row 0: key"
    ),
    "road far": ("road", {"s": [0.0], "left": [1e300], "right": [1.0]}, "row 0: left is 1e.300"),
    "road s": ("road", {"s": [-1e300], "left": [1.0], "right": [1.0]}, "row 0: s is 1e.300"),
    "tracks far": ("tracks", {"pose": [[1e300, 0, 0, 0, 0, 0, 1.0]]}, "row 0: pose is 1e.300"),
    "tracks turned": ("tracks", {"pose": [[0, 0, 0, 0, 0, 0, 0.0]]}, "quaternion has length 0"),
    "tracks size": ("tracks", {"size": [[1.0, 1e300, 1.0]]}, "row 0: size is 1e.300"),
    "tracks flat": ("tracks", {"size": [[1.0, -1.0, 1.0]]}, "row 0: size must be positive"),
    "tracks short": ("tracks", {"pose": [[0.0, 1.0]]}, "column 'pose' must hold 7 numbers"),
    "tracks null": ("tracks", {"pose": [[0.0, None, 0, 0, 0, 0, 1]]}, "row 0: pose"),
}  # fmt: skip
TRACK = {
    "t_ns": [5],
    "track_id": [1],
    "category": ["car"],
    "pose": [[0.0, 0, 0, 0, 0, 0, 1]],
    "size": [[4.0, 2.0, 1.5]],
}


@pytest.mark.parametrize("case", OTHER_TABLES)
def test_optional_tables_are_bounded(folder, case):
    table, columns, message = OTHER_TABLES[case]
    columns = TRACK | columns if table == "tracks" else columns
    pq.write_table(pa.table(columns), folder / f"{table}.parquet")
    with pytest.raises(TraceError, match=rf"{table}\.parquet: .*{message}"):
        Trace.open(folder).tracks()


def test_a_table_of_tracks_without_rows_has_none(folder):
    pq.write_table(pa.table(TRACK).slice(0, 0), folder / "tracks.parquet")
    tracks = Trace.open(folder).tracks()
    assert tracks["pose"].shape == (0, 7)
    assert tracks["size"].shape == (0, 3)


POINTS = {
    "sweep": [0, 0, 1],
    "t_ns": [0, 0, 100_000_000],
    **{name: [1.0, 2.0, 3.0] for name in ("x", "y", "z", "intensity")},
    "point_t_ns": [0, 1, 2],
}


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("x", [1.0, 1e300, 1.0], "row 1: x is 1e.300"),
        ("z", [1.0, float("nan"), 1.0], "row 1: z is nan"),
        ("y", [1.0, None, 1.0], "row 1: y has no value"),
        ("intensity", ["a", "b", "c"], "column 'intensity' is of type"),
        ("point_t_ns", [0, -(2**63), 2], "row 1: point_t_ns is 9.22"),
        ("sweep", [-(2**63), -(2**63), 2**63 - 1], None),
        ("sweep", [2**63 - 1, 0, 1], "row 1: rows must be sorted by sweep"),
    ],
)
def test_points_of_a_lidar_are_bounded(folder, column, values, message):
    mount = np.eye(4).tolist()
    edit_json(
        folder, lambda v: v["sensors"].update(top={"type": "lidar", "T_vehicle_lidar": mount})
    )
    start = pq.read_table(folder / "ego.parquet")["t_ns"][0].as_py()
    columns = POINTS | {column: values}
    columns["t_ns"] = [start + t for t in columns["t_ns"]]
    pq.write_table(pa.table(columns), folder / "top.parquet")
    if message is None:
        assert Trace.open(folder).lidars["top"].sweep(0).points.shape == (2, 3)
        return
    with pytest.raises(TraceError, match=rf"top\.parquet: .*{message}"):
        Trace.open(folder).lidars["top"].sweep(0)


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
