"""Motion by pictures alone, of a street that is drawn here and of recorded ones where they are."""

import importlib.util
import json
import logging
import math
import sys
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from filmed_street import AHEAD, COUNT, HEIGHT, LENS, MOUNT, PITCH, SIZE, STEP, YAW, film, pose_at

from vista_sim.cli import main
from vista_sim.errors import TraceError
from vista_sim.traces.calibration import Lens
from vista_sim.traces.importers import visual_odometry
from vista_sim.traces.importers.image_folder import ImageFolder
from vista_sim.traces.importers.visual.car import motion_of, mount_of
from vista_sim.traces.importers.visual.drive import Stretch, drive_of, scaled
from vista_sim.traces.importers.visual.ground import RoadRegion, View, evened, smoothed
from vista_sim.traces.importers.visual.odometer import metres, way_of
from vista_sim.traces.importers.visual.reconstruction import (
    CHUNK,
    OVERLAP,
    Piece,
    chunks_of,
    joined,
)
from vista_sim.traces.importers.visual.resection import path_of
from vista_sim.traces.importers.visual.store import TrackStore
from vista_sim.traces.importers.visual.tracking import Followed
from vista_sim.traces.importers.work import Work
from vista_sim.traces.importers.write import import_recording
from vista_sim.traces.trace import Trace
from vista_sim.transforms import camera_mount, inverse, planar_pose

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))
from odometry_errors import sub_path_errors, way

needs_pycolmap = pytest.mark.skipif(
    importlib.util.find_spec("pycolmap") is None, reason="pycolmap is not installed"
)
RATE = 10.0
MATRIX = f"{LENS.fx},{LENS.fy},{LENS.cx},{LENS.cy}"


@pytest.fixture(scope="module")
def street():
    return film()


def source_of(pictures):
    return lambda numbers: (pictures[number] for number in numbers)


def write_images(folder, pictures):
    folder.mkdir()
    for number, picture in enumerate(pictures):
        cv2.imwrite(str(folder / f"{number:06d}.png"), picture)
    return folder


# The measure.


def test_a_path_that_is_two_percent_too_long_errs_by_two_percent():
    true = np.tile(np.eye(4), (101, 1, 1))
    true[:, 0, 3] = np.arange(101.0)
    found = true.copy()
    found[:, 0, 3] *= 1.02
    errors = sub_path_errors(true, found, (20.0, 40.0))
    assert errors.translation == pytest.approx(0.02)
    assert errors.rotation == pytest.approx(0.0, abs=1e-9)
    assert errors.count == 81 + 61


def test_a_path_that_turns_by_a_thousandth_each_metre_errs_by_that():
    true = np.tile(np.eye(4), (51, 1, 1))
    true[:, 0, 3] = np.arange(51.0)
    found = np.array([planar_pose(s, 0.0, 1e-3 * s) for s in range(51)])
    errors = sub_path_errors(true, found, (20.0,))
    assert errors.rotation == pytest.approx(1e-3, rel=1e-6)
    # Each end is seen under the angle that the start was turned by: on average 15 of 1000.
    assert errors.translation == pytest.approx(np.mean(2 * np.sin(5e-4 * np.arange(31))))


# Parts.


def test_chunks_overlap_cover_all_and_meet_where_the_camera_turns_least():
    turning = np.ones(200)
    turning[90:125] = 0.0
    chunks = chunks_of(turning)
    assert chunks[0][0] == 0
    assert chunks[-1][1] == 200
    assert all(a[1] - b[0] == OVERLAP for a, b in pairwise(chunks))
    assert any(first >= 90 and first + OVERLAP <= 125 for first, _ in chunks)
    assert chunks_of(np.ones(CHUNK)) == [(0, CHUNK)]


def test_pieces_of_different_units_are_joined_and_strangers_are_not():
    rng = np.random.default_rng(1)
    points = np.stack([rng.uniform(0, 60, 400), *rng.uniform(-8, 8, (2, 400))], axis=1)
    poses = np.array([pose_at(s) @ MOUNT for s in np.arange(0.0, 30.0)])
    first = Piece(np.arange(18), poses[:18], np.arange(400), points)
    T = camera_mount(3.0, -2.0, 1.0, roll=0.3, yaw=1.0)
    moved = T @ poses[10:]
    moved[:, :3, 3] *= 0.4
    second = Piece(
        np.arange(10, 30), moved, np.arange(400), 0.4 * (points @ T[:3, :3].T + T[:3, 3])
    )
    chains = joined([first, second])
    assert len(chains) == 1
    assert np.allclose(chains[0][1].T_piece_camera, poses[10:], atol=1e-9)
    assert np.allclose(chains[0][1].xyz, points, atol=1e-9)
    wrong = Piece(second.frames, second.T_piece_camera, second.ids, rng.permutation(second.xyz))
    assert len(joined([first, wrong])) == 2


