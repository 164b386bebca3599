import copy
import json
import pickle
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.spatial.transform import Rotation, Slerp
from tiny import RADIUS, SPEED, START_NS, circle_motion, write_tiny_trace

from vista_sim.errors import TraceError
from vista_sim.traces.calibration import LidarCalibration, Vehicle
from vista_sim.traces.levelling import level_to_first_pose
from vista_sim.traces.samples import sample_trace
from vista_sim.traces.trace import Trace
from vista_sim.traces.writer import TraceWriter


def test_what_is_written_is_read_back(tiny_trace):
    trace = Trace.open(tiny_trace)
    assert (trace.name, trace.licence, trace.source) == ("tiny", "MIT", "computed by a test")
    assert trace.duration == pytest.approx(3.0)
    assert trace.start_ns == START_NS
    assert trace.vehicle == Vehicle()
    np.testing.assert_allclose(trace.ego.t, np.arange(0, 3.0001, 0.02), atol=1e-9)
    position, quaternion, _ = circle_motion(trace.ego.t)
    np.testing.assert_allclose(trace.ego.position, position, atol=1e-8)
    np.testing.assert_allclose(trace.ego.quaternion, quaternion, atol=1e-9)
    camera = trace.cameras["front"]
    assert camera.frame_count == 31
    np.testing.assert_allclose(camera.t, np.arange(0, 3.0001, 0.1), atol=1e-9)
    assert camera.calibration.lens.size == (47, 71)
    np.testing.assert_allclose(camera.calibration.T_vehicle_camera[:3, 3], [1.2, 0, 1.5])


def test_the_files_are_what_the_format_says(tiny_trace):
    values = json.loads((tiny_trace / "trace.json").read_text())
    assert values["format"] == "vista-trace/1"
    assert set(values) == {"format", "name", "licence", "source", "vehicle", "sensors"}
    ego = pq.read_schema(tiny_trace / "ego.parquet")
    assert ego.names == ["t_ns", "x", "y", "z", "qx", "qy", "qz", "qw", "speed", "yaw_rate"]
    assert ego.field("t_ns").type == pa.int64()
    assert pq.read_schema(tiny_trace / "front.parquet").names == ["frame", "t_ns"]
    assert pq.read_schema(tiny_trace / "front.parquet").field("t_ns").type == pa.int64()
    assert {p.name for p in tiny_trace.iterdir()} == {
        "trace.json", "ego.parquet", "front.parquet", "front.mp4",
    }  # fmt: skip


def test_poses_are_interpolated_like_scipy_does(tiny_trace):
    trace = Trace.open(tiny_trace)
    slerp = Slerp(trace.ego.t, Rotation.from_quat(trace.ego.quaternion))
    for t in (0.0, 0.013, 1.2345, 2.999, trace.duration):
        pose = trace.pose(t)
        np.testing.assert_allclose(pose[:3, :3], slerp(t).as_matrix(), atol=1e-8)
        wanted = [np.interp(t, trace.ego.t, trace.ego.position[:, k]) for k in range(3)]
        np.testing.assert_allclose(pose[:3, 3], wanted, atol=1e-9)
    assert trace.speed(1.0) == SPEED


def test_quaternions_of_either_sign_interpolate_the_short_way(tmp_path):
    t = np.array([0.0, 0.1, 0.2])
    turn = Rotation.from_euler("z", [[0.0], [0.1], [0.2]]).as_quat() * np.array([[1], [-1], [1]])
    with TraceWriter(tmp_path / "t", name="", licence="", source="", vehicle=Vehicle()) as writer:
        writer.write_ego((t * 1e9).astype(np.int64), np.zeros((3, 3)), turn, 0 * t, 0 * t)
    pose = Trace.open(tmp_path / "t").pose(0.05)
    assert np.arctan2(pose[1, 0], pose[0, 0]) == pytest.approx(0.05)


@pytest.mark.parametrize("t", [-0.01, 3.01, float("nan")])
def test_a_time_outside_the_trace_raises(tiny_trace, t):
    trace = Trace.open(tiny_trace)
    with pytest.raises(TraceError, match="t is"):
        trace.pose(t)
    with pytest.raises(ValueError, match="t is"):
        trace.speed(t)


