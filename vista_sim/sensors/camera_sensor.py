"""The camera as a sensor."""

from __future__ import annotations

import numpy as np

from vista_sim.sensors.sensor import PlainSensor, Readings, Rows
from vista_sim.sensors.spec import CameraSpec
from vista_sim.sensors.view import SceneView


class CameraSensor(PlainSensor):
    """Reads what a camera sees."""

    spec: CameraSpec

    def empty(self, rows: int) -> Readings:
        """Arrays for so many rows: images, and which pixels were really seen."""
        size = self.spec.size
        return Readings(
            np.zeros((rows, *size, 3), dtype=np.uint8), np.zeros((rows, *size), dtype=np.bool_)
        )

    def read(self, view: SceneView, rows: Rows, out: Readings) -> None:
        """See `Sensor`."""
        assert out.valid is not None
        view.camera(self.spec).render_batch(
            view.scene_time, view.offset, (out.value, out.valid), rows, view.workers
        )
