"""Privileged experts on a made-up arc of road, with the tires' limited rate."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from vista_agents.experts import (
    EXPERTS,
    MPC,
    PID,
    MPCConfig,
    PurePursuit,
    PurePursuitConfig,
    SpeedConfig,
    Stanley,
    StanleyConfig,
    expert_from,
    expert_name,
)
from vista_agents.experts.speed import acceleration

import vista_sim
from vista_sim.errors import PolicyError
from vista_sim.policies import Action
from vista_sim.tasks.endings import CRASH
from vista_sim.transforms import wrap_angle

WHEELBASE, TIRE_RATE = 2.7, 0.6
LATERALS = (-1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5)  # m
HEADINGS = (-10, -6, -3, 0, 3, 6, 10)  # degrees


class LabelDriver:
    """Drives by an expert's law of the pose alone."""

    def __init__(self, expert):
        self.expert = expert
        self.reset = expert.reset

    def act(self, observation, car):
        law = self.expert.curvature
        return Action(law(car.path, car.x, car.y, car.yaw, car.s, car.speed))


MAKERS = [
    PurePursuit,
    PID,
    Stanley,
    MPC,
    pytest.param(lambda: LabelDriver(PID()), id="PID-by-pose"),
    pytest.param(lambda: LabelDriver(MPC()), id="MPC-by-pose"),
]


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
    """Drive and yield the car after each step."""
    car = SimpleNamespace(path=arc, speed=speed, dt=dt, curvature=arc.k)
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
        car.t, car.curvature = (i + 1) * dt, math.tan(tire) / WHEELBASE
        car.s, car.lateral, car.heading_error = arc.project(car.x, car.y, car.yaw)
        yield car


def recovers(expert, arc, speed, lateral, heading):
    for car in drive(expert, arc, speed, lateral, heading):
        offset, error = abs(car.lateral), abs(car.heading_error)
        if offset > 2.0 or error > math.pi / 10:
            return False
        if offset < 0.3 and error < math.radians(2):
            return True
    return False


def can_be_held(speed, lateral, heading):
    """Whether any steering keeps a car that leaves a straight path within 2 m of it.

    Tires that turn at their fastest change the lateral acceleration by J = v² rate / wheelbase
    a second; what moves away at w is stopped after sqrt(2 w / J) and 2/3 of that times w.
    """
    away = speed * math.sin(heading) * math.copysign(1.0, lateral)
    if away <= 0:
        return True
    jerk = speed**2 * TIRE_RATE / WHEELBASE
    return abs(lateral) + 2 / 3 * away * math.sqrt(2 * away / jerk) < 2.01


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("speed", [3.0, 4.0, 8.0, 12.0, 14.0])
@pytest.mark.parametrize("curvature", [0.0, 0.03, -0.03])
def test_an_expert_recovers_from_every_start_that_tires_can_recover_from(make, speed, curvature):
    arc, expert = Arc(curvature), make()
    starts = [(lateral, math.radians(h)) for lateral in LATERALS for h in HEADINGS]
    possible = [start for start in starts if can_be_held(speed, *start)]
    assert len(possible) == (49 if speed <= 12 else 47)
    assert [start for start in possible if not recovers(expert, arc, speed, *start)] == []


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("curvature", [0.0, 0.04, -0.04])
def test_an_expert_that_has_recovered_stays_on_the_path(make, curvature):
    late = [
        (abs(car.lateral), abs(car.heading_error))
        for car in drive(make(), Arc(curvature), 8.0, 1.0, 0.1, seconds=12.0)
        if car.t > 6.0
    ]
    assert max(lateral for lateral, _ in late) < 0.05
    assert max(error for _, error in late) < math.radians(0.5)


@pytest.mark.parametrize("name", EXPERTS)
def test_on_an_arc_the_law_of_the_pose_is_its_curvature(name):
    arc = Arc(1 / 25)
    curvature = expert_from(name).curvature(arc, *arc.place(30.0), 30.0, 8.0)
    assert curvature == pytest.approx(0.04, abs=1e-9)


@pytest.mark.parametrize("name", EXPERTS)
def test_the_law_of_the_pose_steers_back_from_both_sides_alike(name):
    arc, expert = Arc(0.0), expert_from(name)
    left = expert.curvature(arc, *arc.place(10.0, 1.0, 0.1), 10.0, 8.0)
    right = expert.curvature(arc, *arc.place(10.0, -1.0, -0.1), 10.0, 8.0)
    assert left == pytest.approx(-right, abs=1e-6)
    assert left < 0


