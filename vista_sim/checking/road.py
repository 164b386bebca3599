"""Where the road is under a camera, by how its texture moves between two frames.

A plane seen from two places is one picture warped into the other. Height, pitch and roll of the
camera above the plane are those whose warp brings both pictures together (Lucas and Kanade 1981,
over the parameters of a plane instead of a shift): the road needs texture, not corners.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vista_sim.traces.calibration import Lens
from vista_sim.transforms import Matrix

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Image = NDArray[np.uint8]

NEAR, FAR, HALF_WIDTH = 3.0, 15.0, 1.5  # m from the camera: the lane that is driven
LEAST_BASE = 0.4  # m between the frames
LEAST_ALIKE = 0.65  # correlation of both pictures on the road
_HEIGHTS = (0.6, 0.7, 0.8, 0.9, 1.0, 1.12, 1.25, 1.4, 1.6)  # of the calibrated one: tried first
_PITCHES = np.radians((-4.5, -3.0, -1.5, 0.0, 1.5, 3.0, 4.5))
_LEVELS = (2.8, 1.4, 0.7)  # px, blur from coarse to fine
_ROUNDS = 8
_ALL, _MOST, _FEW, _LEAST = 20000, 4000, 800, 200  # pixels
_MARGIN = 60  # px of rows above what may be road, that it may come from
_DEPENDENT = 4.0  # pixels that tell one thing together
_LOOSE = np.array([0.2, math.radians(3.0), math.radians(1.5)])  # a step's share, rad, rad
_BELIEVED = 0.2  # rad of tilt


@dataclass(frozen=True)
class RoadState:
    """Height of a camera above the road (m), and tilt of the vehicle frame against it (rad).

    Pitch is positive with the nose down, roll with the right side down, as of `GroundFit.fit`.
    alike: correlation of both pictures on the road, up to 1. way: m between the frames that the
    height goes by: half the way is half the height.
    """

    height: float
    pitch: float
    roll: float
    alike: float
    way: float


class RoadFit:
    """Fits the road to pairs of working images of one camera.

    Args:
        lens: ideal, of the images.
        mount: T_vehicle_camera (4, 4): where the search starts.
    """

    def __init__(self, lens: Lens, mount: Matrix) -> None:
        self._mount = mount
        self._matrix = lens.matrix
        self._start = np.array([float(mount[2, 3]), 0.0, 0.0])
        v, u = (grid.reshape(-1) for grid in np.mgrid[0 : lens.size[0], 0 : lens.size[1]])
        rays = np.stack([(u - lens.cx) / lens.fx, (v - lens.cy) / lens.fy, np.ones(len(u))], axis=1)
        self._rays, self._v, self._u = rays, v, u
        if self._start[0] > 0:
            near = self._region(self._start, _ALL, widened=2.0)
            self._rays, self._v, self._u = rays[near], v[near], u[near]
        self._top = max(0, int(self._v.min()) - _MARGIN) if len(self._v) else 0
        self._v = self._v - self._top
        self._matrix[1, 2] -= self._top

    def fit(self, here: Image, there: Image, motion: Matrix) -> RoadState | None:
        """The road between two frames.

        Args:
            here, there: working images.
            motion: T_there_here of the camera, in m.

        Returns:
            None where the road cannot be told from others, or hardly has texture.
        """
        if self._start[0] <= 0 or not len(self._v) or np.linalg.norm(motion[:3, 3]) < LEAST_BASE:
            return None
        state: Floats | None = None
        alike = 0.0
        for blur in _LEVELS:
            a, b = (_band(image[self._top :], blur) for image in (here, there))
            if state is None:
                state = self._tried(a, b, motion)
            if state is None:
                return None
            found = self._refined(state, a, b, motion)
            if found is None:
                return None
            state, alike = found
        assert state is not None
        if alike < LEAST_ALIKE:
            return None
        way = float(np.linalg.norm(motion[:3, 3]))
        height, pitch, roll = (float(x) for x in state)
        return RoadState(height, pitch, roll, alike, way)

    def _plane(self, state: Floats) -> Floats:
        """(3,) whose product with a ray (z = 1) is inverse depth; see `GroundFit.plane`."""
        height, pitch, roll = (float(x) for x in state)
        cp, sp, cr, sr = math.cos(pitch), math.sin(pitch), math.cos(roll), math.sin(roll)
        up = np.array([-sp, cp * sr, cp * cr])
        return np.asarray(-(self._mount[:3, :3].T @ up) / height)

    def _region(self, state: Floats, most: int, widened: float = 1.0) -> NDArray[np.int64]:
        """Pixels of the lane ahead, at most so many."""
        inverse = self._rays @ self._plane(state)
        seen = np.flatnonzero(inverse > 0.5 / (widened * FAR))
        points = (self._rays[seen] / inverse[seen, None]) @ self._mount[:3, :3].T
        lane = (points[:, 0] > NEAR / widened) & (points[:, 0] < FAR * widened)
        lane &= np.abs(points[:, 1] + self._mount[1, 3]) < HALF_WIDTH * widened
        inside = seen[lane]
        if len(inside) <= most:
            return inside
        return inside[np.linspace(0, len(inside) - 1, most).astype(np.int64)]

    def _warped(self, rays: Floats, state: Floats, motion: Matrix) -> tuple[Floats, Floats]:
        """Points (n, 3) of a plane in the second camera's frame, and pixels (n, 2) there."""
        points = rays @ motion[:3, :3].T + (rays @ self._plane(state))[:, None] * motion[:3, 3]
        z = np.maximum(points[:, 2:], 0.2)
        focal = np.array([self._matrix[0, 0], self._matrix[1, 1]])
        return points, points[:, :2] / z * focal + self._matrix[:2, 2]

    def _tried(self, a: Singles, b: Singles, motion: Matrix) -> Floats | None:
        """The best of many heights and pitches, on a few pixels."""
        chosen = self._region(self._start, _FEW)
        if len(chosen) < _LEAST // 2:
            return None
        rays, here = self._rays[chosen], a[self._v[chosen], self._u[chosen]]
        best, most = None, -1.0
        for share in _HEIGHTS:
            for pitch in _PITCHES:
                state = np.array([share * self._start[0], pitch, 0.0])
                there = _sampled(b, self._warped(rays, state, motion)[1])
                alike = _correlation(here, there)
                if alike > most:
                    best, most = state, alike
        return best

    def _refined(
        self, state: Floats, a: Singles, b: Singles, motion: Matrix
    ) -> tuple[Floats, float] | None:
        """Robust Gauss-Newton from a state on, and how alike both pictures are then."""
        slopes = [cv2.Sobel(b, cv2.CV_32F, *axis, ksize=3) / 8 for axis in ((1, 0), (0, 1))]
        shift, focal = motion[:3, 3], (self._matrix[0, 0], self._matrix[1, 1])
        prior = np.diag(1.0 / (_LOOSE * [self._start[0], 1.0, 1.0]) ** 2)
        alike = 0.0
        chosen = self._region(state, _MOST)
        lane, shades = self._rays[chosen], a[self._v[chosen], self._u[chosen]]
        for _ in range(_ROUNDS):
            points, pixels = self._warped(lane, state, motion)
            there, du, dv = (_sampled(values, pixels) for values in (b, *slopes))
            good = np.isfinite(there) & np.isfinite(du) & np.isfinite(dv) & (points[:, 2] > 0.5)
            if np.count_nonzero(good) < _LEAST:
                return None
            points, rays = points[good], lane[good]
            residual = (there - shades)[good]
            alike = _correlation(shades[good], there[good])
            z = points[:, 2]
            along = du[good] * focal[0] * (shift[0] - points[:, 0] / z * shift[2]) / z
            along += dv[good] * focal[1] * (shift[1] - points[:, 1] / z * shift[2]) / z
            slope = (along[:, None] * rays) @ self._slope_of_plane(state)
            spread = max(1.4826 * float(np.median(np.abs(residual))), 0.3)
            weight = 1.0 / (1.0 + (residual / (2.0 * spread)) ** 2) ** 2
            weight = weight / (spread**2 * _DEPENDENT)
            normal = (slope * weight[:, None]).T @ slope + prior
            step = np.linalg.solve(normal, slope.T @ (weight * residual))
            state = state - np.clip(step, -0.1, 0.1)
            share = state[0] / self._start[0]
            if not (0.3 < share < 3.0 and np.abs(state[1:]).max() < _BELIEVED):
                return None
            if np.abs(step).max() < 1e-4:
                break
        return state, alike

    def _slope_of_plane(self, state: Floats) -> Floats:
        """(3, 3) derivatives of `_plane`, by differences."""
        step = 1e-4
        sides = [
            (self._plane(state + nudge) - self._plane(state - nudge)) / (2 * step)
            for nudge in step * np.eye(3)
        ]
        return np.stack(sides, axis=1)


