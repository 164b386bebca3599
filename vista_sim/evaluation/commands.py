"""The command `vista-sim evaluate`."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vista_sim.console import parse_section, progress_bar, require_within

if TYPE_CHECKING:
    from rich.console import Console

    from vista_sim.evaluation.evaluate import Report
    from vista_sim.evaluation.recovery import Recovery

#: Metrics that the table shows.
SHOWN = (
    "crashes",
    "distance_m",
    "crashes_per_km",
    "share_without_intervention",
    "mean_cross_track_error_m",
    "max_cross_track_error_m",
    "mean_heading_error_rad",
    "max_heading_error_rad",
    "steering_whiteness_rad_s",
    "peak_lateral_acceleration_m_s2",
    "peak_lateral_jerk_m_s3",
    "mean_validity",
)
MAX_COLUMNS = 4  # traces shown beside each other


def register(app: typer.Typer) -> None:
    """Add the commands of this part to the program."""
    app.command("evaluate")(evaluate)


def evaluate(
    policy: Annotated[
        str,
        typer.Option(
            help="Policy folder, .onnx file, module:factory (runs its code), socket:HOST:PORT, "
            "socket:PATH, or 'expert' for the privileged reference."
        ),
    ],
    traces: Annotated[list[Path], typer.Option(help="Trace folder; further ones may follow it.")],
    further: Annotated[
        list[Path] | None,
        typer.Argument(metavar="TRACE", help="Further trace folders.", hidden=True),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Run folder to write.")] = None,
    section: Annotated[
        str | None, typer.Option(help="Drive only START:END, in seconds of each trace.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Draws where recovery is tested.")] = 0,
    recovery: Annotated[bool, typer.Option(help="Test recovery from beside the path.")] = True,
    starts: Annotated[
        int, typer.Option(help="Places of the recovery test on straight, left and right road each.")
    ] = 4,
    held: Annotated[
        float,
        typer.Option(help="Seconds on end near the path that count as recovered; 0: a moment."),
    ] = 1.0,
    video: Annotated[bool, typer.Option(help="Film each trace into the run folder.")] = True,
    overwrite: Annotated[bool, typer.Option(help="Replace a run at OUT.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Judge a policy in closed loop: whole traces, and recovery from beside the path.

    A crash is leaving the road (2 m from the path, or 18 degrees off it); the car is then set
    back on the path two seconds further on. The metrics are defined in
    vista_sim/evaluation/metrics/.
    """
    from rich.console import Console

    from vista_sim.evaluation.evaluate import evaluate as judge
    from vista_sim.evaluation.recovery import RecoveryTest

    require_within("--seed", seed, 0, 2**63 - 1)
    require_within("--starts", starts, 1, 10_000)
    span = None if section is None else parse_section(section)
    require_within("--held", held, 0.0, 4.5)
    test = RecoveryTest(starts_per_kind=starts, held=held) if recovery else False
    with progress_bar("evaluating") as progress:
        report = judge(
            policy,
            [*traces, *(further or ())],
            out,
            seed,
            test,
            video,
            span,
            progress,
            overwrite=overwrite,
        )
    if as_json:
        typer.echo(json.dumps(report.to_json(), indent=2))
    else:
        print_report(report, Console())


def print_report(report: Report, console: Console) -> None:
    """Print the tables of a report."""
    from rich.table import Table

    from vista_sim.evaluation.labels import number, shown

    table = Table(title=f"closed loop: {report.policy}", title_justify="left")
    table.add_column("")
    columns: list[Mapping[str, Any]] = list(report.traces)
    if len(columns) > MAX_COLUMNS:
        columns = []
    for trace in columns:
        table.add_column(trace["name"], justify="right", overflow="fold")
    if len(columns) != 1:
        table.add_column(f"all {len(report.traces)}", justify="right")
        columns.append(report.metrics)
    for name in SHOWN:
        table.add_row(shown(name)[0], *(number(name, column[name]) for column in columns))
    console.print(table)
    if report.recovery is not None:
        _print_recovery(report.recovery, console)
    if report.out is not None:
        console.print(f"run: {report.out}", soft_wrap=True)


def _print_recovery(recovery: Recovery, console: Console) -> None:
    from rich.table import Table

    if not recovery.places:
        console.print("recovery: no place has 5 s of recorded drive ahead of it; not tested")
        return
    test = recovery.test
    title = "recovered starts: policy / expert, of those tried"
    table = Table(title=title, title_justify="left")
    table.add_column("offset m", justify="right")
    for heading in test.headings:
        table.add_column(f"{math.degrees(heading):+.0f}°", justify="right")
    policy, expert = recovery.policy.sum(axis=0), recovery.expert.sum(axis=0)
    for i, lateral in enumerate(test.laterals):
        pairs = zip(policy[i].tolist(), expert[i].tolist(), strict=True)
        table.add_row(f"{lateral:+.1f}", *(f"{mine}/{best}" for mine, best in pairs))
    console.print(table)
    rate = "-" if math.isnan(recovery.rate) else f"{100 * recovery.rate:.1f} %"
    console.print(
        f"recovers from {rate} of what the expert recovers from "
        f"(expert: {100 * recovery.expert_rate:.1f} % of {int(recovery.tried.sum())} starts, "
        f"at {len(recovery.places)} places)"
    )
