"""Optional tables of a trace: labels, road width, lanes, and tracks of other road users."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from vista_sim.errors import TraceError
from vista_sim.traces.sections import Label
from vista_sim.traces.tables import MAX_TIME, Array, check_size, check_times, read_table

MAX_LENGTH = 1e8  # m along a path
MAX_ROAD = 1000.0  # m from the path to an edge of the road
MAX_LANE = 100
MAX_PLACE = 1e7  # m from the first pose
MAX_TRACK = 200.0  # m, side of a road user

#: Times (s), increasing, and the value from each of them on until the next; None: no label.
Timeline = tuple[Sequence[float], Sequence[str | None]]


def read_labels(path: Path, start_ns: int) -> tuple[Label, ...]:
    """Read labels.parquet; none if there is no such file. Raises TraceError."""
    if not path.exists():
        return ()
    kinds = {"start_ns": "int", "end_ns": "int", "key": "str", "value": "str"}
    columns = read_table(path, kinds)
    for name in ("start_ns", "end_ns"):
        check_size(path, name, columns[name], MAX_TIME, "it must be in nanoseconds")
    if (columns["end_ns"] < columns["start_ns"]).any():
        row = int(np.flatnonzero(columns["end_ns"] < columns["start_ns"])[0])
        raise TraceError(f"{path}: row {row}: the label ends before it starts")
    rows = zip(*(columns[name] for name in kinds), strict=True)
    return tuple(
        Label((int(a) - start_ns) * 1e-9, (int(b) - start_ns) * 1e-9, str(key), str(value))
        for a, b, key, value in rows
    )


def timelines(labels: Iterable[Label]) -> dict[str, Timeline]:
    """When labels begin and end, by their keys; where some overlap, the first of them counts."""
    by_key: dict[str, list[Label]] = {}
    for label in labels:
        by_key.setdefault(label.key, []).append(label)
    lines: dict[str, Timeline] = {}
    for key, own in by_key.items():
        times = sorted({time for label in own for time in (label.start, label.end)})
        values: list[str | None] = [None] * len(times)
        for label in reversed(own):
            first, after = bisect_left(times, label.start), bisect_left(times, label.end)
            values[first:after] = [label.value] * (after - first)
        lines[key] = times, values
    return lines


def read_road(path: Path) -> dict[str, Array]:
    """Read road.parquet; empty if there is no such file. Raises TraceError.

    Returns:
        s, left, right (n,): arc length, increasing, and distances from the path to the
        road's edges, m.
    """
    if not path.exists():
        return {}
    columns = read_table(path, {"s": "float", "left": "float", "right": "float"})
    check_size(path, "s", columns["s"], MAX_LENGTH, "it must be in m")
    for name in ("left", "right"):
        check_size(path, name, columns[name], MAX_ROAD, "it must be in m")
    if (np.diff(columns["s"]) <= 0).any():
        row = int(np.flatnonzero(np.diff(columns["s"]) <= 0)[0]) + 1
        raise TraceError(f"{path}: row {row}: s must increase")
    return columns


def read_lanes(path: Path) -> dict[str, Array]:
    """Read lanes.parquet; empty if there is no such file. Raises TraceError.

    Returns:
        s (n,): arc length, m, never decreasing; lane (n,): 0 is the one the recording car drives
        on at the start, 1 the next to its left, -1 to its right; left, right (n,): the lane's
        edges, m to the left of the path (negative: to its right); direction (n,): 1 as the
        recording car drives, -1 against it, 0 both or not known.
    """
    if not path.exists():
        return {}
    kinds = {"s": "float", "lane": "int", "left": "float", "right": "float", "direction": "int"}
    columns = read_table(path, kinds)
    check_size(path, "s", columns["s"], MAX_LENGTH, "it must be in m")
    check_size(path, "lane", columns["lane"], MAX_LANE, "lanes are counted from the path's")
    for name in ("left", "right"):
        check_size(path, name, columns[name], MAX_ROAD, "it must be in m")
    for name, wrong, text in (
        ("s", np.r_[False, np.diff(columns["s"]) < 0], "it must not decrease"),
        ("left", columns["left"] <= columns["right"], "it must be greater than right"),
        ("direction", np.abs(columns["direction"]) > 1, "it must be 1, -1 or 0"),
    ):
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            raise TraceError(f"{path}: row {row}: {name} is {columns[name][row]:g}; {text}")
    pairs = np.stack([columns["s"], columns["lane"]], axis=1)
    _, first, count = np.unique(pairs, axis=0, return_index=True, return_counts=True)
    if (count > 1).any():
        row = int(first[count > 1].min())
        lane, s = columns["lane"][row], columns["s"][row]
        raise TraceError(f"{path}: row {row}: lane {lane} is there twice at {s:g} m")
    return columns


def read_tracks(path: Path, start_ns: int) -> dict[str, Array]:
    """Read tracks.parquet; empty if there is no such file. Raises TraceError.

    Returns:
        t (n,) s; track_id (n,); category (n,) str; pose (n, 7): x y z qx qy qz qw in the
        world frame of the middle of the underside, x ahead, z up; size (n, 3): length, width,
        height, m.
    """
    if not path.exists():
        return {}
    kinds = {"t_ns": "int", "track_id": "int", "category": "str"}
    columns = read_table(path, kinds | {"pose": "vector", "size": "vector"})
    check_times(path, columns["t_ns"], strict=False)
    for name, width in (("pose", 7), ("size", 3)):
        if len(columns[name]) and columns[name].shape[1] != width:
            raise TraceError(f"{path}: column {name!r} must hold {width} numbers a row")
        columns[name] = columns[name].reshape(-1, width)
    check_size(path, "pose", columns["pose"][:, :3], MAX_PLACE, "positions must be in m")
    check_size(path, "pose", columns["pose"][:, 3:], 1.5, "quaternions have length 1")
    length = np.linalg.norm(columns["pose"][:, 3:], axis=1)
    if (np.abs(length - 1) > 1e-2).any():
        row = int(np.flatnonzero(np.abs(length - 1) > 1e-2)[0])
        raise TraceError(
            f"{path}: row {row}: quaternion has length {length[row]:.4g}; it must be 1"
        )
    check_size(path, "size", columns["size"], MAX_TRACK, "it must be in m")
    if (columns["size"] <= 0).any():
        row = int(np.argwhere(columns["size"] <= 0)[0][0])
        raise TraceError(f"{path}: row {row}: size must be positive, in m")
    columns["t"] = (columns.pop("t_ns") - start_ns) * 1e-9
    return columns
