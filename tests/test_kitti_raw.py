"""KITTI raw: a drive that is computed here, and the recorded sample where it is."""

import math
import shutil
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from vista_sim.errors import TraceError
from vista_sim.traces.importers.selection import Selection
from vista_sim.traces.importers.write import import_recording
from vista_sim.traces.trace import Trace
from vista_sim.transforms import inverse

REAL = Path(__file__).resolve().parents[2] / "shared" / "data" / "samples" / "kitti_raw"
LATITUDE, LONGITUDE, ALTITUDE = 49.0, 8.4, 115.0
SPEED, RADIUS, COUNT = 9.0, 25.0, 20
YAW = 2.0  # of the car at the first pose, rad from east
IMU = np.array([0.0, 0.32, 0.93])  # of the unit in the vehicle frame
START = 1317042164.335092332  # s, only to tell that nanoseconds are kept
SIZE = (37, 124)
FORWARD = np.array([[0.0, -1, 0], [0, 0, -1], [1, 0, 0]])  # scanner (x ahead) to camera (z ahead)


def rear_axle(index):
    """Position (3,) east, north, up of the rear axle's first place, and yaw: a circle."""
    turned = SPEED * index / 10 / RADIUS
    x, y = RADIUS * math.sin(turned), RADIUS * (1 - math.cos(turned))
    c, s = math.cos(YAW), math.sin(YAW)
    return np.array([c * x - s * y, s * x + c * y, 0.0]), YAW + turned


def degrees_of(position):
    """Latitude and longitude of metres beside the first place, by the radii of curvature."""
    a, b = 6378137.0, 6356752.314245
    c, s = math.cos(math.radians(LATITUDE)), math.sin(math.radians(LATITUDE))
    w = math.hypot(a * c, b * s)
    meridian, vertical = (a * b) ** 2 / w**3 + ALTITUDE, (a**2 / w + ALTITUDE) * c
    return (
        LATITUDE + math.degrees(position[1] / meridian),
        LONGITUDE + math.degrees(position[0] / vertical),
    )


