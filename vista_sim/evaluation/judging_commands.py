"""The commands `vista-sim metrics` and `vista-sim compare`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from vista_sim.atomic import why_not, write_whole
from vista_sim.console import require_within
from vista_sim.errors import RunError
from vista_sim.evaluation.judging_options import Draws, Seed, Valid, settings_of


def register(app: typer.Typer) -> None:
    """Add the commands of this part to the program."""
    app.command("metrics")(metrics)
    app.command("compare")(compare)


def metrics(
    run: Annotated[Path, typer.Argument(help="Run folder, of any age.")],
    valid: Valid = 0.9,
    draws: Draws = 2000,
    seed: Seed = 0,
    scenarios: Annotated[bool, typer.Option(help="Show each scenario too.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Judge a run again, by all metrics, with 95 % confidence intervals.

    Intervals are by a bootstrap over scenarios and, within them, cases; over places where the
    run is one of plain traces. The metrics are defined in vista_sim/evaluation/metrics/.
    """
    from rich.console import Console

    from vista_sim.evaluation.judging import judge
    from vista_sim.evaluation.judging_report import print_judgement
    from vista_sim.runs.run import read_run

    settings = settings_of(valid, draws, seed)
    found = read_run(run)
    judgement = judge(found, settings)
    status = found.info.get("status")
    if status != "complete":
        typer.echo(f"warning: {run}: the run did not end (status {status!r})", err=True)
    for note in found.notes:
        typer.echo(f"warning: {note}", err=True)
    if as_json:
        values = {"run": str(run), "status": status, **judgement.to_json()}
        typer.echo(json.dumps(values, indent=2, allow_nan=False))
    else:
        print_judgement(str(run), judgement, scenarios, Console())


def compare(
    run_a: Annotated[Path, typer.Argument(help="Run folder to compare with.")],
    run_b: Annotated[Path, typer.Argument(help="Run folder: is it better, and where worse?")],
    partial: Annotated[
        bool, typer.Option("--partial", help="Take runs that did not end, as far as they came.")
    ] = False,
    everything: Annotated[
        bool, typer.Option("--all", help="Show all metrics, also those that are not tested.")
    ] = False,
    limit: Annotated[int, typer.Option(help="Regressions shown, the worst first.")] = 20,
    valid: Valid = 0.9,
    draws: Draws = 2000,
    seed: Seed = 0,
    markdown: Annotated[
        Path | None, typer.Option(help="Also write the tables as GitHub-style Markdown.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say in what two runs differ by more than chance, and what got worse, the worst first.

    Cases that both runs have are paired. A difference is tested by swapping the labels of the
    runs within pairs; p-values are adjusted by Holm over the metrics of the whole runs, and by
    Benjamini and Hochberg over metrics by scenarios.
    """
    from rich.console import Console

    from vista_sim.evaluation.comparison import compare as compare_runs
    from vista_sim.evaluation.comparison_report import print_comparison, to_markdown

    require_within("--limit", limit, 0, 1_000_000)
    settings = settings_of(valid, draws, seed)
    found = compare_runs(run_a, run_b, settings, partial)
    if markdown is not None:
        try:
            write_whole(markdown, to_markdown(found, limit, everything).encode())
        except OSError as error:
            raise RunError(f"{markdown}: {why_not(error)}") from None
    if as_json:
        for warning in found.warnings:
            typer.echo(f"warning: {warning}", err=True)
        typer.echo(json.dumps(found.to_json(), indent=2, allow_nan=False))
    else:
        print_comparison(found, limit, everything, Console())
