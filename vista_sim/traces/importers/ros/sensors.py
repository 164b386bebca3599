"""Cameras and lidars of a bag as streams: messages are read when they are asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vista_sim.errors import TraceError
from vista_sim.traces.calibration import CameraCalibration, Lens, LidarCalibration
from vista_sim.traces.importers.notes import note
from vista_sim.traces.importers.recording import CameraStream, LidarStream, Points
from vista_sim.traces.importers.ros.bag import Bag, Topic
from vista_sim.traces.importers.ros.images import (
    check_encoding,
    check_format,
    rgb_of_compressed,
    rgb_of_image,
    used_bits,
)
from vista_sim.traces.importers.ros.points import (
    PointFields,
    PointTime,
    layout,
    point_time,
    points_of,
    read_fields,
)
from vista_sim.traces.importers.ros.survey import Kept, Survey
from vista_sim.traces.importers.ros.topics import COMPRESSED, VIDEOS
from vista_sim.traces.importers.ros.video import VideoDecoder
from vista_sim.transforms import Matrix

Image = NDArray[np.uint8]
EARLY = 1_000_000  # ns before the header's time that the first point of a sweep may be


@dataclass(frozen=True, eq=False)
class Pictures:
    """The pictures of one topic.

    Args:
        kept: their times and numbers.
        size: (height, width) of all of them.
    """

    bag: Bag
    topic: Topic
    log_ns: NDArray[np.int64]
    kept: Kept
    begins: NDArray[np.bool_]
    bits: int
    size: tuple[int, int]

    @classmethod
    def open(cls, bag: Bag, survey: Survey, topic: Topic) -> Pictures:
        """Look at the first picture of a topic. Raises TraceError."""
        series, kept = survey.series[topic.name], survey.kept(topic.name)
        log_ns = np.array(series.log_ns, dtype=np.int64)
        begins = np.array(series.begins, dtype=bool)
        where = f"{bag.src}: {topic.name}"
        numbers, t_ns = kept.numbers, kept.t_ns
        if topic.type in VIDEOS:
            if not begins.any():
                raise TraceError(f"{where}: has no key frame, from which it could be decoded")
            first = int(np.flatnonzero(begins)[0])
            if lost := int((numbers < first).sum()):
                note(f"{where}: {lost} frames before the first key frame are left out")
            numbers, t_ns = numbers[numbers >= first], t_ns[numbers >= first]
        if not len(numbers):
            raise TraceError(f"{where}: has no picture")
        kept = Kept(t_ns, numbers)
        bits = 8
        message = bag.read(topic, next(bag.numbered(topic, log_ns, numbers[:1].tolist())))
        if topic.type in COMPRESSED:
            if said := check_format(str(message.format), where):
                note(f"{where}: {said}")
        elif topic.type not in VIDEOS:
            check_encoding(str(message.encoding), where)
            rgb_of_image(message, 16, where)  # what does not fit together is told
            bits = used_bits(message)
            if bits not in (8, 16):
                note(f"{where}: its pixels of 16 bits use {bits}, by the first picture")
        opened = cls(bag, topic, log_ns, kept, begins, bits, (0, 0))
        image = next(opened.frames([0]))
        height, width = image.shape[:2]
        return cls(bag, topic, log_ns, kept, begins, bits, (height, width))

    def frames(self, numbers: Sequence[int]) -> Iterator[Image]:
        """RGB images by their place among the kept ones, increasing. Raises TraceError."""
        wanted = [int(self.kept.numbers[number]) for number in numbers]
        read = self._of_video if self.topic.type in VIDEOS else self._of_images
        for number, image in read(wanted):
            if self.size != (0, 0) and image.shape[:2] != self.size:
                raise TraceError(
                    f"{self._where(number)}: is {image.shape[:2]}; the first picture is "
                    f"{self.size} (height, width)"
                )
            yield image

    def _where(self, number: int) -> str:
        return f"{self.bag.src}: {self.topic.name}: message {number}"

    def _of_images(self, wanted: list[int]) -> Iterator[tuple[int, Image]]:
        messages = self.bag.numbered(self.topic, self.log_ns, wanted)
        for number, message in zip(wanted, messages, strict=True):
            read = self.bag.read(self.topic, message)
            where = self._where(number)
            with self.bag.errors(self.topic.name):
                if self.topic.type in COMPRESSED:
                    image = rgb_of_compressed(read, where)
                else:
                    image = rgb_of_image(read, self.bits, where)
            yield number, image

    def _of_video(self, wanted: list[int]) -> Iterator[tuple[int, Image]]:
        """All from the last key frame before the first that is wanted are decoded."""
        if not wanted:
            return
        start = int(np.flatnonzero(self.begins[: wanted[0] + 1])[-1])
        numbers = list(range(start, wanted[-1] + 1))
        decoder: VideoDecoder | None = None
        left = iter(wanted)
        due = next(left, None)

        def decoded() -> Iterator[tuple[int, Image]]:
            nonlocal decoder
            messages = self.bag.numbered(self.topic, self.log_ns, numbers)
            for number, message in zip(numbers, messages, strict=True):
                read = self.bag.read(self.topic, message)
                where = f"{self.bag.src}: {self.topic.name}"
                decoder = decoder or VideoDecoder(str(read.format), where)
                yield from decoder.decode(bytes(read.data), number)
            if decoder is not None:
                yield from decoder.rest()

        for number, image in decoded():
            if number == due:
                yield number, image
                due = next(left, None)
        if due is not None:
            raise TraceError(f"{self._where(due)}: gives no picture; the video is damaged there")


def camera_stream(
    pictures: Pictures, lens: Lens, T_vehicle_camera: Matrix, known: dict[str, str]
) -> CameraStream:
    """A camera of these pictures."""
    calibration = CameraCalibration(lens, T_vehicle_camera)
    return CameraStream(calibration, pictures.kept.t_ns, pictures.frames, known)


def lidar_stream(
    bag: Bag,
    survey: Survey,
    topic: Topic,
    T_vehicle_lidar: Matrix,
    compensated: str,
    known: dict[str, str],
) -> LidarStream:
    """A lidar of one topic. Raises TraceError.

    Args:
        compensated: whether points were moved to the time of the sweep, "yes" or "no"; "auto":
            unless they have times of their own.
    """
    series, kept = survey.series[topic.name], survey.kept(topic.name)
    log_ns, header_ns = (np.array(ns, np.int64) for ns in (series.log_ns, series.header_ns))
    where = f"{bag.src}: {topic.name}"
    with bag.errors(topic.name):
        about, time, lead_ns = _looked_at(bag, topic, log_ns, header_ns, kept, where)
    if time is not None:
        note(f"{where}: {time}")
    if lead_ns:
        note(f"{where}: sweeps begin {lead_ns * 1e-9:.3f} s before the header's time")

    def sweeps(numbers: Sequence[int]) -> Iterator[Points]:
        wanted = [int(kept.numbers[number]) for number in numbers]
        messages = bag.numbered(topic, log_ns, wanted)
        count = 0
        for place, number, message in zip(numbers, wanted, messages, strict=True):
            at_ns = int(kept.t_ns[place])
            late_ns = at_ns - int(header_ns[number])
            read = bag.read(topic, message)
            with bag.errors(topic.name):
                points = points_of(read, about, time, at_ns, late_ns, f"{where}: message {number}")
            count += len(points.xyz)
            yield points
        if wanted and not count:
            raise TraceError(f"{where}: its clouds hold no points; leave it out: --points none")

    still = time is None if compensated == "auto" else compensated == "yes"
    begins = kept.t_ns if still else kept.t_ns - lead_ns
    return LidarStream(LidarCalibration(T_vehicle_lidar, still), begins, sweeps, known)


def _looked_at(
    bag: Bag,
    topic: Topic,
    log_ns: NDArray[np.int64],
    header_ns: NDArray[np.int64],
    kept: Kept,
    where: str,
) -> tuple[PointFields, PointTime | None, int]:
    """Fields, and times of points, by the first cloud that has some, and by how many ns its first
    point is before the header's time: of some drivers that is the last one's.
    """
    about: PointFields | None = None
    numbers = kept.numbers[:20].tolist()
    for number, message in zip(numbers, bag.numbered(topic, log_ns, numbers), strict=True):
        read: Any = bag.read(topic, message)
        about = about or layout(read, where)
        if not about.time:
            return about, None, 0
        at_ns = int(header_ns[number])
        values = read_fields(read, (about.time,), where)[about.time]
        time = point_time(about.time, values, at_ns)
        if time is None and len(values):
            return about, None, 0
        if time is not None:
            t_ns = points_of(read, about, time, at_ns, 0, where).t_ns
            early = at_ns - int(t_ns.min()) if t_ns is not None and len(t_ns) else 0
            return about, time, early if early > EARLY else 0
    if about is None:
        raise TraceError(f"{where}: has no cloud")
    return about, None, 0
