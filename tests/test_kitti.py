import math
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from vista_sim.errors import TraceError
from vista_sim.traces.importers.selection import Selection
from vista_sim.traces.importers.write import import_recording
from vista_sim.traces.trace import Trace
from vista_sim.traces.video import VideoWriter

REAL = Path(__file__).resolve().parents[2] / "shared" / "data" / "kitti-odometry"
FOCAL, CX, CY, BASELINE = 70.0, 29.5, 18.5, 0.54
MOUNT_X, HEIGHT, SPEED, RADIUS, RATE = 1.08, 1.65, 8.0, 20.0, 10.0
COUNT = 24
# Axes of the camera (x right, y down, z forward) in the vehicle (x forward, y left, z up).
FORWARD = np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])


def import_kitti_odometry(src, dst, cameras=None, **options):
    selection = Selection(cameras=None if cameras is None else tuple(cameras.split(",")))
    return import_recording(src, dst, "kitti-odometry", selection=selection, **options)


def rear_axle(index):
    """Position (2,) and yaw of the middle of the rear axle: a circle to the left."""
    yaw = SPEED * index / RATE / RADIUS
    return RADIUS * np.array([math.sin(yaw), 1 - math.cos(yaw)]), yaw


def camera_in_world(index, pitch):
    """4x4 pose of the left camera of a car on flat ground, looking down by pitch."""
    position, yaw = rear_axle(index)
    turn = Rotation.from_euler("z", yaw).as_matrix()
    pose = np.eye(4)
    pose[:3, :3] = turn @ Rotation.from_euler("y", pitch).as_matrix() @ FORWARD
    pose[:3, 3] = turn @ [MOUNT_X, 0, HEIGHT] + [*position, 0]
    return pose


def projection(baseline, shift=0.0):
    P = np.array([[FOCAL, 0, CX, -FOCAL * baseline], [0, FOCAL, CY, shift], [0, 0, 1, 0]])
    return " ".join(f"{v:.12e}" for v in P.ravel())


def image_of(index, camera):
    """A picture (38, 60, 3) in BGR that tells index and camera; colour for 2 and 3."""
    image = np.full((38, 60, 3), 40 + 6 * index, dtype=np.uint8)
    if camera >= 2:
        image[:] = (30, 60 + 5 * index, 200)  # mostly red
    image[:, : 10 * (camera + 1)] //= 2
    return image


def write_kitti(root, cameras=(0, 1), lines="0123", pitch=0.0):
    sequence = root / "sequences" / "00"
    sequence.mkdir(parents=True)
    (root / "poses").mkdir()
    first = np.linalg.inv(camera_in_world(0, pitch))
    poses = [(first @ camera_in_world(i, pitch))[:3].ravel() for i in range(COUNT)]
    np.savetxt(root / "poses" / "00.txt", poses, fmt="%.12e")
    np.savetxt(sequence / "times.txt", np.arange(COUNT) / RATE, fmt="%.6e")
    shifts = {"0": 0.0, "1": BASELINE, "2": -0.06, "3": BASELINE - 0.06}
    calib = [f"P{n}: {projection(shifts[n])}" for n in lines]
    (sequence / "calib.txt").write_text("\n".join([*calib, "Tr: " + "0 " * 12]) + "\n")
    for camera in cameras:
        folder = sequence / f"image_{camera}"
        folder.mkdir()
        for index in range(COUNT):
            image = image_of(index, camera)
            if camera < 2:
                image = image[..., 0]
            cv2.imwrite(str(folder / f"{index:06d}.png"), image)
    return root


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    return write_kitti(tmp_path_factory.mktemp("kitti") / "data", cameras=(0, 1, 2, 3))


@pytest.fixture
def kitti(pristine, tmp_path):
    return shutil.copytree(pristine, tmp_path / "kitti")


