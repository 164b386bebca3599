"""A small encoder-decoder that corrects flat ground to the depth of what stands there.

What a picture shows of depth is how large things look: a thing of size S at depth z covers
f S / z pixels, and ground at height h below the camera lies f h / z pixels below the horizon.
So the network gives f / z, inverse depth times the focal length in its own pixels, which is
the same for a camera of another focal length that shows the same picture. It starts from that
of flat ground at the calibrated mount, and multiplies it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

_Padding = Literal["zeros", "replicate"]

_LARGEST_CHANGE = 4.5  # of the logarithm of inverse depth: a factor of 90 either way


@dataclass(frozen=True)
class DepthNetConfig:
    """Size and layers of the network."""

    pixels: int = 26_624
    """Pixels of the picture it sees, about; the sides are multiples of 16 that keep the shape."""
    channels: tuple[int, ...] = (16, 32, 64, 96, 128)
    """Channels of the encoder, each at half the resolution of the one before."""
    sky: float = 2.25
    """Inverse depth times focal length of the sky before anything is learned, px/m."""

    def __post_init__(self) -> None:
        if not 1024 <= self.pixels <= 4_000_000:
            raise ValueError(f"pixels is {self.pixels}; it must be from 1024 to 4000000")
        if len(self.channels) < 3 or min(self.channels) < 4:
            raise ValueError(f"channels are {self.channels}; give three or more, each 4 or more")
        if len(self.channels) > 8 or max(self.channels) > 1024:
            raise ValueError(f"channels are {self.channels}; give at most 8, each at most 1024")
        if not 0.01 <= self.sky <= 100.0:
            raise ValueError(f"sky is {self.sky} px/m; it must be from 0.01 to 100")

    def input_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """(height, width) that the network sees of a picture (height, width)."""
        shrink = (self.pixels / (size[0] * size[1])) ** 0.5
        height, width = (max(32, 16 * round(side * shrink / 16)) for side in size)
        return height, width


class DepthNet(nn.Module):
    """See the module. Its untrained answer is flat ground below a sky."""

    def __init__(self, config: DepthNetConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = nn.ModuleList()
        channels = 4
        for level, out in enumerate(config.channels):
            layers = [_block(channels, out, stride=2)]
            if level:
                layers.append(_block(out, out))
            self.encoder.append(nn.Sequential(*layers))
            channels = out
        self.decoder = nn.ModuleList()
        self.heads = nn.ModuleList()
        for beside in (*config.channels[-2::-1], 4):
            out = max(8, round(beside * 0.7 / 8) * 8)
            # At full resolution a dark frame around the picture would be seen.
            padding: _Padding = "replicate" if beside == 4 else "zeros"
            self.decoder.append(_block(channels + beside, out, padding=padding))
            head = nn.Conv2d(out, 1, 3, padding=1, padding_mode="replicate")
            nn.init.zeros_(head.weight)
            nn.init.zeros_(head.bias)  # type: ignore[arg-type]
            self.heads.append(head)
            channels = out

    def forward(
        self,
        image: Tensor,  # (B, H, W, 3) uint8 or float, 0..255
        ground: Tensor,  # (B, H, W) inverse depth of flat ground times focal length, px/m
    ) -> list[Tensor]:  # (B, h, w) each
        """Inverse depth times focal length, px/m: at full, half and quarter resolution."""
        x = image.permute(0, 3, 1, 2).float()
        deviation, mean = torch.std_mean(x, dim=(1, 2, 3), keepdim=True)
        prior = torch.log(ground.clamp(min=self.config.sky))[:, None]
        x = torch.cat([(x - mean) / (deviation + 1.0), prior - 2.0], dim=1)
        x = x.contiguous(memory_format=torch.channels_last)
        beside = [x]
        for layer in self.encoder:
            x = layer(x)
            beside.append(x)
        outputs: list[Tensor] = []
        x = beside.pop()
        for layer, head in zip(self.decoder, self.heads, strict=True):
            skip = beside.pop()
            x = functional.interpolate(x, size=skip.shape[2:], mode="nearest")
            x = layer(torch.cat([x, skip], dim=1))
            if len(beside) < 3:
                step = 2 ** len(beside)
                start = functional.avg_pool2d(prior, step) if step > 1 else prior
                change = _LARGEST_CHANGE * torch.tanh(head(x) / _LARGEST_CHANGE)
                outputs.append(torch.exp(start + change)[:, 0])
        return outputs[::-1]


def _block(channels: int, out: int, stride: int = 1, padding: _Padding = "zeros") -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, out, 3, stride, padding=1, bias=False, padding_mode=padding),
        nn.BatchNorm2d(out),
        nn.ELU(inplace=True),
    )
