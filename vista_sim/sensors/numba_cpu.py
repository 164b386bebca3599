"""View synthesis on the CPU: the kernels of `reference.py` compiled by Numba, one thread.

Same functions, same arguments, same meaning as in `reference.py`, which documents them;
single precision here, double there. Every kernel releases the interpreter lock.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from vista_sim.sensors.warp import (
    EMPTY,
    INPAINTED,
    MIN_DEPTH_RATIO,
    SAME_DEPTH,
    SAME_SURFACE,
    UNSEEN,
)

# No `nnan`: rays of pixels that must not be used are NaN and have to stay so.
# Python's error model checks every division for zero, which keeps loops from being vectorized.
_FAST = {"reassoc", "contract", "arcp", "nsz"}
_F = np.float32


@njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy", inline="always")
def _project(lens: Any, x: Any, y: Any) -> Any:
    """Pixel of the normalized image point (x, y); `lens` as made by `warp.lens_parameters`."""
    model = lens[0]
    if model == 1.0:
        r2 = x * x + y * y
        radial = _F(1.0) + r2 * (lens[5] + r2 * (lens[6] + r2 * lens[9]))
        two = _F(2.0)
        xy = two * x * y
        xd = x * radial + lens[7] * xy + lens[8] * (r2 + two * x * x)
        yd = y * radial + lens[7] * (r2 + two * y * y) + lens[8] * xy
        x, y = xd, yd
    elif model == 2.0:
        r = math.sqrt(x * x + y * y)
        theta = math.atan(r)
        t2 = theta * theta
        bent = theta * (_F(1.0) + t2 * (lens[5] + t2 * (lens[6] + t2 * (lens[7] + t2 * lens[8]))))
        scale = bent / r if r > _F(1e-9) else _F(1.0)
        x, y = x * scale, y * scale
    return lens[1] * x + lens[3], lens[2] * y + lens[4]


@njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy", inline="always")
def _slope(before: Any, here: Any, after: Any) -> Any:
    """Change of the code per pixel where the three lie on one surface, else 0."""
    change = _F(0.5) * (after - before)
    return change if abs(change) <= _F(0.5 * SAME_SURFACE) * here else _F(0.0)


@njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy")
def splat(
    rays: NDArray[np.float32],
    codes: NDArray[np.uint16],
    scale: np.float32,
    pose: NDArray[np.float32],
    lens: NDArray[np.float32],
    ratio: np.float32,
    out: NDArray[np.float32],
) -> None:
    """See `reference.splat`."""
    height, width = codes.shape
    out_height, out_width = out.shape
    u_end, v_end, half = _F(out_width), _F(out_height), _F(0.5)
    kind, fx, fy, cx, cy = lens[0], lens[1], lens[2], lens[3], lens[4]
    r00, r01, r02, t0 = pose[0, 0], pose[0, 1], pose[0, 2], pose[0, 3]
    r10, r11, r12, t1 = pose[1, 0], pose[1, 1], pose[1, 2], pose[1, 3]
    r20, r21, r22, t2 = pose[2, 0], pose[2, 1], pose[2, 2], pose[2, 3]
    out[:] = EMPTY
    flat = out.reshape(-1)
    # Passes over a row that the compiler vectorizes, then the scatter, which it cannot.
    row_u, row_v = np.empty(width, dtype=np.float32), np.empty(width, dtype=np.float32)
    slope_u, slope_v = np.zeros(width, dtype=np.float32), np.empty(width, dtype=np.float32)
    found, target = np.empty(width, dtype=np.float32), np.empty(width, dtype=np.int32)
    for v in range(height):
        row, xs, ys = codes[v], rays[0, v], rays[1, v]
        above, below = codes[max(v - 1, 0)], codes[min(v + 1, height - 1)]
        left, middle, right, inner = row[:-2], row[1:-1], row[2:], slope_u[1:-1]
        for u in range(width - 2):
            inner[u] = _slope(_F(left[u]), _F(middle[u]), _F(right[u]))
        for u in range(width):
            slope_v[u] = _slope(_F(above[u]), _F(row[u]), _F(below[u]))
        for u in range(width):
            x, y, w = xs[u], ys[u], _F(row[u]) * scale
            inv = _F(1.0) / (r20 * x + r21 * y + r22 + t2 * w)
            row_u[u] = fx * ((r00 * x + r01 * y + r02 + t0 * w) * inv) + cx
            row_v[u] = fy * ((r10 * x + r11 * y + r12 + t1 * w) * inv) + cy
        if kind > _F(0.0):
            for u in range(width):
                row_u[u], row_v[u] = _project(lens, (row_u[u] - cx) / fx, (row_v[u] - cy) / fy)
        for u in range(width):
            pu, pv, code = row_u[u], row_v[u], _F(row[u])
            z = r20 * xs[u] + r21 * ys[u] + r22 + t2 * (code * scale)
            # Whole numbers kept as floats: they are exact, and what follows vectorizes.
            iu, iv = np.floor(pu + half), np.floor(pv + half)
            shift = ((iu - pu) * slope_u[u] + (iv - pv) * slope_v[u]) * ratio * z
            found[u] = (code + shift) * scale / z
            inside = (iu >= _F(0.0)) & (iu < u_end) & (iv >= _F(0.0)) & (iv < v_end)
            k = iv * u_end + iu if inside & (z > MIN_DEPTH_RATIO) else _F(-1.0)
            target[u] = np.int32(k)
        for u in range(width):
            k = target[u]
            if k >= 0 and found[u] > flat[k]:
                flat[k] = max(found[u], _F(0.0))


@njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy", inline="always")
def _bridge(value: Any, a: Any, b: Any) -> Any:
    """See `bridge` in `reference.close_cracks`."""
    low, high = min(a, b), max(a, b)
    one_surface = high - low <= _F(SAME_SURFACE) * high + _F(SAME_DEPTH)
    if value < _F(0.0):
        if low < _F(0.0):
            return value
        return _F(0.5) * (a + b) if one_surface else low
    if one_surface and low - value > _F(SAME_SURFACE) * low + _F(SAME_DEPTH):
        return _F(0.5) * (a + b)
    return value


@njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy")
def close_cracks(depth: NDArray[np.float32], out: NDArray[np.float32]) -> None:
    """See `reference.close_cracks`."""
    height, width = depth.shape
    for v in range(height):
        # Beyond the border lies what lies inside of it.
        above = depth[v - 1] if v > 0 else depth[1]
        below = depth[v + 1] if v < height - 1 else depth[height - 2]
        row, target = depth[v], out[v]
        for u in range(width - 2):
            target[u + 1] = _close(
                row[u + 1],
                (row[u], row[u + 2]),
                (above[u + 1], below[u + 1]),
                (above[u], below[u + 2]),
                (above[u + 2], below[u]),
            )
        for u, i in ((0, 1), (width - 1, width - 2)):
            target[u] = _close(
                row[u],
                (row[i], row[i]),
                (above[u], below[u]),
                (above[i], below[i]),
                (above[i], below[i]),
            )


@njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy", inline="always")
def _close(value: Any, across: Any, along: Any, down: Any, up: Any) -> Any:
    bridged = max(_bridge(value, across[0], across[1]), _bridge(value, along[0], along[1]))
    if value < _F(0.0):
        bridged = max(bridged, _bridge(value, down[0], down[1]))
        bridged = max(bridged, _bridge(value, up[0], up[1]))
    return bridged


@njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy")
def double(depth: NDArray[np.float32], out: NDArray[np.float32]) -> None:
    """See `reference.double`."""
    height, width = out.shape
    pairs = width // 2
    for v in range(0, height, 2):
        row, target = depth[v // 2], out[v]
        last = row[-1]
        for j in range(pairs - 1):
            target[2 * j] = row[j]
            target[2 * j + 1] = _join(row[j], row[j + 1])
        target[2 * pairs - 2] = row[pairs - 1]
        target[2 * pairs - 1] = _join(row[pairs - 1], last)
        target[width - 1] = last
    for v in range(1, height, 2):
        above, target = out[v - 1], out[v]
        below = out[v + 1] if v + 1 < height else above
        for u in range(width):
            target[u] = _join(above[u], below[u])


@njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy", inline="always")
def _join(a: Any, b: Any) -> Any:
    low, high = min(a, b), max(a, b)
    one_surface = high - low <= _F(SAME_SURFACE) * high + _F(SAME_DEPTH)
    joined = _F(0.5) * (a + b) if one_surface else low
    return high if low < _F(0.0) else joined


@njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy")
def locate(
    rays: NDArray[np.float32],
    depth: NDArray[np.float32],
    pose: NDArray[np.float32],
    lens: NDArray[np.float32],
    size: tuple[int, int],
    map_u: NDArray[np.float32],
    map_v: NDArray[np.float32],
    seen: NDArray[np.bool_],
) -> int:
    """See `reference.locate`."""
    height, width = depth.shape
    half = _F(0.5)
    u_limit, v_limit = _F(size[1] - 0.5), _F(size[0] - 0.5)
    r00, r01, r02, t0 = pose[0, 0], pose[0, 1], pose[0, 2], pose[0, 3]
    r10, r11, r12, t1 = pose[1, 0], pose[1, 1], pose[1, 2], pose[1, 3]
    r20, r21, r22, t2 = pose[2, 0], pose[2, 1], pose[2, 2], pose[2, 3]
    kind, fx, fy, cx, cy = lens[0], lens[1], lens[2], lens[3], lens[4]
    count = 0
    for v in range(height):
        for u in range(width):
            x, y, w = rays[0, v, u], rays[1, v, u], depth[v, u]
            z = r20 * x + r21 * y + r22 + t2 * w
            inv = _F(1.0) / max(z, MIN_DEPTH_RATIO)
            pu = (r00 * x + r01 * y + r02 + t0 * w) * inv
            pv = (r10 * x + r11 * y + r12 + t1 * w) * inv
            map_u[v, u] = fx * pu + cx
            map_v[v, u] = fy * pv + cy
        if kind > _F(0.0):
            for u in range(width):
                pu, pv = (map_u[v, u] - cx) / fx, (map_v[v, u] - cy) / fy
                map_u[v, u], map_v[v, u] = _project(lens, pu, pv)
        for u in range(width):
            pu, pv, w = map_u[v, u], map_v[v, u], depth[v, u]
            z = r20 * rays[0, v, u] + r21 * rays[1, v, u] + r22 + t2 * w
            inside = (pu >= -half) & (pu <= u_limit) & (pv >= -half) & (pv <= v_limit)
            here = inside & (w >= _F(0.0)) & (z > MIN_DEPTH_RATIO)
            seen[v, u] = here
            count += here
    return count


@njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy")
def patch(
    frame: NDArray[np.uint8],
    map_u: NDArray[np.float32],
    map_v: NDArray[np.float32],
    seen: NDArray[np.bool_],
    depth: NDArray[np.float32],
    label: int,
    image: NDArray[np.uint8],
    source: NDArray[np.uint8],
    inverse_depth: NDArray[np.float32],
) -> int:
    """See `reference.patch`."""
    height, width = source.shape
    frame_height, frame_width = frame.shape[0], frame.shape[1]
    u_edge, v_edge = _F(frame_width - 1), _F(frame_height - 1)
    unseen = 0
    for v in range(height):
        for u in range(width):
            if source[v, u] != UNSEEN:
                continue
            if not seen[v, u]:
                unseen += 1
                continue
            pu = min(max(map_u[v, u], _F(0.0)), u_edge)
            pv = min(max(map_v[v, u], _F(0.0)), v_edge)
            iu, iv = min(int(pu), frame_width - 2), min(int(pv), frame_height - 2)
            fu, fv = pu - _F(iu), pv - _F(iv)
            for c in range(3):
                p00, p01 = _F(frame[iv, iu, c]), _F(frame[iv, iu + 1, c])
                p10, p11 = _F(frame[iv + 1, iu, c]), _F(frame[iv + 1, iu + 1, c])
                top = p00 + fu * (p01 - p00)
                mean = top + fv * (p10 + fu * (p11 - p10) - top)
                image[v, u, c] = np.uint8(mean + _F(0.5))
            source[v, u] = label
            inverse_depth[v, u] = depth[v, u]
    return unseen


@njit(cache=True, nogil=True)
def inpaint(
    image: NDArray[np.uint8], source: NDArray[np.uint8], depth: NDArray[np.float32]
) -> None:
    """See `reference.inpaint`."""
    height, width = source.shape
    row_seen = np.zeros(height, dtype=np.bool_)
    for v in range(height):
        u = 0
        while u < width:
            if source[v, u] != UNSEEN:
                row_seen[v] = True
                u += 1
                continue
            start = u
            while u < width and source[v, u] == UNSEEN:
                u += 1
            left, right = start - 1, u
            if left < 0 and right >= width:
                continue
            from_left = right >= width or (left >= 0 and depth[v, left] <= depth[v, right])
            # How far the seen stretch reaches that is mirrored into the hole.
            reach = 0
            if from_left:
                while left - reach - 1 >= 0 and source[v, left - reach - 1] < INPAINTED:
                    reach += 1
            else:
                while right + reach + 1 < width and source[v, right + reach + 1] < INPAINTED:
                    reach += 1
            period = max(2 * reach, 1)
            for p in range(start, u):
                distance = (p - left if from_left else right - p) % period
                distance = min(distance, period - distance) if reach > 0 else 0
                q = left - distance if from_left else right + distance
                for c in range(3):
                    image[v, p, c] = image[v, q, c]
                depth[v, p] = depth[v, left if from_left else right]
                source[v, p] = INPAINTED
    _fill_rows(image, source, depth, row_seen)


@njit(cache=True, nogil=True)
def _fill_rows(
    image: NDArray[np.uint8],
    source: NDArray[np.uint8],
    depth: NDArray[np.float32],
    row_seen: NDArray[np.bool_],
) -> None:
    """Rows in which nothing was seen repeat the nearest row that has something."""
    height, width = source.shape
    for v in range(height):
        if row_seen[v]:
            continue
        nearest = -1
        for d in range(1, height):
            if v - d >= 0 and row_seen[v - d]:
                nearest = v - d
                break
            if v + d < height and row_seen[v + d]:
                nearest = v + d
                break
        for u in range(width):
            if nearest >= 0:
                for c in range(3):
                    image[v, u, c] = image[nearest, u, c]
                depth[v, u] = depth[nearest, u]
            else:
                for c in range(3):
                    image[v, u, c] = 0
                depth[v, u] = 0.0
            source[v, u] = INPAINTED
