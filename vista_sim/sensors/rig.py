"""The sensors of one car, or of many that are read together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from vista_sim.sensors.faults import Delivered, Faults, Randomized
from vista_sim.sensors.registry import make_sensor
from vista_sim.sensors.sensor import Readings, Rows, Sensor
from vista_sim.sensors.spec import SensorSpec
from vista_sim.sensors.view import SceneView

#: Cars of one trace, and their rows of the rig.
Group = tuple[SceneView, Rows]


class Seat(NamedTuple):
    """A car's place in a rig that many share.

    Args:
        rig: that reads.
        row: of the car.
        readings: of all its cars, overwritten whenever some are read.
    """

    rig: Rig
    row: int
    readings: Mapping[str, Readings]


class Rig:
    """Sensors by name, with a row for each car that has them.

    Args:
        rows: how many cars.
        workers: threads to use; what is read does not depend on it.

    Attributes:
        specs: of the sensors, by name, in the order in which they were added.
    """

    def __init__(self, rows: int = 1, workers: int = 1) -> None:
        self.rows = rows
        self.specs: dict[str, SensorSpec] = {}
        self._workers = workers
        self._sensors: dict[str, Sensor] = {}
        self._faulty: dict[str, tuple[Randomized, Delivered]] = {}
        self._faults = [Faults()] * rows
        self._threads: ThreadPoolExecutor | None = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_threads": None}  # a copy starts threads of its own

    def add(self, name: str, spec: SensorSpec) -> None:
        """Give all its cars one more sensor; it is read from the next reset on."""
        sensor = make_sensor(spec, self.rows)
        if not spec.privileged:
            randomized = Randomized(sensor, spec, self.rows)
            sensor = delivered = Delivered(randomized, self.rows)
            self._faulty[name] = randomized, delivered
        self.specs[name], self._sensors[name] = spec, sensor
        for row, faults in enumerate(self._faults):
            self.fit(row, faults)

    def remove(self, name: str) -> None:
        """Take a sensor away; nothing where there is none of that name."""
        for known in (self.specs, self._sensors, self._faulty):
            known.pop(name, None)

    def fit(self, row: int, faults: Faults) -> None:
        """Give a car faults, from its next reset on. Raises WorldError on some that cannot be."""
        self._faults[row] = faults
        for layers in self._faulty.values():
            for layer in layers:
                layer.fit(row, faults)

    def forget(self, row: int) -> None:
        """Forget readings that are under way to a car."""
        for _, delivered in self._faulty.values():
            delivered.forget(row)

    def reset(self, view: SceneView, rows: Rows, rngs: Sequence[np.random.Generator]) -> None:
        """Episodes begin; see `Sensor.reset`."""
        for sensor in self._sensors.values():
            sensor.reset(view, rows, rngs)

    def empty(self, device: str | None = None) -> dict[str, Readings]:
        """Arrays to read into, by name; tensors on a device, of sensors that leave them there."""
        return {name: sensor.empty(self.rows, device) for name, sensor in self._sensors.items()}

    def read(self, groups: Sequence[Group], out: Mapping[str, Readings]) -> None:
        """Read all sensors, one after the other, of some cars.

        Args:
            groups: the cars by trace, each trace once.
            out: by name, filled at the rows of these cars.
        """
        for name, sensor in self._sensors.items():
            if self._workers == 1:
                for view, rows in groups:
                    sensor.read(view, rows, out[name])
            else:
                self._share_out(sensor, groups, out[name])

    def close(self) -> None:
        """End the threads."""
        if self._threads is not None:
            self._threads.shutdown()
            self._threads = None

    def _share_out(self, sensor: Sensor, groups: Sequence[Group], out: Readings) -> None:
        """Read one sensor by threads."""
        few: list[Group] = []
        for view, rows in groups:
            if len(groups) == 1 or len(rows) > self._workers:
                sensor.read(replace(view, workers=self._workers), rows, out)
            else:  # too few to share among threads: a trace goes to a thread
                few.append((view, rows))
        if len(few) < 2:
            for view, rows in few:
                sensor.read(view, rows, out)
        else:
            if self._threads is None:
                self._threads = ThreadPoolExecutor(self._workers, thread_name_prefix="sensors")
            list(self._threads.map(lambda group: sensor.read(group[0], group[1], out), few))
