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

import math
import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vista_sim.errors import TraceError
from vista_sim.traces.importers.kitti import (
    LICENCE,
    VEHICLE,
    named_matrices,
    read_numbers,
    rectified_camera,
    require_projection,
)
from vista_sim.traces.importers.motion import motion_of_poses, poses_of_vehicle
from vista_sim.traces.importers.motion_bounds import check_motion_bounds
from vista_sim.traces.importers.numbered import numbered_images
from vista_sim.traces.importers.options import given_or_assumed, option
from vista_sim.traces.importers.recording import CameraStream, Recording
from vista_sim.transforms import Matrix, camera_mount

MAX_PLACE = 1e7  # m from the first pose
MAX_TIME = 4e9  # s; nanoseconds of it fit into 62 bits

QUARTER = math.pi / 4

_SIDES = {"gray": {"left": 0, "right": 1}, "color": {"left": 2, "right": 3}}


@dataclass(frozen=True)
class KittiOdometryOptions:
    """Which sequence, and how the left gray camera sits on the car."""

    sequence: str = option("00", "Number of the sequence.")
    images: str = option(
        "auto",
        "gray (image_0/1), color (image_2/3), or auto: colour if there.",
        choices=("auto", "gray", "color"),
    )
    height: float = option(
        1.65, "Left gray camera above the road, m (IJRR 2013, fig. 3).", low=0.1, high=10.0
    )
    mount_x: float = option(
        1.08,
        "Left gray camera ahead of the rear axle, m: 0.27 ahead of the laser scanner, "
        "that 0.81 ahead of the inertial unit over the axle (IJRR 2013, fig. 3).",
        low=-20.0,
        high=20.0,
    )
    mount_y: float = option(
        0.0, "Left gray camera left of the car's middle, m (not published).", low=-10.0, high=10.0
    )
    mount_yaw: float = option(
        0.0, "Camera looks to the left, degrees.", low=-QUARTER, high=QUARTER, degrees=True
    )
    pitch: float = option(
        0.0093,
        "Camera looks down, degrees; from the extrinsics of 2011_10_03.",
        low=-QUARTER,
        high=QUARTER,
        degrees=True,
    )


class KittiOdometry:
    """Sequences with poses of the odometry benchmark."""

    name = "kitti-odometry"
    options = KittiOdometryOptions
    takes = "poses, left and right images, gray or colour"
    extra = ""

    def detect(self, src: Path) -> float:
        return float(any((root / "sequences").is_dir() for root in (src, src / "dataset")))

    def why(self, src: Path) -> str:
        return "it has a folder sequences"

    def open(self, src: Path, options: KittiOdometryOptions) -> Recording:
        """Open one sequence. Raises TraceError."""
        folder, poses_path = _find(src, options.sequence)
        poses = _read_poses(poses_path)
        t_ns = _read_times(folder / "times.txt", len(poses), poses_path)
        calib_path = folder / "calib.txt"
        calib = named_matrices(calib_path, {f"P{i}": (3, 4) for i in range(4)})
        images = options.images
        if images == "auto":
            images = "color" if any((folder / f"image_{i}").is_dir() for i in (2, 3)) else "gray"
        numbers = _SIDES[images]
        there = {
            side: (folder / f"image_{i}").is_dir() and f"P{i}" in calib
            for side, i in numbers.items()
        }
        if not any(there.values()):
            names = " or ".join(f"image_{i} with line P{i} of calib.txt" for i in numbers.values())
            raise TraceError(f"{folder}: no {names} is there")
        mount = camera_mount(
            options.mount_x,
            options.mount_y,
            options.height,
            pitch=options.pitch,
            yaw=options.mount_yaw,
        )
        mount_is = given_or_assumed(options, "mount_x", "mount_y", "height", "pitch", "mount_yaw")

        motion = motion_of_poses(t_ns, poses_of_vehicle(poses, mount))
        check_motion_bounds(
            motion, lambda row: f"{poses_path}: pose {row}", str(folder / "times.txt")
        )

        def stream(number: int) -> CameraStream:
            if f"P{number}" not in calib:
                raise TraceError(
                    f"{calib_path}: line P{number}, the calibration of image_{number}, is missing"
                )
            P = calib[f"P{number}"]
            require_projection(calib_path, f"P{number}", P)
            files = numbered_images(folder / f"image_{number}", len(poses), poses_path)
            return rectified_camera(P, files, t_ns, mount, mount_is)

        return Recording(
            name=f"kitti-odometry-{options.sequence}",
            source=f"KITTI odometry benchmark, sequence {options.sequence}",
            licence=LICENCE,
            vehicle=VEHICLE,
            motion=motion,
            cameras={side: partial(stream, i) for side, i in numbers.items()},
            usual=tuple(side for side, found in there.items() if found),
        )


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


def _read_poses(path: Path) -> Matrix:
    rows = read_numbers(path, 12)
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
    times = read_numbers(path, 1)[:, 0]
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
