"""Time series: steering of policy and human, speed, cross-track error, reward, pixels seen."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vista_sim.replay.viewer.drives import (
    Color,
    ShownEpisode,
    ShownRun,
    Slot,
    color_of,
    ending_of,
    moments,
    went_wrong,
)
from vista_sim.replay.viewer.recording import Recording, shown
from vista_sim.replay.viewer.roads import Roads

Floats = NDArray[np.float64]

PLOTS, EPISODES, LOG = "plots", "episodes", "log"
STEERING, SPEED, CROSS_TRACK, REWARD, SEEN = (
    "steering",
    "speed",
    "cross_track_error",
    "reward",
    "pixels_seen",
)
HUMAN: Color = (150, 155, 165)
REWARD_PREFIX = "reward_"
MAX_TERMS = 24
LEGEND = (
    "over the views: glowing where the policy looked (what its steering depended on most), red",
    "where no recorded frame saw anything; tabs show each alone, or the plain view",
)
CALM: Color = (60, 140, 80)
ALARM: Color = (200, 50, 50)
LANES: tuple[Color, ...] = ((70, 74, 82), (92, 97, 107))  # of episodes, by turns


class _Series:
    """One line of a plot, gathered drive by drive; a gap between drives."""

    def __init__(self, name: str, color: Color) -> None:
        self.name = name
        self.color = color
        self.times: list[Floats] = []
        self.steps: list[NDArray[np.int64]] = []
        self.values: list[Floats] = []

    def add(self, times: Floats, steps: NDArray[np.int64], values: Floats) -> None:
        if not np.isfinite(values).any():
            return
        # A value that is no number breaks the line.
        self.times.append(np.append(times, times[-1] + 1e-3))
        self.steps.append(np.append(steps, steps[-1]))
        self.values.append(np.append(np.where(np.isfinite(values), values, np.nan), np.nan))

    def send(self, recording: Recording, path: str, width: float) -> None:
        if not self.values:
            return
        rr = recording.rr
        recording.log(path, rr.SeriesLines(names=self.name, colors=[self.color], widths=[width]))
        recording.send(
            path,
            np.concatenate(self.times),
            np.concatenate(self.steps),
            rr.Scalars.columns(scalars=np.concatenate(self.values)),
        )


def log_plots(
    recording: Recording, runs: list[ShownRun], slots: list[Slot], roads: Roads
) -> set[str]:
    """Log all time series. Returns the names of the plots that show something."""
    series: dict[tuple[str, str], _Series] = {}

    def add(
        plot: str,
        key: str,
        name: str,
        color: Color,
        at: tuple[Floats, NDArray[np.int64]],
        values: Floats,
    ) -> None:
        line = series.setdefault((plot, key), _Series(name, color))
        line.add(*at, values)

    for slot in slots:
        for place, drive in enumerate(slot.drives):
            run = runs[drive.run]
            at = moments(run, slot, drive)
            label, color, key = run.label, run.color, f"run_{run.index}"
            road = roads.road(run, drive.trace)
            if road is not None and place == 0:
                s = run.numbers("s", drive)
                add(STEERING, "human", "human (recorded)", HUMAN, at, road.at("curvature", s))
                add(SPEED, "human", "human (recorded)", HUMAN, at, road.at("speed", s))
            asked = run.numbers("action_curvature", drive)
            add(STEERING, key, label, color, at, asked)
            add(SPEED, key, label, color, at, run.numbers("speed", drive))
            add(CROSS_TRACK, key, label, color, at, run.numbers("lateral", drive))
            add(SEEN, key, label, color, at, run.numbers("validity", drive))
            for k, (term, values) in enumerate(_reward_terms(run, drive)):
                name = term if len(runs) == 1 else f"{term}: {label}"
                shade = color_of(k) if len(runs) == 1 else _shade(color, k)
                add(REWARD, f"{term} {key}", shown(name), shade, at, values)
    for (plot, key), line in series.items():
        width = 1.0 if key == "human" else 1.6
        line.send(recording, recording.path(PLOTS, plot, key), width)
    return {plot for (plot, _), line in series.items() if line.values}


def log_episodes(recording: Recording, runs: list[ShownRun], slots: list[Slot]) -> None:
    """Log when episodes begin and how they end, as coloured stretches and as lines of text."""
    rr = recording.rr
    log = recording.path(LOG)
    colors: dict[str, dict[str, Color]] = {}

    def mark(moment: tuple[float, int], lane: str, state: str, color: Color) -> None:
        path = recording.path(EPISODES, lane)
        recording.log_at(moment, path, rr.StateChange(state=state))
        colors.setdefault(path, {})[state] = color

    for number, slot in enumerate(slots):
        moment = (slot.start, slot.first_step)
        mark(moment, "episode", slot.title, LANES[number % len(LANES)])
        recording.log_at(moment, log, rr.TextLog(f"{slot.title} begins", level="INFO"))
        driving = {drive.run: drive for drive in slot.drives}
        for run in runs:
            drive, lane = driving.get(run.index), f"run_{run.index}"
            if drive is None:
                mark(moment, lane, f"{run.label}: not driven", LANES[0])
                continue
            mark(moment, lane, f"{run.label}: driving", run.color)
            times, steps = moments(run, slot, drive)
            end, text = (float(times[-1]), int(steps[-1])), ending_of(drive)
            wrong = went_wrong(drive)
            mark(end, lane, f"{run.label}: {text}", ALARM if wrong else CALM)
            s = run.numbers("s", drive)[-1]
            line = f"{run.label}: {text} after {times[-1] - slot.start:.1f} s at {s:.1f} m"
            recording.log_at(end, log, rr.TextLog(line, level="WARN" if wrong else "INFO"))
    for path, own in colors.items():
        recording.log(path, rr.StateConfiguration(values=list(own), colors=list(own.values())))


def log_about(recording: Recording, runs: list[ShownRun], slots: list[Slot]) -> None:
    """Log a page that says what is shown, in which colours, and what is left out."""
    lines = []
    for run in runs:
        info = run.run.info
        names = ", ".join(shown(t.get("name", "")) for t in run.traces[:8]) or "unknown"
        lines.append(f"{run.label}: {shown(info.get('what', 'run'))}")
        lines.append(f"  traces: {names}")
        lines.append(f"  status: {shown(info.get('status', 'unknown'))}")
        lines.append(f"  colour: #{''.join(f'{c:02x}' for c in run.color)}")
    lines.append(f"episodes shown: {len(slots)}")
    lines += ["", *LEGEND]
    if recording.notes:
        lines += ["", "left out:", *(f"- {note}" for note in recording.notes)]
    text = "\n".join(lines)
    recording.log(recording.path("about"), recording.rr.TextDocument(text, media_type="text/plain"))


def _reward_terms(run: ShownRun, drive: ShownEpisode) -> list[tuple[str, Floats]]:
    names = [n for n in run.steps if n.startswith(REWARD_PREFIX)][:MAX_TERMS]
    found = [(n[len(REWARD_PREFIX) :], run.numbers(n, drive)) for n in names]
    if len(found) != 1:
        found.insert(0, ("all", run.numbers("reward", drive)))
    return found


def _shade(color: Color, index: int) -> Color:
    """The colour of a run for its reward terms: the first as it is, then lighter and darker."""
    if index == 0:
        return color
    toward = (255, 255, 255) if index % 2 else (40, 40, 40)
    share = min(0.75, 0.25 + 0.15 * index)
    r, g, b = (round((1 - share) * c + share * t) for c, t in zip(color, toward, strict=True))
    return r, g, b
