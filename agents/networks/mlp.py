"""Encoders without convolutions: of the state vector, and of any readings that are numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .layers import (
    ACTIVATIONS,
    Activation,
    check_choice,
    check_depth,
    check_map,
    check_positive,
    initialize,
    mlp,
)


@dataclass(frozen=True)
class StateMLPConfig:
    """A multi-layer perceptron on the state vector."""

    hidden: tuple[int, ...] = (64, 64)
    """Widths of its layers. One layer of one is Rosenblatt's perceptron."""
    activation: Activation = "relu"
    """After each layer: sigmoid, tanh, relu or silu."""
    scale: tuple[float, ...] = (1.0, 0.2, 10.0, 0.2, 0.05, 0.05, 0.05, 0.05)
    """What enters the network as 1, entry by entry of the state vector."""

    def __post_init__(self) -> None:
        if not self.hidden or min(self.hidden) < 1:
            raise ValueError(f"hidden is {self.hidden}; give at least one width above 0")
        check_depth(layers=len(self.hidden))
        check_choice("activation", self.activation, tuple(ACTIVATIONS))
        check_positive(scale=min(self.scale, default=0.0))

    @property
    def features(self) -> int:
        return self.hidden[-1]

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the state vector."""
        return (len(self.scale),)


class StateMLP(nn.Module):
    """Features (n, F) of state vectors (n, K)."""

    scale: Tensor

    def __init__(self, config: StateMLPConfig) -> None:
        super().__init__()
        self.layers = mlp(len(config.scale), config.hidden, config.activation)
        self.register_buffer("scale", torch.tensor(config.scale), persistent=False)
        initialize(self)

    def forward(self, state: Tensor) -> Tensor:
        return self.layers(state / self.scale)


@dataclass(frozen=True)
class ReadingMLPConfig:
    """A multi-layer perceptron on all numbers of a reading."""

    shape: tuple[int, ...]
    """Of a reading."""
    middle: tuple[float, ...] = (0.0,)
    """What enters the network as 0: of each number of a reading, or one for all."""
    scale: tuple[float, ...] = (1.0,)
    """How far from there a number enters it as 1, likewise."""
    hidden: tuple[int, ...] = (64, 64)
    """Widths of its layers."""
    activation: Activation = "relu"
    """After each layer: sigmoid, tanh, relu or silu."""

    def __post_init__(self) -> None:
        check_positive(shape=min(self.shape, default=1))
        count = math.prod(self.shape)
        check_map(count, 1, max(self.hidden, default=0))
        for name in ("middle", "scale"):
            if len(getattr(self, name)) not in (1, count):
                raise ValueError(
                    f"{name} has {len(getattr(self, name))} entries; a reading has {count} "
                    "numbers: give one for each, or one for all"
                )
        if not self.hidden or min(self.hidden) < 1:
            raise ValueError(f"hidden is {self.hidden}; give at least one width above 0")
        check_depth(layers=len(self.hidden))
        check_choice("activation", self.activation, tuple(ACTIVATIONS))
        check_positive(scale=min(self.scale))

    @property
    def features(self) -> int:
        return self.hidden[-1]


class ReadingMLP(nn.Module):
    """Features (n, F) of readings (n, *shape)."""

    middle: Tensor
    scale: Tensor

    def __init__(self, config: ReadingMLPConfig) -> None:
        super().__init__()
        self.layers = mlp(math.prod(config.shape), config.hidden, config.activation)
        self.register_buffer("middle", torch.tensor(config.middle), persistent=False)
        self.register_buffer("scale", torch.tensor(config.scale), persistent=False)
        initialize(self)

    def forward(self, reading: Tensor) -> Tensor:
        numbers = reading.reshape(reading.shape[0], -1).float()
        return self.layers((numbers - self.middle) / self.scale)
