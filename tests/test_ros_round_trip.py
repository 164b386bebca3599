"""The same recording imported directly and through bags of ROS 1, ROS 2 SQLite and MCAP."""

from pathlib import Path

import numpy as np
import pytest
from ros_bags import CONTAINERS, bag_file, write_recording
from scipy.spatial.transform import Rotation
from test_kitti_raw import DRIVE, write_raw

from vista_sim.traces.importers.kitti import named_matrices
from vista_sim.traces.importers.kitti_raw import CAMERAS
from vista_sim.traces.importers.numbered import numbered_files, numbered_times
from vista_sim.traces.importers.options import make_options
from vista_sim.traces.importers.registry import find_importer

MOUNT = 1e-6  # m, and of a rotation: those of calibration files have 7 digits, quaternions more
DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def opened(src, format, **options):
    importer = find_importer(format)
    return importer.open(src, make_options(importer.options, options))


def same_motion(one, other, speed=1e-3):
    np.testing.assert_array_equal(one.t_ns, other.t_ns)
    np.testing.assert_allclose(one.position, other.position, atol=1e-3)
    cosine = np.abs(np.einsum("ij,ij->i", one.quaternion, other.quaternion))
    angle = 2 * np.degrees(np.arccos(np.minimum(cosine, 1.0)))
    assert angle.max() < 1e-3
    np.testing.assert_allclose(one.speed, other.speed, atol=speed)
    np.testing.assert_allclose(one.yaw_rate, other.yaw_rate, atol=1e-6)


def same_sensors(one, other, count=None):
    """Images identical, points and times equal, calibrations the same."""
    for name in one.usual:
        a, b = one.cameras[name](), other.cameras[name]()
        np.testing.assert_array_equal(a.t_ns[:count], b.t_ns)
        np.testing.assert_allclose(
            a.calibration.T_vehicle_camera, b.calibration.T_vehicle_camera, atol=MOUNT
        )
        np.testing.assert_allclose(a.calibration.lens.matrix, b.calibration.lens.matrix)
        numbers = range(len(b.t_ns))
        for image, again in zip(a.frames(numbers), b.frames(numbers), strict=True):
            np.testing.assert_array_equal(image, again)
    assert set(one.lidars) == set(other.lidars)
    for name, a in one.lidars.items():
        b = other.lidars[name]
        np.testing.assert_array_equal(a.t_ns[:count], b.t_ns)
        np.testing.assert_allclose(
            a.calibration.T_vehicle_lidar, b.calibration.T_vehicle_lidar, atol=MOUNT
        )
        numbers = range(len(b.t_ns))
        for points, again in zip(a.sweeps(numbers), b.sweeps(numbers), strict=True):
            np.testing.assert_array_equal(points.xyz, again.xyz)
            np.testing.assert_array_equal(points.intensity, again.intensity)
            if points.t_ns is None:
                assert again.t_ns is None
            else:
                np.testing.assert_array_equal(points.t_ns, again.t_ns)


@pytest.mark.parametrize("kind", CONTAINERS)
def test_a_drive_of_kitti_through_a_bag_is_the_same(tmp_path, kind):
    direct = opened(write_raw(tmp_path / "raw"), "kitti-raw")
    bag = write_recording(tmp_path / ("drive.bag" if kind == "bag" else "drive"), kind, direct)
    again = opened(bag, "ros")
    same_motion(direct.motion, again.motion)
    same_sensors(direct, again)