def stamp(index, late_ns=0):
    ns = 335092332 + index * 100_000_000 + late_ns
    whole = datetime.fromtimestamp(1317042164 + ns // 10**9, UTC)
    return f"{whole:%Y-%m-%d %H:%M:%S}.{ns % 10**9:09d}"


def numbers(values):
    return " ".join(f"{value:.12e}" for value in np.ravel(values))


def write_oxts(folder):
    (folder / "data").mkdir(parents=True)
    for i in range(COUNT):
        position, yaw = rear_axle(i)
        turn = Rotation.from_euler("z", yaw)
        latitude, longitude = degrees_of(position + turn.apply(IMU) - [0, 0, IMU[2]])
        rate = SPEED / RADIUS
        row = np.zeros(30)
        row[:6] = latitude, longitude, ALTITUDE, 0.0, 0.0, yaw
        row[8] = SPEED - rate * IMU[1]  # of the unit, which is inside of the bend
        row[22] = rate
        text = " ".join(f"{value:.13f}" for value in row)
        (folder / "data" / f"{i:010d}.txt").write_text(text)
    (folder / "timestamps.txt").write_text("\n".join(stamp(i) for i in range(COUNT)) + "\n")


def write_raw(root, cameras=(2, 3), sweeps=(3, 4, 9)):
    """A drive on a circle; what is ahead of the scanner in 10 m is a point of its sweeps."""
    date = root / "2011_09_26"
    drive = date / "2011_09_26_drive_0002_sync"
    write_oxts(drive / "oxts")
    baseline = {0: 0.0, 1: 0.54, 2: -0.06, 3: 0.48}
    lines = ["calib_time: 09-Jan-2012 13:57:47", f"R_rect_00: {numbers(np.eye(3))}"]
    for i, b in baseline.items():
        P = [[70, 0, 61.5, -70 * b], [0, 70, 18.0, 0], [0, 0, 1, 0]]
        lines.append(f"P_rect_{i:02d}: {numbers(P)}")
    (date / "calib_cam_to_cam.txt").write_text("\n".join(lines) + "\n")
    (date / "calib_imu_to_velo.txt").write_text(
        f"calib_time: x\nR: {numbers(np.eye(3))}\nT: -0.81 0.32 -0.80\n"
    )
    (date / "calib_velo_to_cam.txt").write_text(
        f"calib_time: x\nR: {numbers(FORWARD)}\nT: 0.0 -0.08 -0.27\ndelta_f: 0 0\n"
    )
    for camera in cameras:
        place = drive / f"image_{camera:02d}"
        (place / "data").mkdir(parents=True)
        for i in range(COUNT):
            image = np.full((*SIZE, 3), 40 + 8 * i, np.uint8)
            cv2.imwrite(str(place / "data" / f"{i:010d}.png"), image)
        late = [stamp(i, 7_000_000) for i in range(COUNT)]
        (place / "timestamps.txt").write_text("\n".join(late) + "\n")
    place = drive / "velodyne_points"
    (place / "data").mkdir(parents=True)
    for i in sweeps:
        points = [[10, 0, 0, 0.5], [-10, -1e-3, 0, 0.25], [0, 10, 1, 0.75]]
        np.array(points, "<f4").tofile(place / "data" / f"{i:010d}.bin")
    for name, shift in (("", 0), ("_start", -50_000_000), ("_end", 50_000_000)):
        lines = [stamp(i, shift) if i in sweeps else "" for i in range(COUNT)]
        (place / f"timestamps{name}.txt").write_text("\n".join(lines) + "\n")
    return root


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    return write_raw(tmp_path_factory.mktemp("raw") / "data")


@pytest.fixture
def raw(pristine, tmp_path):
    return shutil.copytree(pristine, tmp_path / "raw")


DRIVE = "2011_09_26/2011_09_26_drive_0002_sync"


def test_the_rear_axle_follows_its_circle(raw, tmp_path):
    trace = Trace.open(import_recording(raw, tmp_path / "t"))
    turned = SPEED * np.arange(COUNT) / 10 / RADIUS
    wanted = RADIUS * np.stack([np.sin(turned), 1 - np.cos(turned)], axis=1)
    np.testing.assert_allclose(trace.ego.position[:, :2], wanted, atol=2e-3)
    np.testing.assert_allclose(trace.ego.position[:, 2], 0, atol=2e-3)
    np.testing.assert_allclose(trace.ego.yaw, turned, atol=1e-9)
    np.testing.assert_allclose(trace.ego.speed, SPEED, atol=1e-9)
    np.testing.assert_allclose(trace.ego.yaw_rate, SPEED / RADIUS, atol=1e-9)
    assert trace.start_ns == 1317042164335092332
    assert trace.findings == ()
    assert trace.licence == "CC BY-NC-SA 3.0"


def test_the_trace_says_where_on_earth_it_is_unless_told_not_to(raw, tmp_path):
    origin = Trace.open(import_recording(raw, tmp_path / "t")).origin
    assert origin.latitude == pytest.approx(LATITUDE, abs=1e-9)
    assert origin.longitude == pytest.approx(LONGITUDE, abs=1e-9)
    assert origin.altitude == pytest.approx(ALTITUDE - IMU[2], abs=1e-6)
    assert origin.heading == pytest.approx(YAW)
    hidden = import_recording(raw, tmp_path / "u", selection=Selection(origin=False))
    assert Trace.open(hidden).origin is None
    assert "latitude" not in (hidden / "trace.json").read_text()


def test_what_begins_later_begins_where_the_car_is_then(raw, tmp_path):
    selection = Selection(start=0.5, end=1.5)
    trace = Trace.open(import_recording(raw, tmp_path / "t", selection=selection))
    assert trace.duration == pytest.approx(1.0)
    np.testing.assert_allclose(trace.ego.position[0], 0, atol=1e-12)
    assert trace.ego.yaw[0] == pytest.approx(0)
    position, yaw = rear_axle(5)
    latitude, longitude = degrees_of(position)
    assert trace.origin.latitude == pytest.approx(latitude, abs=1e-8)
    assert trace.origin.longitude == pytest.approx(longitude, abs=1e-8)
    assert trace.origin.heading == pytest.approx(yaw)
    # Image 5 was taken 7 ms after pose 5, image 15 after the last pose.
    assert trace.cameras["left"].t[0] == pytest.approx(0.007)
    assert trace.cameras["left"].frame_count == 10
    assert abs(int(trace.cameras["left"].frame(0).mean()) - (40 + 8 * 5)) <= 2


def test_sensors_sit_where_the_calibration_says(raw, tmp_path):
    trace = Trace.open(import_recording(raw, tmp_path / "t"))
    scanner = trace.lidars["velodyne"].calibration
    np.testing.assert_allclose(scanner.T_vehicle_lidar[:3, 3], [0.81, 0.0, 1.73], atol=1e-9)
    assert not scanner.motion_compensated
    left, right = (trace.cameras[n].calibration.T_vehicle_camera for n in ("left", "right"))
    # 0.27 m ahead of the scanner, 0.08 m below it, and 0.06 m to the left for the colour one.
    np.testing.assert_allclose(left[:3, 3], [1.08, 0.06, 1.65], atol=1e-9)
    np.testing.assert_allclose(left[:3, 2], [1, 0, 0], atol=1e-12)  # it looks ahead
    np.testing.assert_allclose(left[:3, 3] - right[:3, 3], [0, 0.54, 0], atol=1e-9)
    assert trace.cameras["left"].calibration.lens.fx == 70
    assert trace.known["left"] == {"lens": "recorded", "mount": "assumed"}
    moved = import_recording(raw, tmp_path / "u", imu_height=1.0)
    trace = Trace.open(moved)
    assert trace.known["velodyne"] == {"mount": "given"}
    assert trace.lidars["velodyne"].calibration.T_vehicle_lidar[2, 3] == pytest.approx(1.80)


def test_sweeps_are_missing_where_their_files_are_and_points_have_their_times(raw, tmp_path):
    lidar = Trace.open(import_recording(raw, tmp_path / "t")).lidars["velodyne"]
    np.testing.assert_allclose(lidar.t, [0.25, 0.35, 0.85], atol=1e-9)
    sweep = lidar.sweep(1)
    np.testing.assert_allclose(sweep.points[0], [10, 0, 0])
    np.testing.assert_allclose(sweep.intensity, [0.5, 0.25, 0.75])
    # Ahead when the cameras are triggered; behind, just turned to the left, at the start.
    np.testing.assert_allclose(sweep.point_t, [0.4, 0.35, 0.425], atol=1e-5)


def test_rate_and_size_are_chosen(raw, tmp_path):
    selection = Selection(rate=5.0, size=(18, 62), cameras=("right",))
    trace = Trace.open(import_recording(raw, tmp_path / "t", selection=selection))
    assert list(trace.cameras) == ["right"]
    camera = trace.cameras["right"]
    np.testing.assert_allclose(np.diff(camera.t), 0.2, atol=1e-6)
    assert camera.frame(0).shape == (18, 62, 3)
    lens = camera.calibration.lens
    assert (lens.fx, lens.cx) == pytest.approx((35.0, 62 * 0.5 - 0.5))


def test_of_several_drives_one_is_chosen(raw, tmp_path):
    date = raw / "2011_09_26"
    shutil.copytree(raw / DRIVE, date / "2011_09_26_drive_0005_sync")
    with pytest.raises(
        TraceError, match=r"drive_0002_sync, .*drive_0005_sync; choose one.*--drive"
    ):
        import_recording(raw, tmp_path / "t")
    made = import_recording(raw, tmp_path / "t", drive="5")
    assert Trace.open(made).name == "kitti-raw-2011_09_26_drive_0005"


def spoiled(part, text):
    def spoil(root):
        (root / part).write_text(text)

    return spoil


def without(part):
    def spoil(root):
        path = root / part
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    return spoil


def cut(part, count):
    def spoil(root):
        path = root / part
        path.write_bytes(path.read_bytes()[:count])

    return spoil


def test_what_was_taken_beside_the_poses_is_told_of(raw, tmp_path, caplog):
    """The last image of each camera is 7 ms after the last pose; here a sweep is too early too."""
    caplog.set_level("INFO")
    for name in ("_start", "_end"):
        path = raw / DRIVE / f"velodyne_points/timestamps{name}.txt"
        lines = path.read_text().split("\n")
        lines[3] = stamp(0, -9_000_000)
        path.write_text("\n".join(lines))
    import_recording(raw, tmp_path / "t")
    said = "image_02: images left out: 0 before the first pose, 1 after the last one"
    assert said in caplog.text
    said = "velodyne_points: sweeps left out: 1 before the first pose, 0 after the last one"
    assert said in caplog.text


def scaled(column, factor):
    """One value of all rows of OXTS, by a factor."""

    def spoil(root):
        for path in (root / OXTS / "data").iterdir():
            row = path.read_text().split()
            row[column] = str(float(row[column]) * factor)
            path.write_text(" ".join(row))

    return spoil


OXTS = f"{DRIVE}/oxts"
OTHER_DAY = "\n".join(f"2011-09-27 13:02:{i:02d}.0" for i in range(COUNT))
ERRORS = {
    "no oxts": (without(f"{OXTS}/data"), r"oxts: holds 0 rows of OXTS; at least 2"),
    "no times": (without(f"{OXTS}/timestamps.txt"), r"oxts/timestamps\.txt: not found"),
    "short row": (
        spoiled(f"{OXTS}/data/0000000003.txt", "49 8 100"),
        r"0000000003\.txt: line 1 must hold 30 finite numbers",
    ),
    "degrees": (
        spoiled(f"{OXTS}/data/0000000003.txt", " ".join(["490"] * 30)),
        r"0000000003\.txt: latitude and longitude must be in degrees",
    ),
    "no time": (
        spoiled(f"{OXTS}/timestamps.txt", "yesterday\n" * COUNT),
        r"timestamps\.txt: line 1 must be a time such as",
    ),
    "few times": (
        spoiled(f"{OXTS}/timestamps.txt", "2011-09-26 13:02:44.335092332\n"),
        r"timestamps\.txt: holds 1 lines; file 0000000001 has no time",
    ),
    "same times": (
        spoiled(f"{OXTS}/timestamps.txt", "2011-09-26 13:02:44.335092332\n" * COUNT),
        r"timestamps\.txt: line 2: time must increase",
    ),
    "no rotation": (
        spoiled("2011_09_26/calib_imu_to_velo.txt", "R: 1 0 0 0 1 0 0 0 2\nT: 0 0 0\n"),
        r"calib_imu_to_velo\.txt: line R is no rotation",
    ),
    "millimetres": (
        spoiled("2011_09_26/calib_imu_to_velo.txt", "R: 1 0 0 0 1 0 0 0 1\nT: -810 320 -800\n"),
        r"calib_imu_to_velo\.txt: line T is .*; it must be in m",
    ),
    "no calibration": (
        without("2011_09_26/calib_velo_to_cam.txt"),
        r"calib_velo_to_cam\.txt: not found; the calibration is needed",
    ),
    "no R_rect": (
        spoiled("2011_09_26/calib_cam_to_cam.txt", "P_rect_02: 1 0 0 0 0 1 0 0 0 0 1 0\n"),
        r"calib_cam_to_cam\.txt: line R_rect_00 is missing",
    ),
    "no time of an image": (
        spoiled(f"{DRIVE}/image_02/timestamps.txt", "\n" * COUNT),
        r"image_02/timestamps\.txt: holds the time of no image",
    ),
    "one image twice": (
        lambda root: (root / DRIVE / "image_02/data/1.png").write_bytes(b""),
        r"data: 0000000001\.png and 1\.png are the same frame; remove one",
    ),
    "broken image": (
        cut(f"{DRIVE}/image_02/data/0000000000.png", 60),
        r"0000000000\.png: ",
    ),
    "speeds in mm/s": (
        scaled(8, 1000),
        r"oxts/data/0000000000\.txt: speed is 8885 m/s, above 150; positions must be in m, speeds",
    ),
    "rates in degrees": (
        scaled(22, 180 / math.pi),
        r"oxts/data/0000000000\.txt: yaw rate is 20\.63 rad/s, above 10; it must be in rad/s",
    ),
    "another day's images": (
        spoiled(f"{DRIVE}/image_02/timestamps.txt", OTHER_DAY),
        r"image_02/timestamps\.txt: its images are from .*; none is between them: it and oxts/time",
    ),
    "rare rows": (
        spoiled(
            f"{OXTS}/timestamps.txt", "\n".join(f"2011-09-26 13:{i:02d}:00.0" for i in range(COUNT))
        ),
        r"oxts/timestamps\.txt: poses are 60 s apart",
    ),
    "empty sweep": (
        cut(f"{DRIVE}/velodyne_points/data/0000000004.bin", 0),
        r"0000000004\.bin: is empty; unpack it anew, or remove it",
    ),
    "broken sweep": (
        cut(f"{DRIVE}/velodyne_points/data/0000000004.bin", 41),
        r"0000000004\.bin: has 41 bytes; points are four floats each",
    ),
    "infinite point": (
        lambda root: np.full(8, np.inf, "<f4").tofile(
            root / DRIVE / "velodyne_points/data/0000000004.bin"
        ),
        r"0000000004\.bin: point 0 is not finite",
    ),
}


@pytest.mark.parametrize("case", ERRORS)
def test_a_wrong_recording_is_refused_with_one_line_and_leaves_nothing(raw, tmp_path, case):
    spoil, message = ERRORS[case]
    spoil(raw)
    with pytest.raises(TraceError, match=message) as caught:
        import_recording(raw, tmp_path / "t", "kitti-raw")
    assert "\n" not in str(caught.value)
    assert [p.name for p in tmp_path.iterdir()] == ["raw"]


def test_what_is_not_rectified_is_refused(raw, tmp_path):
    (raw / DRIVE).rename(raw / DRIVE.replace("_sync", "_extract"))
    with pytest.raises(TraceError, match=r"_extract: .*take the drive that ends in _sync"):
        import_recording(raw, tmp_path / "t")


@pytest.mark.skipif(not REAL.is_dir(), reason="the sample is not here")
def test_recorded_points_lie_on_the_road_and_before_the_camera(tmp_path):
    trace = Trace.open(import_recording(REAL, tmp_path / "t"))
    assert trace.ego.speed.mean() == pytest.approx(8.9, abs=0.2)
    # What the wheels' way is by the positions, against the recorded speed.
    way = np.linalg.norm(np.diff(trace.ego.position, axis=0), axis=1).sum()
    assert way == pytest.approx(np.trapezoid(trace.ego.speed, trace.ego.t), rel=0.01)
    lidar = trace.lidars["velodyne"]
    points = lidar.sweep(0).points
    mount = lidar.calibration.T_vehicle_lidar
    there = points @ mount[:3, :3].T + mount[:3, 3]
    near = (np.hypot(there[:, 0] - 6, there[:, 1]) < 3) & (np.abs(there[:, 2]) < 0.5)
    assert near.sum() > 500
    assert np.median(there[near, 2]) == pytest.approx(0.0, abs=0.05)
    camera = trace.cameras["left"].calibration
    T_camera_vehicle = inverse(camera.T_vehicle_camera)
    seen = there @ T_camera_vehicle[:3, :3].T + T_camera_vehicle[:3, 3]
    pixels = camera.lens.project(seen[seen[:, 2] > 2])
    inside = ((pixels >= 0) & (pixels < camera.lens.size[::-1])).all(axis=1)
    assert inside.sum() > 15_000  # of some 120,000 all around
