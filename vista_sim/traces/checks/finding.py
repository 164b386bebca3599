"""What was found wrong with a recording by comparing its parts with each other."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from vista_sim.errors import TraceError

#: refuse: the trace is not opened. cut: what is inside `spans` is not driven. warn: it is said.
Level = Literal["refuse", "cut", "warn"]
Interval = tuple[float, float]


@dataclass(frozen=True)
class Finding:
    """A contradiction in a recording.

    Attributes:
        name: of the check, the same in all versions.
        level: what follows from it.
        where: the file in the trace's folder.
        text: what contradicts what, with numbers.
        remedy: what to look at, or what would be right.
        spans: (start, end) in s of the places; empty: the whole drive.
    """

    name: str
    level: Level
    where: str
    text: str
    remedy: str
    spans: tuple[Interval, ...] = ()

    @property
    def line(self) -> str:
        """The finding in one line."""
        return f"{self.where}: {self.text}; {self.remedy}"

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "spans": [list(span) for span in self.spans]}


class RefusedError(TraceError):
    """A trace that is not opened for what was found."""

    def __init__(self, text: str, finding: Finding | None = None) -> None:
        super().__init__(text)
        self.finding = finding


def places(spans: tuple[Interval, ...], most: int = 3) -> str:
    """The first of some spans as "at 14.90-15.00 s and 2 more places"."""
    first = ", ".join(f"{start:.2f}-{end:.2f} s" for start, end in spans[:most])
    more = len(spans) - most
    return f"at {first}" + (f" and {more} more places" if more > 0 else "")
