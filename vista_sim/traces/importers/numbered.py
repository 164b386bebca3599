"""Folders of images whose names are the numbers of their frames."""

from __future__ import annotations

import os
import re
from collections import Counter
from pathlib import Path

from vista_sim.errors import TraceError
from vista_sim.files import one_line

FORMATS = (".png", ".jpg", ".jpeg")
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
    found: dict[int, str] = {}
    kinds: Counter[str] = Counter()
    others = []
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries)
    for name in names:
        match = re.fullmatch(r"([0-9]{1,18})(\.[A-Za-z0-9]+)", name)
        if match is None or match[2].lower() not in FORMATS:
            others += [name] if name.lower().endswith(_OTHERS) else []
            continue
        number = int(match[1])
        if number in found:
            raise TraceError(f"{folder}: {found[number]} and {name} are the same frame; remove one")
        found[number] = name
        kinds[match[2]] += 1
    if not found and others:
        raise TraceError(
            f"{folder}: holds {len(others)} images in another format ({one_line(others[0])}); "
            "PNG or JPEG is needed"
        )
    suffix = kinds.most_common(1)[0][0] if kinds else ".png"
    missing = next((number for number in range(count) if number not in found), None)
    beyond = min((number for number in found if number >= count), default=None)
    details = []
    if missing is not None:
        details.append(f"the first missing is {missing:06d}{suffix}")
    if beyond is not None:
        details.append(f"{found[beyond]} has no pose")
    if details:
        raise TraceError(
            f"{folder}: holds {len(found)} images, {poses} holds {count} poses; "
            + " and ".join(details)
        )
    return [folder / found[number] for number in range(count)]
