"""What of the runs is shown, and when: episodes put one after another, those of several runs that
belong together at the same time.
"""

from __future__ import annotations

import colorsys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vista_sim.errors import RunError
from vista_sim.replay.viewer.recording import FAR, shown
from vista_sim.runs.kinds import DRIVING, RECOVERY
from vista_sim.runs.run import Run, columns, read_run
from vista_sim.tasks.endings import CRASH

Floats = NDArray[np.float64]
Color = tuple[int, int, int]

#: RGB of the runs; orange and blue differ for everyone.
COLORS: tuple[Color, ...] = (
    (255, 150, 50),
    (60, 160, 255),
    (80, 200, 120),
    (200, 110, 255),
    (255, 90, 110),
    (230, 210, 70),
)
PAUSE = 0.5  # s between episodes
MAX_STEPS = 60_000  # shown in all unless episodes are asked for
NEEDED = ("episode", "step", "t", "x", "y", "yaw")


@dataclass(frozen=True, eq=False)
class ShownEpisode:
    """An episode of a run: rows of the run's steps, in order."""

    run: int
    episode: int
    rows: slice
    trace: int
    about: dict[str, Any]  # its row of the episodes; without it, what could be found out

    @property
    def count(self) -> int:
        return int(self.rows.stop - self.rows.start)


@dataclass(frozen=True, eq=False)
class Slot:
    """A stretch of the timeline, and the drives (of different runs) that are shown in it.

    start, duration: s. first_step, steps: on the timeline of steps.
    """

    start: float
    duration: float
    first_step: int
    steps: int
    drives: tuple[ShownEpisode, ...]
    title: str


@dataclass(eq=False)
class ShownRun:
    """A run as it is shown: its steps as arrays by column, sorted; x, y and t are finite."""

    index: int
    run: Run
    label: str
    color: Color
    steps: dict[str, NDArray[Any]]
    drives: list[ShownEpisode] = field(default_factory=list)

    def numbers(self, name: str, drive: ShownEpisode) -> Floats:
        """A column of a drive as float64 (n,); NaN where the run has none."""
        column = self.steps.get(name)
        if column is None or column.dtype.kind not in "fiub":
            return np.full(drive.count, np.nan)
        return np.asarray(column[drive.rows], dtype=np.float64)

    @property
    def traces(self) -> list[dict[str, Any]]:
        """What run.json says of its traces."""
        found = self.run.info.get("traces")
        return [t for t in found if isinstance(t, dict)] if isinstance(found, list) else []

    def trace_name(self, trace: int) -> str:
        known = self.traces
        return shown(known[trace].get("name", "")) if trace < len(known) else f"trace {trace}"


def open_runs(folders: Sequence[Path]) -> list[ShownRun]:
    """Read runs to show them, also some that were interrupted.

    Raises:
        RunError: one is missing, malformed or of a newer version.
    """
    runs = [read_run(folder) for folder in folders]
    names = [shown(run.policy_name) for run in runs]
    count = Counter(names)
    found = []
    for i, (run, name) in enumerate(zip(runs, names, strict=True)):
        label = name if count[name] == 1 else f"{name} ({shown(run.folder.resolve().name)})"
        one = ShownRun(i, run, label, color_of(i), _steps(run))
        one.drives = _drives(one)
        found.append(one)
    return found


def color_of(index: int) -> Color:
    """A colour for each run; those beyond the palette are spread over the hues."""
    if index < len(COLORS):
        return COLORS[index]
    r, g, b = colorsys.hsv_to_rgb((0.618 * index) % 1.0, 0.6, 0.95)
    return round(255 * r), round(255 * g), round(255 * b)


def arrange(runs: Sequence[ShownRun], wanted: str, notes: list[str]) -> list[Slot]:
    """Put the wanted episodes on the timeline.

    Args:
        runs: of the same scenarios, where there are several.
        wanted: "" for the drives alone where there are any (not the starts of a recovery test,
            not the expert's), "all", a number, or FIRST:LAST, both included.
        notes: gets a line for what is left out.

    Raises:
        RunError: no such episode.
    """
    groups: dict[tuple[Any, ...], list[ShownEpisode]] = {}
    for run in runs:
        seen: Counter[tuple[Any, ...]] = Counter()
        for drive in _wanted(run, wanted, notes):
            kind = _kind_of(run, drive)
            groups.setdefault((*kind, seen[kind]), []).append(drive)
            seen[kind] += 1
    if not groups:
        raise RunError(f"{runs[0].run.folder}: holds no step that could be shown")
    slots: list[Slot] = []
    start, first_step = 0.0, 0
    for drives in groups.values():
        if not wanted and slots and first_step + drives[0].count > MAX_STEPS:
            left = len(groups) - len(slots)
            notes.append(f"{left} more episodes are left out; --episode FIRST:LAST shows others")
            break
        duration = max(float(_times(runs[d.run], d)[-1]) for d in drives)
        steps = max(int(runs[d.run].steps["step"][d.rows][-1]) for d in drives)
        slots.append(
            Slot(start, duration, first_step, steps, tuple(drives), _title(runs, drives[0]))
        )
        start += duration + PAUSE
        first_step += steps + 1
    return slots


