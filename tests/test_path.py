import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import fresnel

from vista_sim.errors import OffPathError, TraceError
from vista_sim.traces import curve
from vista_sim.traces.ego import EgoMotion
from vista_sim.traces.path import TracePath
from vista_sim.transforms import wrap_angle


def ego_along(x, y, yaw, t):
    zero = 0 * t
    quaternion = np.stack([zero, zero, np.sin(yaw / 2), np.cos(yaw / 2)], axis=1)
    speed = np.hypot(np.gradient(x, t), np.gradient(y, t))
    return EgoMotion(t, np.stack([x, y, zero], axis=1), quaternion, speed, np.gradient(yaw, t))


def circle_path(radius, speed=8.0, rate=50.0, turn=math.pi, noise=0.0, yaw_noise=0.0):
    t = np.arange(0, turn * abs(radius) / speed, 1 / rate)
    yaw = speed * t / radius
    rng = np.random.default_rng(0)
    x = radius * np.sin(yaw) + noise * rng.normal(size=len(t))
    y = radius * (1 - np.cos(yaw)) + noise * rng.normal(size=len(t))
    return TracePath(ego_along(x, y, yaw + yaw_noise * rng.normal(size=len(t)), t))


def eight_path(size=40.0):
    """A figure eight that crosses itself at the origin at a right angle."""
    t = np.arange(0, 40, 0.02)
    phase = 2 * math.pi * t / 40
    x, y = size * np.sin(phase), size * np.sin(phase) * np.cos(phase)
    yaw = np.unwrap(np.arctan2(size * np.cos(2 * phase), size * np.cos(phase)))
    return TracePath(ego_along(x, y, yaw, t))


@pytest.mark.parametrize("rate", [10.0, 50.0])
@pytest.mark.parametrize("radius", [12.0, 25.0, -25.0, 400.0])
def test_a_circle_has_its_length_and_curvature(radius, rate):
    path = circle_path(radius, rate=rate)
    driven = path.time(path.length) * 8.0
    assert path.length == pytest.approx(driven, rel=2e-3)
    for s in np.linspace(0, path.length, 40):
        assert path.curvature(s) == pytest.approx(1 / radius, rel=0.01)
        # The direction at s is s times the curvature.
        error = math.remainder(path.heading(s) - s / radius, 2 * math.pi)
        assert abs(error) < 0.01
    away = np.hypot(path.points[:, 0], path.points[:, 1] - radius)
    np.testing.assert_allclose(away, abs(radius), atol=0.02)


def test_positions_off_a_circle_are_projected_exactly():
    radius = 30.0
    path = circle_path(radius)
    rng = np.random.default_rng(1)
    for _ in range(200):
        angle, lateral, heading = rng.uniform(0.1, 3.0), rng.uniform(-10, 10), rng.uniform(-3, 3)
        x, y = (radius - lateral) * math.sin(angle), radius - (radius - lateral) * math.cos(angle)
        point = path.project(x, y, angle + heading, near=radius * angle + rng.uniform(-3, 3))
        assert point.s == pytest.approx(radius * angle, abs=0.06)
        assert point.lateral == pytest.approx(lateral, abs=3e-3)
        assert point.heading_error == pytest.approx(heading, abs=3e-3)


def test_a_clothoid_has_linear_curvature():
    # Curvature rises from 0 by 1/(30 * 60) per metre to 1/30 at 60 m.
    scale = math.sqrt(math.pi * 30 * 60)
    s = np.arange(0, 60, 0.16)
    sine, cosine = fresnel(s / scale)
    path = TracePath(ego_along(scale * cosine, scale * sine, s**2 / (2 * 30 * 60), s / 8.0))
    for at in np.linspace(0, path.length, 50):
        assert path.curvature(at) == pytest.approx(at / (30 * 60), abs=3e-4)


