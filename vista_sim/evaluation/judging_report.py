"""Prints what a run was judged to be."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from vista_sim.evaluation.labels import BY_SCENARIO, number, shown
from vista_sim.evaluation.statistics import Interval

if TYPE_CHECKING:
    from rich.console import Console

    from vista_sim.evaluation.judging import Judgement, Verdict


def print_judgement(run: str, judgement: Judgement, scenarios: bool, console: Console) -> None:
    """Print the tables of a judgement.

    Args:
        scenarios: whether to show each scenario too.
    """
    from rich.table import Table

    overall = judgement.overall
    cases = "1 case" if overall.cases == 1 else f"{overall.cases} cases"
    table = Table(title=f"{run}: {cases}", title_justify="left")
    table.add_column("")
    table.add_column("value", justify="right")
    table.add_column("95 % interval", justify="right")
    for name, found in overall.metrics.items():
        table.add_row(shown(name)[0], number(name, found.value), interval(name, found))
    console.print(table)
    for line in not_applicable(judgement):
        console.print(line, soft_wrap=True)
    if scenarios and len(judgement.scenarios) > 1:
        _print_scenarios(judgement.scenarios, console)


def interval(name: str, found: Interval) -> str:
    """Both ends of an interval in the unit shown; "-" for an end that is not known."""
    if math.isnan(found.low) and math.isnan(found.high):
        return "-"
    return f"{number(name, found.low)} to {number(name, found.high)}"


def not_applicable(judgement: Judgement) -> list[str]:
    """For each score the terms that it leaves out, and why."""
    lines = []
    for score in next(iter(judgement.scores.values()), ()):
        reasons: dict[str, list[str]] = {}
        for term in score.terms:
            if term.reason is not None:
                reasons.setdefault(term.reason, []).append(term.name)
        text = "; ".join(f"{', '.join(names)} ({why})" for why, names in reasons.items())
        lines.append(f"{score.name}: not applicable: {text}")
    return lines


def scenario_rows(
    scenarios: Sequence[Verdict],
) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Heads, and a row for each scenario: its name, how many cases, and its metrics."""
    there = [name for name in BY_SCENARIO if any(name in v.metrics for v in scenarios)]
    rows = [
        (
            verdict.name,
            str(verdict.cases),
            *(
                number(name, verdict.metrics[name].value) if name in verdict.metrics else ""
                for name in there
            ),
        )
        for verdict in scenarios
    ]
    return ("scenario", "cases", *(BY_SCENARIO[name] for name in there)), rows


def _print_scenarios(scenarios: tuple[Verdict, ...], console: Console) -> None:
    from rich.table import Table

    table = Table(title="by scenario", title_justify="left")
    heads, rows = scenario_rows(scenarios)
    table.add_column(heads[0], overflow="fold")
    for head in heads[1:]:
        table.add_column(head, justify="right")
    for row in rows:
        table.add_row(*row)
    console.print(table)
