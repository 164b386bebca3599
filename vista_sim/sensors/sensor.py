"""What reads: a sensor, and the arrays that it fills."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from vista_sim.sensors.spec import SensorSpec
from vista_sim.sensors.view import SceneView

Rows = NDArray[np.int64]


class Readings(NamedTuple):
    """Where a sensor writes to: an entry for each row, of which a reading fills some.

    Both are arrays, or both tensors on a device, for a sensor that can leave them there.

    Args:
        value: (rows, ...) what is observed, as the space of the spec has it.
        valid: bool (rows, height, width), which pixels of an image a recorded frame saw; None: the
            sensor makes no image.
    """

    value: Any
    valid: Any = None


def copied(value: Any) -> Any:
    """A copy of an array, or of a tensor where it is."""
    return value.copy() if isinstance(value, np.ndarray) else value.clone()


def on_host(value: Any) -> NDArray[Any]:
    """An array, or the array that holds what a tensor does."""
    array: NDArray[Any] = value if isinstance(value, np.ndarray) else value.cpu().numpy()
    return array


def like(array: NDArray[Any], other: Any) -> Any:
    """An array, as a tensor where `other` is one."""
    return array if isinstance(other, np.ndarray) else other.new_tensor(array)


class Sensor(Protocol):
    """Reads for the cars of some rows; what it remembers from step to step it keeps by row.

    What is read of a row depends on that row alone, not on those that are read beside it. Rows of
    different traces may be read by several threads at a time.
    """

    def __init__(self, spec: Any, rows: int) -> None:
        """Args:
        spec: what it is like.
        rows: it has to remember at most.
        """

    def empty(self, rows: int, device: str | None = None) -> Readings:
        """Arrays for so many rows, not filled; tensors on a device, if given and it can."""

    def reset(self, view: SceneView, rows: Rows, rngs: Sequence[np.random.Generator]) -> None:
        """Episodes begin.

        Args:
            view: of n cars at their start.
            rows: (n,) theirs.
            rngs: n generators: what is drawn until the next reset, is drawn from them.
        """

    def read(self, view: SceneView, rows: Rows, out: Readings) -> None:
        """Fill `out` at `rows`, (n,), from what the n cars of `view` see."""


class PlainSensor:
    """A sensor without memory, whose reading is an array of its spec's space."""

    def __init__(self, spec: SensorSpec, rows: int) -> None:
        self.spec = spec
        space = spec.space()
        self._shape, self._dtype = space.shape or (), space.dtype

    def empty(self, rows: int, device: str | None = None) -> Readings:
        """Arrays for so many rows."""
        return Readings(np.empty((rows, *self._shape), self._dtype))

    def reset(self, view: SceneView, rows: Rows, rngs: Sequence[np.random.Generator]) -> None:
        """There is nothing to forget."""
