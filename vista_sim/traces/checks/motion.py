"""The recorded motion as the checks look at it: rows, steps between them, and windows of time.

What speed and heading do not explain of a step of the positions is compared with what may be
expected (`Motion.tolerance`): a part of the way (slip, a wrong wheel radius), a speed that is late
when the car brakes, and the noise of the positions, measured on the drive itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from vista_sim.traces.sections import gaps

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

LEAST = 0.5, 1.0  # m in the plane and in height
SLOPE = 0.2, 0.4  # of the way
LATE = 3.0  # m/s that a speed may be wrong
NOISE = 10.0  # deviations


@dataclass(frozen=True, eq=False)
class Window:
    """Stretches of about equal time, one beginning at each row; n of them.

    first, last: (n,) rows. time: (n,) s. moved: (n, 2) m in the plane. expected: (n,) m that the
    speeds amount to, by their size. whole: (n,) no gap is inside. sound: (n,) nor a jump.
    """

    first: NDArray[np.int64]
    last: NDArray[np.int64]
    time: Floats
    moved: Floats
    expected: Floats
    whole: Bools
    sound: Bools

    @property
    def distance(self) -> Floats:
        """(n,) m between both ends."""
        return np.hypot(self.moved[:, 0], self.moved[:, 1])


@dataclass(frozen=True, eq=False)
class Motion:
    """Columns of ego.parquet that passed the gate: finite and of bounded size.

    Args:
        t: (n,) s from 0, increasing. position: (n, 3) m. quaternion: (n, 4) x y z w, unit length.
        speed: (n,) m/s. yaw_rate: (n,) rad/s.
    """

    t: Floats
    position: Floats
    quaternion: Floats
    speed: Floats
    yaw_rate: Floats

    @cached_property
    def dt(self) -> Floats:
        """(n - 1,) s between rows."""
        return np.diff(self.t)

    @cached_property
    def interval(self) -> float:
        """Median of `dt`, s."""
        return float(np.median(self.dt))

    @cached_property
    def forward(self) -> Floats:
        """(n, 3) the vehicle's x axis in the world."""
        x, y, z, w = self.quaternion.T
        return np.stack([1 - 2 * (y * y + z * z), 2 * (x * y + z * w), 2 * (x * z - y * w)], axis=1)

    @cached_property
    def up(self) -> Floats:
        """(n,) height of the vehicle's z axis: 1 upright, -1 upside down."""
        return 1 - 2 * (self.quaternion[:, 0] ** 2 + self.quaternion[:, 1] ** 2)

    @cached_property
    def yaw(self) -> Floats:
        """(n,) heading, rad, unwrapped."""
        return np.unwrap(np.arctan2(self.forward[:, 1], self.forward[:, 0]))

    @cached_property
    def steps_whole(self) -> Bools:
        """(n - 1,) whether a step is no gap."""
        whole = np.ones(len(self.dt), dtype=bool)
        for start, _ in gaps(self.t):
            whole[np.searchsorted(self.t, start)] = False
        return whole

    @cached_property
    def steps_sound(self) -> Bools:
        """(n - 1,) whether a step is no gap and not much longer than the speed says."""
        way = 0.5 * (np.abs(self.speed[1:]) + np.abs(self.speed[:-1])) * self.dt
        step = np.linalg.norm(np.diff(self.position, axis=0), axis=1)
        return self.steps_whole & (step - way <= self.tolerance(way, self.dt)[0])

    def tolerance(self, way: Floats, time: Floats) -> tuple[Floats, Floats]:
        """What of a way (n,) m in some time (n,) s may be unexplained: in the plane, in height."""
        plane, height = (
            least + slope * way + LATE * time + NOISE * noise
            for least, slope, noise in zip(LEAST, SLOPE, self.noise, strict=True)
        )
        return plane, height

    @cached_property
    def backward(self) -> Bools:
        """(n,) whether the car moves backwards although its speed is positive."""
        window = self.window(1.0)
        middle = (window.first + window.last) // 2
        along = np.einsum("ij,ij->i", window.moved, self.forward[middle, :2])
        back = window.sound & (self.speed[middle] > 0) & (-along > 10.0 * self.noise[0])
        back &= (-along > 0.7 * window.distance) & (-along > 0.5 * window.expected)
        rows = np.zeros(len(self.t), dtype=bool)
        for first, last in zip(window.first[back], window.last[back], strict=True):
            rows[first : last + 1] = True
        return rows & (self.speed > 0)

    @cached_property
    def expected_steps(self) -> Floats:
        """(n - 1, 3) m that speed and heading amount to between rows, `backward` or not."""
        speed = np.where(self.backward, -self.speed, self.speed)
        velocity = speed[:, None] * self.forward
        return 0.5 * (velocity[1:] + velocity[:-1]) * self.dt[:, None]

    @cached_property
    def noise(self) -> Floats:
        """(2,) m: deviation of white noise of the positions, in the plane (one axis) and in height.

        From second differences, whose deviation is sqrt(6) times that of white noise; the motion
        itself and times that are taken late add to them, which makes the checks more tolerant.
        """
        step = np.diff(self.position, axis=0)
        ratio = self.dt[1:] / self.dt[:-1]
        even = (ratio > 0.5) & (ratio < 2.0)
        if np.count_nonzero(even) < 5:
            return np.zeros(2)
        bend = (step[1:] - ratio[:, None] * step[:-1])[even]
        plane = np.median(np.hypot(bend[:, 0], bend[:, 1])) / (1.177 * np.sqrt(6))
        height = np.median(np.abs(bend[:, 2])) / (0.6745 * np.sqrt(6))
        return np.array([plane, height])

    def window(self, seconds: float) -> Window:
        """Windows of so many seconds, or of a sixth of the drive if that is shorter."""
        rows = len(self.t)
        stride = max(1, min(round(seconds / self.interval), (rows - 1) // 6))
        first = np.arange(rows - stride)
        last = first + stride
        time = self.t[last] - self.t[first]
        mean = 0.5 * (np.abs(self.speed[1:]) + np.abs(self.speed[:-1]))
        travelled = np.concatenate([[0.0], np.cumsum(mean * self.dt)])

        def without(broken: Bools) -> Bools:
            count = np.concatenate([[0], np.cumsum(broken)])
            return np.asarray(count[last] == count[first])

        return Window(
            first=first,
            last=last,
            time=time,
            moved=self.position[last, :2] - self.position[first, :2],
            expected=travelled[last] - travelled[first],
            whole=without(~self.steps_whole),
            sound=without(~self.steps_sound),
        )
