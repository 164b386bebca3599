"""Imports the odometry benchmark of KITTI (Geiger, Lenz, Urtasun, CVPR 2012).

Layout: sequences/NN/{calib.txt, times.txt, image_0 .. image_3}, poses/NN.txt. Images, PNG or JPEG,
are numbered like the lines of the poses, from 0. They are rectified pairs, gray (0 left, 1 right)
or colour (2 left, 3 right); poses are those of the left gray camera in its first frame. The vehicle
is not in the data, so where the camera sits on it is given by options whose defaults describe the
car of the recordings:

- height 1.65 m above the road (Geiger et al., IJRR 2013, figure 3);
- mount_x 1.08 m ahead of the rear axle: the camera is 0.27 m ahead of the laser scanner
  and that 0.81 m ahead of the inertial unit (ibid.), which stands over the rear axle
  within about 5 cm;
- mount_y 0: how far the camera is from the car's middle is not published;
- pitch 0.0093 rad (0.53 degrees) down: what the published extrinsics of the recording day
  2011_10_03 (inertial unit to laser to camera to rectified camera) amount to.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vista_sim.errors import TraceError
from vista_sim.files import read_text
from vista_sim.images import read_image
from vista_sim.traces.atomic import check_destination
from vista_sim.traces.calibration import CameraCalibration, Lens, Vehicle
from vista_sim.traces.importers.numbered import numbered_images
from vista_sim.traces.smoothing import local_fit
from vista_sim.traces.writer import TraceWriter, level_to_first_pose
from vista_sim.transforms import Matrix, camera_mount, inverse, quaternion_from_matrix

Floats = NDArray[np.float64]

HEIGHT, MOUNT_X, MOUNT_Y, PITCH = 1.65, 1.08, 0.0, 0.0093
SMOOTHING = 0.5  # s to each side of a speed or yaw rate
LICENCE = "CC BY-NC-SA 3.0"
# VW Passat B6 Variant, by its maker's data sheet.
VEHICLE = {"length": 4.774, "width": 1.82, "height": 1.517, "wheelbase": 2.709}

MAX_NUMBERS = 2**28  # bytes of a file of poses or times
MAX_PLACE = 1e7  # m from the first pose
MAX_TIME = 4e9  # s; nanoseconds of it fit into 62 bits

_SIDES = {"gray": {"left": 0, "right": 1}, "color": {"left": 2, "right": 3}}


@dataclass(frozen=True)
class _Stream:
    """Images of one camera, and where the camera is relative to the left gray one."""

    images: list[Path]
    K: Floats
    centre: Floats  # (3,) in the frame of the left gray camera, m


def import_kitti_odometry(
    src: str | os.PathLike[str],
    dst: str | os.PathLike[str],
    sequence: str = "00",
    cameras: str = "auto",
    images: str = "auto",
    *,
    mount_x: float = MOUNT_X,
    mount_y: float = MOUNT_Y,
    mount_yaw: float = 0.0,
    pitch: float = PITCH,
    height: float = HEIGHT,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Turn one sequence into a trace.

    Args:
        src: folder with `sequences` and `poses`.
        dst: trace folder to make.
        sequence: its number, "00" to "21".
        cameras: "left", "right", "both", or "auto" (all that are there).
        images: "gray" (image_0, image_1), "color" (image_2, image_3), or "auto" (colour if
            it is there).
        mount_x, mount_y, height: of the left gray camera ahead of, left of, and above the
            point on the road below the middle of the rear axle, m.
        mount_yaw, pitch: how far that camera looks to the left and down, rad.
        overwrite: replace a trace at dst.
        progress: called with (images done, images in all).

    Returns:
        The trace folder.

    Raises:
        TraceError: what is missing, malformed or does not fit, in one line.
    """
    src, dst = Path(src), Path(dst)
    check_destination(dst, overwrite)
    folder, poses_path = _find(src, sequence)
    poses = _read_poses(poses_path)
    t_ns = _read_times(folder / "times.txt", len(poses), poses_path)
    streams = _find_streams(folder, cameras, images, len(poses), poses_path)
    mount = camera_mount(mount_x, mount_y, height, pitch=pitch, yaw=mount_yaw)
    position, quaternion, speed, yaw_rate = vehicle_motion(poses, t_ns, mount)
    writer = TraceWriter(
        dst,
        name=f"kitti-odometry-{sequence}",
        licence=LICENCE,
        source=f"KITTI odometry benchmark, sequence {sequence}",
        vehicle=Vehicle.from_json(VEHICLE),
        overwrite=overwrite,
    )
    rate = 1e9 / float(np.median(np.diff(t_ns)))
    total = len(poses) * len(streams)
    done = 0
    with writer:
        writer.write_ego(t_ns, position, quaternion, speed, yaw_rate)
        for name, stream in streams.items():
            first = _read_image(stream.images[0], None)
            size = (first.shape[0], first.shape[1])
            calibration = _calibration(stream, size, mount)
            out = writer.add_camera(name, calibration, rate)
            for path, t in zip(stream.images, t_ns, strict=True):
                out.write(_read_image(path, size), int(t))
                done += 1
                if progress is not None:
                    progress(done, total)
    return dst


