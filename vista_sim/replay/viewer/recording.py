"""A Rerun recording that is being logged: its timelines, entity paths, and what was left out."""

from __future__ import annotations

import os
from collections.abc import Iterable
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vista_sim.errors import MissingDependencyError

APPLICATION = "vista_sim"
TIME, STEP = "time", "step"  # the timelines: seconds, and steps of the simulation
LONGEST_NAME = 60  # characters of a name from a file that are shown
FAR = 1e6  # m; what lies farther out is no place


def load_rerun() -> ModuleType:
    """The package Rerun, strict about how it is called. Raises MissingDependencyError."""
    # What goes wrong is raised; its own log would tell it once more.
    os.environ.setdefault("RUST_LOG", "off")
    try:
        import rerun
    except ImportError:
        raise MissingDependencyError(
            "the viewer needs Rerun; install it: pip install 'vista-sim[replay]'"
        ) from None
    rerun.set_strict_mode(True)
    return rerun


def shown(name: object, otherwise: str = "unnamed", longest: int = LONGEST_NAME) -> str:
    """A name from a file as one short line of printable text."""
    text = "".join(c if c.isprintable() else " " for c in str(name))
    text = " ".join(text.split())
    if len(text) > longest:
        text = text[: longest - 1] + "…"
    return text or otherwise


class Recording:
    """What is logged goes through here.

    Attributes:
        rr: the package Rerun.
        stream: its recording.
        notes: what cannot be shown and why, a line each.
    """

    def __init__(self, name: str) -> None:
        self.rr: Any = load_rerun()
        self.stream = self.rr.RecordingStream(APPLICATION)
        self.stream.send_recording_name(shown(name))
        self.notes: list[str] = []

    def path(self, *parts: str) -> str:
        """An entity path; each part is escaped, whatever is in it."""
        return "/" + "/".join(self.rr.escape_entity_path_part(part) for part in parts)

    def log(self, path: str, *values: Any) -> None:
        """Log what holds for all times."""
        self.stream.log(path, *values, static=True)

    def log_at(self, moment: tuple[float, int], path: str, *values: Any) -> None:
        """Log what holds from a moment (s, step) on."""
        self.stream.set_time(TIME, duration=float(moment[0]))
        self.stream.set_time(STEP, sequence=int(moment[1]))
        self.stream.log(path, *values)

    def send(
        self, path: str, times: ArrayLike, steps: NDArray[np.int64], columns: Iterable[Any]
    ) -> None:
        """Log a value for each of n moments.

        Args:
            path: of the entity.
            times, steps: (n,) s and steps, increasing.
            columns: as an archetype's `columns` gives them.
        """
        indexes = [
            self.rr.TimeColumn(TIME, duration=np.asarray(times, dtype=np.float64)),
            self.rr.TimeColumn(STEP, sequence=np.asarray(steps, dtype=np.int64)),
        ]
        self.stream.send_columns(path, indexes=indexes, columns=columns)

    def note(self, text: str) -> None:
        """Remember once that something cannot be shown."""
        line = " ".join(text.split())
        if line not in self.notes:
            self.notes.append(line)
