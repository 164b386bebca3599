"""Which cases of two runs belong together, and what stands in the way of comparing them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vista_sim.errors import RunError
from vista_sim.evaluation import cases as run_cases
from vista_sim.evaluation.cases import DRIVING, RECOVERY, Case
from vista_sim.runs.run import Run, columns

Pair = tuple[Case, Case]

#: Settings of a run without which its numbers mean something else, and what they are called.
SETTINGS = {
    "dt": "step",
    "views": "views",
    "section": "section",
    "seed": "seed",
    "cases_sha256": "what the suite's cases fix (SHA-256)",
}


def finished_cases(run: Run, partial: bool) -> tuple[Case, ...]:
    """The cases of a run; of an interrupted one, without that which was being driven.

    Raises:
        RunError: it was interrupted and is not taken as it is (`partial`), or holds nothing.
    """
    status = run.info.get("status")
    if status != "complete" and not partial:
        raise RunError(
            f"{run.folder}: the run did not end (status {status!r}); finish it, or compare the "
            "cases that it has with --partial"
        )
    if not run.episodes.num_rows:
        raise RunError(f"{run.folder}: holds no finished episode, so there is nothing to compare")
    cases = run_cases.split(columns(run.steps), columns(run.episodes))
    if status == "complete":
        return cases
    # The case of the last episode may not have come to its end.
    last = max(cases, key=lambda case: int(case.tables.episodes["episode"].max()))
    return tuple(case for case in cases if case is not last)


def pair_up(
    cases_a: Sequence[Case], cases_b: Sequence[Case]
) -> tuple[list[Pair], tuple[str, ...], tuple[str, ...]]:
    """Pairs in the order of a, and the names that one run alone has."""
    of_b = {(case.kind, case.scenario, case.name): case for case in cases_b}
    pairs, only_a = [], []
    for case in cases_a:
        other = of_b.pop((case.kind, case.scenario, case.name), None)
        if other is None:
            only_a.append(case.name)
        else:
            pairs.append((case, other))
    return pairs, tuple(only_a), tuple(case.name for case in of_b.values())


def independent(pairs: Sequence[Pair]) -> int:
    """How many independent cases pairs are, of driving or recovery, whichever has more."""
    return max(len({a.unit for a, _ in pairs if a.kind == kind}) for kind in (DRIVING, RECOVERY))


def example(cases: Sequence[Case]) -> str:
    """The name of one of the cases."""
    return cases[0].name if cases else "none"


def setting_warnings(a: Run, b: Run) -> tuple[str, ...]:
    """Settings in which two runs differ, and what was left out of them, a line each."""
    found = [*a.notes, *b.notes]
    for name, label in SETTINGS.items():
        first, second = a.info.get(name), b.info.get(name)
        if first != second:
            found.append(f"the runs differ in {label}: {_shown(first)} and {_shown(second)}")
    first, second = (run.info.get("versions", {}).get("vista-sim") for run in (a, b))
    if first != second:
        found.append(f"the runs differ in vista-sim: {_shown(first)} and {_shown(second)}")
    return tuple(found)


def _shown(value: Any) -> str:
    return "none" if value is None else str(value)
