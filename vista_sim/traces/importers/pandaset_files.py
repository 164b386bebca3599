"""The JSON files of PandaSet: poses, times, place on earth; see `pandaset`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from vista_sim.errors import TraceError
from vista_sim.files import check_real, read_json, require_object
from vista_sim.traces.importers.posed_images import Posed
from vista_sim.traces.importers.recording import Times
from vista_sim.traces.origin import Origin


def sequences(src: Path) -> list[Path]:
    """Sequences at a folder: itself, or those in it."""
    wanted = ("camera/front_camera/poses.json", "lidar/poses.json")
    folders = [src, *sorted(path for path in src.glob("*") if path.is_dir())]
    return [f for f in folders if all((f / name).is_file() for name in wanted)]


def find_sequence(src: Path, name: str) -> Path:
    """The sequence of a name at a folder; the only one where none is named. Raises TraceError."""
    if not src.is_dir():
        raise TraceError(f"{src}: no such folder")
    found = sequences(src)
    if not found:
        raise TraceError(
            f"{src}: no sequence is there (a folder NNN with camera/front_camera/poses.json and "
            "lidar/poses.json)"
        )
    named = [folder for folder in found if folder.name == name] if name else found
    if len(named) != 1:
        names = ", ".join(folder.name for folder in found)
        raise TraceError(f"{src}: holds {names}; choose one with --sequence")
    return named[0].absolute()  # for its name, which "." does not tell


def read_times(folder: Path) -> Times:
    """Times of a sensor, ns. Raises TraceError."""
    path = folder / "timestamps.json"
    values = read_json(path, TraceError)
    if not isinstance(values, list):
        raise TraceError(f"{path}: must hold a list of times")
    times = [real_of(path, value, f"time {i}", 1e8, 1e10, "s") for i, value in enumerate(values)]
    return np.round(np.array(times, dtype=np.float64) * 1e9).astype(np.int64)


def real_of(path: Path, value: Any, name: str, low: float, high: float, unit: str) -> float:
    """A number of a file. Raises TraceError unless it is one from low to high."""
    try:
        return check_real(value, name, low, high)
    except ValueError as error:
        raise TraceError(f"{path}: {error}, in {unit}") from None


def read_posed(folder: Path) -> Posed:
    """Poses of a sensor at its times. Raises TraceError."""
    path = folder / "poses.json"
    values = read_json(path, TraceError)
    if not isinstance(values, list):
        raise TraceError(f"{path}: must hold a list of poses")
    rows = np.empty((len(values), 7))
    for i, value in enumerate(values):
        pose = require_object(value, f"{path}: pose {i}", TraceError)
        for part, names, bound, unit, at in (
            ("position", "xyz", 1e7, "m", 0),
            ("heading", "xyzw", 1.01, "parts of a quaternion", 3),
        ):
            about = require_object(pose.get(part), f"{path}: {part} of pose {i}", TraceError)
            for k, name in enumerate(names):
                text = f"{part}.{name} of pose {i}"
                rows[i, at + k] = real_of(path, about.get(name), text, -bound, bound, unit)
        if abs(np.linalg.norm(rows[i, 3:]) - 1) > 1e-2:
            raise TraceError(f"{path}: heading of pose {i} is no quaternion of length 1")
    poses = np.tile(np.eye(4), (len(rows), 1, 1))
    if len(rows):
        poses[:, :3, :3] = Rotation.from_quat(rows[:, 3:]).as_matrix()
    poses[:, :3, 3] = rows[:, :3]
    return Posed(str(path), read_times(folder), poses)


def check_numbers(files: Mapping[int, Path], count: int, folder: Path) -> None:
    """Raise TraceError where a file's number is none of so many times of a folder."""
    beyond = [path for number, path in files.items() if number >= count]
    if beyond:
        raise TraceError(f"{beyond[0]}: {folder} holds {count} times; it has none")


def read_origin(folder: Path, vehicle: Posed) -> Origin | None:
    """Where the first pose is on earth; axes of the data are east, north and up."""
    path = folder / "gps.json"
    if not path.is_file():
        return None
    values = read_json(path, TraceError)
    if not (isinstance(values, list) and values):
        raise TraceError(f"{path}: must hold a list of places")
    first = require_object(values[0], f"{path}: row 0", TraceError)
    latitude, longitude, altitude = (
        real_of(path, first.get(name), f"{name} of row 0", -bound, bound, unit)
        for name, bound, unit in (
            ("lat", 90.0, "degrees"),
            ("long", 180.0, "degrees"),
            ("height", 1e4, "m"),
        )
    )
    return Origin(latitude, longitude, altitude).moved(vehicle.poses[0])
