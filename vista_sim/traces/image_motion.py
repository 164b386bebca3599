"""How fast a camera turns and where it moves to, by the flow of its own pictures.

The motion field of a rigid scene (Longuet-Higgins and Prazdny, 1980): what translation adds to the
flow of a point goes away from the point that the camera moves to, by an amount that depends on the
depth. Across that direction only the rotation is seen, whatever the depths are.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from vista_sim.traces.calibration import Lens

Floats = NDArray[np.float64]

_WIDTH = 640  # px at most of the working pictures
_CORNERS = 300
_LEAST = 15  # points that tell a motion
_OWN_CAR = 0.12  # share of the picture at its lower edge that may show the bonnet
_FLOW: dict[str, Any] = {"winSize": (15, 15), "maxLevel": 4, "criteria": (3, 20, 0.02)}
_RETURN = 0.5  # px between a corner and where following it there and back ends
_STILL = 0.15  # px of flow that a picture has which does not move
_LOOSE = 0.15  # of the direction of motion, beside straight ahead (tangent)
_ROUNDS = 12
_SCALES = (6.0, 1.0)  # px; errors that count half, from the first round to the last


@dataclass(frozen=True, eq=False)
class ImageMotion:
    """The motion of a camera between n + 1 successive pictures.

    Args:
        t: (n,) middles of the intervals, s.
        rate: (n, 3) rad/s about the axes of the camera (x right, y down, z ahead); NaN where too
            few points could be followed.
        ahead: (n, 2) where the camera moves to: x / z and y / z in the camera frame.
        parallax: (n,) px/s, median flow away from there, at the working size: about zero where the
            car stands.
        error: (n,) rad/s, one sigma of `rate` about y, as if points erred independently.
    """

    t: Floats
    rate: Floats
    ahead: Floats
    parallax: Floats
    error: Floats

    def yaw_rate(self, T_vehicle_camera: ArrayLike) -> Floats:
        """(n,) rad/s about the vehicle's z axis, positive to the left, of a camera's mount."""
        up = np.asarray(T_vehicle_camera, dtype=np.float64)[2, :3]
        return np.asarray(self.rate @ up)


def image_motion(frames: Iterable[NDArray[np.uint8]], t: ArrayLike, lens: Lens) -> ImageMotion:
    """Measure how a camera moves, picture by picture; two of them are held.

    Args:
        frames: pictures of the lens's size, RGB (height, width, 3) or gray (height, width); about
            ten a second.
        t: (n + 1,) their times, s, increasing.
        lens: a focal length that is 5 % too long gives rates 5 % too small.
    """
    times = np.asarray(t, dtype=np.float64)
    scale = min(1.0, _WIDTH / lens.size[1])
    size = (round(lens.size[0] * scale), round(lens.size[1] * scale))
    work = lens.resized(size)
    rows: list[tuple[float, ...]] = []
    before: NDArray[np.uint8] | None = None
    for number, frame in enumerate(frames):
        gray = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) if frame.ndim == 3 else frame
        gray = np.asarray(cv2.resize(gray, size[::-1], interpolation=cv2.INTER_AREA), np.uint8)
        if before is not None:
            rows.append(_between(before, gray, work, times[number] - times[number - 1]))
        before = gray
    table = np.array(rows, dtype=np.float64).reshape(-1, 7)
    middle = 0.5 * (times[1 : len(table) + 1] + times[: len(table)])
    return ImageMotion(middle, table[:, :3], table[:, 3:5], table[:, 5], table[:, 6])


def _between(
    here: NDArray[np.uint8], there: NDArray[np.uint8], lens: Lens, seconds: float
) -> tuple[float, ...]:
    """Rates (3), direction (2), parallax and error between two pictures, as in `ImageMotion`."""
    points, moved = _followed(here, there)
    if len(points) < _LEAST:
        return (np.nan,) * 7
    a, b = (lens.unproject(pixels) for pixels in (points, moved))
    front = (a[:, 2] > 0.2) & (b[:, 2] > 0.2)
    a, b = (rays[front, :2] / rays[front, 2:] for rays in (a, b))
    flow, middle = b - a, 0.5 * (a + b)
    length = np.linalg.norm(flow, axis=1) * lens.fx
    if np.median(length) > 5 * _STILL:  # what stays where it is although the rest moves is the car
        moves = length > _STILL
        flow, middle = flow[moves], middle[moves]
    if len(flow) < _LEAST:
        return (np.nan,) * 7
    return _solved(middle, flow, lens.fx, seconds)


def _followed(here: NDArray[np.uint8], there: NDArray[np.uint8]) -> tuple[Floats, Floats]:
    """Corners (n, 2) of a picture, px, and where another shows them."""
    height, width = here.shape
    mask = np.full((height, width), 255, np.uint8)
    mask[round(height * (1 - _OWN_CAR)) :] = 0
    spacing = max(5.0, 0.5 * float(np.sqrt(here.size / _CORNERS)))
    corners = cv2.goodFeaturesToTrack(here, _CORNERS, 0.005, spacing, mask=mask)
    if corners is None:
        return np.zeros((0, 2)), np.zeros((0, 2))
    moved, ok, _ = cv2.calcOpticalFlowPyrLK(here, there, corners, None, **_FLOW)
    back, ok_back, _ = cv2.calcOpticalFlowPyrLK(there, here, moved, None, **_FLOW)
    error = np.linalg.norm((back - corners)[:, 0], axis=1)
    good = (ok[:, 0] > 0) & (ok_back[:, 0] > 0) & (error < _RETURN)
    return corners[good, 0].astype(np.float64), moved[good, 0].astype(np.float64)


def _solved(p: Floats, flow: Floats, focal: float, seconds: float) -> tuple[float, ...]:
    """Robust Gauss-Newton over rotation and direction on the flow across that direction.

    Args:
        p: (n, 2) points in the middle of the interval, normalized. flow: (n, 2) of them.
    """
    x, y = p.T
    one = np.ones_like(x)
    turn = np.stack(
        [np.stack([x * y, -(one + x * x), y], 1), np.stack([one + y * y, -x * y, -x], 1)], 1
    )
    value = np.zeros(5)
    prior = np.zeros(5)
    prior[3:] = 1.0 / _LOOSE**2
    for scale in np.geomspace(*_SCALES, _ROUNDS):
        d = p - value[3:]
        far = np.maximum(np.linalg.norm(d, axis=1), 1e-3)
        across = np.stack([-d[:, 1], d[:, 0]], 1) / far[:, None]
        rest = flow - turn @ value[:3]
        residual = np.sum(across * rest, axis=1) * focal
        slope = np.empty((len(p), 5))
        slope[:, :3] = -np.einsum("ni,nij->nj", across, turn) * focal
        slope[:, 3] = -rest[:, 1] / far * focal
        slope[:, 4] = rest[:, 0] / far * focal
        spread = max(0.1, 1.4826 * float(np.median(np.abs(residual))))
        weight = 1.0 / (1.0 + (residual / max(spread, 0.2 * scale)) ** 2) / spread**2
        normal = (slope * weight[:, None]).T @ slope + np.diag(prior + 1e-9)
        value = value - np.linalg.solve(normal, slope.T @ (weight * residual) + prior * value)
        value[3:] = np.clip(value[3:], -1.0, 1.0)
    d = p - value[3:]
    along = d / np.maximum(np.linalg.norm(d, axis=1), 1e-3)[:, None]
    away = np.sum(along * (flow - turn @ value[:3]), axis=1) * focal
    error = float(np.sqrt(np.linalg.inv(normal)[1, 1])) / seconds
    rates = value[:3] / seconds
    return (*rates, *value[3:], float(np.median(away)) / seconds, error)
