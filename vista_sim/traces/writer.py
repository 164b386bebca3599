"""Writes a trace: into a temporary folder beside its destination, renamed when whole."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vista_sim.atomic import WholeFolder, is_full_disk
from vista_sim.errors import TraceError
from vista_sim.traces.atomic import FULL_TEXT, check_destination, check_replaced, write_errors_name
from vista_sim.traces.calibration import CameraCalibration, LidarCalibration, Vehicle
from vista_sim.traces.checks import Finding, RefusedError
from vista_sim.traces.ego import OPTIONAL, POSITION, QUATERNION, check_ego
from vista_sim.traces.findings import find_all
from vista_sim.traces.lidar import SWEEPS
from vista_sim.traces.origin import Origin
from vista_sim.traces.sections import Label
from vista_sim.traces.tables import (
    GrowingTable,
    check_times,
    require_same_length,
    write_table,
)
from vista_sim.traces.trace import FORMAT, KNOWN_KEYS, VERSION, Trace, check_sensor_name
from vista_sim.traces.video import VideoWriter

logger = logging.getLogger(__name__)

#: Rows of a row group of a lidar, at least: each takes some kB of memory while the file is open.
GROUP = 2**17


class CameraWriter:
    """Takes the frames of one camera; made by `TraceWriter.add_camera`."""

    def __init__(self, video: VideoWriter) -> None:
        self._video = video
        self.t_ns: list[int] = []

    def write(self, rgb: NDArray[np.uint8], t_ns: int) -> None:
        """Append a frame.

        Args:
            rgb: uint8 (height, width, 3) of the calibrated size.
            t_ns: its time, ns; later than that of the frame before.
        """
        t_ns = int(t_ns)
        before = self.t_ns[-1] if self.t_ns else None
        _require_later(f"{self._video.path}: frame {len(self.t_ns)}", t_ns, before)
        with write_errors_name(self._video.path):
            self._video.write(rgb)
        self.t_ns.append(t_ns)


def _require_later(what: str, t_ns: int, before: int | None) -> None:
    if before is not None and t_ns <= before:
        raise TraceError(f"{what}: time {t_ns} ns follows {before} ns; time must increase")


class LidarWriter:
    """Takes the sweeps of one lidar; made by `TraceWriter.add_lidar`. A few are held at a time."""

    def __init__(self, path: Path, shown: Path) -> None:
        self._path, self._shown = path, shown
        self._file = GrowingTable(
            path, repeated=("sweep", "t_ns", "intensity", "ring"), rising=("point_t_ns",)
        )
        self._columns: tuple[str, ...] = ()
        self._last_ns: int | None = None
        self._held: list[dict[str, Any]] = []
        self._rows = 0  # of what is held
        self._listed: list[tuple[int, int, int]] = []
        self.sweeps = 0

    def write(
        self,
        t_ns: int,
        points: ArrayLike,
        intensity: ArrayLike,
        *,
        ring: ArrayLike | None = None,
        point_t_ns: ArrayLike | None = None,
    ) -> None:
        """Append a sweep; one without points leaves no rows.

        Args:
            t_ns: its time, ns, later than that of the sweep before: of its first point, or what
                motion-compensated points refer to.
            points: (n, 3) m in the lidar's frame; kept in 32 bits, to some µm.
            intensity: (n,).
            ring: (n,) which laser.
            point_t_ns: (n,) when each point was measured, ns.
        """
        _require_later(f"{self._shown}: sweep {self.sweeps}", t_ns, self._last_ns)
        xyz = np.asarray(points, dtype=np.float32).reshape(-1, 3)
        columns: dict[str, Any] = {
            "sweep": np.full(len(xyz), self.sweeps, np.int64),
            "t_ns": np.full(len(xyz), int(t_ns), np.int64),
            **{name: xyz[:, k] for k, name in enumerate("xyz")},
            "intensity": np.asarray(intensity, dtype=np.float32),
        }
        if ring is not None:
            columns["ring"] = np.asarray(ring, dtype=np.int64)
        if point_t_ns is not None:
            columns["point_t_ns"] = np.asarray(point_t_ns, dtype=np.int64)
        require_same_length(self._shown, columns)
        self._columns = self._columns or tuple(columns)
        if tuple(columns) != self._columns:
            raise TraceError(
                f"{self._shown}: sweep {self.sweeps} has columns {', '.join(columns)}; "
                f"those before have {', '.join(self._columns)}"
            )
        if len(xyz):
            self._listed.append((self.sweeps, int(t_ns), len(xyz)))
            self._held.append(columns)
            self._rows += len(xyz)
        if self._rows >= GROUP:
            self._flush()
        self._last_ns = int(t_ns)
        self.sweeps += 1

    @property
    def has_points(self) -> bool:
        """Whether any sweep had points."""
        return bool(self._listed)

    def _flush(self) -> None:
        held, self._held, self._rows = self._held, [], 0
        if held:
            with write_errors_name(self._path):
                self._file.append(
                    {name: np.concatenate([part[name] for part in held]) for name in held[0]}
                )

    def finish(self) -> None:
        """Write what is held and the list of sweeps, and end the file."""
        self._flush()
        with write_errors_name(self._path):
            self._file.close({SWEEPS: json.dumps(self._listed)})

    def close(self) -> None:
        """End the file as it is."""
        with write_errors_name(self._path):
            self._file.close()


class TraceWriter:
    """Writes one trace; a context manager.

    The destination appears when the block ends well, after the whole trace was opened and
    checked; what was found (`traces.checks`) is logged, and in `findings`. After any error,
    nothing is left. What came to be at the destination meanwhile is an error too, unless it may
    be replaced.

    Args:
        destination: folder to make.
        name, licence, source: of the recording.
        vehicle: the recording car.
        overwrite: replace a trace that is there already.
        origin: where on earth the world frame is.
        known: by sensor, and by value of its calibration: "recorded", "given", "estimated" or
            "assumed".
        importer: name of the format that it is imported from; empty: of none.
        recording: file or folder that it is imported from: what is found is told of that.
        extra: further keys for trace.json.
    """

    def __init__(
        self,
        destination: str | os.PathLike[str],
        *,
        name: str,
        licence: str,
        source: str,
        vehicle: Vehicle,
        overwrite: bool = False,
        origin: Origin | None = None,
        known: Mapping[str, Mapping[str, str]] | None = None,
        importer: str = "",
        recording: str | os.PathLike[str] = "",
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        self.destination = Path(destination).resolve()
        self.overwrite = overwrite
        self._recording = os.fspath(recording)
        clash = sorted(set(extra or {}) & set(KNOWN_KEYS))
        if clash:
            raise TraceError(f"{self.destination}: extra key {clash[0]!r} belongs to the format")
        self._values: dict[str, Any] = {
            "format": f"{FORMAT}/{VERSION}",
            "name": name,
            "licence": licence,
            "source": source,
            **({"importer": importer} if importer else {}),
            "vehicle": vehicle.to_json(),
            "sensors": {},
            **({} if origin is None else {"origin": origin.to_json()}),
            **({} if not known else {"known": {k: dict(v) for k, v in known.items()}}),
            **(extra or {}),
        }
        self._videos: dict[str, VideoWriter] = {}
        self._cameras: dict[str, CameraWriter] = {}
        self._lidars: dict[str, LidarWriter] = {}
        self._part: WholeFolder | None = None
        self._made: list[Path] = []
        self._labels: tuple[Label, ...] = ()
        self._start_ns = 0
        self.findings: tuple[Finding, ...] = ()

    def __enter__(self) -> Self:
        check_destination(self.destination, self.overwrite)
        parent = self.destination.parent
        self._made = [p for p in (parent, *parent.parents) if not p.exists()]
        try:
            with write_errors_name(self.destination):
                parent.mkdir(parents=True, exist_ok=True)
                self._part = WholeFolder(self.destination)
        except BaseException:
            self._remove_made_parents()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        folder = str(self.folder)
        try:
            if kind is None:
                with write_errors_name(self.destination):
                    self._finish()
        except TraceError as failure:
            error = failure
        finally:
            for video in self._videos.values():
                video.abort()
            for lidar in self._lidars.values():
                with suppress(TraceError):
                    lidar.close()
            if self._part is not None:
                self._part.discard()
                self._part = None
                self._remove_made_parents()
        if error is not None and is_full_disk(error):
            raise TraceError(f"{self.destination}: {FULL_TEXT}") from error
        if isinstance(error, RefusedError) and error.finding is not None:
            raise TraceError(self._told(error.finding)) from error
        if isinstance(error, TraceError):  # name the place the user knows
            raise TraceError(str(error).replace(folder, str(self.destination))) from error

    def _remove_made_parents(self) -> None:
        with suppress(OSError):  # a parent that is in use by now stays
            for parent in self._made:
                parent.rmdir()

    @property
    def folder(self) -> Path:
        """The temporary folder, for files of the trace that have no method here (a mask)."""
        if self._part is None:
            raise RuntimeError("TraceWriter is a context manager: write inside its with block")
        return self._part.path

    def add_camera(
        self,
        name: str,
        calibration: CameraCalibration,
        rate: float,
        *,
        crf: float = 18.0,
        preset: str = "medium",
    ) -> CameraWriter:
        """Add a camera.

        Args:
            name: of the sensor: letters, digits, '-' and '_'.
            calibration: with the true size.
            rate: nominal frames per second.
            crf, preset: of the video (see `VideoWriter`).
        """
        self._add_sensor(name, calibration.to_json())
        path = self.folder / f"{name}.mp4"
        with write_errors_name(path):
            video = VideoWriter(path, calibration.lens.size, rate, crf=crf, preset=preset)
        self._videos[name] = video
        self._cameras[name] = CameraWriter(video)
        return self._cameras[name]

    def add_lidar(self, name: str, calibration: LidarCalibration) -> LidarWriter:
        """Add a lidar.

        Args:
            name: of the sensor.
            calibration: its mount, and whether its points are motion-compensated.
        """
        self._add_sensor(name, calibration.to_json())
        file = f"{name}.parquet"
        self._lidars[name] = LidarWriter(self.folder / file, self.destination / file)
        return self._lidars[name]

    def _add_sensor(self, name: str, values: dict[str, Any]) -> None:
        check_sensor_name(name, str(self.destination))
        if name in self._values["sensors"]:
            raise TraceError(f"{self.destination}: sensor {name!r} is there already")
        self._values["sensors"][name] = values

    def write_ego(
        self,
        t_ns: ArrayLike,
        position: ArrayLike,
        quaternion: ArrayLike,
        speed: ArrayLike,
        yaw_rate: ArrayLike,
        **optional: ArrayLike,
    ) -> None:
        """Write the motion of the car.

        Args:
            t_ns: (n,) ns, increasing.
            position: (n, 3) m; the first at the origin (see `traces.levelling`).
            quaternion: (n, 4) x y z w.
            speed: (n,) m/s.
            yaw_rate: (n,) rad/s.
            optional: further columns (n,): steering_angle (rad), acceleration (m/s²), and what
                the odometry says of its own uncertainty: position_std (m), heading_std (rad).
        """
        p = np.asarray(position, dtype=np.float64).reshape(-1, 3)
        q = np.asarray(quaternion, dtype=np.float64).reshape(-1, 4)
        unknown = sorted(set(optional) - set(OPTIONAL))
        if unknown:
            raise TraceError(f"ego column {unknown[0]!r} is unknown; known: {sorted(OPTIONAL)}")
        columns: dict[str, Any] = {"t_ns": np.asarray(t_ns, dtype=np.int64)}
        columns |= {name: p[:, i] for i, name in enumerate(POSITION)}
        columns |= {name: q[:, i] for i, name in enumerate(QUATERNION)}
        for name, values in {"speed": speed, "yaw_rate": yaw_rate, **optional}.items():
            columns[name] = np.asarray(values, dtype=np.float64)
        path = self.destination / "ego.parquet"
        require_same_length(path, columns)
        for name, values in columns.items():
            if not np.isfinite(values).all():
                row = int(np.flatnonzero(~np.isfinite(values))[0])
                raise TraceError(f"{path}: row {row}: {name} is {values[row]}; it must be finite")
        check_ego(path, columns)
        self._start_ns = int(columns["t_ns"][0])
        self._write("ego.parquet", columns)

    def write_road(self, s: ArrayLike, left: ArrayLike, right: ArrayLike) -> None:
        """Write distances (n,) from the path to the road's edges at arc lengths s, all m."""
        values = {"s": s, "left": left, "right": right}
        self._write("road.parquet", {k: np.asarray(v, dtype=np.float64) for k, v in values.items()})

    def write_lanes(
        self,
        s: ArrayLike,
        lane: ArrayLike,
        left: ArrayLike,
        right: ArrayLike,
        direction: ArrayLike,
    ) -> None:
        """Write the lanes of the road (n,); see `traces.annotations.read_lanes`."""
        values: dict[str, Any] = {
            name: np.asarray(v, dtype=np.float64)
            for name, v in (("s", s), ("left", left), ("right", right))
        }
        values |= {
            name: np.asarray(v, dtype=np.int64)
            for name, v in (("lane", lane), ("direction", direction))
        }
        self._write("lanes.parquet", values)

    def write_labels(self, labels: Sequence[Label]) -> None:
        """Write labels; their times are seconds after the first ego row."""
        self._labels = tuple(labels)

    def write_tracks(
        self,
        t_ns: ArrayLike,
        track_id: ArrayLike,
        category: Sequence[str],
        pose: ArrayLike,
        size: ArrayLike,
    ) -> None:
        """Write other road users.

        Args:
            t_ns: (n,) times, never decreasing; track_id: (n,), the same for the same one.
            category: (n,), such as "car".
            pose: (n, 7) x y z qx qy qz qw in the world frame of the middle of the underside
                (on the ground), x ahead, z up.
            size: (n, 3) length, width, height, m.
        """
        columns = {
            "t_ns": np.asarray(t_ns, dtype=np.int64),
            "track_id": np.asarray(track_id, dtype=np.int64),
            "category": np.array(category, dtype=object),
            "pose": np.asarray(pose, dtype=np.float64).reshape(-1, 7),
            "size": np.asarray(size, dtype=np.float64).reshape(-1, 3),
        }
        self._write("tracks.parquet", columns)

    def _write(self, name: str, columns: Mapping[str, Any]) -> None:
        path = self.folder / name
        require_same_length(self.destination / name, columns)
        with write_errors_name(path):
            write_table(path, columns)

    def _finish_labels(self) -> None:
        times = np.array([[x.start, x.end] for x in self._labels], dtype=np.float64)
        t_ns = np.round(times * 1e9).astype(np.int64) + self._start_ns
        columns: dict[str, Any] = {"start_ns": t_ns[:, 0], "end_ns": t_ns[:, 1]}
        columns["key"] = np.array([x.key for x in self._labels], dtype=object)
        columns["value"] = np.array([x.value for x in self._labels], dtype=object)
        self._write("labels.parquet", columns)

    def _told(self, finding: Finding) -> str:
        """A finding in one line, of the file that whoever writes the trace knows."""
        if not self._recording:
            return str(self.destination / finding.line)
        sensor = Path(finding.where).stem
        where = f", {sensor}" if sensor in self._values["sensors"] else ""
        return f"{self._recording}{where}: {finding.text}; {finding.remedy}"

    def _finish(self) -> None:
        if self._labels:
            self._finish_labels()
        for name, camera in self._cameras.items():
            if not camera.t_ns:
                raise TraceError(f"{self.destination}: camera {name!r} got no frame")
            check_times(self.destination / f"{name}.parquet", np.array(camera.t_ns))
            columns = {"frame": np.arange(len(camera.t_ns)), "t_ns": np.array(camera.t_ns)}
            self._write(f"{name}.parquet", columns)
            with write_errors_name(self._videos[name].path):
                self._videos[name].close()
        for name, lidar in self._lidars.items():
            if not lidar.has_points:
                raise TraceError(f"{self.destination}: lidar {name!r} got no points")
            lidar.finish()
        text = json.dumps(self._values, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        (self.folder / "trace.json").write_text(text, encoding="utf-8")
        with Trace.open(self.folder) as trace:
            trace.tracks()  # read when asked for, and to be checked now
            self.findings = find_all(trace)
        for finding in self.findings:
            logger.warning("%s", self._told(finding))
        if self._part is not None:
            self._part.finish(lambda place: check_replaced(place, self.overwrite))
            self._part = None
