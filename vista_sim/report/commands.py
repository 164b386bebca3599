"""The command `vista-sim report`."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import Annotated, Literal

import typer

from vista_sim.console import progress_bar, require_within
from vista_sim.evaluation.judging_options import Draws, Seed, Valid, settings_of


def register(app: typer.Typer) -> None:
    """Add the commands of this part to the program."""
    app.command("report")(report)


def report(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN...", help="Run folders; the others are compared with the first."
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="Page to write, such as report.html; RUN-report.html beside the first run where "
            "not given.",
        ),
    ] = None,
    videos: Annotated[
        Literal["embed", "link", "none"],
        typer.Option(help="Embed videos, copy them into a folder beside the page, or neither."),
    ] = "embed",
    max_size: Annotated[
        float, typer.Option(help="MB of a page with embedded videos; the worst episodes go first.")
    ] = 30.0,
    valid: Valid = 0.9,
    draws: Draws = 2000,
    seed: Seed = 0,
    overwrite: Annotated[bool, typer.Option(help="Replace a page at OUT.")] = False,
    show: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
) -> None:
    """Write a report of runs as one HTML page that opens without a network.

    It has the metrics with 95 % intervals, what differs between runs, the worst moments, how the
    car recovered, and every episode with video, plots and a map. Of runs that did not end, what
    was driven is shown.
    """
    from vista_sim.report.page import write_report

    require_within("--max-size", max_size, 1.0, 2000.0)
    out = default_page(runs[0]) if out is None else out
    settings = settings_of(valid, draws, seed)
    with progress_bar("report") as progress:
        notes = write_report(runs, out, videos, max_size, settings, overwrite, progress)
    for note in notes:
        typer.echo(f"note: {note}", err=True)
    typer.echo(f"report: {out} ({out.stat().st_size / 1e6:.1f} MB)")
    if show:
        webbrowser.open(out.absolute().as_uri())


def default_page(run: Path) -> Path:
    """The page of a run for which no name is given."""
    name = run.name if run.name not in ("", "..") else run.resolve().name
    folder = run.parent if name == run.name else run.resolve().parent
    return folder / f"{name or 'run'}-report.html"
