"""A recorded drive on disk, opened and checked.

The folder's layout is "vista-trace/1": trace.json, ego.parquet, a video and a table for each
camera, a table for each lidar, and optional road, tracks and labels.
"""

from __future__ import annotations

import math
import os
import re
import weakref
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from vista_sim.atomic import left_beside
from vista_sim.errors import TraceError
from vista_sim.files import absolute, read_json, require_object, shown
from vista_sim.identity.files import file_state
from vista_sim.images import check_image
from vista_sim.traces.annotations import (
    Timeline,
    read_labels,
    read_lanes,
    read_road,
    read_tracks,
    timelines,
)
from vista_sim.traces.calibration import CameraCalibration, LidarCalibration, Vehicle
from vista_sim.traces.checks import (
    Finding,
    SensorTimes,
    check_calibration,
    refuse,
)
from vista_sim.traces.checks import check_times as times_against_motion
from vista_sim.traces.ego import read_ego
from vista_sim.traces.known import read_known
from vista_sim.traces.lidar import RecordedLidar, open_lidar
from vista_sim.traces.origin import Origin
from vista_sim.traces.path import TracePath
from vista_sim.traces.samples import find_trace, named_alike
from vista_sim.traces.sections import (
    MIN_SPEED,
    SHORTEST,
    Label,
    Section,
    excluded_labels,
    gaps,
    slow_intervals,
    subtract,
)
from vista_sim.traces.tables import Array, check_span, check_times, read_table
from vista_sim.traces.tracks import Track, split_tracks
from vista_sim.traces.video import RecordedCamera
from vista_sim.traces.video_index import read_index
from vista_sim.transforms import Matrix

__all__ = ["Label", "Section", "Trace", "check_sensor_name", "read_trace_json"]

FORMAT = "vista-trace"
VERSION = 1
KNOWN_KEYS = (
    "format",
    "name",
    "licence",
    "source",
    "importer",
    "vehicle",
    "sensors",
    "origin",
    "known",
)
RESERVED_NAMES = ("ego", "road", "lanes", "tracks", "labels", "geometry", "trace")
_SENSOR_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_TIME_SLACK = 1e-6  # s; rounding of float seconds at the ends of a trace


