"""`vista-sim scenario check`, `list` and `show`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vista_sim.errors import ScenarioError
from vista_sim.failures import LONGEST
from vista_sim.files import one_line

if TYPE_CHECKING:
    from vista_sim.scenarios.suite import Suite


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    group = typer.Typer(
        no_args_is_help=True, help="Situations in files: check them, list them, show them."
    )
    group.command("check")(check)
    group.command("list")(list_)
    group.command("show")(show)
    app.add_typer(group, name="scenario")


def check(
    files: Annotated[
        list[str], typer.Argument(metavar="FILE...", help="Scenario or suite files, or names.")
    ],
) -> None:
    """Check scenario and suite files: a line for everything that is wrong, and exit status 2."""
    from vista_sim.evaluation.suites.verdicts import check_requirements
    from vista_sim.scenarios.suite import load_suite

    problems: list[str] = []
    for file in files:
        try:
            suite = load_suite(file)
            check_requirements(suite)
            cases = suite.cases()
        except ScenarioError as error:
            problems += error.problems
        else:
            scenarios = len(suite.members)
            of = "" if scenarios == 1 else f" of {scenarios} scenarios"
            count = "1 case" if len(cases) == 1 else f"{len(cases)} cases"
            typer.echo(f"{suite.file}: {suite.name}: {count}{of}")
    _fail(problems)


def list_(
    where: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FOLDER|FILE]",
            help="Folder: the files in it. File: its scenarios. Neither: the installed files.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List scenarios and suites: name, cases, description."""
    from vista_sim.scenarios.library import installed
    from vista_sim.scenarios.suite import load_suite

    rows: list[dict[str, Any]] = []
    problems: list[str] = []
    try:
        if where is None or where.is_dir():
            files = installed() if where is None else _files_in(where)
            for file in files:
                try:
                    rows.append(_of_suite(load_suite(file)))
                except ScenarioError as error:
                    problems += error.problems
        else:
            rows = _of_members(load_suite(where))
    except ScenarioError as error:
        problems += error.problems
    if as_json:
        typer.echo(json.dumps({"scenarios": rows}, indent=2, ensure_ascii=False))
    else:
        _print(rows)
    _fail(problems)


def show(
    file: Annotated[str, typer.Argument(help="Scenario or suite file, or name.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Picture to write: .png or .jpg.")],
) -> None:
    """Draw a scenario or suite from above: paths, road edges, sections, limits, starts."""
    from vista_sim.scenarios.picture import write_picture
    from vista_sim.scenarios.suite import load_suite

    try:
        write_picture(load_suite(file), str(out))
    except ScenarioError as error:
        _fail(error.problems)
    typer.echo(str(out))


def _files_in(folder: Path) -> list[Path]:
    """TOML files of a folder that say they are scenarios or suites."""
    from vista_sim.scenarios.document import read_format

    found = []
    for file in sorted(folder.glob("*.toml")):
        try:
            says = read_format(file)
        except ScenarioError:  # reading it again tells the user
            found.append(file)
            continue
        if says is not None and says.startswith("vista-"):
            found.append(file)
    if not found:
        raise ScenarioError(f"{folder}: holds no scenario (a .toml file with a format of its own)")
    return found


def _of_suite(suite: Suite) -> dict[str, Any]:
    return {
        "name": suite.name,
        "file": str(suite.file),
        "scenarios": len(suite.members),
        "cases": len(suite.cases()),
        "description": suite.description,
    }


def _of_members(suite: Suite) -> list[dict[str, Any]]:
    count: dict[str, int] = {}
    for case in suite.cases():
        count[case.scenario] = count.get(case.scenario, 0) + 1
    return [
        {
            "name": member.scenario.name,
            "file": str(member.scenario.file),
            "weight": member.weight,
            "cases": count.get(member.scenario.name, 0),
            "description": member.scenario.description,
        }
        for member in suite.members
    ]


def _print(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    if not rows:
        return
    table = Table(box=None, pad_edge=False)
    shown = [name for name in rows[0] if name != "file"]
    for name in shown:
        number = name not in ("name", "description")
        table.add_column(name, justify="right" if number else "left", no_wrap=name == "name")
    for row in rows:
        cells = (row[name] for name in shown)
        table.add_row(*(f"{c:g}" if isinstance(c, float) else str(c) for c in cells))
    Console().print(table)


def _fail(problems: list[str] | tuple[str, ...]) -> None:
    """Print each problem on a line of stderr and exit with status 2, if there are any."""
    for problem in dict.fromkeys(problems):
        sys.stderr.write(f"error: {one_line(problem, LONGEST)}\n")
    if problems:
        raise typer.Exit(2)
