"""The command `vista-sim`: each part of the package registers its own commands here."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Annotated

import typer

from vista_sim.failures import OPTION, one_line_endings, without_debug
from vista_sim.interrupts import interruptible
from vista_sim.version import __version__

#: Modules with a `register(app)`; they import what is heavy inside their commands.
COMMAND_MODULES = (
    "vista_sim.info.commands",
    "vista_sim.traces.importers.commands",
    "vista_sim.proving_ground.commands",
    "vista_sim.geometry.commands",
    "vista_sim.checking.commands",
    "vista_sim.sensors.commands",
    "vista_sim.evaluation.scenario_commands",
    "vista_sim.evaluation.commands",
    "vista_sim.evaluation.judging_commands",
    "vista_sim.report.commands",
    "vista_sim.policies.commands",
    "vista_sim.replay.viewer.commands",
    "vista_sim.drive.commands",
)

#: What is left where a disk is full or memory is short.
KEPT = (
    "what was finished before is kept: make room, and give the command again "
    "(a suite goes on with --resume)"
)


def _print_version(value: bool) -> None:
    if value:
        typer.echo(__version__)
        raise typer.Exit


def build_app() -> typer.Typer:
    """Put the commands of all parts together."""
    app = typer.Typer(
        name="vista-sim",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        help="Turns a recorded drive into a world a policy can drive in.",
    )

    @app.callback()
    def options(
        version: Annotated[
            bool,
            typer.Option("--version", help="Print the version.", callback=_print_version),
        ] = False,
        debug: Annotated[
            bool,
            typer.Option(OPTION, help="Show tracebacks of errors; VISTA_SIM_DEBUG=1 does too."),
        ] = False,
    ) -> None:
        """Turns a recorded drive into a world a policy can drive in."""

    for name in COMMAND_MODULES:
        import_module(name).register(app)
    return app


def main(arguments: list[str] | None = None) -> None:
    """Run the command line. A user's mistake is one line on stderr and exit status 2, a defect
    one line and status 1 (see `vista_sim.failures`); Ctrl-C, SIGTERM and SIGHUP are one line and
    status 130, 143 and 129.
    """
    given = without_debug(sys.argv[1:] if arguments is None else arguments)
    with one_line_endings("error: ", KEPT), interruptible("interrupted"):
        build_app()(given)
