"""Sub-pixel refinement of inverse depth by brightness constancy.

One-dimensional Lucas-Kanade along the epipolar lines, in all neighbours at once (Lucas and
Kanade 1981; the multi-baseline sum is that of Okutomi and Kanade 1993): with the residual
r_k = I(p) - I_k(q_k(w)) and its slope g_k = dI_k/dw, a Gauss-Newton step is
sum(g r) / sum(g g) over the neighbours and a small window.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from vista_sim.compiled import njit

_F = np.float32
_FAST = {"reassoc", "contract", "arcp", "nsz", "nnan", "ninf"}

_WINDOW_SIGMA = 0.8  # px
_RESIDUAL_SCALE = 10.0  # gray levels at which a residual counts half
_STIFFNESS = 1e6  # added to sum(g g): (gray levels per 1/m)²; textureless pixels stay
_MEAN_SIGMA = 8.0  # px; brightness is compared after its mean over this has been taken away


@njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy")
def _normal_equations(
    reference: NDArray[np.float32],
    others: NDArray[np.float32],
    rotations: NDArray[np.float32],
    translations: NDArray[np.float32],
    inverse_depth: NDArray[np.float32],
    product: NDArray[np.float32],
    square: NDArray[np.float32],
) -> None:
    """Fill product = sum(g r) and square = sum(g g), robustly weighted, pixel by pixel."""
    height, width = reference.shape
    n = others.shape[0]
    softness = _F(1.0 / _RESIDUAL_SCALE**2)
    one = _F(1.0)
    for v in range(height):
        for u in range(width):
            gr, gg = _F(0.0), _F(0.0)
            x, y, w = _F(u), _F(v), inverse_depth[v, u]
            value = reference[v, u]
            for k in range(n):
                r, t = rotations[k], translations[k]
                z = r[2, 0] * x + r[2, 1] * y + r[2, 2] + w * t[2]
                if z < _F(0.05):
                    continue
                inverse = one / z
                pu = (r[0, 0] * x + r[0, 1] * y + r[0, 2] + w * t[0]) * inverse
                pv = (r[1, 0] * x + r[1, 1] * y + r[1, 2] + w * t[1]) * inverse
                if pu < one or pv < one or pu >= _F(width - 2) or pv >= _F(height - 2):
                    continue
                du, dv = (t[0] - pu * t[2]) * inverse, (t[1] - pv * t[2]) * inverse
                i, j = np.int32(pu), np.int32(pv)
                fu, fv = pu - _F(i), pv - _F(j)
                image = others[k]
                a, b, c, d = image[j, i], image[j, i + 1], image[j + 1, i], image[j + 1, i + 1]
                top, bottom = a + fu * (b - a), c + fu * (d - c)
                slope_u = (b - a) + fv * ((d - c) - (b - a))
                g = slope_u * du + (bottom - top) * dv
                residual = value - (top + fv * (bottom - top))
                weight = one / (one + residual * residual * softness)
                gr += weight * g * residual
                gg += weight * g * g
            product[v, u] = gr
            square[v, u] = gg


def detail(gray: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The image (h, w) without its local mean: exposure and vignetting drop out."""
    values = gray.astype(np.float32)
    mean: NDArray[np.float32] = cv2.GaussianBlur(values, (0, 0), _MEAN_SIGMA)
    return values - mean


def refine(
    inverse_depth: NDArray[np.float32],
    reference: NDArray[np.float32],
    others: NDArray[np.float32],
    rotations: NDArray[np.float32],
    translations: NDArray[np.float32],
    steps: int,
    max_step: float,
) -> NDArray[np.float32]:
    """Move inverse depth (h, w), 1/m, to where the neighbours' brightness fits best.

    Args:
        inverse_depth: start, right to about a pixel in the neighbours.
        reference, others: `detail` of the frame (h, w) and of its neighbours (n, h, w).
        rotations, translations: as of `census.matching_cost`.
        steps: Gauss-Newton steps.
        max_step: largest change of a step, 1/m.
    """
    result = np.ascontiguousarray(inverse_depth, dtype=np.float32)
    product, square = np.empty_like(result), np.empty_like(result)
    for _ in range(steps):
        _normal_equations(reference, others, rotations, translations, result, product, square)
        above = cv2.GaussianBlur(product, (0, 0), _WINDOW_SIGMA)
        below = cv2.GaussianBlur(square, (0, 0), _WINDOW_SIGMA)
        change = np.clip(above / (below + np.float32(_STIFFNESS)), -max_step, max_step)
        result = np.maximum(result + change, np.float32(0.0))
    return result
