"""The kinematic bicycle against circles, closed forms and fine numerical integration."""

import math
import time

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from vista_sim.dynamics.bicycle import BicycleState, KinematicBicycle
from vista_sim.dynamics.kinematics import advance_on_arc, distance_after
from vista_sim.traces.calibration import Vehicle

QUICK = Vehicle(max_tire_rate=1e6)  # tires that reach any angle at once


def settled(bicycle: KinematicBicycle, curvature: float, speed: float) -> BicycleState:
    return BicycleState(0.0, 0.0, 0.0, speed, bicycle.tire_angle(curvature))


@pytest.mark.parametrize("radius", [-40.0, -8.0, 8.0, 40.0, 400.0])
@pytest.mark.parametrize("dt", [0.1, 0.7])
def test_constant_curvature_drives_a_circle_of_that_radius(radius, dt):
    bicycle = KinematicBicycle(Vehicle())
    state = settled(bicycle, 1 / radius, 8.0)
    for _ in range(50):
        state = bicycle.step(state, 1 / radius, 0.0, dt)
        assert math.hypot(state.x, state.y - radius) == pytest.approx(abs(radius), abs=1e-9)
    angle = 8.0 * 50 * dt / radius
    assert state.x == pytest.approx(radius * math.sin(angle), abs=1e-8)
    assert state.y == pytest.approx(radius * (1 - math.cos(angle)), abs=1e-8)
    assert math.remainder(state.yaw - angle, 2 * math.pi) == pytest.approx(0, abs=1e-9)


def test_a_full_circle_ends_where_it_began():
    bicycle = KinematicBicycle(Vehicle())
    state = settled(bicycle, 0.1, 2 * math.pi)
    for _ in range(100):  # 100 steps of 0.1 s at 2 pi m/s: the circumference of 10 m radius
        state = bicycle.step(state, 0.1, 0.0, 0.1)
    assert (state.x, state.y, state.yaw) == pytest.approx((0, 0, 0), abs=1e-9)


def test_tiny_curvature_agrees_with_a_straight_line():
    assert advance_on_arc(1.0, 2.0, 0.3, 0.0, 5.0) == pytest.approx(
        (1 + 5 * math.cos(0.3), 2 + 5 * math.sin(0.3), 0.3)
    )
    assert advance_on_arc(0.0, 0.0, 0.0, 1e-300, 5.0) == pytest.approx((5.0, 0.0, 0.0))
    # Parabola y = k x² / 2: a circle's first terms.
    x, y, _ = advance_on_arc(0.0, 0.0, 0.0, 1e-9, 10.0)
    assert (x, y) == pytest.approx((10.0, 0.5e-9 * 100), rel=1e-9)


def test_one_long_step_equals_many_short_ones():
    bicycle = KinematicBicycle(Vehicle())
    once = bicycle.step(settled(bicycle, 0.05, 6.0), 0.05, 1.5, 1.0)
    many = settled(bicycle, 0.05, 6.0)
    for _ in range(1000):
        many = bicycle.step(many, 0.05, 1.5, 0.001)
    assert (once.x, once.y, once.yaw, once.speed) == pytest.approx(
        (many.x, many.y, many.yaw, many.speed), abs=1e-9
    )


@pytest.mark.parametrize("mirror", [1.0, -1.0])
@pytest.mark.parametrize(("speed", "acceleration"), [(20.0, 0.0), (12.0, 2.5), (10.0, -7.0)])
def test_turning_tires_agree_with_fine_numerical_integration(mirror, speed, acceleration):
    vehicle = Vehicle()
    bicycle = KinematicBicycle(vehicle)
    start, target = -0.02 * mirror, 0.12 * mirror
    state = settled(bicycle, start, speed)
    for _ in range(10):
        state = bicycle.step(state, target, acceleration, 0.1)

    first, last = bicycle.tire_angle(start), bicycle.tire_angle(target)

    def motion(t, pose):
        turned = first + math.copysign(vehicle.max_tire_rate, last - first) * t
        tire = min(turned, last) if last > first else max(turned, last)
        v = max(0.0, speed + acceleration * t)
        return [
            v * math.cos(pose[2]),
            v * math.sin(pose[2]),
            v * math.tan(tire) / vehicle.wheelbase,
        ]

    truth = solve_ivp(motion, (0, 1), [0, 0, 0], rtol=1e-10, atol=1e-12, max_step=1e-3).y[:, -1]
    assert (state.x, state.y) == pytest.approx(truth[:2].tolist(), abs=1e-4)
    assert math.remainder(state.yaw - truth[2], 2 * math.pi) == pytest.approx(0, abs=1e-5)


def test_tires_turn_no_faster_and_no_further_than_the_vehicle_allows():
    vehicle = Vehicle(max_tire_rate=0.5, max_tire_angle=0.4)
    bicycle = KinematicBicycle(vehicle)
    state = settled(bicycle, 0.0, 5.0)
    angles = [state.tire_angle]
    for _ in range(20):
        state = bicycle.step(state, 10.0, 0.0, 0.1)
        angles.append(state.tire_angle)
    assert np.diff(angles).max() == pytest.approx(0.05)
    assert angles[-1] == pytest.approx(0.4)
    assert bicycle.curvature(0.4) == pytest.approx(bicycle.max_curvature)


def test_a_braking_car_stops_where_the_textbook_says_and_does_not_reverse():
    bicycle = KinematicBicycle(Vehicle(max_deceleration=8.0))
    state = settled(bicycle, 0.0, 10.0)
    for _ in range(30):
        state = bicycle.step(state, 0.0, -4.0, 0.1)
    assert state.speed == 0.0
    assert state.x == pytest.approx(10.0**2 / (2 * 4.0))
    assert distance_after(10.0, -4.0, 100.0) == pytest.approx(12.5)


def test_acceleration_is_limited_by_the_vehicle():
    bicycle = KinematicBicycle(Vehicle(max_acceleration=3.0, max_deceleration=8.0))
    assert bicycle.step(settled(bicycle, 0, 5.0), 0.0, 50.0, 0.1).speed == pytest.approx(5.3)
    assert bicycle.step(settled(bicycle, 0, 5.0), 0.0, -50.0, 0.1).speed == pytest.approx(4.2)


def test_left_and_right_mirror_each_other():
    bicycle = KinematicBicycle(Vehicle())
    left, right = settled(bicycle, 0.0, 9.0), settled(bicycle, 0.0, 9.0)
    for target in (0.1, 0.15, -0.05, 0.02):
        left = bicycle.step(left, target, 0.5, 0.1)
        right = bicycle.step(right, -target, 0.5, 0.1)
    assert (left.x, left.y, left.yaw) == pytest.approx((right.x, -right.y, -right.yaw), abs=1e-12)


def test_a_step_takes_microseconds():
    bicycle = KinematicBicycle(QUICK)
    state = settled(bicycle, 0.0, 8.0)
    start = time.perf_counter()
    for i in range(1000):
        state = bicycle.step(state, 0.01 * (i % 7 - 3), 0.0, 0.1)
    assert time.perf_counter() - start < 0.1
