"""Drives cases in the process that asks for it, for policies that are objects of it."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from time import perf_counter
from types import TracebackType
from typing import TYPE_CHECKING, Self

from vista_sim.evaluation.suites.driving import CaseDriver, Job
from vista_sim.evaluation.suites.pool import Driven
from vista_sim.evaluation.suites.rows import CaseRows
from vista_sim.evaluation.suites.worker import Spent
from vista_sim.policies import Policy
from vista_sim.policies.identity import PolicyIdentity, identify_policy, load_identified
from vista_sim.policies.policy import policy_sensors
from vista_sim.scenarios.further import FurtherSensor, all_sensors

if TYPE_CHECKING:
    from vista_sim.runs.filming import Films


class Alone:
    """A `WorkerPool` without processes: a policy that never comes back stops everything.

    Args:
        policy: drives, or what `load_policy` takes.
        step_timeout, further: see `Assignment`.
    """

    def __init__(
        self,
        policy: Policy | str,
        step_timeout: float | None,
        further: Sequence[FurtherSensor] = (),
    ) -> None:
        self._policy, self._step_timeout, self._further = policy, step_timeout, further
        self.start_up_s = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        return

    def identify(self) -> PolicyIdentity:
        """Load the policy; see `WorkerPool.identify`."""
        started = perf_counter()
        if isinstance(self._policy, str):
            self._loaded, identity = load_identified(self._policy)
        else:
            self._loaded, identity = self._policy, identify_policy(self._policy)
        all_sensors(policy_sensors(self._loaded), self._further)
        self.start_up_s = perf_counter() - started
        return identity

    def get_ready(self, cases: int, films: Films | None) -> None:
        """Make the driver; see `WorkerPool.get_ready`."""
        started = perf_counter()
        self._driver = CaseDriver(self._loaded, self._step_timeout, films=films)
        self.start_up_s += perf_counter() - started

    def drive(self, jobs: Sequence[Job]) -> Generator[Driven | Mapping[int, float], None, None]:
        """Drive cases; see `WorkerPool.drive`."""
        for job in jobs:
            started, before = perf_counter(), self._driver.spent
            rows = CaseRows()
            self._driver.drive(job, rows, lambda start: None)
            yield Driven(job, rows, Spent.since(started, before, self._driver.spent))
