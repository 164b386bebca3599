"""Inputs of a driving network drawn by chance: to measure it, and to check what it became."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .encoders import reading_shape
from .mlp import ReadingMLPConfig, StateMLPConfig
from .network import COMMANDS, NetworkConfig


def random_inputs(
    config: NetworkConfig,
    shape: tuple[int, ...] = (1,),
    generator: torch.Generator | None = None,
) -> dict[str, Tensor]:
    """Inputs by name, as `DrivingNetwork` takes them.

    Args:
        config: of the network.
        shape: leading dimensions: (n,) of a step, (n, T) of sequences.
        generator: torch's global one where it is None.

    Returns:
        Of each sensor: images (*shape, H, W, 3) uint8 noise, the state (*shape, K) within twice
        its scales, other readings (*shape, ...) within what enters the network as -1 to 1; speed
        (*shape) from 0 to 20 m/s; command (*shape) int64. Those that the network takes.
    """

    def uniform(*size: int) -> Tensor:
        return torch.rand(*size, generator=generator)

    made: dict[str, Tensor] = {}
    for name, encoder in config.encoders.items():
        size = (*shape, *reading_shape(encoder))
        if isinstance(encoder, StateMLPConfig):
            made[name] = (4.0 * uniform(*size) - 2.0) * torch.tensor(encoder.scale)
        elif isinstance(encoder, ReadingMLPConfig):
            flat = (2.0 * uniform(*shape, math.prod(encoder.shape)) - 1.0) * torch.tensor(
                encoder.scale
            )
            made[name] = (flat + torch.tensor(encoder.middle)).reshape(size)
        else:
            made[name] = torch.randint(0, 256, size, dtype=torch.uint8, generator=generator)
    if "speed" in config.inputs:
        made["speed"] = 20.0 * uniform(*shape)
    if "command" in config.inputs:
        made["command"] = torch.randint(0, len(COMMANDS), shape, generator=generator)
    return made
