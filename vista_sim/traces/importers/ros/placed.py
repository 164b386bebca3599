"""What tf places on the car, by the first messages of a bag."""

from __future__ import annotations

from itertools import islice

from vista_sim.errors import TraceError
from vista_sim.traces.importers.ros.bag import Bag, Topic
from vista_sim.traces.importers.ros.frames import Frames, plain
from vista_sim.traces.importers.ros.mounts import base_frame
from vista_sim.traces.importers.ros.topics import FIXES, TF, Choice, of_types

LOOKED_AT = 1000  # messages of tf: what stands still is told over and over, or at the beginning


def unplaced(bag: Bag, choice: Choice) -> list[str]:
    """Sensors of an import that tf does not place, by their names; "antenna" is that of positions
    on earth. Raises TraceError.
    """
    frames = Frames()
    for topic in of_types(bag, TF):
        for _, message in islice(bag.messages([topic]), LOOKED_AT):
            with bag.errors(topic.name):  # a bag may define messages otherwise than ROS does
                frames.add(bag.read(topic, message).transforms, message.log_ns)
    frame, child = _frames_of(bag, choice.poses)
    base = base_frame(frames, child, "")
    sensors = {**choice.cameras, **choice.lidars}
    wanted = {name: _frames_of(bag, topic)[0] for name, topic in sensors.items()}
    if choice.poses.type in FIXES:
        wanted["antenna"] = frame
    return [name for name, own in wanted.items() if not _is_placed(frames, base, own)]


def _is_placed(frames: Frames, base: str, frame: str) -> bool:
    try:
        return frames.fixed(base, frame) is not None
    except TraceError:  # what joins them moves
        return False


def _frames_of(bag: Bag, topic: Topic) -> tuple[str, str]:
    """The frame of a topic's first message, and of what its poses are; " " and "": not told."""
    if topic.type in TF:
        return " ", ""
    for _, message in bag.messages([topic]):
        with bag.errors(topic.name):
            read = bag.read(topic, message)
            header = getattr(read, "header", read)
            return plain(header.frame_id) or " ", plain(getattr(read, "child_frame_id", ""))
    return " ", ""
