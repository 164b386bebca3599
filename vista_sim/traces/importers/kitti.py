"""What the recordings of KITTI's car (Geiger et al., IJRR 2013) have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from vista_sim.errors import TraceError
from vista_sim.files import read_text
from vista_sim.traces.calibration import CameraCalibration, Lens, Vehicle
from vista_sim.traces.importers.image_files import image_files
from vista_sim.traces.importers.recording import CameraStream, Floats, Times
from vista_sim.traces.known import RECORDED
from vista_sim.transforms import Matrix

LICENCE = "CC BY-NC-SA 3.0"
# VW Passat B6 Variant, by its maker's data sheet.
VEHICLE = Vehicle.from_json({"length": 4.774, "width": 1.82, "height": 1.517, "wheelbase": 2.709})

MAX_NUMBERS = 2**28  # bytes of a file of numbers


def read_numbers(path: Path, columns: int) -> Floats:
    """Rows of a text file, (n, columns). Raises TraceError naming the line."""
    rows: list[list[float]] = []
    lines = read_text(path, TraceError, MAX_NUMBERS).splitlines()
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = [float(word) for word in line.split()]
        except ValueError:
            row = []
        if len(row) != columns or not np.isfinite(row).all():
            raise TraceError(f"{path}: line {number} must hold {columns} finite numbers")
        rows.append(row)
    return np.array(rows, dtype=np.float64).reshape(-1, columns)


def named_matrices(path: Path, wanted: Mapping[str, tuple[int, int]]) -> dict[str, Floats]:
    """Matrices of a file of lines `NAME: NUMBERS`: those of `wanted`, with their shapes, that are
    there. Raises TraceError: a name is there twice, or not so many finite numbers follow it.
    """
    text = read_text(path, TraceError, missing="not found; the calibration is needed")
    found: dict[str, Floats] = {}
    for line in text.splitlines():
        name, _, rest = line.partition(":")
        name = name.strip()
        if name not in wanted:
            continue
        if name in found:
            raise TraceError(f"{path}: line {name} is there twice")
        rows, columns = wanted[name]
        try:
            found[name] = np.array(rest.split(), dtype=np.float64).reshape(rows, columns)
        except ValueError:
            raise TraceError(f"{path}: line {name} must hold {rows * columns} numbers") from None
        if not np.isfinite(found[name]).all():
            raise TraceError(f"{path}: line {name} must hold finite numbers")
    return found


def require_projection(path: Path, name: str, P: Floats) -> None:
    """Raise TraceError unless a matrix (3, 4) is that of a rectified camera: K [I t]."""
    bounded = bool((np.abs(P) < 1e9).all())
    without_skew = P[0, 1] == P[1, 0] == P[2, 0] == P[2, 1] == 0 and P[2, 2] == 1
    if not (bounded and without_skew and min(P[0, 0], P[1, 1]) > 0):
        raise TraceError(f"{path}: line {name} is no projection matrix K [I t]")


def rectified_camera(
    P: Floats, files: Sequence[Path], t_ns: Times, T_vehicle_camera: Matrix, mount_is: str
) -> CameraStream:
    """A rectified camera of these images, which must be of one size. Raises TraceError.

    Args:
        P: (3, 4) its projection K [I t], in the frame of the rectified camera 0.
        files: its images. t_ns: (n,) their times, ns.
        T_vehicle_camera: (4, 4) of the rectified camera 0.
        mount_is: where that comes from (`traces.known`).
    """
    size, frames = image_files(files)
    lens = Lens("pinhole", P[0, 0], P[1, 1], P[0, 2], P[1, 2], size)
    offset = np.eye(4)
    offset[:3, 3] = -np.linalg.solve(P[:, :3], P[:, 3])
    calibration = CameraCalibration(lens, T_vehicle_camera @ offset)
    return CameraStream(calibration, t_ns, frames, {"lens": RECORDED, "mount": mount_is})
