"""A driving network: encoders, a memory or none, and a head, on batches of sequences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from .cnn import PilotNetConfig
from .encoders import ENCODERS, EncoderConfig, ImageEncoderConfig, reading_bytes
from .heads import Head, HeadConfig, answer
from .layers import check_choice, check_positive
from .mlp import ReadingMLPConfig, StateMLPConfig
from .recurrent import Recurrent, RecurrentConfig, State
from .temporal import TemporalAttention, TemporalAttentionConfig

MemoryConfig = RecurrentConfig | TemporalAttentionConfig
Inputs = Mapping[str, Tensor]

#: Navigation commands; their place is their number.
COMMANDS = ("follow", "left", "right", "straight")

MEMORIES: dict[type[Any], type[nn.Module]] = {
    RecurrentConfig: Recurrent,
    TemporalAttentionConfig: TemporalAttention,
}


@dataclass(frozen=True)
class NetworkConfig:
    """Shape of a driving network."""

    encoder: ImageEncoderConfig | StateMLPConfig | None = field(default_factory=PilotNetConfig)
    """Of the first camera, or of the state vector; None: neither is seen, but `further`."""
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
    further: Mapping[str, EncoderConfig] = field(default_factory=dict)
    """Encoders of other sensors, by name; what all encoders find is put beside each other."""

    def __post_init__(self) -> None:
        check_choice("command", self.command, ("none", "one-hot", "embedding"))
        check_positive(speed_scale=self.speed_scale, command_size=self.command_size)
        if isinstance(self.encoder, ReadingMLPConfig):
            raise ValueError("encoder is of readings of any kind; give it by name, in further")
        if self.encoder is None and not self.further:
            raise ValueError("encoder is null and further empty; a network takes a sensor at least")
        for name in self.further:
            if not name or "." in name or name in ("speed", "command", self._first):
                raise ValueError(f"further has {name!r}; it must be the name of another sensor")

    @property
    def encoders(self) -> dict[str, EncoderConfig]:
        """Of all sensors, by name."""
        first: dict[str, EncoderConfig] = {}
        if self.encoder is not None:
            first[str(self._first)] = self.encoder
        return {**first, **self.further}

    @property
    def _first(self) -> str | None:
        """Name of what `encoder` takes."""
        if self.encoder is None:
            return None
        return "camera" if isinstance(self.encoder, ImageEncoderConfig) else "state"

    @property
    def camera_size(self) -> tuple[int, int] | None:
        """Height and width of the first camera's view, px; None for a network that sees none."""
        encoder = self.encoder
        return encoder.size if isinstance(encoder, ImageEncoderConfig) else None

    @property
    def frame_bytes(self) -> int:
        """Memory that the readings of a frame take."""
        return sum(map(reading_bytes, self.encoders.values()))

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of what the network is given, in order."""
        names = [*self.encoders]
        if self.speed:
            names.append("speed")
        if self.command != "none":
            names.append("command")
        return tuple(names)


class DrivingNetwork(nn.Module):
    """From what the car sees, frame by frame, to the parameters of what to do.

    Inputs by name; the leading dimensions are sequences n and frames T:
        camera: (n, T, H, W, 3) uint8 or float, 0..255, and other sensors (n, T, ...) as they read;
            those of `NetworkConfig.encoders`, such as state, (n, T, K).
        speed: (n, T), m/s.
        command: (n, T), int64, a place in `COMMANDS`.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        if config.encoder is not None:
            self.encoder = ENCODERS[type(config.encoder)](config.encoder)
        self.further = nn.ModuleDict(
            {_key(name): ENCODERS[type(one)](one) for name, one in config.further.items()}
        )
        width = sum(one.features for one in config.encoders.values()) + int(config.speed)
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
        count, length = inputs[next(iter(self.config.encoders))].shape[:2]
        there = None if mask is None else mask.flatten().nonzero()[:, 0]
        parts = []
        for name in self.config.encoders:
            encoder = self.further[_key(name)] if name in self.config.further else self.encoder
            parts.append(encoder(self._rows(inputs[name], there)))
        features = parts[0]
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


def _key(name: str) -> str:
    """Of a sensor's encoder among modules, whose names are also those of attributes."""
    return f"sensor-{name}"
