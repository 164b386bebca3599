"""Make the ground smooth: where it is the road that is seen, and nothing that stands on it.

The inverse depth of a plane is linear in the pixel coordinates. Ground is flat over some
metres, so its inverse depth is averaged by fitting a plane to a window around each pixel.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

_STRIDE = 3  # px between the pixels that the fit looks at
_SLACK = (0.10, 0.006)  # share and 1/m within which the ground is looked for around its plane
_FLAT = (0.05, 0.004)  # the same around the local plane
_MIN_SHARE = 0.25  # of a window that must be ground


def fit_ground(inverse_depth: Floats, expected: Floats) -> Floats:
    """The plane of the ground in a picture of inverse depth.

    Args:
        inverse_depth: (h, w), 1/m.
        expected: (h, w), of flat ground at the calibrated height and pitch; 0 above the
            horizon. The fit starts there, and only what is near it counts.

    Returns:
        (h, w), 1/m; 0 above the horizon. `expected` where there is too little to fit.
    """
    height, width = expected.shape
    v, u = np.mgrid[0:height, 0:width].astype(np.float64)
    basis = np.stack([u / width - 0.5, v / height - 0.5, np.ones_like(u)], axis=-1)
    near = np.zeros(expected.shape, dtype=bool)
    near[::_STRIDE, ::_STRIDE] = expected[::_STRIDE, ::_STRIDE] > 0.03
    if near.sum() < 50:
        return expected
    a, target = basis[near], inverse_depth[near].astype(np.float64)
    scale = expected[near].astype(np.float64)
    plane = np.linalg.lstsq(a, scale, rcond=None)[0]
    for iteration in range(8):
        tolerance = (0.10 if iteration < 4 else 0.04) * scale + 0.002
        weight = 1.0 / (1.0 + ((target - a @ plane) / tolerance) ** 2) ** 2 / (scale + 0.02)
        normal = (a * weight[:, None]).T @ a + 1e-9 * np.eye(3)
        plane = np.linalg.solve(normal, (a * weight[:, None]).T @ target)
    fitted = np.maximum(basis @ plane, 0.0).astype(np.float32)
    # A wall beside a standing car is no road: far from the expected, it is not believed.
    if np.median(np.abs(fitted[near] - scale) / scale) > 0.5:
        return expected
    return fitted


def smooth_ground(
    inverse_depth: Floats, ground: Floats, window: float
) -> tuple[Floats, NDArray[np.bool_]]:
    """Average inverse depth (h, w) over the ground, and only there.

    Args:
        ground: (h, w) its plane, as of `fit_ground`.
        window: share of the image's width.

    Returns:
        Inverse depth, and (h, w) where it was averaged.
    """
    radius = max(2, round(0.5 * window * inverse_depth.shape[1]))
    share, slack = _SLACK
    is_ground = (ground > 0.02) & (np.abs(inverse_depth - ground) < share * ground + slack)
    local, _ = _local_planes(inverse_depth, is_ground, radius)
    share, slack = _FLAT
    is_flat = is_ground & (np.abs(inverse_depth - local) < share * ground + slack)
    local, count = _local_planes(inverse_depth, is_flat, radius)
    enough = count > _MIN_SHARE * (2 * radius + 1) ** 2
    smooth = is_ground & enough
    values = np.where(smooth, np.maximum(local, 0.0), inverse_depth).astype(np.float32)
    return values, smooth


def _local_planes(
    values: Floats, chosen: NDArray[np.bool_], radius: int
) -> tuple[Doubles, Doubles]:
    """The plane through the chosen values of the window around each pixel, at that pixel.

    Returns:
        Values (h, w), and how many were chosen.
    """
    height, width = values.shape
    v, u = np.mgrid[0:height, 0:width] / float(radius)
    weight = chosen.astype(np.float64)
    weighted = weight * values

    def mean(array: Doubles) -> Doubles:
        size = (2 * radius + 1, 2 * radius + 1)
        total: Doubles = cv2.boxFilter(
            array, cv2.CV_64F, size, normalize=False, borderType=cv2.BORDER_CONSTANT
        )
        return total

    count = mean(weight)
    n = np.maximum(count, 1e-9)
    mean_u, mean_v, mean_d = mean(weight * u) / n, mean(weight * v) / n, mean(weighted) / n
    uu = mean(weight * u * u) / n - mean_u**2 + 1e-2
    vv = mean(weight * v * v) / n - mean_v**2 + 1e-2
    uv = mean(weight * u * v) / n - mean_u * mean_v
    ud = mean(weighted * u) / n - mean_u * mean_d
    vd = mean(weighted * v) / n - mean_v * mean_d
    determinant = uu * vv - uv * uv
    slope_u, slope_v = (ud * vv - vd * uv) / determinant, (vd * uu - ud * uv) / determinant
    return mean_d + slope_u * (u - mean_u) + slope_v * (v - mean_v), count
