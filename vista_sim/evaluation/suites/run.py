"""Judges a policy on a suite: drives its cases, writes the run, and gives the verdict."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

from vista_sim.errors import RunError, TraceError
from vista_sim.evaluation.judging import judge_tables
from vista_sim.evaluation.suites.alone import Alone
from vista_sim.evaluation.suites.cost import Cost
from vista_sim.evaluation.suites.driving import Job
from vista_sim.evaluation.suites.killed import killed_cases
from vista_sim.evaluation.suites.pool import Assignment, Driven, WorkerPool
from vista_sim.evaluation.suites.result import Score, SuiteResult
from vista_sim.evaluation.suites.run_folder import cases_hash, episodes_by_case, opened, resumable
from vista_sim.evaluation.suites.verdicts import (
    BROKE,
    CLEAN,
    FAILED,
    CaseOutcome,
    case_outcome,
    check_requirements,
    rule,
)
from vista_sim.geometry.identity import TraceIdentity, describe_traces, identify_trace
from vista_sim.policies import Policy
from vista_sim.runs.filming import Filming, Films, chosen
from vista_sim.runs.roads import road_table
from vista_sim.runs.run import VIEWS, columns
from vista_sim.runs.writer import tidy
from vista_sim.scenarios.case import Case
from vista_sim.scenarios.further import FurtherSensor
from vista_sim.scenarios.suite import Suite
from vista_sim.traces.trace import Trace

logger = logging.getLogger(__name__)

STEP_TIMEOUT = 10.0  # s
FILMED = 8  # suites of more cases are not filmed unless asked for
MOST_WORKERS = 256


def evaluate_suite(
    policy: Policy | str,
    name: str,
    suite: Suite,
    out: Path | None = None,
    *,
    workers: int | None = None,
    step_timeout: float | None = STEP_TIMEOUT,
    resume: bool = False,
    same_policy: bool = False,
    filming: Filming | bool | None = None,
    overwrite: bool = False,
    watch: Callable[[Score], None] | None = None,
) -> SuiteResult:
    """Judge a policy on a suite; see `vista_sim.evaluate`.

    Args:
        name: of the policy.
        suite: read from its file.
        same_policy: see `resumable`.
        filming: what is filmed, or whether anything is; None: suites of few cases.
        workers: processes; 0: none but this one; None: 1, or 0 for a policy that is an object.

    Raises:
        ScenarioError, TraceError, PolicyError, WorldError, RunError: something given cannot be
            used.
    """
    started = perf_counter()
    workers = _workers(policy, workers)
    if step_timeout is not None and not step_timeout > 0:
        raise RunError(f"step_timeout is {step_timeout} s; it must be positive")
    if resume and (out is None or overwrite):
        other = "overwrite" if overwrite else "no out"
        raise RunError(f"resume is given with {other}; it goes on with the run in out")
    check_requirements(suite)
    cost = Cost(workers)
    with _drivers(policy, workers, step_timeout, suite.further) as drivers:
        cases = suite.cases()
        jobs, traces = _jobs(cases)
        described = describe_traces(traces)
        identities = {
            trace.root: TraceIdentity(known["recording"], known["geometry"])
            for trace, known in zip(traces, described, strict=True)
        }
        identity = drivers.identify()
        info = {
            "what": f"suite {suite.name}",
            "suite": {
                "name": suite.name,
                "file": str(suite.file),
                "description": suite.description,
                "scenarios": _scenarios(suite, cases),
            },
            "cases": len(cases),
            "cases_sha256": cases_hash(cases, identities),
            "policy": {"name": name, **identity.to_json()},
            "step_timeout": step_timeout,
            "traces": described,
            "views": "synthesized",
        }
        before = None
        if resume and out is not None:
            now = info | {"remedy": identity.remedy}
            tidy(out)
            before = resumable(out, now, cases, same_policy)
        filmed = chosen(len(cases) <= FILMED if filming is None else filming)
        films = None if out is None or filmed is None else Films(out / VIEWS, filmed)
        complete = before is not None and before.info.get("status") == "complete"
        if before is not None and complete and not killed_cases(before):
            found = {i: case_outcome(rows) for i, rows in episodes_by_case(before).items()}
            tables = columns(before.steps), columns(before.episodes)
            result = _result(suite, name, found, tables, cost, len(found), started)
            return replace(result, unknown=identity.unknown)
        # What cannot be loaded leaves no folder behind.
        drivers.get_ready(len(cases), films)
        roads = road_table(traces) if out is not None and before is None else None
        with opened(out, info, cases, before, overwrite, roads) as writer:
            found = {index: case_outcome(rows) for index, rows in writer.found.items()}
            resumed = len(found)
            if writer.killed:
                logger.warning(
                    "%s: the process of %s was killed before (out of memory?); driven again",
                    out,
                    _listed(writer.killed),
                )
            tally = _Tally(cases, found.values(), watch)
            left = [job for job in jobs if job.index not in found]
            with writer.kept(), closing(drivers.drive(left)) as events:
                for event in events:
                    if isinstance(event, Driven):
                        _check_unchanged(traces[event.job.trace], identities)
                        outcome = found[event.job.index] = case_outcome(event.rows.episodes)
                        cost.add(event.rows, event.spent)
                        writer.add(event.job.index, event.rows)
                        tally.over(outcome)
                    else:
                        tally.tell(sum(event.values()))
            cost.writing = writer.writing_s
            cost.start_up = drivers.start_up_s
            tables = columns(writer.run.steps.table()), columns(writer.run.episodes.table())
            result = _result(suite, name, found, tables, cost, resumed, started)
            writer.run.info |= {
                "cost": dict(result.cost),
                "resumed_cases": resumed,
                "retried_cases": writer.killed,
            }
            writer.finish(result.to_json())
    return replace(result, unknown=identity.unknown)


def _workers(policy: Policy | str, workers: int | None) -> int:
    if workers is None:
        return 1 if isinstance(policy, str) else 0
    if not 0 <= workers <= MOST_WORKERS:
        raise RunError(f"workers is {workers}; it must be from 0 (none) to {MOST_WORKERS}")
    if workers and not isinstance(policy, str):
        raise RunError(
            f"workers is {workers}, but the policy is an object of this process; give what other "
            "processes can load (a folder, a file, module:factory), or workers=0"
        )
    return workers


def _jobs(cases: Sequence[Case]) -> tuple[list[Job], list[Trace]]:
    """The cases as jobs, and the traces that they are of."""
    roots: dict[Path, int] = {}
    jobs = [Job(i, roots.setdefault(c.trace, len(roots)), c) for i, c in enumerate(cases)]
    return jobs, [Trace.open(root) for root in roots]


def _check_unchanged(trace: Trace, identities: Mapping[Path, TraceIdentity]) -> None:
    """Raise TraceError if a trace is not what the cases before were driven on."""
    if identify_trace(trace) != identities[trace.root]:
        raise TraceError(
            f"{trace.root}: the recording or its baked geometry has changed while a suite was "
            "driven on it; start anew with --overwrite"
        )


def _listed(names: Sequence[str]) -> str:
    """The first of some names, and how many more there are."""
    more = f" and of {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def _scenarios(suite: Suite, cases: Sequence[Case]) -> list[dict[str, Any]]:
    counts: dict[str, int] = {}
    for case in cases:
        counts[case.scenario] = counts.get(case.scenario, 0) + 1
    return [
        {"name": name, "weight": weight, "cases": counts.get(name, 0)}
        for name, weight in suite.weights.items()
    ]


def _drivers(
    policy: Policy | str,
    workers: int,
    step_timeout: float | None,
    further: tuple[FurtherSensor, ...],
) -> WorkerPool | Alone:
    """What drives the cases: other processes, or this one."""
    if workers and isinstance(policy, str):
        return WorkerPool(Assignment(policy, step_timeout, further), workers)
    return Alone(policy, step_timeout, further)


def _result(
    suite: Suite,
    name: str,
    outcomes: Mapping[int, CaseOutcome],
    tables: tuple[Any, Any],
    cost: Cost,
    resumed: int,
    started: float,
) -> SuiteResult:
    judging = perf_counter()
    judgement = judge_tables(*tables)
    rulings = rule(suite, *tables, judgement)
    cost.judging = perf_counter() - judging
    cost.wall = perf_counter() - started
    return SuiteResult(
        name=suite.name,
        file=suite.file,
        policy=name,
        cases=tuple(outcomes[index] for index in sorted(outcomes)),
        rulings=rulings,
        judgement=judgement,
        cost=cost.to_json(),
        cost_text=str(cost),
        resumed=resumed,
    )


class _Tally:
    """Counts what is over, and tells.

    Args:
        cases: all.
        before: how those went that were over before.
        watch: is told.
    """

    def __init__(
        self,
        cases: Sequence[Case],
        before: Iterable[CaseOutcome],
        watch: Callable[[Score], None] | None,
    ) -> None:
        self._watch = watch
        self._cases = len(cases)
        self._lengths = {case.case: _longest(case) for case in cases}
        self._total = sum(self._lengths.values())
        self._counts = dict.fromkeys((CLEAN, FAILED, BROKE), 0)
        self._crashes = 0
        self._done = 0.0
        for outcome in before:
            self._count(outcome)
        self.tell()

    def over(self, outcome: CaseOutcome) -> None:
        """A case is over."""
        self._count(outcome)
        self.tell()

    def _count(self, outcome: CaseOutcome) -> None:
        self._counts[outcome.outcome] += 1
        self._crashes += outcome.crashes
        self._done += self._lengths[outcome.case]

    def tell(self, running: float = 0.0) -> None:
        """Tell who watches; `running`: s that cases are in which are not over."""
        if self._watch is not None:
            self._watch(
                Score(
                    cases=self._cases,
                    clean=self._counts[CLEAN],
                    failed=self._counts[FAILED],
                    broke=self._counts[BROKE],
                    crashes=self._crashes,
                    done=min(self._done + running, self._total),
                    total=self._total,
                )
            )


def _longest(case: Case) -> float:
    """How long a case may take, about, s."""
    settings = case.settings
    length = case.section[1] - case.section[0]
    if settings.mode == "recovery":
        length = min(length, settings.recovery.within_time)
    if settings.time_limit is not None and settings.mode != "restart":
        length = min(length, settings.time_limit)
    return length