@pytest.mark.parametrize("pitch", [0.0, 0.05])
def test_the_vehicle_follows_the_circle_of_its_rear_axle(tmp_path, pitch):
    src = write_kitti(tmp_path / "kitti", cameras=(0,), pitch=pitch)
    trace = Trace.open(import_kitti_odometry(src, tmp_path / "t", mount_x=MOUNT_X, pitch=pitch))
    wanted = [rear_axle(i) for i in range(COUNT)]
    np.testing.assert_allclose(trace.ego.position[:, :2], [p for p, _ in wanted], atol=1e-9)
    np.testing.assert_allclose(trace.ego.position[:, 2], 0, atol=1e-9)
    np.testing.assert_allclose(trace.ego.yaw, [yaw for _, yaw in wanted], atol=1e-9)
    # The chord of the circle is what positions tell between frames: 0.7 per mille here.
    np.testing.assert_allclose(trace.ego.speed, SPEED, rtol=5e-3)
    np.testing.assert_allclose(trace.ego.yaw_rate, SPEED / RADIUS, rtol=1e-6)
    assert trace.path.curvature(8.0) == pytest.approx(1 / RADIUS, rel=0.01)
    mount = trace.cameras["left"].calibration.T_vehicle_camera
    np.testing.assert_allclose(mount[:3, 3], [MOUNT_X, 0, HEIGHT])
    assert mount[2, 2] == pytest.approx(-math.sin(pitch))  # the view's axis points down


def test_a_wrong_mount_makes_the_car_slip_sideways(tmp_path):
    src = write_kitti(tmp_path / "kitti", cameras=(0,))
    trace = Trace.open(import_kitti_odometry(src, tmp_path / "t", mount_x=0.0, pitch=0.0))
    sides = np.diff(trace.ego.position[:, :2], axis=0)
    middle = (trace.ego.yaw[1:] + trace.ego.yaw[:-1]) / 2
    slip = np.arctan2(sides[:, 1], sides[:, 0]) - middle
    # The camera, 1.08 m ahead of the axle, moves at atan(1.08 / 20) to the car's axis.
    np.testing.assert_allclose(slip, math.atan(MOUNT_X / RADIUS), atol=1e-3)


def test_mounts_turn_up_where_options_say(kitti, tmp_path):
    options = {"mount_x": 1.5, "mount_y": 0.3, "height": 1.2, "mount_yaw": 0.1, "pitch": 0.0}
    trace = Trace.open(import_kitti_odometry(kitti, tmp_path / "t", images="gray", **options))
    left = trace.cameras["left"].calibration.T_vehicle_camera
    right = trace.cameras["right"].calibration.T_vehicle_camera
    np.testing.assert_allclose(left[:3, 3], [1.5, 0.3, 1.2])
    np.testing.assert_allclose(left[:3, 2], [math.cos(0.1), math.sin(0.1), 0], atol=1e-12)
    np.testing.assert_allclose(right[:3, 3] - left[:3, 3], BASELINE * left[:3, 0], atol=1e-9)
    assert trace.cameras["left"].calibration.lens.fx == FOCAL
    assert trace.cameras["left"].calibration.lens.size == (38, 60)


@pytest.mark.parametrize("images", ["gray", "color", "auto"])
def test_gray_and_colour_are_read_as_what_they_are(kitti, tmp_path, images):
    trace = Trace.open(import_kitti_odometry(kitti, tmp_path / "t", images=images))
    first = 0 if images == "gray" else 2
    assert list(trace.cameras) == ["left", "right"]
    for number, name in enumerate(trace.cameras, first):
        camera = trace.cameras[name]
        assert camera.frame_count == COUNT
        np.testing.assert_allclose(camera.t, np.arange(COUNT) / RATE, atol=1e-9)
        for index in (0, 11, 23):
            wanted = image_of(index, number)[..., ::-1].astype(int)
            away = np.abs(camera.frame(index) - wanted)
            assert away[:, np.r_[:8, 45:60]].max() <= 6  # red stays red, apart from the edge
    if images != "gray":
        camera = trace.cameras["left"].calibration.T_vehicle_camera[:3, 3]
        assert camera[1] == pytest.approx(0.06)  # the colour camera is left of the gray one


