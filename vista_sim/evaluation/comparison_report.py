"""Shows a comparison of two runs: tables on the console, and as GitHub-style Markdown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from vista_sim.evaluation.judging_report import interval
from vista_sim.evaluation.labels import number, shown
from vista_sim.evaluation.markdown import plain, table

if TYPE_CHECKING:
    from rich.console import Console

    from vista_sim.evaluation.comparison import Comparison, Difference
    from vista_sim.evaluation.regressions import Regression

Row = tuple[str, ...]

#: The interval is of 95 %, p is adjusted; six columns fit on a terminal of 80.
OVERALL = ("", "a", "b", "b - a (95 % interval)", "p", "")
SCENARIOS = ("scenario", *OVERALL)
NUMBERS = OVERALL[1:5]
#: Metrics that are shown though they are not tested.
ALWAYS = ("crashes", "distance_m", "max_cross_track_error_m", "recovery_rate_of_expert")
REGRESSIONS = ("case", "scenario", "what got worse")


def print_comparison(found: Comparison, limit: int, everything: bool, console: Console) -> None:
    """Print the tables of a comparison.

    Args:
        limit: regressions shown at most.
        everything: show all metrics, and not only those that are tested or say how many crashes.
    """
    from rich.box import SIMPLE_HEAD
    from rich.markup import escape
    from rich.table import Table

    def show(title: str, heads: Row, rows: Sequence[Row]) -> None:
        # Without lines between columns, which would take a quarter of a terminal of 80.
        table = Table(box=SIMPLE_HEAD, padding=0)
        table.pad_edge = table.show_edge = False
        for head in heads:
            right = head in NUMBERS
            justify: Literal["left", "right"] = "right" if right else "left"
            table.add_column(head, justify=justify, overflow="fold", no_wrap=right)
        for row in rows:
            table.add_row(*(escape(cell) for cell in row))
        console.print()
        console.print(escape(title), style="bold", soft_wrap=True)
        console.print(table)

    for line in (*heading(found), *(f"warning: {warning}" for warning in found.warnings)):
        console.print(escape(line), soft_wrap=True)
    show("all scenarios", OVERALL, overall_rows(found, everything))
    differing = [(d.scenario, *_row(d)) for d in found.scenarios if d.significant]
    if differing:
        show("scenarios that differ by more than chance", SCENARIOS, differing)
    worst = found.regressions[:limit]
    if worst:
        show(_count(found), REGRESSIONS, [_regression(r) for r in worst])
    console.print()
    for line in closing(found):
        console.print(escape(line), soft_wrap=True)


def to_markdown(found: Comparison, limit: int, everything: bool = False) -> str:
    """The same tables as GitHub-style Markdown."""
    parts = ["# Comparison of two runs", "", *(f"- {plain(line)}" for line in heading(found))]
    parts += [f"- **warning:** {plain(warning)}" for warning in found.warnings]
    parts += ["", "## All scenarios", "", *table(OVERALL, overall_rows(found, everything), NUMBERS)]
    differing = [(d.scenario, *_row(d)) for d in found.scenarios if d.significant]
    if differing:
        title = "## Scenarios that differ by more than chance"
        parts += ["", title, "", *table(SCENARIOS, differing, NUMBERS)]
    worst = found.regressions[:limit]
    if worst:
        parts += ["", f"## {plain(_count(found))}", ""]
        parts += table(REGRESSIONS, [_regression(r) for r in worst], NUMBERS)
    parts += ["", *closing(found), ""]
    return "\n".join(parts)


def overall_rows(found: Comparison, everything: bool) -> list[Row]:
    """Rows of what is known of either run."""
    return [
        _row(d)
        for d in found.overall
        if (everything or d.tested or d.metric in ALWAYS)
        and not (math.isnan(d.a) and math.isnan(d.b))
    ]


def heading(found: Comparison) -> list[str]:
    """The two runs, a line each, and what of them is compared."""
    pairs = "1 case" if found.pairs == 1 else f"{found.pairs} cases"
    lines = [
        f"{label}: {folder}; policy {policy}; {versions}"
        for label, folder, policy, versions in zip(
            "ab", (found.a, found.b), found.policies, found.versions, strict=True
        )
    ]
    lines.append(f"both have {pairs}{_SAMENESS[found.same_cases]}")
    lines += [
        f"{len(names)} of {label} alone are left out, such as {names[0]}"
        for label, names in (("a", found.only_a), ("b", found.only_b))
        if names
    ]
    return lines


_SAMENESS = {
    True: ", the same in both: recordings, geometry, code and settings",
    False: " of the same names, which are not the same cases: see the warnings",
    None: " of the same names; whether they are the same cases is not known",
}


def _count(found: Comparison) -> str:
    count, grave = len(found.regressions), sum(r.grave for r in found.regressions)
    cases = "1 case" if count == 1 else f"{count} cases"
    return f"{cases} went worse in b, {grave} of them in their outcome; the worst first"


def closing(found: Comparison) -> list[str]:
    """What the tables come to, and how to read the p-values."""
    every = (*found.overall, *found.scenarios)
    tests = [sum(not math.isnan(d.p_value) for d in part) for part in (found.overall, every)]
    if not tests[1]:
        return [
            f"{found.units} independent case{'' if found.units == 1 else 's'}: too few to tell a "
            "difference from chance; six are needed at least"
        ]
    sure = [d for d in every if d.significant]
    worse = sum(d.direction == "worse" for d in sure)
    better = sum(d.direction == "better" for d in sure)
    return [
        f"beyond chance: {worse} worse, {better} better",
        f"tests: labels of the runs swapped within pairs; p adjusted by Holm over {tests[0]} "
        f"metrics of all scenarios, by Benjamini-Hochberg over {tests[1] - tests[0]} by scenario; "
        f"beyond chance is p <= {1 - found.level:.2g}",
    ]


def _row(found: Difference) -> Row:
    name = found.metric
    change = number(name, found.change.value)
    sign = "+" if found.change.value > 0 and not change.startswith("+") else ""
    range_ = interval(name, found.change)
    p = "" if math.isnan(found.adjusted) else _p_value(found.adjusted)
    verdict = found.direction if found.significant else ""
    return (
        shown(name)[0],
        number(name, found.a),
        number(name, found.b),
        sign + change + (f" ({range_})" if range_ != "-" else ""),
        p,
        verdict,
    )


def _p_value(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _regression(found: Regression) -> Row:
    return found.case, found.scenario, what_got_worse(found)


def what_got_worse(found: Regression) -> str:
    """All that got worse in a case, in one line."""
    return "; ".join(_change(*change) for change in found.changes)


def _change(name: str, a: float, b: float) -> str:
    if name == "recovery_rate":  # of one case
        return "no longer recovered"
    return f"{shown(name)[0]}: {number(name, a)} to {number(name, b)}"
