"""Geometry from a lidar, against exact depth."""

import dataclasses

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rig import FRONT, LIDAR_MOUNT, SPEED, vehicle_at, write_rig
from textured import LENS, MOUNT, STREET, wall
from traffic import Box, scene

from vista_sim.cli import main
from vista_sim.geometry.bake import bake
from vista_sim.geometry.completion import complete, cull_hidden
from vista_sim.geometry.ground import ground_inverse_depth
from vista_sim.geometry.lidar import nearest_sweeps, points_in_camera, project
from vista_sim.geometry.settings import LidarProjection
from vista_sim.geometry.store import GeometryStore
from vista_sim.traces.calibration import Lens
from vista_sim.traces.trace import Trace
from vista_sim.traces.tracks import Track

SETTINGS = LidarProjection()
STANDING = (0.0, 0.0, 0.0, 0.0, 1.0)  # height, m, and attitude of what stands on the ground
#: A box across the lane, seen over from above, before a wall at the end of the road.
NEAR, FAR = 9.0, 30.0
SCENE = (*STREET, wall(NEAR, y=(-1.2, 1.4), z=(0, 1.2)), wall(FAR))
BENT = dataclasses.replace(LENS, distortion=(-0.25, 0.06, 0.001, -0.0005, 0.0))
FISHEYE = Lens("fisheye", 90.0, 90.0, 79.5, 47.5, (96, 160), (0.02, -0.01, 0.0, 0.0))


def _measured(folder, frame, lens=LENS):
    with Trace.open(folder) as trace:
        t = float(trace.cameras["front"].t[frame])
        lidar = trace.lidars["top"]
        (sweep,) = nearest_sweeps(lidar, t, SETTINGS)
        return project(points_in_camera(trace, lidar, sweep, t, MOUNT), lens)


def _wrong(measured, depth):
    """Which measured pixels (h, w) differ from depth, beyond what a pixel covers."""
    true = 1 / depth
    around = np.stack([np.roll(true, (i, j), (0, 1)) for i in (-1, 0, 1) for j in (-1, 0, 1)])
    low, high = around.min(axis=0), around.max(axis=0)
    return (measured > 0) & ((measured < 0.97 * low) | (measured > 1.03 * high))


@pytest.mark.parametrize("lens", [LENS, BENT, FISHEYE], ids=["ideal", "bent", "fisheye"])
@pytest.mark.parametrize("kind", ["compensated", "timed"])
def test_points_fall_where_the_camera_sees_them(tmp_path, lens, kind):
    depths = write_rig(tmp_path / "rig", SCENE, {"front": (lens, MOUNT)}, frames=2, lidar=kind)
    for frame in range(2):
        measured = _measured(tmp_path / "rig", frame, lens)
        visible = cull_hidden(measured)
        assert (measured > 0).mean() > 0.15
        assert _wrong(visible, depths["front"][frame])[visible > 0].mean() < 0.01


def test_points_of_a_turning_lidar_are_moved_by_their_own_time(tmp_path):
    depths = write_rig(tmp_path / "rig", SCENE, FRONT, frames=1, lidar="timed")["front"]
    right = _measured(tmp_path / "rig", 0)
    with Trace.open(tmp_path / "rig") as trace:
        t = float(trace.cameras["front"].t[0])
        lidar = trace.lidars["top"]
        sweep = dataclasses.replace(lidar.sweep(0), point_t=None)
        late = project(points_in_camera(trace, lidar, sweep, t, MOUNT), LENS)
    box = np.abs(depths[0] - depths[0][60, 80]) < 0.15

    def error(measured):
        seen = box & (measured > 0)
        return np.median(np.abs(1 / measured[seen] - depths[0][seen]))

    assert error(right) < 0.05
    assert error(late) > 0.3  # 0.05 s at 9 m/s