class Trace:
    """An open trace. `Trace.open(folder)` makes one.

    It may be pickled (it is opened again by its path), forked, and used by many threads. It does
    not change, so a copy is the trace itself.

    Attributes:
        root: the folder.
        name, licence, source: what trace.json says of the recording.
        importer: name of the format that it was imported from; empty: none is told.
        vehicle: the recording car.
        origin: where on earth the world frame is; None where that is not told.
        known: by sensor, where each value of its calibration comes from: "recorded", "given",
            "estimated" or "assumed"; empty where that is not told.
        start_ns: time of the first ego row, ns; t = 0 in seconds.
        duration: time of the last ego row, s.
        ego: motion of the car, row by row.
        cameras, lidars: sensors by name.
        labels: marked stretches of time.
        findings: what in the recording contradicts itself (see `traces.checks`).
        road: s, left, right (n,): distance from the path to the road's edges, m; empty if
            not recorded.
        lanes: edges and directions of its lanes (see `annotations.read_lanes`); as `road`.
        extra: keys of trace.json beyond the format's own.
    """

    _state: tuple[object, ...] = ()  # of its files when it was opened

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = absolute(root, TraceError)
        values = read_trace_json(self.root)
        path = self.root / "trace.json"
        self.name = _text(path, values, "name", self.root.name)
        self.licence = _text(path, values, "licence")
        self.source = _text(path, values, "source")
        self.importer = _text(path, values, "importer")
        self.extra = {k: v for k, v in values.items() if k not in KNOWN_KEYS}
        try:
            vehicle = require_object(values.get("vehicle", {}), "vehicle", TraceError)
            self.vehicle = Vehicle.from_json(vehicle)
            self.origin = Origin.from_json(values["origin"]) if "origin" in values else None
            self.known = read_known(values.get("known", {}))
        except TraceError as error:
            raise TraceError(f"{path}: {error}") from None
        self.start_ns, self.ego = read_ego(self.root / "ego.parquet")
        self.duration = float(self.ego.t[-1])
        self.findings: tuple[Finding, ...] = self.ego.findings
        cameras: dict[str, RecordedCamera] = {}
        lidars: dict[str, RecordedLidar] = {}
        for name, sensor in _sensors(path, values).items():
            try:
                kind = require_object(sensor, name, TraceError).get("type", "camera")
                if kind == "camera":
                    calibration = CameraCalibration.from_json(sensor)
                elif kind == "lidar":
                    mount = LidarCalibration.from_json(sensor)
                else:  # a sensor of a later version: unknown keys are ignored
                    continue
            except TraceError as error:
                raise TraceError(f"{path}: sensor {name!r}: {error}") from None
            if kind == "camera":
                cameras[name] = _open_camera(self.root, name, calibration, self)
            else:
                lidar = open_lidar(self.root / f"{name}.parquet", name, mount, self.start_ns)
                times = SensorTimes("lidar", name, lidar.t, self.duration)
                self._add(times_against_motion(times))
                lidars[name] = lidar
        self.cameras: Mapping[str, RecordedCamera] = MappingProxyType(cameras)
        self.lidars: Mapping[str, RecordedLidar] = MappingProxyType(lidars)
        self.labels = read_labels(self.root / "labels.parquet", self.start_ns)
        self.road = read_road(self.root / "road.parquet")
        self.lanes = read_lanes(self.root / "lanes.parquet")
        tables = (self.ego.optional, self.road, self.lanes)
        for array in (column for table in tables for column in table.values()):
            array.setflags(write=False)  # whoever opens this trace too gets the same arrays

    def _add(self, findings: tuple[Finding, ...]) -> None:
        """Keep what was found. Raises TraceError if it refuses the trace."""
        refuse(self.root, findings)
        self.findings += findings

    @classmethod
    def open(cls, path: str | os.PathLike[str] | Trace) -> Trace:
        """Open a trace and check all that is cheap to check (no frame is decoded).

        Args:
            path: its folder, or what else `samples.find_trace` takes: the name of a sample trace
                ("proving-ground"), where there is no folder of that name.

        While a trace is open in this process and its files are as they were, opening it again
        gives the same object.

        Raises:
            TraceError: something is missing, malformed or inconsistent; one line says what
                in which file.
        """
        if isinstance(path, Trace):
            return path
        root = absolute(find_trace(path), TraceError)
        state = _state_of(root)
        known = _open_traces.get(root)
        if known is not None and known._state == state:
            return known
        trace = cls(root)
        trace._state = state
        _open_traces[root] = trace
        return trace

    def __repr__(self) -> str:
        return f"Trace({str(self.root)!r}, {self.duration:.1f} s, cameras {list(self.cameras)})"

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return Trace.open, (str(self.root),)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Drop this thread's video decoders. The trace stays usable and makes them anew."""
        for camera in self.cameras.values():
            camera.close()

    def find_camera(self, name: str | None = None) -> RecordedCamera:
        """A recorded camera by its name; None: the first. Raises TraceError: there is none."""
        if name is None and self.cameras:
            return next(iter(self.cameras.values()))
        if name is None or name not in self.cameras:
            known = ", ".join(self.cameras) or "none"
            what = "no camera" if name is None else f"no camera {name!r}"
            raise TraceError(f"{self.root}: {what}; cameras: {known}")
        return self.cameras[name]

    def pose(self, t: float) -> Matrix:
        """T_world_vehicle (4, 4) at time t (s), interpolated between ego rows.

        Raises:
            TraceError: t is outside [0, duration].
        """
        return self.ego.pose(self.time_inside(t))

    def speed(self, t: float) -> float:
        """Recorded speed at time t, m/s. Raises TraceError outside [0, duration]."""
        i, f = self.ego.row_before(self.time_inside(t))
        return float(self.ego.speed[i] + f * (self.ego.speed[i + 1] - self.ego.speed[i]))

    def time_inside(self, t: float) -> float:
        """The time t (s), brought into [0, duration] where rounding put it outside.

        Raises:
            TraceError: t is outside [0, duration].
        """
        t = float(t)
        if not -_TIME_SLACK <= t <= self.duration + _TIME_SLACK:
            raise TraceError(
                f"{self.root}: t is {t} s; the trace lasts from 0 to {self.duration} s"
            )
        return min(max(t, 0.0), self.duration)

    @cached_property
    def path(self) -> TracePath:
        """The recorded trajectory as a curve over arc length."""
        return TracePath(self.ego, self.root)

    @cached_property
    def gaps(self) -> tuple[tuple[float, float], ...]:
        """Stretches (s) that cannot be driven, in order of time.

        The ego motion or a camera has no samples there, or the ego motion contradicts itself
        (`findings` says how).
        """
        found = list(self.ego.breaks)
        for camera in self.cameras.values():
            found += gaps(camera.t, self.duration)
        clipped = {(max(a, 0.0), min(b, self.duration)) for a, b in found}
        return tuple(sorted(clipped))

    @cached_property
    def sections(self) -> tuple[Section, ...]:
        """What can be driven by the default criteria."""
        return self.find_sections()

    def find_sections(
        self,
        min_speed: float = MIN_SPEED,
        exclude_labels: Sequence[str | tuple[str, str]] = (),
        span: tuple[float, float] | None = None,
    ) -> tuple[Section, ...]:
        """Stretches that can be driven.

        Args:
            min_speed: m/s; what is slower is left out.
            exclude_labels: labels that are left out: a key, "key=value", or (key, value).
            span: (start, end) in s; None: the whole trace.

        Returns:
            Sections in order of time; none spans a gap, and each begins and ends at a sample.
        """
        start, end = (0.0, self.duration) if span is None else (float(span[0]), float(span[1]))
        if not start < end:
            raise TraceError(f"span is {start}:{end} s; its start must be before its end")
        if not (math.isfinite(min_speed) and min_speed >= 0):
            raise TraceError(f"min_speed is {min_speed} m/s; it must not be negative")
        cuts = list(self.gaps)
        cuts += slow_intervals(self.ego.t, self.ego.speed, min_speed)
        cuts += excluded_labels(self.ego.t, self.labels, exclude_labels)
        whole = (max(start, 0.0), min(end, self.duration))
        sections = [
            Section(a, b, self.path.arc_length(a), self.path.arc_length(b))
            for a, b in subtract(whole, cuts)
        ]
        shortest_time, shortest_length = SHORTEST
        return tuple(
            s for s in sections if s.duration >= shortest_time and s.length >= shortest_length
        )

    def label(self, key: str, t: float) -> str | None:
        """Value of the (first) label with a key at t (s); None where there is none."""
        times, values = self._timelines.get(key, ((), ()))
        place = bisect_right(times, t) - 1
        return values[place] if place >= 0 else None

    @cached_property
    def _timelines(self) -> dict[str, Timeline]:
        return timelines(self.labels)

    def tracks(self) -> dict[str, Array]:
        """Other road users, empty if not recorded (see `annotations.read_tracks`)."""
        return read_tracks(self.root / "tracks.parquet", self.start_ns)

    @cached_property
    def road_users(self) -> tuple[Track, ...]:
        """The same, one by one. Raises TraceError."""
        return split_tracks(self.tracks())


