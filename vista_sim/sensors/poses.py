"""Poses of a view and of the frames it is made from, compiled: they are needed at every step.

Baking refines the differences of the poses of near frames (`GeometryStore.poses`). Between two
frames the recorded motion is followed, with the correction of the second frame brought in
gradually, so that a view moves smoothly from the one frame to the other.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from vista_sim.transforms import Matrix, inverse

_OPTIONS: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy"}


@njit(**_OPTIONS)
def _multiply(a: Matrix, b: Matrix) -> Matrix:
    out = np.zeros((4, 4))
    for i in range(3):
        for j in range(4):
            out[i, j] = a[i, 0] * b[0, j] + a[i, 1] * b[1, j] + a[i, 2] * b[2, j]
        out[i, 3] += a[i, 3]
    out[3, 3] = 1.0
    return out


@njit(**_OPTIONS)
def _invert(a: Matrix) -> Matrix:
    out = np.zeros((4, 4))
    for i in range(3):
        for j in range(3):
            out[i, j] = a[j, i]
        out[i, 3] = -(a[0, i] * a[0, 3] + a[1, i] * a[1, 3] + a[2, i] * a[2, 3])
    out[3, 3] = 1.0
    return out


@njit(**_OPTIONS)
def _small_motion(twist: NDArray[np.float64], share: float) -> Matrix:
    """A share of the motion of a rotation vector (rad) and a shift (m): Rodrigues' formula."""
    out = np.zeros((4, 4))
    x, y, z = share * twist[0], share * twist[1], share * twist[2]
    angle2 = x * x + y * y + z * z
    angle = math.sqrt(angle2)
    a = math.sin(angle) / angle if angle > 1e-9 else 1.0
    b = (1.0 - math.cos(angle)) / angle2 if angle > 1e-9 else 0.5
    out[0, 0], out[0, 1], out[0, 2] = 1 - b * (y * y + z * z), b * x * y - a * z, b * x * z + a * y
    out[1, 0], out[1, 1], out[1, 2] = b * x * y + a * z, 1 - b * (x * x + z * z), b * y * z - a * x
    out[2, 0], out[2, 1], out[2, 2] = b * x * z - a * y, b * y * z + a * x, 1 - b * (x * x + y * y)
    for i in range(3):
        out[i, 3] = share * twist[3 + i]
    out[3, 3] = 1.0
    return out


@njit(**_OPTIONS)
def view_pose(
    recorded: Matrix,
    fitted: Matrix,
    twist: NDArray[np.float64],
    share: float,
    camera: Matrix,
    mount: Matrix,
    offset: Matrix,
    view_mount: Matrix,
) -> Matrix:
    """Pose of the view's camera among the fitted poses of a recorded camera.

    Args:
        recorded, fitted: T_world_camera of the frame before the moment of the scene.
        twist: (6,) correction of the way to the next frame (`corrections`).
        share: of that way that is gone, 0 to 1.
        camera: T_world_vehicle of the recorded car at the moment of the scene.
        mount, view_mount: T_vehicle_camera of the recorded and of the view's camera.
        offset: T_recorded_displaced.
    """
    way = _multiply(_invert(recorded), _multiply(camera, mount))
    there = _multiply(_multiply(fitted, way), _small_motion(twist, share))
    return _multiply(there, _multiply(_invert(mount), _multiply(offset, view_mount)))


@njit(**_OPTIONS)
def between(a: Matrix, b: Matrix) -> Matrix:
    """T_a_b of two poses in one frame."""
    return _multiply(_invert(a), b)


@njit(**_OPTIONS)
def forth_and_back(pose: Matrix) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A pose and its inverse in single precision."""
    return pose.astype(np.float32), _invert(pose).astype(np.float32)


def corrections(recorded: Matrix, fitted: Matrix) -> NDArray[np.float64]:
    """How the fitted way from each frame to the next differs from the recorded one.

    Args:
        recorded, fitted: (n, 4, 4) T_world_camera.

    Returns:
        (n, 6) rotation vector (rad) and shift (m) in the next frame's camera; zero for the
        last frame, and beside frames without a pose.
    """
    from scipy.spatial.transform import Rotation

    result = np.zeros((len(recorded), 6))
    ways = [inverse(p[:-1]) @ p[1:] for p in (recorded, fitted)]
    known = np.flatnonzero(np.isfinite(ways[0]).all(axis=(1, 2)))
    change = inverse(ways[0][known]) @ ways[1][known]
    if known.size:
        result[known, :3] = Rotation.from_matrix(change[:, :3, :3]).as_rotvec()
        result[known, 3:] = change[:, :3, 3]
    return result