def test_points_of_a_sweep_are_where_a_moving_car_is_when_the_frame_is_taken(tmp_path):
    box, start = Box(12.0, 0.3, 0.5 * SPEED, 1.0), vehicle_at(-0.2)
    depths = write_rig(
        tmp_path / "rig", lambda t: scene([box], t), FRONT, frames=3, lidar="compensated"
    )["front"]
    times = np.arange(3) / 10
    track = Track(
        t=times + 0.2,
        pose=np.array(
            [
                (box.x + box.vx * t - start[0, 3], box.y + box.vy * t - start[1, 3], *STANDING)
                for t in times
            ]
        ),
        size=np.array(box.size),
    )
    with Trace.open(tmp_path / "rig") as trace:
        t = float(trace.cameras["front"].t[2])
        lidar = trace.lidars["top"]
        sweep = lidar.sweep(0)  # 0.2 s before the frame
        seen = [points_in_camera(trace, lidar, sweep, t, MOUNT, tracks) for tracks in ((), [track])]
    left, moved = (_wrong(cull_hidden(project(points, LENS)), depths[2]) for points in seen)
    assert left.sum() > 200
    assert moved.sum() < 0.1 * left.sum()
    still = np.all(seen[0] == seen[1], axis=1)
    assert 0.02 < 1 - still.mean() < 0.3  # what is not in the box stays


def test_what_the_camera_cannot_see_is_taken_away_and_little_else(tmp_path):
    depths = write_rig(tmp_path / "rig", SCENE, FRONT, frames=1, lidar="compensated")["front"]
    measured = _measured(tmp_path / "rig", 0)
    visible = cull_hidden(measured)
    hidden = _wrong(measured, depths[0])
    assert hidden.sum() > 15  # the lidar looks over the box
    assert (visible[hidden] > 0).mean() < 0.2
    good = (measured > 0) & ~hidden
    assert (visible[good] > 0).mean() > 0.95


def test_all_pixels_get_depth_and_nothing_floats_between_near_and_far(tmp_path):
    depths = write_rig(tmp_path / "rig", SCENE, FRONT, frames=2, lidar="timed")["front"]
    bake(tmp_path / "rig", geometry="lidar")
    with Trace.open(tmp_path / "rig") as trace:
        store = GeometryStore.find(trace, "front")
    flat = ground_inverse_depth(LENS, MOUNT)
    assert store.report["sources"] == ["lidar"]
    for frame, depth in enumerate(depths):
        values, true = store.metric(frame), 1 / depth
        measured = _measured(tmp_path / "rig", frame) > 0
        scene = np.logical_or.accumulate(measured) & np.logical_or.accumulate(measured[::-1])[::-1]
        error = np.abs(values - true)
        sure = np.array(store.confidence[frame]) > 128
        assert np.median(error[scene]) < 0.002
        assert error[scene].mean() < 0.1 * np.abs(flat - true)[scene].mean()
        assert sure[scene].mean() > 0.8
        assert sure[~scene].mean() < 0.15  # the lidar looks neither up nor down so far
        assert (error[sure] > 0.1 * true[sure] + 0.003).mean() < 0.04
        # Around the upper edge of the box there is the box and the wall, and nothing else.
        rows = slice(int(np.argmax(depth[:, 80] < 8)) - 6, int(np.argmax(depth[:, 80] < 8)) + 6)
        part = values[rows, 70:90]
        box, behind = true[rows.stop, 80], true[rows.start, 80]
        is_box = np.abs(part - box) < 0.06 * box
        is_behind = part < behind + 0.35 * (box - behind)
        assert (is_box | is_behind).mean() > 0.97


def test_confidence_falls_with_the_way_from_what_was_measured():
    measured = np.zeros((40, 60), np.float32)
    measured[20, 10] = 0.1
    gray = np.full(measured.shape, 90, np.uint8)
    gray[:, 30:] = 200
    values, sure = complete(measured, gray, np.zeros_like(measured), SETTINGS)
    assert sure[20, 10] == 1.0
    assert (np.diff(sure[20, 10:]) <= 0).all()
    assert sure[20, 29] > 2 * sure[20, 30]  # an edge of the image counts as a long way
    assert values[20, 12] == pytest.approx(0.1)
    assert (values[sure < 0.01] == 0).mean() > 0.5


def test_a_pixel_takes_the_depth_of_its_own_side_of_an_edge():
    rng = np.random.default_rng(2)
    u = np.arange(80)
    true = np.where(u < 37, 0.2, 0.03) + 0.0002 * u  # two slanted walls
    true = np.repeat(true[None].astype(np.float32), 60, axis=0)
    measured = np.where(rng.random(true.shape) < 0.05, true, 0).astype(np.float32)
    gray = np.where(u < 37, 80, 150) + rng.integers(-3, 4, (60, 80))
    values, sure = complete(measured, gray.astype(np.uint8), np.zeros_like(true), SETTINGS)
    assert np.abs(values - true).max() < 0.004
    assert sure.min() > 0.2


