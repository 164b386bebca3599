"""Which part of a recording becomes a trace: a stretch of time, cameras, rate and size."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from vista_sim.errors import TraceError
from vista_sim.traces.calibration import check_sides
from vista_sim.traces.importers.recording import (
    CameraStream,
    LidarStream,
    Motion,
    Recording,
    Times,
    Tracks,
)
from vista_sim.traces.levelling import level_to_first_pose, levelling, poses_in
from vista_sim.traces.origin import Origin
from vista_sim.transforms import (
    Matrix,
    matrix_from_quaternion,
)

logger = logging.getLogger(__name__)

MAX_RATE = 1000.0  # images a second
SQUEEZE = 0.1  # of the ratio of width to height that may change without a word
_SLACK = 1e-3  # of an interval that a frame may be early


@dataclass(frozen=True)
class Selection:
    """What of a recording is wanted.

    Args:
        start, end: s after the first pose; end None: to the last.
        cameras: by name; None: the usual ones of the recording.
        rate: images a second, at most; None: all.
        size: (height, width) of the images; None: as recorded.
        origin: whether the trace says where on earth it is.
    """

    start: float = 0.0
    end: float | None = None
    cameras: tuple[str, ...] | None = None
    rate: float | None = None
    size: tuple[int, int] | None = None
    origin: bool = True


@dataclass(frozen=True, eq=False)
class Selected:
    """The chosen part: motion, cameras, lidars and tracks of it, and where on earth it begins."""

    motion: Motion
    cameras: dict[str, CameraStream]
    lidars: dict[str, LidarStream]
    origin: Origin | None
    tracks: Tracks | None


def selected(recording: Recording, wanted: Selection) -> Selected:
    """The chosen part of a recording. Raises TraceError where it is empty or there is no such."""
    check_selection(wanted)
    names = recording.usual if wanted.cameras is None else wanted.cameras
    check_cameras(names, recording.cameras)
    motion, origin, tracks = recording.motion, recording.origin, recording.tracks
    if wanted.start > 0 or wanted.end is not None:
        keep = _kept(motion, wanted)
        begins = _pose(motion, int(keep[0]))
        motion = _cut(motion, keep)
        origin = None if origin is None else origin.moved(begins)
        tracks = None if tracks is None else _cut_tracks(tracks, motion, begins)
    first, last = int(motion.t_ns[0]), int(motion.t_ns[-1])
    cameras = {}
    for name in names:
        stream = recording.cameras[name]()
        keep = _thinned(stream.t_ns, _within(stream.t_ns, first, last), wanted.rate)
        if not len(keep):
            raise TraceError(f"camera {name!r} has no image between the first and the last pose")
        cameras[name] = _resized(name, _chosen(stream, keep), wanted.size)
    lidars = {}
    for name, lidar in recording.lidars.items():
        keep = _within(lidar.t_ns, first, last)
        if len(keep):
            lidars[name] = _chosen_sweeps(lidar, keep)
    return Selected(motion, cameras, lidars, origin if wanted.origin else None, tracks)


def check_selection(wanted: Selection) -> None:
    """Raise TraceError unless a selection is of a stretch, rate and size that there may be."""
    end = math.inf if wanted.end is None else wanted.end
    if not (math.isfinite(wanted.start) and 0 <= wanted.start < end):
        raise TraceError(f"start is {wanted.start:g} s and end {end:g} s; 0 <= start < end is due")
    if wanted.rate is not None and not 0 < wanted.rate <= MAX_RATE:
        raise TraceError(f"rate is {wanted.rate:g}; it must be above 0, and {MAX_RATE:g} at most")
    if wanted.size is not None:
        check_sides(wanted.size, "size")


def check_cameras(wanted: Iterable[str], known: Iterable[str]) -> None:
    """Raise TraceError where a camera is wanted that there is not."""
    known = list(known)
    for name in wanted:
        if name not in known:
            raise TraceError(f"there is no camera {name!r}; cameras: {', '.join(known) or 'none'}")


def _kept(motion: Motion, wanted: Selection) -> NDArray[np.int64]:
    """The rows of the wanted stretch of time."""
    t = (motion.t_ns - motion.t_ns[0]) * 1e-9
    end = math.inf if wanted.end is None else wanted.end
    keep = np.flatnonzero((t >= wanted.start) & (t <= end))
    if len(keep) < 2:
        raise TraceError(
            f"from {wanted.start:g} to {min(end, t[-1]):g} s there are {len(keep)} poses; "
            f"the recording lasts {t[-1]:.2f} s"
        )
    return keep


def _pose(motion: Motion, row: int) -> Matrix:
    pose = np.eye(4)
    pose[:3, :3] = matrix_from_quaternion(motion.quaternion[row])
    pose[:3, 3] = motion.position[row]
    return pose


def _cut(motion: Motion, keep: NDArray[np.int64]) -> Motion:
    position, quaternion = level_to_first_pose(motion.position[keep], motion.quaternion[keep])
    return Motion(
        motion.t_ns[keep],
        position,
        quaternion,
        motion.speed[keep],
        motion.yaw_rate[keep],
        {name: values[keep] for name, values in motion.further.items()},
    )


def _cut_tracks(tracks: Tracks, motion: Motion, begins: Matrix) -> Tracks:
    """Those seen during a motion, in the world frame that begins at a pose of the whole one."""
    keep = _within(tracks.t_ns, int(motion.t_ns[0]), int(motion.t_ns[-1]))
    return Tracks(
        tracks.t_ns[keep],
        tracks.track_id[keep],
        [tracks.category[int(row)] for row in keep],
        poses_in(levelling(begins), tracks.pose[keep]),
        tracks.size[keep],
    )


def _within(t_ns: Times, first: int, last: int) -> NDArray[np.int64]:
    """Those between the first and the last pose: what is seen beside them is not known."""
    return np.flatnonzero((t_ns >= first) & (t_ns <= last))


def _thinned(t_ns: Times, keep: NDArray[np.int64], rate: float | None) -> NDArray[np.int64]:
    """Of these frames the first in each interval of 1 / rate s."""
    if rate is None or not len(keep):
        return keep
    slot = np.floor((t_ns[keep] - t_ns[keep[0]]) * 1e-9 * rate + _SLACK).astype(np.int64)
    return keep[np.concatenate([[True], slot[1:] > slot[:-1]])]


def _chosen(stream: CameraStream, keep: NDArray[np.int64]) -> CameraStream:
    def frames(numbers: Sequence[int]) -> Iterator[NDArray[np.uint8]]:
        return stream.frames([int(keep[number]) for number in numbers])

    return replace(stream, t_ns=stream.t_ns[keep], frames=frames)


def _chosen_sweeps(stream: LidarStream, keep: NDArray[np.int64]) -> LidarStream:
    return replace(
        stream,
        t_ns=stream.t_ns[keep],
        sweeps=lambda numbers: stream.sweeps([int(keep[number]) for number in numbers]),
    )


def _resized(name: str, stream: CameraStream, size: tuple[int, int] | None) -> CameraStream:
    calibration = stream.calibration
    if size is None or size == calibration.lens.size:
        return stream
    (height, width), (tall, wide) = calibration.lens.size, size
    squeezed = (wide / tall) / (width / height)
    if max(squeezed, 1 / squeezed) > 1 + SQUEEZE:
        logger.warning(
            "camera %r: images of %d x %d (height x width) become %d x %d, %.2f times as wide for "
            "their height; %d x %d keeps their shape",
            *(name, height, width, tall, wide, squeezed, tall, round(tall * width / height)),
        )

    def frames(numbers: Sequence[int]) -> Iterator[NDArray[np.uint8]]:
        for image in stream.frames(numbers):
            smaller = cv2.resize(image, (size[1], size[0]), interpolation=cv2.INTER_AREA)
            yield np.asarray(smaller, dtype=np.uint8)

    resized = replace(calibration, lens=calibration.lens.resized(size))
    return replace(stream, calibration=resized, frames=frames)