@pytest.mark.parametrize("name", EXPERTS)
def test_many_poses_are_labelled_as_each_alone_and_nothing_is_remembered(name):
    arc, expert = Arc(-0.02), expert_from(name)
    rng = np.random.default_rng(0)
    s, speed = rng.uniform(10, 200, 30), rng.uniform(3, 14, 30)
    offsets = zip(s, rng.uniform(-1.8, 1.8, 30), rng.uniform(-0.2, 0.2, 30), strict=True)
    poses = np.array([arc.place(*row) for row in offsets]).T
    labels = expert.curvatures(arc, *poses, s, speed)
    assert labels.shape == (30,)
    assert np.abs(labels).max() <= 0.2
    rows = list(zip(*poses.tolist(), s.tolist(), speed.tolist(), strict=True))
    assert labels.tolist() == [expert.curvature(arc, *row) for row in reversed(rows)][::-1]
    assert expert.curvatures(arc, *poses, s, 8.0)[3] == expert.curvature(arc, *rows[3][:4], 8.0)


@pytest.mark.parametrize("name", EXPERTS)
def test_an_expert_without_a_car_says_that_it_needs_one(name):
    expert = expert_from(name)
    assert expert.camera is None
    with pytest.raises(ValueError, match="act\\(observation, car\\)"):
        expert.act({})


def test_experts_are_chosen_by_name_or_by_configuration():
    assert isinstance(expert_from("stanley"), Stanley)
    chosen = expert_from(PurePursuitConfig(lookahead=5.0))
    assert isinstance(chosen, PurePursuit)
    assert chosen.config.lookahead == 5.0
    for name, (config_type, expert_type) in EXPERTS.items():
        assert expert_name(config_type()) == name
        assert type(expert_from(config_type())) is expert_type
    for wrong in ("human", SpeedConfig()):
        with pytest.raises(PolicyError, match="pure-pursuit, stanley, pid, mpc"):
            expert_from(wrong)


@pytest.mark.parametrize(
    ("config", "values"),
    [
        (StanleyConfig, {"gain": 0.0}),
        (StanleyConfig, {"damping": -0.1}),
        (MPCConfig, {"steps": 1}),
        (MPCConfig, {"comfort_jerk": math.nan}),
        (SpeedConfig, {"gain": -1.0}),
    ],
)
def test_settings_that_cannot_be_are_named(config, values):
    with pytest.raises(ValueError, match=next(iter(values))):
        config(**values)


@pytest.mark.parametrize("speed", [3.0, 8.0, 14.0])
def test_the_front_axle_of_stanley_comes_back_as_the_closed_form_says(speed):
    gain, first = 0.8, 0.05
    expert = Stanley(StanleyConfig(gain=gain, damping=0.0))
    # Hoffmann et al. 2007: small errors decay as exp(-k t) at any speed.
    for car in drive(expert, Arc(0.0), speed, first, 0.0, seconds=3.0, dt=0.005):
        front = car.lateral + WHEELBASE * math.sin(car.heading_error)
        assert front == pytest.approx(first * math.exp(-gain * car.t), rel=0.03, abs=5e-4)


class Slowing:
    """A path along which the recording brakes at 2 m/s² from 10 m/s."""

    length = 20.0

    def speed(self, s):
        return math.sqrt(100.0 - 4.0 * s)


def test_the_longitudinal_law_is_the_recorded_acceleration_and_returns_to_the_recorded_speed():
    config, path = SpeedConfig(gain=0.8), Slowing()
    for s in (0.0, 8.0, 20.0):
        assert acceleration(path, s, path.speed(s), config) == pytest.approx(-2.0)
        assert acceleration(path, s, path.speed(s) - 1.5, config) == pytest.approx(-0.8)
    assert acceleration(path, 25.0, path.speed(20.0), config) == pytest.approx(-2.0)
    assert acceleration(path, 8.0, 30.0, config) == -config.max_deceleration
    assert PurePursuit().acceleration(path, 8.0, 0.0) == SpeedConfig().max_acceleration


@pytest.mark.parametrize("name", EXPERTS)
def test_an_expert_drives_the_sample_trace_without_a_crash(name):
    world = vista_sim.World([vista_sim.sample_trace("proving-ground")])
    car, expert = world.spawn_agent(), expert_from(name)
    for section in world.sections[0]:
        car.reset(trace=0, s=section.start_s, lateral=0.5, heading=0.0)
        expert.reset()
        while not car.done:
            car.step(expert.act(car.observations, car))
            assert car.t < 3 or abs(car.lateral) < 0.4
        assert car.ending_kind != CRASH