def vehicle_motion(
    poses: Matrix, t_ns: NDArray[np.int64], T_vehicle_camera: Matrix
) -> tuple[Floats, Floats, Floats, Floats]:
    """Motion of the vehicle frame from poses of a camera fixed to it.

    The vehicle is taken as level at the first pose: gravity is not in the data.

    Args:
        poses: (n, 4, 4) T_first_camera of the camera.
        t_ns: (n,) ns.
        T_vehicle_camera: (4, 4).

    Returns:
        Positions (n, 3) m, quaternions (n, 4), speed (n,) m/s along the vehicle's x, and
        yaw rate (n,) rad/s, the last two from local quadratic fits over time.
    """
    T_world_vehicle = T_vehicle_camera @ poses @ inverse(T_vehicle_camera)
    position, quaternion = level_to_first_pose(
        T_world_vehicle[:, :3, 3], quaternion_from_matrix(T_world_vehicle[:, :3, :3])
    )
    t = (t_ns - t_ns[0]) * 1e-9
    yaw = np.unwrap(np.arctan2(T_world_vehicle[:, 1, 0], T_world_vehicle[:, 0, 0]))
    _, yaw_rate = local_fit(t, t, yaw, SMOOTHING, 2)
    velocity = np.stack([local_fit(t, t, position[:, k], SMOOTHING, 2)[1] for k in range(3)], 1)
    speed = np.einsum("ij,ij->i", velocity, T_world_vehicle[:, :3, 0])
    return position, quaternion, speed, yaw_rate


def _find(src: Path, sequence: str) -> tuple[Path, Path]:
    if not re.fullmatch(r"\d{2}", sequence):
        raise TraceError(f"sequence is {sequence!r}; it must be two digits such as 00")
    root = src / "dataset" if (src / "dataset" / "sequences").is_dir() else src
    folder = root / "sequences" / sequence
    if not folder.is_dir():
        raise TraceError(
            f"{folder}: no such folder; {src} must hold KITTI's sequences/{sequence} and poses"
        )
    poses = root / "poses" / f"{sequence}.txt"
    if not poses.is_file():
        raise TraceError(
            f"{poses}: not found; without poses (KITTI has them for sequences 00 to 10) "
            "a drive cannot be imported"
        )
    return folder, poses


def _read_numbers(path: Path, columns: int) -> Floats:
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


def _read_poses(path: Path) -> Matrix:
    rows = _read_numbers(path, 12)
    if len(rows) < 2:
        raise TraceError(f"{path}: holds {len(rows)} poses; at least 2 are needed")
    turns = rows.reshape(-1, 3, 4)
    absurd = (np.abs(turns[:, :, :3]) > 2.0).any(axis=(1, 2))
    absurd |= (np.abs(turns[:, :, 3]) > MAX_PLACE).any(axis=1)
    if absurd.any():
        raise TraceError(
            f"{path}: pose {np.flatnonzero(absurd)[0]} is no rotation and translation in m "
            "(12 numbers, 3x4)"
        )
    poses = np.tile(np.eye(4), (len(rows), 1, 1))
    poses[:, :3, :] = rows.reshape(-1, 3, 4)
    error = np.abs(poses[:, :3, :3] @ np.swapaxes(poses[:, :3, :3], 1, 2) - np.eye(3))
    mirrored = np.linalg.det(poses[:, :3, :3]) < 0
    bad = np.flatnonzero((error.max(axis=(1, 2)) > 1e-3) | mirrored)
    if len(bad):
        raise TraceError(f"{path}: pose {bad[0]} is no rotation and translation (12 numbers, 3x4)")
    return poses


