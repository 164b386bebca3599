"""The motion of a car from poses: what formats tell of something that is fixed to it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vista_sim.traces.importers.recording import Floats, Motion
from vista_sim.traces.levelling import level_to_first_pose
from vista_sim.traces.smoothing import local_fit
from vista_sim.transforms import Matrix, inverse, quaternion_from_matrix

SMOOTHING = 0.5  # s to each side of a speed or yaw rate


def poses_of_vehicle(T_first_camera: Matrix, T_vehicle_camera: Matrix) -> Matrix:
    """Poses (n, 4, 4) of the vehicle frame, in that of the first pose, of one camera's poses.

    The vehicle is taken as level at the first pose where gravity is not in the data.

    Args:
        T_first_camera: (n, 4, 4) poses of the camera in its first frame.
        T_vehicle_camera: (4, 4) its mount.
    """
    return np.asarray(T_vehicle_camera @ T_first_camera @ inverse(T_vehicle_camera))


def motion_of_poses(
    t_ns: NDArray[np.int64],
    T_world_vehicle: Matrix,
    speed: Floats | None = None,
    yaw_rate: Floats | None = None,
) -> Motion:
    """Motion from poses of the vehicle frame.

    Args:
        t_ns: (n,) ns, increasing.
        T_world_vehicle: (n, 4, 4), in a frame with z up against gravity.
        speed: (n,) m/s along the vehicle's x; None: from a local quadratic fit of the positions.
        yaw_rate: (n,) rad/s; None: from one of the headings.
    """
    position, quaternion = level_to_first_pose(
        T_world_vehicle[:, :3, 3], quaternion_from_matrix(T_world_vehicle[:, :3, :3])
    )
    t = (t_ns - t_ns[0]) * 1e-9
    if yaw_rate is None:
        yaw = np.unwrap(np.arctan2(T_world_vehicle[:, 1, 0], T_world_vehicle[:, 0, 0]))
        yaw_rate = local_fit(t, t, yaw, SMOOTHING, 2)[1]
    if speed is None:
        place = T_world_vehicle[:, :3, 3] - T_world_vehicle[0, :3, 3]
        velocity = np.stack([local_fit(t, t, place[:, k], SMOOTHING, 2)[1] for k in range(3)], 1)
        speed = np.einsum("ij,ij->i", velocity, T_world_vehicle[:, :3, 0])
    return Motion(t_ns, position, quaternion, speed, yaw_rate)
