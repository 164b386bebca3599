"""What `vista-train` understands, and how it shows a training at work."""

from __future__ import annotations

import contextlib
import io
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Annotated, Any

import tyro
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from vista_sim.errors import VistaError

from .demo import Demo, run_demo
from .depth.recipe import Depth, learn_depth
from .imitation.recipes import BehaviourCloning, Guided, Recipe, learn
from .training import Report

Command: Any = (
    Annotated[BehaviourCloning, tyro.conf.subcommand("bc")]
    | Annotated[Guided, tyro.conf.subcommand("guided")]
    | Annotated[Depth, tyro.conf.subcommand("depth")]
    | Annotated[Demo, tyro.conf.subcommand("demo")]
)


class UsageError(VistaError, ValueError):
    """The arguments of a command are wrong."""


def run(args: Sequence[str]) -> None:
    """Parse arguments and run the command. Raises VistaError for a user's mistake."""
    command = parse(args)
    if isinstance(command, Demo):
        run_demo(command)
    elif isinstance(command, Depth):
        run_depth(command)
    else:
        run_recipe(command)


def parse(args: Sequence[str]) -> Any:
    """The command of an argument list. Raises UsageError where it is wrong."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return tyro.cli(Command, args=args, prog="vista-train")
    except SystemExit as stop:
        if stop.code == 2:
            raise UsageError(one_line(said.getvalue())) from None
        raise
    except ValueError as error:  # a configuration that checks its fields
        raise UsageError(str(error)) from None


def run_recipe(recipe: Recipe) -> None:
    """Train with a progress bar and say where the policy is."""
    name = "guided" if isinstance(recipe, Guided) else "bc"
    with progress_bar(name, recipe.training.steps, hidden=recipe.json) as report:
        result = learn(recipe, report)
    if recipe.json:
        print(json.dumps({"policy": str(recipe.out), **asdict(result)}))
    else:
        print(
            f"{recipe.out}: {name} policy of step {result.best_step} of {result.steps}; its "
            f"curvature is off by {result.validation_error:.4f} 1/m on average on held-out road"
        )


def run_depth(recipe: Depth) -> None:
    """Train with a progress bar and say where the depth model is."""
    with progress_bar("depth", recipe.training.steps, hidden=recipe.json) as report:
        learned = learn_depth(recipe, report)
    result = learned.result
    if recipe.json:
        told = {"model": str(learned.folder), "supervised": list(learned.supervised)}
        print(json.dumps({**told, **asdict(result)}))
    else:
        print(
            f"{learned.folder}: depth model of step {result.best_step} of {result.steps}; its loss "
            f"on held-out frames is {result.held_out_loss:.4f}, that of flat ground "
            f"{result.untrained_loss:.4f}; held-out.png shows some"
        )


@contextlib.contextmanager
def progress_bar(name: str, steps: int, hidden: bool = False) -> Iterator[Report]:
    """A bar with the smoothed loss, on stderr; gives the callback that `train` reports to."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]:.4f}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    hidden = hidden or not console.is_terminal
    with Progress(*columns, console=console, disable=hidden) as progress:
        task = progress.add_task(name, total=steps, loss=float("nan"))
        smooth: list[float] = []

        def report(step: int, loss: float) -> None:
            smooth[:] = [loss if not smooth else 0.98 * smooth[0] + 0.02 * loss]
            progress.update(task, completed=step, loss=smooth[0])

        try:
            yield report
        except BaseException:
            progress.live.transient = True  # a mistake is told in one line, without the bar
            raise


def one_line(message: str) -> str:
    """The first part of tyro's framed message, without its frame."""
    lines = [line.strip("│ \t") for line in message.splitlines()]
    parts: list[str] = []
    for line in lines:
        if re.fullmatch(r"─+", line):
            break
        if line and not line.startswith(("╭", "╰")):
            parts.append(line)
    return " ".join(" ".join(parts).split()) or "the arguments cannot be understood; see --help"
