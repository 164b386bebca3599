"""Writes a trace anew with another calibration, other times or poses; its videos are linked."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from vista_sim.atomic import WholeFolder
from vista_sim.errors import TraceError
from vista_sim.files import read_json
from vista_sim.traces.atomic import check_destination, check_replaced, write_errors_name
from vista_sim.traces.calibration import CameraCalibration, LidarCalibration
from vista_sim.traces.ego import POSITION, QUATERNION
from vista_sim.traces.known import ESTIMATED
from vista_sim.traces.levelling import level_to_first_pose, levelling, poses_in
from vista_sim.traces.tables import read_table, write_table
from vista_sim.traces.trace import Trace
from vista_sim.transforms import Matrix, inverse, matrix_from_quaternion, quaternion_from_matrix

_MIRROR_QUATERNION = np.array([-1.0, 1.0, -1.0, 1.0])  # of a rotation, seen in a mirror along y


@dataclass(frozen=True, eq=False)
class Amendment:
    """What is changed of a trace.

    Args:
        late: s that are taken from the times of all cameras.
        mirrored: whether y and yaw of the poses change sign.
        focal: factor of the focal lengths of `camera`.
        camera_moved: (4, 4) that the mount of `camera` is multiplied with from the left.
        vehicle_moved: (4, 4) that the mounts of all sensors are multiplied with from the left; the
            poses move against it, so that sensors stay where they are in the world.
    """

    late: float = 0.0
    mirrored: bool = False
    focal: float = 1.0
    camera_moved: Matrix = field(default_factory=lambda: np.eye(4))
    vehicle_moved: Matrix = field(default_factory=lambda: np.eye(4))

    @property
    def moves_vehicle(self) -> bool:
        return not np.allclose(self.vehicle_moved, np.eye(4), atol=1e-12)


def write_amended(
    trace: Trace, destination: Path, camera: str, amendment: Amendment, overwrite: bool = False
) -> Path:
    """Write a changed trace. Its baked geometry is left out: it is of the old calibration.

    Args:
        trace: an open trace.
        destination: folder to make.
        camera: whose lens and mount are changed.
        overwrite: replace a trace that is there already.

    Raises:
        TraceError: it cannot be written, or would not be a trace.
    """
    check_destination(destination, overwrite)
    if destination.resolve() == trace.root.resolve():
        raise TraceError(f"{destination}: is the trace itself; choose another folder")
    with write_errors_name(destination):
        destination.parent.mkdir(parents=True, exist_ok=True)
        with WholeFolder(destination) as folder:
            _fill(trace, folder.path, camera, amendment)
            try:
                with Trace(folder.path):
                    pass
            except TraceError as error:
                text = str(error).replace(str(folder.path), str(destination))
                raise TraceError(text) from None
            folder.finish(lambda place: check_replaced(place, overwrite))
    return destination


def _fill(trace: Trace, folder: Path, camera: str, amendment: Amendment) -> None:
    changed = {"trace.json", "ego.parquet", "tracks.parquet"}
    if amendment.late:
        changed |= {f"{name}.parquet" for name in trace.cameras}
    for file in sorted(trace.root.iterdir()):
        if file.is_file() and file.name not in changed:
            _link(file, folder / file.name)
    world = _write_ego(trace.root / "ego.parquet", folder / "ego.parquet", amendment)
    if (tracks := trace.root / "tracks.parquet").exists():
        _write_tracks(tracks, folder / "tracks.parquet", world, amendment.mirrored)
    if amendment.late:
        late = round(amendment.late * 1e9)
        for name in trace.cameras:
            table = read_table(trace.root / f"{name}.parquet", {"frame": "int", "t_ns": "int"})
            columns = {"frame": table["frame"], "t_ns": table["t_ns"] - late}
            write_table(folder / f"{name}.parquet", columns)
    values = _described(trace, camera, amendment, world)
    text = json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    (folder / "trace.json").write_text(text, encoding="utf-8")


def _link(source: Path, target: Path) -> None:
    """The same file under another name; a copy where the file system has no such links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _write_ego(source: Path, target: Path, amendment: Amendment) -> Matrix:
    """Write the poses; T_new_old (4, 4) of the world frame, but for a mirror."""
    table = pq.read_table(source)
    position = np.stack([table[name].to_numpy() for name in POSITION], axis=1)
    quaternion = np.stack([table[name].to_numpy() for name in QUATERNION], axis=1)
    replaced: dict[str, NDArray[np.float64]] = {}
    if amendment.mirrored:
        position = position * [1.0, -1.0, 1.0]
        quaternion = quaternion * _MIRROR_QUATERNION
        for name in ("yaw_rate", "steering_angle"):
            if name in table.column_names:
                replaced[name] = -table[name].to_numpy()
    world = np.eye(4)
    if amendment.moves_vehicle:
        back = inverse(amendment.vehicle_moved)
        rotation = matrix_from_quaternion(quaternion)
        position = position + rotation @ back[:3, 3]
        rotation = rotation @ back[:3, :3]
        first = np.eye(4)
        first[:3, :3], first[:3, 3] = rotation[0], position[0]
        world = levelling(first)
        position, quaternion = level_to_first_pose(position, quaternion_from_matrix(rotation))
    replaced |= {name: position[:, i] for i, name in enumerate(POSITION)}
    replaced |= {name: quaternion[:, i] for i, name in enumerate(QUATERNION)}
    for name, values in replaced.items():
        place = table.column_names.index(name)
        table = table.set_column(place, name, pa.array(np.asarray(values, dtype=np.float64)))
    pq.write_table(table, target)
    return world


