"""Drives one case after the other with a policy, and records what happens."""

from __future__ import annotations

import math
import random
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from vista_sim.car import Car
from vista_sim.errors import PolicyFailureError
from vista_sim.evaluation.episode import Watcher, drive
from vista_sim.evaluation.metrics.recovery import EXPERT
from vista_sim.evaluation.suites.rows import POLICY_FAILED
from vista_sim.policies import GuardedPolicy, Policy, StepClock
from vista_sim.policies.policy import policy_sensors
from vista_sim.policies.reference import ReferenceDriver
from vista_sim.policies.saliency import SaliencySource
from vista_sim.runs import kinds
from vista_sim.runs.asked import asked_from
from vista_sim.runs.recorder import Recorder, Sink
from vista_sim.scenarios.case import Case
from vista_sim.scenarios.settings import RECOVERY
from vista_sim.scenarios.staging import Stage, Stager
from vista_sim.traces.trace import Trace

if TYPE_CHECKING:
    from vista_sim.runs.filming import Films, ViewRecorder

#: Called with what is known of an episode when it begins.
Begun = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Job:
    """A case in its suite.

    Args:
        index: in the order of the suite.
        trace: index into the traces of the suite.
        case: what to drive.
    """

    index: int
    trace: int
    case: Case


class CaseDriver:
    """Drives cases with one policy.

    In mode "recovery" the privileged reference tries each case too, so that what is physically
    impossible can be told from what the policy does not manage. The global random generators
    of Python, NumPy and (where it is loaded) PyTorch are seeded from each case: a policy that
    draws from them drives a case the same way whatever was driven before.

    Args:
        policy: drives; guarded here.
        step_timeout: s that it may take for a step.
        clock: see `GuardedPolicy`.
        films: videos to make of each case; None: none.
    """

    def __init__(
        self,
        policy: Policy,
        step_timeout: float | None,
        clock: StepClock | None = None,
        films: Films | None = None,
    ) -> None:
        self._policy = GuardedPolicy(policy, step_timeout, clock)
        self._stager, self._expert_stager = Stager(policy_sensors(policy)), Stager(None, further=())
        self._films, self._looks = films, SaliencySource.of(self._policy)
        #: Wall time that the making of worlds and that filming took, s.
        self.spent = (0.0, 0.0)

    def drive(self, job: Job, sink: Sink, begun: Begun) -> None:
        """Drive a case to its end; a policy that breaks ends it.

        Raises:
            VistaError: the case cannot be staged.
        """
        recorder = Recorder(sink)
        _seed(job.case.seed)
        if job.case.settings.mode == RECOVERY:
            stage = self._stage(self._expert_stager, job.case)
            _episodes(ReferenceDriver(), EXPERT, stage, job, recorder, begun, stage.watch)
        stage = self._stage(self._stager, job.case)
        with self._film(job, stage, sink) as film:

            def watch(car: Car) -> bool:
                if film is not None:
                    started = perf_counter()
                    film.shoot(car, recorder.episode)
                    self._spend(filming=perf_counter() - started)
                return stage.watch(car)

            _episodes(self._policy, "policy", stage, job, recorder, begun, watch)

    def _stage(self, stager: Stager, case: Case) -> Stage:
        started = perf_counter()
        stage = stager.stage(case)
        self._spend(staging=perf_counter() - started)
        return stage

    def _spend(self, staging: float = 0.0, filming: float = 0.0) -> None:
        self.spent = (self.spent[0] + staging, self.spent[1] + filming)

    def _film(
        self, job: Job, stage: Stage, sink: Sink
    ) -> AbstractContextManager[ViewRecorder | None]:
        if self._films is None:
            return nullcontext()
        name = f"{job.index:05d}-{job.case.case}"
        return self._films.of(stage.world, 0, name, sink.frames, self._looks)


def _episodes(
    policy: Policy,
    driver: str,
    stage: Stage,
    job: Job,
    recorder: Recorder,
    begun: Begun,
    watch: Watcher,
) -> None:
    """Drive the episodes of a case: one, or in mode "restart" one after each crash."""
    car, case = stage.car, job.case
    labels = labels_of(job)
    kind = labels.pop("kind")

    while True:
        recorder.begin(car, kind, driver, case.road, **labels)
        begun(recorder.start)
        try:
            drive(policy, car, recorder, watch)
        except PolicyFailureError as error:
            recorder.end(car, POLICY_FAILED, failure=error.reason)
            return
        recorder.end(
            car, stage.ending, recovered=stage.recovered, recovery_time=stage.recovery_time
        )
        if not stage.set_back():
            return


def labels_of(job: Job) -> dict[str, Any]:
    """Columns of an episode that say of which case it is."""
    case = job.case
    recovers = case.settings.mode == RECOVERY
    return {
        "kind": kinds.RECOVERY if recovers else kinds.DRIVING,
        "trace": job.trace,
        "scenario": case.scenario,
        "case": case.case,
        "seed": case.seed,
        "weight": case.weight,
    }


def unstarted(job: Job) -> dict[str, Any]:
    """What the row of a case's first episode holds if its process was gone before it began."""
    case = job.case
    trace = Trace.open(case.trace)
    start_s, end_s = (trace.path.arc_length(t) for t in case.section)
    limit, speed = case.settings.time_limit, case.settings.speed
    most = math.inf if speed.limit is None else speed.limit
    return {
        **labels_of(job),
        "driver": "policy",
        "trace_name": trace.name,
        "road": case.road,
        "section_start_s": start_s,
        "section_end_s": end_s,
        "start_s": case.s,
        "start_lateral": case.lateral,
        "start_heading": case.heading,
        "asked_s": None
        if limit is None
        else asked_from(trace.path, (case.s, end_s), limit, speed.factor, most),
    }


def _seed(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002  # the global one that a policy may draw from
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.manual_seed(seed)
