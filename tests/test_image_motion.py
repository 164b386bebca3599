"""Rates of turning by the pictures' own flow, and offsets between clocks by yaw rates."""

import math
from pathlib import Path

import cv2
import numpy as np
import pytest

import vista_sim
from vista_sim.traces.calibration import Lens
from vista_sim.traces.image_motion import image_motion
from vista_sim.traces.importers.write import import_recording
from vista_sim.traces.time_offset import find_offset
from vista_sim.traces.trace import Trace
from vista_sim.transforms import camera_mount

KITTI = Path(__file__).resolve().parents[2] / "shared" / "data" / "kitti-odometry"


@pytest.fixture(scope="module")
def sample():
    """Every other picture of 12 s with bends of the sample drive, and what the poses say."""
    trace = Trace.open(vista_sim.sample_trace())
    camera = trace.cameras["front"]
    rows = [i for i in range(camera.frame_count) if 20 <= camera.t[i] <= 32][::2]
    motion = image_motion((camera.frame(i) for i in rows), camera.t[rows], camera.calibration.lens)
    yaw = np.interp(camera.t[rows], trace.ego.t, trace.ego.yaw)
    return trace, motion, np.diff(yaw) / np.diff(camera.t[rows])


def test_the_yaw_rate_of_the_pictures_is_that_of_the_poses(sample):
    trace, motion, true = sample
    rate = motion.yaw_rate(trace.cameras["front"].calibration.T_vehicle_camera)
    assert np.std(true) > 0.05  # there are bends
    assert np.sqrt(np.mean((rate - true) ** 2)) < 0.006
    assert np.median(motion.error) < 0.006


def test_the_camera_moves_to_where_its_pitch_says(sample):
    trace, motion, _ = sample
    ahead = trace.cameras["front"].calibration.T_vehicle_camera[:3, 2]
    pitch = -math.asin(ahead[2])
    moving = motion.parallax > 5
    assert moving.sum() > 50
    assert np.median(motion.ahead[moving, 1]) == pytest.approx(-math.tan(pitch), abs=0.005)


def test_a_camera_that_only_turns_moves_nowhere():
    """Pictures of a far wall, seen turned by a known angle."""
    rng = np.random.default_rng(1)
    wall = cv2.GaussianBlur(rng.integers(0, 255, (400, 900), np.uint8), (0, 0), 3)
    wall = cv2.normalize(wall, None, 0, 255, cv2.NORM_MINMAX)
    lens = Lens.from_fov((240, 320), math.radians(60))
    step = math.radians(0.5)
    frames = []
    for number in range(4):
        # Homography of a pure turn to the left: a point of the camera is turned right.
        c, s = math.cos(number * step), math.sin(number * step)
        turn = np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]])  # T_first_camera about y, left
        shift = np.array([[1, 0, 300], [0, 1, 80], [0, 0, 1.0]])
        H = shift @ lens.matrix @ turn @ np.linalg.inv(lens.matrix)
        frames.append(cv2.warpPerspective(wall, np.linalg.inv(H), (320, 240)))
    motion = image_motion(frames, np.arange(4) * 0.1, lens)
    left = motion.yaw_rate(camera_mount(0, 0, 1.4))
    np.testing.assert_allclose(left, math.radians(5.0), atol=2e-3)
    np.testing.assert_allclose(motion.parallax, 0, atol=1.0)


def test_what_cannot_be_followed_is_not_made_up():
    frames = [np.full((120, 160), 128, np.uint8)] * 3
    motion = image_motion(frames, [0.0, 0.1, 0.2], Lens.from_fov((120, 160), 1.0))
    assert np.isnan(motion.rate).all()


@pytest.mark.parametrize("late", [-1.7, 0.0, 0.3])
def test_the_offset_of_late_pictures_is_found(sample, late):
    trace, motion, _ = sample
    rate = motion.yaw_rate(trace.cameras["front"].calibration.T_vehicle_camera)
    found = find_offset(motion.t + late, rate, trace.ego.t, trace.ego.yaw_rate, 5.0)
    assert found.sure, found.why
    assert found.seconds == pytest.approx(late, abs=0.03)
    assert found.scale == pytest.approx(1.0, abs=0.015)
    assert abs(found.seconds - late) < max(4 * found.std, 0.01)


def turns(t):
    return 0.2 * np.sin(0.7 * t) * np.exp(-(((t - 30) / 12) ** 2)) + 0.1 * np.exp(-((t - 45) ** 2))


def test_an_offset_is_found_between_rows_of_other_rates_in_spite_of_a_factor_and_a_bias():
    t_a, t_b = np.arange(0, 50, 0.1037), np.arange(1000, 1070, 0.013)
    a = 1.3 * turns(t_a) + 0.02
    found = find_offset(t_a, a, t_b, turns(t_b - 1004.217), 1020.0)
    assert found.sure, found.why
    assert found.seconds == pytest.approx(-1004.217, abs=0.01)
    assert found.scale == pytest.approx(1.3, rel=0.02)


def test_straight_roads_and_regular_bends_tell_no_offset():
    t = np.arange(0, 60, 0.1)
    rng = np.random.default_rng(2)
    straight = find_offset(t, rng.normal(0, 0.005, len(t)), t, rng.normal(0, 0.005, len(t)), 5.0)
    assert not straight.sure
    assert straight.why == "the drive has no bends"
    regular = find_offset(t, 0.2 * np.sin(t), t, 0.2 * np.sin(t + 0.5), 20.0)
    assert not regular.sure
    assert regular.why == "other offsets fit as well"
    other = find_offset(t, turns(t), t, rng.normal(0, 0.1, len(t)), 5.0)
    assert not other.sure
    assert "turn differently" in other.why
    assert not find_offset(t[:3], t[:3], t, t, 5.0).sure


@pytest.mark.skipif(not KITTI.is_dir(), reason="KITTI is not here")
def test_recorded_pictures_turn_as_the_recorded_poses(tmp_path):
    made = import_recording(KITTI, tmp_path / "t", "kitti-odometry")
    trace = Trace.open(made)
    camera = trace.cameras["left"]
    rows = range(100)
    motion = image_motion((camera.frame(i) for i in rows), camera.t, camera.calibration.lens)
    rate = motion.yaw_rate(camera.calibration.T_vehicle_camera)
    true = np.diff(np.interp(camera.t, trace.ego.t, trace.ego.yaw)) / np.diff(camera.t)
    assert np.median(np.abs(rate - true)) < 0.006
    found = find_offset(motion.t + 0.3, rate, trace.ego.t, trace.ego.yaw_rate, 3.0)
    assert found.seconds == pytest.approx(0.3, abs=0.05)