def write_files(path, kind, src):
    """The files of a drive as messages: OXTS as NavSatFix and Imu, PNGs as they are, sweeps, and
    the calibration files as tf and CameraInfo. All cameras are in the frame of the first.
    """
    drive, date = src / DRIVE, (src / DRIVE).parent
    calibration = {
        name: named_matrices(date / f"calib_{name}.txt", {"R": (3, 3), "T": (3, 1)})
        for name in ("imu_to_velo", "velo_to_cam")
    }
    projections = {f"P_rect_{i:02d}": (3, 4) for i in range(4)}
    cameras = named_matrices(date / "calib_cam_to_cam.txt", {"R_rect_00": (3, 3), **projections})

    def rigid(R, T):
        pose = np.eye(4)
        pose[:3, :3], pose[:3, 3] = R, np.ravel(T)
        return pose

    chain = [
        ("base_link", "imu_link", rigid(np.eye(3), (0.0, 0.32, 0.93))),
        ("imu_link", "velo_link", np.linalg.inv(rigid(**calibration["imu_to_velo"]))),
        ("velo_link", "cam_0", np.linalg.inv(rigid(**calibration["velo_to_cam"]))),
        ("cam_0", "cam_0_rect", np.linalg.inv(rigid(cameras["R_rect_00"], (0, 0, 0)))),
    ]
    files = numbered_files(drive / "oxts" / "data", (".txt",))
    kept, t_ns = numbered_times(drive / "oxts" / "timestamps.txt", list(files))
    with bag_file(path, kind) as bag:
        for parent, child, pose in chain:
            bag.transform("/tf_static", int(t_ns[-1]), parent, child, pose)
        for number, ns in zip(kept, t_ns.tolist(), strict=True):
            row = np.array(files[number].read_text().split(), float)
            bag.fix("/fix", ns, *row[:3].tolist(), frame="imu_link")
            turn = Rotation.from_euler("ZYX", row[[5, 4, 3]]).as_matrix()
            bag.imu("/imu/data", ns, turn, row[20:23])
        for name, i in CAMERAS.items():
            place = drive / f"image_{i:02d}"
            images = numbered_files(place / "data", (".png",))
            if not images:
                continue
            kept, t_ns = numbered_times(place / "timestamps.txt", list(images))
            for number, ns in zip(kept, t_ns.tolist(), strict=True):
                content = images[number].read_bytes()
                topic = f"/{name}/image_rect_color/compressed"
                bag.compressed(topic, ns, content, "bgr8; png compressed bgr8", "cam_0_rect")
            size = [int.from_bytes(content[k : k + 4], "big") for k in (20, 16)]
            P = cameras[f"P_rect_{i:02d}"]
            bag.info(
                f"/{name}/camera_info",
                int(t_ns[0]),
                size,
                2 * P[:, :3],
                (0.3, 0, 0, 0, 0),
                P,
                frame="cam_0_rect",
            )
        scanner = opened(src, "kitti-raw").lidars["velodyne"]
        for k, (ns, sweep) in enumerate(zip(scanner.t_ns, scanner.sweeps(range(99)), strict=False)):
            fields = [(axis, "<f4") for axis in "xyz"] + [("intensity", "<f4"), ("time", "<i4")]
            table = np.zeros(len(sweep.xyz), fields)
            for axis, values in zip("xyz", sweep.xyz.T, strict=True):
                table[axis] = values
            table["intensity"], table["time"] = sweep.intensity, sweep.t_ns - ns
            bag.cloud("/velodyne/points", int(ns), table, padding=k, frame="velo_link")
    return path


@pytest.mark.parametrize("kind", CONTAINERS)
@pytest.mark.parametrize("bytes_are", ["made up", "recorded"])
def test_the_files_of_a_drive_as_messages_are_the_same_drive(tmp_path, kind, bytes_are):
    src = DATA / "samples" / "kitti_raw"
    if bytes_are == "made up":
        src = write_raw(tmp_path / "raw")
    elif not src.is_dir():
        pytest.skip("the sample is not here")
    direct = opened(src, "kitti-raw")
    bag = write_files(tmp_path / ("drive.bag" if kind == "bag" else "drive"), kind, src)
    again = opened(bag, "ros")
    same_motion(direct.motion, again.motion, speed=0.5)
    same_sensors(direct, again)
    for name in ("latitude", "longitude"):
        assert getattr(again.origin, name) == pytest.approx(getattr(direct.origin, name), abs=1e-10)
    assert again.origin.heading == pytest.approx(direct.origin.heading)


@pytest.mark.skipif(not (DATA / "pandaset").is_dir(), reason="PandaSet is not here")
@pytest.mark.parametrize("kind", CONTAINERS)
def test_frames_of_pandaset_through_a_bag_are_the_same(tmp_path, kind):
    direct = opened(DATA / "pandaset", "pandaset")
    count = 2
    bag = write_recording(
        tmp_path / ("drive.bag" if kind == "bag" else "drive"), kind, direct, count=count
    )
    again = opened(bag, "ros", compensated="yes")
    same_motion(direct.motion, again.motion)
    assert len(again.lidars) == 2
    same_sensors(direct, again, count=count)
