"""A position log as evidence of a car's motion in a plane, and that motion as rows of a trace."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from vista_sim.errors import TraceError
from vista_sim.traces.geodesy import local_of_geodetic
from vista_sim.traces.importers.logs.position_log import PositionLog
from vista_sim.traces.importers.motion_evidence import Evidence, Measured
from vista_sim.traces.importers.planar_motion import PlanarMotion, planar_motion
from vista_sim.traces.importers.recording import Floats, Motion
from vista_sim.traces.levelling import level_to_first_pose
from vista_sim.traces.origin import Origin
from vista_sim.traces.smoothing import local_fit
from vista_sim.transforms import Matrix, quaternion_from_matrix

STEP = 0.1  # s between the rows of a motion
_POSITION_STD = 3.0  # m of a position that does not say it
_SPEED_STD = 0.3  # m/s of a speed
_COURSE_STD = 0.03, 0.4  # rad, and m/s across, of a course
_COURSE_SPEED = 2.0  # m/s; below, a course is noise
_RATE_STD = 0.02  # rad/s of a yaw rate of the log
_BIAS = 0.02  # rad/s
_SLOPE = 10.0  # s to each side that heights are smoothed over
_STEEP = 0.25  # of a road, at most
_LOST = 5.0  # s from a position; farther, the motion is not known
_FAR = 1e6  # m from the first position


@dataclass(frozen=True, eq=False)
class LogPath:
    """What a log says, on a clock of s after its first row.

    Args:
        log: where it is from.
        position: (n, 2) m, east and north of the first one, or x and y.
        speed, course, yaw_rate: (n,) m/s, rad, rad/s; may be empty.
        altitude: (n,) m above the first one, with no position NaN.
        arm: (2,) m, what the positions are those of, ahead and left of the rear axle.
    """

    log: PositionLog
    position: Measured
    speed: Measured
    course: Measured
    yaw_rate: Measured
    altitude: Measured
    arm: tuple[float, float]

    @classmethod
    def of(cls, log: PositionLog, arm: tuple[float, float]) -> LogPath:
        """The evidence of a log. Raises TraceError."""
        t = (log.t_ns - log.t_ns[0]) * 1e-9
        placed, xyz = _local(log)
        std = np.where(np.isfinite(log.accuracy), np.maximum(log.accuracy, 0.01), _POSITION_STD)
        known, speed = np.isfinite(log.speed), log.speed
        steady = np.isfinite(log.course) & (np.where(known, speed, np.inf) > _COURSE_SPEED)
        pace = np.where(known, speed, 5.0)[steady]
        return cls(
            log,
            Measured(t[placed], xyz[:, :2], std[placed]),
            Measured(t[known], speed[known], np.full(known.sum(), _SPEED_STD)),
            Measured(t[steady], log.course[steady], _COURSE_STD[0] + _COURSE_STD[1] / pace),
            _yaw_rates(log, t),
            Measured(t[placed], xyz[:, 2], std[placed]),
            arm,
        )

    def motion(
        self,
        first: float,
        last: float,
        yaw_rate: Measured | None = None,
        gauge: tuple[float, float, float] = (0.0, 0.0, 0.0),
    ) -> PlanarMotion:
        """The motion from one time to another, s, with yaw rates that the log lacks.

        Raises TraceError: the log says too little of that time.
        """
        t = np.arange(first, last + STEP / 2, STEP)
        if yaw_rate is None:
            yaw_rate, gauge = self.yaw_rate, (0.0, 0.0, _BIAS)
        inside = (self.position.t >= first) & (self.position.t <= last)
        if len(t) < 5 or (len(self.position) and inside.sum() < 2):
            raise TraceError(
                f"{self.log.path}: {inside.sum()} positions are of the time of the video; is it "
                "another drive, or the clock another (--time-offset)?"
            )
        evidence = Evidence(
            self.position,
            self.speed,
            self.course,
            yaw_rate,
            self.arm,
            scaled=len(self.position) > 10,
            gauge=gauge if len(yaw_rate) else (0.0, 0.0, 0.0),
        )
        return planar_motion(t, evidence)

    def rows(self, planar: PlanarMotion) -> tuple[Motion, Origin | None]:
        """The rows of a trace, those left out that are far in time from any position."""
        known = self._known(planar.t)
        z, slope = self._heights(planar)
        turn = np.stack([planar.yaw, -np.arctan(slope), np.zeros_like(slope)], axis=1)
        rotation = Rotation.from_euler("ZYX", turn[known]).as_matrix()
        place = np.concatenate([planar.xy, z[:, None]], axis=1)[known]
        position, quaternion = level_to_first_pose(place, quaternion_from_matrix(rotation))
        std = {"position_std": planar.position_std, "heading_std": planar.yaw_std}
        motion = Motion(
            self.log.t_ns[0] + np.round(planar.t[known] * 1e9).astype(np.int64),
            position,
            quaternion,
            planar.speed[known],
            planar.yaw_rate[known],
            {name: np.minimum(values[known], 1e3) for name, values in std.items()},
        )
        first = np.eye(4)
        first[:3, :3], first[:3, 3] = rotation[0], place[0]
        return motion, self._origin(first)

    def _known(self, t: Floats) -> NDArray[np.bool_]:
        if not len(self.position):
            return np.ones(len(t), dtype=bool)
        after = np.searchsorted(self.position.t, t)
        before = self.position.t[np.clip(after - 1, 0, None)]
        ahead = self.position.t[np.clip(after, None, len(self.position) - 1)]
        return (np.abs(t - before) < _LOST) | (np.abs(ahead - t) < _LOST)

    def _heights(self, planar: PlanarMotion) -> tuple[Floats, Floats]:
        """Height (n,) m and slope (n,) of the road, as far as altitudes tell them."""
        level = np.zeros(len(planar.t))
        good = np.isfinite(self.altitude.value)
        t, value = self.altitude.t[good], self.altitude.value[good]
        if len(t) < 10:
            return level, level
        rest = np.abs(value - local_fit(t, t, value, _SLOPE, 1)[0])
        good = rest <= 4.0 * max(1.4826 * float(np.median(rest)), 0.5)
        climb = local_fit(planar.t, t[good], value[good], _SLOPE, 1)[1]
        slope = np.clip(climb / np.maximum(np.abs(planar.speed), 3.0), -_STEEP, _STEEP)
        # Where the car looks, it moves: heights are those of its way, not of the receiver.
        way = planar.speed * slope * STEP
        return np.cumsum(way) - way[0], slope

    def _origin(self, first: Matrix) -> Origin | None:
        placed = np.flatnonzero(_on_earth(self.log))
        if len(placed) < 2:
            return None
        row = int(placed[0])
        altitude = float(np.nan_to_num(self.log.altitude[row]))
        there = Origin(float(self.log.latitude[row]), float(self.log.longitude[row]), altitude)
        return there.moved(first)


def _local(log: PositionLog) -> tuple[NDArray[np.bool_], Floats]:
    """Which rows hold a position, and these (n, 3) m. Raises TraceError."""
    placed = _on_earth(log)
    if placed.sum() >= 2:
        level = np.zeros(int(placed.sum()))  # so that no error of a height moves a place
        xyz = local_of_geodetic(log.latitude[placed], log.longitude[placed], level)
    else:
        placed = np.isfinite(log.x) & np.isfinite(log.y)
        xyz = np.stack([log.x[placed], log.y[placed], log.altitude[placed]], axis=1)
    if placed.any():
        xyz[:, 2] = log.altitude[placed] - _first(log.altitude[placed])
        xyz[:, :2] -= xyz[0, :2]
        far = np.linalg.norm(xyz[:, :2], axis=1)
        if np.median(far) > _FAR:
            raise TraceError(f"{log.path}: positions are {np.median(far) / 1e3:.0f} km apart")
    return placed, xyz


def _on_earth(log: PositionLog) -> NDArray[np.bool_]:
    """Rows (n,) with a latitude and a longitude; before a fix, receivers write zeros."""
    known = np.isfinite(log.latitude) & np.isfinite(log.longitude)
    return np.asarray(known & ((log.latitude != 0) | (log.longitude != 0)))


def _first(values: Floats) -> float:
    known = values[np.isfinite(values)]
    return float(known[0]) if len(known) else 0.0


def _yaw_rates(log: PositionLog, t: Floats) -> Measured:
    told = np.isfinite(log.yaw_rate)
    if told.sum() > 1:
        return Measured(t[told], log.yaw_rate[told], np.full(told.sum(), _RATE_STD))
    gyro_t = (log.gyro_t_ns - log.t_ns[0]) * 1e-9
    return Measured(gyro_t, log.gyro, np.full(len(gyro_t), _RATE_STD))