def _read_times(path: Path, count: int, poses_path: Path) -> NDArray[np.int64]:
    times = _read_numbers(path, 1)[:, 0]
    if len(times) != count:
        raise TraceError(f"{path}: holds {len(times)} times, {poses_path} holds {count} poses")
    far = np.flatnonzero(np.abs(times) > MAX_TIME)
    if len(far):
        raise TraceError(f"{path}: line {far[0] + 1}: time is {times[far[0]]:.4g}; is it in s?")
    t_ns = np.round(times * 1e9).astype(np.int64)
    bad = np.flatnonzero(np.diff(t_ns) <= 0)
    if len(bad):
        raise TraceError(f"{path}: line {bad[0] + 2}: time must increase, by 1 ns at least")
    return t_ns


def _read_calibration(path: Path) -> dict[str, Floats]:
    """The 3x4 matrices of calib.txt by name, for the lines that are there."""
    text = read_text(path, TraceError, missing="not found; the calibration is needed")
    lines = text.splitlines()
    matrices: dict[str, Floats] = {}
    for line in lines:
        name, _, rest = line.partition(":")
        if not re.fullmatch(r"P[0-3]", name.strip()):
            continue
        if name.strip() in matrices:
            raise TraceError(f"{path}: line {name.strip()} is there twice")
        try:
            matrices[name.strip()] = np.array(rest.split(), dtype=np.float64).reshape(3, 4)
        except ValueError:
            raise TraceError(f"{path}: line {name.strip()} must hold 12 numbers") from None
    return matrices


def _find_streams(
    folder: Path, cameras: str, images: str, count: int, poses_path: Path
) -> dict[str, _Stream]:
    if cameras not in ("auto", "left", "right", "both"):
        raise TraceError(f"cameras is {cameras!r}; it must be auto, left, right or both")
    if images not in ("auto", "gray", "color"):
        raise TraceError(f"images is {images!r}; it must be auto, gray or color")
    calib_path = folder / "calib.txt"
    calib = _read_calibration(calib_path)
    if images == "auto":
        images = "color" if any((folder / f"image_{i}").is_dir() for i in (2, 3)) else "gray"
    numbers = _SIDES[images]
    if cameras in ("left", "right"):
        wanted = [cameras]
    else:
        wanted = [s for s, i in numbers.items() if cameras == "both" or _there(folder, calib, i)]
    if not wanted:
        names = " or ".join(f"image_{i} with line P{i} of calib.txt" for i in numbers.values())
        raise TraceError(f"{folder}: no {names} is there")
    streams = {}
    for side in wanted:
        i = numbers[side]
        if f"P{i}" not in calib:
            raise TraceError(f"{calib_path}: line P{i}, the calibration of image_{i}, is missing")
        P = calib[f"P{i}"]
        if not _is_projection(P):
            raise TraceError(f"{calib_path}: line P{i} is no projection matrix K [I t]")
        files = numbered_images(folder / f"image_{i}", count, poses_path)
        centre = np.asarray(-np.linalg.solve(P[:, :3], P[:, 3]), dtype=np.float64)
        streams[side] = _Stream(files, P[:, :3], centre)
    return streams


def _there(folder: Path, calib: dict[str, Floats], number: int) -> bool:
    return (folder / f"image_{number}").is_dir() and f"P{number}" in calib


def _is_projection(P: Floats) -> bool:
    """Whether a matrix (3, 4) is that of a rectified camera: pixels without skew."""
    bounded = bool(np.isfinite(P).all()) and bool((np.abs(P) < 1e9).all())
    without_skew = P[0, 1] == P[1, 0] == P[2, 0] == P[2, 1] == 0 and P[2, 2] == 1
    return bounded and without_skew and min(P[0, 0], P[1, 1]) > 0


def _read_image(path: Path, size: tuple[int, int] | None) -> NDArray[np.uint8]:
    image = read_image(path, TraceError)
    if size is not None and image.shape[:2] != size:
        raise TraceError(f"{path}: is {image.shape[:2]}; the first image is {size} (height, width)")
    return image


def _calibration(stream: _Stream, size: tuple[int, int], mount: Matrix) -> CameraCalibration:
    K = stream.K
    lens = Lens("pinhole", K[0, 0], K[1, 1], K[0, 2], K[1, 2], size)
    offset = np.eye(4)
    offset[:3, 3] = stream.centre
    return CameraCalibration(lens, mount @ offset)
