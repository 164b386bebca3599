"""Which stretches of a trace can be driven: fast enough, without gaps, labels allowed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Interval = tuple[float, float]

MIN_SPEED = 2.5  # m/s
SHORTEST_GAP = 0.2  # s
GAP_FACTOR = 2.5  # of the median interval
FLICKER = 0.5  # s; speeds are judged by their median over this long
SHORTEST_STOP = 1.0  # s; a shorter dip only counts below DIP of the minimum speed
DIP = 0.9
SHORTEST = (0.5, 2.0)  # s and m; less is no drive


@dataclass(frozen=True)
class Section:
    """A stretch that can be driven: s of time, and m of arc length on the trace's path."""

    start: float
    end: float
    start_s: float
    end_s: float

    @property
    def duration(self) -> float:
        """Seconds from start to end."""
        return self.end - self.start

    @property
    def length(self) -> float:
        """Metres from start to end."""
        return self.end_s - self.start_s


#: Key of labels that are navigation commands, and of what a car observes of them.
COMMAND = "command"


@dataclass(frozen=True)
class Label:
    """What a stretch of time is marked as: "weather" = "rain", "maneuver" = "stable"."""

    start: float  # s
    end: float  # s
    key: str
    value: str


def gaps(t: Floats, duration: float | None = None) -> list[Interval]:
    """Stretches without samples longer than max(0.2 s, 2.5 times the median interval).

    Args:
        t: (n,) increasing times, s.
        duration: if given, a stretch from 0 to the first sample or from the last one to
            here counts too.

    Returns:
        (start, end) of each: the last sample before and the first one after, s.
    """
    if len(t) == 0:
        return [] if duration is None else [(-np.inf, np.inf)]
    median = float(np.median(np.diff(t))) if len(t) > 1 else 0.0
    limit = max(SHORTEST_GAP, GAP_FACTOR * median) * (1 + 1e-9)
    wide = np.flatnonzero(np.diff(t) > limit)
    found = [(float(t[i]), float(t[i + 1])) for i in wide]
    if duration is not None and t[0] > limit:
        found.insert(0, (-np.inf, float(t[0])))
    if duration is not None and duration - t[-1] > limit:
        found.append((float(t[-1]), np.inf))
    return found


def joined(intervals: Iterable[Interval]) -> list[Interval]:
    """Intervals in order of their starts, those that overlap as one."""
    found: list[Interval] = []
    for start, end in sorted(intervals):
        if found and start < found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return found


def running_median(t: Floats, values: Floats, window: float = FLICKER) -> Floats:
    """Median over a centred window (s) of about evenly spaced samples; steps stay sharp."""
    from scipy.ndimage import median_filter

    if len(t) < 3:
        return values
    half = round(0.5 * window / float(np.median(np.diff(t))))
    count = 2 * max(1, half) + 1
    filtered: Floats = median_filter(values, size=min(count, len(values)), mode="reflect")
    return filtered


def slow_intervals(t: Floats, speed: Floats, min_speed: float) -> list[Interval]:
    """Stretches slower than min_speed (m/s); open at both ends.

    Single outliers do not count, nor does a dip of under a second that stays above nine
    tenths of min_speed.
    """
    smooth = running_median(t, speed)
    slow = smooth < min_speed
    found: list[Interval] = []
    for first, last in _runs(slow):
        start = -np.inf if first == 0 else float(t[first - 1])
        end = np.inf if last == len(t) - 1 else float(t[last + 1])
        shallow = smooth[first : last + 1].min() > DIP * min_speed
        if shallow and end - start < SHORTEST_STOP:
            continue
        found.append((start, end))
    return found


def _runs(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First and last index of each run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return [(int(a), int(b) - 1) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def excluded_labels(
    t: Floats, labels: Iterable[Label], exclude: Sequence[str | tuple[str, str]]
) -> list[Interval]:
    """Intervals of the labels to exclude, widened to the samples at times t around them.

    Args:
        t: (n,) s.
        labels: of the trace.
        exclude: keys ("tunnel"), "key=value" or (key, value).
    """
    wanted = [tuple(e.split("=", 1)) if isinstance(e, str) else tuple(e) for e in exclude]
    found = []
    for label in labels:
        if (label.key,) in wanted or (label.key, label.value) in wanted:
            before = int(np.searchsorted(t, label.start)) - 1
            after = int(np.searchsorted(t, label.end, side="right"))
            start = float(t[before]) if before >= 0 else -np.inf
            found.append((start, float(t[after]) if after < len(t) else np.inf))
    return found


def subtract(span: Interval, cuts: Iterable[Interval]) -> list[Interval]:
    """What is left of a closed span when open intervals are taken out of it."""
    left: list[Interval] = []
    start = span[0]
    for cut_start, cut_end in sorted(cuts):
        if cut_end <= start or cut_start >= span[1]:
            continue
        if cut_start >= start:
            left.append((start, cut_start))
        start = max(start, cut_end)
    if start <= span[1]:
        left.append((start, span[1]))
    return [(a, b) for a, b in left if b > a]
