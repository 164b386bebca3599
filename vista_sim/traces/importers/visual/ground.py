"""How high the camera is above the road, in the units of a reconstruction: that gives it metres.

The road near the car is taken as a plane. Between two pictures with known poses it maps pixels by
a homography, H = K (R + t m^T) K^-1 for rays r of inverse depth r . m (Hartley, Zisserman, 2004,
section 13.1), so its three numbers m are found from the pictures themselves: the road has texture
enough where it has few corners. Where up is, is known better from how the car moves: along the
road, and turning about what is up.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solveh_banded

Floats = NDArray[np.float64]
Gray = NDArray[np.float32]

NEAR, FAR, ASIDE = 2.0, 7.0, 1.3  # camera heights ahead, and to each side, where road counts
DEPTH = 2.2  # ... or so many times the nearest that is in the picture, if that is farther
BASELINE = 1.0  # camera heights between two pictures, about
MAX_PIXELS = 4000
_BOX = 1 / 90  # of the width: over so much brightness and contrast are evened out
TILT = (math.radians(0.5), math.radians(0.5))  # deviation of a car's pitch and roll on its road
ANY_ROLL = math.radians(3.0)  # ... and of a camera's in a car
_CORRELATED = 25.0  # pixels that tell as much as one
_MARGIN = 30  # rows above the road that are looked at too
_STEPS, _SMALL = 8, 5e-4  # of a fit at most, and the share of a height that ends it
_SHOWN = 0.15  # share of the road in one picture that the other must show
DRIFT = 0.003  # deviation of the logarithm of scale after 1 m, growing with the root of the way
DRIFT_TURNING = 0.05  # ... and after a turn of 1 rad
NOISE, ALIKE = 0.025, 20.0  # of that of a height, and m of road over which it errs alike


@dataclass(frozen=True, eq=False)
class View:
    """One picture of the road: evened gray (h, w), from a row of the whole picture on, and
    T_chain_camera (4, 4).
    """

    picture: Gray
    pose: Floats
    top: int


def evened(gray: NDArray[np.uint8]) -> Gray:
    """A picture of even brightness and contrast: exposure and shadows do not count."""
    image = gray.astype(np.float32)
    side = max(5, round(_BOX * gray.shape[1])) | 1
    mean = cv2.blur(image, (side, side))
    square = cv2.blur(image * image, (side, side))
    spread = np.sqrt(np.maximum(square - mean * mean, 0.0))
    return np.asarray((image - mean) / (spread + 4.0), np.float32)


@dataclass(frozen=True, eq=False)
class RoadRegion:
    """Where road is looked for, through a pinhole camera (fx = fy = focal).

    Args:
        focal, cx, cy: px.
        size: (height, width), px.
        up: (3,) unit, in the camera frame.
        ahead: (3,) unit, at right angles to it: where the car goes.
    """

    focal: float
    cx: float
    cy: float
    size: tuple[int, int]
    up: Floats
    ahead: Floats

    def rays(self) -> Floats:
        """Rays (n, 3), z = 1, of the pixels that may show road."""
        stride = 1
        while True:
            v, u = np.mgrid[0 : self.size[0] : stride, 0 : self.size[1] : stride]
            rays = np.stack(
                [(u - self.cx) / self.focal, (v - self.cy) / self.focal, np.ones(u.shape)], -1
            ).reshape(-1, 3)
            down = -rays @ self.up
            low = down > 1e-3
            rays, down = rays[low], down[low]
            along = rays @ self.ahead / down
            aside = rays @ np.cross(self.up, self.ahead) / down
            nearest = float(along[np.abs(aside) < ASIDE].min(initial=FAR))
            far = max(FAR, DEPTH * nearest)
            rays = rays[(along > NEAR) & (along < far) & (np.abs(aside) < ASIDE)]
            if len(rays) <= MAX_PIXELS:
                return rays
            stride += 1

    def pixels(self, points: Floats) -> Floats:
        """Pixels (n, 2) of points (n, 3) ahead of the camera."""
        z = np.maximum(points[:, 2:], 1e-6)
        return self.focal * points[:, :2] / z + (self.cx, self.cy)

    def top(self, rays: Floats) -> int:
        """The row of the picture from which on it is needed."""
        return max(0, int(self.pixels(rays)[:, 1].min()) - _MARGIN) if len(rays) else 0

    def sample(self, view: View, points: Floats) -> tuple[Floats, NDArray[np.bool_]]:
        """A picture's values (n,) at points (n, 3) of its camera frame, and which it shows."""
        xy = (self.pixels(points) - (0, view.top)).astype(np.float32)
        height, width = view.picture.shape
        inside = (points[:, 2] > 1e-6) & (xy >= 1).all(axis=1)
        inside &= (xy[:, 0] < width - 2) & (xy[:, 1] < height - 2)
        values = cv2.remap(view.picture, xy[:, :1], xy[:, 1:], cv2.INTER_LINEAR)[:, 0]
        return values.astype(np.float64), inside

    def correlations(
        self, rays: Floats, first: View, second: View, planes: Sequence[Floats]
    ) -> list[float]:
        """How alike two pictures are, to 1, where each of some planes takes the one to the other.

        Args:
            planes: each (3,): its product with a ray is inverse depth.
        """
        turn, shift = _relative(first, second)
        a, _ = self.sample(first, rays)
        turned = rays @ turn.T
        found = []
        for plane in planes:
            b, inside = self.sample(second, turned + (rays @ plane)[:, None] * shift)
            if inside.sum() < _SHOWN * len(rays):
                found.append(0.0)
                continue
            here, there = a[inside], b[inside]
            size = float(np.sqrt((here @ here) * (there @ there)))
            found.append(float(here @ there) / max(size, 1e-9))
        return found

    def fit(
        self,
        rays: Floats,
        first: View,
        others: Sequence[View],
        height: float,
        tilt: tuple[float, float] = TILT,
    ) -> tuple[float, float, float, float] | None:
        """Height, pitch and roll of `up` against the road (rad), and least correlation; from a
        first guess of the height. None: no road is found.
        """
        side = np.cross(self.up, self.ahead)
        basis = np.stack([-self.up, self.ahead, side], axis=1)
        # m = basis c: c0 is 1 / height, c1 and c2 are tilts over it.
        c = np.array([1.0 / height, 0.0, 0.0])
        a, _ = self.sample(first, rays)
        for _ in range(_STEPS):
            normal, right = np.zeros((3, 3)), np.zeros(3)
            for other in others:
                turn, shift = _relative(first, other)
                there = rays @ turn.T + (rays @ (basis @ c))[:, None] * shift
                b, inside = self.sample(other, there)
                along = self._slope(other, there, shift)
                error = np.where(inside, b - a, 0.0)
                spread = 1.4826 * np.median(np.abs(error[inside])) if inside.any() else 1.0
                weight = inside / (1.0 + (error / max(2.0 * spread, 1e-3)) ** 2)
                weight /= _CORRELATED * max(spread, 1e-3) ** 2
                jacobian = along[:, None] * (rays @ basis)
                normal += (jacobian * weight[:, None]).T @ jacobian
                right += (jacobian * weight[:, None]).T @ error
            prior = np.array([0.0, 1.0 / tilt[0] ** 2, 1.0 / tilt[1] ** 2]) / c[0] ** 2
            change = np.linalg.solve(
                normal + np.diag(prior + 1e-9 * np.trace(normal)), -right - prior * c
            )
            c = c + np.clip(change, -0.1 * c[0], 0.1 * c[0])
            if np.abs(change).max() < _SMALL * c[0]:
                break
        m = basis @ c
        alike = min(self.correlations(rays, first, other, [m])[0] for other in others)
        if not np.isfinite(m).all() or c[0] <= 0:
            return None
        length = float(np.linalg.norm(m))
        normal = -m / length
        return 1.0 / length, float(normal @ self.ahead), float(normal @ side), alike

    def _slope(self, view: View, points: Floats, shift: Floats) -> Floats:
        """Change (n,) of a picture's value where points move along a shift."""
        z = np.maximum(points[:, 2], 1e-6)
        u = self.focal * (shift[0] - shift[2] * points[:, 0] / z) / z
        v = self.focal * (shift[1] - shift[2] * points[:, 1] / z) / z
        xy = (self.pixels(points) - (0, view.top)).astype(np.float32)

        def at(dx: float, dy: float) -> Floats:
            x, y = xy[:, :1] + np.float32(dx), xy[:, 1:] + np.float32(dy)
            return cv2.remap(view.picture, x, y, cv2.INTER_LINEAR)[:, 0].astype(np.float64)

        return 0.5 * ((at(1, 0) - at(-1, 0)) * u + (at(0, 1) - at(0, -1)) * v)


