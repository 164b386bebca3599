"""The outline of a thing that moves: from what surely moves to the edges of the image."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from vista_sim.geometry.masks import MIN_AREA, SQUARE, Mask, window
from vista_sim.geometry.moving_candidates import (
    FARTHEST_GROUND,
    MAX_HEIGHT,
    SAME_MOTION,
    Floats,
    Level,
)

_NEAREST_GROUND = 0.3  # 1/m, from which on things are looked for
_MIN_HEIGHT = 0.7  # m
_SURE_HEIGHT = 0.8  # m
_MARGIN = (0.35, 0.8)  # share and m by which it may reach over its seeds on each side
_MIN_WIDTH, _MAX_WIDTH = 0.3, 14.0  # m
_MAX_SLENDERNESS = 4.0  # height over width


def outlined(
    seeds: Mask,
    contact: float,
    seen: float,
    inverse_depth: Floats,
    reliable: Mask,
    gray: NDArray[np.uint8],
    level: Level,
    focal: float,
) -> Mask | None:
    """Grow seeds to the edges of the image; None where the outcome is no thing that drives.

    A watershed between what surely moves and what surely does not; in between the strongest
    edge decides. It reaches above the seeds, where a thing that looks infinitely far cannot
    be told from what is.
    """
    if not FARTHEST_GROUND < contact < _NEAREST_GROUND:
        return None
    columns = np.flatnonzero(seeds.any(axis=0))
    left, right = int(columns[0]), int(columns[-1]) + 1
    wide = (right - left) / (focal * contact)
    if not 0.5 * _MIN_WIDTH < wide < _MAX_WIDTH:
        return None
    height = level.height(contact)
    lowest = int(np.flatnonzero(seeds.any(axis=1))[-1])
    margin = max(3, round(min(_MARGIN[0] * (right - left), _MARGIN[1] * focal * contact)))
    limit = min(MAX_HEIGHT, max(1.9, 1.3 * wide))
    box = np.zeros(seeds.shape, dtype=bool)
    box[: lowest + 4, max(0, left - margin) : right + margin] = True
    box &= height < limit
    # Above its foot it hides what is behind, so far up as everything that drives reaches.
    foot = np.maximum.accumulate(seeds[::-1], axis=0)[::-1]
    body = (foot & (height < _SURE_HEIGHT) & box) | seeds
    inner = cv2.erode(body.astype(np.uint8), SQUARE, borderValue=0).astype(bool)
    inner = inner if inner.sum() >= 0.3 * body.sum() else body
    aside = np.ones(seeds.shape, dtype=bool)
    aside[:, left:right] = False
    share, slack = SAME_MOTION
    other = reliable & ~(np.abs(inverse_depth - seen) < share * seen + slack) & aside
    other |= reliable & (height < 0.0)  # the ground in front
    other = cv2.erode((other | ~box).astype(np.uint8), SQUARE).astype(bool) & ~body
    filled = grown(gray, inner, other | ~box)
    outlines, _ = cv2.findContours(filled, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not outlines:
        return None
    solid = np.zeros(seeds.shape, np.uint8)
    cv2.drawContours(solid, [max(outlines, key=cv2.contourArea)], -1, 1, cv2.FILLED)
    mask: Mask = solid.astype(bool)
    if mask.sum() < MIN_AREA:
        return None
    tall = float(np.quantile(height[mask], 0.97))
    wide = float(mask.any(axis=0).sum()) / (focal * contact)
    if not _MIN_HEIGHT < tall < _MAX_SLENDERNESS * wide or not _MIN_WIDTH < wide < _MAX_WIDTH:
        return None
    return mask


def grown(gray: NDArray[np.uint8], inner: Mask, other: Mask) -> NDArray[np.uint8]:
    """Watershed between two masks (h, w): 1 where it goes to the first."""
    if other.all():  # nothing is left to be divided
        return np.zeros(gray.shape, np.uint8)
    rows, cols = window(~other, 3)
    markers = np.ascontiguousarray(np.where(inner, 2, other)[rows, cols], dtype=np.int32)
    colours = cv2.cvtColor(np.ascontiguousarray(gray[rows, cols]), cv2.COLOR_GRAY2BGR)
    cv2.watershed(colours, markers)
    first = np.zeros(gray.shape, np.uint8)
    first[rows, cols] = cv2.dilate((markers == 2).astype(np.uint8), SQUARE)  # it leaves a border
    opened: NDArray[np.uint8] = cv2.morphologyEx(first, cv2.MORPH_OPEN, np.ones((5, 3), np.uint8))
    return opened
