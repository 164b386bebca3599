"""What an ONNX model takes and answers, as its session says it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vista_sim.errors import PolicyError
from vista_sim.onnx_probe import DTYPES
from vista_sim.policies.onnx.fields import Fields

MAX_SIDE = 1 << 24  # entries along one dimension
MAX_ENTRIES = 1 << 28  # of one tensor


@dataclass(frozen=True)
class TensorInfo:
    """An input or output of a model.

    Args:
        name: in the model.
        dtype: of NumPy.
        shape: None where a dimension is dynamic.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...]

    @property
    def shown(self) -> str:
        """Its shape, as messages say it."""
        sides = ("any" if side is None else str(side) for side in self.shape)
        return f"({', '.join(sides)})"

    def takes(self, shape: Sequence[int]) -> bool:
        """Whether an array of this shape fits."""
        return len(shape) == len(self.shape) and all(
            mine is None or mine == side for mine, side in zip(self.shape, shape, strict=True)
        )

    def shape_for(self, size: int) -> tuple[int, ...] | None:
        """Its shape for `size` numbers: dynamic dimensions are 1, but the last if need be.

        Returns:
            None: it cannot hold them.
        """
        sides = [1 if side is None else side for side in self.shape]
        dynamic = [i for i, side in enumerate(self.shape) if side is None]
        whole = math.prod(sides)
        if whole != size and dynamic and whole > 0 and size % whole == 0:
            sides[dynamic[-1]] = size // whole
        return tuple(sides) if math.prod(sides) == size else None


def tensor_infos(values: Sequence[Any]) -> dict[str, TensorInfo]:
    """Inputs or outputs of a session by name."""
    return {
        value.name: TensorInfo(
            value.name,
            DTYPES.get(value.type, str(value.type)),
            tuple(side if isinstance(side, int) else None for side in value.shape),
        )
        for value in values
    }


def check_size(fields: Fields, name: str, shape: Sequence[int]) -> None:
    """Refuse a tensor that would take unreasonable memory. Raises PolicyError."""
    if math.prod(shape) > MAX_ENTRIES:
        raise fields.wrong(name, f"of at most {MAX_ENTRIES:,} entries")


def named_tensor(fields: Fields, key: str, tensors: dict[str, TensorInfo], what: str) -> TensorInfo:
    """The tensor that a field names, of a type that can be handled. Raises PolicyError."""
    known = ", ".join(tensors) or "none"
    name = fields.text(key, f"the name of an {what} of the model: {known}")
    if name not in tensors:
        raise fields.wrong(key, f"the name of an {what} of the model: {known}")
    tensor = tensors[name]
    if tensor.dtype not in DTYPES.values():
        raise PolicyError(
            f"{fields.file}: {what} {name!r} of the model is {tensor.dtype}; it must be one of "
            f"{', '.join(DTYPES.values())}"
        )
    if "dtype" in fields.values and fields.values["dtype"] != tensor.dtype:
        raise fields.wrong("dtype", f"that of the model: {tensor.dtype}")
    shape = fields.sizes("shape", "a list of sizes", MAX_SIDE)
    if shape is not None and not tensor.takes(shape):
        raise fields.wrong("shape", f"that of the model: {tensor.shown}")
    return tensor


@dataclass(frozen=True)
class RecurrentState:
    """What a model is given back from one step to the next.

    Args:
        input, output: names of tensors.
        start: what it is at the start of an episode.
    """

    input: str
    output: str
    start: NDArray[Any]


STATE_FIELDS = ("input", "output", "dtype", "shape", "initial")


def read_state(
    fields: Fields, inputs: dict[str, TensorInfo], outputs: dict[str, TensorInfo]
) -> RecurrentState:
    """Read an entry of `recurrent_state`. Raises PolicyError."""
    given = named_tensor(fields, "input", inputs, "input")
    back = named_tensor(fields, "output", outputs, "output")
    shape = fields.sizes("shape", "a list of sizes", MAX_SIDE)
    if shape is None:
        if None in given.shape:
            raise fields.wrong("shape", f"the state's whole shape; the model leaves {given.shown}")
        shape = tuple(side for side in given.shape if side is not None)
    check_size(fields, "shape", shape)
    if not back.takes(shape) or back.dtype != given.dtype:
        raise PolicyError(
            f"{fields.where}: output {back.name!r} is {back.dtype} {back.shown}; it must be "
            f"{given.dtype} {shape} as input {given.name!r} is"
        )
    initial = fields.number("initial", 0.0)
    return RecurrentState(given.name, back.name, np.full(shape, initial, dtype=given.dtype))
