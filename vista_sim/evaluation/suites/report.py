"""A suite's result as text: tables on the console, and GitHub-style Markdown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vista_sim.atomic import why_not, write_whole
from vista_sim.errors import RunError
from vista_sim.evaluation.judging_report import interval, not_applicable, scenario_rows
from vista_sim.evaluation.labels import number, shown
from vista_sim.evaluation.markdown import plain, table
from vista_sim.evaluation.suites.junit import shown_value
from vista_sim.evaluation.suites.result import SuiteResult
from vista_sim.evaluation.suites.verdicts import BROKE, Ruling

if TYPE_CHECKING:
    from rich.console import Console


Row = tuple[str, ...]
Show = Callable[[str, Row, Sequence[Row]], None]

#: Metrics that are shown of all scenarios together; the run holds all of them.
SHOWN = (
    "crashes",
    "distance_m",
    "crashes_per_km",
    "share_without_intervention",
    "route_completion",
    "mean_cross_track_error_m",
    "max_cross_track_error_m",
    "mean_heading_error_rad",
    "steering_whiteness_rad_s",
    "comfortable_episodes",
    "mean_validity",
    "recovery_starts",
    "recovery_rate",
    "recovery_rate_of_expert",
    "mean_recovery_time_s",
)
EXAMPLES = 20  # cases named at most
LEFT = {"", "scenario", "case", "criterion", "asked of", "verdict", "what happened"}


def print_suite(result: SuiteResult, console: Console) -> None:
    """Print the tables and the verdict."""
    from rich.markup import escape
    from rich.table import Table

    def show(title: str, heads: Row, rows: Sequence[Row]) -> None:
        table = Table(title=escape(title), title_justify="left")
        for head in heads:
            table.add_column(
                escape(head),
                justify="left" if head in LEFT else "right",
                overflow="fold",
                no_wrap=head == "scenario",
            )
        for row in rows:
            table.add_row(*(escape(cell) for cell in row))
        console.print(table)

    _tables(result, show)
    for line in (*not_applicable(result.judgement), result.cost_text):
        console.print(escape(line), soft_wrap=True)
    colour = "green" if result.passed else "red"
    console.print(f"[{colour}]{escape(verdict_line(result))}[/]", soft_wrap=True)


def write_markdown(result: SuiteResult, path: Path) -> None:
    """Write the same as GitHub-style Markdown. Raises RunError."""
    parts = [f"# {'✅' if result.passed else '❌'} {plain(result.name)}", ""]
    parts += [plain(verdict_line(result)), ""]

    def show(title: str, heads: Row, rows: Sequence[Row]) -> None:
        numbers = [head for head in heads if head not in LEFT]
        parts.extend([f"## {plain(title)}", "", *table(heads, rows, numbers), ""])

    _tables(result, show)
    parts += [f"{plain(line)}\n" for line in (*not_applicable(result.judgement), result.cost_text)]
    try:
        write_whole(path, "\n".join(parts).encode())
    except OSError as error:
        raise RunError(f"{path}: {why_not(error)}") from None


def verdict_line(result: SuiteResult) -> str:
    """The verdict with what it is from."""
    met = sum(ruling.passed for ruling in result.rulings)
    count, broke = len(result.cases), result.count(BROKE)
    asked = f"{met} of {len(result.rulings)} criteria met" if result.rulings else "no criteria"
    cases = f"{count} case{'' if count == 1 else 's'}, {len(result.failed)} failed"
    if result.unclean:
        cases += f", {len(result.unclean)} not clean, as criteria judge"
    parts = [asked, cases]
    if broke:
        parts.append(f"the policy broke in {broke}")
    word = "passed" if result.passed else "failed"
    return f"{result.policy} on {result.name}: {word} ({'; '.join(parts)})"


def _tables(result: SuiteResult, show: Show) -> None:
    overall = result.judgement.overall
    rows = [
        (shown(name)[0], number(name, overall.metrics[name].value), interval(name, found))
        for name in SHOWN
        if (found := overall.metrics.get(name)) is not None
    ]
    show("all scenarios", ("", "value", "95 % interval"), rows)
    scenarios = result.judgement.scenarios
    if len(scenarios) > 1:
        show("by scenario", *scenario_rows(scenarios))
    if result.rulings:
        heads = ("criterion", "asked of", "value", "verdict")
        show("criteria", heads, [_ruling(ruling) for ruling in result.rulings])
    broke = [case for case in result.cases if case.outcome == BROKE]
    for cases, title in (
        (broke, "cases in which the policy broke"),
        (result.failed, "failed cases"),
        (result.unclean, "cases not clean, as criteria judge"),
    ):
        own = [(c.case, c.reason) for c in cases]
        if own:
            more = f", the first {EXAMPLES} of {len(own)}" if len(own) > EXAMPLES else ""
            show(title + more, ("case", "what happened"), own[:EXAMPLES])


def _ruling(ruling: Ruling) -> Row:
    requirement = ruling.requirement
    verdict = "met" if ruling.passed else "NOT MET"
    return str(requirement.criterion), requirement.of, shown_value(ruling), verdict