def test_opening_an_open_trace_gives_it_back(tiny_trace):
    trace = Trace.open(tiny_trace)
    assert Trace.open(trace) is trace
    assert Trace.open(str(tiny_trace)).root == tiny_trace


@pytest.mark.parametrize("clone", [lambda x: pickle.loads(pickle.dumps(x)), copy.copy])
def test_a_trace_and_its_camera_survive_pickling(tiny_trace, clone):
    trace = Trace.open(tiny_trace)
    frame = trace.cameras["front"].frame(7)  # a decoder is open now
    other = clone(trace)
    np.testing.assert_array_equal(other.cameras["front"].frame(7), frame)
    np.testing.assert_array_equal(
        pickle.loads(pickle.dumps(trace.cameras["front"])).frame(7), frame
    )
    assert other.path.length == trace.path.length


def test_a_closed_trace_opens_its_video_again(tiny_trace):
    with Trace.open(tiny_trace) as trace:
        first = trace.cameras["front"].frame(3)
    np.testing.assert_array_equal(trace.cameras["front"].frame(3), first)


def test_extra_keys_are_kept_and_unknown_ones_do_no_harm(tmp_path):
    folder = write_tiny_trace(tmp_path / "t", extra={"proving_ground": {"seed": 7}})
    assert Trace.open(folder).extra == {"proving_ground": {"seed": 7}}
    values = json.loads((folder / "trace.json").read_text())
    values["weather station"] = [1, 2]
    values["sensors"]["front"]["colour of the housing"] = "red"
    values["sensors"]["sonar"] = {"type": "sonar"}
    values["format"] = "vista-trace/1.7"
    (folder / "trace.json").write_text(json.dumps(values))
    table = pq.read_table(folder / "ego.parquet")
    table = table.append_column("odd", pa.array(["?"] * table.num_rows))
    pq.write_table(table, folder / "ego.parquet")
    trace = Trace.open(folder)
    assert list(trace.cameras) == ["front"]
    assert trace.extra["weather station"] == [1, 2]


def test_frames_outside_the_ego_motion_are_left_out(tmp_path):
    folder = write_tiny_trace(tmp_path / "t", frame_t=np.arange(-0.25, 3.2, 0.1))
    camera = Trace.open(folder).cameras["front"]
    assert camera.frame_count == 30
    assert camera.t[0] == pytest.approx(0.05)
    # Frame levels rise by 5 per frame; three frames lie before t = 0.
    step = camera.frame(0).mean() - camera.frame(4).mean()
    assert step == pytest.approx(-20, abs=1)
    assert camera.frame(0)[20, 20, 0] == pytest.approx(
        40 + 15 + 20 * np.sin(20 / 11) + 10 * np.cos(20 / 7), abs=4
    )


def test_labels_road_and_tracks_are_read_back(tmp_path):
    position, quaternion, _ = circle_motion(np.arange(0, 1.01, 0.02))
    ns = START_NS + np.round(np.arange(0, 1.01, 0.02) * 1e9).astype(np.int64)
    about = {"name": "t", "licence": "-", "source": "-", "vehicle": Vehicle()}
    with TraceWriter(tmp_path / "t", **about) as writer:
        speed = np.full(len(ns), SPEED)
        writer.write_ego(
            ns, position, quaternion, speed, speed / RADIUS, steering_angle=0.1 * speed
        )
        writer.write_road([0, 5], [3.0, 3.1], [1.5, 1.4])
        pose = np.tile([5.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0], (2, 1))
        writer.write_tracks(ns[:2], [4, 4], ["car", "car"], pose, [[4.5, 1.8, 1.5]] * 2)
    trace = Trace.open(tmp_path / "t")
    np.testing.assert_allclose(trace.ego.optional["steering_angle"], 0.8)
    np.testing.assert_array_equal(trace.road["left"], [3.0, 3.1])
    tracks = trace.tracks()
    np.testing.assert_allclose(tracks["t"], [0, 0.02], atol=1e-9)
    assert tracks["category"].tolist() == ["car", "car"]
    np.testing.assert_array_equal(tracks["pose"], pose)
    assert tracks["size"].shape == (2, 3)
    folder = write_tiny_trace(tmp_path / "u", labels=[(0.5, 1.5, "weather", "rain")])
    (label,) = Trace.open(folder).labels
    assert (label.key, label.value) == ("weather", "rain")
    assert (label.start, label.end) == pytest.approx((0.5, 1.5))


