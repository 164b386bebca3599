"""Geometry of one frame brought into another that shows no parallax of its own."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vista_sim.compiled import njit
from vista_sim.geometry.consistency import fill
from vista_sim.geometry.moving import MOVING_CONFIDENCE

_F = np.float32
Floats = NDArray[np.float32]

#: What is brought from another frame is this sure, as a share of what it was there.
CARRIED_SHARE = 0.5


@njit(cache=True, nogil=True, error_model="numpy")
def splat(
    inverse_depth: NDArray[np.float32],
    usable: NDArray[np.bool_],
    confidence: NDArray[np.uint8],
    rotation: NDArray[np.float32],
    translation: NDArray[np.float32],
    values: NDArray[np.float32],
    sure: NDArray[np.uint8],
) -> None:
    """Move every usable pixel to where the other frame sees it; the nearest wins.

    Each covers the four pixels around it, so that surfaces stay closed up to twice the size.

    Args:
        inverse_depth: (h, w), 1/m.
        usable: (h, w).
        confidence: (h, w).
        rotation, translation: (3, 3) and (3,), into the other frame, as of
            `census.matching_cost`.
        values: (h, w) of the other frame, negative where nothing has arrived; changed.
        sure: (h, w) confidence that arrives with it; changed.
    """
    height, width = inverse_depth.shape
    r, t = rotation, translation
    for v in range(height):
        for u in range(width):
            if not usable[v, u]:
                continue
            x, y, w = _F(u), _F(v), inverse_depth[v, u]
            z = r[2, 0] * x + r[2, 1] * y + r[2, 2] + w * t[2]
            if z < _F(0.05):
                continue
            pu = (r[0, 0] * x + r[0, 1] * y + r[0, 2] + w * t[0]) / z
            pv = (r[1, 0] * x + r[1, 1] * y + r[1, 2] + w * t[1]) / z
            if pu < _F(-1) or pv < _F(-1) or pu > _F(width) or pv > _F(height):
                continue
            there = w / z
            left, top = int(np.floor(pu)), int(np.floor(pv))
            # A pixel that is met exactly needs no others, which would only grow it.
            right = left + (1 if pu - left > 0.01 else 0)
            bottom = top + (1 if pv - top > 0.01 else 0)
            for q in range(max(top, 0), min(bottom, height - 1) + 1):
                for p in range(max(left, 0), min(right, width - 1) + 1):
                    if there > values[q, p]:
                        values[q, p] = there
                        sure[q, p] = confidence[v, u]


class Carried:
    """Geometry of a frame without parallax, put together from that of others.

    Args:
        gray: (h, w) the frame.
        ground: (h, w) inverse depth of flat ground, 1/m; stands where nothing arrives.
    """

    def __init__(self, gray: NDArray[np.uint8], ground: Floats) -> None:
        self._gray, self._ground = gray, ground
        self._values = np.full(gray.shape, -1.0, np.float32)
        self._sure = np.zeros(gray.shape, np.uint8)

    def add(
        self,
        inverse_depth: Floats,
        confidence: NDArray[np.uint8],
        moving: NDArray[np.bool_],
        rotation: Floats,
        translation: Floats,
    ) -> None:
        """Bring in a frame; where others have already been brought in, they stay.

        Args:
            inverse_depth, confidence: (h, w) of that frame.
            moving: (h, w), what is no longer there.
            rotation, translation: from that frame, as of `neighbours.projections`.
        """
        values, sure = np.full_like(self._values, -1.0), np.zeros_like(self._sure)
        splat(inverse_depth, ~moving, confidence, rotation, translation, values, sure)
        empty = self._values < 0
        self._values = np.where(empty, values, self._values)
        self._sure = np.where(empty, sure, self._sure)

    def result(self) -> tuple[Floats, NDArray[np.uint8]]:
        """Inverse depth (h, w), 1/m, and confidence (h, w)."""
        arrived = self._values >= 0
        values = fill(np.maximum(self._values, 0.0), arrived, self._gray, self._ground)
        sure = np.where(arrived, self._sure * np.float32(CARRIED_SHARE), 0.0)
        certain = sure.astype(np.uint8)
        return values, certain + (certain == MOVING_CONFIDENCE)
