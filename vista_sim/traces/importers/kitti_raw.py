"""Imports the raw recordings of KITTI (Geiger, Lenz, Stiller, Urtasun, IJRR 2013), `_sync` drives.

Layout: DATE/{calib_cam_to_cam,calib_velo_to_cam,calib_imu_to_velo}.txt and, for each drive,
DATE/DATE_drive_NNNN_sync/{image_00 .. image_03, oxts, velodyne_points}, each with data/NUMBER.* and
timestamps.txt. Files and lines belong together by their number; files may be missing.

- Poses are those of the inertial unit (OXTS): latitude, longitude and altitude, in metres east,
  north and up of the first row (WGS 84; in the development kit's Mercator projection of a sphere
  100 m are 0.10 m longer to the north and 0.19 m shorter to the east), and roll, pitch and yaw,
  from east, counter-clockwise. Speed and yaw rate are recorded too.
- The unit stands over the rear axle within about 5 cm, and 0.93 m above the road: the scanner is
  1.73 m above it (figure 3 of the paper) and, by calib_imu_to_velo.txt, 0.80 m above the unit. That
  file has the unit 0.32 m to the left of the scanner, which is taken as the car's middle.
- Images are rectified: P_rect_0i, in the frame of R_rect_00, with the camera at -inv(K) p.
- A sweep is 0.1 s, anticlockwise seen from above, beginning and ending behind the car (timestamps
  `_start` and `_end`), and looks ahead when the cameras are triggered. Points are as measured, and
  their times are told by their azimuth; that sense of turning is the format's description, and was
  not checked against recorded bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from vista_sim.errors import TraceError
from vista_sim.files import read_bytes
from vista_sim.traces.calibration import LidarCalibration
from vista_sim.traces.geodesy import local_of_geodetic
from vista_sim.traces.importers.kitti import LICENCE, VEHICLE, read_numbers, rectified_camera
from vista_sim.traces.importers.kitti_rig import CALIBRATION, Rig
from vista_sim.traces.importers.motion import motion_of_poses
from vista_sim.traces.importers.motion_bounds import (
    check_motion_bounds,
    require_within,
    say_outside,
)
from vista_sim.traces.importers.numbered import FORMATS, numbered_files, numbered_times
from vista_sim.traces.importers.options import given_or_assumed, option
from vista_sim.traces.importers.recording import (
    CameraStream,
    LidarStream,
    Motion,
    Points,
    Recording,
)
from vista_sim.traces.origin import Origin
from vista_sim.transforms import Matrix, inverse

CAMERAS = {"left": 2, "right": 3, "gray_left": 0, "gray_right": 1}
SCANNER = "velodyne"
_MAX_SWEEP = 2**27  # bytes of a sweep
_COLUMNS = 30  # of an OXTS row
# Their places in it.
_LATITUDE, _LONGITUDE, _ALTITUDE, _ROLL, _PITCH, _YAW = range(6)
_FORWARD, _RATE_LEFT, _RATE_UP = 8, 21, 22


@dataclass(frozen=True)
class KittiRawOptions:
    """Which drive, and where the inertial unit is on the car."""

    drive: str = option("", "Number of the drive, such as 0002, where SRC holds several.")
    imu_x: float = option(
        0.0, "Inertial unit ahead of the rear axle, m (within 5 cm).", low=-5.0, high=5.0
    )
    imu_y: float = option(
        0.32,
        "Inertial unit left of the car's middle, m; where the scanner is in the middle.",
        low=-5.0,
        high=5.0,
    )
    imu_height: float = option(
        0.93, "Inertial unit above the road, m (IJRR 2013, fig. 3).", low=0.0, high=5.0
    )


class KittiRaw:
    """Synchronized drives of the raw data."""

    name = "kitti-raw"
    options = KittiRawOptions
    takes = "OXTS poses and speeds, up to four cameras, lidar, place on earth"
    extra = ""

    def detect(self, src: Path) -> float:
        return float(bool(_drives(src)))

    def why(self, src: Path) -> str:
        return f"it has a folder oxts beside {CALIBRATION}"

    def open(self, src: Path, options: KittiRawOptions) -> Recording:
        """Open one drive. Raises TraceError."""
        folder = _find(src, options.drive)
        imu = np.eye(4)
        imu[:3, 3] = options.imu_x, options.imu_y, options.imu_height
        rig = Rig.read(folder.parent, imu)
        motion, origin = _read_oxts(folder / "oxts", rig.T_vehicle_imu)
        mount_is = given_or_assumed(options, "imu_x", "imu_y", "imu_height")
        images = {
            name: numbered_files(folder / f"image_{i:02d}" / "data", FORMATS)
            for name, i in CAMERAS.items()
        }
        if not any(images.values()):
            raise TraceError(f"{folder}: holds no images (image_00 to image_03)")
        scans = numbered_files(folder / "velodyne_points" / "data", (".bin",))
        return Recording(
            name=f"kitti-raw-{folder.name.removesuffix('_sync')}",
            source=f"KITTI raw data, {folder.name}",
            licence=LICENCE,
            vehicle=VEHICLE,
            motion=motion,
            cameras={
                name: partial(_camera, folder, i, images[name], rig, mount_is, motion)
                for name, i in CAMERAS.items()
            },
            usual=tuple(name for name, files in images.items() if files),
            lidars={SCANNER: _scanner(folder, scans, rig, mount_is, motion)} if scans else {},
            origin=origin,
        )


def _drives(src: Path) -> list[Path]:
    """Drives at a folder: itself, or those in it or in the dates in it."""
    folders = [src, *sorted(src.glob("*_drive_*")), *sorted(src.glob("*/*_drive_*"))]
    return [f for f in folders if (f / "oxts").is_dir() and (f.parent / CALIBRATION).is_file()]


def _find(src: Path, drive: str) -> Path:
    if not src.is_dir():
        raise TraceError(f"{src}: no such folder")
    found = _drives(src)
    if not found:
        raise TraceError(
            f"{src}: no drive is there (a folder DATE_drive_NNNN_sync with oxts/, beside "
            f"{CALIBRATION})"
        )
    if drive:
        number = drive.zfill(4)
        found = [folder for folder in found if f"_drive_{number}_" in folder.name]
    if len(found) != 1:
        names = ", ".join(folder.name for folder in _drives(src))
        raise TraceError(f"{src}: holds {names}; choose one by its number with --drive")
    if found[0].name.endswith("_extract"):
        raise TraceError(
            f"{found[0]}: its images are neither rectified nor synchronized; take the drive that "
            "ends in _sync"
        )
    return found[0]


def _read_oxts(folder: Path, T_vehicle_imu: Matrix) -> tuple[Motion, Origin]:
    files = numbered_files(folder / "data", (".txt",))
    numbers, t_ns = numbered_times(folder / "timestamps.txt", list(files))
    if len(numbers) < 2:
        raise TraceError(f"{folder}: holds {len(numbers)} rows of OXTS; at least 2 are needed")
    rows = np.empty((len(numbers), _COLUMNS))
    for place, number in enumerate(numbers):
        row = read_numbers(files[number], _COLUMNS)
        if len(row) != 1:
            raise TraceError(f"{files[number]}: holds {len(row)} rows; it must hold one")
        rows[place] = row[0]
    far = np.abs(rows[:, [_LATITUDE, _LONGITUDE]]) > (90.0, 180.0)
    if far.any():
        number = numbers[int(np.flatnonzero(far.any(axis=1))[0])]
        raise TraceError(f"{files[number]}: latitude and longitude must be in degrees")
    if (np.abs(rows[:, [_ROLL, _PITCH, _YAW]]) > 2 * np.pi).any():
        raise TraceError(f"{folder}: roll, pitch and yaw must be in rad")
    poses = np.tile(np.eye(4), (len(rows), 1, 1))
    poses[:, :3, :3] = Rotation.from_euler("ZYX", rows[:, [_YAW, _PITCH, _ROLL]]).as_matrix()
    poses[:, :3, 3] = local_of_geodetic(*rows[:, [_LATITUDE, _LONGITUDE, _ALTITUDE]].T)
    vehicle = poses @ inverse(T_vehicle_imu)
    # Velocities are those of the unit: the rear axle's differs by rate x lever arm.
    _, aside, height = T_vehicle_imu[:3, 3]
    rate = rows[:, _RATE_UP]
    speed = rows[:, _FORWARD] + rate * aside - rows[:, _RATE_LEFT] * height
    latitude, longitude, altitude = (float(value) for value in rows[0, : _ALTITUDE + 1])
    origin = Origin(latitude, longitude, altitude).moved(vehicle[0])
    motion = motion_of_poses(t_ns, vehicle, speed, rate)
    times = str(folder / "timestamps.txt")
    check_motion_bounds(motion, lambda row: str(files[numbers[row]]), times)
    return motion, origin


def _camera(
    folder: Path, number: int, files: dict[int, Path], rig: Rig, mount_is: str, motion: Motion
) -> CameraStream:
    place = folder / f"image_{number:02d}"
    if not files:
        raise TraceError(f"{place / 'data'}: holds no images")
    if number not in rig.projections:
        raise TraceError(f"{folder.parent / CALIBRATION}: line P_rect_{number:02d} is missing")
    kept, t_ns = numbered_times(place / "timestamps.txt", list(files))
    if not kept:
        raise TraceError(f"{place / 'timestamps.txt'}: holds the time of no image")
    remedy = "it and oxts/timestamps.txt must be of one drive"
    require_within(str(place / "timestamps.txt"), "images", t_ns, motion, remedy)
    say_outside(str(place), "images", t_ns, motion)
    paths = [files[n] for n in kept]
    return rectified_camera(rig.projections[number], paths, t_ns, rig.T_vehicle_camera, mount_is)


def _scanner(
    folder: Path, files: dict[int, Path], rig: Rig, mount_is: str, motion: Motion
) -> LidarStream:
    place = folder / "velodyne_points"
    kept, starts = numbered_times(place / "timestamps_start.txt", list(files))
    ended, ends = numbered_times(place / "timestamps_end.txt", kept)
    if ended != kept:
        raise TraceError(f"{place}: timestamps_start.txt and timestamps_end.txt differ in blanks")
    say_outside(str(place), "sweeps", starts, motion)

    def sweeps(numbers: Sequence[int]) -> Iterator[Points]:
        for number in numbers:
            path = files[kept[number]]
            data = read_bytes(path, TraceError, _MAX_SWEEP)
            if not data:
                raise TraceError(
                    f"{path}: is empty; unpack it anew, or remove it: sweeps may be missing"
                )
            if len(data) % 16:
                raise TraceError(f"{path}: has {len(data)} bytes; points are four floats each")
            points: NDArray[np.float32] = np.frombuffer(data, "<f4").reshape(-1, 4)
            bad = np.flatnonzero(~np.isfinite(points).all(axis=1))
            if len(bad):
                raise TraceError(f"{path}: point {bad[0]} is not finite")
            xyz = points[:, :3].astype(np.float64)
            turned = (np.arctan2(xyz[:, 1], xyz[:, 0]) + np.pi) / (2 * np.pi)
            start, end = int(starts[number]), int(ends[number])
            measured = start + np.round(turned * (end - start)).astype(np.int64)
            yield Points(xyz, points[:, 3].astype(np.float64), t_ns=measured)

    calibration = LidarCalibration(rig.T_vehicle_scanner, motion_compensated=False)
    return LidarStream(calibration, starts, sweeps, {"mount": mount_is})
