"""What neighbouring frames agree on: fused inverse depth, its confidence, and filling the rest."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vista_sim.compiled import njit

_F = np.float32
_FAST = {"reassoc", "contract", "arcp", "nsz", "nnan", "ninf"}

_REACH = 48  # px in which a replacement is looked for
_CONTRAST_PER_PIXEL = 0.5  # gray levels that a pixel of distance counts as
_IS_GROUND = 0.1  # share by which inverse depth of ground may differ from its plane


@njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy")
def fuse(
    inverse_depth: NDArray[np.float32],
    others: NDArray[np.float32],
    rotations: NDArray[np.float32],
    translations: NDArray[np.float32],
    tolerance: float,
    share: float,
) -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.uint8]]:
    """Compare the inverse depth of a frame with that of its neighbours.

    A neighbour agrees where its own estimate, brought back, differs by less than tolerance +
    share * inverse depth. It denies where it looks through the point at something farther;
    where it sees something nearer, the point may be hidden from it, which says nothing.

    Args:
        inverse_depth: (h, w), 1/m.
        others: (n, h, w), 1/m, of the neighbours.
        rotations: (n, 3, 3), K R K⁻¹ from the frame to each neighbour.
        translations: (n, 3), K t, m.
        tolerance, share: 1/m, and of the inverse depth.

    Returns:
        (h, w) each: the mean of all that agree, 1/m; how many neighbours agree; how many deny.
    """
    height, width = inverse_depth.shape
    n = others.shape[0]
    fused = np.empty((height, width), np.float32)
    agreeing = np.empty((height, width), np.uint8)
    denying = np.empty((height, width), np.uint8)
    half, zero = _F(0.5), _F(0.0)
    for v in range(height):
        for u in range(width):
            x, y, w = _F(u), _F(v), inverse_depth[v, u]
            limit = _F(tolerance) + _F(share) * w
            total, agree, deny = w, 0, 0
            for k in range(n):
                r, t = rotations[k], translations[k]
                a2 = r[2, 0] * x + r[2, 1] * y + r[2, 2]
                z = a2 + w * t[2]
                if z < _F(0.05):
                    continue
                inverse = _F(1.0) / z
                pu = (r[0, 0] * x + r[0, 1] * y + r[0, 2] + w * t[0]) * inverse + half
                pv = (r[1, 0] * x + r[1, 1] * y + r[1, 2] + w * t[1]) * inverse + half
                if pu < zero or pv < zero or pu >= _F(width) or pv >= _F(height):
                    continue
                # In the neighbour the point is at w / z, which grows with w by a2 / z².
                seen = others[k, np.int32(pv), np.int32(pu)]
                difference = (seen - w * inverse) * z * z / a2
                if abs(difference) < limit:
                    total += w + difference
                    agree += 1
                elif difference < zero:
                    deny += 1
            fused[v, u] = total / _F(1 + agree)
            agreeing[v, u] = agree
            denying[v, u] = deny
    return fused, agreeing, denying


@njit(cache=True, nogil=True, error_model="numpy")
def fill(
    inverse_depth: NDArray[np.float32],
    reliable: NDArray[np.bool_],
    gray: NDArray[np.uint8],
    ground: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Replace what is not reliable by a reliable value that belongs to the same thing.

    In eight directions the nearest reliable pixel is found; the one reached with the least
    contrast on the way, and the shortest, is taken. Values are never mixed, so that nothing
    floats between a near thing and what is behind it. Ground goes on along its plane.

    Args:
        inverse_depth: (h, w), 1/m.
        reliable: (h, w).
        gray: (h, w).
        ground: (h, w), 1/m, its plane; taken where no reliable pixel is near.
    """
    height, width = inverse_depth.shape
    out = inverse_depth.copy()
    for v in range(height):
        for u in range(width):
            if reliable[v, u]:
                continue
            best = _F(1e9)
            value = ground[v, u]
            for direction in range(9):
                dv, du = direction // 3 - 1, direction % 3 - 1
                if dv == 0 and du == 0:
                    continue
                level, contrast = _F(gray[v, u]), _F(0.0)
                p, q = v + dv, u + du
                for distance in range(1, _REACH):
                    if p < 0 or q < 0 or p >= height or q >= width:
                        break
                    contrast = max(contrast, abs(_F(gray[p, q]) - level))
                    price = contrast + _F(_CONTRAST_PER_PIXEL) * _F(distance)
                    if price >= best:
                        break
                    if reliable[p, q]:
                        best = price
                        value = inverse_depth[p, q]
                        plane = ground[p, q]
                        if abs(value - plane) < _F(_IS_GROUND) * plane and ground[v, u] > 0:
                            value *= ground[v, u] / plane
                        break
                    p += dv
                    q += du
            out[v, u] = value
    return out
