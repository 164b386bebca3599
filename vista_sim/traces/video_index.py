"""Checks of a video by its index alone: nothing is decoded."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from vista_sim.errors import TraceError
from vista_sim.files import one_line, open_file, require_file

_MAX_INDEX = 2**28  # bytes


@dataclass(frozen=True, eq=False)
class VideoIndex:
    """Where the frames of a video lie in its file, and what decodes them.

    position, length: int64 (n,), bytes. file_size: bytes. codec: its name. extradata: the
    coding parameters that all frames share.
    """

    position: NDArray[np.int64]
    length: NDArray[np.int64]
    file_size: int
    codec: str
    extradata: bytes | None

    def __len__(self) -> int:
        return len(self.position)

    def only(self, chosen: NDArray[np.bool_]) -> VideoIndex:
        """The index of some of the frames."""
        return replace(self, position=self.position[chosen], length=self.length[chosen])


def read_index(path: Path, size: tuple[int, int]) -> VideoIndex:
    """Check a video by its index, without decoding.

    Args:
        path: the MP4.
        size: (height, width) that the calibration gives.

    Returns:
        Where its frames lie, in the order of their time stamps.

    Raises:
        TraceError: missing, not a video, cut off, of another size, or with frames that are
            not key frames.
    """
    bytes_present = require_file(path, TraceError)
    declared = _declared_frames(path)
    if declared > bytes_present:
        raise TraceError(
            f"{path}: declares {declared} frames in {bytes_present} bytes; it is damaged"
        )
    try:
        # By content, FFmpeg would also take playlists, which name other files and addresses.
        container: Any = av.open(str(path), format="mp4")
    except (av.FFmpegError, OSError, ValueError) as error:
        found = _top_boxes(path)
        if found[:1] == ["ftyp"] and "moov" not in found:
            reason = "the file is cut off: its index, the moov box, is missing"
        else:
            reason = f"not an MP4: {reason_of(error)}"
        raise TraceError(f"{path}: no frame can be read ({reason})") from None
    with container:
        if not container.streams.video:
            raise TraceError(f"{path}: holds no video stream")
        stream = container.streams.video[0]
        # Entries point into the container's memory: copy them while it is open.
        entries = [(e.timestamp, e.pos, e.size, e.is_keyframe) for e in stream.index_entries]
        if stream.codec_context is None:
            raise TraceError(f"{path}: no frame can be read (its codec is unknown)")
        shape = (stream.codec_context.height, stream.codec_context.width)
        codec, extradata = stream.codec_context.name, stream.codec_context.extradata
    if not entries:
        raise TraceError(f"{path}: holds no frames")
    table = np.array(sorted(entries), dtype=np.int64)
    position, length = table[:, 1], table[:, 2]
    lost = np.flatnonzero(position + length > bytes_present)
    if len(lost):
        first = int(lost[0])
        last = f"the last readable frame is {first - 1}" if first else "no frame is readable"
        raise TraceError(f"{path}: cut off after {bytes_present} bytes; {last} of {len(entries)}")
    padded = tuple(n + n % 2 for n in size)
    if shape not in (size, padded):
        raise TraceError(f"{path}: frames are {shape}, the calibration says {size} (height, width)")
    moved = np.flatnonzero(table[:, 3] == 0)
    if len(moved):
        raise TraceError(f"{path}: frame {moved[0]} is not a key frame; every frame must be one")
    return VideoIndex(position.copy(), length.copy(), bytes_present, codec, extradata)


def _top_boxes(path: Path) -> list[str]:
    """Types of the whole boxes at the top of an MP4 (ISO 14496-12, 4.2), as far as they go."""
    return [kind for kind, _, _ in boxes(path)]


def boxes(path: Path) -> list[tuple[str, int, int]]:
    """Type, start and size in bytes of each whole box at the top of an MP4."""
    found: list[tuple[str, int, int]] = []
    end = require_file(path, TraceError)
    with open_file(path, TraceError) as file:
        at = 0
        while at + 8 <= end and len(found) < 64:
            file.seek(at)
            header = file.read(16)
            size = int.from_bytes(header[:4], "big")
            if size == 1:
                size = int.from_bytes(header[8:16], "big")
            if size == 0:
                size = end - at
            if size < 8 or at + size > end:
                break
            found.append((header[4:8].decode("latin-1"), at, size))
            at += size
    return found


def _declared_frames(path: Path) -> int:
    """For how many frames the sample sizes of an MP4 are (stsz, ISO 14496-12, 8.7.3), at most.

    Where all sizes are the same they take no bytes of their own, and any number can be declared.
    """
    most = 0
    for kind, start, size in boxes(path):
        if kind != "moov" or size > _MAX_INDEX:
            continue
        with open_file(path, TraceError) as file:
            file.seek(start)
            box = file.read(size)
        at = box.find(b"stsz")
        while 0 <= at <= len(box) - 16:
            most = max(most, int.from_bytes(box[at + 12 : at + 16], "big"))
            at = box.find(b"stsz", at + 4)
    return most


def reason_of(error: BaseException) -> str:
    """An error's text without FFmpeg's number and the file name, which the message has."""
    return getattr(error, "strerror", None) or one_line(error)