def test_a_straight_line_is_straight():
    t = np.arange(0, 10, 0.02)
    path = TracePath(ego_along(6 * t, 0 * t, 0 * t, t))
    assert path.length == pytest.approx(6 * t[-1])
    point = path.project(20.0, -1.5, 0.2)
    assert (point.s, point.lateral, point.heading_error) == pytest.approx((20.0, -1.5, 0.2))
    assert path.curvature(20.0) == pytest.approx(0, abs=1e-9)
    assert path.speed(20.0) == pytest.approx(6.0)
    assert path.time(30.0) == pytest.approx(5.0)
    assert path.arc_length(5.0) == pytest.approx(30.0)
    np.testing.assert_allclose(path.pose(30.0)[:3, 3], [30, 0, 0], atol=1e-6)


def test_noisy_poses_still_give_a_usable_curvature_and_length():
    path = circle_path(60.0, noise=0.03, yaw_noise=math.radians(0.3), turn=2.5)
    curvature = np.array([path.curvature(s) for s in path.s])
    inner = (path.s > 5) & (path.s < path.length - 5)
    assert np.abs(curvature[inner] - 1 / 60).max() < 0.003
    assert np.abs(curvature - 1 / 60).max() < 0.01
    assert path.length == pytest.approx(150.0, rel=5e-3)
    away = np.hypot(path.points[:, 0], path.points[:, 1] - 60)
    assert np.abs(away - 60)[inner].max() < 0.03
    heading = np.unwrap([path.heading(s) for s in path.s]) - path.s / 60
    assert np.std(heading[inner]) < 0.02


def test_a_standing_car_makes_no_way():
    rng = np.random.default_rng(0)
    t = np.arange(0, 30, 0.02)
    x = np.interp(t, [0, 10, 20, 30], [0, 80, 80, 160]) + 0.02 * rng.normal(size=len(t))
    y = 0.02 * rng.normal(size=len(t))
    path = TracePath(ego_along(x, y, 0 * t, t))
    assert path.length == pytest.approx(160, rel=0.01)
    assert path.arc_length(19.9) - path.arc_length(10.1) < 0.5
    for s in np.linspace(0, path.length, 100):
        assert path.arc_length(path.time(s)) == pytest.approx(s, abs=1e-6)
    s = [path.arc_length(v) for v in t]
    assert (np.diff(s) >= 0).all()


def test_a_car_that_never_moves_has_a_path_without_length():
    t = np.arange(0, 3, 0.02)
    path = TracePath(ego_along(0 * t, 0 * t, 0 * t + 0.7, t))
    assert path.length < 1e-3
    point = path.project(2 * math.cos(0.7), 2 * math.sin(0.7), 0.8)
    assert point.s == pytest.approx(2.0, abs=1e-6)
    assert point.lateral == pytest.approx(0.0, abs=1e-6)


@settings(max_examples=300, deadline=None)
@given(
    share=st.floats(0, 1),
    lateral=st.floats(-8, 8),
    heading=st.floats(-3.1, 3.1),
    beyond=st.floats(-0.1, 0.1),
)
def test_project_undoes_place(share, lateral, heading, beyond):
    path = EIGHT
    s = share * path.length + (beyond * 50 if share in (0, 1) else 0)
    x, y, yaw = path.place(s, lateral, heading)
    point = path.project(x, y, yaw, near=s)
    assert point.s == pytest.approx(s, abs=1e-6)
    assert point.lateral == pytest.approx(lateral, abs=1e-6)
    assert point.heading_error == pytest.approx(heading, abs=1e-6)


EIGHT = eight_path()


def test_near_keeps_to_its_branch_where_the_road_crosses_itself():
    path = EIGHT
    middle = path.arc_length(20.0)  # the second crossing of the origin; the first is at 0
    assert path.project(0.0, 0.0, 0.0, near=middle).s == pytest.approx(middle, abs=0.05)
    assert path.project(0.0, 0.0, 0.0, near=0.0).s == pytest.approx(0.0, abs=0.05)


def test_without_near_the_heading_chooses_the_branch():
    path = EIGHT
    middle = path.arc_length(20.0)
    first, second = path.heading(0.0), path.heading(middle)
    assert abs(math.remainder(first - second, 2 * math.pi)) > 1.0
    assert path.project(0.3, 0.0, first).s == pytest.approx(0.2, abs=0.3)
    assert path.project(0.3, 0.0, second).s == pytest.approx(middle - 0.2, abs=0.3)


