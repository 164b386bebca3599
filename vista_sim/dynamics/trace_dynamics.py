"""The dynamics of cars in one trace: what the compiled code needs of it, and that code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vista_sim.dynamics.bicycle import KinematicBicycle
from vista_sim.dynamics.state import Table
from vista_sim.traces.calibration import Vehicle

if TYPE_CHECKING:
    from vista_sim.traces.trace import Trace


class TraceDynamics:
    """A trace's path, recording, road and vehicle as arrays, and the code that moves cars in it.

    Args:
        trace: it drives in.
        vehicle: it drives; None: the trace's.

    Attributes:
        bicycle: of the vehicle.
    """

    def __init__(self, trace: Trace, vehicle: Vehicle | None = None) -> None:
        from vista_sim.dynamics import driving

        self._made_of = trace, vehicle
        self.bicycle = KinematicBicycle(vehicle or trace.vehicle)
        road = trace.road
        edges = np.array([road[name] for name in ("s", "left", "right")]) if road else _NO_EDGES
        self._limits, self._path = self.bicycle.limits, trace.path.arrays
        self._edges = np.array(edges, dtype=np.float64)
        self._begin, self._step = driving.begin, driving.drive

    def __reduce__(self) -> tuple[Any, ...]:
        # Numba would pickle its functions, and compile each anew where it is read.
        return TraceDynamics, self._made_of

    def begin(self, table: Table, row: int, s: float, lateral: float, heading: float) -> None:
        """Put a car (a row of its table) at an offset from the path; see `driving.begin`."""
        self._begin(table, row, s, lateral, heading, self._limits, self._path, self._edges)

    def step(self, table: Table, rows: NDArray[np.int64], dt: float) -> None:
        """Move cars (rows of their table) by one step; see `driving.drive`."""
        self._step(table, rows, dt, self._limits, self._edges, *self._path)


_NO_EDGES = np.empty((3, 0))
