"""Folders of numbered images: a video whose frames are files, with times beside them or a rate."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vista_sim.errors import TraceError
from vista_sim.files import one_line, read_text
from vista_sim.images import read_image
from vista_sim.traces.calibration import check_sides
from vista_sim.traces.importers.numbered import FORMATS, MAX_TIMES, numbered_files
from vista_sim.traces.importers.recording import Times

TIMES = "times.txt"
MAX_TIME = 4e9  # s; nanoseconds of it fit into 62 bits


@dataclass(frozen=True, eq=False)
class ImageFolder:
    """Images of a folder, in the order of their numbers.

    Args:
        path: of the folder.
        files: (n,) the images.
        size: (height, width) of all of them.
        t_ns: (n,) ns, increasing.
    """

    path: Path
    files: tuple[Path, ...]
    size: tuple[int, int]
    t_ns: Times

    @classmethod
    def open(cls, path: Path, times: str = "", rate: float | None = None) -> ImageFolder:
        """Look at a folder; only its first image is decoded. Raises TraceError.

        Args:
            times: file of a time, s, a line for each image; empty: `times.txt` in or beside it.
            rate: images a second, where there are no times.
        """
        found = numbered_files(path, FORMATS)
        if len(found) < 2:
            raise TraceError(
                f"{path}: holds {len(found)} numbered images (000000.png, ...); at least 2 are due"
            )
        numbers, files = list(found), tuple(found.values())
        if numbers[-1] - numbers[0] != len(numbers) - 1:
            missing = next(a + 1 for a, b in pairwise(numbers) if b - a > 1)
            raise TraceError(f"{path}: image {missing} is missing between its first and its last")
        height, width = read_image(files[0], TraceError).shape[:2]
        check_sides((height, width), f"{path}: picture size")
        return cls(path, files, (height, width), _times(path, times, rate, len(files)))

    def frames(self, numbers: Sequence[int]) -> Iterator[NDArray[np.uint8]]:
        """Images, uint8 RGB, of some numbers (increasing), in order. Raises TraceError."""
        for number in numbers:
            image = read_image(self.files[number], TraceError)
            if image.shape[:2] != self.size:
                raise TraceError(
                    f"{self.files[number]}: is {image.shape[:2]}; the first image is {self.size} "
                    "(height, width)"
                )
            yield image


def is_image_folder(path: Path) -> bool:
    """Whether a folder holds numbered images itself."""
    try:
        return len(numbered_files(path, FORMATS)) > 1
    except (TraceError, OSError):
        return False


def _times(folder: Path, given: str, rate: float | None, count: int) -> Times:
    if rate is not None:
        if given:
            raise TraceError("times and image_rate are both given; one of them is due")
        return np.round(np.arange(count) * (1e9 / rate)).astype(np.int64)
    near = [folder / TIMES, folder.parent / TIMES]
    path = Path(given) if given else next((p for p in near if p.is_file()), None)
    if path is None:
        raise TraceError(
            f"{folder}: its images have no times; say how many are taken a second (image_rate), or "
            f"put a file {TIMES} beside them, a line each, s"
        )
    lines = read_text(path, TraceError, MAX_TIMES).split()
    try:
        t = np.array([float(word) for word in lines])
    except ValueError as error:
        raise TraceError(f"{path}: holds no times, s, one a line ({one_line(error)})") from None
    if len(t) != count:
        raise TraceError(f"{path}: holds {len(t)} times, {folder} holds {count} images")
    if not (np.abs(t) < MAX_TIME).all():  # NaN too
        raise TraceError(f"{path}: times must be in s")
    t_ns = np.round(t * 1e9).astype(np.int64)
    bad = np.flatnonzero(np.diff(t_ns) <= 0)
    if len(bad):
        raise TraceError(f"{path}: line {bad[0] + 2}: time must increase")
    return t_ns
