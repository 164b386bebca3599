"""How the camera really stands above the road: height, pitch and roll, frame by frame.

A point of the ray r (r_z = 1) at inverse depth w lies on the plane n · x = d if w = r · n / d:
inverse depth of a plane is linear in the rays of any lens, and the fit is linear too.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d, median_filter

from vista_sim.traces.calibration import Lens

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

_LENGTH, _WIDTH = (3.0, 25.0), 5.0  # m ahead and to each side, where ground is looked for
_STRIDE = 2  # px between the pixels that count
_SURE = 0.4  # least confidence that counts
_MIN_PIXELS = 60
_COARSE, _FINE = 0.10, 0.03  # share of inverse depth by which ground may differ from the plane
_BELIEVED = (0.25, math.radians(4.0))  # share of the height, and rad, that a car ever drifts
_SMOOTH = 0.7  # frames: deviation of the mean over time
_MEDIAN = 3  # frames whose median comes first


class GroundFit:
    """Fits the road of the frames of one camera.

    Args:
        lens: of the geometry, with its distortion.
        T_vehicle_camera: (4, 4) mount; its height and tilt are where the fit starts.
    """

    def __init__(self, lens: Lens, T_vehicle_camera: Doubles) -> None:
        self.mount = np.asarray(T_vehicle_camera, dtype=np.float64)
        rays = lens.rays()
        forward = rays[..., 2] > 1e-3
        self._rays = np.where(
            forward[..., None], rays / np.where(forward, rays[..., 2], 1.0)[..., None], 0.0
        )
        height = float(self.mount[2, 3])
        self.calibrated = np.array([height, 0.0, 0.0])
        self._where = np.zeros(lens.size, dtype=bool)
        if height > 0:
            turned = self._rays @ self.mount[:3, :3].T
            down = -turned[..., 2]
            with np.errstate(divide="ignore", invalid="ignore"):
                there = turned[..., :2] * (height / down)[..., None] + self.mount[:2, 3]
                near = (there[..., 0] > _LENGTH[0]) & (there[..., 0] < _LENGTH[1])
                near &= np.abs(there[..., 1]) < _WIDTH
            grid = np.zeros(lens.size, dtype=bool)
            grid[::_STRIDE, ::_STRIDE] = True
            self._where = grid & near & (rays[..., 2] > 0.2) & (down > 1e-6)

    def fit(self, inverse_depth: Floats, confidence: Floats) -> Doubles:
        """Height of the camera above the road (m), pitch and roll of the car against it (rad).

        Pitch is positive with the nose down, roll with the right side down, as of
        `pose_from_euler`; both are 0 where the road lies as calibrated.

        Args:
            inverse_depth, confidence: (h, w) of a frame, 1/m and 0 to 1.

        Returns:
            (3,); NaN where too little ground is seen.
        """
        unknown = np.full(3, np.nan)
        chosen = self._where & (confidence >= _SURE)
        if chosen.sum() < _MIN_PIXELS:
            return unknown
        rays = self._rays[chosen]
        target = inverse_depth[chosen].astype(np.float64)
        plane = self.plane(self.calibrated)
        expected: Doubles = rays @ plane
        for iteration in range(10):
            limit = (_COARSE if iteration < 5 else _FINE) * expected
            weight = 1.0 / (1.0 + ((target - rays @ plane) / limit) ** 2) ** 2
            # Errors of inverse depth are alike everywhere; near pixels are many.
            weight = weight * confidence[chosen] / expected
            weighted = rays * weight[:, None]
            normal = weighted.T @ rays + 1e-9 * np.eye(3)
            plane = np.asarray(np.linalg.solve(normal, weighted.T @ target), dtype=np.float64)
        on_it = np.abs(target - rays @ plane) < 2.0 * _FINE * expected
        if on_it.sum() < max(_MIN_PIXELS, 0.3 * len(target)):
            return unknown
        found = self._state(plane)
        share, angle = _BELIEVED
        off = np.abs(found - self.calibrated)
        if off[0] > share * self.calibrated[0] or off[1:].max() > angle:
            return unknown
        return found

    def plane(self, state: Doubles) -> Doubles:
        """(3,) whose product with a ray (r_z = 1) is inverse depth (1/m) of the ground."""
        height, pitch, roll = (float(x) for x in state)
        up = np.array(
            [
                -math.sin(pitch),
                math.cos(pitch) * math.sin(roll),
                math.cos(pitch) * math.cos(roll),
            ]
        )
        return np.asarray(-(self.mount[:3, :3].T @ up) / height)

    def inverse_depth(self, state: Doubles) -> Floats:
        """Inverse depth (h, w) of the ground, 1/m; 0 at and above the horizon."""
        if self.calibrated[0] <= 0:
            return np.zeros(self._where.shape, np.float32)
        return np.maximum(self._rays @ self.plane(state), 0.0).astype(np.float32)

    def _state(self, plane: Doubles) -> Doubles:
        length = float(np.linalg.norm(plane))
        up = -(self.mount[:3, :3] @ plane) / length
        pitch, roll = -math.asin(float(np.clip(up[0], -1, 1))), math.atan2(up[1], up[2])
        return np.array([1.0 / length, pitch, roll])


def smooth_over_time(fits: Doubles, calibrated: Doubles) -> Doubles:
    """Height, pitch and roll (n, 3) of every frame, from those that could be fitted.

    Outliers give way to the median of their neighbours; frames without a fit get what lies
    between those around them; without any at all, what was calibrated.
    """
    known = np.flatnonzero(np.isfinite(fits).all(axis=1))
    if known.size == 0:
        return np.tile(calibrated, (len(fits), 1))
    believed = median_filter(fits[known], size=(min(_MEDIAN, known.size), 1), mode="nearest")
    believed = gaussian_filter1d(believed, _SMOOTH, axis=0, mode="nearest")
    frames = np.arange(len(fits))
    return np.stack([np.interp(frames, known, column) for column in believed.T], axis=1)


def drift_report(states: Doubles, fits: Doubles, calibrated: Doubles) -> dict[str, Any]:
    """Median and largest change against the calibration, and how many frames were fitted."""
    change = np.abs(states - calibrated) * [1.0, 180.0 / math.pi, 180.0 / math.pi]
    report: dict[str, Any] = {"frames_fitted": int(np.isfinite(fits).all(axis=1).sum())}
    for name, column in zip(("height_m", "pitch_deg", "roll_deg"), change.T, strict=True):
        report[f"median_{name}"] = float(np.median(column))
        report[f"max_{name}"] = float(column.max())
    return report
