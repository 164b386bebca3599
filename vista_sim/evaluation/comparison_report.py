"""Shows a comparison of two runs: tables on the console, and as GitHub-style Markdown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from vista_sim.evaluation.judging_report import interval
from vista_sim.evaluation.labels import number, shown

if TYPE_CHECKING:
    from rich.console import Console

    from vista_sim.evaluation.comparison import Comparison, Difference, Regression

Row = tuple[str, ...]

OVERALL = ("", "a", "b", "b - a", "95 % interval", "p, adjusted", "")
SCENARIOS = ("scenario", *OVERALL)
REGRESSIONS = ("case", "scenario", "what got worse")


def print_comparison(found: Comparison, limit: int, console: Console) -> None:
    """Print the tables of a comparison; at most `limit` regressions."""
    from rich.markup import escape
    from rich.table import Table

    def show(title: str, heads: Row, rows: Sequence[Row]) -> None:
        table = Table(title=escape(title), title_justify="left")
        for head in heads:
            right = head in ("a", "b", "b - a", "95 % interval", "p, adjusted")
            table.add_column(head, justify="right" if right else "left", overflow="fold")
        for row in rows:
            table.add_row(*(escape(cell) for cell in row))
        console.print(table)

    for line in (*_heading(found), *(f"warning: {warning}" for warning in found.warnings)):
        console.print(escape(line), soft_wrap=True)
    show("all scenarios", OVERALL, [_row(d) for d in found.overall])
    differing = [(d.scenario, *_row(d)) for d in found.scenarios if d.significant]
    if differing:
        show("scenarios that differ by more than chance", SCENARIOS, differing)
    worst = found.regressions[:limit]
    if worst:
        show(_count(found), REGRESSIONS, [_regression(r) for r in worst])
    for line in _closing(found):
        console.print(escape(line), soft_wrap=True)


def to_markdown(found: Comparison, limit: int) -> str:
    """The same tables as GitHub-style Markdown."""
    parts = ["# Comparison of two runs", "", *(f"- {_safe(line)}" for line in _heading(found))]
    parts += [f"- **warning:** {_safe(warning)}" for warning in found.warnings]
    parts += ["", "## All scenarios", "", *_table(OVERALL, [_row(d) for d in found.overall])]
    differing = [(d.scenario, *_row(d)) for d in found.scenarios if d.significant]
    if differing:
        title = "## Scenarios that differ by more than chance"
        parts += ["", title, "", *_table(SCENARIOS, differing)]
    worst = found.regressions[:limit]
    if worst:
        parts += ["", f"## {_safe(_count(found))}", ""]
        parts += _table(REGRESSIONS, [_regression(r) for r in worst])
    parts += ["", *_closing(found), ""]
    return "\n".join(parts)


def _heading(found: Comparison) -> list[str]:
    pairs = "1 case" if found.pairs == 1 else f"{found.pairs} cases"
    lines = [f"a: {found.a}", f"b: {found.b}", f"both have {pairs}"]
    lines += [
        f"{len(names)} of {label} alone are left out, such as {names[0]}"
        for label, names in (("a", found.only_a), ("b", found.only_b))
        if names
    ]
    return lines


def _count(found: Comparison) -> str:
    count = len(found.regressions)
    return f"{count} case{'' if count == 1 else 's'} went worse in b, the worst first"


def _closing(found: Comparison) -> list[str]:
    """What the tables come to, and how to read the p-values."""
    sure = [d for d in (*found.overall, *found.scenarios) if d.significant]
    worse = sum(d.direction == "worse" for d in sure)
    better = sum(d.direction == "better" for d in sure)
    share = round(100 * (1 - found.level))
    tested = sum(not math.isnan(d.p_value) for d in found.overall)
    lines = [f"beyond chance: {worse} worse, {better} better"]
    if not tested:
        lines = ["too few independent cases to tell a difference from chance"]
    lines.append(
        f"tests: labels of the runs swapped within pairs; p adjusted by Holm over {tested} metrics "
        f"of all scenarios, by Benjamini-Hochberg over metrics by scenario, at {share} %"
    )
    return lines


def _row(found: Difference) -> Row:
    name = found.metric
    change = number(name, found.change.value)
    sign = "+" if found.change.value > 0 and not change.startswith("+") else ""
    p = "" if math.isnan(found.adjusted) else _p_value(found.adjusted)
    verdict = found.direction if found.significant else ""
    return (
        shown(name)[0],
        number(name, found.a),
        number(name, found.b),
        sign + change,
        interval(name, found.change),
        p,
        verdict,
    )


def _p_value(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _regression(found: Regression) -> Row:
    changes = "; ".join(
        f"{shown(name)[0]}: {number(name, a)} to {number(name, b)}" for name, a, b in found.changes
    )
    return found.case, found.scenario, changes


def _table(heads: Row, rows: Sequence[Row]) -> list[str]:
    right = {"a", "b", "b - a", "95 % interval", "p, adjusted"}
    rule = ["---:" if head in right else "---" for head in heads]
    lines = [heads, tuple(rule), *(tuple(_safe(cell) for cell in row) for row in rows)]
    return ["| " + " | ".join(line) + " |" for line in lines]


def _safe(text: str) -> str:
    """Without what would be taken for a cell's end, a tag or emphasis."""
    for sign in ("\\", "|", "*", "_", "`", "<", ">", "[", "]", "#"):
        text = text.replace(sign, "\\" + sign)
    return " ".join(text.split())
