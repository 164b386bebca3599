"""Where a trace may be written, and errors of writing one in one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vista_sim.atomic import is_being_written, is_full_disk
from vista_sim.errors import TraceError
from vista_sim.files import one_line

FULL_TEXT = "no space left on the device; nothing was kept"


def check_destination(destination: Path, overwrite: bool) -> None:
    """Raise TraceError if a trace may not be written there, or another process does so now."""
    check_replaced(destination, overwrite)
    if is_being_written(destination):
        raise TraceError(f"{destination}: is being written by another process; choose another name")


def check_replaced(destination: Path, overwrite: bool) -> None:
    """Raise TraceError if what is there may not be replaced by a trace."""
    if not destination.exists() and not destination.is_symlink():
        return
    if not destination.is_dir():
        raise TraceError(f"{destination}: is there already and is no folder")
    if not any(destination.iterdir()):
        return
    if not overwrite:
        raise TraceError(
            f"{destination}: is there already; choose another name, or replace it with --overwrite "
            "(in Python overwrite=True)"
        )
    if not (destination / "trace.json").is_file():
        raise TraceError(f"{destination}: holds no trace (no trace.json), so it is not overwritten")


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
