"""Encoder by attention over space: image patches or cells of a feature map as tokens.

Dosovitskiy et al., "An Image is Worth 16x16 Words" (2021), small.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from .attention import Block
from .layers import (
    Pixels,
    check_choice,
    check_depth,
    check_dropout,
    check_map,
    check_positive,
    check_view,
    initialize,
)


@dataclass(frozen=True)
class SpatialAttentionConfig:
    """Tokens of one camera image that attend to each other."""

    size: tuple[int, int] = (66, 200)
    """Height and width of the view, px."""
    tokens: Literal["patches", "cells"] = "cells"
    """patches: of the image itself; cells: of the feature map of three small convolutions."""
    patch: tuple[int, int] = (11, 20)
    """Height and width of a patch, px, where tokens are patches."""
    width: int = 48
    """Of a token."""
    heads: int = 4
    """Attention heads."""
    layers: int = 2
    """Attention blocks."""
    features: int = 100
    """Width of the dense layer that gathers the tokens."""
    pixels: Literal["image", "fixed"] = "image"
    """image: each image to zero mean and unit deviation; fixed: 0..255 to -1..1."""
    dropout: float = 0.1
    """Share of values dropped in each block while training."""

    def __post_init__(self) -> None:
        check_choice("tokens", self.tokens, ("patches", "cells"))
        check_view(self.size, self.pixels)
        check_dropout(self.dropout)
        check_depth(layers=self.layers)
        check_positive(
            width=self.width, heads=self.heads, features=self.features, patch=min(self.patch)
        )
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not divisible by {self.heads} heads")
        if min(self.grid) < 1:
            raise ValueError(f"size is {self.size}; too small for one token")
        if self.tokens == "cells":
            check_map(self.size[0] // 2, self.size[1] // 2, 16)
        count = self.grid[0] * self.grid[1]
        check_map(count, count, self.heads)  # the attention weights

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of tokens."""
        height, width = self.size
        if self.tokens == "patches":
            return height // self.patch[0], width // self.patch[1]
        for _ in range(3):
            height, width = (height + 1) // 2, (width + 1) // 2
        return height // 2, width // 2

    @property
    def token_places(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """Rows and columns of the view: px from a token to the next, and to the middle of the
        first.
        """
        if self.tokens == "patches":
            down, across = self.patch
            return (down, (down - 1) / 2), (across, (across - 1) / 2)
        # Three strides of 2 with a kernel around each pixel, then the maximum of two and two.
        return (16, 4), (16, 4)


class SpatialAttention(nn.Module):
    """Features (n, F) of images (n, H, W, 3)."""

    def __init__(self, config: SpatialAttentionConfig) -> None:
        super().__init__()
        self.grid = config.grid
        width = config.width
        layers: list[nn.Module] = [Pixels(config.pixels)]
        if config.tokens == "patches":
            layers.append(nn.Conv2d(3, width, config.patch, config.patch))
        else:
            for inputs, outputs, kernel in ((3, 16, 5), (16, 32, 3), (32, width, 3)):
                layers.append(
                    nn.Conv2d(inputs, outputs, kernel, 2, kernel // 2, bias=False),
                )
                layers += [nn.BatchNorm2d(outputs), nn.ReLU()]
            layers.append(nn.MaxPool2d(2))
        self.tokens = nn.Sequential(*layers)
        initialize(self.tokens)
        count = self.grid[0] * self.grid[1]
        self.position = nn.Parameter(torch.empty(1, count, width))
        nn.init.normal_(self.position, std=0.02)
        self.blocks = nn.ModuleList(
            Block(width, config.heads, config.dropout) for _ in range(config.layers)
        )
        self.gather = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, 16),
            nn.ReLU(),
            nn.Flatten(),
            nn.Dropout(config.dropout),
            nn.Linear(count * 16, config.features),
            nn.ReLU(),
        )

    def forward(self, camera: Tensor) -> Tensor:
        tokens = self.tokens(camera).flatten(2).transpose(1, 2) + self.position
        for block in self.blocks:
            tokens = block(tokens)
        return self.gather(tokens)
