"""Lidar sweeps of a trace: one Parquet table, rows sorted by sweep."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from vista_sim.errors import TraceError
from vista_sim.files import parse_json
from vista_sim.identity.files import state_of
from vista_sim.parquet import check_size as check_declared
from vista_sim.parquet import open_table
from vista_sim.traces.calibration import LidarCalibration
from vista_sim.traces.tables import MAX_TIME, Array, check_size, check_times, to_columns

REQUIRED = {"sweep": "int", "t_ns": "int"} | dict.fromkeys(("x", "y", "z", "intensity"), "float")
OPTIONAL = {"ring": "int", "point_t_ns": "int"}
MAX_RANGE = 1e5  # m
MAX_INTENSITY = 1e9
SWEEPS = b"vista_sim.sweeps"  # in the footer: JSON, [number, t_ns, count of points] of each

Wholes = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Sweep:
    """Points of one turn: xyz (n, 3) m in the lidar frame; intensity, ring, point_t (n,) s."""

    t: float
    points: NDArray[np.float64]
    intensity: NDArray[np.float64]
    ring: NDArray[np.int64] | None = None
    point_t: NDArray[np.float64] | None = None


@dataclass(frozen=True, eq=False)
class _Footer:
    """What a table says of its row groups: of many, reading it takes longer than a few of them.

    Args:
        state: of the file, which tells whether it has changed.
        ends: (groups,) row after the last of each.
    """

    state: object
    metadata: pq.FileMetaData
    ends: NDArray[np.int64]

    @classmethod
    def of(cls, state: object, metadata: pq.FileMetaData) -> _Footer:
        counts = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
        return cls(state, metadata, np.cumsum(counts))


class RecordedLidar:
    """A lidar stream of a trace; sweeps are read from disk on request."""

    def __init__(
        self,
        name: str,
        path: Path,
        calibration: LidarCalibration,
        start_ns: int,
        t: NDArray[np.float64],
        numbers: Wholes,
        first_row: Wholes,
    ) -> None:
        self.name = name
        self.path = path
        self.calibration = calibration
        self.t = t
        self.sweep_count = len(t)
        self._start_ns = start_ns
        self._numbers = numbers  # (sweep_count,) as the rows have them
        self._first_row = first_row  # (sweep_count + 1,)
        self._footer: _Footer | None = None  # kept from the first sweep that is read on

    def sweep(self, index: int) -> Sweep:
        """Read one sweep. Raises IndexError if there is none, TraceError if it is malformed."""
        if not 0 <= index < self.sweep_count:
            raise IndexError(f"{self.path}: no sweep {index}; it has {self.sweep_count}")
        start, stop = (int(row) for row in self._first_row[index : index + 2])
        columns = self._read_rows(start, stop)
        own = (columns["sweep"] == self._numbers[index]).all()
        own &= ((columns["t_ns"] - self._start_ns) * 1e-9 == self.t[index]).all()
        if not own:
            raise TraceError(
                f"{self.path}: rows {start} to {stop} are not of one sweep as listed; write it anew"
            )
        point_t = columns.get("point_t_ns")
        return Sweep(
            t=float(self.t[index]),
            points=np.stack([columns[name] for name in "xyz"], axis=1),
            intensity=columns["intensity"],
            ring=columns.get("ring"),
            point_t=None if point_t is None else (point_t - self._start_ns) * 1e-9,
        )

    def _read_rows(self, start: int, stop: int) -> dict[str, Array]:
        """Checked columns of the rows from start to stop. Raises TraceError."""
        path, footer = self.path, self._footer
        state = state_of(path)
        if footer is not None and footer.state != state:
            footer = None
        with open_table(path, TraceError, footer and footer.metadata) as file:
            if footer is None:
                footer = self._footer = _Footer.of(state, file.metadata)
            ends = footer.ends
            names = [n for n in {**REQUIRED, **OPTIONAL} if n in file.schema_arrow.names]
            if not len(ends) or stop > ends[-1]:
                raise TraceError(f"{path}: has changed since the trace was opened")
            first = int(np.searchsorted(ends, start, side="right"))
            last = int(np.searchsorted(ends, stop, side="left"))
            offset = int(ends[first - 1]) if first else 0
            groups = list(range(first, last + 1))
            check_declared(path, file, names, TraceError, groups)
            table = file.read_row_groups(groups, names)
        rows = table.slice(start - offset, stop - start)
        columns = to_columns(path, rows, {**REQUIRED, **OPTIONAL}, start)
        for name in "xyz":
            check_size(path, name, columns[name], MAX_RANGE, "points must be in m", start)
        if "point_t_ns" in columns:
            check_size(path, "point_t_ns", columns["point_t_ns"], MAX_TIME, "is it in ns?", start)
        check_size(path, "intensity", columns["intensity"], MAX_INTENSITY, "is it damaged?", start)
        return columns


def open_lidar(
    path: Path, name: str, calibration: LidarCalibration, start_ns: int
) -> RecordedLidar:
    """Check a lidar table by its columns and sweeps, not point by point. Raises TraceError.

    Where its footer lists no sweeps (`SWEEPS`), two columns of it are read, group by group.
    """
    with open_table(path, TraceError) as file:
        present = file.schema_arrow.names
        for column in REQUIRED:
            if column not in present:
                raise TraceError(f"{path}: column {column!r} is missing; it has {sorted(present)}")
        if not file.metadata.num_rows:
            raise TraceError(f"{path}: holds no points")
        text = (file.metadata.metadata or {}).get(SWEEPS)
        if text is None:
            sweep, t_ns, count = _looked_up(path, file)
        else:
            sweep, t_ns, count = _listed(path, text, file.metadata.num_rows)
    check_times(path, t_ns)
    t = np.asarray((t_ns - start_ns) * 1e-9, dtype=np.float64)
    first = np.append(0, np.cumsum(count))
    return RecordedLidar(name, path, calibration, start_ns, t, sweep, first)


def _listed(path: Path, text: bytes, rows: int) -> tuple[Wholes, Wholes, Wholes]:
    """Number, time and count of points of each sweep, as a footer lists them."""
    try:
        values = np.array(parse_json(text))
    except ValueError:
        values = np.empty(0)
    good = values.dtype.kind == "i" and values.ndim == 2 and values.shape[1] == 3
    if good:
        sweep, t_ns, count = values.astype(np.int64).T
        good = bool((count >= 1).all() and (count <= rows).all() and count.sum() == rows)
        good = good and bool((sweep[1:] > sweep[:-1]).all())
    if not good:
        raise TraceError(f"{path}: the list of sweeps in its footer is damaged; write it anew")
    return sweep, t_ns, count


def _looked_up(path: Path, file: pq.ParquetFile) -> tuple[Wholes, Wholes, Wholes]:
    """The same, of the rows themselves."""
    names = ["sweep", "t_ns"]
    parts: list[tuple[Wholes, Wholes, Wholes]] = []
    end = 0
    for group in range(file.num_row_groups):
        rows = file.metadata.row_group(group).num_rows
        if not rows:
            continue
        check_declared(path, file, names, TraceError, [group])
        columns = to_columns(path, file.read_row_group(group, names), REQUIRED, end)
        sweep, t_ns = columns["sweep"], columns["t_ns"]
        new = np.concatenate([[0], np.flatnonzero(sweep[1:] != sweep[:-1]) + 1])
        parts.append((sweep[new], t_ns[new], end + new))
        end += rows
    sweep, t_ns, first = (np.concatenate(column) for column in zip(*parts, strict=True))
    back = sweep[1:] < sweep[:-1]  # of any two numbers of 64 bits, whose difference may not fit
    if back.any():
        row = int(first[1:][back][0])
        raise TraceError(f"{path}: row {row}: rows must be sorted by sweep")
    new = np.concatenate([[True], sweep[1:] > sweep[:-1]])  # of a sweep in two row groups, one
    return sweep[new], t_ns[new], np.diff(np.append(first[new], end))
