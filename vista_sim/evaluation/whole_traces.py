"""Drives whole traces with a policy, with set-backs after crashes, and tests recovery."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vista_sim.errors import TraceError
from vista_sim.evaluation import closed_loop
from vista_sim.evaluation.metrics import Table, select, summarize
from vista_sim.evaluation.recovery import try_recovery
from vista_sim.evaluation.report import Progress, Report
from vista_sim.geometry.identity import describe_traces
from vista_sim.policies import Policy
from vista_sim.policies.identity import PolicyIdentity
from vista_sim.policies.policy import policy_sensors
from vista_sim.policies.reference import ReferenceDriver
from vista_sim.policies.saliency import SaliencySource
from vista_sim.runs.filming import Filming, Films, ViewRecorder
from vista_sim.runs.kinds import DRIVING
from vista_sim.runs.recorder import Recorder
from vista_sim.runs.roads import road_table
from vista_sim.runs.run import columns
from vista_sim.runs.writer import RunWriter
from vista_sim.scenarios.places import RecoveryTest, draw_places
from vista_sim.sensors.pool import CameraMaker
from vista_sim.tasks.task import GivenEndings, GivenRewards, Task
from vista_sim.traces.trace import Trace
from vista_sim.world import TracePaths, World

START_COST = 15  # m that a start of the recovery test counts as in progress


@dataclass(frozen=True)
class TraceSettings:
    """What `evaluate` takes that goes with plain traces alone; see there."""

    seed: int = 0
    recovery: bool | RecoveryTest = True
    section: tuple[float, float] | None = None
    dt: float = 0.1
    endings: GivenEndings | None = None
    recorded_camera: str | None = None
    cameras: CameraMaker | None = None
    task: Task | str | None = None
    rewards: GivenRewards | None = None


def evaluate_traces(
    driver: Policy,
    name: str,
    identity: PolicyIdentity,
    traces: TracePaths,
    out: str | os.PathLike[str] | None,
    settings: TraceSettings,
    filming: Filming | None,
    progress: Progress | None,
    overwrite: bool,
) -> Report:
    """Judge a policy on plain traces; see `evaluate`.

    Args:
        driver, name, identity: the policy, what it is called, and by what it is known.
        filming: what is filmed; None: nothing.
    """
    started = perf_counter()
    world = World(
        traces,
        dt=settings.dt,
        task=settings.task,
        endings=settings.endings,
        rewards=settings.rewards,
        section=settings.section,
        recorded_camera=settings.recorded_camera,
        cameras=settings.cameras,
    )
    car, expert_car = world.spawn_agent(), world.spawn_agent()
    for key, spec in policy_sensors(driver).items():
        car.spawn_sensor(key, spec)
    recovery, section = settings.recovery, settings.section
    test = recovery if isinstance(recovery, RecoveryTest) else RecoveryTest()
    places = draw_places(world, test, settings.seed) if recovery else ()
    starts = len(places) * len(test.laterals) * len(test.headings)
    meter = _Meter(progress, world, starts)

    if filming is not None and out is not None:
        for index in range(len(world.traces)):
            world.cameras.recorded_name(index)  # what cannot be filmed leaves no run behind

    writer = RunWriter(
        out,
        {
            "what": "evaluation in closed loop" + (" and recovery test" if recovery else ""),
            "policy": {"name": name, **identity.to_json()},
            "traces": describe_traces(world.traces),
            "seed": settings.seed,
            "dt": settings.dt,
            "views": world.cameras.views,
            "section": None if section is None else _within(section, world.traces),
        },
        reward_terms=world.task.terms,
        overwrite=overwrite,
        roads=None if out is None else road_table(world.traces),
    )
    with writer:
        recorder = Recorder(writer)
        looks = SaliencySource.of(driver)
        for index in range(len(world.traces)):
            with _film(writer, world, index, filming, looks) as film:
                closed_loop.drive_trace(
                    driver, car, index, recorder, film=film, driven=meter.driven
                )
            meter.finished(index)
        recovered = None
        if recovery:
            expert = ReferenceDriver()
            recovered = try_recovery(
                driver, car, expert, expert_car, recorder, test, places, meter.tried
            )
        episodes, steps = columns(writer.episodes.table()), columns(writer.steps.table())
        metrics, by_trace = _judge(world, episodes, steps)
        seconds = perf_counter() - started
        if describe_traces(world.traces) != writer.info["traces"]:
            raise TraceError(
                f"{writer.folder or name}: a recording or its baked geometry has changed while it "
                "was driven on; evaluate again"
            )
        report = Report(name, metrics, by_trace, recovered, writer.folder, seconds)
        writer.finish({k: v for k, v in report.to_json().items() if k not in ("out", "seconds")})
    return report


def _within(section: tuple[float, float], traces: Sequence[Trace]) -> list[float]:
    """Seconds from, to, as JSON can say them: an open end is that of the longest trace."""
    start, end = section
    return [start, end if math.isfinite(end) else max(trace.duration for trace in traces)]


def _film(
    writer: RunWriter,
    world: World,
    trace: int,
    filming: Filming | None,
    looks: SaliencySource | None,
) -> AbstractContextManager[ViewRecorder | None]:
    if writer.views is None or filming is None or not world.sections[trace]:
        return nullcontext()
    name = f"{trace:02d}-{world.traces[trace].name}"
    return Films(writer.views, filming).of(world, trace, name, writer.frames, looks)


def _judge(
    world: World, episodes: Table, steps: Table
) -> tuple[dict[str, float], tuple[dict[str, Any], ...]]:
    """Metrics of closed-loop driving over all traces, and of each."""
    looped = select(episodes, episodes["kind"] == DRIVING)
    traces = []
    for index, trace in enumerate(world.traces):
        own = select(looped, looped["trace"] == index)
        values = summarize(_steps_of(steps, own), own)
        traces.append({"trace": str(trace.root), "name": trace.name, **values})
    return summarize(_steps_of(steps, looped), looped), tuple(traces)


def _steps_of(steps: Table, episodes: Table) -> dict[str, NDArray[Any]]:
    return select(steps, np.isin(steps["episode"], episodes["episode"]))


class _Meter:
    """Adds up progress over traces and recovery starts, in metres."""

    def __init__(self, progress: Progress | None, world: World, starts: int) -> None:
        self._progress = progress
        self._lengths: Sequence[float] = [sum(s.length for s in x) for x in world.sections]
        self._road = 0.0
        self._total = max(1, round(sum(self._lengths)) + starts * START_COST)

    def driven(self, metres: float) -> None:
        self._report(self._road + metres)

    def finished(self, trace: int) -> None:
        self._road += self._lengths[trace]
        self._report(self._road)

    def tried(self, starts: int) -> None:
        self._report(self._road + starts * START_COST)

    def _report(self, done: float) -> None:
        if self._progress is not None:
            self._progress(min(round(done), self._total), self._total)
