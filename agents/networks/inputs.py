"""Inputs of a driving network drawn by chance: to measure it, and to check what it became."""

from __future__ import annotations

import torch
from torch import Tensor

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
        camera (*shape, H, W, 3) uint8 noise, or state (*shape, K) within twice its scales; speed
        (*shape) from 0 to 20 m/s; command (*shape) int64. Those that the network takes.
    """

    def uniform(*size: int) -> Tensor:
        return torch.rand(*size, generator=generator)

    made: dict[str, Tensor] = {}
    for name in config.inputs:
        if name == "camera":
            assert config.camera_size is not None
            size = (*shape, *config.camera_size, 3)
            made[name] = torch.randint(0, 256, size, dtype=torch.uint8, generator=generator)
        elif name == "speed":
            made[name] = 20.0 * uniform(*shape)
        elif name == "command":
            made[name] = torch.randint(0, len(COMMANDS), shape, generator=generator)
        else:
            scale = torch.tensor(config.encoder.scale)  # type: ignore[union-attr]
            made[name] = (4.0 * uniform(*shape, len(scale)) - 2.0) * scale
    return made