@pytest.mark.parametrize(
    ("cameras", "names"),
    [("left", ["left"]), ("right", ["right"]), ("left,right", ["left", "right"])],
)
def test_cameras_can_be_chosen(kitti, tmp_path, cameras, names):
    path = import_kitti_odometry(kitti, tmp_path / "t", cameras=cameras)
    assert list(Trace.open(path).cameras) == names


def test_one_camera_with_the_lines_that_are_there_is_enough(tmp_path):
    src = write_kitti(tmp_path / "kitti", cameras=(0,), lines="0")
    done = []
    path = import_kitti_odometry(src, tmp_path / "t", progress=lambda *a: done.append(a))
    assert list(Trace.open(path).cameras) == ["left"]
    assert done == [(i + 1, COUNT) for i in range(COUNT)]


def remove(*parts):
    def spoil(root):
        path = root.joinpath(*parts)
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    return spoil


def rewrite(part, change):
    def spoil(root):
        path = root / part
        path.write_text("\n".join(change(path.read_text().splitlines())) + "\n")

    return spoil


SEQUENCE = "sequences/00"
GRAY = f"{SEQUENCE}/image_0"
ERRORS = {
    "no poses": (remove("poses", "00.txt"), r"poses/00\.txt: not found; without poses"),
    "no sequence": (remove(SEQUENCE), r"sequences/00: no such folder"),
    "fewer images": (
        remove(GRAY, "000007.png"),
        r"image_0: holds 23 images, .*00\.txt holds 24 poses; the first missing is 000007\.png",
    ),
    "no images": (remove(GRAY), r"image_0: no such folder"),
    "no calibration": (remove(SEQUENCE, "calib.txt"), r"calib\.txt: not found"),
    "no line": (
        rewrite(f"{SEQUENCE}/calib.txt", lambda rows: rows[1:]),
        r"calib\.txt: line P0, .* is missing",
    ),
    "short line": (
        rewrite(f"{SEQUENCE}/calib.txt", lambda rows: ["P0: 1 2 3", *rows[1:]]),
        r"calib\.txt: line P0 must hold 12 numbers",
    ),
    "no matrix": (
        rewrite(f"{SEQUENCE}/calib.txt", lambda rows: ["P0:" + " 0" * 12, *rows[1:]]),
        r"calib\.txt: line P0 is no projection matrix",
    ),
    "no times": (remove(SEQUENCE, "times.txt"), r"times\.txt: not found"),
    "fewer times": (
        rewrite(f"{SEQUENCE}/times.txt", lambda rows: rows[:-2]),
        r"times\.txt: holds 22 times, .* holds 24 poses",
    ),
    "time backwards": (
        rewrite(f"{SEQUENCE}/times.txt", lambda rows: [*rows[:4], "0.1", *rows[5:]]),
        r"times\.txt: line 5: time must increase",
    ),
    "pose with nan": (
        rewrite("poses/00.txt", lambda rows: ["nan " * 12, *rows[1:]]),
        r"00\.txt: line 1 must hold 12 finite numbers",
    ),
    "short pose": (
        rewrite("poses/00.txt", lambda rows: [rows[0], "1 2 3", *rows[2:]]),
        r"00\.txt: line 2 must hold 12 finite numbers",
    ),
    "no rotation": (
        rewrite("poses/00.txt", lambda rows: [rows[0], "1 " * 12, *rows[2:]]),
        r"00\.txt: pose 1 is no rotation and translation",
    ),
    "broken image": (
        lambda root: (root / GRAY / "000003.png").write_text("no picture"),
        r"000003\.png: cannot be read as an image",
    ),
    "other size": (
        lambda root: cv2.imwrite(
            str(root / GRAY / "000005.png"), np.zeros((38, 62), dtype=np.uint8)
        ),
        r"000005\.png: is \(38, 62\); the first image is \(38, 60\)",
    ),
    "times 1e308": (
        rewrite(f"{SEQUENCE}/times.txt", lambda rows: [*rows[:3], "1e308", *rows[4:]]),
        r"times\.txt: line 4: time is 1e\+308; is it in s",
    ),
    "times in ns": (
        rewrite(f"{SEQUENCE}/times.txt", lambda rows: [f"{float(r) * 1e9 + 1e18}" for r in rows]),
        r"times\.txt: line 1: time is 1e\+18; is it in s",
    ),
    "times in ms": (
        rewrite(f"{SEQUENCE}/times.txt", lambda rows: [f"{float(r) * 1e3}" for r in rows]),
        r"sequences/00/times\.txt: poses are 100 s apart; is their time in another unit",
    ),
    "times too close": (
        rewrite(f"{SEQUENCE}/times.txt", lambda rows: [f"{i * 1e-11}" for i in range(len(rows))]),
        r"times\.txt: line 2: time must increase, by 1 ns at least",
    ),
    "singular matrix": (
        rewrite(f"{SEQUENCE}/calib.txt", lambda rows: ["P0: 1 0 0 0 1 1 0 0 0 0 0 0", *rows[1:]]),
        r"calib\.txt: line P0 is no projection matrix",
    ),
    "skewed matrix": (
        rewrite(
            f"{SEQUENCE}/calib.txt", lambda rows: ["P0: 70 5 30 0 0 70 20 0 0 0 1 0", *rows[1:]]
        ),
        r"calib\.txt: line P0 is no projection matrix",
    ),
    "absurd matrix": (
        rewrite(
            f"{SEQUENCE}/calib.txt", lambda rows: ["P0: 1e300 0 1 0 0 1e300 1 0 0 0 1 0", *rows[1:]]
        ),
        r"calib\.txt: line P0 is no projection matrix",
    ),
    "line twice": (
        rewrite(f"{SEQUENCE}/calib.txt", lambda rows: [rows[0], *rows]),
        r"calib\.txt: line P0 is there twice",
    ),
    "poses 1e300": (
        rewrite("poses/00.txt", lambda rows: [rows[0], "1e300 " * 12, *rows[2:]]),
        r"00\.txt: pose 1 is no rotation and translation",
    ),
    "mirrored pose": (
        rewrite("poses/00.txt", lambda rows: [rows[0], "1 0 0 0 0 1 0 0 0 0 -1 0", *rows[2:]]),
        r"00\.txt: pose 1 is no rotation and translation",
    ),
    "text in another coding": (
        lambda root: (root / "poses/00.txt").write_bytes(b"\xff\xfe1\x000\x00"),
        r"00\.txt: line 1: is not UTF-8 text",
    ),
    "image missing and one too many": (
        lambda root: (root / GRAY / "000007.png").rename(root / GRAY / "000024.png"),
        r"image_0: holds 24 images, .* 24 poses; the first missing is 000007\.png and "
        r"000024\.png has no pose",
    ),
    "image too many": (
        lambda root: shutil.copy(root / GRAY / "000007.png", root / GRAY / "000030.png"),
        r"image_0: holds 25 images, .* 24 poses; 000030\.png has no pose",
    ),
    "frame twice": (
        lambda root: shutil.copy(root / GRAY / "000007.png", root / GRAY / "7.png"),
        r"image_0: 000007\.png and 7\.png are the same frame",
    ),
    "another format": (
        lambda root: [p.rename(p.with_suffix(".webp")) for p in (root / GRAY).iterdir()],
        r"image_0: holds 24 images in another format \(000000\.webp\); PNG or JPEG is needed",
    ),
    "sixteen bits": (
        lambda root: cv2.imwrite(
            str(root / GRAY / "000000.png"), np.full((38, 60), 4095, np.uint16)
        ),
        r"000000\.png: has 16 bits a channel",
    ),
    "centimetres": (
        rewrite("poses/00.txt", lambda rows: [scaled(row, 100) for row in rows]),
        r"00\.txt: pose 0: speed is 801\.4 m/s, above 150; positions must be in m",
    ),
}


