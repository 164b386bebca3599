"""Pictures from outside: what their headers declare is checked before they are decoded; and PNGs.

A PNG of 1 MB can declare gigabytes of pixels, and a picture of 16 bits read as one of 8 is black.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vista_sim.atomic import why_not, write_whole
from vista_sim.files import one_line, read_bytes

MAX_SIDE = 16384  # px
MAX_PIXELS = 2**26  # of a picture: 200 MB
MAX_FILE = 2**28  # bytes
_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8"
_SIZES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # SOF, ITU-T T.81, table B.1
_BARE = frozenset({0x01, *range(0xD0, 0xD9)})  # markers without a length


_stderr = threading.Lock()  # it is the process's


@dataclass(frozen=True)
class ImageHeader:
    """What a picture declares: its format, size (height, width) in px, and bits a channel."""

    format: str
    size: tuple[int, int]
    bits: int


def read_header(content: bytes) -> ImageHeader:
    """Read the header of a PNG or a JPEG.

    Raises:
        ValueError: it is neither, or has no header.
    """
    if content.startswith(_PNG):
        if len(content) < 33 or content[12:16] != b"IHDR":
            raise ValueError("a PNG without its header")
        width, height = (int.from_bytes(content[i : i + 4], "big") for i in (16, 20))
        return ImageHeader("PNG", (height, width), content[24])
    if content.startswith(_JPEG):
        return _read_jpeg(content)
    raise ValueError("neither PNG nor JPEG")


def _read_jpeg(content: bytes) -> ImageHeader:
    at = 2
    while at + 9 <= len(content) and content[at] == 0xFF:
        marker = content[at + 1]
        if marker in _SIZES:
            height, width = (int.from_bytes(content[i : i + 2], "big") for i in (at + 5, at + 7))
            return ImageHeader("JPEG", (height, width), content[at + 4])
        if marker == 0xFF:  # padding
            at += 1
        elif marker in _BARE:
            at += 2
        else:
            at += 2 + int.from_bytes(content[at + 2 : at + 4], "big")
    raise ValueError("a JPEG without its size")


def read_image(path: Path, error: type[Exception]) -> NDArray[np.uint8]:
    """Read a PNG or JPEG of 8 bits or fewer as RGB, (height, width, 3). Raises `error`.

    A mark of the camera's orientation (EXIF) is not followed: pixels are where the file has them.
    """
    return decode_image(read_bytes(path, error, MAX_FILE), str(path), error)


def decode_image(content: bytes, name: str, error: type[Exception]) -> NDArray[np.uint8]:
    """The RGB image (height, width, 3) of a PNG or JPEG of 8 bits or fewer that does not lie in a
    file of its own. Raises `error`, which names it.
    """
    import cv2

    bgr = _decode(content, name, error, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    rgb: NDArray[np.uint8] = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
    return rgb


def write_png(path: Path, rgb: NDArray[np.uint8], error: type[Exception]) -> None:
    """Write an RGB image (height, width, 3) as a PNG, whole or not at all; folders are made.

    Raises `error`.
    """
    import cv2

    written, data = cv2.imencode(".png", rgb[..., ::-1])
    try:
        if not written:
            raise OSError("it cannot be encoded")
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, data.tobytes())
    except OSError as reason:
        raise error(f"{path}: {why_not(reason)}") from None


def read_mask(path: Path, size: tuple[int, int], error: type[Exception]) -> NDArray[np.bool_]:
    """Read where a PNG is not black, bool (height, width) of that size. Raises `error`."""
    import cv2

    check_image(path, size, error)
    content = read_bytes(path, error, MAX_FILE)
    gray = _decode(content, str(path), error, cv2.IMREAD_GRAYSCALE | cv2.IMREAD_IGNORE_ORIENTATION)
    return np.asarray(gray > 0)


def check_image(path: Path, size: tuple[int, int], error: type[Exception]) -> None:
    """Look at the header of a PNG or JPEG, which must declare that size. Raises `error`."""
    header = _checked(read_bytes(path, error, MAX_FILE), str(path), error)
    if header.size != size:
        raise error(f"{path}: is {header.size}; the camera's pictures are {size} (height, width)")


def _decode(content: bytes, name: str, error: type[Exception], how: int) -> Any:
    import cv2

    header = _checked(content, name, error)
    try:
        with _without_remarks():
            image = cv2.imdecode(np.frombuffer(content, np.uint8), how)
    except cv2.error as reason:
        raise error(f"{name}: cannot be read as an image ({one_line(reason)})") from None
    if image is None or image.shape[:2] != header.size:
        raise error(f"{name}: cannot be read as an image (it is damaged)")
    return image


@contextmanager
def _without_remarks() -> Iterator[None]:
    """Keep what libpng and libjpeg write to stderr by themselves from there: a refusal follows."""
    with _stderr, open(os.devnull, "wb") as nowhere:
        sys.stderr.flush()
        kept = os.dup(2)
        try:
            os.dup2(nowhere.fileno(), 2)
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def _checked(content: bytes, name: str, error: type[Exception]) -> ImageHeader:
    """The header of a picture that may be decoded."""
    try:
        header = read_header(content)
    except ValueError as reason:
        raise error(f"{name}: cannot be read as an image ({reason})") from None
    height, width = header.size
    if not (min(height, width) >= 1 and max(height, width) <= MAX_SIDE) or (
        height * width > MAX_PIXELS
    ):
        raise error(
            f"{name}: declares {header.size} pixels (height, width); at most {MAX_SIDE} a side and "
            f"{MAX_PIXELS} in all are read"
        )
    if header.bits > 8:
        raise error(
            f"{name}: has {header.bits} bits a channel; scale it to 8 (read as 8 bits it would be "
            "dark where 16 are not used up)"
        )
    return header
