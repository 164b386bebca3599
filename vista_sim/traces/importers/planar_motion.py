"""The likeliest motion of a car in the plane through positions, speeds and yaw rates with errors.

A receiver that tells a place once a second gives a path, not poses. What joins its fixes is how
cars move: where they look, with a speed and a curvature that change gradually. That is a chain of
states (x, y, heading, speed, yaw rate), ten a second, each tied to the next; the fixes are weighed
by what they deviate (Cauchy), so that those far off count for nothing. Solved by Gauss-Newton on
its banded normal equations; the marginal covariances are those of the smoother of Rauch, Tung and
Striebel (1965).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solveh_banded
from scipy.ndimage import gaussian_filter1d

from vista_sim.traces.smoothing import local_fit

Floats = NDArray[np.float64]
Tie = Callable[[Any, Floats, Floats, Floats, Floats], None]

_X, _Y, _YAW, _SPEED, _RATE = range(5)
_SIZE = 5
_SIDE = 0.05  # m per root second that a car moves otherwise than it looks
_ACCELERATION = 1.0  # m/s per root second that a speed changes
_STEERING = 0.15  # rad/s per root second that a yaw rate changes
_SAME = 1e-4  # rad that a heading and its rate may contradict each other in a step
_CURVATURE = 0.15  # 1/m, about the most of a car
_REST = 0.003  # rad/s, of a car that stands
_ROUNDS, _ITERATIONS = 4, 12
_CALM = 0.3  # s, deviation of the Gaussian before a yaw rate's slope is taken
_MOVING = 2.0  # m/s from which on a course is believed at first
_FAR = 3.0  # deviations from which a fix counts half
_OUTLIER = 4.0  # deviations
_TOP_SPEED = 70.0  # m/s; fixes that need more to be reached are wrong
_SLACK = 8.0  # m, beside
_CHAIN = 40  # fixes that the search for those which can be reached looks back


@dataclass(frozen=True, eq=False)
class Measured:
    """Values (n,) or (n, 2) at times (n,), s, with one sigma (n,) each."""

    t: Floats
    value: Floats
    std: Floats

    def __len__(self) -> int:
        return len(self.t)


def _nowhere() -> Measured:
    return Measured(np.zeros(0), np.zeros((0, 2)), np.zeros(0))


def _nothing() -> Measured:
    return Measured(np.zeros(0), np.zeros(0), np.zeros(0))


@dataclass(frozen=True, eq=False)
class Evidence:
    """What is known of a motion.

    Args:
        position: (n, 2) m, of the point `arm` of the car; std is scaled to what they deviate.
        speed: (n,) m/s. heading: (n,) rad. yaw_rate: (n,) rad/s; each may be empty.
        arm: (2,) m, ahead and left of the rear axle: what positions are those of.
        scaled: whether the sigmas of positions are known but for a factor.
        gauge: one sigma of the logarithm of the factor that yaw rates are too large by, of the
            time, s, that they are late by, and of their bias, rad/s; zero: none.
    """

    position: Measured = field(default_factory=_nowhere)
    speed: Measured = field(default_factory=_nothing)
    heading: Measured = field(default_factory=_nothing)
    yaw_rate: Measured = field(default_factory=_nothing)
    arm: tuple[float, float] = (0.0, 0.0)
    scaled: bool = True
    gauge: tuple[float, float, float] = (0.0, 0.0, 0.0)


@dataclass(frozen=True, eq=False)
class PlanarMotion:
    """The motion of the rear axle.

    Args:
        t: (n,) s, even. xy: (n, 2) m. yaw: (n,) rad, unwrapped. speed, yaw_rate: (n,).
        position_std, yaw_std: (n,) m and rad, one sigma, as if errors were independent.
        outliers: (m,) whether a position was not believed.
        noise: factor that the sigmas of the positions were found to be short of.
        factor, late: what the yaw rates are too large by, and late by, s.
        gauge_std: (3,) one sigma of each `Evidence.gauge` as it was found.
    """

    t: Floats
    xy: Floats
    yaw: Floats
    speed: Floats
    yaw_rate: Floats
    position_std: Floats
    yaw_std: Floats
    outliers: NDArray[np.bool_]
    noise: float
    factor: float
    late: float
    gauge_std: Floats


def planar_motion(t: Floats, evidence: Evidence) -> PlanarMotion:
    """The likeliest motion at even times (n,), s; measurements outside of them are left out."""
    position = evidence.position
    reached = reachable(position.t, position.value) if len(position) else np.zeros(0, bool)
    inside = reached & (position.t >= t[0]) & (position.t <= t[-1])
    chain = _Chain(t, evidence, inside)
    state = _start(t, evidence, inside)
    noise = 1.0
    for number in range(_ROUNDS):
        state = chain.solve(state, noise)
        if number == 0 and np.sum(state[:, _SPEED]) < 0 and not len(evidence.heading):
            # A way has two directions; cars hardly ever drive it backwards.
            state[:, _YAW] += np.pi
            state[:, _SPEED] *= -1
            state = chain.solve(state, noise)
        covariance = chain.covariances(state, noise)
        if not evidence.scaled or not inside.any():
            break
        noise = chain.noise(state, covariance, noise)
    outliers = ~reached
    outliers[inside] = chain.deviations(state, noise) > _OUTLIER
    return PlanarMotion(
        t,
        state[:, :2],
        state[:, _YAW],
        state[:, _SPEED],
        state[:, _RATE],
        np.sqrt(0.5 * (covariance[:, _X, _X] + covariance[:, _Y, _Y])),
        np.sqrt(covariance[:, _YAW, _YAW]),
        outliers,
        noise,
        float(np.exp(-chain.gauge[0])),
        float(chain.gauge[1]),
        chain.gauge_std,
    )


def reachable(t: Floats, xy: Floats) -> NDArray[np.bool_]:
    """The most fixes (n,) that a car can have reached one from the other, in order of time."""
    count = len(t)
    length, before = np.ones(count, np.int64), np.full(count, -1)
    for i in range(1, count):
        first = max(0, i - _CHAIN)
        far = np.linalg.norm(xy[first:i] - xy[i], axis=1)
        can = far <= _SLACK + _TOP_SPEED * (t[i] - t[first:i])
        if can.any():
            best = int(np.argmax(np.where(can, length[first:i], 0)))
            length[i], before[i] = length[first + best] + 1, first + best
    kept = np.zeros(count, dtype=bool)
    at = int(np.argmax(length)) if count else -1
    while at >= 0:
        kept[at] = True
        at = int(before[at])
    return kept


def _start(t: Floats, evidence: Evidence, inside: NDArray[np.bool_]) -> Floats:
    """A rough motion to begin with: local lines through the fixes that fit their neighbours."""
    state = np.zeros((len(t), _SIZE))
    speed, heading, rate = evidence.speed, evidence.heading, evidence.yaw_rate
    turned = np.zeros(len(t))
    if len(rate):
        good = np.isfinite(rate.value)
        state[:, _RATE] = np.interp(t, rate.t[good], rate.value[good])
        turned = np.cumsum(state[:, _RATE]) * (t[1] - t[0])
    fixes, xy = evidence.position.t[inside], evidence.position.value[inside]
    if len(fixes) >= 2:
        fits = _fits(fixes, xy)
        state[:, :2], velocity = local_fit(t, fixes[fits], xy[fits], 3.0, 1)
        state[:, _SPEED] = np.linalg.norm(velocity, axis=1)
        course = np.arctan2(velocity[:, 1], velocity[:, 0])
        reach = (4.0 if len(rate) else 0.6) / (t[1] - t[0])
        # A course counts by its speed; where the car stands, it is that before and after.
        pull = (state[:, _SPEED] ** 2 + 1e-6) * np.exp(1j * (course - turned))
        mean = gaussian_filter1d(pull.real, reach) + 1j * gaussian_filter1d(pull.imag, reach)
        moving = np.abs(mean) >= min(_MOVING**2, 0.1 * float(np.abs(mean).max()))
        state[:, _YAW] = turned + np.interp(t, t[moving], np.unwrap(np.angle(mean[moving])))
        if not len(rate):
            state[:, _RATE] = np.gradient(state[:, _YAW], t)
    if len(speed):
        state[:, _SPEED] = np.interp(t, speed.t, speed.value)
    if len(fixes) < 2:  # dead reckoning
        state[:, _YAW] = turned
        if len(heading):
            state[:, _YAW] = np.interp(t, heading.t, np.unwrap(heading.value))
        ahead = np.stack([np.cos(state[:, _YAW]), np.sin(state[:, _YAW])], axis=1)
        state[:, :2] = np.cumsum(state[:, [_SPEED]] * ahead, axis=0) * (t[1] - t[0])
    return state


def _fits(t: Floats, xy: Floats) -> NDArray[np.bool_]:
    """Fixes (n,) near the median of the lines through two each of their six neighbours."""
    count = len(t)
    if count < 8:
        return np.ones(count, dtype=bool)
    beside = np.array([-3, -2, -1, 1, 2, 3])
    rows = np.arange(count)[:, None] + beside
    rows = np.where(rows < 0, rows + 7, np.where(rows >= count, rows - 7, rows))
    a, b = np.triu_indices(len(beside), 1)
    first, second = rows[:, a], rows[:, b]
    part = (t[:, None] - t[first]) / (t[second] - t[first])
    near = np.abs(part - 0.5) < 2.0  # a line that is drawn out far errs far
    there = xy[first] + part[..., None] * (xy[second] - xy[first])
    middle = np.nanmedian(np.where(near[..., None], there, np.nan), axis=1)
    off = np.linalg.norm(xy - middle, axis=1)
    fits: NDArray[np.bool_] = off <= max(5.0, 4.0 * float(np.median(off)))
    return fits


class _Chain:
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
                (_SPEED, evidence.speed),
                (_YAW, evidence.heading),
                (_RATE, evidence.yaw_rate),
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
        return rows, mean[rows] / total[rows], total[rows]

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
            if index != _RATE or not self._free.any():
                continue
            turned, slope = self._turned(row, value)
            rest = state[row, _RATE] - turned
            robust = weight / (1.0 + rest**2 * weight / far**2)
            by = -np.stack([turned, slope, np.ones_like(slope)], axis=1) * self._free
            columns[row * _SIZE + _RATE] = robust[:, None] * by
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
        least = (_REST + _CURVATURE * np.abs(state[:, _SPEED])) ** -2.0
        diagonal[rows, _RATE, _RATE] += least * self.dt
        right[rows, _RATE] -= least * self.dt * state[:, _RATE]
        for index, row, value, weight in self._others:
            told = self._turned(row, value)[0] if index == _RATE else value
            rest = state[row, index] - told
            if index == _YAW:
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
        yaw = 0.5 * (here[:, _YAW] + there[:, _YAW])
        way = 0.5 * dt * (here[:, _SPEED] + there[:, _SPEED])
        one = np.ones(len(row))
        for index, along, across in (
            (_X, np.cos(yaw), -np.sin(yaw)),
            (_Y, np.sin(yaw), np.cos(yaw)),
        ):
            a, b = np.zeros((len(row), 5)), np.zeros((len(row), 5))
            a[:, index], b[:, index] = -1.0, 1.0
            a[:, _SPEED] = b[:, _SPEED] = -0.5 * dt * along
            a[:, _YAW] = b[:, _YAW] = -0.5 * way * across
            rest = there[:, index] - here[:, index] - way * along
            tie(row, a, b, rest, one / (_SIDE**2 * dt))
        for index, std in ((_SPEED, _ACCELERATION), (_RATE, _STEERING)):
            a, b = np.zeros((len(row), 5)), np.zeros((len(row), 5))
            a[:, index], b[:, index] = -1.0, 1.0
            rest = there[:, index] - here[:, index]
            tie(row, a, b, rest, one / (std**2 * dt))
        a, b = np.zeros((len(row), 5)), np.zeros((len(row), 5))
        a[:, _YAW], b[:, _YAW] = -1.0, 1.0
        a[:, _RATE] = b[:, _RATE] = -0.5 * dt
        rest = there[:, _YAW] - here[:, _YAW] - 0.5 * dt * (here[:, _RATE] + there[:, _RATE])
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
        c, s = np.cos(there[:, _YAW]), np.sin(there[:, _YAW])
        ahead, left = self.evidence.arm
        point = there[:, :2] + np.stack([c * ahead - s * left, s * ahead + c * left], axis=1)
        slopes = np.zeros((len(there), 2, _SIZE))
        slopes[:, 0, _X] = slopes[:, 1, _Y] = 1.0
        slopes[:, 0, _YAW], slopes[:, 1, _YAW] = -s * ahead - c * left, c * ahead - s * left
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
        sound = deviation < _OUTLIER**2 * max(1.0, float(np.median(deviation)))
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
