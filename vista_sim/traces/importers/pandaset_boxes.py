"""Boxes of PandaSet as tracks of other road users."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from vista_sim.errors import TraceError
from vista_sim.files import shown
from vista_sim.traces.importers.pickled_frames import numbers_of, read_frame
from vista_sim.traces.importers.recording import Floats, Times, Tracks
from vista_sim.transforms import Matrix

_SECOND = 1  # cuboids.sensor_id of the solid-state scanner; 0: mechanical; -1: seen by one alone
_NONE = "-"
MAX_NAME = 100  # characters
_NUMBERS = tuple(f"{of}.{axis}" for of in ("position", "dimensions") for axis in "xyz")


def read_boxes(files: Mapping[int, Path], t_ns: Times, T_world_data: Matrix) -> Tracks:
    """The boxes of all frames.

    Args:
        files: by the number of their frame.
        t_ns: (n,) times of the frames, ns.
        T_world_data: (4, 4) from the frame of the data to that of the tracks.

    Raises:
        TraceError: in one line: a file cannot be read, or a column is missing or no such.
    """
    ids: dict[str, int] = {}
    times, names, categories, boxes = [], [], [], []
    for number, path in files.items():
        frame = read_frame(path)
        values = numbers_of(path, frame, (*_NUMBERS, "yaw", "cuboids.sensor_id"))
        table = np.stack([values[name] for name in (*_NUMBERS, "yaw")], axis=1)
        labels = _texts(path, frame, "label")
        for row, name in _once(path, frame, values["cuboids.sensor_id"]):
            times.append(t_ns[number])
            names.append(ids.setdefault(name, len(ids)))
            categories.append(labels[row].lower())
            boxes.append(table[row])
    rows = np.array(boxes, dtype=np.float64).reshape(-1, 7)
    size = rows[:, [4, 3, 5]]  # length, width, height
    place = rows[:, :3] - np.stack([0 * size[:, 2], 0 * size[:, 2], size[:, 2] / 2], axis=1)
    return Tracks(
        t_ns=np.array(times, dtype=np.int64),
        track_id=np.array(names, dtype=np.int64),
        category=categories,
        pose=_poses(place, rows[:, 6], T_world_data),
        size=size,
    )


def _poses(place: Floats, yaw: Floats, T_world_data: Matrix) -> Floats:
    """Poses (n, 7) in the world of what looks along y at yaw 0."""
    turn, shift = T_world_data[:3, :3], T_world_data[:3, 3]
    turned = Rotation.from_matrix(turn) * Rotation.from_rotvec(
        np.stack([0 * yaw, 0 * yaw, yaw + np.pi / 2], axis=1)
    )
    return np.hstack([place @ turn.T + shift, turned.as_quat().reshape(-1, 4)])


def _once(path: Path, frame: dict[str, NDArray[Any]], sensor: Floats) -> list[tuple[int, str]]:
    """Rows of a frame, and the name of the object of each, in which each object is there once."""
    own, siblings = _texts(path, frame, "uuid"), _texts(path, frame, "cuboids.sibling_id")
    found: dict[str, int] = {}
    for second in (False, True):
        for row in np.flatnonzero((sensor == _SECOND) == second):
            twin = second and siblings[row] not in ("", _NONE)
            found.setdefault(siblings[row] if twin else own[row], int(row))
    return sorted((row, name) for name, row in found.items())


def _texts(path: Path, frame: dict[str, NDArray[Any]], name: str) -> list[str]:
    if name not in frame:
        raise TraceError(f"{path}: column {name!r} is missing; it has {', '.join(sorted(frame))}")
    values = list(frame[name])
    for row, value in enumerate(values):
        if not (isinstance(value, str) and 0 < len(value) <= MAX_NAME and value.isprintable()):
            raise TraceError(f"{path}: row {row}: {name} is {shown(value)}; it must be a name")
    return values
