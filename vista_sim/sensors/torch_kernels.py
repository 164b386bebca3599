"""The steps of view synthesis as PyTorch operations on a whole batch of views at once.

Same steps, same meaning as in `reference.py`; single precision here, double there. Nothing here
waits for the device, looks at a value of a tensor or runs over views one by one, so that it runs
on a GPU as it does on a CPU. Shapes: n views of (H, W) from frames of (h, w).

Arguments of several functions:
    rays: float32 (n or 1, 2, h, w), normalized viewing rays, NaN where there is none.
    pose: float32 (n, 4, 4), from the camera the rays belong to into the other camera.
    lens: float32 (n or 1, 10), `warp.lens_parameters` of the other camera.
    kinds: which kinds of lens (0 ideal, 1 Brown-Conrady, 2 fisheye) `lens` may hold.
    depth: float32 (n, H, W), inverse depth, EMPTY where there is none.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from vista_sim.sensors import warp

EMPTY = float(warp.EMPTY)
MIN_DEPTH_RATIO = float(warp.MIN_DEPTH_RATIO)
NO_CODE = warp.NO_CODE
#: Resident codes are int16: the code less this.
CODE_ZERO = 32768
#: EMPTY's bits read as an integer: below those of every number that is not negative.
EMPTY_BITS = int(torch.tensor(EMPTY).view(torch.int32))


def transform(rays: Tensor, w: Tensor, pose: Tensor) -> Tensor:
    """Points ray / w in the other camera, times w: (n, 3, h, w). See `reference._transform`."""
    # (n, 3, 1, 1) each: what a column of the pose contributes to x, y and z.
    x, y, one, shift = (pose[:, :3, i, None, None] for i in range(4))
    moved = torch.addcmul(one, x, rays[:, 0:1])
    return moved.addcmul_(y, rays[:, 1:2]).addcmul_(shift, w[:, None])


def project(points: Tensor, lens: Tensor, kinds: tuple[int, ...]) -> Tensor:
    """Pixels (n, 2, h, w) as (u, v) of normalized image points (n, 2, h, w)."""
    bent = points
    numbers = lens[:, :, None, None].unbind(1)
    kind = numbers[0][:, None]
    if 1 in kinds:
        brown = _brown_conrady(points, numbers[5:])
        bent = brown if kinds == (1,) else torch.where(kind == 1, brown, bent)
    if 2 in kinds:
        fisheye = _kannala_brandt(points, numbers[5:])
        bent = fisheye if kinds == (2,) else torch.where(kind == 2, fisheye, bent)
    focal, centre = lens[:, 1:3, None, None], lens[:, 3:5, None, None]
    return torch.addcmul(centre, focal, bent)


def _brown_conrady(points: Tensor, distortion: tuple[Tensor, ...]) -> Tensor:
    k1, k2, p1, p2, k3 = distortion
    x, y = points.unbind(1)
    r2 = x * x + y * y
    radial = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
    xy = 2 * x * y
    return torch.stack(
        [
            x * radial + p1 * xy + p2 * (r2 + 2 * x * x),
            y * radial + p1 * (r2 + 2 * y * y) + p2 * xy,
        ],
        dim=1,
    )


def _kannala_brandt(points: Tensor, distortion: tuple[Tensor, ...]) -> Tensor:
    k1, k2, k3, k4, _ = distortion
    r = points.square().sum(1).sqrt_()
    t = torch.atan(r)
    t2 = t * t
    bent = t * (1 + t2 * (k1 + t2 * (k2 + t2 * (k3 + t2 * k4))))
    ratio = torch.where(r > 1e-9, bent / r.clamp_min(1e-9), 1.0)
    return points * ratio[:, None]


def splat(
    rays: Tensor,
    geometry: Tensor,
    scale: Tensor,
    pose: Tensor,
    lens: Tensor,
    kinds: tuple[int, ...],
    ratio: Tensor,
    size: tuple[int, int],
) -> Tensor:
    """Send every pixel of a frame to the new camera; the nearest wins. See `reference.splat`.

    Args:
        geometry: int16 (n, 3, h, w): code less CODE_ZERO, twice its slopes along u and v
            (`torch_frames.geometry_of`).
        scale: float32 (n,), 1/m per step of the code.
        ratio: float32 (n or 1,), focal length of the frame by that of the view.
        size: (H, W) of the view.

    Returns:
        depth (n, H, W).
    """
    target, found = aim(rays, geometry, scale, pose, lens, kinds, ratio, size)
    return scatter(target, found, size)


def aim(
    rays: Tensor,
    geometry: Tensor,
    scale: Tensor,
    pose: Tensor,
    lens: Tensor,
    kinds: tuple[int, ...],
    ratio: Tensor,
    size: tuple[int, int],
) -> tuple[Tensor, Tensor]:
    """Where every pixel of a frame lands and what it brings there, (n, h * w) each.

    The target is int64, row by row; what is not drawn aims somewhere and brings EMPTY.
    """
    n = len(geometry)
    height, width = size
    numbers = geometry.to(torch.float32)
    w = (numbers[:, 0] + CODE_ZERO) * scale[:, None, None]
    moved = transform(rays, w, pose)
    z = moved[:, 2]
    inverse = z.reciprocal()
    pixel = project(moved[:, :2] * inverse[:, None], lens, kinds)
    cell = (pixel + 0.5).floor_()
    # Half: the slopes are stored twice as steep.
    step = (0.5 * ratio * scale)[:, None, None]
    off = cell - pixel
    slope = (off[:, 0] * numbers[:, 1]).addcmul_(off[:, 1], numbers[:, 2])
    found = (w * inverse).addcmul_(step, slope).clamp_min_(0.0)
    u, v = cell.unbind(1)
    # Comparisons with NaN, from rays that must not be used, are false.
    drawn = (
        (z > MIN_DEPTH_RATIO)
        & (geometry[:, 0] < NO_CODE - CODE_ZERO)
        & (u >= 0)
        & (u < width)
        & (v >= 0)
        & (v < height)
    )
    found = torch.where(drawn, found, EMPTY)
    # What is not drawn is spread over the view: many writes to one place would wait in line.
    anywhere = torch.arange(u[0].numel(), device=u.device).view_as(u[0]) % (height * width)
    index = torch.where(drawn, (v * width).add_(u).to(torch.int64), anywhere)
    return index.view(n, -1), found.view(n, -1)


def scatter(target: Tensor, found: Tensor, size: tuple[int, int]) -> Tensor:
    """The largest inverse depth that aims at each pixel, or EMPTY: (n, H, W).

    Floats that are not negative are ordered as their bits read as integers are, and so is
    EMPTY before them. The largest does not depend on the order of writing.
    """
    height, width = size
    bits = torch.full(
        (len(target), height * width), EMPTY_BITS, dtype=torch.int32, device=target.device
    )
    bits.scatter_reduce_(1, target, found.view(torch.int32), "amax")
    return bits.view(torch.float32).view(-1, height, width)


def close_cracks(depth: Tensor) -> Tensor:
    """Close one-pixel cracks of a stretched surface. See `reference.close_cracks`."""
    height, width = depth.shape[1:]
    padded = functional.pad(depth, (1, 1, 1, 1), mode="reflect")

    def neighbour(dv: int, du: int) -> Tensor:
        return padded[:, 1 + dv : 1 + dv + height, 1 + du : 1 + du + width]

    def bridge(dv: int, du: int) -> tuple[Tensor, Tensor, Tensor]:
        a, b = neighbour(dv, du), neighbour(-dv, -du)
        low, high = torch.minimum(a, b), torch.maximum(a, b)
        # Of one surface: high - low <= SAME_SURFACE * high + SAME_DEPTH; never so if low is EMPTY.
        return low, 0.5 * (a + b), _farthest_alike(high) <= low

    closed = depth
    fill = None
    for dv, du in ((0, 1), (1, 0)):
        low, mean, one_surface = bridge(dv, du)
        behind = _farthest_alike(low) > depth
        closed = torch.maximum(closed, torch.where(one_surface & behind, mean, depth))
        fill = low if fill is None else torch.maximum(fill, low)
    assert fill is not None
    for dv, du in ((1, 1), (1, -1)):
        low, mean, one_surface = bridge(dv, du)
        fill = torch.maximum(fill, torch.where(one_surface, mean, low))
    return torch.where(depth < 0, torch.maximum(closed, fill), closed)


def _farthest_alike(depth: Tensor) -> Tensor:
    """The smallest inverse depth that is of one surface with this one. It is never EMPTY."""
    return (1 - warp.SAME_SURFACE) * depth - warp.SAME_DEPTH


def close_gaps(depth: Tensor) -> Tensor:
    """Join the rows of one surface that the view's nearness has torn apart.

    See `reference.close_gaps`. Scans along columns find what lies above and below.
    """
    last = depth.shape[1] - 1
    row = torch.arange(last + 1, dtype=torch.int32, device=depth.device)[:, None]
    some = depth >= 0
    above = _last(some, row, 1)
    below = last - _last(some.flip(1), row, 1).flip(1)
    up, down = row - above, below - row
    a = depth.gather(1, above.clamp_min(0).to(torch.int64))
    b = depth.gather(1, below.clamp_max(last).to(torch.int64))
    torn = ~some & (above >= 0) & (up <= warp.MOST_GAP)
    torn &= (below <= last) & (down <= warp.MOST_GAP)
    gap = (up + down).clamp_min_(1).to(torch.float32)
    allowed = (warp.GAP_SLOPE * gap).clamp_max_(warp.GAP_CHANGE) * torch.maximum(a, b)
    torn &= (a - b).abs_() <= allowed
    return torch.where(torn, a + (b - a) * (up / gap), depth)


def double(depth: Tensor, size: tuple[int, int]) -> Tensor:
    """Bring inverse depth to twice the resolution, (n, H, W). See `reference.double`."""
    height, width = size
    rows = torch.stack([depth, _join(depth, _shifted(depth, 2))], dim=3)
    rows = rows.flatten(2)[:, :, :width]
    both = torch.stack([rows, _join(rows, _shifted(rows, 1))], dim=2)
    return both.flatten(1, 2)[:, :height]


def _shifted(depth: Tensor, dim: int) -> Tensor:
    """The next one along a dimension; the last one stays."""
    last = depth.shape[dim] - 1
    return torch.cat([depth.narrow(dim, 1, last), depth.narrow(dim, last, 1)], dim)


def _join(a: Tensor, b: Tensor) -> Tensor:
    low, high = torch.minimum(a, b), torch.maximum(a, b)
    joined = torch.where(_farthest_alike(high) <= low, 0.5 * (a + b), low)
    return torch.where(low < 0, high, joined)


def locate(
    rays: Tensor, depth: Tensor, pose: Tensor, lens: Tensor, kinds: tuple[int, ...], size: Tensor
) -> tuple[Tensor, Tensor]:
    """Where in a frame every pixel of the view is. See `reference.locate`.

    Args:
        rays, depth: of the view.
        pose, lens: from the view to the frame.
        size: float32 (n or 1, 2), width and height of the frame.

    Returns:
        pixels (n, 2, H, W) as (u, v), within the frame also where it saw nothing, and
        bool (n, H, W), whether the frame saw the pixel.
    """
    moved = transform(rays, depth, pose)
    z = moved[:, 2]
    near = z.clamp_min(MIN_DEPTH_RATIO)
    pixel = project(moved[:, :2] / near[:, None], lens, kinds)
    edge = (size - 0.5)[:, :, None, None]
    inside = (pixel >= -0.5) & (pixel <= edge)
    seen = inside[:, 0] & inside[:, 1] & (depth >= 0) & (z > MIN_DEPTH_RATIO)
    # NaN must not become an index.
    pixel = torch.where(seen[:, None], pixel, 0.0)
    return torch.minimum(pixel.clamp_min_(0.0), edge - 0.5), seen


def sample(images: Tensor, slot: Tensor, pixel: Tensor, size: Tensor) -> Tensor:
    """Colours float32 (n, H, W, 3) at sub-pixel positions, bilinear.

    Args:
        images: int32 (slots, h, w), a pixel's red, green and blue in the lower three bytes.
        slot: int64 (n,), which image each view reads.
        pixel: float32 (n, 2, H, W), within the image.
        size: float32 (n or 1, 2), width and height of the image.
    """
    rows, width = images.shape[1:]
    corner = torch.minimum(pixel.floor(), (size - 2)[:, :, None, None])
    fraction = pixel - corner
    fu, fv = fraction[:, 0, :, :, None], fraction[:, 1, :, :, None]
    cell = corner.to(torch.int32)
    first = (slot * (rows * width)).to(torch.int32)[:, None, None]
    index = (cell[:, 1] * width).add_(cell[:, 0]).add_(first)
    flat = images.flatten()

    def colours(step: int) -> Tensor:
        packed = flat.index_select(0, (index + step).flatten()).view(index.shape)
        return packed.view(torch.uint8).view(*index.shape, 4)[..., :3].to(torch.float32)

    top = torch.lerp(colours(0), colours(1), fu)
    bottom = torch.lerp(colours(width), colours(width + 1), fu)
    return torch.lerp(top, bottom, fv)


def rounded(colour: Tensor) -> Tensor:
    """Colours in [0, 255] as uint8."""
    return (colour + 0.5).to(torch.uint8)


def inpaint(image: Tensor, source: Tensor, depth: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Fill what no frame saw: each hole of a row mirrors the seen stretch on its far side.

    See `reference.inpaint`. Scans along rows find, for every pixel of a hole, where the seen
    stretches beside it begin and end.

    Args:
        image, source, depth: uint8 (n, H, W, 3), uint8 (n, H, W), float32 (n, H, W).

    Returns:
        The same, filled.
    """
    n, height, width = source.shape
    seen = source != warp.UNSEEN
    nearest, some = _nearest_row(seen.any(2))
    row = nearest[:, :, None]
    # A row without anything is from here on the nearest that has something.
    mask = seen.gather(1, row.expand(-1, -1, width))
    column = torch.arange(width, dtype=torch.int32, device=source.device)
    left, left_hole = _last(mask, column), _last(~mask, column)
    flipped = mask.flip(2)
    right = width - 1 - _last(flipped, column).flip(2)
    right_hole = width - 1 - _last(~flipped, column).flip(2)
    flat_depth = depth.flatten(1)
    first = row * width

    def depth_at(columns: Tensor) -> Tensor:
        return flat_depth.gather(1, (first + columns).flatten(1)).view(n, height, width)

    nearer = depth_at(left.clamp_min(0)) <= depth_at(right.clamp_max(width - 1))
    from_left = (right >= width) | ((left >= 0) & nearer)
    edge = torch.where(from_left, left, right).clamp_(0, width - 1).to(torch.int64)
    # How far the seen stretch goes on beyond its first pixel.
    reach = torch.where(
        from_left, edge - left_hole.gather(2, edge) - 1, right_hole.gather(2, edge) - 1 - edge
    ).clamp_min_(0)
    away = (column - edge).abs_() % (2 * reach).clamp_min_(1)
    away = torch.minimum(away, 2 * reach - away)
    mirrored = torch.where(from_left, edge - away, edge + away)
    index = (first + mirrored).flatten(1)
    filled = image.flatten(1, 2).gather(1, index[:, :, None].expand(-1, -1, 3)).view_as(image)
    some = some[:, None, None]
    return (
        filled * some[..., None],
        torch.where(seen, source, warp.INPAINTED),
        depth_at(edge) * some,
    )


def _nearest_row(seen: Tensor) -> tuple[Tensor, Tensor]:
    """The nearest row that has something, int64 (n, H); of two the upper. Whether there is one."""
    height = seen.shape[1]
    row = torch.arange(height, dtype=torch.int32, device=seen.device)
    above = _last(seen, row)
    below = height - 1 - _last(seen.flip(1), row).flip(1)
    use_above = (below >= height) | ((above >= 0) & (row - above <= below - row))
    nearest = torch.where(use_above, above, below).clamp_(0, height - 1)
    return nearest.to(torch.int64), seen.any(1)


def _last(mask: Tensor, position: Tensor, dim: int = -1) -> Tensor:
    """The last position up to here at which the mask is true, -1 where there is none; int32."""
    return torch.cummax(torch.where(mask, position, -1), dim=dim).values