def scaled(row, factor):
    values = np.array(row.split(), dtype=float).reshape(3, 4)
    values[:, 3] *= factor
    return " ".join(f"{v:.12e}" for v in values.ravel())


@pytest.mark.parametrize("case", ERRORS)
def test_a_wrong_recording_is_refused_with_one_line(kitti, tmp_path, case):
    spoil, message = ERRORS[case]
    spoil(kitti)
    with pytest.raises(TraceError, match=message) as caught:
        import_kitti_odometry(kitti, tmp_path / "t", cameras="left", images="gray")
    assert "\n" not in str(caught.value)
    assert [p.name for p in tmp_path.iterdir()] == ["kitti"]


def test_byte_order_marks_jpegs_and_brackets_in_paths_do_no_harm(kitti, tmp_path):
    root = kitti.rename(tmp_path / "my [kitti] drive")
    for path in (f"{SEQUENCE}/calib.txt", f"{SEQUENCE}/times.txt", "poses/00.txt"):
        text = (root / path).read_text()
        (root / path).write_text(text, encoding="utf-8-sig")
    for path in sorted((root / GRAY).iterdir()):
        image = cv2.imread(str(path))
        path.unlink()
        cv2.imwrite(str(path.with_suffix(".jpg")), image, [cv2.IMWRITE_JPEG_QUALITY, 98])
    options = {"cameras": "left", "images": "gray"}
    trace = Trace.open(import_kitti_odometry(root, tmp_path / "[a] trace", **options))
    for index in (0, 11, 23):
        wanted = image_of(index, 0)[..., ::-1].astype(int)
        away = np.abs(trace.cameras["left"].frame(index) - wanted)
        assert away[:, np.r_[:8, 20:60]].max() <= 8


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sequence": "../00"}, "sequence is '../00'"),
        ({"cameras": "rear"}, "no camera 'rear'; cameras: left, right"),
        ({"images": "infrared"}, "images is 'infrared'"),
    ],
)
def test_options_are_checked(kitti, tmp_path, options, message):
    with pytest.raises(TraceError, match=message):
        import_kitti_odometry(kitti, tmp_path / "t", **options)


