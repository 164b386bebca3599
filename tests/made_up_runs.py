"""Tables of runs that were never driven: drives of some traces, and starts of a recovery test."""

import dataclasses

import numpy as np

from vista_sim.runs.writer import RunWriter


@dataclasses.dataclass(frozen=True)
class Drive:
    """A case of closed-loop driving: its episodes' endings and how far from the path it was."""

    endings: tuple = ("end_of_trace",)
    lateral: float = 0.1
    steps: int = 12
    trace: int = 0
    scenario: str | None = None
    case: str | None = None
    weight: float | None = None
    failure: str | None = None
    validity: float | None = None


@dataclasses.dataclass(frozen=True)
class Start:
    """A start of the recovery test, tried by the expert too."""

    s: float
    lateral: float = 0.5
    recovered: bool = True
    seconds: float = 2.0
    trace: int = 0
    scenario: str | None = None
    case: str | None = None
    weight: float | None = None


def rows_of(things, seed=0):
    """Episodes and steps as rows."""
    rng = np.random.default_rng(seed)
    episodes, steps = [], []
    for thing in things:
        if isinstance(thing, Drive):
            _drive(thing, episodes, steps, rng)
        else:
            for driver in ("expert", "policy"):
                _start(thing, driver, episodes, steps)
    return episodes, steps


def write(folder, things, seed=0, finish=True, **info):
    """A run on disk."""
    road = {"path": "/roads/0", "name": "road 0", "recording": "0" * 64, "geometry": None}
    settings = {"seed": 0, "dt": 0.1, "views": "synthesized", "section": None, "traces": [road]}
    info = settings | info
    episodes, steps = rows_of(things, seed)
    writer = RunWriter(folder, info)
    for row in episodes:
        writer.episodes.append(row)
    for row in steps:
        writer.steps.append(row)
    writer.flush()
    if finish:
        writer.finish({})
    return folder


def _common(thing, episode, kind, driver):
    return {
        "episode": episode,
        "kind": kind,
        "driver": driver,
        "trace": thing.trace,
        "trace_name": f"road {thing.trace}",
        "scenario": thing.scenario,
        "case": thing.case,
        "weight": thing.weight,
        "section_start_s": 0.0,
        "section_end_s": 100.0,
    }


def _drive(drive, episodes, steps, rng):
    """Sets out at 0 m, and 10 m further after each crash; the last episode reaches 100 m."""
    at = 0.0
    for i, ending in enumerate(drive.endings):
        episode = len(episodes)
        last = i == len(drive.endings) - 1
        end = 100.0 if last and ending == "end_of_trace" else at + 90.0 / len(drive.endings) - 10.0
        s = np.linspace(at, end, drive.steps)
        lateral = drive.lateral * (1 + 0.2 * rng.standard_normal(drive.steps))
        for k in range(drive.steps):
            steps.append(
                {
                    "episode": episode,
                    "step": k,
                    "t": 0.1 * k,
                    "s": s[k],
                    "lateral": lateral[k],
                    "heading_error": 0.1 * lateral[k],
                    "x": s[k],
                    "y": lateral[k],
                    "yaw": 0.1 * lateral[k],
                    "speed": 8.0,
                    "tire_angle": 0.05 * lateral[k],
                    "curvature": 0.02 * lateral[k],
                    "validity": drive.validity,
                }
            )
        row = _common(drive, episode, "closed_loop", "policy")
        row |= {"start_s": at, "start_lateral": 0.0, "start_heading": 0.0, "end_s": end}
        row |= {"distance": end - at, "ending": ending, "failure": drive.failure}
        episodes.append(row)
        at = end + 10.0


def _start(start, driver, episodes, steps):
    recovered = start.recovered or driver == "expert"
    episode = len(episodes)
    row = _common(start, episode, "recovery", driver)
    row |= {"start_s": start.s, "start_lateral": start.lateral, "start_heading": 0.0}
    row |= {"end_s": start.s + 10.0, "distance": 10.0, "recovered": recovered}
    row["ending"] = "recovered" if recovered else "not_recovered"
    row["recovery_time"] = start.seconds if recovered else None
    episodes.append(row)
    steps.append({"episode": episode, "step": 0, "t": 0.0, "s": start.s, "lateral": start.lateral})
