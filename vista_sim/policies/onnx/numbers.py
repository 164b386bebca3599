"""Inputs that are numbers: speed, state vector, other readings, navigation command, constants."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from vista_sim.errors import PolicyError
from vista_sim.policies.onnx.camera import read_normalization
from vista_sim.policies.onnx.fields import Fields, as_number
from vista_sim.policies.onnx.history import History, check_kept, read_history
from vista_sim.policies.onnx.tensors import TensorInfo, check_size
from vista_sim.policies.policy import place_of_command
from vista_sim.sensors.spec import CameraSpec, SensorSpec
from vista_sim.sensors.state_vector import STATE_NAMES, STATE_UNITS
from vista_sim.traces.sections import COMMAND
from vista_sim.units import UNITS

if TYPE_CHECKING:
    from vista_sim.world import Car

_COMMON = ("name", "what", "dtype", "shape")
_SCALED = ("scale", "mean", "std", "history")
SPEED_FIELDS = (*_COMMON, "unit", *_SCALED)
STATE_VECTOR_FIELDS = (*_COMMON, "entries", *_SCALED)
READING_FIELDS = (*_COMMON, "sensor", *_SCALED)
COMMAND_FIELDS = (*_COMMON, "values", "default", "encoding", "history")
CONSTANT_FIELDS = (*_COMMON, "value")
ENCODINGS = ("index", "one-hot")


@dataclass(frozen=True, eq=False)
class NumbersInput:
    """Common part: numbers (K,) of each step, laid out as the model's tensor.

    Args:
        tensor: of the model.
        history: frames that stand one after another in it.
    """

    tensor: TensorInfo
    history: History

    def arrange(self, frames: list[NDArray[Any]]) -> NDArray[Any]:
        """Frames (K,) as the model's tensor."""
        values = np.concatenate(frames)
        shape = self.tensor.shape_for(values.size)
        assert shape is not None  # checked on reading
        return values.reshape(shape).astype(self.tensor.dtype)


@dataclass(frozen=True, eq=False)
class SpeedInput(NumbersInput):
    """The car's speed: (speed / unit * scale - mean) / std, with the unit in m/s."""

    unit: float
    scale: np.float32
    mean: NDArray[np.float32]
    std: NDArray[np.float32]

    def frame(self, observation: Mapping[str, Any], car: Car | None = None) -> NDArray[Any]:
        """(1,)."""
        speed = np.asarray(observation["speed"], np.float32).reshape(-1)[:1]
        factor = self.scale / np.float32(self.unit)
        return np.asarray((speed * factor - self.mean) / self.std)


@dataclass(frozen=True, eq=False)
class StateVectorInput(NumbersInput):
    """Entries of the privileged state vector, in units and order of the model."""

    file: str
    places: NDArray[np.int64]
    units: NDArray[np.float32]
    scale: np.float32
    mean: NDArray[np.float32]
    std: NDArray[np.float32]

    def frame(self, observation: Mapping[str, Any], car: Car | None = None) -> NDArray[Any]:
        """(K,)."""
        if car is not None:
            state = car.state_vector()
        elif "state" in observation:
            state = np.asarray(observation["state"], np.float32).reshape(-1)
        else:
            raise PolicyError(
                f"{self.file}: the policy drives by the state vector: call act(observation, car)"
            )
        chosen = state[self.places] * (self.scale / self.units)
        return np.asarray((chosen - self.mean) / self.std)


@dataclass(frozen=True, eq=False)
class ReadingInput(NumbersInput):
    """All numbers that a sensor reads, in the order of its array: (number * scale - mean) / std."""

    file: str
    sensor: str
    count: int
    scale: np.float32
    mean: NDArray[np.float32]
    std: NDArray[np.float32]

    def frame(self, observation: Mapping[str, Any], car: Car | None = None) -> NDArray[Any]:
        """(K,). Raises PolicyError."""
        reading = np.asarray(observation[self.sensor], np.float32).reshape(-1)
        if reading.size != self.count:
            raise PolicyError(
                f"{self.file}: {self.sensor!r} reads {reading.size} numbers; the policy takes "
                f"{self.count}"
            )
        return np.asarray((reading * self.scale - self.mean) / self.std)


@dataclass(frozen=True, eq=False)
class CommandInput(NumbersInput):
    """The navigation command, as its place among `values` or one-hot."""

    file: str
    values: tuple[str, ...]
    default: str
    one_hot: bool

    def frame(self, observation: Mapping[str, Any], car: Car | None = None) -> NDArray[Any]:
        """(1,), or (V,) one-hot."""
        try:
            place = place_of_command(observation.get(COMMAND), self.values, self.default)
        except PolicyError as error:
            raise PolicyError(f"{self.file}: {error}") from None
        if not self.one_hot:
            return np.array([place], np.int64)
        return (np.arange(len(self.values)) == place).astype(np.float32)


