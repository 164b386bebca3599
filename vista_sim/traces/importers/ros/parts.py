"""The files of a bag: found, and looked at before they are opened."""

from __future__ import annotations

import re
from pathlib import Path

from vista_sim.errors import TraceError
from vista_sim.files import open_file, read_bytes, require_file

SUFFIXES = (".bag", ".mcap", ".db3")
_MAGIC = {".bag": b"#ROSBAG V", ".mcap": b"\x89MCAP0\r\n", ".db3": b"SQLite format 3\0"}
_METADATA = "metadata.yaml"
_MAX_METADATA = 2**22  # bytes; of a thousand topics and files it is a twentieth of that
_MARK = b"rosbag2_bagfile_information"


def bag_files(src: Path) -> list[Path]:
    """What to open of a file or folder: a file, a ROS 2 folder, or all parts in a folder; empty
    where there is nothing of a bag.
    """
    if src.is_file():
        return [src] if _has_magic(src) else []
    if _is_folder_of_ros2(src):
        return [src]
    for suffix in SUFFIXES if src.is_dir() else ():
        if found := sorted(path for path in src.glob(f"*{suffix}") if _has_magic(path)):
            return found
    return []


def _has_magic(path: Path) -> bool:
    magic = _MAGIC.get(path.suffix)
    try:
        with open_file(path, TraceError) as file:
            return magic is not None and file.read(len(magic)) == magic
    except (TraceError, OSError):
        return False


def _is_folder_of_ros2(src: Path) -> bool:
    try:
        return _MARK in read_bytes(src / _METADATA, TraceError, _MAX_METADATA)
    except (TraceError, OSError):
        return False


def why_none(src: Path) -> str:
    """Why a file or folder holds no bag."""
    if not src.exists():
        return "no such file or folder"
    if src.is_file():
        if src.stat().st_size == 0:
            return "is empty"
        known = " or ".join(SUFFIXES)
        if src.suffix not in SUFFIXES:
            return f"is no bag: its name must end in {known}"
        return f"is no bag: its content is not that of a {src.suffix} file"
    return f"holds no bag ({_METADATA} of ROS 2, or files *.bag, *.mcap or *.db3)"


def check_named(folder: Path) -> None:
    """Raise TraceError where the metadata of a folder of ROS 2 names a file in it that is no bag.

    What cannot be read of the metadata is left to who opens the bag.
    """
    text = read_bytes(folder / _METADATA, TraceError, _MAX_METADATA)
    listed = re.search(rb"relative_file_paths:((?:\s*-\s[^\n]*|\s*\[[^\]]*\])*)", text)
    names = re.findall(r"[^\s\[\],/\"']+", listed[1].decode(errors="replace")) if listed else []
    for path in (folder / name for name in names):
        packed = Path(path.stem).suffix in SUFFIXES  # of a bag whose files are compressed
        if path.is_file() and not packed and not _has_magic(path):
            raise TraceError(f"{path}: {_METADATA} names it, but it {why_none(path)}")


def parts_of(path: Path) -> list[Path]:
    """The files that are read of what is opened, a file or a folder of ROS 2."""
    if path.is_file():
        return [path]
    return sorted(p for p in path.iterdir() if {p.suffix, Path(p.stem).suffix} & set(SUFFIXES)) or [
        path / _METADATA
    ]


def check_inside(part: Path, src: Path) -> None:
    """Raise TraceError unless a part is a file, and in the folder that the user named: a bag that
    was sent must not make others read what else is on this machine.
    """
    require_file(part, TraceError)  # a link to itself is none
    if src.is_dir() and part.is_symlink() and not part.resolve().is_relative_to(src.resolve()):
        raise TraceError(f"{part}: is a link to outside of {src}; put the file itself there")
