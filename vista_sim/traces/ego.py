"""The motion of the recording car: read, checked for plausible units, interpolated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vista_sim.errors import TraceError
from vista_sim.traces.checks import Finding, Motion, check_motion, refuse
from vista_sim.traces.sections import Interval, gaps, joined
from vista_sim.traces.tables import Array, check_size, check_span, check_times, read_table
from vista_sim.transforms import Matrix

Floats = NDArray[np.float64]

POSITION = ("x", "y", "z")
QUATERNION = ("qx", "qy", "qz", "qw")
REQUIRED = {"t_ns": "int"} | dict.fromkeys((*POSITION, *QUATERNION, "speed", "yaw_rate"), "float")
UNCERTAINTY = ("position_std", "heading_std")
OPTIONAL = dict.fromkeys(("steering_angle", "acceleration", *UNCERTAINTY), "float")

MAX_SPEED = 150.0  # m/s; faster than any road car
MAX_YAW_RATE = 10.0  # rad/s; a car at its limits turns with about 1
MAX_POSITION = 1e7  # m from the first pose; half way around the earth is 2e7
MAX_OPTIONAL = 1e4  # of a steering angle (rad) or an acceleration (m/s²)


@dataclass(frozen=True, eq=False)
class EgoMotion:
    """Poses and motion of the vehicle frame in the world, row by row.

    Args:
        t: (n,) s, increasing, 0 at the first row.
        position: (n, 3) m, world frame.
        quaternion: (n, 4) x y z w, unit length, neighbours in the same hemisphere.
        speed: (n,) m/s, along x of the vehicle.
        yaw_rate: (n,) rad/s, positive to the left.
        optional: further columns of the recording by name (steering_angle rad,
            acceleration m/s²; position_std m, heading_std rad: one sigma of the poses).
        findings: what contradicts itself in them (see `traces.checks`).
    """

    t: Floats
    position: Floats
    quaternion: Floats
    speed: Floats
    yaw_rate: Floats
    optional: dict[str, Floats] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()

    @cached_property
    def breaks(self) -> list[Interval]:
        """Stretches (s) in which the motion is not known: without rows, or contradicting itself."""
        return joined([*gaps(self.t), *self.cuts])

    @cached_property
    def cuts(self) -> list[Interval]:
        """Stretches (s) in which rows contradict each other, in order of time."""
        return [span for f in self.findings if f.level == "cut" for span in f.spans]

    @property
    def yaw(self) -> Floats:
        """(n,) heading in the world frame, rad, unwrapped (no jumps of 2 pi)."""
        x, y, z, w = self.quaternion.T
        return np.unwrap(np.arctan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z)))

    @property
    def rate(self) -> float:
        """Rows per second."""
        return 1.0 / float(np.median(np.diff(self.t)))

    def row_before(self, t: float) -> tuple[int, float]:
        """The row i and the fraction f in [0, 1] such that t lies at f between i and i + 1."""
        i = int(np.searchsorted(self.t, t, side="right")) - 1
        i = min(max(i, 0), len(self.t) - 2)
        t0, t1 = float(self.t[i]), float(self.t[i + 1])
        return i, (t - t0) / (t1 - t0)

    def pose(self, t: float) -> Matrix:
        """T_world_vehicle (4, 4) at time t (s, inside the recording): linear and slerp."""
        matrix_at, times, positions, quaternions = self._lookup
        return matrix_at(float(t), times, positions, quaternions)

    @cached_property
    def _lookup(self) -> tuple[Callable[..., Matrix], Floats, Floats, Floats]:
        """The compiled interpolation, loaded when first used, and the arrays it looks up."""
        from vista_sim.traces.curve import matrix_at

        # Copies: Numba compiles anew for every mixture of read-only and writable arrays.
        columns = (self.t, self.position, self.quaternion)
        t, position, quaternion = (np.array(c, dtype=np.float64, order="C") for c in columns)
        return matrix_at, t, position, quaternion


def check_ego(path: Path, columns: dict[str, Array]) -> tuple[Finding, ...]:
    """Check ego columns (as `REQUIRED`): the gate, then the columns against each other.

    Args:
        path: named in errors.
        columns: equally long arrays by column name.

    Returns:
        What contradicts itself, but not so that the trace must be refused.

    Raises:
        TraceError: values are of absurd size, or columns cannot be of one drive.
    """
    t_ns = columns["t_ns"]
    if len(t_ns) < 2:
        raise TraceError(f"{path}: has {len(t_ns)} rows; at least 2 are needed")
    check_times(path, t_ns)
    check_span(path, t_ns)
    for name in QUATERNION:
        check_size(path, name, columns[name], 1.5, "quaternions have length 1")
    norm = np.sqrt(sum(columns[name] ** 2 for name in QUATERNION))
    _refuse(path, np.abs(norm - 1) > 1e-2, norm, "quaternion has length {:.4g}; it must be 1")
    check_size(path, "speed", columns["speed"], MAX_SPEED, "it must be in m/s")
    check_size(path, "yaw_rate", columns["yaw_rate"], MAX_YAW_RATE, "it must be in rad/s")
    for name in POSITION:
        check_size(path, name, columns[name], MAX_POSITION, "positions must be in m")
    for name in OPTIONAL:
        if name in columns:
            check_size(path, name, columns[name], MAX_OPTIONAL, "it must be in m, rad and m/s²")
            if name in UNCERTAINTY:
                _refuse(path, columns[name] < 0, columns[name], f"{name} must not be negative")
    findings = check_motion(_motion(columns))
    refuse(path.parent, findings)
    return findings


def _refuse(path: Path, bad: NDArray[np.bool_], values: Array, text: str) -> None:
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise TraceError(f"{path}: row {row}: {text.format(values[row])}")


def _motion(columns: dict[str, Array]) -> Motion:
    t_ns = columns["t_ns"]
    return Motion(
        t=(t_ns - t_ns[0]) * 1e-9,
        position=np.stack([columns[name] for name in POSITION], axis=1),
        quaternion=continuous(np.stack([columns[name] for name in QUATERNION], axis=1)),
        speed=columns["speed"],
        yaw_rate=columns["yaw_rate"],
    )


def read_ego(path: Path) -> tuple[int, EgoMotion]:
    """Read ego.parquet: the time of its first row (ns) and the motion. Raises TraceError."""
    columns = read_table(path, REQUIRED, OPTIONAL)
    findings = check_ego(path, columns)
    checked = _motion(columns)
    motion = EgoMotion(
        t=checked.t,
        position=checked.position,
        quaternion=checked.quaternion,
        speed=checked.speed,
        yaw_rate=checked.yaw_rate,
        optional={name: columns[name] for name in OPTIONAL if name in columns},
        findings=findings,
    )
    for array in (motion.t, motion.position, motion.quaternion, motion.speed, motion.yaw_rate):
        array.setflags(write=False)
    return int(columns["t_ns"][0]), motion


def continuous(quaternion: ArrayLike) -> Floats:
    """Unit quaternions (n, 4) with signs such that neighbours lie in the same hemisphere."""
    q = np.array(quaternion, dtype=np.float64)
    q /= np.linalg.norm(q, axis=1, keepdims=True)
    flips = np.einsum("ij,ij->i", q[1:], q[:-1]) < 0
    sign = np.concatenate([[1.0], np.cumprod(np.where(flips, -1.0, 1.0))])
    result: Floats = q * sign[:, None]
    return result
