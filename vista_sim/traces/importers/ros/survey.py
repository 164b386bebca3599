"""One pass over a bag: the time of every image and sweep, poses, calibrations and frames.

Images and points themselves are not kept.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vista_sim.traces.importers.notes import note
from vista_sim.traces.importers.recording import Floats, Times
from vista_sim.traces.importers.ros.bag import Bag, Message, Topic
from vista_sim.traces.importers.ros.frames import Frames, plain
from vista_sim.traces.importers.ros.lens import Info
from vista_sim.traces.importers.ros.topics import (
    CAMERA_INFO,
    FIXES,
    IMU,
    ODOMETRY,
    POSES,
    TF,
    VIDEOS,
)
from vista_sim.traces.importers.ros.video import LOOKED_AT, begins_anew

MAX_STRAY = 10.0  # s that a header's time may be from what is usual for its topic
SHOWN = 1e-3  # s that headers' times must be from those of recording to be worth a word
MAX_STRAYS = 0.05  # share of a topic's messages


@dataclass(eq=False)
class Series:
    """The messages of one topic, in the order of recording.

    Args:
        log_ns: when each was recorded. header_ns: when its header says that it was taken.
        rows: what is kept of each, one after the other; empty: nothing.
        frame: of the first header. child: what poses are of.
        begins: whether a video can be decoded from this message on.
    """

    topic: Topic
    log_ns: array[int] = field(default_factory=lambda: array("q"))
    header_ns: array[int] = field(default_factory=lambda: array("q"))
    rows: array[float] = field(default_factory=lambda: array("d"))
    frame: str = ""
    child: str = ""
    begins: list[bool] = field(default_factory=list)

    def table(self) -> Floats:
        """What is kept of the messages, (n, columns)."""
        return np.array(self.rows).reshape(len(self.log_ns), -1)


@dataclass(frozen=True, eq=False)
class Kept:
    """Those messages of a topic whose times increase.

    Args:
        t_ns: (n,) ns. numbers: (n,) of each among all of its topic, in the order of recording.
    """

    t_ns: Times
    numbers: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Survey:
    """What one pass found.

    Args:
        series: by topic. infos: by topic the first CameraInfo that is calibrated, else the first.
        frames: of tf. time: "header" or "log", of all that is taken.
    """

    series: dict[str, Series]
    infos: dict[str, Info]
    frames: Frames
    time: str

    def kept(self, topic: str) -> Kept:
        """Times of a topic's messages, without those that are not later than all before."""
        series = self.series[topic]
        log_ns = np.array(series.log_ns, dtype=np.int64)
        numbers = np.arange(len(log_ns))
        t_ns = log_ns
        if self.time == "header":
            t_ns = np.array(series.header_ns, dtype=np.int64)
            numbers = np.flatnonzero(~_strays(t_ns, log_ns))
        t = t_ns[numbers]
        later = np.ones(len(t), dtype=bool)
        later[1:] = t[1:] > np.maximum.accumulate(t)[:-1]
        lost = len(t_ns) - int(later.sum())
        if lost:
            note(
                f"{topic}: {lost} of {len(t_ns)} messages are left out: by their {self.time} times "
                "they are not later than the one before, or far from their recording"
            )
        return Kept(t[later], numbers[later])


def survey(bag: Bag, topics: Iterable[Topic], wanted_time: str, of_tf: bool) -> Survey:
    """Read the chosen topics once. Raises TraceError.

    Args:
        topics: those chosen, and those of CameraInfo and tf.
        wanted_time: "header" or "log".
        of_tf: whether poses are those of tf.
    """
    series = {topic.name: Series(topic) for topic in topics}
    infos: dict[str, Info] = {}
    frames = Frames()
    for name, message in bag.messages([one.topic for one in series.values()]):
        with bag.errors(name):  # a bag may define messages otherwise than ROS does
            _take(bag, series[name], message, infos, frames)
    times = {
        name: (np.array(one.header_ns, np.int64), np.array(one.log_ns, np.int64))
        for name, one in series.items()
        if one.log_ns
    }
    if of_tf and (moving := [link for link in frames.links.values() if link.moves]):
        most = max(moving, key=lambda link: len(link.header_ns))
        times["tf"] = np.array(most.header_ns, np.int64), np.array(most.log_ns, np.int64)
    return Survey(series, infos, frames, _chosen_time(bag, times, wanted_time))


