"""Where on earth the world frame of a trace is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from vista_sim.errors import TraceError
from vista_sim.files import check_real, shown
from vista_sim.traces.geodesy import geodetic_of_local
from vista_sim.transforms import Matrix, planar_pose, wrap_angle, yaw_of

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
            check_real(getattr(self, name), f"origin: {name}", low, high, TraceError)

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

    def moved(self, pose: Matrix) -> Self:
        """The origin of a frame that has this pose (4, 4) in the frame of this one."""
        east_north_up = planar_pose(0.0, 0.0, self.heading)[:3, :3] @ pose[:3, 3]
        place = geodetic_of_local(east_north_up, self.latitude, self.longitude, self.altitude)
        latitude, longitude, altitude = (float(value) for value in place)
        return type(self)(latitude, longitude, altitude, wrap_angle(self.heading + yaw_of(pose)))
