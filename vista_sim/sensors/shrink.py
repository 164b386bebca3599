"""Shrinking an image by area averaging: the bytes of OpenCV's INTER_AREA in a third of the time.

The sums are those of OpenCV's general case (imgproc/src/resize.cpp, `ResizeArea_Invoker`),
in single precision and in its order: across a row first, then down the rows.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vista_sim.compiled import njit

_F = np.float32
Taps = tuple[NDArray[np.int64], NDArray[np.float32]]


def shrink(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """An image, uint8 (h, w, 3), at another (height, width), neither of them larger."""
    height, width = image.shape[:2]
    if height % size[0] == 0 and width % size[1] == 0:
        result: NDArray[np.uint8] = cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA)
        return result  # there OpenCV is fast, and rounds in its own way
    out = np.empty((*size, 3), dtype=np.uint8)
    _shrink(np.ascontiguousarray(image), *_taps(width, size[1]), *_taps(height, size[0]), out)
    return out


@lru_cache(maxsize=64)
def _taps(n: int, m: int) -> Taps:
    """For m pixels made of n: the first of the pixels that each covers, and their shares.

    As OpenCV's `computeResizeAreaTab`: what is covered by less than a thousandth is left out.
    """
    scale = n / m
    first, shares = np.empty(m, dtype=np.int64), []
    for i in range(m):
        start = i * scale
        end, cell = start + scale, min(scale, n - start)
        inner_end = min(int(np.floor(end)), n - 1)
        inner_start = min(int(np.ceil(start)), inner_end)
        taps = [(inner_start - 1, (inner_start - start) / cell)] * (inner_start - start > 1e-3)
        taps += [(j, 1.0 / cell) for j in range(inner_start, inner_end)]
        if end - inner_end > 1e-3:
            taps.append((inner_end, min(min(end - inner_end, 1.0), cell) / cell))
        first[i] = taps[0][0]
        shares.append([share for _, share in taps])
    table = np.zeros((m, max(2, *(len(row) for row in shares))), dtype=np.float32)
    for i, row in enumerate(shares):
        table[i, : len(row)] = row
    return first, table


@njit(cache=True, nogil=True, error_model="numpy")
def _shrink(image: Any, x_first: Any, x_share: Any, y_first: Any, y_share: Any, out: Any) -> None:
    width, out_height, out_width = image.shape[1], out.shape[0], out.shape[1]
    across = x_share.shape[1]
    line = np.zeros(3 * (width + across), dtype=np.float32)  # taps of no share reach beyond
    row, total = np.empty(3 * out_width, dtype=np.float32), np.empty(3 * out_width, np.float32)
    at = -1  # of which row of the image `row` is
    for v in range(out_height):
        for k in range(y_share.shape[1]):
            share = y_share[v, k]
            if share == _F(0.0):
                continue
            if y_first[v] + k != at:
                at = y_first[v] + k
                source = image[at].reshape(-1)
                for x in range(3 * width):
                    line[x] = _F(source[x])
                _across(line, x_first, x_share, row)
            if k == 0:
                for x in range(3 * out_width):
                    total[x] = share * row[x]
            else:
                for x in range(3 * out_width):
                    total[x] += share * row[x]
        target = out[v].reshape(-1)
        for x in range(3 * out_width):
            target[x] = np.uint8(np.int32(np.rint(total[x])))


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _across(line: Any, first: Any, share: Any, row: Any) -> None:
    """One row; the usual numbers of taps apart, for their speed."""
    if share.shape[1] == 2:
        for x in range(first.shape[0]):
            i, a, b = 3 * first[x], share[x, 0], share[x, 1]
            row[3 * x] = line[i] * a + line[i + 3] * b
            row[3 * x + 1] = line[i + 1] * a + line[i + 4] * b
            row[3 * x + 2] = line[i + 2] * a + line[i + 5] * b
    elif share.shape[1] == 3:
        for x in range(first.shape[0]):
            i, a, b, c = 3 * first[x], share[x, 0], share[x, 1], share[x, 2]
            row[3 * x] = line[i] * a + line[i + 3] * b + line[i + 6] * c
            row[3 * x + 1] = line[i + 1] * a + line[i + 4] * b + line[i + 7] * c
            row[3 * x + 2] = line[i + 2] * a + line[i + 5] * b + line[i + 8] * c
    else:
        for x in range(first.shape[0]):
            i, red, green, blue = 3 * first[x], _F(0.0), _F(0.0), _F(0.0)
            for k in range(share.shape[1]):
                part = share[x, k]
                red += line[i] * part
                green += line[i + 1] * part
                blue += line[i + 2] * part
                i += 3
            row[3 * x], row[3 * x + 1], row[3 * x + 2] = red, green, blue