def _band(image: Image, blur: float) -> Singles:
    """What of an image is between two scales: neither noise nor light."""
    values = image.astype(np.float32)
    side = 2 * round(8.0 * blur) + 1
    wide = cv2.blur(cv2.blur(values, (side, side)), (side, side))
    return np.asarray(cv2.GaussianBlur(values, (0, 0), blur) - wide, dtype=np.float32)


def _sampled(values: Singles, pixels: Floats) -> Floats:
    """(n,) values between pixels (n, 2); NaN outside."""
    u, v = np.clip(pixels, -1e4, 1e5).astype(np.float32).T
    # remap takes no array with a side of over 32767
    found = cv2.remap(
        values,
        np.ascontiguousarray(u)[:, None],
        np.ascontiguousarray(v)[:, None],
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=float("nan"),
    )
    return np.asarray(found[:, 0], dtype=np.float64)


def _correlation(a: NDArray[np.floating], b: Floats) -> float:
    good = np.isfinite(b)
    if np.count_nonzero(good) < _LEAST // 2:
        return -1.0
    a, b = a[good] - a[good].mean(), b[good] - b[good].mean()
    size = math.sqrt(float(np.sum(a * a)) * float(np.sum(b * b)))
    return float(np.sum(a * b)) / size if size > 0 else -1.0
