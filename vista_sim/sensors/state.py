"""The privileged state vector, and its sensor."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
from numpy.typing import NDArray

from vista_sim.sensors.sensor import PlainSensor, Readings, Rows
from vista_sim.sensors.state_vector import STATE_NAMES
from vista_sim.sensors.view import SceneView


class StateSensor(PlainSensor):
    """Reads where a car is on its path, and the path ahead; see `state_vector`."""

    def read(self, view: SceneView, rows: Rows, out: Readings) -> None:
        """See `Sensor`."""
        _fill_rows(view, rows, out.value)


def state_vectors(view: SceneView) -> NDArray[np.float32]:
    """(n, K) of the cars of a view."""
    found = np.empty((len(view), len(STATE_NAMES)), dtype=np.float32)
    _fill_rows(view, np.arange(len(view)), found)
    return found


def _fill_rows(view: SceneView, rows: Rows, out: NDArray[np.float32]) -> None:
    path = view.recording.path
    _fill()(view.table, view.rows, rows, path.length, path.arrays.knots, path.arrays.bends, out)


@cache
def _fill() -> Callable[..., None]:
    """The compiled code, loaded when first used."""
    from vista_sim.sensors.state_kernel import fill_states

    return fill_states
