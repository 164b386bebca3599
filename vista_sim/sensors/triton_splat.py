"""The splat step as one Triton kernel for CUDA GPUs, off by default; its speed was never measured.

`torch_kernels.splat` runs as some forty operations, each of which reads and writes memory; here
a frame's pixel is read once, moved in registers, and written by one atomic maximum. The same
meaning, and `torch_kernels.splat` is what it is compared with: in Triton's interpreter on the
CPU, and on a GPU where there is one. `TorchRenderer(..., triton=True)` uses it.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs
# Kernels have no annotations but those that Triton reads.

import torch
from torch import Tensor

from vista_sim.errors import MissingDependencyError
from vista_sim.sensors.torch_kernels import CODE_ZERO, EMPTY_BITS, MIN_DEPTH_RATIO

try:
    import triton
    import triton.language as tl
except ImportError:
    raise MissingDependencyError(
        "triton is not installed; it comes with PyTorch's CUDA builds, or: pip install triton"
    ) from None

_BLOCK = 256


def splat(
    rays: Tensor,
    geometry: Tensor,
    scales: Tensor,
    slot: Tensor,
    camera: Tensor,
    pose: Tensor,
    lens: Tensor,
    kind: int,
    ratio: Tensor,
    size: tuple[int, int],
) -> Tensor:
    """Send every pixel of n frames to n views of one lens. See `torch_kernels.splat`.

    Args:
        rays: float32 (c, 2, h, w), of the recorded cameras.
        geometry, scales: int16 (slots, 3, h, w) and float32 (slots,), of the resident frames.
        slot, camera: int64 (n,), of the frame each view is made from.
        pose: float32 (n, 4, 4), T_view_frame.
        lens, kind: float32 (1, 10), of the views, and which kind it is.
        ratio: float32 (c,), focal length of the cameras by that of the views.
        size: (H, W) of the views.

    Returns:
        depth (n, H, W).
    """
    n, pixels = len(slot), geometry.shape[2] * geometry.shape[3]
    bits = torch.full((n, *size), EMPTY_BITS, dtype=torch.int32, device=pose.device)
    if n:
        grid = (triton.cdiv(pixels, _BLOCK), n)
        _splat[grid](
            rays.contiguous(),
            geometry,
            scales,
            slot.contiguous(),
            camera.contiguous(),
            pose.contiguous(),
            lens,
            ratio,
            bits,
            pixels,
            size[0],
            size[1],
            MIN_RATIO=MIN_DEPTH_RATIO,
            ZERO=CODE_ZERO,
            KIND=kind,
            BLOCK=_BLOCK,
        )
    return bits.view(torch.float32)


@triton.jit
def _splat(
    rays,
    geometry,
    scales,
    slots,
    cameras,
    poses,
    lens,
    ratios,
    out,
    pixels,
    height,
    width,
    MIN_RATIO: tl.constexpr,
    ZERO: tl.constexpr,
    KIND: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """One block of pixels of one frame: grid (blocks, n)."""
    view = tl.program_id(1).to(tl.int64)
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    there = at < pixels
    slot, camera = tl.load(slots + view), tl.load(cameras + view)
    scale, ratio = tl.load(scales + slot), tl.load(ratios + camera)
    frame = geometry + slot * 3 * pixels
    code = tl.load(frame + at, mask=there, other=0).to(tl.float32) + ZERO
    slope_u = tl.load(frame + pixels + at, mask=there, other=0).to(tl.float32)
    slope_v = tl.load(frame + 2 * pixels + at, mask=there, other=0).to(tl.float32)
    ray = rays + camera * 2 * pixels
    rx = tl.load(ray + at, mask=there, other=float("nan"))
    ry = tl.load(ray + pixels + at, mask=there, other=float("nan"))
    w = code * scale
    row = poses + view * 16
    x = tl.load(row) * rx + tl.load(row + 1) * ry + tl.load(row + 2) + tl.load(row + 3) * w
    y = tl.load(row + 4) * rx + tl.load(row + 5) * ry + tl.load(row + 6) + tl.load(row + 7) * w
    z = tl.load(row + 8) * rx + tl.load(row + 9) * ry + tl.load(row + 10) + tl.load(row + 11) * w
    # Comparisons with NaN, from rays that must not be used, are false.
    front = z > MIN_RATIO
    inverse = 1.0 / tl.where(front, z, 1.0)
    u, v = _project(lens, x * inverse, y * inverse, KIND)
    column, line = tl.floor(u + 0.5), tl.floor(v + 0.5)
    drawn = (
        front & (code < 65535.0) & (column >= 0) & (column < width) & (line >= 0) & (line < height)
    )
    # Half: the slopes are stored twice as steep.
    shift = (0.5 * ratio * scale) * ((column - u) * slope_u + (line - v) * slope_v)
    found = tl.maximum(w * inverse + shift, 0.0)
    target = tl.where(drawn, line * width + column, 0.0).to(tl.int32)
    place = out + view * height * width + target
    # Floats that are not negative are ordered as their bits read as integers are.
    tl.atomic_max(place, found.to(tl.int32, bitcast=True), mask=drawn, sem="relaxed")


@triton.jit
def _project(lens, x, y, KIND: tl.constexpr):
    """Pixel of a normalized image point. See `torch_kernels.project`."""
    k1, k2 = tl.load(lens + 5), tl.load(lens + 6)
    k3, k4, k5 = tl.load(lens + 7), tl.load(lens + 8), tl.load(lens + 9)
    if KIND == 1:
        r2 = x * x + y * y
        radial = 1.0 + r2 * (k1 + r2 * (k2 + r2 * k5))
        xy = 2.0 * x * y
        bent_x = x * radial + k3 * xy + k4 * (r2 + 2.0 * x * x)
        bent_y = y * radial + k3 * (r2 + 2.0 * y * y) + k4 * xy
    elif KIND == 2:
        r = tl.sqrt(x * x + y * y)
        t = _atan(r)
        t2 = t * t
        bent = t * (1.0 + t2 * (k1 + t2 * (k2 + t2 * (k3 + t2 * k4))))
        scale = tl.where(r > 1e-9, bent / tl.maximum(r, 1e-9), 1.0)
        bent_x = x * scale
        bent_y = y * scale
    else:
        bent_x = x
        bent_y = y
    u = tl.load(lens + 1) * bent_x + tl.load(lens + 3)
    v = tl.load(lens + 2) * bent_y + tl.load(lens + 4)
    return u, v


@triton.jit
def _atan(r):
    """Arc tangent of r >= 0, to 2e-7 rad: the reduction and polynomial of Cephes, `atanf.c`."""
    steep, middle = r > 2.414213562373095, r > 0.4142135623730950
    reduced = tl.where(steep, -1.0 / tl.maximum(r, 1.0), (r - 1.0) / (r + 1.0))
    reduced = tl.where(middle, reduced, r)
    start = tl.where(steep, 1.5707963267948966, tl.where(middle, 0.7853981633974483, 0.0))
    s = reduced * reduced
    tail = ((8.05374449538e-2 * s - 1.38776856032e-1) * s + 1.99777106478e-1) * s
    return start + ((tail - 3.33329491539e-1) * s * reduced + reduced)
