"""Recorded pictures as an ideal pinhole camera would show them, in colour and at any size."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from vista_sim.traces.calibration import Lens


class PinholePictures:
    """Turns recorded frames into pictures without lens distortion.

    Args:
        recorded: lens of the frames, at their true size.
        ideal: an undistorted lens that sees what is wanted, at any size; see
            `working.WorkingCamera.lens`.
        size: (height, width) of the pictures.

    Attributes:
        lens: of the pictures.
    """

    def __init__(self, recorded: Lens, ideal: Lens, size: tuple[int, int]) -> None:
        self.lens = ideal.resized(size)
        self._small: tuple[int, int] | None = None
        self._maps: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None
        if not recorded.distorted:
            return
        # Shrunk first, averaging, to where a pixel of the picture is about one of the frame.
        shrink = min(1.0, self.lens.fx / recorded.fx), min(1.0, self.lens.fy / recorded.fy)
        height, width = recorded.size
        self._small = max(2, round(height * shrink[1])), max(2, round(width * shrink[0]))
        pixels = recorded.resized(self._small).project(self.lens.rays())
        pixels = np.clip(np.nan_to_num(pixels, nan=-1e6, posinf=-1e6, neginf=-1e6), -1e6, 1e6)
        u, v = np.moveaxis(pixels.astype(np.float32), -1, 0)
        self._maps = np.ascontiguousarray(u), np.ascontiguousarray(v)

    def picture(self, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The picture, uint8 (h, w, 3), of a recorded RGB frame of the true size."""
        if self._maps is None or self._small is None:
            return _resized(frame, self.lens.size)
        small = _resized(frame, self._small)
        bent: NDArray[np.uint8] = cv2.remap(
            small, *self._maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        return bent


def _resized(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    if image.shape[:2] == size:
        return image
    smaller = size[0] < image.shape[0]
    how = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    resized: NDArray[np.uint8] = cv2.resize(image, size[::-1], interpolation=how)
    return resized
