"""Judges a policy in closed loop: on a suite, or on plain traces with the recovery test."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from time import perf_counter

from vista_sim.errors import RunError
from vista_sim.evaluation.report import Progress, Report
from vista_sim.evaluation.suites.result import Score, SuiteResult
from vista_sim.evaluation.suites.run import STEP_TIMEOUT, evaluate_suite
from vista_sim.evaluation.whole_traces import TraceSettings, evaluate_traces
from vista_sim.policies import Policy
from vista_sim.policies.identity import PolicyIdentity, identify_policy, load_identified
from vista_sim.policies.policy import check_policy
from vista_sim.runs.filming import Filming, chosen
from vista_sim.scenarios.library import find_drive
from vista_sim.scenarios.places import RecoveryTest
from vista_sim.scenarios.suite import Suite, load_suite
from vista_sim.sensors.pool import CameraMaker
from vista_sim.tasks.task import GivenEndings, GivenRewards, Task
from vista_sim.world import TracePaths

__all__ = ["Progress", "Report", "evaluate"]


def evaluate(
    policy: Policy | str | os.PathLike[str],
    suite: TracePaths | Suite,
    out: str | os.PathLike[str] | None = None,
    seed: int = 0,
    recovery: bool | RecoveryTest = True,
    video: bool | Filming | None = None,
    section: tuple[float, float] | None = None,
    progress: Progress | None = None,
    *,
    dt: float = 0.1,
    endings: GivenEndings | None = None,
    overwrite: bool = False,
    recorded_camera: str | None = None,
    cameras: CameraMaker | None = None,
    workers: int | None = None,
    step_timeout: float | None = None,
    resume: bool = False,
    same_policy: bool = False,
    watch: Callable[[Score], None] | None = None,
    task: Task | str | None = None,
    rewards: GivenRewards | None = None,
) -> Report:
    """Judge a policy on a suite, or on plain traces.

    On a suite, a policy that raises, dies, answers with NaN, or takes longer than `step_timeout`
    for a step costs only the case that it drives. 1 worker and many give the same tables, and so
    does a run that was ended and resumed. On plain traces, what a policy raises is raised.

    Args:
        policy: a policy, or what `load_policy` takes: a folder, an ONNX file, "module:factory",
            "socket:ADDRESS", or "expert" for the privileged reference.
        suite: a suite or scenario file, the name of one that is installed ("lane-following"), or
            a suite that was read; or plain traces: one (a folder, or the name of a sample), or a
            list.
        out: run folder to write; None writes nothing.
        seed: draws where recovery is tested (traces alone).
        recovery: whether to test recovery, or how (traces alone).
        video: whether to film each trace or case (into `out`), or what is filmed of it; None:
            traces, and the cases of a suite of few.
        section: (start, end) in s of each trace that is driven (traces alone).
        progress: called with (done, total) as it goes.
        dt: step, s (traces alone).
        endings: when an episode is over, see `World`; None: 2 m from the path, or 18 degrees off
            it, the car has crashed (traces alone).
        overwrite: replace a run at `out`.
        recorded_camera: see `World` (traces alone).
        cameras: see `World`; None: views are synthesized (traces alone).
        workers: processes that drive (a suite alone); 0: this one, in which a policy that does not
            come back to the interpreter cannot be stopped; None: 1, or 0 if the policy is given
            as an object.
        step_timeout: s that the policy may take for a step (a suite alone); None: 10.
        resume: go on with the run at `out`, if there is one (a suite alone).
        same_policy: with `resume`, take what cannot be known of the policy (what a factory reads,
            what is served at a socket) as what it was (a suite alone).
        watch: called with the running score (a suite alone).
        task, rewards: what is asked of the car, see `World`; None: lane following (traces alone).

    Raises:
        ScenarioError, TraceError, PolicyError, WorldError, RunError: something given cannot be
            used.
    """
    started = perf_counter()
    of_traces = TraceSettings(
        seed, recovery, section, dt, endings, recorded_camera, cameras, task, rewards
    )
    of_suites = _SuiteSettings(workers, step_timeout, resume, same_policy, watch)
    if isinstance(suite, str | os.PathLike):
        suite = find_drive(suite) or load_suite(suite)
    if isinstance(suite, Suite):
        refuse(_changed(of_traces), "plain traces; a suite's files say how it is driven")
        folder = None if out is None else Path(out)
        result = _on_suite(policy, suite, folder, video, progress, overwrite, of_suites)
        metrics = {name: found.value for name, found in result.judgement.overall.metrics.items()}
        seconds = perf_counter() - started
        return Report(result.policy, metrics, (), None, folder, seconds, result)
    refuse(_changed(of_suites), "a suite")
    driver, identity = _load(policy)
    return evaluate_traces(
        driver,
        _name(policy),
        identity,
        suite,
        out,
        of_traces,
        chosen(True if video is None else video),
        progress,
        overwrite,
    )


@dataclass(frozen=True)
class _SuiteSettings:
    """What `evaluate` takes that goes with a suite alone; see there."""

    workers: int | None = None
    step_timeout: float | None = None
    resume: bool = False
    same_policy: bool = False
    watch: Callable[[Score], None] | None = None


def _changed(settings: TraceSettings | _SuiteSettings) -> dict[str, bool]:
    """Whether each setting is other than where nothing is given."""
    return {
        field.name: getattr(settings, field.name) != field.default for field in fields(settings)
    }


def refuse(given: Mapping[str, bool], owner: str) -> None:
    """Raise RunError for the first option that is given though it goes with something else.

    Args:
        given: whether each option is, by name.
        owner: what they go with.
    """
    for name, there in given.items():
        if there:
            raise RunError(f"{name} is given, which goes with {owner}")


def _on_suite(
    policy: Policy | str | os.PathLike[str],
    suite: Suite,
    out: Path | None,
    video: bool | Filming | None,
    progress: Progress | None,
    overwrite: bool,
    settings: _SuiteSettings,
) -> SuiteResult:
    def tell(score: Score) -> None:
        if progress is not None:
            progress(round(score.done), max(1, round(score.total)))
        if settings.watch is not None:
            settings.watch(score)

    return evaluate_suite(
        os.fspath(policy) if isinstance(policy, str | os.PathLike) else _load(policy)[0],
        _name(policy),
        suite,
        out,
        workers=settings.workers,
        step_timeout=STEP_TIMEOUT if settings.step_timeout is None else settings.step_timeout,
        resume=settings.resume,
        same_policy=settings.same_policy,
        filming=video,
        overwrite=overwrite,
        watch=tell,
    )


def _name(policy: Policy | str | os.PathLike[str]) -> str:
    return os.fspath(policy) if isinstance(policy, str | os.PathLike) else type(policy).__name__


def _load(policy: Policy | str | os.PathLike[str]) -> tuple[Policy, PolicyIdentity]:
    if isinstance(policy, str | os.PathLike):
        return load_identified(policy)
    check_policy(policy, "policy is")
    return policy, identify_policy(policy)
