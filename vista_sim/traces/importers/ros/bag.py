"""A bag of ROS 1 or ROS 2: its topics, and their messages one by one.

What is read is `rosbags`' business; this says what of it a user can mend, in one line.
"""

from __future__ import annotations

import struct
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vista_sim.atomic import is_full_disk
from vista_sim.errors import MissingDependencyError, TraceError
from vista_sim.files import one_line, shown
from vista_sim.traces.importers.ros.parts import (
    bag_files,
    check_inside,
    check_named,
    parts_of,
    why_none,
)
from vista_sim.traces.importers.ros.unpacking import bound_chunks

DISTROS = ("dashing", "eloquent", "foxy", "galactic", "humble", "iron", "jazzy", "kilted")
_REMEDY = {
    ".bag": "rosbag reindex may mend it",
    ".mcap": "mcap recover may mend it",
    ".db3": "sqlite3's .recover may mend it",
}


@dataclass(frozen=True)
class Topic:
    """One topic: its name, its type as "package/msg/Name", how many messages it has, their mean
    rate over the bag, Hz, and what the reader knows it by.
    """

    name: str
    type: str
    count: int
    rate: float
    connections: tuple[Any, ...]


@dataclass(frozen=True)
class Message:
    """One message: when it was recorded, ns, and its bytes."""

    log_ns: int
    raw: bytes


class Bag:
    """An open bag.

    Args:
        src: as the user named it; named in errors.
        distro: of ROS 2, whose definitions are taken where a bag holds none.

    Raises:
        TraceError: it is none, is cut off or damaged, in one line.
        MissingDependencyError: `rosbags` is not installed.
    """

    def __init__(self, src: Path, distro: str) -> None:
        try:
            from rosbags.highlevel import AnyReader
            from rosbags.typesys import Stores, get_typestore
        except ImportError:
            raise MissingDependencyError(
                "bags of ROS need rosbags; install it: pip install 'vista-sim[ros]'"
            ) from None
        bound_chunks()
        self.src = src
        paths = bag_files(src)
        if not paths:
            raise TraceError(f"{src}: {why_none(src)}")
        self.parts = [part for path in paths for part in parts_of(path)]
        for part in self.parts:
            check_inside(part, src)
        for path in paths:
            if path.is_dir():
                check_named(path)
        self._suffix = self.parts[0].suffix
        with self.errors():
            reader = AnyReader(paths, default_typestore=get_typestore(Stores(f"ros2_{distro}")))
            reader.open()
        weakref.finalize(self, _close, reader)
        self._reader = reader
        with self.errors():
            self.is_ros2 = bool(reader.is2)
            self.has_definitions = any(c.msgdef.data for c in reader.connections)
            self.duration = max(int(reader.duration), 0) * 1e-9
            self.topics = {t.name: t for t in self._topics()}

    def _topics(self) -> Iterator[Topic]:
        for name, about in sorted(self._reader.topics.items()):
            kinds = sorted({c.msgtype for c in about.connections})
            if not (name.isprintable() and kinds[0].isprintable()):
                raise TraceError(f"{self.src}: has a topic {shown(name)}; the bag is damaged")
            rate = (about.msgcount - 1) / self.duration if self.duration > 0 else 0.0
            yield Topic(
                name, kinds[0], int(about.msgcount), max(rate, 0.0), tuple(about.connections)
            )

    def messages(
        self, topics: Sequence[Topic], start_ns: int | None = None
    ) -> Iterator[tuple[str, Message]]:
        """Messages of some topics, with the name of each, in the order of their recording, from
        a time (ns) of recording on. Raises TraceError.
        """
        connections = [c for topic in topics for c in topic.connections]
        if not connections:
            return
        found = iter(self._reader.messages(connections=connections, start=start_ns))
        while True:
            with self.errors():
                one = next(found, None)
            if one is None:
                return
            connection, log_ns, raw = one
            yield connection.topic, Message(int(log_ns), bytes(raw))

    def numbered(
        self, topic: Topic, log_ns: NDArray[np.int64], numbers: Sequence[int]
    ) -> Iterator[Message]:
        """The messages of a topic that have these numbers, which increase.

        Args:
            log_ns: (n,) when each of its messages was recorded, ns, in the order of reading.
        """
        wanted = list(numbers)
        if not wanted:
            return
        place, start = 0, None
        if (np.diff(log_ns) >= 0).all():
            start = int(log_ns[wanted[0]])
            place = int(np.searchsorted(log_ns, start, side="left"))
        upcoming = iter(wanted)
        number = next(upcoming)
        for _, message in self.messages([topic], start):
            if place == number:
                yield message
                following = next(upcoming, None)
                if following is None:
                    return
                number = following
            place += 1
        raise TraceError(f"{self.src}: {topic.name}: has changed since the bag was opened")

    def read(self, topic: Topic, message: Message) -> Any:
        """The fields of a message. Raises TraceError."""
        if topic.type not in self._reader.typestore.fielddefs:
            raise TraceError(
                f"{self.src}: {topic.name}: its type {topic.type} is not defined in the bag; "
                "name a distribution of ROS 2 that has it with --distro"
            )
        with self.errors(topic.name):
            return self._reader.deserialize(message.raw, topic.type)

    def stamp(self, topic: Topic, message: Message) -> int:
        """Time (ns) at the head of a message, of a type that begins with a header or a time."""
        # ROS 1: a header begins with its number; ROS 2: four bytes tell the order of bytes.
        at, order = 4, "<"
        if self.is_ros2:
            order = "<" if message.raw[1:2] == b"\x01" else ">"
        elif topic.type in BARE_TIME:
            at = 0
        try:
            seconds, ns = struct.unpack_from(f"{order}iI", message.raw, at)
        except struct.error:
            raise TraceError(
                f"{self.src}: {topic.name}: a message of {len(message.raw)} bytes has no header"
            ) from None
        return int(seconds) * 10**9 + int(ns)

    @contextmanager
    def errors(self, where: str = "") -> Iterator[None]:
        """Whatever a reader raises at bytes from outside becomes one line."""
        try:
            yield
        except TraceError:
            raise
        except Exception as error:
            if is_full_disk(error):
                raise
            place = f"{where}: a message" if where else "the bag"
            why = one_line(error) if str(error) else type(error).__name__
            remedy = f"if it is cut off or damaged, {_REMEDY.get(self._suffix, 'record it again')}"
            if "Profile is not" in why:
                remedy = "of MCAP files those that ROS 2 recorded are read"
            raise TraceError(f"{self.src}: {place} cannot be read ({why}); {remedy}") from None


BARE_TIME = ("foxglove_msgs/msg/CompressedVideo", "foxglove/msg/CompressedVideo")


def _close(reader: Any) -> None:
    try:
        reader.close()
    except Exception:  # it was closed, or never open
        return
