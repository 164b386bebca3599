"""The quadratic program behind the MPC: a triple integrator driven by lateral jerk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from .mpc import MPCConfig

Floats = NDArray[np.float64]

# Softness of limits: v beyond one costs v² / (2 softness) a step. A car that drives takes the
# corridor for a wall; labels of neighbouring poses should not differ by all that tires can do.
_SOFT_SPEED = 1e-2  # (m/s)²
_SOFT_ERROR, _SOFT_ERROR_LABEL = 1e-5, 3e-3  # m²
_TOLERANCE = 1e-6


def model(step: float) -> tuple[Floats, Floats]:
    """Transition (3, 3) and input (3,) of (error, its rate, its second rate) over a step (s) of
    constant jerk; exact.
    """
    transition = np.array([[1.0, step, step**2 / 2], [0.0, 1.0, step], [0.0, 0.0, 1.0]])
    return transition, np.array([step**3 / 6, step**2 / 2, step])


def weights(config: MPCConfig) -> tuple[Floats, float]:
    """Cost (3, 3) of the squared state and of the squared jerk, over one step."""
    return config.step * np.diag([config.lateral, 0.0, 1.0]), config.step * config.jerk


@dataclass(frozen=True)
class Limits:
    """Of a plan, to both sides; those of acceleration and jerk are hard, the others soft.

    Args:
        acceleration: lateral, the road's included, m/s².
        jerk: its change, m/s³.
        speed: towards or away from the path, m/s.
        error: distance from the path, m.
    """

    acceleration: float
    jerk: float
    speed: float
    error: float


@dataclass(frozen=True)
class Program:
    """A condensed program: its unknowns are jerks, and before them the first acceleration where
    that is free.

    All accelerations and jerks of the program are those more than the road's.

    Args:
        step: s.
        known: (steps + 1, 3, k) states of the known part of the start; k is 2 or 3.
        unknown: (steps + 1, 3, n) states of the unknowns.
        hessian, lower: (n, n) and its Cholesky factor.
        cross: (n, k) gradient of a known start.
        rows: (m, n) what is limited: jerks, accelerations, lateral speeds, lateral errors.
        softness: (m,) as `qp.solve` takes it.
    """

    step: float
    known: Floats
    unknown: Floats
    hessian: Floats
    lower: Floats
    cross: Floats
    rows: Floats
    softness: Floats

    def solve(
        self,
        start: Floats,
        acceleration: float | None,
        road: Floats,
        limits: Limits,
    ) -> tuple[Floats, Floats]:
        """Lateral errors (m) and whole lateral accelerations (m/s²) of the plan, (steps + 1,).

        Args:
            start: (2,) lateral error (m) and its rate (m/s).
            acceleration: lateral acceleration now, m/s²; None where it is free.
            road: (steps + 1,) lateral acceleration that the road asks for, m/s².
            limits: of all of them.
        """
        from .qp import solve

        known = start if acceleration is None else np.append(start, acceleration - road[0])
        ahead = len(road) - 1
        jerks = np.diff(road) / self.step
        most = np.full(len(road), limits.acceleration)
        if acceleration is not None:
            # Tires that stand farther off come back as fast as they may.
            back = abs(acceleration) - limits.jerk * self.step * np.arange(len(road))
            most = np.maximum(most, back + 1e-6)[1:]
        free = self.known @ known
        passed = (jerks, (free[:, 2] + road)[-len(most) :], free[1:, 1], free[1:, 0])
        bounds = (
            np.full(ahead, limits.jerk),
            most,
            np.full(ahead, limits.speed),
            np.full(ahead, limits.error),
        )
        offset, bound = np.concatenate(passed), np.concatenate(bounds)
        unknowns = solve(
            self.hessian,
            self.lower,
            self.cross @ known,
            self.rows,
            -bound - offset,
            bound - offset,
            self.softness,
            _TOLERANCE,
        )
        states = free + self.unknown @ unknowns
        return states[:, 0], states[:, 2] + road


def build_program(config: MPCConfig, free_start: bool) -> Program:
    """The program of a configuration, whose matrices do not depend on pose, road or speed."""
    from scipy.linalg import solve_discrete_are

    from .qp import factor

    transition, push = model(config.step)
    state_cost, jerk_cost = weights(config)
    final_cost = solve_discrete_are(transition, push[:, None], state_cost, np.array([[jerk_cost]]))
    steps = config.steps
    starts = np.zeros((steps + 1, 3, 3))
    pushes = np.zeros((steps + 1, 3, steps))
    starts[0] = np.eye(3)
    for k in range(steps):
        starts[k + 1] = transition @ starts[k]
        pushes[k + 1] = transition @ pushes[k]
        pushes[k + 1, :, k] += push
    count = 2 if free_start else 3
    known = starts[:, :, :count]
    unknown = np.concatenate([starts[:, :, count:], pushes], axis=2)
    costs = np.array([state_cost] * steps + [final_cost])
    weighed = np.einsum("kij,kjn->kin", costs, unknown)
    hessian = np.einsum("kim,kin->mn", unknown, weighed)
    jerks = np.eye(steps, unknown.shape[2], unknown.shape[2] - steps)
    hessian += jerk_cost * jerks.T @ jerks
    cross = np.einsum("kin,kij->nj", weighed, known)
    accelerations = unknown[0 if free_start else 1 :, 2]
    rows = np.concatenate([jerks, accelerations, unknown[1:, 1], unknown[1:, 0]])
    softness = np.zeros(len(rows))
    soft_error = _SOFT_ERROR_LABEL if free_start else _SOFT_ERROR
    softness[-2 * steps :] = np.repeat([_SOFT_SPEED, soft_error], steps)
    arrays = (known, unknown, hessian, factor(hessian), cross, rows, softness)
    return Program(config.step, *(np.ascontiguousarray(a) for a in arrays))