def moments(run: ShownRun, slot: Slot, drive: ShownEpisode) -> tuple[Floats, NDArray[np.int64]]:
    """When the steps of a drive are shown: (n,) s and (n,) steps."""
    steps = np.asarray(run.steps["step"][drive.rows], dtype=np.int64)
    return slot.start + _times(run, drive), slot.first_step + steps


def went_wrong(drive: ShownEpisode) -> bool:
    """Whether a drive ended in a crash, or because the policy failed."""
    return bool(drive.about.get("failure")) or drive.about.get("ending_kind") == CRASH


def ending_of(drive: ShownEpisode) -> str:
    """How a drive ended, in words."""
    failure, ending = drive.about.get("failure"), drive.about.get("ending")
    if failure:
        return shown(f"policy failed: {failure}")
    crash = "crash: " if went_wrong(drive) else ""
    return crash + shown(ending).replace("_", " ") if ending else "cut off"


def _times(run: ShownRun, drive: ShownEpisode) -> Floats:
    return np.asarray(run.steps["t"][drive.rows], dtype=np.float64)


def _steps(run: Run) -> dict[str, NDArray[Any]]:
    """Steps sorted by episode and step, without those that have no place or time."""
    table = columns(run.steps)
    path = run.folder / "steps.parquet"
    for name in NEEDED:
        if name not in table:
            raise RunError(f"{path}: column {name!r} is missing")
    sound = np.ones(len(table["t"]), dtype=bool)
    for name in NEEDED:
        sound &= np.abs(np.nan_to_num(table[name].astype(np.float64), nan=np.inf)) < FAR
    order = np.lexsort((table["step"], table["episode"]))
    order = order[sound[order]]
    for name in ("episode", "step"):
        table[name] = np.nan_to_num(table[name]).astype(np.int64)
    return {name: values[order] for name, values in table.items()}


def _drives(run: ShownRun) -> list[ShownEpisode]:
    known = {row["episode"]: row for row in run.run.episodes.to_pylist()}
    episodes = run.steps["episode"]
    bounds = np.flatnonzero(np.diff(episodes, prepend=episodes[:1] - 1))
    drives: list[ShownEpisode] = []
    for first, last in zip(bounds, np.append(bounds, len(episodes))[1:], strict=True):
        episode = int(episodes[first])
        # The episode that a kill cut off has no row; it went on where the last one was.
        about = known.get(episode) or {"trace": drives[-1].trace if drives else 0}
        trace = about.get("trace")
        number = trace if isinstance(trace, int) and trace >= 0 else 0
        drives.append(ShownEpisode(run.index, episode, slice(int(first), int(last)), number, about))
    return drives


def _wanted(run: ShownRun, wanted: str, notes: list[str]) -> Iterable[ShownEpisode]:
    if wanted == "all":
        return run.drives
    if wanted:
        first, last = _range(wanted)
        found = [d for d in run.drives if first <= d.episode <= last]
        if not found:
            highest = max((d.episode for d in run.drives), default=-1)
            raise RunError(
                f"{run.run.folder}: has no episode {wanted}; it has episodes 0 to {highest}"
            )
        return found
    own = [d for d in run.drives if d.about.get("driver", "policy") != "expert"]
    driven = [d for d in own if d.about.get("kind") != RECOVERY]
    chosen = driven or own or run.drives
    if left := len(run.drives) - len(chosen):
        notes.append(
            f"{run.label}: {left} episodes of the recovery test and the expert are left out; "
            "--episode all shows them"
        )
    return chosen


def _range(text: str) -> tuple[int, int]:
    parts = text.split(":")
    if len(parts) > 2 or not all(part.isascii() and part.isdigit() for part in parts):
        raise RunError(f"--episode is {text!r}; give a number, FIRST:LAST, or all")
    first, last = int(parts[0][:12]), int(parts[-1][:12])
    if last < first:
        raise RunError(f"--episode is {text!r}; LAST must not be before FIRST")
    return first, last


def _kind_of(run: ShownRun, drive: ShownEpisode) -> tuple[Any, ...]:
    """What drives of different runs must share to be shown at the same time."""
    about = drive.about
    kind = about.get("kind") or DRIVING
    start: tuple[Any, ...] = ()
    if kind == RECOVERY:
        start = tuple(about.get(k) for k in ("start_s", "start_lateral", "start_heading"))
    return (
        run.trace_name(drive.trace),
        kind,
        about.get("driver") or "policy",
        about.get("scenario"),
        about.get("case"),
        start,
    )


def _title(runs: Sequence[ShownRun], drive: ShownEpisode) -> str:
    about = drive.about
    words = [f"episode {drive.episode}"]
    if about.get("case") or about.get("scenario"):
        words.append(shown(about.get("case") or about.get("scenario")))
    elif about.get("kind") == RECOVERY:
        lateral = about.get("start_lateral")
        known = isinstance(lateral, float)
        words.append(f"recovery from {lateral:+.1f} m" if known else "recovery")
    words.append(f"on {runs[drive.run].trace_name(drive.trace)}")
    return " ".join(words)
