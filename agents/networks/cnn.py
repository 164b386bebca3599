"""Convolutional encoders of one camera image: PilotNet, and a small residual network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from .layers import (
    NORMS,
    Norm,
    Pixels,
    check_choice,
    check_depth,
    check_dropout,
    check_map,
    check_positive,
    check_view,
    initialize,
    norm,
)


@dataclass(frozen=True)
class PilotNetConfig:
    """Bojarski et al., "End to End Learning for Self-Driving Cars" (2016), figure 4."""

    size: tuple[int, int] = (66, 200)
    """Height and width of the view, px."""
    channels: tuple[int, ...] = (24, 36, 48, 64, 64)
    """Output channels of each convolution."""
    kernels: tuple[int, ...] = (5, 5, 5, 3, 3)
    """Kernel size of each convolution, px."""
    strides: tuple[int, ...] = (2, 2, 2, 1, 1)
    """Stride of each convolution, px."""
    features: int = 100
    """Width of the dense layer that gathers the feature map."""
    norm: Norm = "batch"
    """Normalization after each convolution: none, batch or group."""
    pixels: Literal["image", "fixed"] = "image"
    """image: each image to zero mean and unit deviation; fixed: 0..255 to -1..1."""
    dropout: float = 0.2
    """Share of the dense layer's inputs dropped while training."""

    def __post_init__(self) -> None:
        if not len(self.channels) == len(self.kernels) == len(self.strides) > 0:
            raise ValueError("channels, kernels and strides must have the same length, above 0")
        check_view(self.size, self.pixels)
        check_choice("norm", self.norm, NORMS)
        check_dropout(self.dropout)
        check_depth(convolutions=len(self.channels))
        check_positive(features=self.features)
        if min(*self.channels, *self.kernels, *self.strides) < 1:
            raise ValueError("channels, kernels and strides must be at least 1")
        if min(self.map_size) < 1:
            raise ValueError(f"size is {self.size}; too small for these convolutions")
        # No later map has more places than the first.
        stride = self.strides[0]
        check_map(self.size[0] // stride, self.size[1] // stride, max(3, *self.channels))

    @property
    def map_size(self) -> tuple[int, int]:
        """Height and width of the last feature map."""
        height, width = self.size
        for kernel, stride in zip(self.kernels, self.strides, strict=True):
            height, width = (height - kernel) // stride + 1, (width - kernel) // stride + 1
        return height, width


class PilotNet(nn.Module):
    """Features (n, F) of images (n, H, W, 3): five convolutions and a dense layer."""

    def __init__(self, config: PilotNetConfig) -> None:
        super().__init__()
        self.convolutions = convolutions(config)
        height, width = config.map_size
        self.gather = nn.Sequential(
            nn.Flatten(),
            nn.Dropout(config.dropout),
            nn.Linear(config.channels[-1] * height * width, config.features),
            nn.ReLU(),
        )
        initialize(self)

    def forward(self, camera: Tensor) -> Tensor:
        return self.gather(self.convolutions(camera))


def convolutions(config: PilotNetConfig) -> nn.Sequential:
    """The part up to the last feature map: (n, H, W, 3) to (n, C, h, w)."""
    layers: list[nn.Module] = [Pixels(config.pixels)]
    channels = 3
    for out, kernel, stride in zip(config.channels, config.kernels, config.strides, strict=True):
        # Normalization brings its own shift.
        bias = config.norm == "none"
        layers += [nn.Conv2d(channels, out, kernel, stride, bias=bias), norm(config.norm, out)]
        layers.append(nn.ReLU())
        channels = out
    return nn.Sequential(*layers)


@dataclass(frozen=True)
class ResNetConfig:
    """A small residual network; He et al., "Deep Residual Learning" (2016), basic blocks."""

    size: tuple[int, int] = (66, 200)
    """Height and width of the view, px."""
    channels: tuple[int, ...] = (16, 32, 64)
    """Channels of each stage; a stage halves height and width."""
    blocks: int = 1
    """Residual blocks a stage."""
    features: int = 100
    """Width of the dense layer that gathers the feature map."""
    norm: Norm = "batch"
    """Normalization after each convolution: none, batch or group."""
    pixels: Literal["image", "fixed"] = "image"
    """image: each image to zero mean and unit deviation; fixed: 0..255 to -1..1."""
    dropout: float = 0.2
    """Share of the dense layer's inputs dropped while training."""

    def __post_init__(self) -> None:
        check_view(self.size, self.pixels)
        check_choice("norm", self.norm, NORMS)
        check_dropout(self.dropout)
        check_depth(blocks=self.blocks, stages=len(self.channels))
        check_positive(features=self.features, channels=min(self.channels))
        if min(self.size) < 8 * 2 ** len(self.channels):
            raise ValueError(f"size is {self.size}; too small for {len(self.channels)} stages")
        check_map(self.size[0] // 2, self.size[1] // 2, max(self.channels))


class ResNet(nn.Module):
    """Features (n, F) of images (n, H, W, 3)."""

    _POOLED = (2, 6)  # cells of the feature map that are kept apart: where in the view matters

    def __init__(self, config: ResNetConfig) -> None:
        super().__init__()
        channels = config.channels[0]
        layers: list[nn.Module] = [
            Pixels(config.pixels),
            nn.Conv2d(3, channels, 5, 2, 2, bias=config.norm == "none"),
            norm(config.norm, channels),
            nn.ReLU(),
        ]
        for out in config.channels:
            layers.append(ResidualBlock(channels, out, 2, config.norm))
            layers += [ResidualBlock(out, out, 1, config.norm) for _ in range(config.blocks - 1)]
            channels = out
        self.stages = nn.Sequential(*layers)
        height, width = self._POOLED
        self.gather = nn.Sequential(
            nn.AdaptiveAvgPool2d(self._POOLED),
            nn.Flatten(),
            nn.Dropout(config.dropout),
            nn.Linear(channels * height * width, config.features),
            nn.ReLU(),
        )
        initialize(self)

    def forward(self, camera: Tensor) -> Tensor:
        return self.gather(self.stages(camera))


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int, kind: Norm) -> None:
        super().__init__()
        bias = kind == "none"
        self.residual = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=bias),
            norm(kind, outputs),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=bias),
            norm(kind, outputs),
        )
        self.shortcut = (
            nn.Identity()
            if stride == 1 and inputs == outputs
            else nn.Conv2d(inputs, outputs, 1, stride)
        )
        self.after = nn.ReLU()

    def forward(self, image: Tensor) -> Tensor:
        return self.after(self.shortcut(image) + self.residual(image))
