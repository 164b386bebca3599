"""View synthesis on the CPU: the kernels of `reference.py` compiled by Numba, one thread.

Same functions, same arguments, same meaning as in `reference.py`, which documents them;
single precision here, double there. Every kernel releases the interpreter lock.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vista_sim.compiled import compiler
from vista_sim.sensors import warp as constants
from vista_sim.sensors.box_kernel import draw_boxes as draw_boxes
from vista_sim.sensors.warp import (
    EMPTY,
    GAP_CHANGE,
    GAP_SLOPE,
    INPAINTED,
    MAIN,
    MIN_DEPTH_RATIO,
    MOST_GAP,
    NO_CODE,
    OTHER,
    SAME_DEPTH,
    SAME_SURFACE,
    UNSEEN,
)

# No `nnan`: rays of pixels that must not be used are NaN and have to stay so.
# Python's error model checks every division for zero, which keeps loops from being vectorized.
_FAST = {"reassoc", "contract", "arcp", "nsz"}
_compiled = compiler(constants, fastmath=_FAST)
_inlined = compiler(constants, fastmath=_FAST, inline="always")
_F, _I, _N = np.float32, np.int32, np.uint64
_ALL_UNSEEN = _N(0xFFFFFFFFFFFFFFFF)  # eight UNSEEN labels
_STRETCH = 16  # px between holes of a row that are worked on together


@_inlined
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


@_inlined
def _slope(before: Any, here: Any, after: Any) -> Any:
    """Change of the code per pixel where the three lie on one surface, else 0."""
    change = _F(0.5) * (after - before)
    return change if abs(change) <= _F(0.5 * SAME_SURFACE) * here else _F(0.0)


@_compiled
def splat(
    rays: NDArray[np.float32],  # (2, h, w)
    codes: NDArray[np.uint16],  # (h, w)
    scale: np.float32,  # 1/m
    pose: NDArray[np.float32],  # (4, 4) T_view_frame
    lens: NDArray[np.float32],  # (10,) of the view, px
    ratio: np.float32,
    out: NDArray[np.float32],  # (H, W) 1/m
) -> None:
    """See `reference.splat`."""
    height, width = codes.shape
    u_end, v_end, half, zero = _F(out.shape[1]), _F(out.shape[0]), _F(0.5), _F(0.0)
    kind, fx, fy, cx, cy = lens[0], lens[1], lens[2], lens[3], lens[4]
    r00, r01, r02, t0 = fx * pose[0, 0], fx * pose[0, 1], fx * pose[0, 2], fx * pose[0, 3] * scale
    r10, r11, r12, t1 = fy * pose[1, 0], fy * pose[1, 1], fy * pose[1, 2], fy * pose[1, 3] * scale
    r20, r21, r22, t2 = pose[2, 0], pose[2, 1], pose[2, 2], pose[2, 3] * scale
    slope_scale, nearest = ratio * scale, _F(1.0) / MIN_DEPTH_RATIO
    out[:] = EMPTY
    flat = out.reshape(-1)
    # Passes over a row that the compiler vectorizes, then the scatter, which it cannot.
    row_u, row_v = np.empty(width, dtype=np.float32), np.empty(width, dtype=np.float32)
    inverse_z, slope_u = np.empty(width, dtype=np.float32), np.zeros(width, dtype=np.float32)
    found, target = np.empty(width, dtype=np.float32), np.empty(width, dtype=np.int32)
    for v in range(height):
        row, xs, ys = codes[v], rays[0, v], rays[1, v]
        above, below = codes[max(v - 1, 0)], codes[min(v + 1, height - 1)]
        for u in range(width):
            x, y, code = xs[u], ys[u], _F(row[u])
            inv = _F(1.0) / (r20 * x + r21 * y + r22 + t2 * code)
            inverse_z[u] = inv if code < _F(NO_CODE) else zero
            row_u[u] = (r00 * x + r01 * y + r02 + t0 * code) * inv + cx
            row_v[u] = (r10 * x + r11 * y + r12 + t1 * code) * inv + cy
        if kind > zero:
            for u in range(width):
                row_u[u], row_v[u] = _project(lens, (row_u[u] - cx) / fx, (row_v[u] - cy) / fy)
        farthest = _I(-1)
        for u in range(width):
            # Whole numbers kept as floats: they are exact, and what follows vectorizes.
            iu, iv, inv = np.floor(row_u[u] + half), np.floor(row_v[u] + half), inverse_z[u]
            inside = (iu >= zero) & (iu < u_end) & (iv >= zero) & (iv < v_end)
            inside = inside & (inv > zero) & (inv < nearest)
            k = np.int32(iv * u_end + iu if inside else _F(-1.0))
            target[u] = k
            farthest = max(farthest, k)
        if farthest < 0:  # nothing of this row arrives
            continue
        left, middle, right, inner = row[:-2], row[1:-1], row[2:], slope_u[1:-1]
        for u in range(width - 2):
            inner[u] = _slope(_F(left[u]), _F(middle[u]), _F(right[u]))
        slope_u[0] = _slope(_F(row[0]), _F(row[0]), _F(row[min(1, width - 1)]))
        slope_u[width - 1] = _slope(_F(row[max(width - 2, 0)]), _F(row[-1]), _F(row[-1]))
        for u in range(width):
            pu, pv, code = row_u[u], row_v[u], _F(row[u])
            slope_v = _slope(_F(above[u]), code, _F(below[u]))
            shift = (np.floor(pu + half) - pu) * slope_u[u] + (np.floor(pv + half) - pv) * slope_v
            found[u] = code * scale * inverse_z[u] + shift * slope_scale
        for u in range(width):
            k = target[u]
            if k >= 0 and found[u] > flat[k]:
                flat[k] = max(found[u], zero)


@_inlined
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


@_compiled
def close_cracks(depth: NDArray[np.float32], out: NDArray[np.float32]) -> None:
    """See `reference.close_cracks`: (H, W) both, 1/m."""
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


@_inlined
def _close(value: Any, across: Any, along: Any, down: Any, up: Any) -> Any:
    bridged = max(_bridge(value, across[0], across[1]), _bridge(value, along[0], along[1]))
    if value < _F(0.0):
        bridged = max(bridged, _bridge(value, down[0], down[1]))
        bridged = max(bridged, _bridge(value, up[0], up[1]))
    return bridged


@_compiled
def locate(
    rays: NDArray[np.float32],  # (2, H, W)
    depth: NDArray[np.float32],  # (H, W) 1/m
    pose: NDArray[np.float32],  # (4, 4) T_frame_view
    lens: NDArray[np.float32],  # (10,) of the frame, px
    size: tuple[int, int],  # (h, w)
    map_u: NDArray[np.float32],  # (H, W) px
    map_v: NDArray[np.float32],  # (H, W) px
    source: NDArray[np.uint8],  # (H, W)
) -> None:
    """See `reference.locate`."""
    height = depth.shape[0]
    edges = (_F(size[1] - 1), _F(size[0] - 1))
    for v in range(height):
        us, vs = map_u[v], map_v[v]
        _locate_row(rays[0, v], rays[1, v], depth[v], pose, lens, edges, us, vs, source[v])


@_compiled
def list_unseen(source: NDArray[np.uint8], holes: NDArray[np.int32]) -> int:
    """Fill `holes` with the flat positions of UNSEEN pixels, row by row; how many they are."""
    labels = source.reshape(-1)
    size = labels.shape[0]
    words = labels[: size // 8 * 8].view(np.uint64)
    count = _N(0)  # unsigned: a signed index may count from the end, which takes a check
    for j in range(len(words)):
        word = words[j]
        if word == 0:  # MAIN is 0: most are
            continue
        if word == _ALL_UNSEEN:
            for i in range(8):
                holes[count + _N(i)] = np.int32(8 * j + i)
            count += _N(8)
        else:
            for i in range(8):  # without a branch that cannot be foreseen
                holes[count] = np.int32(8 * j + i)
                count += _N((word >> _N(8 * i)) & _N(1))
    for k in range(size // 8 * 8, size):
        holes[count] = k
        count += _N(labels[k] == UNSEEN)
    return int(count)


@_compiled
def warp(
    source_rays: NDArray[np.float32],  # (2, h, w)
    codes: NDArray[np.uint16],  # (h, w)
    scale: np.float32,  # 1/m
    forth: NDArray[np.float32],  # (4, 4) T_view_frame
    lens: NDArray[np.float32],  # (10,) of the view, px
    ratio: np.float32,
    rays: NDArray[np.float32],  # (2, H, W)
    back: NDArray[np.float32],  # (4, 4) T_frame_view
    source_lens: NDArray[np.float32],  # (10,) of the frame, px
    depth: NDArray[np.float32],  # (H, W) 1/m
    scratch: NDArray[np.float32],  # (H, W)
    map_u: NDArray[np.float32],  # (H, W) px
    map_v: NDArray[np.float32],  # (H, W) px
    source: NDArray[np.uint8],  # (H, W)
    holes: NDArray[np.int32],  # (H * W,)
) -> int:
    """See `reference.warp`."""
    splat(source_rays, codes, scale, forth, lens, ratio, depth)
    close_cracks(depth, scratch)
    close_cracks(scratch, depth)
    locate(rays, depth, back, source_lens, codes.shape, map_u, map_v, source)
    return list_unseen(source, holes)


@_compiled
def complete(
    frame: NDArray[np.uint8],  # (h, w, 3)
    gain: NDArray[np.float32],  # (3,)
    source_rays: NDArray[np.float32],  # (2, h / 2, w / 2), rounded up
    codes: NDArray[np.uint16],  # (h / 2, w / 2), rounded up
    scale: np.float32,  # 1/m
    forth: NDArray[np.float32],  # (4, 4) T_view_frame
    lens: NDArray[np.float32],  # (10,) of the view at half its size, px
    ratio: np.float32,
    rays: NDArray[np.float32],  # (2, H, W)
    back: NDArray[np.float32],  # (4, 4) T_frame_view
    source_lens: NDArray[np.float32],  # (10,) of the frame, px
    coarse: NDArray[np.float32],  # (H / 2, W / 2), rounded up, 1/m
    scratch: NDArray[np.float32],  # as coarse
    image: NDArray[np.uint8],  # (H, W, 3)
    source: NDArray[np.uint8],  # (H, W)
    depth: NDArray[np.float32],  # (H, W) 1/m
    holes: NDArray[np.int32],  # (H * W,)
    count: int,
) -> int:
    """See `reference.complete`."""
    splat(source_rays, codes, scale, forth, lens, ratio, scratch)
    close_cracks(scratch, coarse)
    close_gaps(coarse)
    texels, image_width = frame.reshape(-1), depth.shape[1]
    height, width = frame.shape[0], frame.shape[1]
    u_edge, v_edge, zero = _F(width - 1), _F(height - 1), _F(0.0)
    edges = (u_edge, v_edge)
    colours, labels, depths = image.reshape(-1), source.reshape(-1), depth.reshape(-1)
    row_w, row_u, row_v = np.empty((3, image_width + 2), dtype=np.float32)
    found = np.empty(image_width, dtype=np.uint8)
    left = i = 0
    while i < count:
        # Holes come in stretches of a row: what the compiler vectorizes is done for all of one.
        v = holes[i] // image_width
        start = v * image_width
        first = last = holes[i] - start
        end = i + 1
        while end < count and holes[end] - start <= min(last + _STRETCH, image_width - 1):
            last = holes[end] - start
            end += 1
        _double_row(coarse, v, first, last, row_w)
        part = slice(first, last + 1)
        _locate_row(
            rays[0, v, part],
            rays[1, v, part],
            row_w[part],
            back,
            source_lens,
            edges,
            row_u[part],
            row_v[part],
            found[part],
        )
        for k in holes[i:end]:
            u = k - start
            if found[u] != MAIN:
                holes[left] = k
                left += 1
                continue
            pu, pv = min(max(row_u[u], zero), u_edge), min(max(row_v[u], zero), v_edge)
            iu, iv = min(int(pu), width - 2), min(int(pv), height - 2)
            fu, fv = pu - _F(iu), pv - _F(iv)
            above, to = _N(3) * _N(iv * width + iu), _N(3) * _N(k)
            below = above + _N(3) * _N(width)
            for c in range(3):
                p00, p01 = _F(texels[above]), _F(texels[above + _N(3)])
                p10, p11 = _F(texels[below]), _F(texels[below + _N(3)])
                top = p00 + fu * (p01 - p00)
                mean = top + fv * (p10 + fu * (p11 - p10) - top)
                colours[to] = np.uint8(min(mean * gain[c] + _F(0.5), _F(255.0)))
                above, below, to = above + _N(1), below + _N(1), to + _N(1)
            labels[k] = OTHER
            depths[k] = row_w[u]
        i = end
    return left


@_compiled
def close_gaps(depth: NDArray[np.float32]) -> None:
    """See `reference.close_gaps`; here in place, of (H, W), 1/m."""
    height, width = depth.shape
    for v in range(2, height):
        row, above = depth[v], depth[v - 1]
        for u in range(width):
            if row[u] >= _F(0.0) and above[u] < _F(0.0):
                _close_gap(depth, v, u)


@_compiled
def _close_gap(depth: Any, v: Any, u: Any) -> None:
    """Close the gap of column u that ends above row v."""
    first = v - 2
    while first >= max(v - 2 * MOST_GAP, 0) and depth[first, u] < _F(0.0):
        first -= 1
    if first < max(v - 2 * MOST_GAP, 0):
        return
    gap, a, b = v - first, depth[first, u], depth[v, u]
    if abs(a - b) > min(_F(GAP_SLOPE) * _F(gap), _F(GAP_CHANGE)) * max(a, b):
        return
    for k in range(max(1, gap - MOST_GAP), min(gap - 1, MOST_GAP) + 1):
        depth[first + k, u] = a + (b - a) * (_F(k) / _F(gap))


@_inlined
def _double_row(coarse: Any, v: Any, first: Any, last: Any, out: Any) -> None:
    """Columns first to last of row v of `reference.double`; one or two beside them too."""
    width = coarse.shape[1]
    begin, end = first // 2, last // 2 + 1
    above, below = coarse[v // 2], coarse[min(v // 2 + v % 2, coarse.shape[0] - 1)]
    inner = min(end, width - 1)
    n = max(inner - begin, 0)
    a, a2, b, b2 = above[begin:], above[begin + 1 :], below[begin:], below[begin + 1 :]
    target = out[2 * begin :]
    if v % 2:
        for j in range(n):
            target[2 * j] = _join(a[j], b[j])
            target[2 * j + 1] = _join(_join(a[j], a2[j]), _join(b[j], b2[j]))
    else:
        for j in range(n):
            target[2 * j] = a[j]
            target[2 * j + 1] = _join(a[j], a2[j])
    if end == width:  # beyond the last column lies what lies in it
        edge = _join(above[width - 1], below[width - 1]) if v % 2 else above[width - 1]
        out[2 * width - 2] = out[2 * width - 1] = edge


@_inlined
def _locate_row(
    xs: Any, ys: Any, ws: Any, pose: Any, lens: Any, edges: Any, us: Any, vs: Any, labels: Any
) -> None:
    """Part of one row of `locate`."""
    half, zero = _F(0.5), _F(0.0)
    u_limit, v_limit = edges[0] + half, edges[1] + half
    kind, fx, fy, cx, cy = lens[0], lens[1], lens[2], lens[3], lens[4]
    r00, r01, r02, t0 = fx * pose[0, 0], fx * pose[0, 1], fx * pose[0, 2], fx * pose[0, 3]
    r10, r11, r12, t1 = fy * pose[1, 0], fy * pose[1, 1], fy * pose[1, 2], fy * pose[1, 3]
    r20, r21, r22, t2 = pose[2, 0], pose[2, 1], pose[2, 2], pose[2, 3]
    n = len(xs)
    for u in range(n):
        x, y, w = xs[u], ys[u], ws[u]
        inv = _F(1.0) / max(r20 * x + r21 * y + r22 + t2 * w, MIN_DEPTH_RATIO)
        us[u] = (r00 * x + r01 * y + r02 + t0 * w) * inv + cx
        vs[u] = (r10 * x + r11 * y + r12 + t1 * w) * inv + cy
    if kind > zero:
        for u in range(n):
            us[u], vs[u] = _project(lens, (us[u] - cx) / fx, (vs[u] - cy) / fy)
    for u in range(n):
        pu, pv, w = us[u], vs[u], ws[u]
        z = r20 * xs[u] + r21 * ys[u] + r22 + t2 * w
        inside = (pu >= -half) & (pu <= u_limit) & (pv >= -half) & (pv <= v_limit)
        here = inside & (w >= zero) & (z > MIN_DEPTH_RATIO)
        labels[u] = np.uint8(MAIN) if here else np.uint8(UNSEEN)


@_inlined
def _join(a: Any, b: Any) -> Any:
    low, high = min(a, b), max(a, b)
    one_surface = high - low <= _F(SAME_SURFACE) * high + _F(SAME_DEPTH)
    joined = _F(0.5) * (a + b) if one_surface else low
    return high if low < _F(0.0) else joined


@_compiled
def inpaint(
    image: NDArray[np.uint8],  # (H, W, 3)
    source: NDArray[np.uint8],  # (H, W)
    depth: NDArray[np.float32],  # (H, W) 1/m
    holes: NDArray[np.int32],  # (H * W,)
    count: int,
) -> None:
    """See `reference.inpaint`."""
    height, width = source.shape
    row_seen = np.ones(height, dtype=np.bool_)
    i = 0
    while i < count:
        v = holes[i] // width
        start = holes[i] - v * width
        u = start
        while i < count and holes[i] == v * width + u and u < width:
            u += 1
            i += 1
        left, right = start - 1, u
        if left < 0 and right >= width:
            row_seen[v] = False
            continue
        from_left = right >= width or (left >= 0 and depth[v, left] <= depth[v, right])
        edge, away = (left, -1) if from_left else (right, 1)
        # How far the seen stretch reaches that is mirrored into the hole.
        reach, needed = 0, u - start
        q = edge + away
        while reach < needed and 0 <= q < width and source[v, q] < INPAINTED:
            reach += 1
            q += away
        period = max(2 * reach, 1)
        for p in range(start, u):
            distance = abs(p - edge) % period
            distance = min(distance, period - distance) if reach > 0 else 0
            q = edge + away * distance
            for c in range(3):
                image[v, p, c] = image[v, q, c]
            depth[v, p] = depth[v, edge]
        for p in range(start, u):
            source[v, p] = INPAINTED
    _fill_rows(image, source, depth, row_seen)


@_compiled
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
