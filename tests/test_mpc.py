"""The MPC expert against the regulator, another optimiser, and its own limits."""

import math

import numpy as np
import pytest
from scipy.linalg import solve_discrete_are
from scipy.optimize import minimize
from test_experts import Arc, drive
from vista_agents.experts import MPC, PID, MPCConfig, PurePursuit, Stanley, qp
from vista_agents.experts.lateral_plan import Limits, build_program

from vista_sim.evaluation import metrics


def regulator(config):
    """Feedback (3,) of the endless-horizon regulator of a sampled triple integrator."""
    h = config.step
    A = np.array([[1, h, h * h / 2], [0, 1, h], [0, 0, 1]])
    B = np.array([[h**3 / 6], [h * h / 2], [h]])
    Q, R = np.diag([config.lateral, 0.0, 1.0]), np.array([[config.jerk]])
    P = solve_discrete_are(A, B, Q, R)
    return np.linalg.solve(R + B.T @ P @ B, B.T @ P @ A)[0]


@pytest.mark.parametrize("speed", [4.0, 12.0])
@pytest.mark.parametrize("bend", [0.0, 0.01])
def test_where_nothing_binds_it_is_the_linear_quadratic_regulator(speed, bend):
    expert, lateral, heading, tires = MPC(), 0.1, -0.005, bend + 0.0004
    plan = expert.plan(Arc(bend), 20.0, lateral, heading, speed, tires)
    state = [lateral, speed * math.sin(heading), speed**2 * (tires - bend)]
    planned = np.diff(plan.acceleration)[0] / expert.config.step
    assert planned == pytest.approx(-regulator(expert.config) @ state, rel=1e-9)
    assert plan.comfortable


def test_where_limits_bind_the_answer_is_that_of_another_optimiser():
    rng = np.random.default_rng(1)
    program = build_program(MPCConfig(steps=8, step=0.2), free_start=False)
    rows, hessian = program.rows, program.hessian
    m, n = rows.shape
    softness = np.where(np.arange(m) < 2 * n, 0.0, 0.05)
    for _ in range(5):
        gradient, bound = rng.normal(size=n) * 3, rng.uniform(0.2, 1.0, m)
        x = qp.solve(hessian, program.lower, gradient, rows, -bound, bound, softness, 1e-8)

        def cost(x, gradient=gradient, bound=bound):
            beyond = np.maximum(np.abs(rows @ x) - bound, 0)[2 * n :]
            return x @ hessian @ x / 2 + gradient @ x + beyond @ beyond / (2 * 0.05)

        def room(x, bound=bound):
            return (
                np.concatenate([bound - rows @ x, bound + rows @ x])
                .reshape(2, m)[:, : 2 * n]
                .ravel()
            )

        options = {"maxiter": 500, "ftol": 1e-12}
        other = minimize(
            cost,
            np.zeros(n),
            constraints=[{"type": "ineq", "fun": room}],
            method="SLSQP",
            options=options,
        )
        assert abs(room(x).min()) < 1e-6  # a hard limit binds
        assert cost(x) <= other.fun + 1e-6
        assert x == pytest.approx(other.x, abs=2e-3)


def test_a_plan_keeps_hard_limits_and_comes_back_from_tires_that_stand_beyond():
    config = MPCConfig()
    program = build_program(config, free_start=False)
    limits = Limits(acceleration=2.0, jerk=4.0, speed=3.0, error=1.8)
    for start, now in (([1.5, 1.0], 0.0), ([-1.5, 0.5], 3.0)):
        _, planned = program.solve(np.array(start), now, np.zeros(config.steps + 1), limits)
        assert np.abs(np.diff(planned)).max() == pytest.approx(4.0 * config.step, abs=1e-5)
        times = config.step * np.arange(config.steps + 1)
        assert (np.abs(planned) <= np.maximum(2.0, abs(now) - 4.0 * times) + 1e-5).all()


def comfort(expert, speed, lateral):
    """Peak lateral acceleration (m/s²) and jerk (m/s³) on the way back to a straight path."""
    cars = drive(expert, Arc(0.0), speed, lateral, 0.0, seconds=5.0)
    t, curvature = np.array([(0.0, 0.0), *((car.t, car.curvature) for car in cars)]).T
    steps = {"t": t, "curvature": curvature, "speed": 0 * t + speed, "episode": 0 * t}
    return metrics.peak_lateral_acceleration(steps), metrics.peak_lateral_jerk(steps)


@pytest.mark.parametrize("speed", [8.0, 12.0, 14.0])
def test_it_keeps_comfort_limits_where_the_others_break_them(speed):
    config = MPCConfig()
    most, quickest = comfort(MPC(), speed, 1.5)
    assert most <= config.comfort_acceleration
    assert quickest <= config.comfort_jerk + 0.01
    for other in (PurePursuit(), PID(), Stanley()):
        assert comfort(other, speed, 1.5)[1] > config.comfort_jerk


def test_it_gives_comfort_up_before_it_leaves_the_road():
    hard = MPC().plan(Arc(0.0), 20.0, 1.5, math.radians(10), 12.0, 0.0)
    assert not hard.comfortable
    assert np.abs(hard.lateral).max() < 2.0
    assert MPC().plan(Arc(0.0), 20.0, 1.5, math.radians(-5), 12.0, 0.0).comfortable


def test_its_limits_widen_to_what_the_road_asks():
    bend, speed = 0.04, 12.0  # 5.76 m/s²
    *_, last = drive(MPC(), Arc(bend), speed, 0.5, 0.0, seconds=8.0)
    assert abs(last.lateral) < 0.05
    assert last.curvature == pytest.approx(bend, rel=0.02)
