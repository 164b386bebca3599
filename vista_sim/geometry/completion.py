"""From sparse measured inverse depth to all pixels, along what the image shows to be one thing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vista_sim.compiled import njit
from vista_sim.geometry.settings import LidarProjection
from vista_sim.geometry.surface import fit_ground, smooth_ground

_F = np.float32
Floats = NDArray[np.float32]

_IS_GROUND = 0.1  # share by which inverse depth of ground may differ from its plane
_HIDDEN = (0.15, 0.008)  # share and 1/m by which what lies behind a nearer surface is farther
_FAR_AWAY = _F(1e9)


def cull_hidden(measured: Floats) -> Floats:
    """Take away what a lidar sees and the camera, from another place, cannot.

    A point is hidden where nearer ones lie close above and close below it, or just beside it:
    they belong to a surface that it is seen through.

    Args:
        measured: (h, w) inverse depth, 1/m; 0 where nothing was measured.
    """
    return _cull(measured, ring_spacing(measured), _F(_HIDDEN[0]), _F(_HIDDEN[1]))


def ring_spacing(measured: Floats) -> int:
    """Typical number of rows, 1 at least, between measured pixels of a column."""
    wide = np.zeros((measured.shape[0], measured.shape[1] + 2), bool)
    for shift in range(3):  # neighbours of a ring need not fall into every column
        wide[:, shift : shift + measured.shape[1]] |= measured > 0
    columns, rows = np.nonzero(wide.T)
    steps = np.diff(rows)[np.diff(columns) == 0]
    return max(1, int(np.percentile(steps, 75))) if steps.size else 1


@njit(cache=True, nogil=True)
def _cull(measured: Floats, spacing: int, share: np.float32, slack: np.float32) -> Floats:
    height, width = measured.shape
    out = measured.copy()
    for v in range(height):
        for u in range(width):
            w = measured[v, u]
            if w == 0:
                continue
            above = below = beside = False
            for q in range(max(0, u - 2), min(width, u + 3)):
                for p in range(max(0, v - spacing - 1), min(height, v + spacing + 2)):
                    near = measured[p, q]
                    if near - w > share * near + slack:
                        above |= p < v
                        below |= p > v
                        beside |= abs(p - v) <= 1 and abs(q - u) <= 1
            if (above and below) or (beside and (above or below)):
                out[v, u] = 0
    return out


def complete(
    measured: Floats, gray: NDArray[np.uint8], ground: Floats, settings: LidarProjection
) -> tuple[Floats, Floats]:
    """Inverse depth (h, w) and confidence (h, w) of all pixels from those measured.

    Each pixel belongs to the measured one that is reached with the least way and contrast of
    the image, and takes the plane through the measured pixels around it that fit that one:
    nothing is mixed across edges. Ground goes on along its plane.

    Args:
        measured: (h, w), 1/m; 0 where nothing was measured.
        gray: (h, w).
        ground: (h, w) of flat ground, 1/m; what is farther than `reach` from everything
            measured gets it.
        settings: see `LidarProjection`.
    """
    way, owner = _nearest(measured, gray, _F(settings.contrast_price))
    owned = measured.ravel()[np.maximum(owner, 0)]
    reach = np.where(ground > 0, settings.reach, settings.reach_above)
    reached = (owner >= 0) & (way < reach)
    # Ground is fitted to what was measured and its surroundings.
    near = reached & (way < 0.25 * settings.reach)
    plane = fit_ground(np.where(near, owned, _F(-1.0)).astype(np.float32), ground)
    on_plane = plane.ravel()[np.maximum(owner, 0)]
    is_ground = reached & (np.abs(owned - on_plane) < _IS_GROUND * on_plane) & (plane > 0)
    values = np.where(is_ground, owned * plane / np.maximum(on_plane, _F(1e-6)), owned)
    spacing = ring_spacing(measured)
    rows = int(np.clip(1.5 * spacing, 2, 12))
    fitted = _local_fit(measured, values.astype(np.float32), reached, rows, 6, _F(settings.same))
    # Where nothing was measured on either side, a plane would be drawn out into the void.
    sure = np.where(reached, np.exp(-way / _F(settings.sure_within)), 0.0)
    values = np.where(reached, fitted, plane).astype(np.float32)
    smooth, averaged = smooth_ground(values, plane, settings.ground_window)
    return np.where(averaged & reached, smooth, values), sure.astype(np.float32)


@njit(cache=True, nogil=True)
def _nearest(
    measured: Floats, gray: NDArray[np.uint8], contrast_price: np.float32
) -> tuple[Floats, NDArray[np.int32]]:
    """The nearest measured pixel by way and contrast: length (h, w) in pixels, flat index.

    Chamfer sweeps over eight neighbours (Borgefors 1986), each step made longer by the
    difference of gray levels; four sweeps suffice but for the most winding ways.
    """
    height, width = measured.shape
    way = np.full((height, width), _FAR_AWAY, np.float32)
    owner = np.full((height, width), -1, np.int32)
    for v in range(height):
        for u in range(width):
            if measured[v, u] > 0:
                way[v, u] = 0
                owner[v, u] = v * width + u
    for sweep in range(4):
        step = 1 if sweep % 2 == 0 else -1
        for i in range(height):
            v = i if step > 0 else height - 1 - i
            for direction in range(2):  # along the row both ways, the first with the row before
                for j in range(width):
                    u = j if direction == 0 else width - 1 - j
                    here = _F(gray[v, u])
                    for k in range(4):
                        if k == 3:
                            p, q = v, u - 1 if direction == 0 else u + 1
                        elif direction == 0:
                            p, q = v - step, u + k - 1
                        else:
                            continue
                        if p < 0 or q < 0 or p >= height or q >= width or owner[p, q] < 0:
                            continue
                        length = _F(1.414) if p != v and q != u else _F(1.0)
                        length += contrast_price * abs(_F(gray[p, q]) - here)
                        if way[p, q] + length < way[v, u]:
                            way[v, u] = way[p, q] + length
                            owner[v, u] = owner[p, q]
    return way, owner


@njit(cache=True, nogil=True)
def _local_fit(
    measured: Floats,
    values: Floats,
    wanted: NDArray[np.bool_],
    rows: int,
    columns: int,
    same: np.float32,
) -> Floats:
    """The plane in inverse depth through the measured pixels around each that fit its value."""
    height, width = measured.shape
    out = values.copy()
    for v in range(height):
        for u in range(width):
            if not wanted[v, u]:
                continue
            value = values[v, u]
            limit = same * value + _F(0.002)
            n = su = sv = suu = svv = suv = sd = sud = svd = _F(0.0)
            low = high = value
            for p in range(max(0, v - rows), min(height, v + rows + 1)):
                dv = _F(p - v) / _F(rows)
                for q in range(max(0, u - columns), min(width, u + columns + 1)):
                    d = measured[p, q] - value
                    if measured[p, q] == 0 or abs(d) > limit:
                        continue
                    du = _F(q - u) / _F(columns)
                    weight = (_F(1.05) - abs(dv)) * (_F(1.05) - abs(du))
                    n += weight
                    su += weight * du
                    sv += weight * dv
                    suu += weight * du * du
                    svv += weight * dv * dv
                    suv += weight * du * dv
                    sd += weight * d
                    sud += weight * du * d
                    svd += weight * dv * d
                    low, high = min(low, measured[p, q]), max(high, measured[p, q])
            if n < _F(0.5):
                continue
            mu, mv, md = su / n, sv / n, sd / n
            a, b = suu / n - mu * mu + _F(0.02), svv / n - mv * mv + _F(0.02)
            c = suv / n - mu * mv
            e, f = sud / n - mu * md, svd / n - mv * md
            det = a * b - c * c
            slope_u, slope_v = (e * b - f * c) / det, (f * a - e * c) / det
            plane = value + md - slope_u * mu - slope_v * mv
            out[v, u] = min(max(plane, low - limit), high + limit)
    return out
