"""Corners followed between two frames, and what they say about the motion between them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vista_sim.transforms import Matrix

Floats = NDArray[np.float64]

_FLOW: dict[str, Any] = {"winSize": (13, 13), "maxLevel": 4, "criteria": (3, 20, 0.01)}
_MAX_RETURN_ERROR = 0.3  # px between a corner and where following it there and back ends
_MAX_ITERATIONS = 10
_LOOSE = (math.radians(0.5), 0.2)  # rad and m; no recording is thought to err by more


@dataclass(frozen=True, eq=False)
class Tracks:
    """Corners of one frame and where another frame shows them: normalized points (n, 3), z = 1."""

    here: Floats
    there: Floats
    found: NDArray[np.bool_]  # (m,) which of the m corners were followed


def corners(gray: NDArray[np.uint8], count: int) -> NDArray[np.float32]:
    """Up to `count` well-spread corners (m, 1, 2) of an image."""
    spacing = max(4.0, 0.45 * float(np.sqrt(gray.size / count)))
    found = cv2.goodFeaturesToTrack(gray, count, 0.005, spacing)
    return np.zeros((0, 1, 2), np.float32) if found is None else found


def follow(
    gray: NDArray[np.uint8],
    other: NDArray[np.uint8],
    points: NDArray[np.float32],
    matrix: Matrix,
) -> Tracks:
    """Follow corners into another image and back; only those that return are kept."""
    found = np.zeros(len(points), dtype=bool)
    target = points
    if len(points):
        target, there_ok, _ = cv2.calcOpticalFlowPyrLK(gray, other, points, None, **_FLOW)
        back, back_ok, _ = cv2.calcOpticalFlowPyrLK(other, gray, target, None, **_FLOW)
        error = np.linalg.norm((back - points)[:, 0], axis=1)
        found = (there_ok[:, 0] > 0) & (back_ok[:, 0] > 0) & (error < _MAX_RETURN_ERROR)
    return Tracks(_normalized(points[found], matrix), _normalized(target[found], matrix), found)


def _normalized(points: NDArray[np.float32], matrix: Matrix) -> Floats:
    points = points.reshape(-1, 2).astype(np.float64)
    x = (points[:, 0] - matrix[0, 2]) / matrix[0, 0]
    y = (points[:, 1] - matrix[1, 2]) / matrix[1, 1]
    return np.stack([x, y, np.ones_like(x)], axis=1)


@dataclass(frozen=True, eq=False)
class MotionEstimate:
    """What followed corners say about a motion T_there_here.

    Args:
        recorded: the motion as recorded.
        correction: (5,) best rotation vector (rad) and change of direction (rad, along `side`
            and `up`).
        information: (5, 5) inverse covariance of `correction`, as if the corners erred
            independently.
    """

    recorded: Matrix
    correction: Floats
    information: Floats

    def corrected(self, correction: Floats | None = None) -> Matrix:
        """The motion after a correction (5,); the best one if none is given."""
        x = self.correction if correction is None else correction
        return _corrected(self.recorded, x)


def _corrected(motion: Matrix, x: Floats) -> Matrix:
    """Turn a motion and its direction of translation, whose length stays."""
    length = float(np.linalg.norm(motion[:3, 3]))
    direction = motion[:3, 3] / length
    side = np.cross(direction, (1.0, 0.0, 0.0) if abs(direction[0]) < 0.9 else (0.0, 1.0, 0.0))
    side /= np.linalg.norm(side)
    t = direction + x[3] * side + x[4] * np.cross(direction, side)
    result = np.eye(4)
    result[:3, :3] = cv2.Rodrigues(x[:3])[0] @ motion[:3, :3]
    result[:3, 3] = t * (length / np.linalg.norm(t))
    return result


def estimate_motion(here: Floats, there: Floats, motion: Matrix, focal: float) -> MotionEstimate:
    """Turn a motion so that followed corners lie on their epipolar lines.

    Robust Gauss-Newton on the Sampson distance (Hartley and Zisserman, Multiple View
    Geometry, 2nd ed., eq. 11.9) over rotation and direction of translation. The length of
    the translation cannot be seen and stays.

    Args:
        here, there: (n, 3) normalized points.
        motion: T_there_here, as recorded; it moves.
        focal: px, that turns distances into pixels.
    """
    length = float(np.linalg.norm(motion[:3, 3]))
    # Loose: it only keeps the search near the recording where corners say nothing.
    angle = _LOOSE[1] / length
    precision = np.diag(1.0 / np.array([_LOOSE[0]] * 3 + [angle] * 2) ** 2)
    x = np.zeros(5)
    for _ in range(_MAX_ITERATIONS):
        residual = _sampson(here, there, _corrected(motion, x)) * focal
        sigma = max(1.4826 * float(np.median(np.abs(residual))), 0.05)
        weight = 1.0 / (1.0 + (residual / (2.0 * sigma)) ** 2) / sigma**2
        slopes = np.empty((len(residual), 5))
        for k in range(5):
            nudged = x.copy()
            nudged[k] += 1e-5
            moved = _sampson(here, there, _corrected(motion, nudged)) * focal
            slopes[:, k] = (moved - residual) / 1e-5
        information = (slopes * weight[:, None]).T @ slopes
        step = np.linalg.solve(
            information + precision, slopes.T @ (weight * residual) + precision @ x
        )
        x = x - step
        if np.abs(step).max() < 1e-6:
            break
    return MotionEstimate(motion, x, information)


def _sampson(here: Floats, there: Floats, motion: Matrix) -> Floats:
    t = motion[:3, 3]
    cross = np.array([[0.0, -t[2], t[1]], [t[2], 0.0, -t[0]], [-t[1], t[0], 0.0]])
    essential = cross @ motion[:3, :3]
    line, back = here @ essential.T, there @ essential
    norm = np.sqrt(line[:, 0] ** 2 + line[:, 1] ** 2 + back[:, 0] ** 2 + back[:, 1] ** 2)
    result: Floats = np.sum(there * line, axis=1) / np.maximum(norm, 1e-12)
    return result


def triangulate(here: Floats, there: Floats, motion: Matrix) -> tuple[Floats, Floats]:
    """Inverse depths (n,) in the first frame, and the parallax (n,) each is measured by.

    Args:
        here, there: (n, 3) normalized points.
        motion: T_there_here.

    Returns:
        Inverse depth, 1/m, and the angle (about, rad) that it moves the point by.
    """
    far = here @ motion[:3, :3].T
    # there x (far + w t) = 0, solved for w by least squares
    a, b = np.cross(there, far), np.cross(there, np.broadcast_to(motion[:3, 3], there.shape))
    bb = np.sum(b * b, axis=1)
    inverse_depth = -np.sum(a * b, axis=1) / np.maximum(bb, 1e-12)
    return inverse_depth, inverse_depth * np.sqrt(bb)
