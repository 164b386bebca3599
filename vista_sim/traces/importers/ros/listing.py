"""What a bag holds, and the command that would import it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from vista_sim.traces.importers.ros.bag import Bag, Topic
from vista_sim.traces.importers.ros.placed import unplaced
from vista_sim.traces.importers.ros.topics import (
    CAMERA_INFO,
    CLOUDS,
    FIXES,
    IMAGES,
    IMU,
    POSE_TYPES,
    TF,
    Choice,
    best_poses,
    choose,
    is_depth,
    of_types,
)

PLACE, LENS = "X,Y,Z,ROLL,PITCH,YAW", "FX,FY,CX,CY"  # stand for numbers

_USES = (
    (POSE_TYPES, "--poses"),
    (IMU, "--imu"),
    (IMAGES, "--images"),
    (CLOUDS, "--points"),
    (CAMERA_INFO, "calibration"),
)


def listing(bag: Bag) -> str:
    """A line a topic: name, type, messages, Hz, and what an import could take it for; and the full
    command line of what an import would take by itself, or what it lacks.
    """
    topics = [(topic, _use(topic)) for topic in bag.topics.values()]
    rows = [("topic", "type", "messages", "Hz", "for")]
    rows += [(t.name, t.type, str(t.count), f"{t.rate:.2f}", use) for t, use in topics]
    widths = [max(len(row[k]) for row in rows) for k in range(5)]
    lines = [
        f"{row[0]:<{widths[0]}}  {row[1]:<{widths[1]}}  {row[2]:>{widths[2]}}  "
        f"{row[3]:>{widths[3]}}  {row[4]}".rstrip()
        for row in rows
    ]
    return "\n".join([f"{bag.src}: {_about(bag)}", "", *lines, "", *_proposal(bag)])


def _about(bag: Bag) -> str:
    kind = "ROS 2" if bag.is_ros2 else "ROS 1"
    without = "" if bag.has_definitions else ", without message definitions"
    count = sum(topic.count for topic in bag.topics.values())
    return f"{kind}, {bag.duration:.1f} s, {count} messages{without}"


def _use(topic: Topic) -> str:
    if not topic.count or (is_depth(topic.name) and topic.type in IMAGES):
        return ""
    if topic.type in TF and "static" in topic.name:
        return "mounts"
    return next((use for types, use in _USES if topic.type in types), "")


def _proposal(bag: Bag) -> list[str]:
    found = best_poses(bag)
    if not found:
        return ["Not to be imported: no topic tells where the car is"]
    poses = max(found, key=lambda topic: topic.count)
    if poses.count < 2:
        return [f"Not to be imported: {poses.name} holds one pose, and a motion is of two or more"]
    imus = of_types(bag, IMU) if poses.type in FIXES else []
    imu = max(imus, key=lambda topic: topic.count, default=None)
    choice = choose(bag, poses.name, imu.name if imu else "", "", "")
    if not choice.cameras:
        wanted = ", ".join(dict.fromkeys(kind.rpartition("/")[2] for kind in IMAGES))
        return [f"Not to be imported: no topic holds pictures ({wanted})"]
    others = [t.name for t in (*found, *imus) if t not in (poses, imu)]
    instead = [f"Instead of what it names could stand {', '.join(others)}"] if others else []
    lacking = unplaced(bag, choice)
    sensors = [name for name in lacking if name != "antenna"]
    has_infos = bool(of_types(bag, CAMERA_INFO))
    missing = [PLACE] * bool(sensors) + [LENS] * (not has_infos)
    with_numbers = f", with numbers in place of {' and '.join(missing)}" if missing else ""
    command = _command(bag, choice, sensors, "" if has_infos else LENS)
    return [f"To import it{with_numbers}:", command, *instead, *_hints(bag, choice, lacking)]


def _command(bag: Bag, choice: Choice, unplaced: Sequence[str], lens: str) -> str:
    words = ["vista-sim", "import", "ros", str(bag.src), "DST", "--poses", choice.poses.name]
    if choice.imu is not None:
        words += ["--imu", choice.imu.name]
    for option, sensors in (("--images", choice.cameras), ("--points", choice.lidars)):
        if sensors:
            words += [option, ",".join(f"{name}={t.name}" for name, t in sensors.items())]
    if unplaced:
        words += ["--mounts", ";".join(f"{name}={PLACE}" for name in unplaced)]
    if lens:
        words += ["--camera-matrix", lens]
    return " ".join(shlex.quote(word) for word in words)


def _hints(bag: Bag, choice: Choice, unplaced: Sequence[str]) -> list[str]:
    """What the command still needs where the bag does not say it."""
    hints = []
    if not of_types(bag, CAMERA_INFO):
        hints.append(f"{LENS}: focal lengths and middle, in pixels; no CameraInfo tells them")
    tf = "tf does not place it" if of_types(bag, TF) else "there is no tf"
    for name in unplaced:
        if name == "antenna":
            hints.append(f"The antenna's place: antenna=X,Y,Z in --mounts too ({tf})")
        else:
            without = ", or leave out all lidars: --points none" if name in choice.lidars else ""
            hints.append(
                f"{name}={PLACE}: where it is, in m from the rear axle on the road, and degrees; "
                f"{tf}{without}"
            )
    return hints