def test_a_keyframe_far_from_what_its_points_say_is_brought_there(tmp_path):
    rng = np.random.default_rng(4)
    lens = Lens("pinhole", 300.0, 300.0, 159.5, 89.5, (180, 320))
    true = np.array([planar_pose(0.0, 0.0, 0.0) for _ in range(9)])
    true[:, 2, 3] = 0.5 * np.arange(9)  # ahead along the optical axis
    xyz = rng.uniform((-8, -4, 8), (8, 4, 30), (200, 3))
    store = TrackStore(tmp_path)
    keyframes = [0, 3, 6]
    for number, pose in enumerate(true):
        there = xyz - pose[:3, 3]
        xy = lens.project(there).astype(np.float32)
        store.add(Followed(np.arange(200), xy, number in keyframes), 200)
    store.flush(200)
    poses = true[keyframes].copy()
    poses[-1, :3, 3] += (0.4, 0.0, -1.5)  # as COLMAP leaves one that is held from one side alone
    piece = Piece(np.array(keyframes), poses, np.arange(200), xyz)
    path = path_of([piece], store, lens)
    assert path.frames.tolist() == list(range(9))
    np.testing.assert_allclose(path.T_chain_camera, true, atol=1e-4)


def test_the_road_between_two_pictures_tells_height_and_tilt(street):
    pictures, poses = street
    true_up = poses[0, :3, :3].T @ (0, 0, 1)
    ahead = poses[0, :3, :3].T @ pose_at(0.0)[:3, 0]
    off = math.radians(0.4)
    up = math.cos(off) * true_up - math.sin(off) * ahead
    road = RoadRegion(LENS.fx, LENS.cx, LENS.cy, SIZE, up, np.cross(np.cross(up, ahead), up))
    views = [View(evened(pictures[i]), poses[i], 0) for i in (0, 2)]
    height, pitch, roll, alike = road.fit(road.rays(), views[0], views[1:], 1.1 * HEIGHT)
    assert height == pytest.approx(HEIGHT, rel=0.02)
    assert math.degrees(pitch) == pytest.approx(0.4, abs=0.2)
    assert math.degrees(roll) == pytest.approx(0.0, abs=0.2)
    assert alike > 0.8


def test_heights_follow_a_drift_and_pass_by_outliers():
    arc = np.arange(0.0, 400.0, 1.0)
    true = 0.2 * np.exp(2e-4 * arc)
    rng = np.random.default_rng(2)
    seen = true * np.exp(0.015 * rng.standard_normal(400))
    seen[50:60], seen[200:260] = 2.0, np.nan
    found = smoothed(arc, np.zeros(399), seen, np.ones(400))
    assert np.abs(np.log(found / true)).max() < 0.015


def test_steps_are_scaled_each_by_its_own_scale():
    place = np.stack([np.arange(5.0), np.zeros(5), np.zeros(5)], axis=1)
    assert scaled(place, np.array([1.0, 1, 2, 2, 2]))[:, 0].tolist() == [0, 1, 2.5, 4.5, 6.5]


def stretch_of(ways, first=0):
    poses = np.array([pose_at(s) @ MOUNT for s in ways])
    turn = MOUNT[:3, :3].T
    ahead = turn @ (math.cos(0.01), math.sin(0.01), 0)  # as motion tells it: not quite
    frames = np.arange(first, first + len(ways))
    return Stretch(frames, inverse(poses[0]) @ poses, turn @ (0, 0, 1), ahead, 1.0)


def test_the_mount_is_told_by_the_road_and_the_motion_in_bends_too():
    mount = mount_of([stretch_of(np.arange(0.0, 45.0, STEP))], (AHEAD, 0.0, HEIGHT), None, None)
    assert np.allclose(mount, MOUNT, atol=1e-3)
    given = mount_of([stretch_of(np.arange(0.0, 45.0, STEP))], (AHEAD, 0.0, HEIGHT), PITCH, YAW)
    assert np.allclose(given, MOUNT, atol=1e-9)


