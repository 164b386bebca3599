"""From the frame that poses were recorded in to the world frame of a trace.

A trace begins at the origin with yaw zero; roll and pitch stay, since z is against gravity.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vista_sim.transforms import (
    Matrix,
    inverse,
    matrix_from_quaternion,
    planar_pose,
    quaternion_from_matrix,
    yaw_of,
)


def levelling(T_frame_first: ArrayLike) -> Matrix:
    """T_world_frame (4, 4): what was said in the frame of the poses, such as tracks, in the world.

    Args:
        T_frame_first: (4, 4) first pose of the vehicle, in a frame with z up against gravity.
    """
    first = np.asarray(T_frame_first, dtype=np.float64)
    start = planar_pose(0.0, 0.0, yaw_of(first))
    start[:3, 3] = first[:3, 3]
    return inverse(start)


def poses_in(T_world_frame: Matrix, pose: ArrayLike) -> NDArray[np.float64]:
    """Poses (n, 7), x y z qx qy qz qw, that are said in a frame, in another.

    Args:
        T_world_frame: (4, 4).
    """
    rows = np.asarray(pose, dtype=np.float64).reshape(-1, 7)
    turned = T_world_frame[:3, :3] @ matrix_from_quaternion(rows[:, 3:])
    place = rows[:, :3] @ T_world_frame[:3, :3].T + T_world_frame[:3, 3]
    return np.hstack([place, quaternion_from_matrix(turned)])


def level_to_first_pose(
    position: ArrayLike, quaternion: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Move poses so that the first lies at the origin with yaw zero; roll and pitch stay.

    Args:
        position: (n, 3) m, in a frame with z up against gravity.
        quaternion: (n, 4) x y z w.

    Returns:
        Positions (n, 3) and quaternions (n, 4) in the trace's world frame.
    """
    position = np.asarray(position, dtype=np.float64)
    rotation = matrix_from_quaternion(quaternion)
    turn = inverse(planar_pose(0.0, 0.0, yaw_of(rotation[0])))[:3, :3]
    return (position - position[0]) @ turn.T, quaternion_from_matrix(turn @ rotation)
