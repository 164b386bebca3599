"""The formats that recordings come in: a file and a line of `OWN` each.

Other packages add theirs without touching this one: a class like those beside this file, named by
an entry point of the group `vista_sim.importers`.
"""

from __future__ import annotations

import difflib
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, Protocol

from vista_sim.atomic import is_full_disk
from vista_sim.errors import TraceError, VistaError
from vista_sim.failures import summary
from vista_sim.registry import loaded, offered
from vista_sim.traces.importers.recording import Recording

logger = logging.getLogger(__name__)

GROUP = "vista_sim.importers"
OWN = {
    "kitti-odometry": "kitti_odometry:KittiOdometry",
    "kitti-raw": "kitti_raw:KittiRaw",
    "pandaset": "pandaset:PandaSet",
    "ros": "ros.importer:Ros",
    "video": "video:Video",
}
SURE = 0.9  # a format that finds itself so is taken, if no other comes near


class Importer(Protocol):
    """One format.

    Attributes:
        name: on the command line.
        options: a frozen dataclass, its fields made by `options.option`.
        takes: what of a recording gets into the trace, in a few words.
        extra: of this package that it needs; empty: none.

    One with a method `listing(src, options) -> str` says what a recording holds where no folder
    for a trace is named; one that takes long to open says by `camera_names(src, options)` which
    cameras there will be, so that others are refused before.
    """

    name: str
    options: type[Any]
    takes: str
    extra: str

    def detect(self, src: Path) -> float:
        """How sure it is that a file or folder is of this format, 0 to 1. Raises nothing."""

    def why(self, src: Path) -> str:
        """What it goes by: a few words."""

    def open(self, src: Path, options: Any) -> Recording:
        """Open a recording. Raises TraceError in one line that names file and field.

        A format that computes for long may have a method `open_part(src, options, work)` beside:
        it may keep results in `work.folder` and open the stretch from `work.start` to `work.end`
        alone; it returns the recording, and whether that stretch is all of it (`work.Work`).
        """


@dataclass(frozen=True)
class Guess:
    """A format that a file or folder may be of."""

    importer: Importer
    sure: float
    why: str


def formats() -> dict[str, EntryPoint]:
    """All formats by name, none of them loaded; this project's own first."""
    return offered(GROUP, {name: f"{__package__}.{where}" for name, where in OWN.items()})


def importers() -> dict[str, Importer]:
    """All formats by name; one of another package that cannot be loaded is told of in the log."""
    found = {}
    for name, entry in formats().items():
        try:
            found[name] = _load(entry)
        except TraceError as error:
            logger.warning("%s", error)
    return found


def find_importer(name: str) -> Importer:
    """The format of a name. Raises TraceError."""
    known = formats()
    if name not in known:
        near = difflib.get_close_matches(name, known, 1, 0.6)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise TraceError(f"there is no format {name!r}{hint} (formats: {', '.join(known)})")
    return _load(known[name])


def _load(entry: EntryPoint) -> Importer:
    importer: Importer = loaded(entry, "importer", TraceError, lambda kind: kind())
    return importer


@contextmanager
def told_as_its_own(name: str) -> Iterator[None]:
    """Whatever goes wrong in the importer of another package is told as that: a TraceError."""
    try:
        yield
    except (VistaError, MemoryError):
        raise
    except Exception as error:
        if name in OWN or name not in formats() or is_full_disk(error):
            raise
        raise TraceError(
            f"the importer {name!r} ({formats()[name].value}) failed ({summary(error)}); "
            "tell those who made it"
        ) from error


def _guesses(src: Path) -> list[Guess]:
    """Formats that a file or folder may be of, the surest first; those that fail are told of."""
    found = []
    for name, importer in importers().items():
        try:
            with told_as_its_own(name):
                sure = importer.detect(src)
                if sure > 0:
                    found.append(Guess(importer, sure, str(importer.why(src))))
        except VistaError as error:
            logger.warning("%s", error)
    return sorted(found, key=lambda guess: -guess.sure)


def require_readable(src: Path) -> None:
    """Raise TraceError unless a file or folder is there and may be read."""
    try:
        there, needed = src.exists(), os.R_OK | (os.X_OK if src.is_dir() else 0)
    except PermissionError:
        there, needed = True, os.R_OK
    if not there:
        raise TraceError(f"{src}: no such file or folder")
    if not os.access(src, needed):
        raise TraceError(f"{src}: may not be read (permission denied); give yourself the right to")


def detected(src: Path) -> Guess:
    """The format of a file or folder.

    Raises:
        TraceError: it is not there, may not be read, or is not told apart.
    """
    require_readable(src)
    try:
        found = _guesses(src)
    except PermissionError as error:
        place = src if error.filename is None else os.fsdecode(error.filename)
        raise TraceError(
            f"{place}: may not be read (permission denied); give yourself the right to"
        ) from error
    if not found:
        known = ", ".join(formats())
        raise TraceError(f"{src}: is of no format that is known (formats: {known})")
    if found[0].sure < SURE or (len(found) > 1 and found[1].sure > found[0].sure - 0.1):
        listed = "; ".join(f"{guess.importer.name} ({guess.why})" for guess in found)
        raise TraceError(
            f"{src}: may be {listed}; name one: vista-sim import {found[0].importer.name} SRC DST"
        )
    return found[0]
