"""YUV to RGB for decoded frames: the bytes of libswscale's accurate conversion, much faster.

What libswscale computes for yuv420p to rgb24 with SWS_BILINEAR, SWS_ACCURATE_RND and
SWS_FULL_CHR_H_INT, BT.709, chroma samples beside the left luma sample (H.264's default):
chroma is interpolated to full size (1/2, 1/2 across; 3/4, 1/4 down), then a 3 x 3 matrix in
22 bit fixed point (libswscale/output.c, yuv2rgb_full; coefficients as in yuv2rgb.c).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vista_sim.compiled import njit

# Everything stays int32, where libswscale's sums just fit; Numba would widen to int64.
_I = np.int32

# ITU-R BT.709, limited range: 255/219 and libswscale's {117489, 138438, 13975, 34925},
# brought from 16 bit to 13 bit fixed point.
_Y_OFFSET = _I(16 << 9)
_Y_GAIN = _I(9539)
_V_TO_R = _I(14686)
_V_TO_G = _I(-4366)
_U_TO_G = _I(-1747)
_U_TO_B = _I(17305)
_HALF = _I(1 << 21)


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _byte(value: Any) -> Any:
    return np.uint8(max(min(_I(value) >> _I(22), _I(255)), _I(0)))


@njit(cache=True, nogil=True, error_model="numpy")
def _widen(near: Any, far: Any, out: Any, combined: Any) -> None:
    """One row of chroma at full size, times 512 and without its offset."""
    half, width = near.shape[0], out.shape[0]
    for j in range(half):
        combined[j] = _I(far[j]) + _I(3) * _I(near[j])
    combined[half] = combined[half - 1]
    for j in range(width // 2):
        out[2 * j] = combined[j] * _I(128) - _I(65536)
        out[2 * j + 1] = (combined[j] + combined[j + 1]) * _I(64) - _I(65536)
    if width % 2:
        out[width - 1] = combined[half - 1] * _I(128) - _I(65536)


@njit(cache=True, nogil=True, error_model="numpy")
def yuv_to_rgb(
    y: NDArray[np.uint8], u: NDArray[np.uint8], v: NDArray[np.uint8], out: NDArray[np.uint8]
) -> None:
    """Convert a limited-range BT.709 picture.

    Args:
        y: (h, w) or larger.
        u, v: (ceil(h / 2), ceil(w / 2)) or larger.
        out: (h, w, 3), RGB, filled.
    """
    height, width = out.shape[0], out.shape[1]
    rows, half = u.shape
    us, vs = np.empty(width, dtype=np.int32), np.empty(width, dtype=np.int32)
    combined = np.empty(half + 1, dtype=np.int32)
    # Apart, because what is interleaved is not vectorized.
    red, green = np.empty(width, dtype=np.uint8), np.empty(width, dtype=np.uint8)
    blue = np.empty(width, dtype=np.uint8)
    for i in range(height):
        near = i // 2
        far = min(max(near - 1 if i % 2 == 0 else near + 1, 0), rows - 1)
        _widen(u[near], u[far], us, combined)
        _widen(v[near], v[far], vs, combined)
        line, target = y[i], out[i].reshape(-1)
        for x in range(width):
            base = _I((_I(line[x]) * _I(512) - _Y_OFFSET) * _Y_GAIN + _HALF)
            red[x] = _byte(base + vs[x] * _V_TO_R)
            green[x] = _byte(base + vs[x] * _V_TO_G + us[x] * _U_TO_G)
            blue[x] = _byte(base + us[x] * _U_TO_B)
        for x in range(width):
            target[3 * x] = red[x]
            target[3 * x + 1] = green[x]
            target[3 * x + 2] = blue[x]
