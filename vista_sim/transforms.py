"""Rigid transforms as 4x4 matrices, angles and quaternions.

`T_a_b` is the pose of b in a: `p_a = T_a_b @ p_b`. Quaternions are (x, y, z, w), unit
length. Angles are radians; yaw is positive to the left (counter-clockwise from above).
"""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

Matrix = NDArray[np.float64]


def wrap_angle(angle: float) -> float:
    """The same angle in (-pi, pi]."""
    wrapped = math.remainder(angle, 2.0 * math.pi)
    return math.pi if wrapped == -math.pi else wrapped


def planar_pose(x: float, y: float, yaw: float) -> Matrix:
    """4x4 pose of a body at (x, y, 0), turned by yaw about z."""
    c, s = math.cos(yaw), math.sin(yaw)
    return np.array(
        [[c, -s, 0.0, x], [s, c, 0.0, y], [0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]],
    )


def pose_from_euler(
    x: float = 0.0,
    y: float = 0.0,
    z: float = 0.0,
    roll: float = 0.0,
    pitch: float = 0.0,
    yaw: float = 0.0,
) -> Matrix:
    """4x4 pose from a position (m) and angles (rad): R = Rz(yaw) Ry(pitch) Rx(roll), ISO 8855.

    Positive pitch turns the x axis down (nose down), positive roll the y axis up.
    """
    cr, sr = math.cos(roll), math.sin(roll)
    cp, sp = math.cos(pitch), math.sin(pitch)
    cy, sy = math.cos(yaw), math.sin(yaw)
    pose = np.eye(4)
    pose[:3, :3] = [
        [cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr],
        [sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr],
        [-sp, cp * sr, cp * cr],
    ]
    pose[:3, 3] = (x, y, z)
    return pose


def inverse(pose: ArrayLike) -> Matrix:
    """Inverse of rigid transforms, shape (..., 4, 4)."""
    pose = np.asarray(pose, dtype=np.float64)
    rotation = np.swapaxes(pose[..., :3, :3], -1, -2)
    result = np.empty(pose.shape)
    result[..., :3, :3] = rotation
    result[..., :3, 3:] = -(rotation @ pose[..., :3, 3:])
    result[..., 3, :] = (0.0, 0.0, 0.0, 1.0)
    return result


def yaw_of(pose: ArrayLike) -> float:
    """Heading of a 4x4 pose: the angle of its x axis in the xy plane, rad."""
    pose = np.asarray(pose)
    return math.atan2(pose[1, 0], pose[0, 0])


def way_along(places: ArrayLike) -> NDArray[np.float64]:
    """Distance (n,) travelled up to each of some places (n, k), along straight lines."""
    steps = np.linalg.norm(np.diff(np.asarray(places, dtype=np.float64), axis=0), axis=1)
    return np.concatenate([[0.0], np.cumsum(steps)])


def matrix_from_quaternion(quaternion: ArrayLike) -> Matrix:
    """Rotation matrices (..., 3, 3) of unit quaternions (..., 4) in the order x, y, z, w."""
    x, y, z, w = np.moveaxis(np.asarray(quaternion, dtype=np.float64), -1, 0)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def quaternion_from_matrix(rotation: ArrayLike) -> NDArray[np.float64]:
    """Unit quaternions (..., 4), x y z w with w >= 0, of rotation matrices (..., 3, 3)."""
    from scipy.spatial.transform import Rotation

    rotation = np.asarray(rotation, dtype=np.float64)
    flat = Rotation.from_matrix(rotation.reshape(-1, 3, 3)).as_quat()
    flat = np.where(flat[:, 3:] < 0, -flat, flat)
    return flat.reshape(*rotation.shape[:-2], 4)


#: Rotation from the camera frame (x right, y down, z forward) to the vehicle frame
#: (x forward, y left, z up) of a camera that looks straight ahead.
R_VEHICLE_FORWARD_CAMERA: Matrix = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])


def camera_mount(
    x: float, y: float, z: float, roll: float = 0.0, pitch: float = 0.0, yaw: float = 0.0
) -> Matrix:
    """T_vehicle_camera of a camera at (x, y, z) that looks forward, then turned.

    Angles (rad) are those of `pose_from_euler`: positive pitch looks down, positive yaw left.
    """
    mount = pose_from_euler(x, y, z, roll, pitch, yaw)
    mount[:3, :3] = mount[:3, :3] @ R_VEHICLE_FORWARD_CAMERA
    return mount
