"""The work of a bake that is not finished: kept on disk, so that it goes on after a kill."""

from __future__ import annotations

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from vista_sim.arrays import map_array
from vista_sim.atomic import is_full_disk, replace_folder, sweep, write_whole
from vista_sim.errors import GeometryError
from vista_sim.files import read_json
from vista_sim.geometry.store import DESCRIPTION
from vista_sim.locks import Lock

_PLAN = "plan.json"
_WORK = "work"


class Partial:
    """A folder `.<camera>.partial` beside the place of the finished geometry.

    Arrays are memory mapped and hold one entry a frame; an entry counts once it is marked
    done, which happens after it was written. Only what was asked for by the same plan is
    taken up again.

    Args:
        destination: folder of the finished geometry.
        plan: what is baked; JSON values.
        fresh: do not take up what is there.

    Attributes:
        folder: what becomes the destination.
        work: a folder in it that goes when the bake is finished.
    """

    def __init__(self, destination: Path, plan: dict[str, Any], fresh: bool = False) -> None:
        self.destination = destination
        self.folder = _partial_folder(destination)
        self.work = self.folder / _WORK
        same = read_object(self.folder / _PLAN) == json.loads(json.dumps(plan))
        if fresh or not same or not self.work.is_dir():
            shutil.rmtree(self.folder, ignore_errors=True)
            self.work.mkdir(parents=True)
            write_json(self.folder / _PLAN, plan)

    def array(
        self, name: str, shape: tuple[int, ...], dtype: DTypeLike, work: bool = False
    ) -> NDArray[Any]:
        """An array on disk, as it was left; zero at first.

        Args:
            name: of the file.
            work: whether it goes when the bake is finished.
        """
        path = (self.work if work else self.folder) / name
        if path.exists():
            try:
                map_array(path, dtype, [shape], GeometryError)
            except GeometryError:
                path.unlink()
            else:
                left: NDArray[Any] = np.lib.format.open_memmap(path, mode="r+")
                return left
        array: NDArray[Any] = np.lib.format.open_memmap(
            path, mode="w+", dtype=np.dtype(dtype), shape=shape
        )
        # Without its blocks reserved, a full disk would end the process by a signal.
        with open(path, "r+b") as file, no_space_is_a_geometry_error(path):
            os.posix_fallocate(file.fileno(), 0, os.fstat(file.fileno()).st_size)
        return array

    def finish(self, description: dict[str, Any]) -> None:
        """Describe the result and move it to its destination; what was there goes after that."""
        shutil.rmtree(self.work, ignore_errors=True)
        write_json(self.folder / DESCRIPTION, description)
        (self.folder / _PLAN).unlink(missing_ok=True)
        sweep(self.destination)
        replace_folder(self.folder, self.destination)


def read_object(path: Path) -> dict[str, Any] | None:
    """A JSON object, or None where there is none that can be read."""
    try:
        values = read_json(path, GeometryError)
    except GeometryError:
        return None
    return values if isinstance(values, dict) else None


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Write a JSON file whole or not at all."""
    with no_space_is_a_geometry_error(path):
        write_whole(path, (json.dumps(values, indent=2) + "\n").encode())


def bake_lock(destination: Path, *, wait: bool = True) -> Lock:
    """The right to bake to a destination; waits while another process has it.

    Raises:
        GeometryError: without `wait`, another process has it; nothing can be written there.
    """
    busy = f"{destination}: waiting for another process that bakes it"
    path = destination.parent / f".{destination.name}.lock"
    return Lock(path, GeometryError, busy, wait=wait)


def abandon(destination: Path) -> None:
    """Remove the work of a bake that was ended, unless some process is at it.

    For a place where a whole geometry lies: what a killed `--force` began will not be gone on with.
    """
    if _partial_folder(destination).is_dir():
        with suppress(GeometryError), bake_lock(destination, wait=False):
            shutil.rmtree(_partial_folder(destination), ignore_errors=True)
            sweep(destination)


def _partial_folder(destination: Path) -> Path:
    return destination.parent / f".{destination.name}.partial"


@contextmanager
def no_space_is_a_geometry_error(path: Path) -> Iterator[None]:
    """Turn a full disk into one clear line."""
    try:
        yield
    except OSError as error:
        if not is_full_disk(error):
            raise
        raise GeometryError(
            f"{path}: no space left on the device; free some and run the bake again"
        ) from error


def writable_folder(path: Path) -> bool:
    """Make a folder, and tell whether files can be made in it."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            return True
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise GeometryError(f"{path}: no space left on the device") from error
        return False
