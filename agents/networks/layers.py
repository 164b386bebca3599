"""Pieces that several networks are made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

Activation = Literal["sigmoid", "tanh", "relu", "silu"]
Norm = Literal["none", "batch", "group"]
PixelKind = Literal["image", "local", "fixed"]

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "silu": nn.SiLU,
}
NORMS = ("none", "batch", "group")
PIXELS = ("image", "local", "fixed")
LARGEST = 100_000_000  # numbers of a network, and of a tensor in it: 400 MB
MAX_DEPTH = 64  # layers of a kind, one after the other
_GROUP = 8  # channels that group normalization takes together, where they divide evenly


def activation(name: Activation) -> nn.Module:
    """The module of an activation function."""
    return ACTIVATIONS[name]()


def norm(name: Norm, channels: int) -> nn.Module:
    """Normalization of a feature map with so many channels."""
    if name == "batch":
        return nn.BatchNorm2d(channels)
    if name == "group":
        return nn.GroupNorm(max(1, channels // _GROUP) if channels % _GROUP == 0 else 1, channels)
    return nn.Identity()


def mlp(inputs: int, widths: Sequence[int], name: Activation) -> nn.Sequential:
    """Dense layers, each followed by its activation."""
    layers: list[nn.Module] = []
    for width in widths:
        layers += [nn.Linear(inputs, width), activation(name)]
        inputs = width
    return nn.Sequential(*layers)


def initialize(module: nn.Module) -> None:
    """He et al. 2015 for weights of convolutions and dense layers, zero for their biases."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(part.weight, nonlinearity="relu")
            if part.bias is not None:
                nn.init.zeros_(part.bias)


def check_choice(field: str, value: str, known: Sequence[str]) -> None:
    """Raise ValueError if a configuration's field has a value that is not known."""
    if value not in known:
        raise ValueError(f"{field} is {value!r}; known are {', '.join(known)}")


def check_view(size: tuple[int, int], pixels: str) -> None:
    """Raise ValueError if a configuration's view of the camera cannot be."""
    if min(size) < 1:
        raise ValueError(f"size is {size}; sides must be at least 1 px")
    check_choice("pixels", pixels, PIXELS)


def check_map(height: int, width: int, channels: int) -> None:
    """Raise ValueError for a feature map that would take unreasonable memory."""
    if (count := height * width * channels) > LARGEST:
        raise ValueError(f"a feature map holds {count:,} numbers; at most {LARGEST:,} can be")


def check_depth(**values: int) -> None:
    """Raise ValueError naming the first number of layers that is not from 1 to MAX_DEPTH."""
    for field, value in values.items():
        if not 1 <= value <= MAX_DEPTH:
            raise ValueError(f"{field} is {value}; it must be from 1 to {MAX_DEPTH}")


def check_positive(**values: float) -> None:
    """Raise ValueError naming the first value that is not positive."""
    for field, value in values.items():
        if not value > 0:
            raise ValueError(f"{field} is {value}; it must be positive")


def check_dropout(value: float) -> None:
    """Raise ValueError if a share of dropped values cannot be."""
    if not 0 <= value < 1:
        raise ValueError(f"dropout is {value}; it must be in [0, 1)")


AROUND = 17  # px, side of the square that a pixel is compared with
AROUND_LEAST = 6.0  # of 255: what deviates less is noise, and stays small


class Pixels(nn.Module):
    """Pixel values to what a network likes: (n, H, W, 3) 0..255 to (n, 3, H, W) around zero.

    `image`: each image to zero mean and unit deviation, which ignores brightness and contrast;
    `local`: each pixel less the mean around it, over the deviation around it, which ignores
    shadows and what a bright sky does to exposure as well (Jarrett et al., "What is the best
    multi-stage architecture for object recognition?", 2009); `fixed`: 0..255 to -1..1. The result
    is channels-last in memory, in which convolutions are twice as fast on a CPU.
    """

    def __init__(self, kind: PixelKind) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, camera: Tensor) -> Tensor:
        image = camera.permute(0, 3, 1, 2)
        if not image.is_floating_point():
            image = image.float()
        if self.kind == "fixed":
            return image / 127.5 - 1.0
        if self.kind == "local":
            return _locally_normalized(image)
        deviation, mean = torch.std_mean(image, dim=(1, 2, 3), keepdim=True)
        return (image - mean) / (deviation + 1.0)


def _locally_normalized(image: Tensor) -> Tensor:
    """(n, 3, H, W), 0..255, less the gray around each pixel, over its deviation there."""
    gray = image.mean(dim=1, keepdim=True)
    mean = _around(gray)
    variance = _around((gray - mean).square())
    return (image - mean) / (variance + AROUND_LEAST**2).sqrt()


def _around(gray: Tensor) -> Tensor:
    """Mean over the square around each pixel, as far as it lies within the image."""
    for axes in ((AROUND, 1), (1, AROUND)):
        padding = (axes[0] // 2, axes[1] // 2)
        gray = functional.avg_pool2d(gray, axes, 1, padding, count_include_pad=False)
    return gray
