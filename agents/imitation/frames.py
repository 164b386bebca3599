"""Labelled frames of drives, and the windows of them that networks are trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays
from torch import Tensor

from vista_sim.atomic import write_whole
from vista_sim.errors import PolicyError
from vista_sim.files import one_line, read_bytes

from ..actions import Scales
from ..networks.heads import HeadConfig
from ..networks.network import DrivingNetwork

Floats = NDArray[np.float32]
MAX_ROUND = 2**33  # bytes of a file of frames
_READINGS = "readings."  # of names in files


@dataclass(frozen=True)
class Frames:
    """Frames of episodes, each episode's in order of time, and how to drive there.

    Args:
        episode: (N,) int64, which episode a frame is of; its frames follow each other.
        speed: (N,) m/s.
        command: (N,) int64, place in `COMMANDS`.
        curvature, acceleration: (N,) labels, 1/m and m/s².
        waypoints: (N, P, 2) labels, vehicle frame, m; P is 0 where none are asked for.
        readings: (N, ...) of the policy's sensors, by name.
    """

    episode: NDArray[np.int64]
    speed: Floats
    command: NDArray[np.int64]
    curvature: Floats
    acceleration: Floats
    waypoints: Floats
    readings: Mapping[str, NDArray[Any]]

    def __len__(self) -> int:
        return len(self.speed)

    @property
    def nbytes(self) -> int:
        return sum(array.nbytes for array in self._arrays().values())

    @classmethod
    def joined(cls, parts: Sequence[Frames]) -> Frames:
        """Several, one after the other; episodes of different parts stay apart."""
        shift, episodes = 0, []
        for part in parts:
            episodes.append(part.episode + shift)
            shift += int(part.episode.max(initial=-1)) + 1
        listed = [part._arrays() for part in parts]
        joined = {name: np.concatenate([part[name] for part in listed]) for name in listed[0]}
        return cls._of({**joined, "episode": np.concatenate(episodes)})

    def column(self, name: str) -> NDArray[Any]:
        """Of all frames: what a sensor read, or another field, by name."""
        found: NDArray[Any] = self.readings[name] if name in self.readings else getattr(self, name)
        return found

    def _arrays(self) -> dict[str, NDArray[Any]]:
        """All of it by name, such as "speed" and "readings.camera"."""
        plain = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "readings"}
        return {**plain, **{_READINGS + name: array for name, array in self.readings.items()}}

    @classmethod
    def _of(cls, arrays: Mapping[str, NDArray[Any]]) -> Frames:
        """Of what `_arrays` gave."""
        plain = {n: array for n, array in arrays.items() if not n.startswith(_READINGS)}
        readings = {
            n.removeprefix(_READINGS): array
            for n, array in arrays.items()
            if n.startswith(_READINGS)
        }
        return cls(**plain, readings=readings)

    def save(self, path: Path) -> None:
        """Write to a safetensors file, whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        arrays = {name: np.ascontiguousarray(array) for name, array in self._arrays().items()}
        write_whole(path, save_arrays(arrays))

    @classmethod
    def load(cls, path: Path) -> Frames:
        """Read what `save` wrote. Raises PolicyError."""
        try:
            arrays: dict[str, Any] = load_arrays(read_bytes(path, PolicyError, MAX_ROUND))
            return cls._of(arrays)
        except PolicyError:
            raise
        except (SafetensorError, TypeError, ValueError, KeyError, OverflowError) as error:
            raise PolicyError(f"{path}: is not a file of frames ({one_line(error)})") from None


@dataclass(frozen=True)
class Batch:
    """Sequences to learn from, padded to one length T.

    Args:
        inputs: by name, (n, T, ...), as `DrivingNetwork` takes them.
        target: (n, T, K) in units of the policy's scales.
        mask: (n, T) bool, False at padding.
    """

    inputs: dict[str, Tensor]
    target: Tensor
    mask: Tensor

    def __len__(self) -> int:
        return len(self.target)

    def take(self, rows: slice) -> Batch:
        """Some of the sequences."""
        inputs = {name: x[rows] for name, x in self.inputs.items()}
        return Batch(inputs, self.target[rows], self.mask[rows])


class Source(Protocol):
    """Where batches come from; a batch depends on nothing but the seed, the step, and for
    data that a policy gathered, that policy's weights at given steps.
    """

    def prepare(self, step: int, network: DrivingNetwork) -> None:
        """Called before each step, with the network as it stands."""

    def batch(self, step: int, size: int) -> Batch: ...

    def validation(self) -> Batch:
        """Sequences of held-out road, the same at every call."""

    def close(self) -> None:
        """End what works in the background."""


@dataclass(frozen=True)
class Windows:
    """Cuts windows out of frames, in the form that a network takes.

    Args:
        head, scales: what is asked of the network, and in which units.
        inputs: names of what it is given.
        length: frames of a window at most; it ends earlier where its episode does.
    """

    head: HeadConfig
    scales: Scales
    inputs: tuple[str, ...]
    length: int

    def cut(
        self, parts: Sequence[Frames], part: NDArray[np.int64], start: NDArray[np.int64]
    ) -> Batch:
        """Windows that begin at frame `start` (n,) of the parts with index `part` (n,)."""
        rows, mask = [], np.zeros((len(start), self.length), dtype=np.bool_)
        for i, (p, s) in enumerate(zip(part.tolist(), start.tolist(), strict=True)):
            episode = parts[p].episode[s : s + self.length]
            count = int(np.count_nonzero(episode == episode[0]))
            mask[i, :count] = True
            rows.append((parts[p], slice(s, s + count)))

        def gather(name: str) -> Tensor:
            first = parts[0].column(name)
            out = np.zeros((len(start), self.length, *first.shape[1:]), dtype=first.dtype)
            for i, (frames, span) in enumerate(rows):
                values = frames.column(name)[span]
                out[i, : len(values)] = values
            return torch.from_numpy(out)

        if self.head.outputs == "waypoints":
            target = gather("waypoints").flatten(2)
        else:
            names = ("curvature", "acceleration")[: self.head.size]
            target = torch.stack([gather(name) for name in names], dim=-1)
        target = target / torch.tensor(self.scales.of(self.head))
        inputs = {name: gather(name) for name in self.inputs}
        return Batch(inputs, target, torch.from_numpy(mask))

    def of_all(self, frames: Frames) -> Batch:
        """Every frame once: windows side by side from the start of each episode."""
        starts: list[int] = []
        begins = np.flatnonzero(np.diff(frames.episode, prepend=frames.episode[:1] - 1))
        ends = [*begins[1:].tolist(), len(frames)]
        for begin, end in zip(begins.tolist(), ends, strict=True):
            starts += range(begin, end, self.length)
        start = np.array(starts, dtype=np.int64)
        return self.cut([frames], np.zeros_like(start), start)
