"""Which topics of a bag an import takes: by the options, else where there is no doubt."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from vista_sim.errors import TraceError
from vista_sim.traces.importers.notes import note
from vista_sim.traces.importers.ros.bag import BARE_TIME, Bag, Topic
from vista_sim.traces.trace import RESERVED_NAMES

ODOMETRY = ("nav_msgs/msg/Odometry",)
POSES = ("geometry_msgs/msg/PoseStamped", "geometry_msgs/msg/PoseWithCovarianceStamped")
FIXES = ("sensor_msgs/msg/NavSatFix",)
TF = ("tf2_msgs/msg/TFMessage", "tf/msg/tfMessage")
POSE_TYPES = (*ODOMETRY, *POSES, *FIXES, *TF)
IMU = ("sensor_msgs/msg/Imu",)
CAMERA_INFO = ("sensor_msgs/msg/CameraInfo",)
COMPRESSED = ("sensor_msgs/msg/CompressedImage",)
VIDEOS = BARE_TIME
IMAGES = ("sensor_msgs/msg/Image", *COMPRESSED, *VIDEOS)
CLOUDS = ("sensor_msgs/msg/PointCloud2",)
SENT_AS = ("compressed", "compressedDepth", "theora", "ffmpeg", "h264", "h265", "video")
_PICTURE = re.compile(r"(image|camera|color|colour|rgb|mono|rect|raw|video|points|cloud|packets)")
_LIKED = ("image_rect_color", "image_rect", "image_color", "image_raw", "image")


@dataclass(frozen=True)
class Choice:
    """The topics of an import.

    Args:
        poses: what tells where the car is. imu: orientation beside positions on earth.
        cameras, lidars: by the names that they get in the trace.
    """

    poses: Topic
    imu: Topic | None = None
    cameras: Mapping[str, Topic] = field(default_factory=dict)
    lidars: Mapping[str, Topic] = field(default_factory=dict)


def choose(bag: Bag, poses: str, imu: str, images: str, points: str) -> Choice:
    """The topics that the options name, and where these are empty what is there without doubt.

    Raises TraceError: there is no such topic, or several could be meant.
    """
    of_poses = _named(bag, poses, POSE_TYPES, "--poses") if poses else _only_poses(bag)
    of_imu = _named(bag, imu, IMU, "--imu") if imu else None
    if of_poses.type in FIXES:
        found = of_types(bag, IMU)
        of_imu = of_imu or (_sole(bag, found, "--imu") if found else None)
    elif of_imu is not None:
        raise TraceError(
            f"{bag.src}: --imu is {imu}; it tells the orientation beside a NavSatFix alone, and "
            f"{of_poses.name} tells its own ({of_poses.type}): leave --imu out"
        )
    cameras = _listed(bag, images, IMAGES, "--images") if images else _cameras(bag)
    lidars = _listed(bag, points, CLOUDS, "--points") if points else _lidars(bag, set(cameras))
    return Choice(of_poses, of_imu, cameras, lidars)


def say_chosen(bag: Bag, choice: Choice, poses: str, imu: str, images: str, points: str) -> None:
    """Say what was taken that the options did not name."""
    said = {f"poses of {choice.poses.name} ({choice.poses.type})": poses}
    if choice.imu is not None:
        said[f"orientation of {choice.imu.name}"] = imu
    said |= {f"camera {name} of {topic.name}": images for name, topic in choice.cameras.items()}
    said |= {f"lidar {name} of {topic.name}": points for name, topic in choice.lidars.items()}
    if chosen := [text for text, given in said.items() if not given]:
        note(f"{bag.src}: takes " + ", ".join(chosen))


def of_types(bag: Bag, types: Sequence[str]) -> list[Topic]:
    """The topics of some types that have messages."""
    return [topic for topic in bag.topics.values() if topic.type in types and topic.count]


def _named(bag: Bag, name: str, types: Sequence[str], option: str) -> Topic:
    topic = bag.topics.get(name) or bag.topics.get("/" + name)
    if topic is None:
        known = ", ".join(t.name for t in of_types(bag, types)) or "none of these types"
        raise TraceError(f"{bag.src}: has no topic {name} ({option}); it has {known}")
    if topic.type not in types:
        wanted = " or ".join(types)
        raise TraceError(f"{bag.src}: {name} is of {topic.type}; {option} takes {wanted}")
    if not topic.count:
        raise TraceError(f"{bag.src}: {name} has no messages; take another with {option}")
    return topic


def _sole(bag: Bag, found: Sequence[Topic], option: str) -> Topic:
    if len(found) > 1:
        listed = ", ".join(topic.name for topic in found)
        raise TraceError(f"{bag.src}: {listed} could be meant; choose one with {option}")
    return found[0]


def _only_poses(bag: Bag) -> Topic:
    found = best_poses(bag)
    if not found:
        raise TraceError(
            f"{bag.src}: no topic tells where the car is (Odometry, PoseStamped, NavSatFix or tf); "
            f"vista-sim import ros {bag.src} lists what there is"
        )
    return _sole(bag, found, "--poses")


def best_poses(bag: Bag) -> list[Topic]:
    """The topics of the best kind of poses that is there: the car's own, a body's, GPS, tf."""
    for types in (ODOMETRY, POSES, FIXES):
        if found := of_types(bag, types):
            return found
    return [topic for topic in of_types(bag, TF) if "static" not in topic.name][:1]


def split(text: str) -> list[tuple[str, str]]:
    """NAME=TOPIC or TOPIC, by commas, as names ("" where there is none) and topics."""
    pairs = [part.strip().rpartition("=") for part in text.split(",") if part.strip()]
    return [(name.strip(), topic.strip()) for name, _, topic in pairs]


def _listed(bag: Bag, text: str, types: Sequence[str], option: str) -> dict[str, Topic]:
    if text.strip() == "none":
        return {}
    found: dict[str, Topic] = {}
    for name, wanted in split(text):
        topic = _named(bag, wanted, types, option)
        name = name or sensor_name(topic.name, set(found))
        if name in found:
            raise TraceError(f"{option} is {text!r}; it names {name} twice")
        found[name] = topic
    return found


def base_of(name: str) -> str:
    """A topic of images without how they are sent: /left/image_raw of .../compressed."""
    head, _, last = name.rpartition("/")
    return head if last in SENT_AS else name


def is_depth(name: str) -> bool:
    """Whether a topic's name says that it holds depth and no picture."""
    return "depth" in name.lower() or "disparity" in name.lower()