_open_traces: weakref.WeakValueDictionary[Path, Trace] = weakref.WeakValueDictionary()


def _state_of(root: Path) -> tuple[object, ...]:
    """What tells whether a trace's files have changed."""
    try:
        with os.scandir(root) as entries:
            found = [(entry.name, entry.stat()) for entry in entries]
    except OSError:  # opening it will say what is wrong
        return (object(),)  # equal to no other
    return tuple(sorted((name, file_state(stat)) for name, stat in found))


def read_trace_json(root: Path) -> dict[str, Any]:
    """Read trace.json of a trace folder and check its format and version. Raises TraceError."""
    path = root / "trace.json"
    if not root.is_dir():
        raise TraceError(
            f"{root}: no such folder; a trace is a folder with trace.json{left_beside(root)}"
        )
    missing = "not found; a trace is a folder with trace.json" + named_alike(root)
    values = read_json(path, TraceError, missing=missing)
    if not isinstance(values, dict):
        raise TraceError(f"{path}: holds no JSON object")
    match = re.fullmatch(rf"{FORMAT}/(\d{{1,6}})(\.\d+)*", str(values.get("format")))
    if match is None:
        found = values.get("format")
        raise TraceError(
            f"{path}: format is {shown(found)}; this version reads '{FORMAT}/{VERSION}'"
        )
    if int(match[1]) > VERSION:
        raise TraceError(
            f"{path}: format is {values['format']!r}, newer than '{FORMAT}/{VERSION}' "
            "that this version reads; update vista_sim"
        )
    return values


