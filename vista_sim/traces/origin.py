"""Where on earth the world frame of a trace is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from vista_sim.errors import TraceError
from vista_sim.files import shown
from vista_sim.traces.geodesy import geodetic_of_local

_BOUNDS = {
    "latitude": (-90.0, 90.0),
    "longitude": (-180.0, 180.0),
    "altitude": (-1e4, 1e5),
    "heading": (-2 * math.pi, 2 * math.pi),
}


@dataclass(frozen=True)
class Origin:
    """The place of a world frame's origin, and where its x axis points.

    Args:
        latitude, longitude: degrees, WGS 84.
        altitude: m above the ellipsoid, or above the sea where the recording says that.
        heading: of the x axis, rad from east, counter-clockwise.
    """

    latitude: float
    longitude: float
    altitude: float = 0.0
    heading: float = 0.0

    def __post_init__(self) -> None:
        for name, (low, high) in _BOUNDS.items():
            value = getattr(self, name)
            usable = isinstance(value, int | float) and not isinstance(value, bool)
            if not (usable and low <= value <= high):
                bounds = f"{low:g} to {high:g}"
                raise TraceError(f"origin: {name} is {shown(value)}; it must be from {bounds}")

    @classmethod
    def from_json(cls, values: Any) -> Self:
        """Read the `origin` object of trace.json. Raises TraceError."""
        if not isinstance(values, Mapping):
            raise TraceError(f"origin is {shown(values)}; it must be an object")
        for name in ("latitude", "longitude"):
            if name not in values:
                raise TraceError(f"origin: {name} is missing")
        return cls(**{name: values[name] for name in _BOUNDS if name in values})

    def to_json(self) -> dict[str, float]:
        return asdict(self)

    def moved(self, x: float, y: float, z: float, turn: float) -> Self:
        """The origin of a frame that lies at (x, y, z), m, of this one and is turned by so much
        to the left, rad.
        """
        c, s = math.cos(self.heading), math.sin(self.heading)
        place = geodetic_of_local(
            (c * x - s * y, s * x + c * y, z), self.latitude, self.longitude, self.altitude
        )
        heading = math.remainder(self.heading + turn, 2 * math.pi)
        latitude, longitude, altitude = (float(value) for value in place)
        return type(self)(latitude, longitude, altitude, heading)