def test_a_second_stretch_begins_after_a_gap_where_the_car_was_heading():
    ways = STEP * np.arange(60)
    t_ns = np.arange(60) * 100_000_000
    motion = motion_of([stretch_of(ways[:20]), stretch_of(ways[20:], 20)], t_ns, MOUNT)
    lost = np.flatnonzero(np.diff(motion.t_ns) > 100_000_000)
    assert len(lost) == 1
    assert motion.t_ns[lost[0] + 1] - motion.t_ns[lost[0]] > 250_000_000
    step = motion.position[lost[0] + 1] - motion.position[lost[0]]
    assert np.linalg.norm(step) == pytest.approx(3 * STEP, rel=0.05)
    assert np.abs(motion.speed - STEP * RATE).max() < 0.3


# All of it.


@needs_pycolmap
def test_the_drive_is_found_in_metres_by_the_height_of_the_camera(street, tmp_path):
    pictures, poses = street
    told = []
    drive = drive_of(
        source_of(pictures),
        COUNT,
        SIZE,
        tmp_path,
        height=HEIGHT,
        lens=LENS,
        step=lambda *a: told.append(a),
    )
    (stretch,) = drive.stretches
    assert stretch.frames.tolist() == list(range(COUNT))
    errors = sub_path_errors(poses, stretch.T_stretch_camera, (10.0, 20.0, 30.0))
    assert errors.translation < 0.02
    assert math.degrees(errors.rotation) < 0.02
    assert way(stretch.T_stretch_camera)[-1] == pytest.approx(way(poses)[-1], rel=0.02)
    assert {what for what, _, _ in told} == {
        "following points",
        "reconstructing",
        "looking at the road",
    }
    # Twice as high a camera drives twice as far; what was found is not found again.
    told.clear()
    high = drive_of(
        source_of(pictures),
        COUNT,
        SIZE,
        tmp_path,
        height=2 * HEIGHT,
        lens=LENS,
        step=lambda *a: told.append(a),
    )
    assert way(high.stretches[0].T_stretch_camera)[-1] == pytest.approx(
        2 * way(stretch.T_stretch_camera)[-1], rel=0.01
    )
    assert {what for what, _, _ in told} == {"looking at the road"}
    # A log of the way measures it, whatever the height is said to be.
    along = 0.9 * STEP * np.arange(COUNT)
    along[:10] = np.nan
    logged = drive_of(
        source_of(pictures), COUNT, SIZE, tmp_path, height=2 * HEIGHT, lens=LENS, way=along
    )
    errors = sub_path_errors(poses, logged.stretches[0].T_stretch_camera, (10.0, 20.0, 30.0))
    assert errors.translation == pytest.approx(0.1, abs=0.02)
    with pytest.raises(TraceError, match=r"the log tells 3\.0 m of way .* time_offset right"):
        metres(stretch.T_stretch_camera, np.r_[np.linspace(0, 3, 6), np.full(COUNT - 6, np.nan)])


def test_the_way_is_what_speeds_add_up_to():
    t = np.array([0.0, 1.0, 2.0, 4.0, 5.0])
    way = way_of(t, [0.0, 10.0, 10.0, np.nan, -10.0], [-0.1, 0.0, 0.5, 1.0, 2.0, 5.0, 5.1])
    # The mean of both ends over each interval; sign of the speed does not count.
    assert way[1:6] == pytest.approx([0.0, 1.25, 5.0, 15.0, 45.0])
    assert np.isnan(way[[0, 6]]).all()


def test_metres_follow_a_scale_that_drifts():
    units = np.linspace(1.0, 1.1, 200)  # that a metre takes, over 100 m
    poses = np.tile(np.eye(4), (200, 1, 1))
    poses[:, 2, 3] = np.cumsum(0.5 * units)
    assert metres(poses, 0.5 * np.arange(200)) == pytest.approx(1 / units, rel=0.02)


