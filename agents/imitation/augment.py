"""Light and colour changes of training images, so that a policy looks at the road's shape."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class AugmentConfig:
    """What is done to training images. Zero switches a change off."""

    augment: bool = True
    """Change training images at all."""
    contrast: float = 0.4
    """Gain of the image: 1 ± this, drawn per image."""
    brightness: float = 40.0
    """Added to the image: ± this, of 255, drawn per image."""
    colour: float = 0.15
    """Gain of each channel: 1 ± this."""
    gray: float = 0.5
    """Share of images that lose part of their colour, up to all of it."""
    noise: float = 6.0
    """Largest deviation of pixel noise, of 255, drawn per image."""
    blur: float = 0.3
    """Share of images that are blurred by 3 x 3 pixels."""
    shadow: float = 0.5
    """Share of images with a random half-plane darkened or lightened."""
    shift: int = 2
    """Largest shift of the image up or down, px (the car pitches on slopes)."""
    mirror: bool = False
    """Mirror half of the images and their curvatures. Off, because a mirrored road has left-hand
    traffic: which lane is the own one becomes a guess, and errors on unseen road double."""


def augment(
    camera: Tensor,  # (B, H, W, 3) uint8
    target: Tensor,  # (B,) curvature, any unit
    config: AugmentConfig,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:  # (B, H, W, 3) float 0..255, (B,)
    """Change images and, where they are mirrored, their targets. The same generator state and
    input give the same output.
    """
    image = camera.float()
    if not config.augment:
        return image, target
    size, height, width, _ = image.shape

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(*shape, generator=generator)

    if config.mirror:
        flip = torch.rand(size, generator=generator) < 0.5
        image[flip] = image[flip].flip(2)
        target = torch.where(flip, -target, target)
    if config.shift:
        shift = torch.randint(-config.shift, config.shift + 1, (size,), generator=generator)
        rows = (torch.arange(height)[None] + shift[:, None]).clamp(0, height - 1)
        image = image[torch.arange(size)[:, None], rows]
    if config.blur:
        blur = (torch.rand(size, generator=generator) < config.blur).nonzero()[:, 0]
        if len(blur):
            soft = functional.avg_pool2d(
                image[blur].permute(0, 3, 1, 2), 3, 1, 1, count_include_pad=False
            )
            image[blur] = soft.permute(0, 2, 3, 1)
    if config.gray:
        some = (torch.rand(size, generator=generator) < config.gray).float()
        share = (some * torch.rand(size, generator=generator))[:, None, None, None]
        image = torch.lerp(image, image.mean(dim=3, keepdim=True).expand_as(image), share)
    mean = image.mean(dim=(1, 2, 3), keepdim=True)
    gain = uniform(1 - config.contrast, 1 + config.contrast, size, 1, 1, 1)
    gain = gain * uniform(1 - config.colour, 1 + config.colour, size, 1, 1, 3)
    bias = uniform(-config.brightness, config.brightness, size, 1, 1, 1)
    if config.shadow:
        some = (torch.rand(size, generator=generator) < config.shadow).float()
        depth = (some * uniform(-0.6, 0.3, size))[:, None, None]
        angle = uniform(0.0, 2 * torch.pi, size)[:, None, None]
        u = (torch.arange(width) / width - uniform(0.1, 0.9, size, 1))[:, None, :]
        v = ((torch.arange(height) - height * uniform(0.2, 0.9, size, 1)) / width)[:, :, None]
        edge = torch.sigmoid(100.0 * (u * angle.cos() + v * angle.sin()))
        image *= (1 + depth * edge)[..., None]
    image *= gain
    image += mean * (1 - gain) + bias
    if config.noise:
        level = uniform(0.0, config.noise, size, 1, 1, 1)
        # One pattern per pixel, not per channel: gray noise is the harder one, and cheaper.
        image += level * torch.randn(size, height, width, 1, generator=generator)
    return image.clamp_(0.0, 255.0), target
