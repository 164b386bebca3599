"""The same recording imported directly and through bags of ROS 1, ROS 2 SQLite and MCAP."""

from pathlib import Path

import numpy as np
import pytest
from ros_bags import CONTAINERS, write_recording
from test_kitti_raw import write_raw

from vista_sim.traces.importers.options import make_options
from vista_sim.traces.importers.registry import find_importer

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def opened(src, format, **options):
    importer = find_importer(format)
    return importer.open(src, make_options(importer.options, options))


def same_motion(one, other):
    np.testing.assert_array_equal(one.t_ns, other.t_ns)
    np.testing.assert_allclose(one.position, other.position, atol=1e-3)
    cosine = np.abs(np.einsum("ij,ij->i", one.quaternion, other.quaternion))
    angle = 2 * np.degrees(np.arccos(np.minimum(cosine, 1.0)))
    assert angle.max() < 1e-3
    np.testing.assert_allclose(one.speed, other.speed, atol=1e-3)
    np.testing.assert_allclose(one.yaw_rate, other.yaw_rate, atol=1e-6)


def same_sensors(one, other, count=None):
    """Images identical, points and times equal, calibrations the same."""
    for name in one.usual:
        a, b = one.cameras[name](), other.cameras[name]()
        np.testing.assert_array_equal(a.t_ns[:count], b.t_ns)
        np.testing.assert_allclose(
            a.calibration.T_vehicle_camera, b.calibration.T_vehicle_camera, atol=1e-9
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
            a.calibration.T_vehicle_lidar, b.calibration.T_vehicle_lidar, atol=1e-9
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