@dataclass(frozen=True, eq=False)
class ConstantInput(NumbersInput):
    """Always the same."""

    value: NDArray[Any]

    def frame(self, observation: Mapping[str, Any], car: Car | None = None) -> NDArray[Any]:
        """(K,)."""
        return self.value


def read_speed_input(fields: Fields, tensor: TensorInfo, history: History) -> SpeedInput:
    """Read an entry of `inputs` that is the speed. Raises PolicyError."""
    unit = UNITS["m/s"][fields.choice("unit", tuple(UNITS["m/s"]))]
    mean, std = read_normalization(fields, 1, "entry")
    history = _history(fields, tensor, history, 1)
    scale = np.float32(fields.number("scale", 1.0))
    return SpeedInput(tensor, history, unit, scale, mean, std)


def read_state_input(fields: Fields, tensor: TensorInfo, history: History) -> StateVectorInput:
    """Read an entry of `inputs` that is the state vector. Raises PolicyError."""
    places, units = [], []
    for values, path in fields.listed("entries", 'a list of objects {"name", "unit"}'):
        entry = Fields(values, fields.file, path, ("name", "unit"))
        place = STATE_NAMES.index(entry.choice("name", STATE_NAMES))
        known = UNITS[STATE_UNITS[place]]
        places.append(place)
        units.append(known[entry.choice("unit", tuple(known))])
    count = len(places)
    mean, std = read_normalization(fields, count, "entry")
    return StateVectorInput(
        tensor,
        _history(fields, tensor, history, count),
        str(fields.file),
        np.array(places, np.int64),
        np.array(units, np.float32),
        np.float32(fields.number("scale", 1.0)),
        mean,
        std,
    )


def read_reading_input(
    fields: Fields, tensor: TensorInfo, sensors: Mapping[str, SensorSpec], history: History
) -> ReadingInput:
    """Read an entry of `inputs` that is what a sensor reads, of `sensors`. Raises PolicyError."""
    numbers = {name: spec for name, spec in sensors.items() if not isinstance(spec, CameraSpec)}
    if not numbers:
        raise PolicyError(f"{fields.where} takes a reading, but {fields.file}: sensors has none")
    sensor = fields.choice("sensor", tuple(numbers))
    space = numbers[sensor].space()
    if not isinstance(space, spaces.Box):
        raise fields.wrong("sensor", f"one that reads an array, not a {type(space).__name__}")
    count = math.prod(space.shape)
    mean, std = read_normalization(fields, count, "number")
    return ReadingInput(
        tensor,
        _history(fields, tensor, history, count),
        str(fields.file),
        sensor,
        count,
        np.float32(fields.number("scale", 1.0)),
        mean,
        std,
    )


def read_command_input(fields: Fields, tensor: TensorInfo, history: History) -> CommandInput:
    """Read an entry of `inputs` that is the navigation command. Raises PolicyError."""
    names = [value for value, _ in fields.listed("values", "a list of names of commands")]
    if not all(isinstance(name, str) and name for name in names) or len(set(names)) < len(names):
        raise fields.wrong("values", "a list of different names of commands")
    default = fields.choice("default", names, names[0])
    one_hot = fields.choice("encoding", ENCODINGS, "index") == "one-hot"
    history = _history(fields, tensor, history, len(names) if one_hot else 1)
    return CommandInput(tensor, history, str(fields.file), tuple(names), default, one_hot)


def read_constant_input(fields: Fields, tensor: TensorInfo) -> ConstantInput:
    """Read an entry of `inputs` that never changes. Raises PolicyError."""
    wanted = f"a number, or a list of numbers for the model's {tensor.shown}"
    number = as_number(fields.values.get("value"))
    if number is not None:
        sides = [1 if side is None else side for side in tensor.shape]
        check_size(fields, "value", sides)
        return ConstantInput(tensor, History(), np.full(math.prod(sides), number))
    values = np.array(_flat(fields.values.get("value")), dtype=object)
    found = [as_number(value) for value in values]
    if not found or None in found or tensor.shape_for(len(found)) is None:
        raise fields.wrong("value", wanted)
    return ConstantInput(tensor, History(), np.array(found, np.float64))


def _flat(value: Any) -> list[Any]:
    """Entries of nested lists."""
    if not isinstance(value, list):
        return [value]
    return [entry for part in value for entry in _flat(part)]


def _history(fields: Fields, tensor: TensorInfo, default: History, count: int) -> History:
    """The history of an entry with `count` numbers a frame, if the model takes so many."""
    history = read_history(fields, default)
    check_kept(fields, history, 8 * count)
    size = count * history.frames
    if tensor.shape_for(size) is None:
        raise PolicyError(
            f"{fields.where}: makes {size} numbers ({count} a frame, {history.frames} frames); "
            f"input {tensor.name!r} of the model takes {tensor.shown}"
        )
    return history