@needs_pycolmap
def test_a_stop_is_one_and_where_the_way_is_lost_there_are_no_poses(street, tmp_path, caplog):
    pictures, _ = street
    # It stands for a second, and for half a second something covers the lens.
    order = [*[0] * 10, *range(1, COUNT)]
    seen = pictures[order].copy()
    rng = np.random.default_rng(4)
    seen[45:51] = rng.integers(0, 255, (6, *SIZE), dtype=np.uint8)
    folder = write_images(tmp_path / "images", seen)
    with caplog.at_level(logging.WARNING):
        made = import_recording(
            folder,
            tmp_path / "trace",
            "video",
            odometry="visual",
            image_rate=RATE,
            height=HEIGHT,
            mount_x=AHEAD,
            camera_matrix=MATRIX,
        )
    assert "the way is lost from 4." in caplog.text
    assert [path.name for path in tmp_path.iterdir() if "work" in path.name] == []
    with Trace.open(made) as trace:
        t = trace.ego.t
        gaps = np.flatnonzero(np.diff(t) > 0.25)
        assert len(gaps) == 1
        assert 4.2 < t[gaps[0]] < 4.6 < 4.9 < t[gaps[0] + 1] < 5.6
        assert np.abs(trace.ego.speed[:5]).max() < 0.1  # standing
        known = json.loads((made / "trace.json").read_bytes())["known"]["front"]
        assert known == {"lens": "given", "mount": "estimated", "height": "given"}


@needs_pycolmap
def test_the_focal_length_is_found_where_the_road_bends(street, tmp_path):
    pictures, _ = street
    drive = drive_of(source_of(pictures), COUNT, SIZE, tmp_path, height=HEIGHT)
    assert drive.lens.fx == pytest.approx(LENS.fx, rel=0.05)
    assert abs(drive.lens.distortion[0]) < 0.05


@needs_pycolmap
def test_an_interrupted_import_goes_on_where_it_was(street, tmp_path, monkeypatch):
    pictures, _ = street
    folder = write_images(tmp_path / "images", pictures[:40])
    given = {
        "odometry": "visual",
        "image_rate": RATE,
        "camera_matrix": MATRIX,
        "height": HEIGHT,
    }

    def broken_off(done, total, note=""):
        if note == "looking at the road":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_recording(folder, tmp_path / "trace", "video", progress=broken_off, **given)
    assert not (tmp_path / "trace").exists()
    assert (tmp_path / ".trace.work" / "tracks.json").is_file()
    notes = []
    import_recording(
        folder,
        tmp_path / "trace",
        "video",
        progress=lambda done, total, note="": notes.append(note),
        **given,
    )
    assert set(notes) == {"looking at the road", ""}
    assert not (tmp_path / ".trace.work").exists()


@needs_pycolmap
def test_a_camera_that_does_not_move_is_told(tmp_path):
    picture = np.random.default_rng(1).integers(0, 255, SIZE, dtype=np.uint8)
    still = source_of([cv2.GaussianBlur(picture, (5, 5), 2)] * 12)
    with pytest.raises(TraceError, match="stands still"):
        drive_of(still, 12, SIZE, tmp_path, height=HEIGHT, lens=LENS)


def test_a_missing_extra_is_told_in_one_line(tmp_path, monkeypatch, capsys):
    folder = write_images(tmp_path / "images", [np.zeros(SIZE, np.uint8)] * 3)
    monkeypatch.setattr(visual_odometry, "find_spec", lambda name: None)
    arguments = ["import", "video", str(folder), str(tmp_path / "t"), "--odometry", "visual"]
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--image-rate", "10"])
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "pip install 'vista-sim[sfm]'" in line
    assert [path.name for path in tmp_path.iterdir()] == ["images"]


# Work that can be gone on with.


def work_and_end(destination, plan, error, found):
    """Put a file into the work folder of a plan, add what was there before, and end in an error."""
    with Work(destination) as work:
        found.append(sorted(path.name for path in work.folder(plan).iterdir()))
        (work.path / "kept").write_text("x")
        raise error


def test_work_of_another_plan_begins_anew_and_errors_leave_nothing(tmp_path):
    seen = []
    for plan, error in ((1, KeyboardInterrupt), (1, KeyboardInterrupt), (2, TraceError)):
        with pytest.raises(error):
            work_and_end(tmp_path / "t", {"a": plan}, error, seen)
    assert seen == [["plan.json"], ["kept", "plan.json"], ["plan.json"]]
    assert list(tmp_path.iterdir()) == []


def test_two_imports_to_one_place_do_not_share_their_work(tmp_path):
    with Work(tmp_path / "t") as work, Work(tmp_path / "t") as other:
        work.folder({})
        with pytest.raises(TraceError, match="imported by another process"):
            other.folder({})


# Folders of images.


