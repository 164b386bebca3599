"""The sensors of KITTI's car by the three calibration files of a recording date."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vista_sim.errors import TraceError
from vista_sim.traces.importers.kitti import named_matrices, require_projection
from vista_sim.traces.importers.recording import Floats
from vista_sim.transforms import Matrix, inverse

CALIBRATION = "calib_cam_to_cam.txt"


@dataclass(frozen=True, eq=False)
class Rig:
    """Where the sensors are: in the vehicle frame, (4, 4); rectified camera matrices, (3, 4)."""

    T_vehicle_imu: Matrix
    T_vehicle_scanner: Matrix
    T_vehicle_camera: Matrix  # of the rectified camera 0
    projections: dict[int, Floats]

    @classmethod
    def read(cls, folder: Path, T_vehicle_imu: Matrix) -> Rig:
        """Read the calibration of a date. Raises TraceError."""
        cameras = folder / CALIBRATION
        projections = {f"P_rect_{i:02d}": i for i in range(4)}
        shapes = {"R_rect_00": (3, 3)} | dict.fromkeys(projections, (3, 4))
        values = named_matrices(cameras, shapes)
        turn = np.eye(4)
        turn[:3, :3] = _required(cameras, values, "R_rect_00")
        found = {i: values[name] for name, i in projections.items() if name in values}
        for i, P in found.items():
            require_projection(cameras, f"P_rect_{i:02d}", P)
        T_scanner_imu = _rigid(folder / "calib_imu_to_velo.txt")
        T_camera_scanner = turn @ _rigid(folder / "calib_velo_to_cam.txt")
        T_vehicle_scanner = T_vehicle_imu @ inverse(T_scanner_imu)
        return cls(
            T_vehicle_imu,
            T_vehicle_scanner,
            T_vehicle_scanner @ inverse(T_camera_scanner),
            found,
        )


def _required(path: Path, values: dict[str, Floats], name: str) -> Floats:
    if name not in values:
        raise TraceError(f"{path}: line {name} is missing")
    return values[name]


def _rigid(path: Path) -> Matrix:
    """The transformation of lines R and T, its rotation made exact: it is written to 7 digits."""
    values = named_matrices(path, {"R": (3, 3), "T": (3, 1)})
    turn, shift = (_required(path, values, name) for name in ("R", "T"))
    if np.abs(turn @ turn.T - np.eye(3)).max() > 1e-3 or np.linalg.det(turn) < 0:
        raise TraceError(f"{path}: line R is no rotation")
    if np.abs(shift).max() > 100:
        raise TraceError(f"{path}: line T is {shift.ravel().tolist()}; it must be in m")
    u, _, v = np.linalg.svd(turn)
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = u @ v, shift[:, 0]
    return pose
