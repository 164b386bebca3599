"""A chain of states (x, y, heading, speed, yaw rate), and the squares of what contradicts it.

Each state is tied to the next by how cars move, and to what is measured near it. Solved by
Gauss-Newton on the banded normal equations; the marginal covariances are those of the smoother of
Rauch, Tung and Striebel (1965).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solveh_banded
from scipy.ndimage import gaussian_filter1d

from vista_sim.traces.importers.motion_evidence import (
    RATE,
    SPEED,
    STATE,
    YAW,
    Evidence,
    Measured,
    X,
    Y,
)
from vista_sim.traces.importers.recording import Floats

Tie = Callable[[Any, Floats, Floats, Floats, Floats], None]

OUTLIER = 4.0  # deviations
_SIDE = 0.05  # m per root second that a car moves otherwise than it looks
_ACCELERATION = 1.0  # m/s per root second that a speed changes
_STEERING = 0.15  # rad/s per root second that a yaw rate changes
_SAME = 1e-4  # rad that a heading and its rate may contradict each other in a step
_CURVATURE = 0.15  # 1/m, about the most of a car
_REST = 0.003  # rad/s, of a car that stands
_ITERATIONS = 12
_CALM = 0.3  # s, deviation of the Gaussian before a yaw rate's slope is taken
_FAR = 3.0  # deviations from which a fix counts half


class Chain:
    """Residuals of a motion, and the normal equations of their squares."""

    def __init__(self, t: Floats, evidence: Evidence, inside: NDArray[np.bool_]) -> None:
        self.t, self.dt = t, float(t[1] - t[0])
        self.evidence = evidence
        position = evidence.position
        self.fixes = Measured(position.t[inside], position.value[inside], position.std[inside])
        self._fix_row, self._fix_part = self._place(self.fixes.t)
        self._loose = 0.0 if len(self.fixes) else 1e6
        self._unturned = self._loose if not len(evidence.heading) else 0.0
        self._others = [
            (index, *self._even(measured))
            for index, measured in (
                (SPEED, evidence.speed),
                (YAW, evidence.heading),
                (RATE, evidence.yaw_rate),
            )
            if len(measured)
        ]
        self._free = np.array(evidence.gauge) > 0
        # Log of what yaw rates are multiplied by, s that they are late by, and what is added.
        self.gauge = np.zeros(3)
        self.gauge_std = np.zeros(3)

    def _place(self, times: Floats) -> tuple[NDArray[np.int64], Floats]:
        at = np.clip((times - self.t[0]) / self.dt, 0, len(self.t) - 1.000001)
        row = at.astype(np.int64)
        return row, at - row

    def _even(self, measured: Measured) -> tuple[NDArray[np.int64], Floats, Floats]:
        """Rows with their values and information: means over the measurements near each."""
        row = np.round((measured.t - self.t[0]) / self.dt).astype(np.int64)
        good = (row >= 0) & (row < len(self.t))
        good &= np.isfinite(measured.value) & np.isfinite(measured.std)
        row, value, weight = row[good], measured.value[good], 1.0 / measured.std[good] ** 2
        total = np.bincount(row, weight, len(self.t))
        mean = np.bincount(row, weight * value, len(self.t))
        rows = np.flatnonzero(total > 0)
        return rows, np.asarray(mean[rows] / total[rows]), np.asarray(total[rows], np.float64)

    def solve(self, state: Floats, noise: float) -> Floats:
        """Gauss-Newton from a state (n, 5)."""
        for number in range(_ITERATIONS):
            # What is far off is let go by and by, lest the start decides what that is.
            far = _FAR * max(1.0, 8.0 * 0.5**number)
            diagonal, beside, right = self._normal(state, noise, far)
            columns, square, pull = self._normal_of_gauge(state, far)
            # The gauge is in no chain: it borders the matrix (Schur complement).
            sides = np.concatenate([right.reshape(-1, 1), columns], axis=1)
            solved = solveh_banded(_banded(diagonal, beside), sides)
            step, answers = solved[:, 0], solved[:, 1:]
            left = square - columns.T @ answers
            change = np.linalg.solve(left, pull - columns.T @ step)
            self.gauge_std = np.where(self._free, np.sqrt(np.diag(np.linalg.inv(left))), 0.0)
            self.gauge = self.gauge + change
            step = (step - answers @ change).reshape(state.shape)
            state = state + step
            if number > 4 and np.abs(step).max() < 1e-5:
                break
        return state

    def _turned(self, row: NDArray[np.int64], value: Floats) -> tuple[Floats, Floats]:
        """Measured yaw rates by the gauge, and their change by the second."""
        slope = np.zeros(len(row))
        if len(row) > 2:  # smoothed: noise in a slope would pull what it multiplies to zero
            slope = np.gradient(gaussian_filter1d(value, _CALM / self.dt), row * self.dt)
        factor = np.exp(self.gauge[0])
        return factor * (value + slope * self.gauge[1]) + self.gauge[2], factor * slope

    def _normal_of_gauge(self, state: Floats, far: float) -> tuple[Floats, Floats, Floats]:
        """Columns (5 n, 3) of the normal matrix, its corner (3, 3) and right side (3,)."""
        columns, corner, pull = np.zeros((state.size, 3)), np.eye(3), np.zeros(3)
        for index, row, value, weight in self._others:
            if index != RATE or not self._free.any():
                continue
            turned, slope = self._turned(row, value)
            rest = state[row, RATE] - turned
            robust = weight / (1.0 + rest**2 * weight / far**2)
            by = -np.stack([turned, slope, np.ones_like(slope)], axis=1) * self._free
            columns[row * STATE + RATE] = robust[:, None] * by
            prior = 1.0 / np.where(self._free, np.maximum(self.evidence.gauge, 1e-9), 1.0) ** 2
            corner = (by * robust[:, None]).T @ by + np.diag(prior)
            pull = -by.T @ (robust * rest) - prior * self.gauge * self._free
        return columns, corner, pull

    def _normal(self, state: Floats, noise: float, far: float) -> tuple[Floats, Floats, Floats]:
        """Blocks (n, 5, 5) and (n - 1, 5, 5) of the normal matrix, and the right side (n, 5)."""
        count = len(state)
        diagonal, beside = np.zeros((count, 5, 5)), np.zeros((count - 1, 5, 5))
        right = np.zeros((count, 5))

        def tie(row: Any, a: Floats, b: Floats, rest: Floats, weight: Floats) -> None:
            """Add residuals between rows and the next, of slopes a and b (m, 5)."""
            np.add.at(diagonal, row, np.einsum("m,mi,mj->mij", weight, a, a))
            np.add.at(diagonal, row + 1, np.einsum("m,mi,mj->mij", weight, b, b))
            np.add.at(beside, row, np.einsum("m,mi,mj->mij", weight, a, b))
            np.add.at(right, row, -(weight * rest)[:, None] * a)
            np.add.at(right, row + 1, -(weight * rest)[:, None] * b)

        self._tie_steps(state, tie)
        rows = np.arange(count)
        # Cars turn by what they move: standing, they do not.
        least = (_REST + _CURVATURE * np.abs(state[:, SPEED])) ** -2.0
        diagonal[rows, RATE, RATE] += least * self.dt
        right[rows, RATE] -= least * self.dt * state[:, RATE]
        for index, row, value, weight in self._others:
            told = self._turned(row, value)[0] if index == RATE else value
            rest = state[row, index] - told
            if index == YAW:
                rest = np.angle(np.exp(1j * rest))
            robust = weight / (1.0 + rest**2 * weight / far**2)
            diagonal[row, index, index] += robust
            right[row, index] -= robust * rest
        self._tie_fixes(state, noise, far, tie)
        # Where nothing else is known, the drive begins where the start has it.
        diagonal[0] += np.diag(1e-6 + np.array([self._loose] * 2 + [self._unturned, 0.0, 0.0]))
        return diagonal, beside, right

    def _tie_steps(self, state: Floats, tie: Tie) -> None:
        dt, row = self.dt, np.arange(len(state) - 1)
        here, there = state[:-1], state[1:]
        yaw = 0.5 * (here[:, YAW] + there[:, YAW])
        way = 0.5 * dt * (here[:, SPEED] + there[:, SPEED])
        one = np.ones(len(row))
        for index, along, across in (
            (X, np.cos(yaw), -np.sin(yaw)),
            (Y, np.sin(yaw), np.cos(yaw)),
        ):
            a, b = np.zeros((len(row), 5)), np.zeros((len(row), 5))
            a[:, index], b[:, index] = -1.0, 1.0
            a[:, SPEED] = b[:, SPEED] = -0.5 * dt * along
            a[:, YAW] = b[:, YAW] = -0.5 * way * across
            rest = there[:, index] - here[:, index] - way * along
            tie(row, a, b, rest, one / (_SIDE**2 * dt))
        for index, std in ((SPEED, _ACCELERATION), (RATE, _STEERING)):
            a, b = np.zeros((len(row), 5)), np.zeros((len(row), 5))
            a[:, index], b[:, index] = -1.0, 1.0
            rest = there[:, index] - here[:, index]
            tie(row, a, b, rest, one / (std**2 * dt))
        a, b = np.zeros((len(row), 5)), np.zeros((len(row), 5))
        a[:, YAW], b[:, YAW] = -1.0, 1.0
        a[:, RATE] = b[:, RATE] = -0.5 * dt
        rest = there[:, YAW] - here[:, YAW] - 0.5 * dt * (here[:, RATE] + there[:, RATE])
        tie(row, a, b, rest, one / _SAME**2)

    def _tie_fixes(self, state: Floats, noise: float, far: float, tie: Tie) -> None:
        if not len(self.fixes):
            return
        rest, slopes = self._fix_errors(state)
        std = self.fixes.std * noise
        weight = 1.0 / std**2 / (1.0 + np.sum(rest**2, axis=1) / (far * std) ** 2)
        part = self._fix_part[:, None]
        for k in range(2):
            tie(self._fix_row, (1 - part) * slopes[:, k], part * slopes[:, k], rest[:, k], weight)

    def _fix_errors(self, state: Floats) -> tuple[Floats, Floats]:
        """What the fixes are off, (m, 2), and its slopes by the state there, (m, 2, 5)."""
        part = self._fix_part[:, None]
        there = (1 - part) * state[self._fix_row] + part * state[self._fix_row + 1]
        c, s = np.cos(there[:, YAW]), np.sin(there[:, YAW])
        ahead, left = self.evidence.arm
        point = there[:, :2] + np.stack([c * ahead - s * left, s * ahead + c * left], axis=1)
        slopes = np.zeros((len(there), 2, STATE))
        slopes[:, 0, X] = slopes[:, 1, Y] = 1.0
        slopes[:, 0, YAW], slopes[:, 1, YAW] = -s * ahead - c * left, c * ahead - s * left
        return point - self.fixes.value, slopes

    def deviations(self, state: Floats, noise: float) -> Floats:
        """(m,) of the fixes, in sigmas."""
        rest = np.linalg.norm(self._fix_errors(state)[0], axis=1)
        return np.asarray(rest / (self.fixes.std * noise) / np.sqrt(2.0))

    def noise(self, state: Floats, covariance: Floats, noise: float) -> float:
        """The factor of the fixes' sigmas by their residuals, allowing for what was fitted."""
        rest, slopes = self._fix_errors(state)
        std = self.fixes.std * noise
        deviation = np.sum(rest**2, axis=1) / std**2
        spread = np.einsum("mki,mij,mkj->m", slopes, covariance[self._fix_row], slopes) / std**2
        # Two squared normal deviates have the mean 2; that of what was fitted is less.
        sound = deviation < OUTLIER**2 * max(1.0, float(np.median(deviation)))
        left = np.sum(np.clip(2.0 - spread[sound], 0.1, 2.0))
        factor = float(np.sqrt(np.sum(deviation[sound]) / left))
        return float(np.clip(noise * factor, 0.01, 20.0))

    def covariances(self, state: Floats, noise: float) -> Floats:
        """Marginal covariances (n, 5, 5) of the states, by elimination from both ends."""
        diagonal, beside, _ = self._normal(state, noise, _FAR)
        count = len(diagonal)
        onward, back = diagonal.copy(), diagonal.copy()
        for k in range(1, count):
            onward[k] -= beside[k - 1].T @ np.linalg.solve(onward[k - 1], beside[k - 1])
        for k in range(count - 2, -1, -1):
            back[k] -= beside[k] @ np.linalg.solve(back[k + 1], beside[k].T)
        return np.asarray(np.linalg.inv(onward + back - diagonal))


def _banded(diagonal: Floats, beside: Floats) -> Floats:
    """The upper form of `solveh_banded` of the blocks of a symmetric matrix."""
    count, size = diagonal.shape[:2]
    width = 2 * size
    banded = np.zeros((width, count * size))
    column = np.arange(count) * size
    for i in range(size):
        for j in range(size):
            if j >= i:
                banded[width - 1 + i - j, column + j] = diagonal[:, i, j]
            banded[width - 1 + i - j - size, column[1:] + j] = beside[:, i, j]
    return banded
