"""Lidar sweeps of a trace: one Parquet table, rows sorted by sweep."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from vista_sim.errors import TraceError
from vista_sim.traces.calibration import LidarCalibration
from vista_sim.traces.tables import Array, check_times, read_table

REQUIRED = {"sweep": "int", "t_ns": "int"} | dict.fromkeys(("x", "y", "z", "intensity"), "float")
OPTIONAL = {"ring": "int", "point_t_ns": "int"}


@dataclass(frozen=True, eq=False)
class Sweep:
    """Points of one turn: xyz (n, 3) m in the lidar frame; intensity, ring, point_t (n,) s."""

    t: float
    points: NDArray[np.float64]
    intensity: NDArray[np.float64]
    ring: NDArray[np.int64] | None = None
    point_t: NDArray[np.float64] | None = None


class RecordedLidar:
    """A lidar stream of a trace; sweeps are read from disk on request."""

    def __init__(
        self,
        name: str,
        path: Path,
        calibration: LidarCalibration,
        start_ns: int,
        t: NDArray[np.float64],
        first_row: NDArray[np.int64],
    ) -> None:
        self.name = name
        self.path = path
        self.calibration = calibration
        self.t = t
        self.sweep_count = len(t)
        self._start_ns = start_ns
        self._first_row = first_row  # (sweep_count + 1,)

    def sweep(self, index: int) -> Sweep:
        """Read one sweep. Raises IndexError if there is none, TraceError if it is malformed."""
        if not 0 <= index < self.sweep_count:
            raise IndexError(f"{self.path}: no sweep {index}; it has {self.sweep_count}")
        columns = _read_rows(self.path, *(int(r) for r in self._first_row[index : index + 2]))
        point_t = columns.get("point_t_ns")
        return Sweep(
            t=float(self.t[index]),
            points=np.stack([columns[name] for name in "xyz"], axis=1),
            intensity=columns["intensity"],
            ring=columns.get("ring"),
            point_t=None if point_t is None else (point_t - self._start_ns) * 1e-9,
        )


def _read_rows(path: Path, start: int, stop: int) -> dict[str, Array]:
    with pq.ParquetFile(path) as file:
        present = set(file.schema_arrow.names)
        names = [n for n in {**REQUIRED, **OPTIONAL} if n in present]
        ends = np.cumsum([file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)])
        first = int(np.searchsorted(ends, start, side="right"))
        last = int(np.searchsorted(ends, stop, side="left"))
        offset = int(ends[first - 1]) if first else 0
        table = file.read_row_groups(list(range(first, last + 1)), names)
    rows = table.slice(start - offset, stop - start)
    columns = {n: rows.column(n).to_numpy() for n in names}
    for name in (*"xyz", "intensity"):
        columns[name] = columns[name].astype(np.float64)
        if not np.isfinite(columns[name]).all():
            row = start + int(np.flatnonzero(~np.isfinite(columns[name]))[0])
            raise TraceError(f"{path}: row {row}: {name} must be finite")
    return columns


def open_lidar(
    path: Path, name: str, calibration: LidarCalibration, start_ns: int
) -> RecordedLidar:
    """Check a lidar table by its columns and sweeps, not point by point. Raises TraceError."""
    columns = read_table(path, {"sweep": "int", "t_ns": "int"})
    try:
        present = set(pq.read_schema(path).names)
    except OSError as error:
        raise TraceError(f"{path}: cannot be read ({error})") from None
    for column in REQUIRED:
        if column not in present:
            raise TraceError(f"{path}: column {column!r} is missing; it has {sorted(present)}")
    sweep, t_ns = columns["sweep"], columns["t_ns"]
    if not len(sweep):
        raise TraceError(f"{path}: holds no points")
    if (np.diff(sweep) < 0).any():
        row = int(np.flatnonzero(np.diff(sweep) < 0)[0]) + 1
        raise TraceError(f"{path}: row {row}: rows must be sorted by sweep")
    starts = np.concatenate([[0], np.flatnonzero(np.diff(sweep)) + 1])
    check_times(path, t_ns[starts])
    t = (t_ns[starts] - start_ns) * 1e-9
    return RecordedLidar(
        name, path, calibration, start_ns, t, np.concatenate([starts, [len(sweep)]])
    )