def _cameras(bag: Bag) -> dict[str, Topic]:
    """One topic of each camera: rectified before raw, and whole images before compressed ones."""
    groups: dict[str, list[Topic]] = {}
    for topic in of_types(bag, IMAGES):
        if not is_depth(topic.name):
            groups.setdefault(base_of(topic.name).rpartition("/")[0], []).append(topic)
    found: dict[str, Topic] = {}
    for group in groups.values():
        # Topics beside each other that are no variants of one name are cameras of their own.
        known = [t for t in group if base_of(t.name).rpartition("/")[2] in _LIKED]
        for topic in [min(known, key=_rank)] if known else group:
            found[sensor_name(topic.name, set(found))] = topic
    return found


def _rank(topic: Topic) -> tuple[int, int, str]:
    base = base_of(topic.name)
    return _LIKED.index(base.rpartition("/")[2]), int(base != topic.name), topic.name


def _lidars(bag: Bag, taken: set[str]) -> dict[str, Topic]:
    found: dict[str, Topic] = {}
    for topic in of_types(bag, CLOUDS):
        if not is_depth(topic.name):
            found[sensor_name(topic.name, taken | set(found))] = topic
    return found


def sensor_name(topic: str, taken: set[str]) -> str:
    """A name for the sensor of a topic: the last part that names no kind of message."""
    parts = [re.sub(r"[^A-Za-z0-9_-]+", "_", p) for p in base_of(topic).split("/") if p]
    own = [p for p in parts if not _PICTURE.fullmatch(p.split("_")[0])] or parts
    for count in range(1, len(own) + 1):
        name = re.sub(r"^[^A-Za-z0-9]+", "", "_".join(own[-count:]))[:64]
        if name and name not in taken and name not in RESERVED_NAMES:
            return name
    number = 2
    while f"sensor_{number}" in taken:
        number += 1
    return f"sensor_{number}"
