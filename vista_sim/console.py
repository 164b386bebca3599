"""What the commands share: sizes and sections as text, and how they show their progress."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from vista_sim.errors import VistaError

if TYPE_CHECKING:
    from rich.console import Console

MAX_SIDE = 8192  # px
FIRST_LINE, NEXT_LINE = 10.0, 30.0  # s until a command without a terminal tells how far it is


class ReportProgress(Protocol):
    """Takes what is done and what there is to do, and a few words on how it goes."""

    def __call__(self, done: float, total: float, note: str = "") -> None: ...


def parse_size(text: str) -> tuple[int, int]:
    """(height, width) of "HEIGHTxWIDTH". Raises VistaError."""
    parts = text.lower().split("x")
    if len(parts) != 2 or not all(p.isdecimal() and 0 < int(p) <= MAX_SIDE for p in parts):
        raise VistaError(f"size is {text!r}; give HEIGHTxWIDTH in pixels, such as 200x320")
    return int(parts[0]), int(parts[1])


def parse_section(text: str) -> tuple[float, float]:
    """Seconds of "START:END". Raises VistaError."""
    try:
        start, end = (float(part) for part in text.split(":"))
    except ValueError:
        raise VistaError(
            f"section is {text!r}; it must be START:END in seconds, such as 0:7.2"
        ) from None
    if not (math.isfinite(start) and math.isfinite(end) and 0 <= start < end):
        raise VistaError(f"section is {text!r}; START must be before END, and neither negative")
    return start, end


def require_within(option: str, value: float, low: float, high: float) -> float:
    """The value of an option if it is a number from low to high. Raises VistaError."""
    if not low <= value <= high:  # NaN is not
        raise VistaError(f"{option} is {value}; it must be from {low:g} to {high:g}")
    return value


class ProgressLines:
    """Progress where there is no terminal: a line on stderr now and then, and one at the end.

    What takes no longer than `FIRST_LINE` says nothing.

    Args:
        description: what is done.
        unit: what is counted.
        brief: whether to say nothing at the end of what was over before a line was due.
        clock: the time, s.
    """

    def __init__(
        self,
        description: str,
        unit: str = "",
        brief: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._description, self._unit, self._brief, self._clock = description, unit, brief, clock
        self._started = clock()
        self._due = self._started + FIRST_LINE

    def report(self, done: float, total: float, note: str = "") -> None:
        """So much of it is done."""
        now = self._clock()
        if now < self._due:
            return
        self._due, self._brief = now + NEXT_LINE, False
        counted = f"{done:.0f} of {total:.0f} {self._unit}, " if self._unit else ""
        share = f"{100 * done / max(total, 1e-9):.0f} %"
        self._say(f"{counted}{share} after {self._elapsed()}" + (f", {note}" if note else ""))

    def end(self) -> None:
        """All of it is done."""
        if not self._brief:
            self._say(f"done in {self._elapsed()}")

    def _elapsed(self) -> str:
        minutes, seconds = divmod(int(self._clock() - self._started), 60)
        return f"{minutes}:{seconds:02d} min" if minutes else f"{seconds} s"

    def _say(self, text: str) -> None:
        sys.stderr.write(f"{self._description}: {text}\n")
        sys.stderr.flush()


@contextmanager
def progress_bar(description: str, unit: str = "") -> Iterator[ReportProgress]:
    """A bar on stderr, which appears with the first report; without a terminal, lines.

    Args:
        unit: what is counted; where given, the rate is shown too.
    """
    from rich.console import Console

    console = Console(stderr=True)
    if console.is_terminal:
        with _bar(console, description, unit) as report:
            yield report
        return
    lines = ProgressLines(description, unit)
    yield lines.report
    lines.end()


@contextmanager
def _bar(console: Console, description: str, unit: str) -> Iterator[ReportProgress]:
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    counted = "{task.completed:.0f}/{task.total:.0f} " + unit if unit else "{task.percentage:.0f} %"
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn(counted),
        TextColumn("{task.fields[rate]}"),
        TextColumn("{task.fields[note]}"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )
    task = bar.add_task(description, total=1, rate="", note="", start=False)
    first: float | None = None

    def report(done: float, total: float, note: str = "") -> None:
        nonlocal first
        if first is None:  # what an earlier run did does not count for the rate
            first = done
            bar.start()
            bar.start_task(task)
        elapsed = bar.tasks[0].elapsed or 0.0
        rate = (done - first) / elapsed if unit and elapsed > 0.5 else 0.0
        bar.update(
            task,
            completed=done,
            total=max(total, 1e-9),
            rate=f"{rate:.1f} {unit}/s" if rate > 0 else "",
            note=note,
        )

    try:
        yield report
    finally:
        if first is not None:
            bar.stop()