def _write_tracks(source: Path, target: Path, world: Matrix, mirrored: bool) -> None:
    kinds = {"t_ns": "int", "track_id": "int", "category": "str", "pose": "vector"}
    columns = read_table(source, kinds | {"size": "vector"})
    pose = columns["pose"].reshape(-1, 7)
    if mirrored:
        pose = pose * np.concatenate([[1.0, -1.0, 1.0], _MIRROR_QUATERNION])
    columns["pose"] = poses_in(world, pose)
    columns["size"] = columns["size"].reshape(-1, 3)
    write_table(target, columns)


def _described(trace: Trace, camera: str, amendment: Amendment, world: Matrix) -> Mapping[str, Any]:
    """trace.json of the changed trace."""
    values: dict[str, Any] = dict(read_json(trace.root / "trace.json", TraceError))
    sensors = {name: dict(sensor) for name, sensor in values["sensors"].items()}
    known = {name: dict(about) for name, about in trace.known.items()}

    def estimated(sensor: str, value: str) -> None:
        known.setdefault(sensor, {})[value] = ESTIMATED

    mounts: dict[str, tuple[str, CameraCalibration | LidarCalibration]] = {}
    for name, recorded in trace.cameras.items():
        mounts[name] = "T_vehicle_camera", recorded.calibration
        if amendment.late:
            estimated(name, "time")
    for name, lidar in trace.lidars.items():
        mounts[name] = "T_vehicle_lidar", lidar.calibration
    for name, (key, calibration) in mounts.items():
        mount = getattr(calibration, key)
        moved = amendment.camera_moved @ mount if name == camera else mount
        moved = amendment.vehicle_moved @ moved
        if not np.allclose(moved, mount, atol=1e-12):
            sensors[name][key] = moved.tolist()
            estimated(name, "mount")
    if amendment.focal != 1.0:
        K = np.array(sensors[camera]["K"], dtype=np.float64)
        K[[0, 1], [0, 1]] *= amendment.focal
        sensors[camera]["K"] = K.tolist()
        estimated(camera, "lens")
    values["sensors"] = sensors
    if known:
        values["known"] = known
    if amendment.mirrored:
        values.pop("origin", None)  # which way the mirrored world lay is not known
    elif trace.origin is not None and amendment.moves_vehicle:
        values["origin"] = trace.origin.moved(inverse(world)).to_json()
    return values
