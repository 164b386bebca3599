"""Points of `sensor_msgs/PointCloud2`, whose fields each driver names and orders as it likes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vista_sim.errors import TraceError
from vista_sim.traces.importers.recording import Points

# sensor_msgs/PointField: datatype 1 to 8.
_TYPES = ("i1", "u1", "i2", "u2", "i4", "u4", "f4", "f8")
_INTENSITY = ("intensity", "intensities", "reflectivity", "i", "signal")
_RING = ("ring", "channel", "line", "laser_id")
_TIME = ("t", "time", "timestamp", "time_stamp", "offset_time", "t_us")
_UNITS = {"s": 1e9, "ms": 1e6, "us": 1e3, "ns": 1.0}  # ns
MAX_POINTS = 2**26
_MAX_RING = 2**31 - 1
_FAR = 2.0**62  # ns: what is farther away is no time
LONGEST = 2.0  # s that a sweep may last
_ABSOLUTE = 60.0  # s that the time of a point of the clock may be from the header's


@dataclass(frozen=True)
class PointTime:
    """What the time of points is: of which field, in which unit, since when."""

    field: str
    unit: str
    absolute: bool

    def __str__(self) -> str:
        since = "of the clock" if self.absolute else "since the header's time"
        return f"time of points: field {self.field} in {self.unit} {since}"


@dataclass(frozen=True)
class PointFields:
    """Which fields hold what; empty: none."""

    names: tuple[str, ...]
    intensity: str
    ring: str
    time: str


def layout(message: Any, where: str) -> PointFields:
    """The fields of a cloud. Raises TraceError where it has not x, y and z."""
    names = tuple(str(field.name) for field in message.fields)
    for name in "xyz":
        if name not in names:
            raise TraceError(
                f"{where}: has no field {name}; its fields are {', '.join(names) or 'none'}"
            )

    def first(known: tuple[str, ...]) -> str:
        return next((name for name in known if name in names), "")

    return PointFields(names, first(_INTENSITY), first(_RING), first(_TIME))


def read_fields(message: Any, wanted: tuple[str, ...], where: str) -> dict[str, NDArray[Any]]:
    """Fields of a cloud by name, each (n,), rows and points padded or not. Raises TraceError."""
    width, height = int(message.width), int(message.height)
    step, row = int(message.point_step), int(message.row_step)
    if width * height > MAX_POINTS:
        raise TraceError(f"{where}: declares {width * height} points; at most {MAX_POINTS}")
    if height == 1 or row == 0:
        row = max(row, width * step)
    data = np.frombuffer(memoryview(message.data), dtype=np.uint8)
    if row < width * step or len(data) < row * (height - 1) + width * step:
        raise TraceError(
            f"{where}: {len(data)} bytes hold no {width} x {height} points of {step} bytes"
        )
    order = ">" if message.is_bigendian else "<"
    found: dict[str, NDArray[Any]] = {}
    for field in message.fields:
        if field.name not in wanted or field.name in found:
            continue
        if not 1 <= field.datatype <= len(_TYPES):
            raise TraceError(f"{where}: field {field.name} is of unknown type {field.datatype}")
        kind = np.dtype(order + _TYPES[field.datatype - 1])
        if field.offset + kind.itemsize > step:
            raise TraceError(
                f"{where}: field {field.name} ends at byte {field.offset + kind.itemsize} of "
                f"{step} a point has"
            )
        if not width * height:
            found[field.name] = np.empty(0, kind)
            continue
        values = np.ndarray(
            (height, width), kind, data, offset=int(field.offset), strides=(row, step)
        )
        found[field.name] = values.ravel()
    return found


@np.errstate(invalid="ignore", over="ignore")
def point_time(name: str, values: NDArray[Any], header_ns: int) -> PointTime | None:
    """What a field of times is by its type and size, of one sweep; None where it tells nothing.

    Times of the clock are near the header's in one unit. Others are since the header: a sweep
    takes no longer than `LONGEST`, and whole numbers are no seconds.
    """
    good = values[np.isfinite(values)]
    span = float(good.max() - good.min()) if len(good) else 0.0
    if span <= 0:
        return None
    middle = float(good[len(good) // 2])
    for unit, ns in _UNITS.items():
        # Seconds since 1970 in 32 bits are two minutes apart.
        if (
            good.dtype.itemsize == 8
            and header_ns > 1e15
            and abs(middle * ns - header_ns) < _ABSOLUTE * 1e9
        ):
            return PointTime(name, unit, True)
    units = list(_UNITS)[0 if good.dtype.kind == "f" else 2 :]
    far = max(span, float(np.abs(good.astype(np.float64)).max()))
    for unit in units:
        if far * _UNITS[unit] <= LONGEST * 1e9 and (unit == "ns" or far > _least(unit)):
            return PointTime(name, unit, False)
    return None


def _least(unit: str) -> float:
    """Smallest span of a sweep, 1 ms, in a unit: less would be a sweep in a larger one."""
    return 1e6 / _UNITS[unit]


@np.errstate(invalid="ignore", over="ignore")
def points_of(
    message: Any,
    about: PointFields,
    time: PointTime | None,
    at_ns: int,
    late_ns: int,
    where: str,
) -> Points:
    """The points of a cloud that were measured: finite, and not at the scanner itself, where some
    drivers put rays that did not come back. Raises TraceError.

    Args:
        time: of its points; None: not told.
        at_ns: time of the sweep, ns. late_ns: by how much that is after the header's.
    """
    wanted = (*"xyz", about.intensity, about.ring, time.field if time else "")
    found = read_fields(message, wanted, where)
    for name in {name for name in wanted if name} - set(found):
        raise TraceError(f"{where}: has no field {name}, which the first cloud has")
    xyz = np.stack([found[name].astype(np.float64) for name in "xyz"], axis=1)
    good = np.isfinite(xyz).all(axis=1) & (xyz != 0).any(axis=1)
    intensity = np.zeros(len(xyz))
    if about.intensity:
        intensity = np.nan_to_num(found[about.intensity].astype(np.float64), posinf=0, neginf=0)
    ring = _rings(found[about.ring][good]) if about.ring else None
    t_ns = None
    if time is not None:
        values = found[time.field][good]
        t_ns = _times(values, time) + (late_ns if time.absolute else at_ns)
    return Points(xyz[good], intensity[good], ring, t_ns)


def _rings(values: NDArray[Any]) -> NDArray[np.int64]:
    return np.clip(np.nan_to_num(values.astype(np.float64)), 0, _MAX_RING).astype(np.int64)


def _times(values: NDArray[Any], time: PointTime) -> NDArray[np.int64]:
    """Times of points, ns, since what they are since."""
    unit = int(_UNITS[time.unit])
    if values.dtype.kind in "iu":
        return values.astype(np.int64) * unit
    values = np.clip(np.nan_to_num(values.astype(np.float64)), -_FAR / unit, _FAR / unit)
    # Of seconds since 1970 in ns, 64 bits hold steps of 256: what is whole is taken apart first.
    whole = np.floor(values)
    return whole.astype(np.int64) * unit + np.round((values - whole) * unit).astype(np.int64)
