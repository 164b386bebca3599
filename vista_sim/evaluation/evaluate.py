"""Judges a policy in closed loop: on a suite, or on plain traces with the recovery test."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vista_sim.errors import RunError
from vista_sim.evaluation import closed_loop
from vista_sim.evaluation.metrics import Table, select, summarize
from vista_sim.evaluation.recorder import Recorder
from vista_sim.evaluation.recovery import Recovery, RecoveryTest, draw_places, try_recovery
from vista_sim.evaluation.reference import ReferenceDriver
from vista_sim.evaluation.runs import RunWriter, columns
from vista_sim.policies import Policy, load_policy, policy_hash
from vista_sim.policies.policy import check_policy
from vista_sim.replay.video import Film, film_view
from vista_sim.sensors.pool import CameraMaker
from vista_sim.tasks.lane_following import Endings, LaneFollowing, Rewards
from vista_sim.world import TracePaths, World

if TYPE_CHECKING:
    from vista_sim.evaluation.suites.run import Score, SuiteResult
    from vista_sim.scenarios.suite import Suite

#: Called with work done and work in all, in metres to drive.
Progress = Callable[[int, int], None]
START_COST = 15  # m that a start of the recovery test counts as in progress


@dataclass(frozen=True)
class Report:
    """What an evaluation found.

    Args:
        policy: name or folder of the policy.
        metrics: of all traces or scenarios together, by name (see `metrics.measures`).
        traces: for each trace "trace" (its folder), "name", and its own metrics; of a suite none.
        recovery: outcome of the recovery test; None if it was left out, and of a suite.
        out: the run folder; None if nothing was written.
        seconds: wall time.
        suite: of a suite what it came to; None for plain traces.
    """

    policy: str
    metrics: Mapping[str, float]
    traces: tuple[Mapping[str, Any], ...]
    recovery: Recovery | None
    out: Path | None
    seconds: float
    suite: SuiteResult | None = None

    @property
    def passed(self) -> bool | None:
        """Whether the suite is passed; None for plain traces, which ask for nothing."""
        return None if self.suite is None else self.suite.passed

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values; what was not measured is null."""
        if self.suite is not None:
            return {
                "policy": self.policy,
                **self.suite.to_json(),
                "cost": dict(self.suite.cost),
                "out": None if self.out is None else str(self.out),
                "seconds": round(self.seconds, 3),
            }
        return {
            "policy": self.policy,
            "metrics": _plain(self.metrics),
            "traces": [_plain(trace) for trace in self.traces],
            "recovery": None if self.recovery is None else self.recovery.to_json(),
            "out": None if self.out is None else str(self.out),
            "seconds": round(self.seconds, 3),
        }


