"""Encoders: what of a reading the rest of a driving network goes on with."""

from __future__ import annotations

import math
from typing import Any

from torch import nn

from .cnn import PilotNet, PilotNetConfig, ResNet, ResNetConfig
from .mlp import ReadingMLP, ReadingMLPConfig, StateMLP, StateMLPConfig
from .spatial import SpatialAttention, SpatialAttentionConfig

ImageEncoderConfig = PilotNetConfig | ResNetConfig | SpatialAttentionConfig
EncoderConfig = ImageEncoderConfig | StateMLPConfig | ReadingMLPConfig

ENCODERS: dict[type[Any], type[nn.Module]] = {
    PilotNetConfig: PilotNet,
    ResNetConfig: ResNet,
    SpatialAttentionConfig: SpatialAttention,
    StateMLPConfig: StateMLP,
    ReadingMLPConfig: ReadingMLP,
}
#: What policy.json calls them.
ENCODER_KINDS: dict[str, type[Any]] = {
    "mlp": StateMLPConfig,
    "pilotnet": PilotNetConfig,
    "reading-mlp": ReadingMLPConfig,
    "resnet": ResNetConfig,
    "spatial-attention": SpatialAttentionConfig,
}


def reading_shape(config: EncoderConfig) -> tuple[int, ...]:
    """Shape of a reading that an encoder takes: (height, width, 3) of an image."""
    return (*config.size, 3) if isinstance(config, ImageEncoderConfig) else config.shape


def reading_bytes(config: EncoderConfig) -> int:
    """Memory that a reading takes."""
    size = 1 if isinstance(config, ImageEncoderConfig) else 4
    return size * math.prod(reading_shape(config))
