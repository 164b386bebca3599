"""Imports PandaSet (Xiao et al., "PandaSet: Advanced sensor suite dataset for autonomous driving",
ITSC 2021).

Layout: NNN/{camera/NAME_camera/{NN.jpg, intrinsics, poses, timestamps}, lidar/{NN.pkl.gz, poses,
timestamps}, meta/{gps, timestamps}, annotations/cuboids/NN.pkl.gz}, the others .json. What belongs
together has the same number; images, sweeps and boxes may be missing.

- Poses are those of each sensor at its own times, in a frame with z up; quaternions w x y z. That
  of lidar/poses.json is the car's: x right, y ahead, z up, in the middle of the car, level, and
  0.31 m above the road (fitted to the returns of the road in sequence 002). That it is above the
  rear axle is not in the data, but assumed: the height is that of an axle.
- The motion is that of the front camera, so that its images have the very poses of the data.
- Points are in the world, motion-compensated. A turn of the mechanical scanner (d = 0) is 0.1 s,
  clockwise seen from above, from behind to behind, and ends at its time stamp: it looks ahead when
  the front camera takes its image. A sweep's time is the middle of that turn, and its points are
  brought to where the scanner was then; each has its own time beside it. The solid-state scanner
  (d = 1) is not in step with the turns.
- Where the scanners are is from docs/static_extrinsic_calibration.yaml of the development kit, and
  the same for all recordings. Seen from there the rings are 0.167 degrees apart, as they are made.
- Images are taken as free of distortion. That file holds some, of the lenses, but outlines of what
  the scanner sees lie on those of the images without it, in both cameras whose images were at hand
  (front and front_left; the other four are not verified): with it, up to 40 pixels beside.
- Boxes are those of the mechanical scanner, and of the other one where that alone sees an object.
  Their yaw is of the side that dimensions.x measures, the width; an object looks along y.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from vista_sim.errors import TraceError
from vista_sim.files import read_json, require_object, shown
from vista_sim.traces.calibration import CameraCalibration, Lens, LidarCalibration, Vehicle
from vista_sim.traces.importers.image_files import image_files
from vista_sim.traces.importers.motion import motion_of_poses
from vista_sim.traces.importers.motion_bounds import check_motion_bounds
from vista_sim.traces.importers.numbered import FORMATS, numbered_files
from vista_sim.traces.importers.options import given_or_assumed, option
from vista_sim.traces.importers.pandaset_boxes import read_boxes
from vista_sim.traces.importers.pandaset_files import (
    check_numbers,
    find_sequence,
    read_origin,
    read_posed,
    read_times,
    real_of,
    sequences,
)
from vista_sim.traces.importers.pickled_frames import numbers_of, read_frame
from vista_sim.traces.importers.posed_images import Posed, mount_on
from vista_sim.traces.importers.recording import (
    CameraStream,
    Floats,
    LidarStream,
    Points,
    Recording,
    Times,
)
from vista_sim.traces.known import RECORDED
from vista_sim.traces.levelling import levelling
from vista_sim.transforms import Matrix, inverse

LICENCE = "CC BY 4.0 with additional terms"
# Chrysler Pacifica, by its maker's data sheet.
VEHICLE = Vehicle.from_json({"length": 5.176, "width": 2.022, "height": 1.777, "wheelbase": 3.089})
CAMERAS = ("front", "front_left", "front_right", "left", "right", "back")
PICKLES = (".pkl.gz", ".pkl")
HALF_TURN_NS = 50_000_000  # from the middle of a turn to its time stamp

#: Places (x y z, then x y z w), by static_extrinsic_calibration.yaml.
_FRONT_OF_PANDAR64 = (0.0002585796504896516, -0.03907777167811011, -0.0440125762408362), (
    0.0030578899383849464, 0.7114721800418571, -0.7025205466606356, 0.016213200031258722,
)  # fmt: skip
_PANDAR64_OF_GT = (-0.000451117754, -0.605646431446, -0.301525235176), (
    -0.002060907279494794, 0.01134678181520767, 0.9997028534282365, 0.021475754959146356,
)  # fmt: skip
SCANNERS = {"pandar64": 0, "pandar_gt": 1}  # and their value of d
_CAR_IN_VEHICLE = np.array([[0.0, 1, 0], [-1, 0, 0], [0, 0, 1]])  # x right, y ahead


@dataclass(frozen=True)
class PandaSetOptions:
    """Which sequence, and where the frame of its poses is on the car."""

    sequence: str = option("", "Name of the sequence, such as 002, where SRC holds several.")
    frame_height: float = option(
        0.31, "Origin of lidar/poses.json above the road, m (fitted).", low=0.0, high=5.0
    )
    frame_x: float = option(
        0.0, "Origin of lidar/poses.json ahead of the rear axle, m.", low=-5.0, high=5.0
    )


class PandaSet:
    """Sequences of PandaSet."""

    name = "pandaset"
    options = PandaSetOptions
    takes = "poses, up to six cameras, both lidars, boxes, place on earth"
    extra = ""

    def detect(self, src: Path) -> float:
        return float(bool(sequences(src)))

    def why(self, src: Path) -> str:
        return "it has camera/front_camera/poses.json beside lidar/poses.json"

    def open(self, src: Path, options: PandaSetOptions) -> Recording:
        """Open one sequence. Raises TraceError."""
        folder = find_sequence(src, options.sequence)
        T_vehicle_car = np.eye(4)
        T_vehicle_car[:3, :3] = _CAR_IN_VEHICLE
        T_vehicle_car[:3, 3] = options.frame_x, 0.0, options.frame_height
        car = read_posed(folder / "lidar").moved(inverse(T_vehicle_car))
        front = read_posed(folder / "camera" / "front_camera")
        T_vehicle_front = mount_on(car, front)
        vehicle = front.moved(inverse(T_vehicle_front))
        motion = motion_of_poses(vehicle.t_ns, vehicle.poses)
        times = str(folder / "camera" / "front_camera" / "timestamps.json")
        check_motion_bounds(motion, lambda row: f"{front.name}: pose {row}", times)
        mount_is = given_or_assumed(options, "frame_height", "frame_x")
        images = {
            name: numbered_files(folder / "camera" / f"{name}_camera", FORMATS) for name in CAMERAS
        }
        if not any(images.values()):
            raise TraceError(f"{folder / 'camera'}: holds no images; unpack all of the sequence")
        ends = read_times(folder / "lidar")
        middles = ends - HALF_TURN_NS
        T_vehicle_scanner = {"pandar64": T_vehicle_front @ _pose(*_FRONT_OF_PANDAR64)}
        T_vehicle_scanner["pandar_gt"] = T_vehicle_scanner["pandar64"] @ _pose(*_PANDAR64_OF_GT)
        sweeps = numbered_files(folder / "lidar", PICKLES)
        check_numbers(sweeps, len(ends), folder / "lidar")
        boxes = numbered_files(folder / "annotations" / "cuboids", PICKLES)
        check_numbers(boxes, len(ends), folder / "lidar")
        T_world_data = levelling(vehicle.poses[0])
        return Recording(
            name=f"pandaset-{folder.name}",
            source=f"PandaSet, sequence {folder.name}",
            licence=LICENCE,
            vehicle=VEHICLE,
            motion=motion,
            cameras={
                name: partial(_camera, folder, name, images[name], vehicle, mount_is)
                for name in CAMERAS
            },
            usual=tuple(name for name in CAMERAS if images[name]),
            lidars={
                name: _scanner(d, sweeps, middles, vehicle, T_vehicle_scanner[name], mount_is)
                for name, d in SCANNERS.items()
            }
            if sweeps
            else {},
            origin=read_origin(folder / "meta", vehicle),
            tracks=read_boxes(boxes, middles, T_world_data) if boxes else None,
        )


def _pose(place: Sequence[float], quaternion: Sequence[float]) -> Matrix:
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_quat(quaternion).as_matrix()
    pose[:3, 3] = place
    return pose


def _camera(
    folder: Path, name: str, files: dict[int, Path], vehicle: Posed, mount_is: str
) -> CameraStream:
    place = folder / "camera" / f"{name}_camera"
    if not files:
        raise TraceError(f"{place}: holds no images")
    posed = read_posed(place)
    check_numbers(files, len(posed.t_ns), place)
    path = place / "intrinsics.json"
    values = require_object(read_json(path, TraceError), str(path), TraceError)
    fx, fy, cx, cy = (
        real_of(path, values.get(key), key, -1e6, 1e6, "px") for key in ("fx", "fy", "cx", "cy")
    )
    size, frames = image_files(list(files.values()))
    if not (min(fx, fy) > 0 and 0 < cx < size[1] and 0 < cy < size[0]):
        raise TraceError(f"{path}: {shown(dict(values))} is not of images of {size} px")
    lens = Lens("pinhole", fx, fy, cx, cy, size)
    calibration = CameraCalibration(lens, mount_on(vehicle, posed))
    known = {"lens": RECORDED, "mount": mount_is}
    return CameraStream(calibration, posed.t_ns[list(files)], frames, known)


def _scanner(
    d: int,
    files: dict[int, Path],
    middles: Times,
    vehicle: Posed,
    T_vehicle_scanner: Matrix,
    mount_is: str,
) -> LidarStream:
    numbers = list(files)
    t_ns = middles[numbers]

    def sweeps(wanted: Sequence[int]) -> Iterator[Points]:
        for place in wanted:
            path = files[numbers[place]]
            columns = numbers_of(path, read_frame(path), ("x", "y", "z", "i", "t", "d"))
            own = columns["d"] == d
            world = np.stack([columns[axis][own] for axis in "xyz"], axis=1)
            pose = inverse(vehicle.at(t_ns[place : place + 1])[0] @ T_vehicle_scanner)
            measured = _measured(path, columns["t"][own], int(t_ns[place]))
            yield Points(world @ pose[:3, :3].T + pose[:3, 3], columns["i"][own], t_ns=measured)

    calibration = LidarCalibration(T_vehicle_scanner, motion_compensated=True)
    return LidarStream(calibration, t_ns, sweeps, {"mount": mount_is})


def _measured(path: Path, t: Floats, middle: int) -> Times:
    """Times of points, ns; within a second of that of their sweep, or it is another's."""
    beside = t - middle * 1e-9
    if len(beside) and np.abs(beside).max() > 1:
        raise TraceError(
            f"{path}: column 't' is up to {np.abs(beside).max():.1f} s beside the sweep's time in "
            "timestamps.json; it must be in s, on the same clock"
        )
    return np.round(t * 1e9).astype(np.int64)