def test_the_opposite_lane_of_a_road_driven_twice_is_found_by_heading():
    t = np.arange(0, 32, 0.02)
    s = 8 * t
    turn = math.pi * 5  # a U-turn of radius 5 m after 120 m
    bend = np.clip(s - 120, 0, turn) / 5
    x = np.minimum(s, 120) + 5 * np.sin(bend) - np.clip(s - 120 - turn, 0, None)
    y = 5 * (1 - np.cos(bend))
    path = TracePath(ego_along(x, y, bend, t))
    assert path.project(50.0, 4.0, 0.0).s == pytest.approx(50.0, abs=0.2)
    assert path.project(50.0, 4.0, math.pi).s > 150


def test_beyond_the_ends_the_tangent_goes_on():
    t = np.arange(0, 10, 0.02)
    path = TracePath(ego_along(6 * t, 0 * t, 0 * t, t))
    before, after = path.project(-3.0, 0.5, 0.1), path.project(65.0, -0.5, 0.0, near=58.0)
    assert (before.s, before.lateral, before.heading_error) == pytest.approx((-3.0, 0.5, 0.1))
    assert (after.s, after.lateral) == pytest.approx((65.0, -0.5))


@pytest.mark.parametrize("near", [None, 20.0])
@pytest.mark.parametrize("x", [20.0, float("nan")])
def test_a_pose_far_off_raises(near, x):
    t = np.arange(0, 10, 0.02)
    path = TracePath(ego_along(6 * t, 0 * t, 0 * t, t))
    y = 25.5 if math.isfinite(x) else 0.0
    with pytest.raises(OffPathError, match="from the path, farther than 25 m"):
        path.project(x, y, 0.0, near=near)
    if math.isfinite(x):
        assert path.project(x, y, 0.0, near=near, reach=30.0).lateral == pytest.approx(25.5)


@pytest.mark.parametrize("s", [-1.0, 1000.0, float("nan")])
def test_arc_length_off_the_path_raises(s):
    for call in (EIGHT.pose, EIGHT.time, EIGHT.curvature, EIGHT.speed, EIGHT.heading):
        with pytest.raises(TraceError, match="s is"):
            call(s)


def test_a_pose_far_from_near_is_still_found():
    assert EIGHT.project(40.0, 0.0, math.pi / 2, near=150.0).lateral == pytest.approx(0, abs=0.5)


def test_projection_is_fast():
    path = EIGHT
    x, y, yaw = path.place(60.0, 0.7, 0.1)
    best = math.inf
    for _ in range(5):
        start = time.perf_counter()
        for _ in range(200):
            path.project(x, y, yaw, near=59.2)
        best = min(best, (time.perf_counter() - start) / 200)
    assert best < 60e-6  # 10 µs on an idle machine


def test_the_compiled_interpolation_is_numpys():
    rng = np.random.default_rng(0)
    xs = np.sort(rng.uniform(0, 10, 50))
    ys = rng.normal(size=50)
    for x in (*rng.uniform(-1, 11, 200), *xs, -math.inf, math.inf):
        assert curve.interpolate(float(x), xs, ys) == pytest.approx(np.interp(x, xs, ys), abs=1e-14)


@settings(max_examples=300, deadline=None)
@given(angle=st.floats(-12, 12))
def test_the_compiled_angles_are_those_of_the_standard_library(angle):
    wrapped = curve.wrap_angle(angle)
    assert wrapped == wrap_angle(angle)
    assert -math.pi < wrapped <= math.pi


def test_the_compiled_angles_end_at_half_a_turn():
    for angle in (math.pi, -math.pi, 3 * math.pi, -3 * math.pi):
        for near in (angle, math.nextafter(angle, math.inf), math.nextafter(angle, -math.inf)):
            assert curve.wrap_angle(near) == pytest.approx(wrap_angle(near), abs=1e-15)
            assert -math.pi < curve.wrap_angle(near) <= math.pi
