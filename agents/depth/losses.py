"""What tells a good depth from a bad one without knowing the true one.

After Godard, Mac Aodha, Firman and Brostow, "Digging into self-supervised monocular depth
estimation" (ICCV 2019): a pixel's appearance in the neighbouring frame where it is hidden
least (eq. 4), ignored where the frame as it is fits better than the warped one (eq. 5).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

_SSIM_SHARE = 0.85  # of the photometric error; the rest is absolute difference
_NEAREST_BEHIND = 0.05  # of the depth; nearer to the neighbour's image plane nothing is compared


def neighbour_pixels(
    inverse_depth: Tensor,  # (B, h, w), 1/m
    rotations: Tensor,  # (B, k, 3, 3) K R K⁻¹
    translations: Tensor,  # (B, k, 3) K t
) -> tuple[Tensor, Tensor]:  # (B, k, h, w, 2), bool (B, k, h, w)
    """Where the neighbours show each pixel: (u, v), and whether that is in front of them.

    A pixel p at inverse depth w is at K R K⁻¹ p + w K t, in homogeneous coordinates.
    """
    height, width = inverse_depth.shape[1:]
    device = inverse_depth.device
    v, u = torch.meshgrid(
        torch.arange(height, device=device, dtype=torch.float32),
        torch.arange(width, device=device, dtype=torch.float32),
        indexing="ij",
    )
    pixels = torch.stack([u, v, torch.ones_like(u)]).reshape(3, -1)
    moved = rotations @ pixels  # (B, k, 3, h w)
    moved = moved + translations[..., None] * inverse_depth.reshape(-1, 1, 1, height * width)
    depth = moved[:, :, 2]
    there = moved[:, :, :2] / depth.clamp(min=_NEAREST_BEHIND)[:, :, None]
    there = there.reshape(*there.shape[:3], height, width).permute(0, 1, 3, 4, 2)
    return there, depth.reshape(*depth.shape[:2], height, width) > _NEAREST_BEHIND


def warp(
    images: Tensor,  # (B, k, h, w)
    pixels: Tensor,  # (B, k, h, w, 2)
) -> tuple[Tensor, Tensor]:  # (B, k, h, w), bool (B, k, h, w)
    """Sample images at pixels, linearly, and whether they lie inside."""
    batch, k, height, width = images.shape
    last = torch.tensor([width - 1, height - 1], device=images.device, dtype=torch.float32)
    grid = (pixels / last * 2.0 - 1.0).clamp(-2.0, 2.0)
    sampled = functional.grid_sample(
        images.reshape(batch * k, 1, height, width),
        grid.reshape(batch * k, height, width, 2),
        padding_mode="border",
        align_corners=True,
    )
    inside = (grid.abs() <= 1.0).all(dim=-1)
    return sampled.reshape(images.shape), inside


def photometric_error(
    a: Tensor,  # (..., h, w) in 0..1
    b: Tensor,  # (..., h, w)
) -> Tensor:  # (..., h, w)
    """0.85 (1 - SSIM) / 2 + 0.15 |a - b|, with SSIM over 3 x 3 pixels."""
    mean_a, mean_b = _mean_3x3(a), _mean_3x3(b)
    aa, bb = _mean_3x3(a * a) - mean_a * mean_a, _mean_3x3(b * b) - mean_b * mean_b
    ab = _mean_3x3(a * b) - mean_a * mean_b
    top = (2 * mean_a * mean_b + 0.01**2) * (2 * ab + 0.03**2)
    bottom = (mean_a * mean_a + mean_b * mean_b + 0.01**2) * (aa + bb + 0.03**2)
    similarity = (1.0 - top / bottom).clamp(0.0, 2.0) / 2.0
    return _SSIM_SHARE * similarity + (1.0 - _SSIM_SHARE) * (a - b).abs()


def photometric_loss(
    inverse_depth: Tensor,  # (B, h, w), 1/m
    image: Tensor,  # (B, h, w) gray, 0..1
    others: Tensor,  # (B, k, h, w)
    rotations: Tensor,  # (B, k, 3, 3)
    translations: Tensor,  # (B, k, 3)
    counts: Tensor,  # (B, h, w) 1 where the scene is seen, 0 where the own car is
    noise: Tensor,  # (B, h, w) breaks ties between the frame as it is and the warped one
) -> Tensor:
    """Mean over pixels of the least error among neighbours, unless not moving fits better."""
    pixels, in_front = neighbour_pixels(inverse_depth, rotations, translations)
    warped, inside = warp(others, pixels)
    error = photometric_error(image[:, None], warped)
    error = torch.where(inside & in_front, error, torch.full_like(error, 10.0)).amin(dim=1)
    still = photometric_error(image[:, None], others).amin(dim=1) + noise
    moving = (error < still).float() * counts
    return (error * moving).sum() / counts.sum().clamp(min=1.0)


def _mean_3x3(x: Tensor) -> Tensor:
    """Mean over 3 x 3 pixels; at the border the nearest pixels count again.

    Written as sums of shifted images, which is several times faster than pooling on a CPU.
    """
    x = torch.cat([x[..., :1, :], x, x[..., -1:, :]], dim=-2)
    x = x[..., :-2, :] + x[..., 1:-1, :] + x[..., 2:, :]
    x = torch.cat([x[..., :1], x, x[..., -1:]], dim=-1)
    return (x[..., :-2] + x[..., 1:-1] + x[..., 2:]) / 9.0


def smoothness_loss(
    inverse_depth: Tensor,  # (B, h, w), any unit
    image: Tensor,  # (B, h, w) gray, 0..1
) -> Tensor:
    """How much inverse depth bends where the image shows no edge.

    Second differences, so that planes at any slope cost nothing: their inverse depth is
    linear in the pixel coordinates.
    """
    scaled = inverse_depth / inverse_depth.mean(dim=(1, 2), keepdim=True)
    total = inverse_depth.new_zeros(())
    for dim in (1, 2):
        size = scaled.shape[dim]
        a, b, c = (scaled.narrow(dim, k, size - 2) for k in range(3))
        p, q, r = (image.narrow(dim, k, size - 2) for k in range(3))
        edge = (q - p).abs() + (r - q).abs()
        total = total + ((a - 2 * b + c).abs() * torch.exp(-15.0 * edge)).mean()
    return total


def supervised_loss(
    inverse_depth: Tensor,  # (B, h, w), 1/m
    known: Tensor,  # (B, h, w), 1/m
    sure: Tensor,  # (B, h, w), 0..1
    softening: float = 0.01,
) -> Tensor:
    """Mean |log ratio| of inverse depth, weighted; `softening` (1/m) calms what is far away."""
    difference = torch.log((inverse_depth + softening) / (known + softening)).abs()
    return (difference * sure).mean()