def test_images_get_the_times_of_a_file_beside_them_or_of_a_rate(tmp_path):
    folder = write_images(tmp_path / "images", [np.zeros((40, 60), np.uint8)] * 3)
    with pytest.raises(TraceError, match="image_rate"):
        ImageFolder.open(folder)
    assert ImageFolder.open(folder, rate=4.0).t_ns.tolist() == [0, 250_000_000, 500_000_000]
    (tmp_path / "times.txt").write_text("0.0\n0.1\n0.25\n")
    opened = ImageFolder.open(folder)
    assert opened.t_ns.tolist() == [0, 100_000_000, 250_000_000]
    assert opened.size == (40, 60)
    assert next(opened.frames([1])).shape == (40, 60, 3)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("0.0\n0.1\n", "holds 2 times"),
        ("0.0\n0.1\nx\n", "holds no times"),
        ("0.0\n0.1\nnan\n", "in s"),
        ("0.0\n0.2\n0.1\n", "line 3: time must increase"),
        ("0\n1e18\n2e18\n", "in s"),
    ],
)
def test_times_that_do_not_fit_are_told(tmp_path, text, said):
    folder = write_images(tmp_path / "images", [np.zeros((40, 60), np.uint8)] * 3)
    (tmp_path / "times.txt").write_text(text)
    with pytest.raises(TraceError, match=said):
        ImageFolder.open(folder)


def test_a_missing_image_and_one_of_another_size_are_told(tmp_path):
    folder = write_images(tmp_path / "images", [np.zeros((40, 60), np.uint8)] * 4)
    cv2.imwrite(str(folder / "000002.png"), np.zeros((30, 60), np.uint8))
    with pytest.raises(TraceError, match=r"000002.png: is \(30, 60\)"):
        list(ImageFolder.open(folder, rate=10.0).frames([1, 2]))
    (folder / "000002.png").unlink()
    with pytest.raises(TraceError, match="image 2 is missing"):
        ImageFolder.open(folder, rate=10.0)


# Recorded pictures.

KITTI = Path(__file__).resolve().parents[2] / "shared" / "data" / "kitti-odometry"


@needs_pycolmap
@pytest.mark.skipif(not KITTI.is_dir(), reason="KITTI's frames are absent")
def test_recorded_frames_give_the_recorded_motion(tmp_path):
    """Frames 46 to 76, a bend; the poses recorded before are off by more (benchmarks)."""
    files = sorted((KITTI / "sequences" / "00" / "image_0").glob("*.png"))[46:77]
    rows = np.loadtxt(KITTI / "poses" / "00.txt").reshape(-1, 3, 4)[46:77]
    true = np.tile(np.eye(4), (len(rows), 1, 1))
    true[:, :3] = rows
    lens = Lens("pinhole", 718.856, 718.856, 607.1928, 185.2157, (376, 1241))
    drive = drive_of(
        lambda numbers: (cv2.imread(str(files[i]), cv2.IMREAD_GRAYSCALE) for i in numbers),
        len(files),
        lens.size,
        tmp_path,
        height=1.65,
        lens=lens,
    )
    (stretch,) = drive.stretches
    assert len(stretch.frames) == len(files)
    errors = sub_path_errors(true, stretch.T_stretch_camera, (10.0, 20.0))
    assert errors.translation < 0.03
    assert math.degrees(errors.rotation) < 0.02


def test_a_log_whose_speeds_contradict_its_positions_gives_no_metres(tmp_path):
    folder = write_images(tmp_path / "frames", np.full((3, *SIZE), 99, np.uint8))
    rows = [f"{k},{10 * k},0,36,0" for k in range(30)]  # km/h, and a heading that is not asked for
    log = tmp_path / "log.csv"
    log.write_text("\n".join(["time,x,y,speed,heading", *rows]) + "\n")
    options = {"odometry": "visual", "image_rate": RATE, "camera_matrix": MATRIX}
    with pytest.raises(TraceError, match=r"column 'speed'.* adds up to 3\.6 .*speed=speed:km/h"):
        import_recording(folder, tmp_path / "t", "video", log=str(log), **options)
    with pytest.raises(TraceError, match="the pictures hardly change"):
        import_recording(
            folder, tmp_path / "t", "video", log=str(log), columns="speed=speed:km/h", **options
        )


def test_a_log_without_speeds_is_told(tmp_path):
    folder = write_images(tmp_path / "frames", np.full((3, *SIZE), 99, np.uint8))
    (tmp_path / "log.csv").write_text("time,lat,lon\n0,49,8\n1,49.0001,8\n")
    options = {"odometry": "visual", "image_rate": RATE, "camera_matrix": MATRIX}
    with pytest.raises(TraceError, match=r"log\.csv: tells no speeds"):
        import_recording(folder, tmp_path / "t", "video", log=str(tmp_path / "log.csv"), **options)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["frames", "log.csv"]