def _take(bag: Bag, one: Series, message: Message, infos: dict[str, Info], frames: Frames) -> None:
    name = one.topic.name
    if one.topic.type in TF:
        frames.add(bag.read(one.topic, message).transforms, message.log_ns)
    elif one.topic.type in CAMERA_INFO:
        if name not in infos or not infos[name].calibrated:
            infos[name] = Info.of(bag.read(one.topic, message), f"{bag.src}: {name}")
    else:
        one.log_ns.append(message.log_ns)
        one.header_ns.append(bag.stamp(one.topic, message))
        _keep(bag, one, message)


def _keep(bag: Bag, one: Series, message: Message) -> None:
    """What of a message is needed later on; of images and points nothing."""
    kind = one.topic.type
    if one.frame and kind not in (*ODOMETRY, *POSES, *FIXES, *IMU, *VIDEOS):
        return
    read = bag.read(one.topic, message)
    header = getattr(read, "header", read)
    if not one.frame:
        one.frame = plain(header.frame_id) or " "  # known to have none
        one.child = plain(getattr(read, "child_frame_id", ""))
    if kind in VIDEOS:
        one.begins.append(begins_anew(bytes(read.data[:LOOKED_AT]), str(read.format)))
    elif kind in FIXES:
        one.rows.extend(_of_fix(read))
    elif kind in IMU:
        q, w = read.orientation, read.angular_velocity
        spread = read.orientation_covariance
        one.rows.extend((q.x, q.y, q.z, q.w, w.x, w.y, w.z, float(spread[0]), float(spread[8])))
    elif kind in (*ODOMETRY, *POSES):
        one.rows.extend(_of_pose(read))


def _of_fix(read: object) -> tuple[float, ...]:
    fix: Any = read
    spread = fix.position_covariance
    known = fix.position_covariance_type != 0
    return (
        *(float(value) for value in (fix.latitude, fix.longitude, fix.altitude)),
        float(fix.status.status),
        float(spread[0]) if known else float("nan"),
        float(spread[4]) if known else float("nan"),
    )


def _of_pose(read: object) -> tuple[float, ...]:
    """Position, quaternion, velocity and rates, variances of x, y and yaw; NaN: not told."""
    message: Any = read
    spread = getattr(message.pose, "covariance", None)
    pose = message.pose if spread is None else message.pose.pose
    twist = getattr(getattr(message, "twist", None), "twist", None)
    p, q = pose.position, pose.orientation
    unknown = float("nan")
    moved = [unknown] * 6
    if twist is not None:
        v, w = twist.linear, twist.angular
        moved = [v.x, v.y, v.z, w.x, w.y, w.z]
    variances = [unknown] * 3 if spread is None else [float(spread[i]) for i in (0, 7, 35)]
    return (p.x, p.y, p.z, q.x, q.y, q.z, q.w, *moved, *variances)


def _strays(header_ns: Times, log_ns: Times) -> NDArray[np.bool_]:
    """Which headers' times are far from where the topic's usually are beside those of recording."""
    behind = (header_ns - log_ns) * 1e-9
    return np.asarray(np.abs(behind - np.median(behind)) > MAX_STRAY)


def _chosen_time(bag: Bag, times: dict[str, tuple[Times, Times]], wanted: str) -> str:
    """Times of headers, unless they cannot be those of one clock."""
    if wanted == "log":
        return "log"
    behind = {name: float(np.median(header - log)) * 1e-9 for name, (header, log) in times.items()}
    why = ""
    for name, (header_ns, log_ns) in times.items():
        if np.mean(header_ns == 0) > MAX_STRAYS:
            why = f"the header times of {name} are zero"
        elif np.mean(_strays(header_ns, log_ns)) > MAX_STRAYS:
            why = f"the header times of {name} and those of recording run apart"
        if why:
            break
    if not why and behind and max(behind.values()) - min(behind.values()) > MAX_STRAY:
        one, other = (pick(behind, key=lambda name: behind[name]) for pick in (min, max))
        why = f"the header times of {one} and {other} are of different clocks"
    if why:
        note(f"{bag.src}: takes the times of recording, since {why}")
        return "log"
    if any(abs(seconds) >= SHOWN for seconds in behind.values()):
        late = [-seconds for seconds in behind.values()]
        note(
            f"{bag.src}: takes the times of headers, {min(late):.3f} to {max(late):.3f} s before "
            "those of recording (--time log takes these)"
        )
    return "header"