def _relative(first: View, second: View) -> tuple[Floats, Floats]:
    """Turn (3, 3) and shift (3,) from the first camera's frame to the second's."""
    inverse = second.pose[:3, :3].T
    return inverse @ first.pose[:3, :3], inverse @ (first.pose[:3, 3] - second.pose[:3, 3])


def level_and_ahead(poses: Floats) -> tuple[Floats, Floats]:
    """Up and the direction of motion (unit, (3,)) in the camera frame of a car that moves along
    the road; the camera is taken as not rolled.

    Args:
        poses: T_chain_camera (n, 4, 4), one after the other, some way apart.
    """
    step = np.einsum("nji,nj->ni", poses[:-1, :3, :3], np.diff(poses[:, :3, 3], axis=0))
    length = np.linalg.norm(step, axis=1)
    moving = length > 0.3 * np.median(length)
    ahead = np.median(step[moving] / length[moving, None], axis=0)
    ahead /= np.linalg.norm(ahead)
    up = np.array([0.0, -1.0, 0.0])
    up -= (up @ ahead) * ahead
    return up / np.linalg.norm(up), ahead


def smoothed(arc: Floats, turned: Floats, height: Floats, weight: Floats) -> Floats:
    """Heights (n,) along the way that change as slowly as scale drifts; outliers do not count.

    The most likely course of a random walk of its logarithm, seen with noise that has long tails
    (Student's t, by weights).

    Args:
        arc: (n,) way from the first, m, about.
        turned: (n - 1,) angles between one and the next, rad: scale drifts most in bends.
        height: (n,), NaN where it is not known.
        weight: (n,) of each.
    """
    known = np.isfinite(height) & (weight > 0)
    seen = np.where(known, np.log(np.where(known, height, 1.0)), 0.0)
    start = float(np.median(seen[known]))
    value = np.full(len(height), start)
    spacing = np.minimum(np.gradient(arc), ALIKE) if len(arc) > 1 else np.array([1.0])
    density = np.where(known, weight, 0.0) * spacing / ALIKE
    stiff = 1.0 / (DRIFT**2 * np.maximum(np.diff(arc), 1e-3) + DRIFT_TURNING**2 * turned)
    spread = 0.3
    for _ in range(30):
        miss = np.where(known, seen - value, 0.0)
        trust = density / (NOISE**2 * (1.0 + (miss / (3.0 * spread)) ** 2))
        main = trust + 1e-9
        main[:-1] += stiff
        main[1:] += stiff
        upper = np.concatenate([[0.0], -stiff])
        value = solveh_banded(np.stack([upper, main]), trust * seen + 1e-9 * start)
        spread = 0.5 * spread + 0.5 * max(
            1.4826 * float(np.median(np.abs(seen - value)[known])), NOISE
        )
    return np.asarray(np.exp(value))