def test_a_full_disk_half_way_leaves_nothing(kitti, tmp_path, monkeypatch):
    written = VideoWriter.write

    def write(self, rgb):
        if self.frame_count == 10:
            raise OSError(28, "No space left on device")
        written(self, rgb)

    monkeypatch.setattr(VideoWriter, "write", write)
    with pytest.raises(TraceError, match=r"no space left on the device"):
        import_kitti_odometry(kitti, tmp_path / "t")
    assert [p.name for p in tmp_path.iterdir()] == ["kitti"]


@pytest.mark.skipif(not REAL.is_dir(), reason="the real recording is not here")
def test_a_real_sequence_has_the_length_and_bend_of_its_poses(tmp_path):
    trace = Trace.open(import_kitti_odometry(REAL, tmp_path / "t", cameras="left"))
    rows = np.loadtxt(REAL / "poses" / "00.txt").reshape(-1, 3, 4)
    driven = np.linalg.norm(np.diff(rows[:, :, 3], axis=0), axis=1).sum()
    assert trace.path.length == pytest.approx(driven, rel=0.01)
    assert len(trace.sections) == 1
    assert trace.cameras["left"].frame_count == 100
    turned = Rotation.from_matrix(rows[0, :, :3].T @ rows[-1, :, :3]).magnitude()
    assert abs(trace.ego.yaw[-1]) == pytest.approx(turned, abs=0.02)
    assert trace.ego.yaw[-1] < 0  # the street bends to the right
    assert trace.path.curvature(trace.path.length - 2) < -0.03
    image = cv2.imread(str(REAL / "sequences/00/image_0/000042.png"), cv2.IMREAD_GRAYSCALE)
    frame = trace.cameras["left"].frame(42)
    error = frame[..., 1].astype(float) - image
    assert 10 * math.log10(255**2 / np.mean(error**2)) > 39
