"""Recovery by where the car started: lateral offset and heading."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from vista_sim.evaluation.metrics import recovery
from vista_sim.evaluation.metrics.tables import Floats, floats, select, texts
from vista_sim.report.sheet import Sheet, signed
from vista_sim.runs.kinds import RECOVERY

MOST = 15  # different offsets, or headings, that get a row or column each
STEPS = (0.25, 2.0)  # m and deg that are put together where there are more


@dataclass(frozen=True)
class Cell:
    """Starts from one offset and heading.

    Args:
        key: of the start, as `start_keys` has it.
        tried, recovered: by the policy.
        possible: from how many the expert came back; -1 where it did not try.
        both: from how many both did.
    """

    key: str
    tried: int
    recovered: int
    possible: int
    both: int

    @property
    def share(self) -> float | None:
        """Recovered of what the expert recovers from, or of all; None: gray."""
        if self.possible < 0:
            return self.recovered / self.tried if self.tried else None
        return self.both / self.possible if self.possible else None

    @property
    def text(self) -> str:
        """What stands in the cell: so many of so many."""
        if not self.tried:
            return ""
        return f"{self.recovered}/{self.tried}" if self.possible < 0 else self._of_expert

    @property
    def _of_expert(self) -> str:
        return f"{self.both}/{self.possible}" if self.possible else "–"

    @property
    def explanation(self) -> str:
        """The same in words."""
        if not self.tried:
            return "not tried"
        words = f"policy recovered from {self.recovered} of {self.tried} starts"
        if self.possible < 0:
            return words
        return f"{words}; expert from {self.possible}, both from {self.both}"


@dataclass(frozen=True)
class Heat:
    """The recovery test of a run.

    Args:
        headings: of the columns, deg, from right to left turned.
        rows: lateral offset, m, from left of the path to right of it, and its cells.
        by_expert: whether the expert tried the same starts.
    """

    headings: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]
    by_expert: bool


def start_keys(sheet: Sheet) -> list[str]:
    """The cell that each episode belongs to, "lateral|heading"; "" if it is no such start."""
    laterals, headings = _starts(sheet)
    kinds = texts(sheet.episodes, "kind")
    return [
        f"{signed(lateral, 2)}|{signed(heading, 1)}"
        if kind == RECOVERY and not math.isnan(lateral + heading)
        else ""
        for kind, lateral, heading in zip(
            kinds.tolist(), laterals.tolist(), headings.tolist(), strict=True
        )
    ]


def recovery_heat(sheet: Sheet) -> Heat | None:
    """The recovery test of a run; None where there was none."""
    keys = np.array(start_keys(sheet), dtype=object)
    tested = (keys != "") & sheet.finished
    if not tested.any():
        return None
    laterals, headings = _starts(sheet)
    by_expert = bool((tested & ~sheet.by_policy).any())
    columns = sorted({signed(h, 1) for h in headings[tested].tolist()}, key=float)
    offsets = sorted({signed(v, 2) for v in laterals[tested].tolist()}, key=float, reverse=True)
    found = []
    for offset in offsets:
        cells = []
        for heading in columns:
            key = f"{offset}|{heading}"
            own = select(sheet.episodes, tested & (keys == key))
            possible = recovery.expert_recovered(own) if by_expert else -1
            both = recovery.both_recovered(own) if by_expert else 0
            cells.append(Cell(key, recovery.tried(own), recovery.recovered(own), possible, both))
        found.append((offset, tuple(cells)))
    return Heat(tuple(columns), tuple(found), by_expert)


def _starts(sheet: Sheet) -> tuple[Floats, Floats]:
    """Lateral offset, m, and heading, deg, of each start, put together where there are many."""
    found = []
    values = (
        floats(sheet.episodes, "start_lateral"),
        np.degrees(floats(sheet.episodes, "start_heading")),
    )
    tested = texts(sheet.episodes, "kind") == RECOVERY
    for value, digits, step in zip(values, (2, 1), STEPS, strict=True):
        if len(np.unique(value[tested].round(digits))) > MOST:
            value = step * np.round(value / step)
        found.append(value)
    return found[0], found[1]
