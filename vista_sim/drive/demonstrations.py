"""Writes what a human drove as traces, which are demonstrations: `vista-train bc`, `guided` and
`dagger` take them with --traces, and whatever else takes a trace does too.

Each episode that a human drove becomes a trace of its own. Its ego motion is that of the driven
car; its camera is the recorded one, whose frames are synthesized at the driven poses: what a camera
on the driven car would have recorded. So it has calibration, mount and size of the recording, and
both can be learned from together. Other road users, the road's edges and labels are taken over
from the recording. Where a scenario changes images or the mount of the camera, so are the frames;
each comes at its own time, though, whatever the scenario loses or delays.

What would teach wrong things is left out: the last seconds before a crash, and frames of which too
little was really seen, which leave a gap that is not driven and not learned from.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vista_sim.drive.episode_trace import (
    NEEDED,
    Columns,
    DrivenEpisode,
    NothingSeenError,
    arc_lengths,
    write_episode,
)
from vista_sim.drive.log import HUMAN
from vista_sim.errors import RunError
from vista_sim.evaluation.metrics.tables import select
from vista_sim.evaluation.suites.run_folder import read_cases
from vista_sim.geometry.identity import is_recording
from vista_sim.runs.run import Run, columns, read_run
from vista_sim.tasks.endings import CRASH
from vista_sim.traces.trace import Trace

MIN_VALIDITY = 0.6
BEFORE_CRASH = 2.0  # s
SHORTEST, LEAST = 2.0, 5.0  # s and m; an episode below either is no demonstration


@dataclass(frozen=True)
class Rules:
    """What of a drive is a demonstration.

    Args:
        min_validity: share of a frame's pixels that a recorded frame must have seen.
        before_crash: s before a crash that are left out.
        driver: whose episodes are written: "human" or "policy".
    """

    min_validity: float = MIN_VALIDITY
    before_crash: float = BEFORE_CRASH
    driver: str = HUMAN


@dataclass(frozen=True)
class Demonstration:
    """A trace that was written.

    Args:
        folder: of the trace.
        seconds, metres: that it lasts.
        frames: of its camera.
        left_out: frames of which too little was seen.
    """

    folder: Path
    seconds: float
    metres: float
    frames: int
    left_out: int

    @property
    def line(self) -> str:
        """What was written, in a line."""
        missing = f", {self.left_out} left out" if self.left_out else ""
        written = f"{self.seconds:.1f} s, {self.metres:.0f} m, {self.frames} frames{missing}"
        return f"{self.folder}: {written}"


def write_demonstrations(
    run: Run | Path,
    destination: Path,
    rules: Rules | None = None,
    progress: Callable[[float, float], None] | None = None,
) -> tuple[Demonstration, ...]:
    """Write the episodes of a run that a human drove as traces in a folder.

    Args:
        run: that was driven, or its folder.
        destination: gets a trace folder for each episode, named after run and episode.
        rules: what is left out.
        progress: called with steps done and steps in all.

    Raises:
        RunError, TraceError: run or trace cannot be read, or what is written is there already.
    """
    run = run if isinstance(run, Run) else read_run(run)
    rules = rules or Rules()
    picked = list(_episodes(run, rules))
    cases = read_cases(run.folder)
    for episode, _ in picked:
        folder = destination / _name(run, int(episode["episode"]))
        if folder.exists():
            raise RunError(f"{folder}: is there already; choose another folder")
    total = sum(len(steps["t"]) for _, steps in picked)
    done = 0
    written = []
    for episode, steps in picked:
        number = int(episode["episode"])

        def told(step: int, before: int = done) -> None:
            if progress is not None:
                progress(before + step, max(1, total))

        drive = DrivenEpisode(
            _trace_of(run, episode),
            steps,
            cases.get(episode["case"]),
            {"driver": rules.driver, "run": run.folder.resolve().name, "episode": number},
        )
        folder = destination / _name(run, number)
        with suppress(NothingSeenError):  # then nothing is written of it
            left_out, frames = write_episode(drive, folder, rules.min_validity, told)
            seconds, metres = float(drive.t[-1]), float(drive.arc[-1])
            written.append(Demonstration(folder, seconds, metres, frames, left_out))
        done += len(steps["t"])
    return tuple(written)


def check_destination(destination: Path, run: Path) -> None:
    """Whether demonstrations of a run may be written to a folder, before it was driven.

    Raises:
        RunError: demonstrations of a run of that name are there, or nobody may write there.
    """
    if destination.exists() and not destination.is_dir():
        raise RunError(f"{destination}: is a file; name a folder for demonstrations")
    name = _name_of(run)
    for folder in sorted(destination.glob("*")):
        if re.fullmatch(re.escape(name) + r"-\d{3,}", folder.name):
            raise RunError(
                f"{folder}: is there already, of another run {name}; choose another folder"
            )
    there = next(
        place for place in (destination, *destination.absolute().parents) if place.exists()
    )
    if not (there.is_dir() and os.access(there, os.W_OK | os.X_OK)):
        raise RunError(f"{destination}: cannot be written (nothing may be written in {there})")


def _episodes(run: Run, rules: Rules) -> Iterator[tuple[dict[str, Any], Columns]]:
    """Episodes with their steps that are long enough."""
    steps = columns(run.steps)
    for episode in run.episodes.to_pylist():
        if episode["driver"] != rules.driver:
            continue
        own = select(steps, steps["episode"] == episode["episode"])
        own = select(own, np.argsort(own["step"], kind="stable"))
        if episode["ending_kind"] == CRASH and len(own["t"]):
            own = select(own, own["t"] <= own["t"][-1] - rules.before_crash)
        if len(own["t"]) < 2 or own["t"][-1] - own["t"][0] < SHORTEST:
            continue
        for name in NEEDED:
            if not np.isfinite(np.asarray(own[name], dtype=np.float64)).all():
                raise RunError(
                    f"{run.folder / 'steps.parquet'}: episode {episode['episode']}: {name} is not "
                    "finite everywhere"
                )
        if (np.diff(own["t"]) <= 0.0).any():
            raise RunError(
                f"{run.folder / 'steps.parquet'}: episode {episode['episode']}: t must increase"
            )
        if arc_lengths(own)[-1] >= LEAST:
            yield episode, own


def _name_of(run: Path) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", run.resolve().name).strip(".-") or "drive"


def _name(run: Run, episode: int) -> str:
    return f"{_name_of(run.folder)}-{episode:03d}"


def _trace_of(run: Run, episode: dict[str, Any]) -> Trace:
    traces = run.info.get("traces")
    index = episode["trace"]
    try:
        told = traces[index]  # type: ignore[index]
        trace = Trace.open(told["path"])
        if not is_recording(trace, told):
            raise RunError(
                f"{trace.root}: the recording has changed since {run.folder} was driven on it; "
                "put back what it was"
            )
        return trace
    except (TypeError, KeyError, IndexError):
        raise RunError(
            f"{run.folder / 'run.json'}: traces do not say where trace {index} is"
        ) from None
