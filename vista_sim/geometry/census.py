"""The census transform and the cost of a match, by plane sweep over inverse depth.

Census: Zabih and Woodfill, "Non-parametric local transforms for computing visual
correspondence", ECCV 1994. Plane sweep: Collins, "A space-sweep approach to true multi-image
matching", CVPR 1996; here each plane of constant inverse depth is swept pixel by pixel, so
that all planes of a pixel lie next to each other in memory.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.extending import intrinsic
from numpy.typing import NDArray

from vista_sim.compiled import njit

#: Cost of one mismatched bit of the census.
BIT_COST = 4
#: Cost where no neighbour sees the point: about that of a wrong match.
UNSEEN_COST = 36

_F = np.float32
_I = np.int32
_FAST = {"reassoc", "contract", "arcp", "nsz", "nnan", "ninf"}


@intrinsic
def _bit_count(_context: Any, value: Any) -> Any:
    """Number of set bits (LLVM's ctpop, which becomes one instruction where there is one)."""

    def generate(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return value(value), generate


@njit(cache=True, nogil=True, fastmath=_FAST)
def census(gray: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """24 bits a pixel: which of the others in a 5 x 5 window are darker. uint32 (h, w)."""
    height, width = gray.shape
    out = np.zeros((height, width), np.uint32)
    one = np.uint32(1)
    for v in range(height):
        row = out[v]
        centre = gray[v]
        for dv in range(-2, 3):
            other = gray[min(max(v + dv, 0), height - 1)]
            for du in range(-2, 3):
                if dv == 0 and du == 0:
                    continue
                for u in range(min(2, width)):
                    k = min(max(u + du, 0), width - 1)
                    row[u] = np.uint32(row[u] << one) | np.uint32(other[k] < centre[u])
                inner, here, there = row[2:-2], centre[2:-2], other[2 + du : width - 2 + du]
                for u in range(width - 4):
                    inner[u] = np.uint32(inner[u] << one) | np.uint32(there[u] < here[u])
                for u in range(max(width - 2, 2), width):
                    k = min(max(u + du, 0), width - 1)
                    row[u] = np.uint32(row[u] << one) | np.uint32(other[k] < centre[u])
    return out


@njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy")
def matching_cost(
    reference: NDArray[np.uint32],
    others: NDArray[np.uint32],
    rotations: NDArray[np.float32],
    translations: NDArray[np.float32],
    planes: NDArray[np.float32],
    prior: NDArray[np.float32],
    prior_slope: float,
    prior_limit: float,
) -> NDArray[np.uint8]:
    """Cost of every inverse depth at every pixel, from neighbours on known poses.

    A pixel p at inverse depth w is at the pixel (rotations[k] p + w translations[k]) of
    neighbour k (homogeneous).

    Args:
        reference: census (h, w) of the frame.
        others: census (n, h, w) of its neighbours.
        rotations: (n, 3, 3), K R K⁻¹ from the frame to each neighbour.
        translations: (n, 3), K t.
        planes: (d,) inverse depths, 1/m.
        prior: (h, w) index of the plane that is taken where nothing speaks against it.
        prior_slope: cost per 16 planes away from it.
        prior_limit: largest cost of that kind.

    Returns:
        uint8 (h, w, d): mean over the neighbours that see the point, `BIT_COST` a bit.
    """
    height, width = reference.shape
    n, count = others.shape[0], planes.shape[0]
    out = np.empty((height, width, count), np.uint8)
    total = np.empty(count, np.int32)
    seen = np.empty(count, np.int32)
    index = np.empty(count, np.uint32)
    visible = np.empty(count, np.int32)
    words = np.empty(count, np.uint32)
    flat = others.reshape(n, height * width)
    share = np.zeros(n + 1, np.int32)  # BIT_COST / seen, in 1/256
    for k in range(1, n + 1):
        share[k] = (BIT_COST * 256) // k
    u_end, v_end, stride = _F(width), _F(height), _I(width)
    slope, limit = _F(prior_slope / 16.0), _F(prior_limit)
    half, zero, nearest = _F(0.5), _F(0.0), _F(0.05)
    for v in range(height):
        for u in range(width):
            bits = reference[v, u]
            x, y = _F(u), _F(v)
            for d in range(count):
                total[d] = 0
                seen[d] = 0
            for k in range(n):
                r = rotations[k]
                a0 = r[0, 0] * x + r[0, 1] * y + r[0, 2]
                a1 = r[1, 0] * x + r[1, 1] * y + r[1, 2]
                a2 = r[2, 0] * x + r[2, 1] * y + r[2, 2]
                b0, b1, b2 = translations[k, 0], translations[k, 1], translations[k, 2]
                image = flat[k]
                for d in range(count):
                    w = planes[d]
                    z = a2 + w * b2
                    inverse = _F(1.0) / max(z, nearest)
                    pu, pv = (a0 + w * b0) * inverse + half, (a1 + w * b1) * inverse + half
                    inside = (pu >= zero) & (pu < u_end) & (pv >= zero) & (pv < v_end)
                    position = _I(_I(pv) * stride) + _I(pu)
                    here = inside & (z > nearest)
                    index[d] = _I(position) if here else _I(0)
                    visible[d] = _I(1) if here else _I(0)
                # Fetching does not vectorize, so it has a loop of its own.
                for d in range(count):
                    words[d] = image[index[d]]
                for d in range(count):
                    differing = _I(_bit_count(np.uint32(words[d] ^ bits)))
                    total[d] = _I(total[d] + (differing if visible[d] else _I(0)))
                    seen[d] = _I(seen[d] + visible[d])
            expected = prior[v, u]
            costs = out[v, u]
            for d in range(count):
                extra = _I(min(abs(_F(d) - expected) * slope, limit))
                if seen[d] > 0:
                    costs[d] = np.uint8(((total[d] * share[seen[d]]) >> 8) + extra)
                else:
                    costs[d] = np.uint8(UNSEEN_COST + extra)
    return out
