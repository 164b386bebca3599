"""Imports ROS 1 bags, ROS 2 bags (SQLite, MCAP) and single .mcap and .db3 files.

Poses are those of Odometry, PoseStamped, tf, or NavSatFix with an Imu; images those of Image,
CompressedImage and CompressedVideo with their CameraInfo; sweeps those of PointCloud2. Frames are
those of REP 103 (x ahead, y left, z up; optical frames: x right, y down, z ahead) and REP 105:
where `base_link` is on the car a bag does not say, so options do.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from vista_sim.errors import TraceError
from vista_sim.traces.calibration import Vehicle
from vista_sim.traces.importers.notes import note
from vista_sim.traces.importers.options import given_or_assumed, option
from vista_sim.traces.importers.recording import Recording
from vista_sim.traces.importers.ros.bag import DISTROS, Bag, Topic
from vista_sim.traces.importers.ros.body import Body
from vista_sim.traces.importers.ros.listing import listing
from vista_sim.traces.importers.ros.mounts import Mounts, base_frame, numbers_of, parse_mounts
from vista_sim.traces.importers.ros.parts import SUFFIXES, bag_files, why_none
from vista_sim.traces.importers.ros.poses import motion_of_body, read_body
from vista_sim.traces.importers.ros.rig import Rig
from vista_sim.traces.importers.ros.survey import survey
from vista_sim.traces.importers.ros.topics import (
    CAMERA_INFO,
    FIXES,
    TF,
    Choice,
    choose,
    of_types,
    say_chosen,
)
from vista_sim.transforms import Matrix

NAMED = 0.3  # how sure a file is a bag whose name says so, and nothing else


@dataclass(frozen=True)
class RosOptions:
    """Which topics, whose times, and where things are on the car."""

    poses: str = option("", "Topic of Odometry, PoseStamped, NavSatFix or tf.")
    imu: str = option("", "Topic of Imu: the orientation beside a NavSatFix.")
    images: str = option("", "Topics of images, TOPIC or NAME=TOPIC, by commas.")
    points: str = option("", "Topics of PointCloud2, TOPIC or NAME=TOPIC, by commas; none: none.")
    time: str = option("header", "Times of headers, or of recording.", choices=("header", "log"))
    distro: str = option(
        "humble", "ROS 2 that defines messages where a bag does not.", choices=DISTROS
    )
    base_frame: str = option("", "Frame of tf that is fixed to the car; base_link else.")
    world_frame: str = option("", "Frame of tf that the car moves in; odom, else map.")
    base_x: float = option(0.0, "Base frame ahead of the rear axle, m.", low=-20.0, high=20.0)
    base_y: float = option(0.0, "Base frame left of the car's middle, m.", low=-5.0, high=5.0)
    base_height: float = option(0.0, "Base frame above the road, m.", low=-5.0, high=10.0)
    mounts: str = option(
        "", "Sensors on the car: NAME=X,Y,Z,ROLL,PITCH,YAW;... (m, degrees; from the rear axle)."
    )
    camera_matrix: str = option("", "[NAME=]FX,FY,CX,CY[,K1,K2,P1,P2[,K3]];... where none is told.")
    rectified: str = option(
        "auto",
        "Whether images are rectified; auto: by their topic's name.",
        choices=("auto", "yes", "no"),
    )
    compensated: str = option(
        "auto",
        "Whether points are motion-compensated; auto: those without times are.",
        choices=("auto", "yes", "no"),
    )


class Ros:
    """Bags of ROS 1 and ROS 2."""

    name = "ros"
    options = RosOptions
    takes = "poses by odometry, pose, tf or GPS with Imu; any cameras and lidars; place on earth"
    extra = "ros"

    def detect(self, src: Path) -> float:
        if bag_files(src):
            return 1.0
        return NAMED if src.is_file() and src.suffix in SUFFIXES else 0.0

    def why(self, src: Path) -> str:
        if not (found := bag_files(src)):
            return f"by its name, but it {why_none(src)}"
        return f"it is a bag: {', '.join(path.name for path in found[:3])}"

    def listing(self, src: Path, options: RosOptions) -> str:
        """What a bag holds, and how to import it. Raises TraceError."""
        return listing(Bag(src, options.distro))

    def camera_names(self, src: Path, options: RosOptions) -> tuple[str, ...]:
        """The cameras there will be, by the topics alone. Raises TraceError."""
        named = options.poses, options.imu, options.images, options.points
        return tuple(choose(Bag(src, options.distro), *named).cameras)

    def open(self, src: Path, options: RosOptions) -> Recording:
        """Open a bag. Raises TraceError."""
        given = parse_mounts(options.mounts)
        matrices = numbers_of(options.camera_matrix, "camera_matrix", (4, 8, 9))
        bag = Bag(src, options.distro)
        if not bag.has_definitions:
            note(
                f"{src}: defines no messages; those of ROS 2 {options.distro} are taken (--distro)"
            )
        named = options.poses, options.imu, options.images, options.points
        choice = choose(bag, *named)
        say_chosen(bag, choice, *named)
        if not choice.cameras:
            raise TraceError(
                f"{src}: no topic holds pictures; vista-sim import ros {src} lists what there is"
            )
        found = survey(bag, _topics(bag, choice), options.time, choice.poses.type in TF)
        for name in (*given, *matrices):
            if name not in ("", "poses", "antenna", "imu", *choice.cameras, *choice.lidars):
                known = ", ".join([*choice.cameras, *choice.lidars, "poses", "antenna", "imu"])
                raise TraceError(f"there is no sensor {name!r}; sensors of this import: {known}")
        where = f"{src}: {choice.poses.name}"
        child = found.series[choice.poses.name].child
        base = base_frame(found.frames, child, options.base_frame)
        body = read_body(found, choice.poses, choice.imu, base, options.world_frame, where)
        place = options.base_x, options.base_y, options.base_height
        place_is = given_or_assumed(options, "base_x", "base_y", "base_height")
        mounts = Mounts.of(found.frames, base, place, place_is, given)
        motion, origin = motion_of_body(body, _on_vehicle(body, choice, mounts), where)
        rig = Rig(
            bag, found, choice, motion, mounts, matrices, options.rectified, options.compensated
        )
        return Recording(
            name=f"ros-{src.stem or 'bag'}",
            source=f"ROS {2 if bag.is_ros2 else 1} bag {src.name}",
            licence="unknown",
            vehicle=Vehicle.from_json({}),
            motion=motion,
            cameras={name: partial(rig.camera, name) for name in choice.cameras},
            usual=tuple(choice.cameras),
            lidars={name: rig.lidar(name) for name in choice.lidars},
            origin=origin,
        )


def _topics(bag: Bag, choice: Choice) -> list[Topic]:
    chosen = [choice.poses, *choice.cameras.values(), *choice.lidars.values()]
    chosen += [] if choice.imu is None else [choice.imu]
    return list({t.name: t for t in [*chosen, *of_types(bag, (*TF, *CAMERA_INFO))]}.values())


def _on_vehicle(body: Body, choice: Choice, mounts: Mounts) -> Matrix:
    """T_vehicle_body (4, 4): where what the poses are of is on the car."""
    name = "antenna" if choice.poses.type in FIXES else "poses"
    T_vehicle_body = _frame_or_base(mounts, name, body.frame)
    if body.turn == "vehicle":
        T_vehicle_body[:3, :3] = np.eye(3)
    elif body.turn:
        T_vehicle_body[:3, :3] = _frame_or_base(mounts, "imu", body.turn)[:3, :3]
    return T_vehicle_body


def _frame_or_base(mounts: Mounts, name: str, frame: str) -> Matrix:
    """Where a frame is on the car; one that tf does not place is taken as the base."""
    if name not in mounts.given and mounts.frames.fixed(mounts.base, frame) is None:
        called = f"{frame!r}, which tf does not place," if frame.strip() else "a frame without name"
        note(
            f"{name} of {called} is taken as that of {mounts.base}; --mounts {name}=X,Y,Z says more"
        )
        return mounts.T_vehicle_base.copy()
    return mounts.frame(name, frame)[0].copy()
