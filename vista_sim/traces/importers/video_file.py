"""Videos from outside: what their container says of its frames, and the frames one by one.

Times are the container's presentation times; a rate is not believed, since phones vary theirs.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import Interpolation
from numpy.typing import NDArray

from vista_sim.errors import TraceError
from vista_sim.files import one_line, require_file
from vista_sim.traces.calibration import check_sides
from vista_sim.traces.importers.recording import Times
from vista_sim.traces.video_index import reason_of

logger = logging.getLogger(__name__)

# FFmpeg is told what to expect: by content it would also take playlists, which name other files
# and addresses.
CONTAINERS = {
    **dict.fromkeys((".mp4", ".mov", ".m4v", ".3gp", ".360", ".lrv"), "mov"),
    **dict.fromkeys((".mkv", ".webm"), "matroska"),
    **dict.fromkeys((".ts", ".mts", ".m2ts"), "mpegts"),
    **dict.fromkeys((".mpg", ".mpeg", ".vob"), "mpeg"),
    ".avi": "avi",
}
_RAW = (".h264", ".264", ".hevc", ".h265", ".265")
_INDEXED = ("mov", "matroska")  # in the others a jump may end behind what is looked for
_HDR = {16: "PQ", 18: "HLG"}  # transfer characteristics, ITU-T H.273, table 3
_MAX_FRAMES = 2**22
_BT709, _BT601, _BT2020 = 1, 5, 9  # of libswscale
_MATRIX = {1: _BT709, 5: _BT601, 6: _BT601, 9: _BT2020, 10: _BT2020}  # H.273, table 4
_HD = 720  # rows from which a video that does not say it is taken to be BT.709
_LIMITED, _FULL = 1, 2
_EXACT = Interpolation.BILINEAR | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT


@dataclass(frozen=True, eq=False)
class VideoFile:
    """A video whose packets were looked at.

    Args:
        path: of the file.
        size: (height, width) of the pictures as they are to be seen.
        t_ns: (n,) presentation times of the frames, ns on the container's clock, increasing.
        turns: quarter turns, counter-clockwise, that bring a stored picture upright.
        created: what the container says of its creation; makers mean its start or its end, in
            UTC or in local time.
        metadata: of the container.
    """

    path: Path
    size: tuple[int, int]
    t_ns: Times
    turns: int
    created: datetime | None
    metadata: dict[str, str]

    @classmethod
    def open(cls, path: Path) -> VideoFile:
        """Look at a video; only its first frame is decoded. Raises TraceError."""
        with _opened(path) as (container, stream):
            frame = _first_frame(path, container, stream)
            turns = round(frame.rotation / 90) % 4
            size = (frame.height, frame.width)[:: -1 if turns % 2 else 1]
            check_sides(size, f"{path}: picture size")
            if (curve := _HDR.get(int(frame.color_trc or 0))) is not None:
                logger.warning("%s: is HDR (%s); its pictures will look pale", path, curve)
            aspect = stream.codec_context.sample_aspect_ratio
            if aspect and not 0.99 < float(aspect) < 1.01:
                raise TraceError(
                    f"{path}: its pixels are {float(aspect):.3g} times as wide as high; make them "
                    "square: ffmpeg -i IN -vf scale=iw*sar:ih,setsar=1 OUT"
                )
            metadata = dict(container.metadata)
        return cls(path, size, _times(path), turns, _created(metadata), metadata)

    def frames(self, numbers: Sequence[int]) -> Iterator[NDArray[np.uint8]]:
        """Pictures, uint8 RGB (height, width, 3), of some frames (increasing numbers), in order.

        Raises TraceError: one cannot be decoded.
        """
        wanted = [int(number) for number in numbers]
        if not wanted:
            return
        found = self._decoded(wanted[0])
        for number in wanted:
            frame = next((f for at, f in found if at >= self.t_ns[number]), None)
            if frame is None or _time_ns(frame) != self.t_ns[number]:
                raise TraceError(f"{self.path}: frame {number} cannot be decoded; it is damaged")
            yield self._upright(frame)

    def _decoded(self, first: int) -> Iterator[tuple[int, Any]]:
        with _opened(self.path) as (container, stream):
            if first and container.format.name.startswith(_INDEXED):
                # To the key frame before; B-frames may be stored later than they are shown.
                time = max(int(self.t_ns[first]) * 1e-9 - 0.5, 0.0)
                container.seek(int(time / float(stream.time_base)), stream=stream)
            try:
                for frame in container.decode(stream):
                    if frame.pts is not None:
                        yield _time_ns(frame), frame
            except (av.FFmpegError, OSError, ValueError) as error:
                reason = reason_of(error)
                raise TraceError(f"{self.path}: cannot be decoded ({reason})") from None

    def _upright(self, frame: Any) -> NDArray[np.uint8]:
        stored = self.size[:: -1 if self.turns % 2 else 1]
        if (frame.height, frame.width) != stored:
            raise TraceError(
                f"{self.path}: at {frame.time:.2f} s pictures become {frame.height} x "
                f"{frame.width}; the first is {stored[0]} x {stored[1]}"
            )
        full = frame.color_range == _FULL or frame.format.name.startswith("yuvj")
        unsaid = _BT709 if frame.height >= _HD else _BT601
        rgb = frame.reformat(
            format="rgb24",
            src_colorspace=_MATRIX.get(int(frame.colorspace), unsaid),
            src_color_range=_FULL if full else _LIMITED,
            dst_color_range=_FULL,
            interpolation=_EXACT,
            threads=1,
        ).to_ndarray()
        return np.ascontiguousarray(np.rot90(rgb, self.turns))


def is_video(path: Path) -> bool:
    """Whether a file is named as a video is."""
    return path.is_file() and path.suffix.lower() in CONTAINERS


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, Any]]:
    """The container and its first stream of moving pictures. Raises TraceError."""
    require_file(path, TraceError)
    suffix = path.suffix.lower()
    if suffix in _RAW:
        raise TraceError(
            f"{path}: a bare stream has no times; give it some: ffmpeg -framerate RATE -i "
            f"{path.name} -c copy {path.stem}.mp4"
        )
    if suffix not in CONTAINERS:
        raise TraceError(f"{path}: is no video by its name ({', '.join(CONTAINERS)})")
    try:
        container: Any = av.open(str(path), format=CONTAINERS[suffix])
    except (av.FFmpegError, OSError, ValueError) as error:
        raise TraceError(
            f"{path}: cannot be read as {suffix} ({reason_of(error)}); is it cut off, or of "
            "another kind?"
        ) from None
    with container:
        for stream in container.streams.video:
            if stream.codec_context is not None and not int(stream.disposition) & 0x400:  # cover
                yield container, stream
                return
        raise TraceError(f"{path}: holds no moving pictures that can be decoded")


def _first_frame(path: Path, container: Any, stream: Any) -> Any:
    try:
        height, width = stream.codec_context.height, stream.codec_context.width
        check_sides((height, width), f"{path}: picture size")
        frame = next(container.decode(stream), None)
    except (av.FFmpegError, OSError, ValueError) as error:
        raise TraceError(f"{path}: no frame can be decoded ({reason_of(error)})") from None
    if frame is None:
        raise TraceError(f"{path}: holds no frame that can be decoded")
    return frame


def _times(path: Path) -> Times:
    """Presentation times of all frames, ns, by the packets alone. Raises TraceError."""
    times: list[int] = []
    first_key = None
    with _opened(path) as (container, stream):
        declared, base = stream.frames, stream.time_base
        try:
            for packet in container.demux(stream):
                if packet.size == 0 or packet.is_discard:
                    continue
                if packet.pts is None:
                    raise TraceError(
                        f"{path}: frame {len(times)} has no time; write it anew: ffmpeg -i "
                        f"{path.name} -c copy OUT.mp4"
                    )
                if first_key is None and packet.is_keyframe:
                    first_key = packet.pts
                times.append(packet.pts)
                if len(times) > _MAX_FRAMES:
                    raise TraceError(f"{path}: holds more than {_MAX_FRAMES} frames; cut it")
        except (av.FFmpegError, OSError, ValueError) as error:
            raise TraceError(f"{path}: cannot be read ({one_line(error)})") from None
    if declared > len(times) + 2:  # an edit list may leave out some at both ends
        raise TraceError(
            f"{path}: is cut off: {len(times)} of {declared} frames are there; copy it anew, or "
            f"take what is left: ffmpeg -i {path.name} -c copy OUT.mp4"
        )
    # What is shown before the first key frame refers to frames that are not there.
    kept = sorted(time for time in times if first_key is not None and time >= first_key)
    if len(kept) < 2:
        raise TraceError(f"{path}: holds {len(kept)} frames; at least 2 are needed")
    t_ns = np.array([_ns(time, base) for time in kept], dtype=np.int64)
    same = np.flatnonzero(np.diff(t_ns) <= 0)
    if len(same):
        raise TraceError(
            f"{path}: frames {same[0]} and {same[0] + 1} have the same time; write it anew: "
            f"ffmpeg -i {path.name} -c:v libx264 OUT.mp4"
        )
    return t_ns


def _ns(pts: int, base: Any) -> int:
    return round(pts * base.numerator * 10**9 / base.denominator)


def _time_ns(frame: Any) -> int:
    return _ns(frame.pts, frame.time_base)


def _created(metadata: dict[str, str]) -> datetime | None:
    try:
        made = datetime.fromisoformat(metadata["creation_time"])
    except (KeyError, ValueError):
        return None
    made = made if made.tzinfo else made.replace(tzinfo=UTC)
    return made if made.year > 1980 else None  # clocks that were not set say 1904 or 1970
