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
from .imitation.recipes import BehaviourCloning, Dagger, Guided, Imitation, learn, training_for
from .networks.registry import ARCHITECTURES
from .training import Report

ARCHITECTURE = "--architecture"
_IMITATION = {"bc": BehaviourCloning, "guided": Guided, "dagger": Dagger}


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
        run_imitation(command)


def parse(args: Sequence[str]) -> Any:
    """The command of an argument list. Raises UsageError where it is wrong."""
    said = io.StringIO()
    architecture, rest = split_architecture(args)
    try:
        with contextlib.redirect_stderr(said):
            return tyro.cli(
                commands(architecture),
                args=rest,
                prog="vista-train",
                config=(tyro.conf.AvoidSubcommands,),
            )
    except SystemExit as stop:
        if stop.code == 2:
            raise UsageError(one_line(said.getvalue())) from None
        raise
    except ValueError as error:  # a configuration that checks its fields
        raise UsageError(str(error)) from None


def split_architecture(args: Sequence[str]) -> tuple[str, list[str]]:
    """The network's architecture, and the arguments without it.

    It is read first, because it decides which `--network` options there are.
    """
    rest = list(args)
    name = "cnn"
    for i, arg in enumerate(rest):
        if arg == ARCHITECTURE or arg.startswith(f"{ARCHITECTURE}="):
            given = arg.partition("=")[2] if "=" in arg else "".join(rest[i + 1 : i + 2])
            del rest[i : i + (1 if "=" in arg else 2)]
            name = given
            break
    if name not in ARCHITECTURES:
        raise UsageError(f"{ARCHITECTURE} {name!r} is unknown; known: {', '.join(ARCHITECTURES)}")
    return name, rest


def commands(architecture: str) -> Any:
    """The type that tyro fills in: one of the commands, with the defaults of an architecture."""
    network = ARCHITECTURES[architecture]
    kinds: list[Any] = []
    for name, recipe in _IMITATION.items():
        default = recipe(
            traces=tyro.MISSING, out=tyro.MISSING, network=network, training=training_for(network)
        )
        about = (
            f"{recipe.__doc__}\n\n{ARCHITECTURE} NAME chooses the network and which --network "
            f"options there are: {', '.join(ARCHITECTURES)} (here: {architecture})."
        )
        kinds.append(
            Annotated[recipe, tyro.conf.subcommand(name, default=default, description=about)]
        )
    kinds += [
        Annotated[Depth, tyro.conf.subcommand("depth")],
        Annotated[Demo, tyro.conf.subcommand("demo")],
    ]
    union: Any = kinds[0]
    for kind in kinds[1:]:
        union = union | kind
    return union


def run_imitation(recipe: Imitation) -> None:
    """Train with a progress bar and say where the policy is."""
    with progress_bar(recipe.method, recipe.training.steps, hidden=recipe.json) as report:
        result = learn(recipe, report)
    if recipe.json:
        print(json.dumps({"policy": str(recipe.out), **asdict(result)}))
    else:
        print(
            f"{recipe.out}: {recipe.method} policy of step {result.best_step} of {result.steps}; "
            f"its curvature is off by {result.validation_error:.4f} 1/m on average on held-out road"
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
