"""Files and folders that appear whole or not at all, and errors of writing in one line."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from vista_sim.errors import TraceError
from vista_sim.files import one_line

FULL_TEXT = "no space left on the device; nothing was kept"
_FULL_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def check_destination(destination: Path, overwrite: bool) -> None:
    """Raise TraceError if a trace may not be written there."""
    if not destination.exists() and not destination.is_symlink():
        return
    if not destination.is_dir():
        raise TraceError(f"{destination}: is there already and is no folder")
    if not any(destination.iterdir()):
        return
    if not overwrite:
        raise TraceError(f"{destination}: is there already; choose another name or overwrite it")
    if not (destination / "trace.json").is_file():
        raise TraceError(f"{destination}: holds no trace (no trace.json), so it is not overwritten")


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A hidden name beside `path` to write to, renamed to it where the block ends well.

    Else what was at `path` stays, and nothing of what was written.
    """
    temporary = path.with_name(f".{path.name}.part")
    try:
        yield temporary
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


def make_sibling(destination: Path) -> Path:
    """Make an empty hidden folder beside a destination, to be renamed to it when whole."""
    folder = destination.parent / f".{destination.name}.part-{secrets.token_hex(4)}"
    folder.mkdir()
    return folder


def replace_folder(new: Path, destination: Path) -> None:
    """Rename a folder to its destination; what was there goes only after that."""
    old: Path | None = None
    if destination.exists():
        old = Path(tempfile.mkdtemp(prefix=f".{destination.name}.old-", dir=destination.parent))
        os.replace(destination, old)
    try:
        os.replace(new, destination)
    except OSError:
        if old is not None:
            os.replace(old, destination)
        raise
    if old is not None:
        shutil.rmtree(old, ignore_errors=True)


def is_full_disk(error: BaseException) -> bool:
    """Whether an error of Python, PyAV or PyArrow means that nothing more can be written."""
    text = str(error)
    return getattr(error, "errno", None) in _FULL_DISK or (
        isinstance(error, OSError) and "No space left on device" in text
    )


@contextmanager
def write_errors_name(path: Path) -> Iterator[None]:
    """Turn an error of writing a file into a TraceError of one line that names it."""
    try:
        yield
    except TraceError:
        raise
    except OSError as error:
        text = FULL_TEXT if is_full_disk(error) else f"cannot be written ({one_line(error)})"
        raise TraceError(f"{path}: {text}") from error