def check_sensor_name(name: str, where: str) -> None:
    """Raise TraceError unless a sensor name is usable as a file name in every trace."""
    if not isinstance(name, str) or not _SENSOR_NAME.fullmatch(name):
        raise TraceError(
            f"{where}: sensor name {shown(name)} is not allowed; use letters, digits, '-' and '_'"
        )
    if name in RESERVED_NAMES:
        raise TraceError(f"{where}: sensor name {name!r} is reserved; choose another")


def _text(path: Path, values: Mapping[str, Any], key: str, default: str = "") -> str:
    value = values.get(key, default)
    if value is None:
        return default
    if not isinstance(value, str):
        raise TraceError(f"{path}: {key} is {shown(value)}; it must be text")
    return value


def _sensors(path: Path, values: dict[str, Any]) -> Mapping[str, Any]:
    if "sensors" not in values:
        raise TraceError(f"{path}: key 'sensors' (the calibration) is missing")
    try:
        sensors = require_object(values["sensors"], "sensors", TraceError)
    except TraceError as error:
        raise TraceError(f"{path}: {error}") from None
    for name in sensors:
        check_sensor_name(name, str(path))
    return sensors


def _open_camera(
    root: Path, name: str, calibration: CameraCalibration, trace: Trace
) -> RecordedCamera:
    table = root / f"{name}.parquet"
    columns = read_table(table, {"frame": "int", "t_ns": "int"})
    t_ns: NDArray[np.int64] = columns["t_ns"]
    check_times(table, t_ns)
    check_span(table, t_ns)
    wrong = np.flatnonzero(columns["frame"] != np.arange(len(t_ns)))
    if len(wrong):
        row = int(wrong[0])
        raise TraceError(f"{table}: row {row}: frame is {columns['frame'][row]}; it must be {row}")
    video = root / f"{name}.mp4"
    index = read_index(video, calibration.lens.size)
    if len(index) != len(t_ns):
        raise TraceError(f"{video}: holds {len(index)} frames, but {table.name} lists {len(t_ns)}")
    t = np.asarray((t_ns - trace.start_ns) * 1e-9, dtype=np.float64)
    times = SensorTimes("camera", name, t, trace.duration)
    trace._add(times_against_motion(times))
    trace._add(check_calibration(name, calibration))
    inside = times.inside
    # Frames before the first or after the last ego row have no pose and are left out.
    t = np.clip(t[inside], 0.0, trace.duration)
    t.setflags(write=False)
    if calibration.mask is not None and not _plain_file(root, calibration.mask):
        mask = shown(calibration.mask)
        raise TraceError(f"{root}: mask {mask} of {name!r} is no file of the trace")
    if calibration.mask is not None:
        check_image(root / calibration.mask, calibration.lens.size, TraceError)
    return RecordedCamera(name, video, calibration, t, index.only(inside))


def _plain_file(root: Path, name: object) -> bool:
    return isinstance(name, str) and Path(name).name == name and (root / name).is_file()
