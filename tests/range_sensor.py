"""A kind of sensors that the simulator does not know: range along a row of rays, smoothed in time.

It is made of nothing but what `vista_sim.sensors` offers to anybody.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from gymnasium import spaces

from vista_sim.sensors.registry import register
from vista_sim.sensors.sensor import PlainSensor
from vista_sim.sensors.spec import CameraSpec, SensorSpec


@dataclass(frozen=True)
class RangeSpec(SensorSpec):
    kind: ClassVar[str] = "range"

    rays: int = 24
    fov: float = 0.8  # rad
    keep: float = 0.5  # share of the last reading that stays
    farthest: float = 60.0  # m

    @property
    def cameras(self):
        return (CameraSpec((16, self.rays), self.fov),)

    def space(self):
        return spaces.Box(0.0, self.farthest, (self.rays,), np.float32)


class RangeSensor(PlainSensor):
    def __init__(self, spec, rows):
        super().__init__(spec, rows)
        self._last = np.full((rows, spec.rays), np.nan)

    def reset(self, view, rows, rngs):
        self._last[rows] = np.nan

    def read(self, view, rows, out):
        depth = view.look(self.spec.cameras[0]).inverse_depth[:, -1].astype(np.float64)
        now, last = np.clip(1 / np.maximum(depth, 1e-3), 0, self.spec.farthest), self._last[rows]
        smooth = self.spec.keep * last + (1 - self.spec.keep) * now
        self._last[rows] = np.where(np.isnan(last), now, smooth)
        out.value[rows] = self._last[rows]


register(RangeSpec, RangeSensor)
