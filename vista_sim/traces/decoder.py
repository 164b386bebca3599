"""Frames of a video by its index: their bytes are read where they lie, and decoded one by one.

Every frame of a trace is a key frame, so a decoder has no memory of others, and one serves
all videos that were coded with the same parameters: a collection of hundreds of traces
needs a handful of decoders, no open files and no demuxer. Decoders belong to a thread.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.codec.context import Flags
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

from vista_sim.images import MAX_PIXELS
from vista_sim.traces.video_index import VideoIndex

Image = NDArray[np.uint8]

_BT709 = 1  # both SWS_CS_ITU709 and AVCOL_SPC/PRI/TRC_BT709
_LIMITED, _FULL = 1, 2  # AVCOL_RANGE_MPEG, AVCOL_RANGE_JPEG
_TO_RGB = Interpolation.BILINEAR | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
_KEPT = 4  # decoders a thread; each takes a few frames of memory


class _Decoder:
    """A decoder for videos with one set of coding parameters."""

    def __init__(self, codec: str, extradata: bytes | None) -> None:
        self.pid = os.getpid()
        self.context: Any = av.CodecContext.create(codec, "r")
        if extradata:
            self.context.extradata = extradata
        # What a frame declares of itself is not believed beyond what a camera can have.
        self.context.options = {"max_pixels": str(MAX_PIXELS)}
        self.context.thread_count = 1
        self.context.flags |= Flags.low_delay
        self._reformatter = VideoReformatter()
        #: Whether `yuv_to_rgb` gives libswscale's bytes; None: no frame with colour came yet.
        self._plain: bool | None = None

    def decode(self, data: bytes) -> Any:
        """The decoded frame of a packet, or None."""
        frames = self.context.decode(av.Packet(data))
        if not frames:  # a decoder that waits for what may follow
            frames = self.context.decode(None)
            self.context.flush_buffers()
        return frames[0] if len(frames) == 1 else None

    def rgb(self, frame: Any, size: tuple[int, int]) -> Image:
        """A decoded frame as RGB, (*size, 3): the top left part of it."""
        common = frame.format.name == "yuv420p" and frame.color_range != _FULL
        if common and self._plain:
            return _convert(frame, size)
        image = self._reformat(frame, size)
        if common and self._plain is None and _has_colour(frame):
            # Where chroma samples lie is not shown by PyAV: the first frame must agree.
            self._plain = bool(np.array_equal(_convert(frame, size), image))
        return image

    def _reformat(self, frame: Any, size: tuple[int, int]) -> Image:
        full = frame.color_range == _FULL or frame.format.name == "yuvj420p"
        converted = self._reformatter.reformat(
            frame,
            format="rgb24",
            src_colorspace=_BT709,
            src_color_range=_FULL if full else _LIMITED,
            dst_color_range=_FULL,
            interpolation=_TO_RGB,
            threads=1,
        )
        image: Image = converted.to_ndarray()  # type: ignore[assignment]
        return np.ascontiguousarray(image[: size[0], : size[1]])


def _planes(frame: Any) -> list[Image]:
    return [
        np.frombuffer(p, np.uint8).reshape(p.height, p.line_size)[:, : p.width]
        for p in frame.planes
    ]


def _has_colour(frame: Any) -> bool:
    _, u, v = _planes(frame)
    return int(np.ptp(u)) > 8 and int(np.ptp(v)) > 8


def _convert(frame: Any, size: tuple[int, int]) -> Image:
    from vista_sim.traces.colour import yuv_to_rgb

    image = np.empty((*size, 3), dtype=np.uint8)
    yuv_to_rgb(*_planes(frame), image)
    return image


_local = threading.local()


def read_frame(path: Path, index: VideoIndex, number: int, size: tuple[int, int]) -> Image:
    """Decode one frame.

    Args:
        path: the video.
        index: of it.
        number: of the frame.
        size: (height, width) of the picture; a padded frame is cut to it.

    Returns:
        uint8 RGB (height, width, 3).

    Raises:
        OSError, ValueError, av.FFmpegError: the frame cannot be read or decoded.
    """
    offset, length = int(index.position[number]), int(index.length[number])
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if os.fstat(file).st_size != index.file_size:
            raise ValueError("the file has changed since the trace was opened")
        data = os.pread(file, length, offset)
    finally:
        os.close(file)
    if len(data) != length:
        raise ValueError("the file is cut off")
    key = (index.codec, index.extradata)
    decoders = _decoders()
    # Taken out while in use: after an error its state is unknown, and it is not put back.
    decoder = decoders.pop(key, None)
    if decoder is None or decoder.pid != os.getpid():
        decoder = _Decoder(*key)
    frame = decoder.decode(data)
    if frame is None:
        raise ValueError("the video holds no such frame")
    if (frame.height, frame.width) not in (size, tuple(n + n % 2 for n in size)):
        raise ValueError(f"it is {frame.height} x {frame.width}, not {size[0]} x {size[1]}")
    image = decoder.rgb(frame, size)
    decoders[key] = decoder
    while len(decoders) > _KEPT:
        decoders.popitem(last=False)
    return image


def _decoders() -> OrderedDict[tuple[str, bytes | None], _Decoder]:
    """The decoders of this thread, the least recently used first."""
    found: OrderedDict[tuple[str, bytes | None], _Decoder] | None
    found = getattr(_local, "decoders", None)
    if found is None:
        found = _local.decoders = OrderedDict()
    return found


def close_decoders() -> None:
    """Drop the decoders of this thread; the next frame makes another."""
    _decoders().clear()