def evaluate(
    policy: Policy | str | os.PathLike[str],
    suite: TracePaths | Suite,
    out: str | os.PathLike[str] | None = None,
    seed: int = 0,
    recovery: bool | RecoveryTest = True,
    video: bool | None = None,
    section: tuple[float, float] | None = None,
    progress: Progress | None = None,
    *,
    dt: float = 0.1,
    endings: Endings | None = None,
    overwrite: bool = False,
    recorded_camera: str | None = None,
    video_frames: int = 1200,
    cameras: CameraMaker | None = None,
    workers: int | None = None,
    step_timeout: float | None = None,
    resume: bool = False,
    watch: Callable[[Score], None] | None = None,
) -> Report:
    """Judge a policy on a suite, or on plain traces.

    On a suite, a policy that raises, dies, answers with NaN, or takes longer than `step_timeout`
    for a step costs only the case that it drives. 1 worker and many give the same tables, and so
    does a run that was ended and resumed. On plain traces, what a policy raises is raised.

    Args:
        policy: a policy, or what `load_policy` takes: a folder, an ONNX file, "module:factory",
            "socket:ADDRESS", or "expert" for the privileged reference.
        suite: a suite or scenario file, the name of one that is installed ("lane-following"), or
            a suite that was read; or plain traces: the folder of one, or a list.
        out: run folder to write; None writes nothing.
        seed: draws where recovery is tested (traces alone).
        recovery: whether to test recovery, or how (traces alone).
        video: whether to film each trace or case (into `out`); None: traces, and the cases of a
            suite of few.
        section: (start, end) in s of each trace that is driven (traces alone).
        progress: called with (done, total) as it goes.
        dt: step, s (traces alone).
        endings: when the car has crashed; None: 2 m from the path, or 18 degrees off it (traces
            alone).
        overwrite: replace a run at `out`.
        recorded_camera: see `World` (traces alone).
        video_frames: at most so many frames a trace are filmed (traces alone).
        cameras: see `World`; None: views are synthesized (traces alone).
        workers: processes that drive (a suite alone); 0: this one, in which a policy that does not
            come back to the interpreter cannot be stopped; None: 1, or 0 if the policy is given
            as an object.
        step_timeout: s that the policy may take for a step (a suite alone); None: 10.
        resume: go on with the run at `out`, if there is one (a suite alone).
        watch: called with the running score (a suite alone).

    Raises:
        ScenarioError, TraceError, PolicyError, WorldError, RunError: something given cannot be
            used.
    """
    from vista_sim.scenarios.suite import Suite, load_suite

    started = perf_counter()
    of_traces = {
        "seed": seed != 0,
        "recovery": recovery is not True,
        "section": section is not None,
        "dt": dt != 0.1,
        "endings": endings is not None,
        "recorded_camera": recorded_camera is not None,
        "video_frames": video_frames != 1200,
        "cameras": cameras is not None,
    }
    of_suites = {
        "workers": workers is not None,
        "step_timeout": step_timeout is not None,
        "resume": resume,
        "watch": watch is not None,
    }
    if isinstance(suite, str | os.PathLike) and not Path(suite).is_dir():
        suite = load_suite(suite)
    if isinstance(suite, Suite):
        _refuse(of_traces, "plain traces; a suite's files say how it is driven")
        folder = None if out is None else Path(out)
        result = _on_suite(
            policy, suite, folder, video, progress, overwrite, workers, step_timeout, resume, watch
        )
        metrics = {name: found.value for name, found in result.judgement.overall.metrics.items()}
        seconds = perf_counter() - started
        return Report(result.policy, metrics, (), None, folder, seconds, result)
    _refuse(of_suites, "a suite")
    return _on_traces(
        policy,
        suite,
        out,
        seed,
        recovery,
        video is not False,
        section,
        progress,
        dt,
        endings,
        overwrite,
        recorded_camera,
        video_frames,
        cameras,
    )


def _refuse(given: Mapping[str, bool], owner: str) -> None:
    for name, there in given.items():
        if there:
            raise RunError(f"{name} is given, which goes with {owner}")


def _on_suite(
    policy: Policy | str | os.PathLike[str],
    suite: Suite,
    out: Path | None,
    video: bool | None,
    progress: Progress | None,
    overwrite: bool,
    workers: int | None,
    step_timeout: float | None,
    resume: bool,
    watch: Callable[[Score], None] | None,
) -> SuiteResult:
    from vista_sim.evaluation.suites.run import STEP_TIMEOUT, evaluate_suite

    def tell(score: Score) -> None:
        if progress is not None:
            progress(round(score.done), max(1, round(score.total)))
        if watch is not None:
            watch(score)

    return evaluate_suite(
        os.fspath(policy) if isinstance(policy, str | os.PathLike) else _load(policy)[0],
        _name(policy),
        suite,
        out,
        workers=workers,
        step_timeout=STEP_TIMEOUT if step_timeout is None else step_timeout,
        resume=resume,
        video=video,
        overwrite=overwrite,
        watch=tell,
    )


