"""A driving network: an encoder, a memory or none, and a head, on batches of sequences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from .cnn import PilotNet, PilotNetConfig, ResNet, ResNetConfig
from .heads import Head, HeadConfig, answer
from .layers import check_choice, check_positive
from .mlp import StateMLP, StateMLPConfig
from .recurrent import Recurrent, RecurrentConfig, State
from .spatial import SpatialAttention, SpatialAttentionConfig
from .temporal import TemporalAttention, TemporalAttentionConfig

EncoderConfig = PilotNetConfig | ResNetConfig | SpatialAttentionConfig | StateMLPConfig
MemoryConfig = RecurrentConfig | TemporalAttentionConfig
Inputs = Mapping[str, Tensor]

#: Navigation commands; their place is their number.
COMMANDS = ("follow", "left", "right", "straight")

ENCODERS: dict[type[Any], type[nn.Module]] = {
    PilotNetConfig: PilotNet,
    ResNetConfig: ResNet,
    SpatialAttentionConfig: SpatialAttention,
    StateMLPConfig: StateMLP,
}
MEMORIES: dict[type[Any], type[nn.Module]] = {
    RecurrentConfig: Recurrent,
    TemporalAttentionConfig: TemporalAttention,
}


@dataclass(frozen=True)
class NetworkConfig:
    """Shape of a driving network."""

    encoder: EncoderConfig = field(default_factory=PilotNetConfig)
    memory: MemoryConfig | None = None
    head: HeadConfig = field(default_factory=HeadConfig)
    speed: bool = True
    """Whether the speed is an input."""
    speed_scale: float = 10.0
    """Speed that enters the network as 1, m/s."""
    command: Literal["none", "one-hot", "embedding"] = "none"
    """How the navigation command (follow, left, right, straight) enters the network."""
    command_size: int = 8
    """Width of a learned embedding of it."""

    def __post_init__(self) -> None:
        check_choice("command", self.command, ("none", "one-hot", "embedding"))
        check_positive(speed_scale=self.speed_scale, command_size=self.command_size)

    @property
    def camera_size(self) -> tuple[int, int] | None:
        """Height and width of the view, px; None for a network that sees no camera."""
        return getattr(self.encoder, "size", None)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of what the network is given, in order."""
        names = ["state" if self.camera_size is None else "camera"]
        if self.speed:
            names.append("speed")
        if self.command != "none":
            names.append("command")
        return tuple(names)


class DrivingNetwork(nn.Module):
    """From what the car sees, frame by frame, to the parameters of what to do.

    Inputs by name; the leading dimensions are sequences n and frames T:
        camera: (n, T, H, W, 3) uint8 or float, 0..255.
        state: (n, T, K), the state vector, for networks without a camera.
        speed: (n, T), m/s.
        command: (n, T), int64, a place in `COMMANDS`.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = ENCODERS[type(config.encoder)](config.encoder)
        width = config.encoder.features + int(config.speed)
        self.command: nn.Embedding | None = None
        if config.command == "one-hot":
            width += len(COMMANDS)
        elif config.command == "embedding":
            self.command = nn.Embedding(len(COMMANDS), config.command_size)
            width += config.command_size
        self.memory: nn.Module | None = None
        if config.memory is not None:
            self.memory = MEMORIES[type(config.memory)](config.memory, width)
            width = config.memory.features
        self.features = width
        self.head = Head(config.head, width)

    def initial_state(self, count: int, device: torch.device | None = None) -> State:
        """What `count` sequences remember at their start: nothing. Empty without a memory."""
        if self.memory is None:
            return {}
        return self.memory.initial_state(count, device)  # type: ignore[operator]

    def forward(
        self, inputs: Inputs, mask: Tensor | None = None, state: State | None = None
    ) -> tuple[Tensor, State]:
        """Answer for every frame of a batch of sequences.

        Args:
            inputs: by name, (n, T, ...).
            mask: (n, T) bool, False at padding; what stands there is never looked at, and what
                is answered there means nothing. None: there is none.
            state: what is remembered of earlier frames; None: nothing.

        Returns:
            Parameters (n, T, P) of the head, and the state after the last frame.
        """
        features, state = self.encode(inputs, mask, state)
        return self.head(features), state

    def encode(
        self, inputs: Inputs, mask: Tensor | None = None, state: State | None = None
    ) -> tuple[Tensor, State]:
        """As `forward`, up to the head: features (n, T, F) and the state."""
        features = self._frames(inputs, mask)
        if self.memory is None:
            return features, {}
        if state is None:
            state = self.initial_state(features.shape[0], features.device)
        remembered: tuple[Tensor, State] = self.memory(features, mask, state)
        return remembered

    def step(self, inputs: Inputs, state: State) -> tuple[Tensor, State]:
        """One frame of each sequence: inputs (n, ...), what to do (n, K), and the new state.

        What to do is in units of the policy's scales.
        """
        parameters, state = self({name: x[:, None] for name, x in inputs.items()}, None, state)
        return answer(parameters[:, 0], self.config.head), state

    def _frames(self, inputs: Inputs, mask: Tensor | None) -> Tensor:
        """Features (n, T, D) of each frame by itself, zero at padding.

        Padding is left out of the batch, so that it enters no statistics of normalization.
        """
        seen = inputs["camera" if self.config.camera_size is not None else "state"]
        count, length = seen.shape[:2]
        flat = seen.flatten(0, 1)
        there = None if mask is None else mask.flatten().nonzero()[:, 0]
        features = self.encoder(flat if there is None else flat[there])
        parts = [features]
        if self.config.speed:
            parts.append(self._rows(inputs["speed"], there)[:, None] / self.config.speed_scale)
        if self.config.command != "none":
            command = self._rows(inputs["command"], there)
            if self.command is not None:
                parts.append(self.command(command))
            else:
                kinds = torch.arange(len(COMMANDS), device=command.device)
                parts.append((command[:, None] == kinds).float())
        rows = torch.cat([part.to(features.dtype) for part in parts], dim=1)
        if there is not None:
            padded = rows.new_zeros(count * length, rows.shape[1])
            rows = padded.index_copy(0, there, rows)
        return rows.reshape(count, length, -1)

    def _rows(self, x: Tensor, there: Tensor | None) -> Tensor:
        flat = x.flatten(0, 1)
        return flat if there is None else flat[there]
