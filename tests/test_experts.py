"""Privileged experts on a made-up arc of road, with the tires' limited rate."""

import math
from types import SimpleNamespace

import pytest
from vista_agents.experts import PID, PurePursuit

from vista_sim.transforms import wrap_angle

WHEELBASE, TIRE_RATE = 2.7, 0.6
LATERALS = (-1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5)  # m
HEADINGS = (-10, -6, -3, 0, 3, 6, 10)  # degrees


class Arc:
    """A path of constant curvature, in closed form."""

    def __init__(self, curvature):
        self.k = curvature
        self.length = 1000.0

    def curvature(self, s):
        return self.k

    def place(self, s, lateral=0.0, heading=0.0):
        yaw = self.k * s
        if self.k:
            x, y = math.sin(yaw) / self.k, (1 - math.cos(yaw)) / self.k
        else:
            x, y = s, 0.0
        return x - lateral * math.sin(yaw), y + lateral * math.cos(yaw), yaw + heading

    def project(self, x, y, yaw):
        if not self.k:
            return x, y, wrap_angle(yaw)
        side = math.copysign(1.0, self.k)
        radius = 1 / abs(self.k)
        dx, dy = x, side * y - radius
        s = math.atan2(dx, -dy) * radius
        return s, side * (radius - math.hypot(dx, dy)), wrap_angle(yaw - self.k * s)


def drive(expert, arc, speed, lateral, heading, seconds=5.0, dt=0.1):
    """Drive and yield (time, lateral, heading error) after each step."""
    car = SimpleNamespace(path=arc, speed=speed)
    car.x, car.y, car.yaw = arc.place(0.0, lateral, heading)
    tire = math.atan(WHEELBASE * arc.k)
    expert.reset()
    for i in range(round(seconds / dt)):
        car.s, car.lateral, car.heading_error = arc.project(car.x, car.y, car.yaw)
        target = math.atan(WHEELBASE * expert.act({}, car).curvature)
        for _ in range(10):
            tire += max(-TIRE_RATE * dt / 10, min(TIRE_RATE * dt / 10, target - tire))
            turn = math.tan(tire) / WHEELBASE * speed * dt / 10
            car.x += speed * dt / 10 * math.cos(car.yaw + turn / 2)
            car.y += speed * dt / 10 * math.sin(car.yaw + turn / 2)
            car.yaw += turn
        _, lateral, error = arc.project(car.x, car.y, car.yaw)
        yield (i + 1) * dt, lateral, error


def recovers(expert, arc, speed, lateral, heading):
    for _, offset, error in drive(expert, arc, speed, lateral, heading):
        if abs(offset) > 2.0 or abs(error) > math.pi / 10:
            return False
        if abs(offset) < 0.3 and abs(error) < math.radians(2):
            return True
    return False


@pytest.mark.parametrize("make", [PurePursuit, PID])
@pytest.mark.parametrize("speed", [4.0, 8.0, 12.0])
@pytest.mark.parametrize("curvature", [0.0, 0.03, -0.03])
def test_an_expert_recovers_from_every_start_of_the_recovery_test(make, speed, curvature):
    arc = Arc(curvature)
    failed = [
        (lateral, heading)
        for lateral in LATERALS
        for heading in HEADINGS
        if not recovers(make(), arc, speed, lateral, math.radians(heading))
    ]
    assert failed == []


@pytest.mark.parametrize("make", [PurePursuit, PID])
@pytest.mark.parametrize("curvature", [0.0, 0.04, -0.04])
def test_an_expert_that_has_recovered_stays_on_the_path(make, curvature):
    late = [
        (abs(lateral), abs(error))
        for t, lateral, error in drive(make(), Arc(curvature), 8.0, 1.0, 0.1, seconds=12.0)
        if t > 6.0
    ]
    assert max(lateral for lateral, _ in late) < 0.05
    assert max(error for _, error in late) < math.radians(0.5)


def test_pure_pursuit_on_an_arc_steers_its_curvature():
    arc = Arc(1 / 25)
    assert PurePursuit().curvature(arc, *arc.place(30.0), 30.0, 8.0) == pytest.approx(0.04)


def test_pure_pursuit_steers_back_from_both_sides_alike():
    arc = Arc(0.0)
    left = PurePursuit().curvature(arc, *arc.place(10.0, 1.0, 0.1), 10.0, 8.0)
    right = PurePursuit().curvature(arc, *arc.place(10.0, -1.0, -0.1), 10.0, 8.0)
    assert left == pytest.approx(-right)
    assert left < 0


@pytest.mark.parametrize("make", [PurePursuit, PID])
def test_an_expert_without_a_car_says_that_it_needs_one(make):
    assert make().camera is None
    with pytest.raises(ValueError, match="act\\(observation, car\\)"):
        make().act({})
