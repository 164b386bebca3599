"""Masks of an image: regions, their edges, what is around them."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]

MIN_AREA = 16  # px of a region
SQUARE = np.ones((3, 3), np.uint8)


def regions(mask: Mask) -> list[Mask]:
    """Connected parts (h, w) of a mask that are large enough."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(
        mask.astype(np.uint8), connectivity=4
    )
    return [labels == k for k in range(1, count) if stats[k, cv2.CC_STAT_AREA] >= MIN_AREA]


def lower_edge(region: Mask) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Columns (n,) of a region and its lowest row (n,) in each."""
    u = np.flatnonzero(region.any(axis=0))
    v = region.shape[0] - 1 - np.argmax(region[::-1][:, u], axis=0)
    return u, v


def opened(mask: Mask) -> Mask:
    """A mask without what is thinner than three pixels."""
    result: NDArray[np.uint8] = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, SQUARE)
    return result.astype(bool)


def around(mask: Mask, columns: int, rows: int) -> Mask:
    """A mask and what is within so many columns and rows of it."""
    square = np.ones((2 * rows + 1, 2 * columns + 1), np.uint8)
    return cv2.dilate(mask.astype(np.uint8), square).astype(bool)


def shifted_up(values: NDArray[Any], rows: int) -> NDArray[Any]:
    """What is that many rows below each pixel; the last row goes on."""
    return np.concatenate([values[rows:], np.repeat(values[-1:], rows, axis=0)])


def window(mask: Mask, margin: int) -> tuple[slice, slice]:
    """Rows and columns that hold a mask, with a margin, px; the mask holds something."""
    rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return (
        slice(max(0, int(rows[0]) - margin), int(rows[-1]) + 1 + margin),
        slice(max(0, int(cols[0]) - margin), int(cols[-1]) + 1 + margin),
    )
