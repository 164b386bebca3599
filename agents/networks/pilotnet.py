"""A small convolutional network from one camera image to a curvature.

After Bojarski et al., "End to End Learning for Self-Driving Cars" (2016), figure 4: five
convolutions and three dense layers, about 250 000 weights for a view of 66 x 200.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

NORMS = ("none", "batch", "group")
INPUT_NORMS = ("fixed", "image")


@dataclass(frozen=True)
class PilotNetConfig:
    """Shape of the network. The defaults are those of PilotNet."""

    size: tuple[int, int] = (66, 200)
    """Height and width of the view, px."""
    channels: tuple[int, ...] = (24, 36, 48, 64, 64)
    """Output channels of each convolution."""
    kernels: tuple[int, ...] = (5, 5, 5, 3, 3)
    """Kernel size of each convolution, px."""
    strides: tuple[int, ...] = (2, 2, 2, 1, 1)
    """Stride of each convolution, px."""
    hidden: tuple[int, ...] = (100, 50, 10)
    """Widths of the dense layers before the output."""
    norm: str = "batch"
    """Normalization after each convolution: none, batch or group."""
    input_norm: str = "image"
    """image: each image to zero mean and unit deviation; fixed: 0..255 to -1..1."""
    dropout: float = 0.2
    """Share of the first dense layer's inputs dropped while training."""
    speed: bool = True
    """Whether the speed is an input beside the image."""
    speed_scale: float = 10.0
    """Speed that enters the network as 1, m/s."""

    def __post_init__(self) -> None:
        if not len(self.channels) == len(self.kernels) == len(self.strides):
            raise ValueError("channels, kernels and strides must have the same length")
        if self.norm not in NORMS:
            raise ValueError(f"norm is {self.norm!r}; known are {', '.join(NORMS)}")
        if self.input_norm not in INPUT_NORMS:
            raise ValueError(f"input_norm is {self.input_norm!r}; known: {', '.join(INPUT_NORMS)}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout is {self.dropout}; it must be in [0, 1)")
        if self.speed_scale <= 0:
            raise ValueError(f"speed_scale is {self.speed_scale} m/s; it must be positive")
        if min(self.feature_size) < 1:
            raise ValueError(f"size is {self.size}; too small for these convolutions")

    @property
    def feature_size(self) -> tuple[int, int]:
        """Height and width of the last feature map."""
        height, width = self.size
        for kernel, stride in zip(self.kernels, self.strides, strict=True):
            height, width = (height - kernel) // stride + 1, (width - kernel) // stride + 1
        return height, width


class PilotNet(nn.Module):
    """Convolutions, dense layers, one number: the curvature in units of the policy's scale."""

    def __init__(self, config: PilotNetConfig) -> None:
        super().__init__()
        self.config = config
        layers: list[nn.Module] = []
        channels = 3
        for out, kernel, stride in zip(
            config.channels, config.kernels, config.strides, strict=True
        ):
            layers.append(nn.Conv2d(channels, out, kernel, stride))
            if config.norm == "batch":
                layers.append(nn.BatchNorm2d(out))
            elif config.norm == "group":
                layers.append(nn.GroupNorm(4, out))
            layers.append(nn.ReLU(inplace=True))
            channels = out
        self.convolutions = nn.Sequential(*layers)
        self.dropout = nn.Dropout(config.dropout)
        height, width = config.feature_size
        features = channels * height * width + int(config.speed)
        dense: list[nn.Module] = []
        for out in config.hidden:
            dense += [nn.Linear(features, out), nn.ReLU(inplace=True)]
            features = out
        output = nn.Linear(features, 1)
        self.head = nn.Sequential(*dense, output)
        for name, weights in self.named_parameters():
            if weights.ndim > 1:
                nn.init.kaiming_normal_(weights, nonlinearity="relu")
            elif name.endswith("bias"):
                nn.init.zeros_(weights)
        # Starting at straight ahead keeps the first steps from undoing a random guess.
        nn.init.zeros_(output.weight)

    def normalize(
        self,
        camera: Tensor,  # (B, H, W, 3) uint8 or float, 0..255
    ) -> Tensor:  # (B, 3, H, W) float
        """Scale pixel values as the configuration says.

        The result is channels-last in memory, in which convolutions are twice as fast on a CPU.
        """
        image = camera.permute(0, 3, 1, 2).float()
        if self.config.input_norm == "fixed":
            return image / 127.5 - 1.0
        deviation, mean = torch.std_mean(image, dim=(1, 2, 3), keepdim=True)
        return (image - mean) / (deviation + 1.0)

    def forward(
        self,
        camera: Tensor,  # (B, H, W, 3) uint8 or float, 0..255
        speed: Tensor,  # (B,) m/s
    ) -> Tensor:  # (B,)
        """Curvature to drive, in units of the policy's scale, positive to the left."""
        features = self.convolutions(self.normalize(camera)).flatten(1)
        features = self.dropout(features)
        if self.config.speed:
            features = torch.cat([features, speed[:, None] / self.config.speed_scale], dim=1)
        output: Tensor = self.head(features)
        return output.squeeze(1)