def _on_traces(
    policy: Policy | str | os.PathLike[str],
    traces: TracePaths,
    out: str | os.PathLike[str] | None,
    seed: int,
    recovery: bool | RecoveryTest,
    video: bool,
    section: tuple[float, float] | None,
    progress: Progress | None,
    dt: float,
    endings: Endings | None,
    overwrite: bool,
    recorded_camera: str | None,
    video_frames: int,
    cameras: CameraMaker | None,
) -> Report:
    """Drive whole traces, with set-backs after crashes, and test recovery; see `evaluate`."""
    started = perf_counter()
    driver, name = _load(policy)
    world = World(
        traces,
        dt=dt,
        task=LaneFollowing(endings or Endings()),
        section=section,
        recorded_camera=recorded_camera,
        cameras=cameras,
    )
    car, expert_car = world.spawn_agent(), world.spawn_agent()
    if driver.camera is not None:
        spec = driver.camera
        car.spawn_camera("camera", spec.size, spec.fov, spec.mount, spec.lens)
    test = recovery if isinstance(recovery, RecoveryTest) else RecoveryTest()
    places = draw_places(world, test, seed) if recovery else ()
    starts = len(places) * len(test.laterals) * len(test.headings)
    meter = _Meter(progress, world, starts)

    if video and out is not None:
        for index in range(len(world.traces)):
            world.cameras.recorded_name(index)  # what cannot be filmed leaves no run behind

    writer = RunWriter(
        out,
        {
            "what": "evaluation in closed loop" + (" and recovery test" if recovery else ""),
            "policy": {"name": name, "sha256": policy_hash(policy)},
            "traces": [{"path": str(t.root), "name": t.name} for t in world.traces],
            "seed": seed,
            "dt": dt,
            "views": world.cameras.views,
            "section": None if section is None else list(section),
        },
        reward_terms=tuple(vars(Rewards())),
        overwrite=overwrite,
    )
    with writer:
        recorder = Recorder(writer)
        for index in range(len(world.traces)):
            with _film(writer, world, index, dt, video, video_frames) as film:
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
        report = Report(name, metrics, by_trace, recovered, writer.folder, seconds)
        writer.finish({k: v for k, v in report.to_json().items() if k not in ("out", "seconds")})
    return report


def _name(policy: Policy | str | os.PathLike[str]) -> str:
    return os.fspath(policy) if isinstance(policy, str | os.PathLike) else type(policy).__name__


def _load(policy: Policy | str | os.PathLike[str]) -> tuple[Policy, str]:
    if isinstance(policy, str | os.PathLike):
        return load_policy(policy), _name(policy)
    check_policy(policy, "policy is")
    return policy, _name(policy)


def _film(
    writer: RunWriter, world: World, trace: int, dt: float, wanted: bool, frames: int
) -> Film | nullcontext[None]:
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", world.traces[trace].name)
    path = writer.view_path(f"{trace:02d}-{name}")
    if path is None or not wanted or not world.sections[trace]:
        return nullcontext()
    recorded = world.traces[trace].cameras[world.cameras.recorded_name(trace)]
    return Film(path, film_view(recorded.calibration.lens.size), 1 / dt, max_frames=frames)


def _judge(
    world: World, episodes: Table, steps: Table
) -> tuple[dict[str, float], tuple[dict[str, Any], ...]]:
    """Metrics of closed-loop driving over all traces, and of each."""
    looped = select(episodes, episodes["kind"] == closed_loop.KIND)
    traces = []
    for index, trace in enumerate(world.traces):
        own = select(looped, looped["trace"] == index)
        values = summarize(_steps_of(steps, own), own)
        traces.append({"trace": str(trace.root), "name": trace.name, **values})
    return summarize(_steps_of(steps, looped), looped), tuple(traces)


def _steps_of(steps: Table, episodes: Table) -> dict[str, NDArray[Any]]:
    return select(steps, np.isin(steps["episode"], episodes["episode"]))


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """NaN is not JSON."""
    return {
        name: None if isinstance(value, float) and math.isnan(value) else value
        for name, value in values.items()
    }


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
