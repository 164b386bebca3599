"""Videos in messages: `foxglove_msgs/CompressedVideo`, H.264 or H.265, Annex B, in order.

A message is one frame, but only some can be decoded without those before: the schema wants these to
hold their parameter sets and to be key frames, and no frame that refers to later ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vista_sim.errors import TraceError
from vista_sim.files import one_line, shown
from vista_sim.images import MAX_PIXELS

CODECS = {"h264": "h264", "h265": "hevc", "hevc": "hevc"}
LOOKED_AT = 4096  # bytes from the start of a message
_START = re.compile(rb"\x00\x00\x01(.)", re.DOTALL)
_H264_BEGINS = {5, 7}  # nal_unit_type of ITU-T H.264, table 7-1: IDR slice, parameter set
_H265_BEGINS = {32, 33, *range(16, 22)}  # of ITU-T H.265, table 7-1: parameter sets, IRAP
_HIGH = 720  # rows from which pictures that do not say it have the colours of ITU-R BT.709


def begins_anew(data: bytes, codec: str) -> bool:
    """Whether a video can be decoded from this message on: it holds a key frame's units."""
    for found in _START.finditer(data[:LOOKED_AT]):
        unit = found[1][0]
        if CODECS.get(codec) == "hevc":
            if (unit >> 1) & 0x3F in _H265_BEGINS:
                return True
        elif unit & 0x1F in _H264_BEGINS:
            return True
    return False


class VideoDecoder:
    """Decodes the messages of one video in order. Raises TraceError where one cannot be."""

    def __init__(self, codec: str, where: str) -> None:
        import av

        if codec not in CODECS:
            raise TraceError(f"{where}: video of {shown(codec)} is not read; {', '.join(CODECS)}")
        self._where = where
        self._context: Any = av.CodecContext.create(CODECS[codec], "r")
        self._context.options = {"max_pixels": str(MAX_PIXELS)}
        self._context.thread_count = 1
        self._context.flags |= av.codec.context.Flags.low_delay

    def decode(self, data: bytes, number: int) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        """The frames that come of the message of a number: their own numbers, RGB images."""
        import av

        packet = av.Packet(data)
        packet.pts = packet.dts = number
        yield from self._frames(packet)

    def rest(self) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        """The frames that the decoder still holds back."""
        yield from self._frames(None)

    def _frames(self, packet: Any) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        import av

        try:
            decoded = self._context.decode(packet)
        except (av.FFmpegError, ValueError) as error:
            number = "the end" if packet is None else f"message {packet.pts}"
            raise TraceError(
                f"{self._where}: {number} cannot be decoded ({one_line(error)})"
            ) from None
        for frame in decoded:
            yield int(frame.pts), _rgb(frame)


def _rgb(frame: Any) -> NDArray[np.uint8]:
    from av.video.reformatter import ColorRange, Colorspace

    # Of the values of ITU-T H.273, table 4: 1 is BT.709, 5 and 6 are BT.601, 9 is BT.2020.
    known = {1: Colorspace.ITU709, 5: Colorspace.ITU601, 6: Colorspace.ITU601, 9: Colorspace.BT2020}
    guess = Colorspace.ITU709 if frame.height >= _HIGH else Colorspace.ITU601
    image: NDArray[np.uint8] = frame.reformat(
        format="rgb24",
        src_colorspace=known.get(int(frame.colorspace), guess),
        dst_color_range=ColorRange.JPEG,
    ).to_ndarray()
    return image
