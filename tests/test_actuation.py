"""Delays, limits and speeds of a car, against what a ramp and a uniform motion come to."""

import math

import numpy as np
import pytest
from conftest import write_straight

from vista_sim.dynamics.actuation import Controls
from vista_sim.dynamics.state import SCENE
from vista_sim.errors import WorldError
from vista_sim.policies import Action
from vista_sim.world import World

RATE = 0.6  # rad/s, of the default vehicle
SPEED = 10.0


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    folder = tmp_path_factory.mktemp("straight") / "trace"
    write_straight(folder, lambda t: SPEED)
    return folder


def car_on(trace, controls=None, dt=0.1, **world):
    car = World(trace, dt=dt, **world).spawn_agent()
    if controls is not None:
        car.controls = controls
    car.start(trace=0, s=5.0, lateral=0.0, heading=0.0)
    return car


@pytest.mark.parametrize("delay", [0.0, 0.03, 0.1, 0.25, 0.3])
def test_the_tires_begin_to_turn_when_the_delay_is_over(straight, delay):
    """Asked for the tightest turn, the tires' angle is a ramp of their rate from then on."""
    car = car_on(straight, Controls(delay=delay))
    for step in range(1, 7):
        car.move(Action(0.2))
        assert car.tire_angle == pytest.approx(RATE * max(0.0, 0.1 * step - delay), abs=1e-12)


@pytest.mark.parametrize("delay", [0.07, 0.2])
def test_a_delayed_car_drives_where_an_undelayed_one_drove_before(straight, delay):
    """Going straight on for the delay first, at 10 m/s, shifts the same curve ahead."""
    delayed = car_on(straight, Controls(delay=delay))
    plain = car_on(straight, dt=0.01)
    for _ in range(4):
        delayed.move(Action(0.02))
    for _ in range(round((0.4 - delay) / 0.01)):
        plain.move(Action(0.02))
    assert delayed.y == pytest.approx(plain.y, abs=1e-6)
    assert delayed.x == pytest.approx(plain.x + SPEED * delay, abs=1e-6)
    assert delayed.yaw == pytest.approx(plain.yaw, abs=1e-7)


def test_the_action_that_is_told_is_the_one_that_was_asked_for(straight):
    car = car_on(straight, Controls(delay=0.5))
    car.move(Action(0.1))
    assert car.action == Action(0.1)
    assert car.tire_angle == 0.0


def test_actions_come_through_in_their_order(straight):
    """0.15 s late, at steps of 0.1 s: each acts from the middle of the step after the next."""
    car = car_on(straight, Controls(delay=0.15))
    speeds = []
    for acceleration in (1.0, -2.0, 3.0, 0.0, 0.0):
        car.move(Action(0.0, acceleration))
        speeds.append(car.speed - SPEED)
    # Nothing until 0.15 s; then 1, -2 and 3 m/s² for 0.1 s each: at 0.2 s half of the first one.
    assert speeds == pytest.approx([0.0, 0.05, 0.0, 0.05, 0.2], abs=1e-9)


def test_a_new_start_forgets_what_was_under_way(straight):
    car = car_on(straight, Controls(delay=0.1))
    car.move(Action(0.2))
    car.start(trace=0, s=5.0, lateral=0.0, heading=0.0)
    car.move(Action(0.0))
    car.move(Action(0.0))
    assert car.tire_angle == 0.0


@pytest.mark.parametrize(
    ("controls", "speed"),
    [
        (Controls(speed_factor=0.5), 5.0),
        (Controls(speed_limit=7.0), 7.0),
        (Controls(speed_factor=1.2, speed_limit=11.0), 11.0),
        (Controls(free_speed=False), 10.0),
    ],
)
def test_speeds_are_a_factor_of_the_recorded_one_within_a_limit(straight, controls, speed):
    car = car_on(straight, controls)
    for _ in range(10):
        car.move(Action(0.0, None if controls.free_speed else 2.0))
    assert car.speed == pytest.approx(speed, abs=1e-9)
    assert car.s == pytest.approx(5.0 + speed, abs=1e-6)


def test_a_limit_holds_a_car_that_speeds_up_by_itself(straight):
    car = car_on(straight, Controls(speed_limit=10.25))
    for _ in range(5):
        car.move(Action(0.0, 1.0))
    assert car.speed == pytest.approx(10.25)


def test_a_world_replaces_fields_of_the_vehicle(straight):
    limit = math.atan(2.7 * 0.01)  # of a curvature of 0.01 1/m at a wheelbase of 2.7 m
    car = car_on(straight, vehicle={"max_tire_rate": 0.1, "max_tire_angle": limit})
    car.move(Action(0.2))
    assert car.tire_angle == pytest.approx(0.01)
    for _ in range(3):
        car.move(Action(0.2))
    assert car.curvature == pytest.approx(0.01)
    assert car.world.traces[0].vehicle.max_tire_rate == RATE


@pytest.mark.parametrize(
    "values",
    [{"delay": -0.1}, {"delay": math.nan}, {"speed_factor": 0.0}, {"speed_limit": -1.0}],
)
def test_controls_that_cannot_be_are_refused(values):
    with pytest.raises(WorldError, match=next(iter(values))):
        Controls(**values)


def test_an_unknown_field_of_the_vehicle_is_refused(straight):
    with pytest.raises(WorldError, match="wheels"):
        World(straight, vehicle={"wheels": 4.0})


def test_cars_without_delay_are_not_touched_by_one_with_it(straight):
    world = World(straight)
    slow, plain = world.spawn_agent(), world.spawn_agent()
    slow.controls = Controls(delay=0.2)
    for car in (slow, plain):
        car.start(trace=0, s=5.0, lateral=0.0, heading=0.0)
    alone = car_on(straight)
    for _ in range(3):
        for car in (slow, plain, alone):
            car.move(Action(0.05))
    np.testing.assert_array_equal(plain.state[:, :SCENE], alone.state[:, :SCENE])
