"""What is wrong with a car's sensors: sensors around a sensor, each row with its own faults.

In the order in which it happens: the mount is off and the image is changed (`Randomized`), then
readings are lost, or late (`Delivered`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vista_sim.sensors.delivery import FrameDelivery
from vista_sim.sensors.randomization import Randomization, RandomizedCamera
from vista_sim.sensors.sensor import Readings, Rows, Sensor, copied, like, on_host
from vista_sim.sensors.spec import CameraSpec, SensorSpec
from vista_sim.sensors.view import SceneView
from vista_sim.transforms import Matrix, planar_pose


@dataclass(frozen=True)
class Faults:
    """Of a car's sensors, but for privileged ones.

    Args:
        randomization: how images and mounts differ from episode to episode; None: they do not.
        dropped, late: see `FrameDelivery`.
        seed: of what is lost, alike for all sensors of the car.
    """

    randomization: Randomization | None = None
    dropped: float = 0.0
    late: float = 0.0
    seed: int | tuple[int, ...] = 0


class Randomized:
    """A sensor with what is drawn for it at each start: its mount, and what becomes of images.

    Args:
        sensor: that reads.
        spec: of it.
        rows: as of the sensor.
    """

    def __init__(self, sensor: Sensor, spec: SensorSpec, rows: int) -> None:
        self._sensor, self._spec = sensor, spec
        self._faults = [Faults()] * rows
        self._drawn: list[RandomizedCamera | None] = [None] * rows
        self._rngs: list[Any] = [None] * rows

    def fit(self, row: int, faults: Faults) -> None:
        """The faults of a row, from its next reset on."""
        self._faults[row] = faults

    def empty(self, rows: int, device: str | None = None) -> Readings:
        """See `Sensor`."""
        return self._sensor.empty(rows, device)

    def reset(self, view: SceneView, rows: Rows, rngs: Sequence[np.random.Generator]) -> None:
        """See `Sensor`."""
        for row, rng in zip(rows.tolist(), rngs, strict=True):
            randomization = self._faults[row].randomization
            self._drawn[row], self._rngs[row] = None, rng
            if randomization is not None:
                self._drawn[row] = RandomizedCamera(randomization.draw(rng), self._mount(view))
        self._sensor.reset(view, rows, rngs)

    def read(self, view: SceneView, rows: Rows, out: Readings) -> None:
        """See `Sensor`."""
        places = rows.tolist()
        drawn = [(k, one) for k, row in enumerate(places) if (one := self._drawn[row]) is not None]
        off = {k: one.displacement for k, one in drawn if one.displacement is not None}
        if not off:
            self._sensor.read(view, rows, out)
        else:
            self._read_displaced(view, rows, out, off)
        if isinstance(self._spec, CameraSpec):
            for k, one in drawn:
                row = places[k]
                changed = one.drawn.apply(on_host(out.value[row]), self._rngs[row])
                out.value[row] = like(changed, out.value)

    def _read_displaced(
        self, view: SceneView, rows: Rows, out: Readings, off: dict[int, Matrix]
    ) -> None:
        """Read where the mounts `off` are off; offsets that are read together are of one kind."""
        straight = np.array([k for k in range(len(rows)) if k not in off], dtype=np.int64)
        if len(straight):
            self._sensor.read(view.only(straight), rows[straight], out)
        offsets, which = view.offset.tolist(), np.array(list(off))
        moved = np.stack([planar_pose(*offsets[k]) @ off[k] for k in which.tolist()])
        self._sensor.read(view.only(which, moved), rows[which], out)

    def _mount(self, view: SceneView) -> Matrix:
        """T_vehicle_sensor (4, 4) as it should be."""
        cameras = self._spec.cameras
        return view.cameras.mount(view.trace, cameras[0]) if cameras else np.eye(4)


#: A reading of a row: its value, and which of its pixels were really seen.
_Reading = tuple[Any, Any]


class Delivered:
    """A sensor whose readings are lost, or late.

    Args:
        sensor: that reads.
        rows: as of the sensor.
    """

    def __init__(self, sensor: Sensor, rows: int) -> None:
        self._sensor = sensor
        self._lines: list[FrameDelivery[_Reading] | None] = [None] * rows

    def fit(self, row: int, faults: Faults) -> None:
        """The faults of a row, from its next reset on."""
        line = None
        if faults.dropped != 0 or faults.late != 0:
            rng = np.random.default_rng(faults.seed)
            line = FrameDelivery[_Reading](faults.dropped, faults.late, rng)
        self._lines[row] = line

    def forget(self, row: int) -> None:
        """Forget what is under way to a row."""
        line = self._lines[row]
        if line is not None:
            line.reset()

    def empty(self, rows: int, device: str | None = None) -> Readings:
        """See `Sensor`."""
        return self._sensor.empty(rows, device)

    def reset(self, view: SceneView, rows: Rows, rngs: Sequence[np.random.Generator]) -> None:
        """See `Sensor`."""
        for row in rows.tolist():
            self.forget(row)
        self._sensor.reset(view, rows, rngs)

    def read(self, view: SceneView, rows: Rows, out: Readings) -> None:
        """See `Sensor`."""
        self._sensor.read(view, rows, out)
        places = rows.tolist()
        lines = [(k, line) for k, row in enumerate(places) if (line := self._lines[row])]
        if not lines:
            return
        times = view.time.tolist()
        for k, line in lines:
            row = places[k]
            # Copies: the arrays are filled anew, and a reading may arrive once more.
            taken = None if out.valid is None else copied(out.valid[row])
            value, valid = line.deliver(times[k], (copied(out.value[row]), taken))
            out.value[row] = value
            if out.valid is not None:
                out.valid[row] = valid
