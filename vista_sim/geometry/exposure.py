"""How bright each frame is, relative to the others: what auto exposure and white balance did.

The same points are looked up in successive frames through the baked geometry; the median of
the log ratios of their colours is the change of exposure, and what moves does not sway it.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from vista_sim.traces.calibration import Lens
from vista_sim.transforms import Matrix, inverse

_POINTS = 6000  # compared at most
_ENOUGH = 200  # points; with fewer that are sure, all are taken
_SURE = 0.25  # confidence, 0 to 1; what moves has less
_DARK, _BRIGHT = 12.0, 243.0  # gray levels between which pixels are neither noise nor saturated
_LARGEST = 1.5  # of a log ratio that is believed


class ExposureMeter:
    """Compares successive frames of one camera.

    Args:
        lens: of the geometry, with its distortion.
        poses: (n, 4, 4) T_world_camera, refined.
    """

    def __init__(self, lens: Lens, poses: NDArray[np.float64]) -> None:
        self._lens, self._poses = lens, poses
        height, width = lens.size
        stride = max(1, int(np.ceil(np.sqrt(height * width / _POINTS))))
        self._grid = np.s_[stride // 2 :: stride, stride // 2 :: stride]
        rays = lens.rays()[self._grid]
        with np.errstate(divide="ignore", invalid="ignore"):
            self._slopes = rays / rays[..., 2:]
        self._forward = rays[..., 2] > 1e-3

    def change(
        self,
        index: int,
        image: NDArray[np.uint8],
        following: NDArray[np.uint8],
        inverse_depth: NDArray[np.float32],
        confidence: NDArray[np.float32],
    ) -> NDArray[np.float64]:
        """Log brightness of frame index + 1 over that of frame index, by channel, (3,).

        Args:
            image, following: (h, w, 3) RGB of the two, at the geometry's size.
            inverse_depth: (h, w) of frame index, 1/m.
            confidence: (h, w), 0 to 1.
        """
        motion: Matrix = inverse(self._poses[index + 1]) @ self._poses[index]
        w = inverse_depth[self._grid][..., None]
        there = self._slopes @ motion[:3, :3].T + w * motion[:3, 3]
        usable = self._forward & (there[..., 2] > 1e-3)
        pixels = self._lens.project(np.where(usable[..., None], there, (0.0, 0.0, 1.0)))
        u, v = np.moveaxis(pixels.astype(np.float32), -1, 0)
        height, width = self._lens.size
        usable &= (u >= 0) & (v >= 0) & (u <= width - 1) & (v <= height - 1)
        moved = cv2.remap(following, u, v, cv2.INTER_LINEAR).astype(np.float64)
        here = image[self._grid].astype(np.float64)
        sure = usable & (confidence[self._grid] > _SURE)
        chosen = sure if sure.sum() >= _ENOUGH else usable
        result = np.zeros(3)
        for channel in range(3):
            a, b = here[..., channel][chosen], moved[..., channel][chosen]
            good = (np.minimum(a, b) > _DARK) & (np.maximum(a, b) < _BRIGHT)
            if good.sum() >= _ENOUGH // 4:
                ratio = float(np.median(np.log(b[good] / a[good])))
                result[channel] = ratio if abs(ratio) < _LARGEST else 0.0
        return result


def chained(changes: NDArray[np.float64], stretch: NDArray[np.int64]) -> NDArray[np.float32]:
    """Log exposure (n, 3) of every frame, from the changes (n, 3) to the next one.

    It starts at zero in each gapless stretch (n,): what happened in a gap is not known.
    """
    steps = np.zeros_like(changes)
    steps[1:] = np.where((np.diff(stretch) == 0)[:, None], changes[:-1], 0.0)
    total = np.cumsum(steps, axis=0)
    first = np.searchsorted(stretch, stretch)  # of the same stretch
    return (total - total[first]).astype(np.float32)
