"""What the commands share: sizes and sections as text, and a progress bar."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from vista_sim.errors import VistaError

MAX_SIDE = 8192  # px


class Report(Protocol):
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


@contextmanager
def progress_bar(description: str, unit: str = "") -> Iterator[Report]:
    """A bar on stderr, if that is a terminal; it appears with the first report.

    Args:
        unit: what is counted; where given, the rate is shown too.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    counted = "{task.completed:.0f}/{task.total:.0f} " + unit if unit else "{task.percentage:.0f} %"
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn(counted),
        TextColumn("{task.fields[rate]}"),
        TextColumn("{task.fields[note]}"),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
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
