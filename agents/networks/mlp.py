"""Encoder of the state vector: the perceptron and its layers, no camera."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .layers import (
    ACTIVATIONS,
    Activation,
    check_choice,
    check_depth,
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


class StateMLP(nn.Module):
    """Features (n, F) of state vectors (n, K)."""

    observation = "state"
    scale: Tensor

    def __init__(self, config: StateMLPConfig) -> None:
        super().__init__()
        self.layers = mlp(len(config.scale), config.hidden, config.activation)
        self.register_buffer("scale", torch.tensor(config.scale), persistent=False)
        initialize(self)

    def forward(self, state: Tensor) -> Tensor:
        return self.layers(state / self.scale)
