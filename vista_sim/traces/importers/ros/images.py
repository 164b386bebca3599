"""Images of `sensor_msgs/Image` and `CompressedImage` as RGB.

Encodings: sensor_msgs/image_encodings.hpp of ROS.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vista_sim.errors import TraceError
from vista_sim.files import shown
from vista_sim.images import decode_image
from vista_sim.traces.calibration import check_sides

Image = NDArray[np.uint8]

#: Encoding: channels, bytes of each, and what makes RGB of them (None: it is). OpenCV calls a
#: pattern by its second row and second column: `BayerBG` begins with red and green.
_KNOWN: dict[str, tuple[int, int, int | None]] = {
    "rgb8": (3, 1, None),
    "bgr8": (3, 1, cv2.COLOR_BGR2RGB),
    "8UC3": (3, 1, cv2.COLOR_BGR2RGB),
    "rgba8": (4, 1, cv2.COLOR_RGBA2RGB),
    "bgra8": (4, 1, cv2.COLOR_BGRA2RGB),
    "8UC4": (4, 1, cv2.COLOR_BGRA2RGB),
    "mono8": (1, 1, cv2.COLOR_GRAY2RGB),
    "8UC1": (1, 1, cv2.COLOR_GRAY2RGB),
    "mono16": (1, 2, cv2.COLOR_GRAY2RGB),
    "yuv422": (2, 1, cv2.COLOR_YUV2RGB_UYVY),
    "uyvy": (2, 1, cv2.COLOR_YUV2RGB_UYVY),
    "yuv422_yuy2": (2, 1, cv2.COLOR_YUV2RGB_YUY2),
    "yuyv": (2, 1, cv2.COLOR_YUV2RGB_YUY2),
} | {
    f"bayer_{pattern}{bits}": (1, bits // 8, code)
    for pattern, code in (
        ("rggb", cv2.COLOR_BayerBG2RGB),
        ("bggr", cv2.COLOR_BayerRG2RGB),
        ("gbrg", cv2.COLOR_BayerGR2RGB),
        ("grbg", cv2.COLOR_BayerGB2RGB),
    )
    for bits in (8, 16)
}
_DEPTH = ("16UC1", "32FC1", "16SC1", "64FC1")


def check_encoding(encoding: str, where: str) -> None:
    """Raise TraceError unless images of an encoding are read."""
    if encoding in _DEPTH:
        raise TraceError(
            f"{where}: its encoding {encoding} is that of depth; take a topic of pictures, --images"
        )
    if encoding not in _KNOWN:
        raise TraceError(
            f"{where}: encoding {shown(encoding)} is not read; known are {', '.join(_KNOWN)}"
        )


def used_bits(message: Any) -> int:
    """How many bits of its 16 an image uses, by its brightest pixel: 16 where that is not telling.

    Cameras of 10, 12 and 14 bits are recorded so; taken for 16 their pictures would be dark.
    """
    if _KNOWN[message.encoding][1] != 2:
        return 8
    brightest = int(_samples(message, message.encoding).max(initial=0))
    return next((bits for bits in (8, 10, 12, 14) if brightest < 2**bits), 16)


def rgb_of_image(message: Any, bits: int, where: str) -> Image:
    """An Image as RGB, (height, width, 3). Raises TraceError.

    Args:
        message: of `sensor_msgs/Image`.
        bits: that its pixels use, if they have 16.
        where: bag, topic and number, named in errors.
    """
    encoding = message.encoding
    check_encoding(encoding, where)
    channels, width, code = _KNOWN[encoding]
    sides = int(message.height), int(message.width)
    try:
        check_sides(sides, "image size")
    except TraceError as error:
        raise TraceError(f"{where}: {error}") from None
    row = sides[1] * channels * width
    if message.step < row or len(message.data) < message.step * (sides[0] - 1) + row:
        raise TraceError(
            f"{where}: {len(message.data)} bytes with a step of {message.step} hold no {encoding} "
            f"image of {sides} (height, width)"
        )
    samples = _samples(message, encoding)
    if width == 2:
        samples = np.minimum(samples >> (bits - 8), 255).astype(np.uint8)
    samples = np.ascontiguousarray(samples if channels > 1 else samples[..., 0])
    if code is None:
        return samples.astype(np.uint8, copy=False)
    if encoding.startswith(("yuv", "uyvy", "yuyv")) and sides[1] % 2:
        raise TraceError(f"{where}: an image of {encoding} has an even width, not {sides[1]}")
    if encoding.startswith("bayer") and min(sides) < 2:
        raise TraceError(f"{where}: an image of {encoding} has at least 2 rows and columns")
    return np.asarray(cv2.cvtColor(samples, code), dtype=np.uint8)


def _samples(message: Any, encoding: str) -> NDArray[Any]:
    """Pixels (height, width, channels) of rows that may be longer than their pixels need."""
    channels, width, _ = _KNOWN[encoding]
    height, columns, step = int(message.height), int(message.width), int(message.step)
    row = columns * channels * width
    data = np.frombuffer(memoryview(message.data), dtype=np.uint8)
    if len(data) < step * height:  # the last row may end where its pixels do
        data = np.concatenate([data, np.zeros(step * height - len(data), np.uint8)])
    rows = np.ascontiguousarray(data[: step * height].reshape(height, step)[:, :row])
    kind = np.dtype("u1") if width == 1 else np.dtype(">u2" if message.is_bigendian else "<u2")
    return rows.view(kind).reshape(height, columns, channels)


def check_format(format: str, where: str) -> str:
    """What is to be said of a CompressedImage's format; empty: nothing. Raises TraceError."""
    if "compresseddepth" in format.lower():
        raise TraceError(
            f"{where}: its format {shown(format)} is that of depth; take a topic of pictures, "
            "--images"
        )
    original = format.partition(";")[0].strip()
    if original in _DEPTH:
        check_encoding(original, where)
    if original.startswith("bayer") and "jp" in format.lower():
        return f"is a Bayer mosaic ({original}) sent as JPEG: its pictures are gray"
    return ""


def rgb_of_compressed(message: Any, where: str) -> Image:
    """A CompressedImage as RGB, (height, width, 3). Raises TraceError.

    Its JPEG or PNG decodes to the right colours whatever its format names.
    """
    return decode_image(bytes(message.data), where, TraceError)
