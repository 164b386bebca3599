"""Folders of files whose names are the numbers of their frames, and files of their times."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from vista_sim.errors import TraceError
from vista_sim.files import one_line, read_text
from vista_sim.traces.importers.recording import Times

FORMATS = (".png", ".jpg", ".jpeg")
MAX_TIMES = 2**28  # bytes of a file of times
_TIME = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)\.(\d{1,9})")
_OTHERS = (".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".gif", ".jp2", ".exr")


def numbered_images(folder: Path, count: int, poses: Path) -> list[Path]:
    """The images 0 to count - 1 of a folder, in order: image i belongs to pose i.

    Args:
        folder: holds PNG or JPEG images; other files are not looked at.
        count: of the poses.
        poses: their file, named in errors.

    Raises:
        TraceError: images are missing, more than there are poses, or in another format.
    """
    if not folder.is_dir():
        raise TraceError(f"{folder}: no such folder of images")
    found = numbered_files(folder, FORMATS)
    if not found and (others := sorted(p.name for p in folder.iterdir() if _is_other(p))):
        raise TraceError(
            f"{folder}: holds {len(others)} images in another format ({one_line(others[0])}); "
            "PNG or JPEG is needed"
        )
    kinds = Counter(path.suffix for path in found.values())
    suffix = kinds.most_common(1)[0][0] if kinds else ".png"
    missing = next((number for number in range(count) if number not in found), None)
    beyond = min((number for number in found if number >= count), default=None)
    details = []
    if missing is not None:
        details.append(f"the first missing is {missing:06d}{suffix}")
    if beyond is not None:
        details.append(f"{found[beyond].name} has no pose")
    if details:
        raise TraceError(
            f"{folder}: holds {len(found)} images, {poses} holds {count} poses; "
            + " and ".join(details)
        )
    return [found[number] for number in range(count)]


def _is_other(path: Path) -> bool:
    return path.name.lower().endswith(_OTHERS)


def numbered_files(folder: Path, suffixes: Sequence[str]) -> dict[int, Path]:
    """Files of a folder by their number, in its order; empty where there is no folder.

    Raises TraceError: two are of the same number.
    """
    found: dict[int, Path] = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        stem, dot, suffix = path.name.partition(".")
        if dot + suffix.lower() not in suffixes or not re.fullmatch(r"[0-9]{1,18}", stem):
            continue
        number = int(stem)
        if number in found:
            both = f"{found[number].name} and {path.name}"
            raise TraceError(f"{folder}: {both} are the same frame; remove one")
        found[number] = path
    return dict(sorted(found.items()))


def numbered_times(path: Path, numbers: Sequence[int]) -> tuple[list[int], Times]:
    """Those of the numbered lines that hold a time, and their times, ns. Raises TraceError.

    A line is blank where the file of its number is missing.
    """
    lines = read_text(path, TraceError, MAX_TIMES).splitlines()
    kept, times = [], []
    for number in numbers:
        if number >= len(lines):
            raise TraceError(f"{path}: holds {len(lines)} lines; file {number:010d} has no time")
        if not lines[number].strip():
            continue
        match = _TIME.fullmatch(lines[number].strip())
        try:
            seconds = datetime.strptime(match[1] if match else "", "%Y-%m-%d %H:%M:%S")
        except ValueError:
            raise TraceError(
                f"{path}: line {number + 1} must be a time such as 2011-09-26 13:02:44.335092332"
            ) from None
        whole = int(seconds.replace(tzinfo=UTC).timestamp())
        kept.append(number)
        times.append(whole * 10**9 + int((match[2] if match else "").ljust(9, "0")))
    t_ns = np.array(times, dtype=np.int64)
    bad = np.flatnonzero(np.diff(t_ns) <= 0)
    if len(bad):
        raise TraceError(f"{path}: line {kept[int(bad[0]) + 1] + 1}: time must increase")
    return kept, t_ns
