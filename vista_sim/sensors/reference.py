"""View synthesis in plain NumPy: slow, short, and what every other backend is compared with.

Conventions of the arguments, here and in the other backends:
    rays: float (2, h, w), normalized viewing rays (`warp.normalized_rays`).
    codes, scale: uint16 (h, w); inverse depth is codes * scale, 1/m.
    pose: 4x4, from the camera the rays belong to into the other camera.
    lens: the other camera's `warp.lens_parameters`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vista_sim.sensors.box_reference import draw_boxes as draw_boxes
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

Array = NDArray[np.floating]


def _transform(rays: Array, w: Array, pose: Array) -> tuple[Array, Array, Array]:
    """Points ray / w in the other camera, times w: stays finite for w = 0 (infinitely far)."""
    x, y = rays
    moved = [pose[i, 0] * x + pose[i, 1] * y + pose[i, 2] + pose[i, 3] * w for i in range(3)]
    return moved[0], moved[1], moved[2]


def _project(lens: Array, x: Array, y: Array) -> tuple[Array, Array]:
    kind, fx, fy, cx, cy, k1, k2, p1, p2, k3 = (float(v) for v in lens)
    if kind == 1.0:
        r2 = x * x + y * y
        radial = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
        x, y = (
            x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x),
            y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y,
        )
    elif kind == 2.0:
        r = np.hypot(x, y)
        t = np.arctan(r)
        bent = t * (1 + t**2 * (k1 + t**2 * (k2 + t**2 * (p1 + t**2 * p2))))
        ratio = np.where(r > 1e-9, bent / np.maximum(r, 1e-9), 1.0)
        x, y = x * ratio, y * ratio
    return fx * x + cx, fy * y + cy


def splat(
    rays: Array,
    codes: NDArray[np.uint16],
    scale: float,
    pose: Array,
    lens: Array,
    ratio: float,
    out: Array,
) -> None:
    """Send every pixel of a frame to the new camera; the nearest wins.

    Pixels of NO_CODE are left out. A pixel lands beside the centre of the one it falls on; the
    inverse depth found at that centre follows from its slope in the frame, to first order.

    Args:
        ratio: focal length of the frame by that of the view.
        out: (H, W), receives the inverse depth in the new camera, EMPTY where nothing arrives.
    """
    out[:] = EMPTY
    code = codes.astype(np.float64)
    x, y, z = _transform(rays.astype(np.float64), code * scale, pose)
    with np.errstate(invalid="ignore", divide="ignore"):
        front = (z > MIN_DEPTH_RATIO) & (codes < NO_CODE)
        u, v = _project(lens, x / z, y / z)
        height, width = out.shape
        inside = front & (u >= -0.5) & (u < width - 0.5) & (v >= -0.5) & (v < height - 0.5)
    slope_v, slope_u = (_slope(code, axis)[inside] for axis in (0, 1))
    u, v, z = u[inside], v[inside], z[inside]
    columns, rows = np.floor(u + 0.5).astype(int), np.floor(v + 0.5).astype(int)
    shift = ((columns - u) * slope_u + (rows - v) * slope_v) * ratio * z
    found = np.maximum((code[inside] + shift) * scale, 0.0) / z
    np.maximum.at(out, (rows, columns), found.astype(out.dtype))


def _slope(code: Array, axis: int) -> Array:
    """Change of the code per pixel where three neighbours lie on one surface, else 0."""
    padded = np.pad(code, [(1, 1) if i == axis else (0, 0) for i in (0, 1)], mode="edge")
    after, before = (np.take(padded, range(k, k + code.shape[axis]), axis) for k in (2, 0))
    change = 0.5 * (after - before)
    return np.where(np.abs(change) <= 0.5 * SAME_SURFACE * code, change, 0.0)


def close_cracks(depth: Array, out: Array) -> None:
    """Close one-pixel cracks of a stretched surface.

    A pixel behind two opposite neighbours (in its row or column) of one surface joins them; an
    empty one between any two (diagonals too) joins them, or the farther one. Of several
    answers the nearest wins. Beyond the border lies what lies inside of it.
    """
    height, width = depth.shape
    padded = np.pad(depth, 1, mode="reflect")

    def neighbour(dv: int, du: int) -> Array:
        return padded[1 + dv : 1 + dv + height, 1 + du : 1 + du + width]

    def bridge(dv: int, du: int) -> Array:
        a, b = neighbour(dv, du), neighbour(-dv, -du)
        low, high = np.minimum(a, b), np.maximum(a, b)
        one_surface = (high - low <= SAME_SURFACE * high + SAME_DEPTH) & (low >= 0)
        behind = low - depth > SAME_SURFACE * low + SAME_DEPTH
        between = np.where(one_surface, 0.5 * (a + b), low)
        return np.where(depth < 0, between, np.where(one_surface & behind, between, depth))

    out[:] = np.maximum(bridge(0, 1), bridge(1, 0))
    diagonal = np.maximum(bridge(1, 1), bridge(1, -1))
    out[:] = np.where(depth < 0, np.maximum(out, diagonal), out)


def close_gaps(depth: Array) -> Array:
    """Join the rows of one surface that the view's nearness has torn apart.

    An empty pixel between two of its column, each at most MOST_GAP rows away, lies on the line
    between them, if they differ by no more than ground may over so many rows.
    """
    height = depth.shape[0]
    a, b = np.full_like(depth, EMPTY), np.full_like(depth, EMPTY)
    up, down = np.zeros_like(depth), np.zeros_like(depth)
    for d in range(1, min(MOST_GAP, height - 1) + 1):
        new = (a[d:] < 0) & (depth[:-d] >= 0)
        a[d:], up[d:] = np.where(new, depth[:-d], a[d:]), np.where(new, d, up[d:])
        new = (b[:-d] < 0) & (depth[d:] >= 0)
        b[:-d], down[:-d] = np.where(new, depth[d:], b[:-d]), np.where(new, d, down[:-d])
    gap = np.maximum(up + down, 1)
    torn = (depth < 0) & (a >= 0) & (b >= 0)
    torn &= np.abs(a - b) <= np.minimum(GAP_SLOPE * gap, GAP_CHANGE) * np.maximum(a, b)
    return np.where(torn, a + (b - a) * (up / gap), depth)


def double(depth: Array, out: Array) -> None:
    """Bring inverse depth to twice the resolution: out[2 i, 2 j] is depth[i, j].

    Between two of one surface lies their mean; between others the farther one; beside
    nothing, the one there is.
    """
    rows = np.empty((depth.shape[0], out.shape[1]), dtype=out.dtype)
    rows[:, ::2] = depth
    after = (
        depth[:, 1:] if out.shape[1] % 2 else np.pad(depth, ((0, 0), (0, 1)), mode="edge")[:, 1:]
    )
    rows[:, 1::2] = _join(depth[:, : after.shape[1]], after)
    out[::2] = rows
    below = rows[1:] if out.shape[0] % 2 else np.pad(rows, ((0, 1), (0, 0)), mode="edge")[1:]
    out[1::2] = _join(rows[: below.shape[0]], below)


def _join(a: Array, b: Array) -> Array:
    low, high = np.minimum(a, b), np.maximum(a, b)
    one_surface = high - low <= SAME_SURFACE * high + SAME_DEPTH
    return np.where(low < 0, high, np.where(one_surface, 0.5 * (a + b), low))


def locate(
    rays: Array,
    depth: Array,
    pose: Array,
    lens: Array,
    size: tuple[int, int],
    map_u: Array,
    map_v: Array,
    source: NDArray[np.uint8],
) -> None:
    """Find where in a frame every pixel of the view is.

    Args:
        rays, depth: of the view, with EMPTY where the frame shows nothing.
        pose, lens: from the view to the frame.
        size: (height, width) of the frame.
        map_u, map_v: (H, W), receive the pixel coordinates in the frame.
        source: (H, W), receives MAIN where the frame saw the pixel, else UNSEEN.
    """
    x, y, z = _transform(rays.astype(np.float64), depth.astype(np.float64), pose)
    near = np.maximum(z, MIN_DEPTH_RATIO)
    map_u[:], map_v[:] = _project(lens, x / near, y / near)
    height, width = size
    with np.errstate(invalid="ignore"):
        inside = (map_u >= -0.5) & (map_u <= width - 0.5)
        inside &= (map_v >= -0.5) & (map_v <= height - 0.5)
        source[:] = np.where(inside & (depth >= 0) & (z > MIN_DEPTH_RATIO), MAIN, UNSEEN)


def warp(
    source_rays: Array,
    codes: NDArray[np.uint16],
    scale: float,
    forth: Array,
    lens: Array,
    ratio: float,
    rays: Array,
    back: Array,
    source_lens: Array,
    depth: Array,
    scratch: Array,
    map_u: Array,
    map_v: Array,
    source: NDArray[np.uint8],
    holes: NDArray[np.int32],
) -> int:
    """Find every pixel of the view in the main frame.

    Args:
        source_rays, codes, scale, source_lens: of the frame.
        rays, lens: of the view.
        forth, back: poses from the frame to the view, and from the view to the frame.
        ratio: focal length of the frame by that of the view.
        depth: (H, W), receives the inverse depth of the view, EMPTY where it is not known.
        scratch: (H, W).
        map_u, map_v, source: see `locate`.
        holes: (H * W,), receives the flat positions of UNSEEN pixels, in order.

    Returns:
        How many pixels are UNSEEN.
    """
    splat(source_rays, codes, scale, forth, lens, ratio, depth)
    # Twice: where cracks cross, the first time leaves a pixel without neighbours.
    close_cracks(depth, scratch)
    close_cracks(scratch, depth)
    locate(rays, depth, back, source_lens, codes.shape, map_u, map_v, source)
    unseen = np.flatnonzero(source == UNSEEN)
    holes[: unseen.size] = unseen
    return int(unseen.size)


def complete(
    frame: NDArray[np.uint8],
    gain: Array,
    source_rays: Array,
    codes: NDArray[np.uint16],
    scale: float,
    forth: Array,
    lens: Array,
    ratio: float,
    rays: Array,
    back: Array,
    source_lens: Array,
    coarse: Array,
    scratch: Array,
    image: NDArray[np.uint8],
    source: NDArray[np.uint8],
    depth: Array,
    holes: NDArray[np.int32],
    count: int,
) -> int:
    """Take from one more frame what the view still misses.

    Args:
        frame, gain: uint8 (h, w, 3), read bilinearly, and what its colours are multiplied by.
        source_rays, codes, scale, lens: of every second row and column of the frame, and of
            the view (`warp.halved`).
        forth, back, ratio, rays, source_lens: as for `warp`, at full resolution.
        coarse, scratch: half of (H, W), rounded up.
        image, source, depth: of the view, changed in place.
        holes, count: flat positions of what is UNSEEN; those that remain are moved to the front.

    Returns:
        How many remain.
    """
    splat(source_rays, codes, scale, forth, lens, ratio, scratch)
    close_cracks(scratch, coarse)
    found, labels = np.empty_like(depth), np.empty_like(source)
    map_u, map_v = np.empty_like(depth), np.empty_like(depth)
    double(close_gaps(coarse), found)
    height, width = frame.shape[:2]
    locate(rays, found, back, source_lens, (height, width), map_u, map_v, labels)
    new = (labels == MAIN) & (source == UNSEEN)
    u, v = np.clip(map_u[new], 0, width - 1), np.clip(map_v[new], 0, height - 1)
    iu, iv = np.minimum(u.astype(int), width - 2), np.minimum(v.astype(int), height - 2)
    fu, fv = (u - iu)[:, None], (v - iv)[:, None]
    top = (1 - fu) * frame[iv, iu] + fu * frame[iv, iu + 1]
    bottom = (1 - fu) * frame[iv + 1, iu] + fu * frame[iv + 1, iu + 1]
    colours = ((1 - fv) * top + fv * bottom) * np.asarray(gain, dtype=np.float64)
    image[new] = np.minimum(np.floor(colours + 0.5), 255).astype(np.uint8)
    source[new], depth[new] = OTHER, found[new]
    unseen = np.flatnonzero(source == UNSEEN)
    holes[: unseen.size] = unseen
    return int(unseen.size)


def inpaint(
    image: NDArray[np.uint8],
    source: NDArray[np.uint8],
    depth: Array,
    holes: NDArray[np.int32],
    count: int,
) -> None:
    """Fill what no frame saw: each hole of a row mirrors the seen stretch on its far side.

    Changes `image`, `source` (INPAINTED) and `depth` (that of the far side) in place. Rows
    in which nothing was seen repeat the nearest row that has something. The first `count` of
    `holes` are the flat positions of what is UNSEEN.
    """
    seen_rows = np.flatnonzero((source != UNSEEN).any(axis=1))
    for row in seen_rows:
        seen = source[row] != UNSEEN
        edges = np.flatnonzero(np.diff(np.concatenate([[True], seen, [True]]).astype(int)))
        for start, end in edges.reshape(-1, 2):
            left, right = start - 1, end
            from_left = right >= seen.size or (left >= 0 and depth[row, left] <= depth[row, right])
            edge, away = (left, -1) if from_left else (right, 1)
            stretch = seen[edge::away]
            reach = (np.argmin(stretch) if not stretch.all() else stretch.size) - 1
            distance = np.abs(np.arange(start, end) - edge)
            if reach > 0:
                distance = np.minimum(distance % (2 * reach), 2 * reach - distance % (2 * reach))
            else:
                distance = np.zeros_like(distance)
            image[row, start:end] = image[row, edge + away * distance]
            depth[row, start:end] = depth[row, edge]
            source[row, start:end] = INPAINTED
    for row in np.setdiff1d(np.arange(source.shape[0]), seen_rows):
        if seen_rows.size:
            distance = np.abs(seen_rows - row)
            nearest = seen_rows[np.argmin(distance)]
            image[row], depth[row] = image[nearest], depth[nearest]
        else:
            image[row], depth[row] = 0, 0.0
        source[row] = INPAINTED
