"""Opens a run's videos: their files, and the size of picture that they declare, are bounded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import av

from vista_sim.errors import RunError
from vista_sim.files import one_line, require_file

MAX_PIXELS = 34_000_000  # of a picture: 8K is 7680 x 4320


class OpenVideo(NamedTuple):
    """A file that is open, and its first stream of pictures."""

    container: Any
    stream: Any


@contextmanager
def open_video(path: Path) -> Iterator[OpenVideo]:
    """Open a video, whose decoder is held to pictures of `MAX_PIXELS`.

    Raises:
        RunError: it is no file or no video, or declares larger pictures; so is what FFmpeg
            raises inside the block.
    """
    require_file(path, RunError)
    limits = {"max_pixels": str(MAX_PIXELS)}
    try:
        # Of all that FFmpeg reads, playlists and the like would open other files.
        with av.open(str(path), format="mp4", options=limits) as container:
            if not container.streams.video:
                raise RunError(f"{path}: holds no video")
            stream = container.streams.video[0]
            # Where no decoder is known there is no size either.
            width, height = (getattr(stream, side, 0) or 0 for side in ("width", "height"))
            if not 0 < width * height <= MAX_PIXELS:
                raise RunError(f"{path}: declares pictures of {width} x {height}; it is damaged")
            stream.codec_context.options = limits
            yield OpenVideo(container, stream)
    except (av.FFmpegError, OSError, ValueError, IndexError) as error:
        if isinstance(error, RunError):
            raise
        reason = getattr(error, "strerror", None) or error  # without FFmpeg's number
        raise RunError(f"{path}: cannot be read as a video ({one_line(str(reason))})") from error
