"""Rectified images of a stereo pair: ideal lenses side by side, whose rows are epipolar lines."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from vista_sim.geometry.pairs import Pair
from vista_sim.geometry.resample import sample_inverse_depth
from vista_sim.geometry.working import covering_lens, pixel_maps
from vista_sim.traces.calibration import Lens
from vista_sim.transforms import inverse

Floats = NDArray[np.float32]

_SAME_PIXEL = 0.05  # px by which a pixel may move in rectification and still be left where it is


class Rectification:
    """Brings both images of a pair onto one ideal lens whose rows are the epipolar lines.

    Args:
        pair: the cameras.
        lens: of the own one at the geometry's size, with its distortion.

    Attributes:
        lens: of the rectified images: that of the geometry, if only the other image must move.
        turn: (4, 4) pose of the rectified camera in the recorded one, without translation.
        own_seen, other_seen: (h, w) uint8 of the rectified images: 1 where there is a recorded
            pixel behind them.
        depth_ratio: (h, w) of the geometry: what inverse depth of the rectified camera must be
            multiplied by to be that of the recorded one.
    """

    def __init__(self, pair: Pair, lens: Lens) -> None:
        mount = pair.own.calibration.T_vehicle_camera
        relative = inverse(mount) @ pair.other.calibration.T_vehicle_camera
        # Rows of the rotation from the own camera: along the baseline to the right, down, ahead.
        right = pair.side * relative[:3, 3] / pair.baseline
        ahead = np.array([0.0, 0.0, 1.0]) + relative[:3, 2]
        ahead -= right * float(ahead @ right)
        ahead /= np.linalg.norm(ahead)
        rotation = np.stack([right, np.cross(ahead, right), ahead])
        self.turn = np.eye(4)
        self.turn[:3, :3] = rotation.T
        rays = lens.rays() @ rotation.T
        with np.errstate(divide="ignore", invalid="ignore"):
            slopes = rays[..., :2] / rays[..., 2:]
        slopes[rays[..., 2] < 1e-3] = np.nan
        self.lens = lens
        self._own = self._back = None
        self.depth_ratio = np.ones(lens.size, np.float32)
        focal, centre = np.array([lens.fx, lens.fy]), np.array([lens.cx, lens.cy])
        v, u = np.mgrid[0 : lens.size[0], 0 : lens.size[1]]
        moved = slopes * focal + centre - np.stack([u, v], axis=-1)
        # A turn about the baseline changes no disparity by itself, but one that small is noise.
        if lens.distorted or not np.nanmax(np.abs(moved)) < _SAME_PIXEL:
            self.lens = covering_lens(lens, slopes)
            self._own = pixel_maps(lens.project(self.lens.rays() @ rotation))
            k = self.lens
            self._back = pixel_maps(slopes * [k.fx, k.fy] + [k.cx, k.cy])
            ahead_of_ray = rays[..., 2] / np.where(
                lens.rays()[..., 2] > 1e-3, lens.rays()[..., 2], 1.0
            )
            self.depth_ratio = np.clip(ahead_of_ray, 0.0, 10.0).astype(np.float32)
        # The other image is made as large as the geometry's, then warped.
        self._size = lens.size
        theirs = pair.other.calibration.lens.resized(lens.size)
        turn = relative[:3, :3].T @ rotation.T  # rectified to the other camera
        self._other = pixel_maps(theirs.project(self.lens.rays() @ turn.T))
        self._outside = np.isnan(slopes[..., 0])
        everywhere = np.ones(self.lens.size, np.uint8)
        self.own_seen = everywhere if self._own is None else _inside(self._own, lens.size)
        self.other_seen = _inside(self._other, lens.size)

    def own(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The rectified gray image (h, w) of the own camera's RGB one."""
        gray = small_gray(image, self._size)
        return gray if self._own is None else _remap(gray, self._own)

    def other(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The rectified gray image (h, w) of the other camera's RGB one."""
        return _remap(small_gray(image, self._size), self._other)

    def to_recorded(
        self, inverse_depth: Floats, confidence: Floats, ground: Floats
    ) -> tuple[Floats, Floats]:
        """Bring inverse depth and confidence (h, w) of the rectified image to the geometry.

        Args:
            ground: (h, w) of the geometry, taken where the rectified image does not reach.
        """
        if self._back is None:
            return inverse_depth, confidence
        outside = np.full(ground.shape, -1.0, np.float32)
        values = sample_inverse_depth(inverse_depth, *self._back, outside) * self.depth_ratio
        missing = (values < 0) | self._outside
        sure = cv2.remap(confidence, *self._back, cv2.INTER_NEAREST)
        return (
            np.where(missing, ground, values).astype(np.float32),
            np.where(missing, 0.0, sure).astype(np.float32),
        )


def small_gray(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """The gray image (h, w) of an RGB one of any size."""
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    if gray.shape != size:
        how = cv2.INTER_AREA if size[0] < gray.shape[0] else cv2.INTER_LINEAR
        gray = cv2.resize(gray, size[::-1], interpolation=how)
    return np.asarray(gray, dtype=np.uint8)


def _inside(maps: tuple[Floats, Floats], size: tuple[int, int]) -> NDArray[np.uint8]:
    u, v = maps
    seen = (u > -0.5) & (v > -0.5) & (u < size[1] - 0.5) & (v < size[0] - 0.5)
    return seen.astype(np.uint8)


def _remap(gray: NDArray[np.uint8], maps: tuple[Floats, Floats]) -> NDArray[np.uint8]:
    moved = cv2.remap(gray, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.ascontiguousarray(moved, dtype=np.uint8)
