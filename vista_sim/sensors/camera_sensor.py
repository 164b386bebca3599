"""The camera as a sensor."""

from __future__ import annotations

import numpy as np

from vista_sim.sensors.sensor import PlainSensor, Readings, Rows
from vista_sim.sensors.spec import CameraSpec
from vista_sim.sensors.view import SceneView


class CameraSensor(PlainSensor):
    """Reads what a camera sees."""

    spec: CameraSpec

    def empty(self, rows: int, device: str | None = None) -> Readings:
        """Images for so many rows, and which pixels were really seen."""
        size = self.spec.size
        if device is not None:
            import torch

            return Readings(
                torch.empty((rows, *size, 3), dtype=torch.uint8, device=device),
                torch.empty((rows, *size), dtype=torch.bool, device=device),
            )
        return Readings(np.empty((rows, *size, 3), np.uint8), np.empty((rows, *size), np.bool_))

    def read(self, view: SceneView, rows: Rows, out: Readings) -> None:
        """See `Sensor`."""
        camera = view.camera(self.spec)
        if not isinstance(out.value, np.ndarray):
            views = camera.render_tensors(view.scene_time, view.offset, view.bodies)
            places = rows.tolist()
            out.value[places], out.valid[places] = views.image, views.valid
        else:
            camera.render_batch(
                view.scene_time,
                view.offset,
                (out.value, out.valid),
                rows,
                view.workers,
                bodies=view.bodies,
            )
