"""PandaSet as recorded: points on images, rings of the scanner, boxes that hold their points."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from vista_sim.geometry.lidar import points_in_camera
from vista_sim.traces.importers.selection import Selection
from vista_sim.traces.importers.write import import_recording
from vista_sim.traces.trace import Trace
from vista_sim.transforms import matrix_from_quaternion

REAL = Path(__file__).resolve().parents[2] / "shared" / "data" / "pandaset"
pytestmark = pytest.mark.skipif(not REAL.is_dir(), reason=f"{REAL} is absent")

SPACING = 1 / 6  # degrees between rings of the Pandar64 from 2 to -6 degrees (its user manual)


@pytest.fixture(scope="module")
def trace(tmp_path_factory):
    """A stretch at 4 to 5 m/s: 5 images of two cameras, at half size, and 5 sweeps."""
    selection = Selection(4.55, 5.1, ("front", "front_left"), size=(540, 960))
    return Trace.open(
        import_recording(REAL, tmp_path_factory.mktemp("real") / "t", selection=selection)
    )


def in_scanner(sweep):
    """Elevation and azimuth, degrees, and range, m."""
    x, y, z = sweep.points.T
    distance = np.linalg.norm(sweep.points, axis=1)
    return np.degrees(np.arcsin(z / distance)), np.degrees(np.arctan2(y, x)), distance


def outlines(sweep):
    """Points at which something nearer begins or ends, of neighbours on a ring."""
    elevation, azimuth, distance = in_scanner(sweep)
    ring = np.round(elevation / SPACING).astype(int)
    order = np.lexsort((azimuth, ring))
    a, b = order[:-1], order[1:]
    beside = (ring[a] == ring[b]) & (azimuth[b] - azimuth[a] < 0.5)
    beside &= (elevation[b] < 2.2) & (elevation[b] > -6)
    jump = beside & (
        np.maximum(distance[a], distance[b]) > 1.3 * np.minimum(distance[a], distance[b])
    )
    return replace(sweep, points=sweep.points[np.where(distance[a] < distance[b], a, b)[jump]])


def steepness(trace, name, shifts):
    """Mean slope of the image across the outlines, moved by so many pixels to the right."""
    camera, lidar = trace.cameras[name], trace.lidars["pandar64"]
    total = np.zeros(len(shifts))
    for i in range(lidar.sweep_count):
        sweep = lidar.sweep(i)
        frame = int(np.abs(camera.t - sweep.t).argmin())
        t = float(camera.t[frame])
        found = outlines(sweep)
        points = points_in_camera(
            trace, lidar, replace(found, point_t=None), t, camera.calibration.T_vehicle_camera
        )
        gray = cv2.cvtColor(camera.frame(frame), cv2.COLOR_RGB2GRAY).astype(np.float32)
        slope = np.abs(cv2.Sobel(cv2.GaussianBlur(gray, (0, 0), 1), cv2.CV_32F, 1, 0))
        pixels = camera.calibration.lens.project(points[points[:, 2] > 1]).round()
        edge = max(np.abs(shifts)) + 1
        height, width = gray.shape
        inside = (pixels >= (edge, 0)).all(axis=1) & (pixels < (width - edge, height)).all(axis=1)
        u, v = pixels[inside].astype(int).T
        total += [float(slope[v, u + shift].sum()) for shift in shifts]
    return total


@pytest.mark.parametrize("name", ["front", "front_left"])
def test_outlines_of_the_lidar_lie_on_those_of_the_images(trace, name):
    assert trace.speed(trace.duration / 2) > 4.0
    shifts = np.arange(-20, 21)
    found = steepness(trace, name, shifts)
    assert abs(shifts[found.argmax()]) <= 2  # px of 960
    assert found.max() > 1.3 * np.median(found)


def sharpness(sweep, beside):
    """How much elevations gather in few places, seen from so far beside the mount."""
    then = np.abs(sweep.point_t - sweep.t) < 0.02  # when the points refer to
    elevation, _, distance = in_scanner(replace(sweep, points=sweep.points[then] - beside))
    count = np.histogram(elevation[(distance > 4) & (distance < 60)], np.arange(-6, 2, 0.02))[0]
    return (count**2.0).sum() / count.sum() ** 2


def test_the_scanner_is_as_high_as_its_rings_are_sharpest(trace):
    lidar = trace.lidars["pandar64"]
    assert lidar.sweep_count == 5
    for i in range(lidar.sweep_count):
        sweep = lidar.sweep(i)
        here = sharpness(sweep, np.zeros(3))
        assert here > 1.25 * sharpness(sweep, np.array([0, 0, 0.1]))
        assert here > 1.25 * sharpness(sweep, np.array([0, 0, -0.1]))


def points_in_world(trace, name, i):
    lidar = trace.lidars[name]
    sweep = lidar.sweep(i)
    pose = trace.pose(sweep.t) @ lidar.calibration.T_vehicle_lidar
    return sweep.t, sweep.points @ pose[:3, :3].T + pose[:3, 3]


def test_cars_are_within_their_boxes(trace):
    tracks = trace.tracks()
    within = beside = turned = 0
    t, points = points_in_world(trace, "pandar64", 2)
    car = trace.pose(t)[:3, 3]
    points = points[(np.linalg.norm(points - car, axis=1) < 40) & (points[:, 2] - car[2] > 0.3)]
    rows = (np.abs(tracks["t"] - t) < 1e-6) & (tracks["category"] == "car")
    rows &= np.linalg.norm(tracks["pose"][:, :3] - car, axis=1) < 35
    assert rows.sum() > 20
    for row in np.flatnonzero(rows):
        place, half = tracks["pose"][row, :3], 0.5 * tracks["size"][row, :2]
        local = (points - place) @ matrix_from_quaternion(tracks["pose"][row, 3:])
        local = np.abs(local[local[:, 2] < tracks["size"][row, 2], :2])
        inside = (local < half + 0.05).all(axis=1)
        within += int(inside.sum())
        beside += int(((local < half + 0.5).all(axis=1) & ~inside).sum())
        turned += int((local[:, ::-1] < half + 0.05).all(axis=1).sum())
    assert within > 5000
    assert within > 0.9 * (within + beside)
    assert turned < 0.8 * within  # length and width are not mixed up


def test_both_scanners_see_the_same_street(trace):
    """What the solid-state scanner measures on the road lies on the road of the other."""
    for i in range(3):
        roads = []
        for name in ("pandar64", "pandar_gt"):
            t, points = points_in_world(trace, name, i)
            ahead = (points - trace.pose(t)[:3, 3]) @ trace.pose(t)[:3, :3]
            near = (np.abs(ahead[:, 1]) < 2) & (ahead[:, 0] > 8) & (ahead[:, 0] < 14)
            roads.append(np.median(ahead[near & (np.abs(ahead[:, 2]) < 0.5), 2]))
        assert abs(roads[0] - roads[1]) < 0.05
        assert abs(roads[0]) < 0.15  # the vehicle frame is on the road