def test_lidar_sweeps_are_read_one_by_one(tmp_path):
    rng = np.random.default_rng(0)
    counts = [5, 0, 7, 3]  # sweep 1 saw nothing and has no rows
    sweep = np.repeat(np.arange(4), counts)
    points = rng.normal(size=(15, 3)).astype(np.float32)
    position, quaternion, _ = circle_motion(np.arange(0, 1.01, 0.02))
    ns = START_NS + np.arange(51) * 20_000_000
    about = {"name": "t", "licence": "-", "source": "-", "vehicle": Vehicle()}
    with TraceWriter(tmp_path / "t", **about) as writer:
        speed = np.full(51, SPEED)
        writer.write_ego(ns, position, quaternion, speed, speed / RADIUS)
        lidar = writer.add_lidar("top", LidarCalibration())
        for number in range(4):
            of = sweep == number
            t_ns = START_NS + number * 100_000_000
            lidar.write(t_ns, points[of], rng.random(of.sum()), ring=np.arange(15)[of])
    lidar = Trace.open(tmp_path / "t").lidars["top"]
    assert lidar.sweep_count == 3
    np.testing.assert_allclose(lidar.t, [0.0, 0.2, 0.3], atol=1e-9)
    np.testing.assert_array_equal(lidar.sweep(1).points, points[5:12])
    np.testing.assert_array_equal(lidar.sweep(2).ring, [12, 13, 14])
    with pytest.raises(IndexError, match="no sweep 3"):
        lidar.sweep(3)


def test_level_to_first_pose_moves_the_first_pose_to_the_origin():
    rng = np.random.default_rng(1)
    position = rng.normal(size=(4, 3))
    rotation = Rotation.from_euler("ZYX", [[0.8, 0.1, -0.05], [0.9, 0, 0], [1.0, 0, 0], [2, 0, 0]])
    moved, turned = level_to_first_pose(position, rotation.as_quat())
    np.testing.assert_allclose(moved[0], 0, atol=1e-12)
    first = Rotation.from_quat(turned[0]).as_euler("ZYX")
    np.testing.assert_allclose(first, [0, 0.1, -0.05], atol=1e-12)
    np.testing.assert_allclose(
        np.linalg.norm(np.diff(moved, axis=0), axis=1),
        np.linalg.norm(np.diff(position, axis=0), axis=1),
    )
    relative = Rotation.from_quat(turned[0]).inv() * Rotation.from_quat(turned[2])
    np.testing.assert_allclose(
        relative.as_matrix(), (rotation[0].inv() * rotation[2]).as_matrix(), atol=1e-12
    )


def test_an_unknown_sample_is_one_clear_line():
    with pytest.raises(TraceError, match=r"no sample trace is named '\.\./tests'"):
        sample_trace("../tests")


def test_a_trace_can_be_moved(tiny_trace, tmp_path):
    shutil.copytree(tiny_trace, tmp_path / "elsewhere")
    assert Trace.open(tmp_path / "elsewhere").cameras["front"].frame(0).shape == (47, 71, 3)


def test_of_labels_that_overlap_the_first_counts(tmp_path):
    labels = [
        (1.0, 2.0, "command", "left"),
        (0.5, 2.5, "command", "right"),
        (2.5, 2.5, "command", "never"),
        (0.0, 3.0, "weather", "rain"),
        (2.0, 2.75, "command", "straight"),
    ]
    trace = Trace.open(write_tiny_trace(tmp_path / "t", labels=labels))
    times = (-1.0, 0.0, 0.49, 0.5, 1.0, 1.99, 2.0, 2.49, 2.5, 2.74, 2.75, 9.0, float("nan"))
    found = [trace.label("command", t) for t in times]
    right = "right"
    assert found == [
        *(None, None, None, right, "left", "left", right, right, "straight", "straight"),
        *(None, None, None),
    ]
    assert trace.label("weather", 2.0) == "rain"
    assert trace.label("tunnel", 2.0) is None
