"""Recordings whose sensors have their own poses, at times of their own.

The car's motion is that of one of them, its mount taken off; the mounts of the others follow from
where they were at their times.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation, Slerp

from vista_sim.errors import TraceError
from vista_sim.traces.importers.recording import Times
from vista_sim.transforms import Matrix, inverse

#: How far a sensor may be beside its mount at one of its poses, m and rad.
LOOSE, LOOSE_ANGLE = 0.3, 0.05
_NO_INFINITY = 1e7  # m


@dataclass(frozen=True, eq=False)
class Posed:
    """Poses of something that moves.

    Args:
        name: for errors: the file that the poses are from.
        t_ns: (n,) ns, increasing, at least two.
        poses: (n, 4, 4) in a frame with z up against gravity.
    """

    name: str
    t_ns: Times
    poses: Matrix

    def __post_init__(self) -> None:
        if len(self.t_ns) != len(self.poses):
            raise TraceError(
                f"{self.name}: holds {len(self.poses)} poses and {len(self.t_ns)} times"
            )
        if len(self.t_ns) < 2:
            raise TraceError(f"{self.name}: holds {len(self.t_ns)} poses; at least 2 are needed")
        late = np.flatnonzero(np.diff(self.t_ns) <= 0)
        if len(late):
            raise TraceError(f"{self.name}: time {late[0] + 1} must be after the one before")
        if not np.abs(self.poses).max() < _NO_INFINITY:
            raise TraceError(f"{self.name}: positions must be in m, and below 10,000 km")

    def at(self, t_ns: Times) -> Matrix:
        """Poses (m, 4, 4) at times (m,), ns, within those of the poses.

        Places between two are on a straight line, turns by the same axis (Shoemake, "Animating
        rotation with quaternion curves", SIGGRAPH 1985).
        """
        t, wanted = (self.t_ns - self.t_ns[0]) * 1e-9, (t_ns - self.t_ns[0]) * 1e-9
        wanted = np.clip(wanted, 0.0, t[-1])
        poses = np.tile(np.eye(4), (len(wanted), 1, 1))
        poses[:, :3, :3] = Slerp(t, Rotation.from_matrix(self.poses[:, :3, :3]))(wanted).as_matrix()
        for axis in range(3):
            poses[:, axis, 3] = np.interp(wanted, t, self.poses[:, axis, 3])
        return poses

    def moved(self, T_sensor_other: Matrix) -> Posed:
        """Poses of what is fixed to the sensor."""
        return Posed(self.name, self.t_ns, self.poses @ T_sensor_other)


def mount_on(carrier: Posed, sensor: Posed) -> Matrix:
    """T_carrier_sensor (4, 4): the mean over the times at which both are known.

    Raises:
        TraceError: there are none, or the sensor does not stay where it is on its carrier.
    """
    both = (sensor.t_ns >= carrier.t_ns[0]) & (sensor.t_ns <= carrier.t_ns[-1])
    if not both.any():
        raise TraceError(
            f"{sensor.name}: its times are none of those of {carrier.name}; are they of one clock?"
        )
    poses = inverse(carrier.at(sensor.t_ns[both])) @ sensor.poses[both]
    turns = Rotation.from_matrix(poses[:, :3, :3])
    mount = np.eye(4)
    mount[:3, :3] = turns.mean().as_matrix()
    mount[:3, 3] = np.median(poses[:, :3, 3], axis=0)
    aside = np.linalg.norm(poses[:, :3, 3] - mount[:3, 3], axis=1)
    turned = (turns.mean().inv() * turns).magnitude()
    if aside.max() > LOOSE or turned.max() > LOOSE_ANGLE:
        raise TraceError(
            f"{sensor.name}: is up to {aside.max():.2f} m and {np.degrees(turned.max()):.1f} "
            f"degrees beside where it sits by {carrier.name}; it must be fixed to the car, "
            "and poses in m with quaternions w x y z"
        )
    return mount
