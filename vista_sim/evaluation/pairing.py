"""Which cases of two runs belong together, and what stands in the way of comparing them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vista_sim.errors import RunError
from vista_sim.evaluation import cases as run_cases
from vista_sim.evaluation.cases import JudgedCase
from vista_sim.evaluation.suites.run_folder import read_cases
from vista_sim.identity.runs import doubts, is_known, mapping
from vista_sim.runs.kinds import DRIVING, RECOVERY
from vista_sim.runs.run import Run, columns

Pair = tuple[JudgedCase, JudgedCase]

#: Settings of a run without which its numbers mean something else, and what they are called.
SETTINGS = {
    "dt": "step",
    "views": "views",
    "section": "section",
    "seed": "seed",
}


def finished_cases(run: Run, partial: bool) -> tuple[JudgedCase, ...]:
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
    cases_a: Sequence[JudgedCase], cases_b: Sequence[JudgedCase]
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


def example(cases: Sequence[JudgedCase]) -> str:
    """The name of one of the cases."""
    return cases[0].name if cases else "none"


@dataclass(frozen=True)
class Sameness:
    """Whether pairs of cases are the same ones, driven by two policies.

    Args:
        same: whether they are known to be; None: it is not known.
        warnings: in what two runs differ, and what was left out of them, a line each.
    """

    same: bool | None
    warnings: tuple[str, ...]


def sameness(a: Run, b: Run, pairs: Sequence[Pair]) -> Sameness:
    """Whether pairs of cases of two runs are the same: recordings, geometry, code and settings."""
    settings = [
        f"the runs differ in {label}: {_shown(a.info.get(name))} and {_shown(b.info.get(name))}"
        for name, label in SETTINGS.items()
        if a.info.get(name) != b.info.get(name)
    ]
    first, second = (mapping(run.info, "versions").get("vista-sim") for run in (a, b))
    if first != second:
        settings.append(f"the runs differ in vista-sim: {_shown(first)} and {_shown(second)}")
    unclear = doubts(a.info, b.info)
    known = is_known(a.info) and is_known(b.info)
    if known:
        settings += _code_warnings(a, b)
    found = _case_warnings(a, b, pairs)
    warnings = (*a.notes, *b.notes, *settings, *unclear, *(found or ()))
    if settings or found or (known and unclear):
        return Sameness(False, warnings)
    return Sameness(True if known and found is not None else None, warnings)


def _code_warnings(a: Run, b: Run) -> list[str]:
    first, second = (mapping(run.info, "sources").get("simulator") for run in (a, b))
    if first == second:
        return []
    return [f"the runs differ in the simulator's sources: {first:.12} and {second:.12}"]


def _case_warnings(a: Run, b: Run, pairs: Sequence[Pair]) -> list[str] | None:
    """Cases of one name that fix other things; None where it is not known what they fix."""
    if not ("suite" in a.info or "suite" in b.info):
        return []  # of plain traces, their names say all that the settings do not
    try:
        of_a, of_b = read_cases(a.folder), read_cases(b.folder)
    except RunError:
        return None
    names = list(dict.fromkeys(case.name for case, _ in pairs))
    if not all(name in of_a and name in of_b for name in names):
        return None
    nowhere = Path()
    other = [
        name
        for name in names
        if replace(of_a[name], trace=nowhere) != replace(of_b[name], trace=nowhere)
    ]
    if not other:
        return []
    count = "1 case fixes" if len(other) == 1 else f"{len(other)} cases fix"
    return [f"{count} other settings in b than in a, such as {other[0]}"]


def _shown(value: Any) -> str:
    return "none" if value is None else str(value)