def test_merged_with_neighbouring_frames_it_is_better_than_either(tmp_path):
    depths = write_rig(tmp_path / "rig", SCENE, FRONT, frames=7, lidar="timed")["front"]
    error = {}
    for geometry in ("multiview", "lidar", "auto"):
        bake(tmp_path / "rig", geometry=geometry)
        with Trace.open(tmp_path / "rig") as trace:
            store = GeometryStore.find(trace, "front")
        error[geometry] = np.mean([np.abs(store.metric(i) - 1 / depths[i]).mean() for i in (2, 4)])
    assert error["auto"] < min(error["multiview"], error["lidar"])


def test_a_frame_far_in_time_from_any_sweep_gets_ground_without_confidence(tmp_path):
    write_rig(tmp_path / "rig", STREET, FRONT, frames=4, lidar="compensated")
    path = tmp_path / "rig" / "top.parquet"
    table = pq.read_table(path)
    pq.write_table(table.filter(np.array(table["sweep"]) < 1), path)
    bake(tmp_path / "rig", geometry="lidar")
    with Trace.open(tmp_path / "rig") as trace:
        store = GeometryStore.find(trace, "front")
    assert np.array(store.confidence[0]).mean() > 100
    assert not np.array(store.confidence[3]).any()
    true = ground_inverse_depth(LENS, MOUNT)
    assert np.abs(store.metric(3) - true).max() < 0.01


def test_auto_takes_the_lidar_and_is_made_anew_when_its_points_change(tmp_path):
    write_rig(tmp_path / "rig", STREET, FRONT, frames=3, lidar="compensated")
    bake(tmp_path / "rig")
    with Trace.open(tmp_path / "rig") as trace:
        before = GeometryStore.find(trace, "front")
        assert before.report["sources"] == ["multiview", "lidar"]
    path = tmp_path / "rig" / "top.parquet"
    table = pq.read_table(path)
    moved = pa.array(np.array(table["x"]) * 1.01)
    pq.write_table(table.set_column(table.schema.get_field_index("x"), "x", moved), path)
    bake(tmp_path / "rig")
    with Trace.open(tmp_path / "rig") as trace:
        assert GeometryStore.find(trace, "front").settings != before.settings


def test_geometry_by_lidar_is_made_anew_when_other_road_users_are_known(tmp_path):
    write_rig(tmp_path / "rig", STREET, FRONT, frames=2, lidar="compensated")
    settings = []
    for width in (0.0, 1.7, 1.9):
        if width:
            columns = {"t_ns": [0], "track_id": [0], "category": ["car"]}
            columns |= {"pose": [[9.0, 0.0, *STANDING]], "size": [[4.2, width, 1.5]]}
            pq.write_table(pa.table(columns), tmp_path / "rig" / "tracks.parquet")
        bake(tmp_path / "rig", geometry="lidar")
        with Trace.open(tmp_path / "rig") as trace:
            settings.append(GeometryStore.find(trace, "front").settings)
    assert settings[0] != settings[1] != settings[2]


def test_a_trace_without_a_lidar_is_one_line_and_status_2(tmp_path, capsys):
    write_rig(tmp_path / "rig", STREET, FRONT, frames=2)
    with pytest.raises(SystemExit) as end:
        main(["bake", str(tmp_path / "rig"), "--geometry", "lidar"])
    assert end.value.code == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "no lidar" in error
    assert not (tmp_path / "rig" / "geometry").exists()


def test_points_on_the_own_car_are_left_out(tmp_path):
    write_rig(tmp_path / "rig", STREET, FRONT, frames=1, lidar="compensated")
    hood = np.array([[2.6, 0.3, 0.9], [2.6, 0.3, 1.8], [2.6, 1.5, 0.9], [5.0, 0.3, 0.9]])
    with Trace.open(tmp_path / "rig") as trace:
        lidar, t = trace.lidars["top"], float(trace.cameras["front"].t[0])
        points = (hood - LIDAR_MOUNT[:3, 3]) @ LIDAR_MOUNT[:3, :3]
        sweep = dataclasses.replace(lidar.sweep(0), t=t, points=points)
        seen = points_in_camera(trace, lidar, sweep, t, MOUNT) @ MOUNT[:3, :3].T + MOUNT[:3, 3]
    np.testing.assert_allclose(seen, hood[1:], atol=1e-9)
