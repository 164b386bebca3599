"""What `vista-train` understands, and how it shows a training at work."""

from __future__ import annotations

import contextlib
import difflib
import functools
import io
import json
import math
import operator
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
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

from vista_sim.console import ProgressLines
from vista_sim.errors import VistaError
from vista_sim.files import shown

from .demo import Demo, run_demo
from .depth.recipe import Depth, learn_depth
from .export import Export, export_policy
from .imitation.recipes import (
    BehaviourCloning,
    Dagger,
    Guided,
    Imitation,
    defaults_for,
    find_rate,
    learn,
)
from .leading import leads
from .networks.registry import ARCHITECTURES
from .networks.table import Networks, run_networks
from .reinforcement.ppo import PPO, RecurrentPPO, learn_ppo
from .reinforcement.reinforce import Reinforce, learn_reinforce
from .reinforcement.settings import Reinforcement, network_for
from .saliency_picture import Saliency, draw_saliency
from .training import Report

ARCHITECTURE = "--architecture"
IMITATION: dict[str, type[Imitation]] = {"bc": BehaviourCloning, "guided": Guided, "dagger": Dagger}
REINFORCEMENT: dict[str, type[Reinforcement]] = {
    "reinforce": Reinforce,
    "ppo": PPO,
    "recurrent-ppo": RecurrentPPO,
}
OTHERS: dict[str, type[Any]] = {
    "depth": Depth,
    "export": Export,
    "networks": Networks,
    "saliency": Saliency,
    "demo": Demo,
}


class UsageError(VistaError, ValueError):
    """The arguments of a command are wrong."""


def run(args: Sequence[str]) -> None:
    """Parse arguments and run the command. Raises VistaError for a user's mistake."""
    command = parse(args)
    runners: tuple[tuple[type[Any], Callable[[Any], object]], ...] = (
        (Imitation, run_imitation),
        (Reinforcement, run_reinforcement),
        (Depth, run_depth),
        (Export, run_export),
        (Networks, run_networks),
        (Saliency, draw_saliency),
        (Demo, run_demo),
    )
    for kind, runner in runners:
        if isinstance(command, kind):
            runner(command)


def parse(args: Sequence[str]) -> Any:
    """The command of an argument list. Raises UsageError where it is wrong."""
    said = io.StringIO()
    name, rest = split_architecture(args)
    chosen = rest[0] if rest else ""
    check_way(chosen)
    if name is not None and chosen in OTHERS:
        raise UsageError(f"{ARCHITECTURE}: {chosen} has no network to choose")
    try:
        kind = commands(chosen, name)
        with contextlib.redirect_stderr(said):
            return tyro.cli(
                kind,
                args=rest,
                prog="vista-train",
                description="Trains policies that drive. --version prints the version; "
                "--debug shows tracebacks of errors.",
                config=(tyro.conf.AvoidSubcommands,),
            )
    except SystemExit as stop:
        if stop.code == 2:
            raise UsageError(one_line(said.getvalue())) from None
        raise
    except ValueError as error:  # a configuration that checks its fields
        raise UsageError(str(error)) from None


def check_way(chosen: str) -> None:
    """Raise UsageError unless the first argument is a command, or asks for help."""
    ways = (*IMITATION, *REINFORCEMENT, *OTHERS)
    if chosen in (*ways, "-h", "--help"):
        return
    near = difflib.get_close_matches(chosen, ways, 1, 0.6)
    hint = f"; did you mean {near[0]}?" if near else ""
    if not chosen or chosen.startswith("-"):
        what = "no command is given"
    else:
        what = f"there is no command {shown(chosen)}{hint}"
    raise UsageError(
        f"{what}; ways of learning: {', '.join((*IMITATION, *REINFORCEMENT))}; others: "
        f"{', '.join(OTHERS)}; vista-train COMMAND --help says more"
    )


def split_architecture(args: Sequence[str]) -> tuple[str | None, list[str]]:
    """The network's architecture (None: not given), and the arguments without it.

    It is read first, because it decides which `--network` options there are.
    """
    rest = list(args)
    for i, arg in enumerate(rest):
        option, equals, name = arg.partition("=")
        if option == ARCHITECTURE:
            del rest[i]
            if not equals:
                name = rest.pop(i) if i < len(rest) else ""
            if name not in ARCHITECTURES:
                known = ", ".join(ARCHITECTURES)
                raise UsageError(f"{ARCHITECTURE} {name!r} is unknown; known: {known}")
            return name, rest
    return None, rest


def commands(chosen: str, architecture: str | None) -> Any:
    """The type that tyro fills in: one of the commands; the chosen one has the defaults of an
    architecture.
    """
    kinds: list[Any] = []
    for name, recipe in {**IMITATION, **REINFORCEMENT}.items():
        if name == chosen:
            about = (
                f"{recipe.__doc__}\n\n{ARCHITECTURE} NAME chooses the network, and with it which "
                f"--network options there are: {', '.join(ARCHITECTURES)}."
            )
            default = recipe(traces=tyro.MISSING, out=tyro.MISSING, **defaults(name, architecture))
            sub = tyro.conf.subcommand(name, default=default, description=about)
        else:
            sub = tyro.conf.subcommand(name)
        kinds.append(Annotated[recipe, sub])
    kinds += [Annotated[kind, tyro.conf.subcommand(name)] for name, kind in OTHERS.items()]
    return functools.reduce(operator.or_, kinds)


def defaults(command: str, architecture: str | None) -> dict[str, Any]:
    """What an architecture changes of a recipe."""
    if command in IMITATION:
        network = ARCHITECTURES[architecture or "cnn"]
        return {"network": network, **defaults_for(command, network)}
    return {} if architecture is None else {"network": network_for(ARCHITECTURES[architecture])}


def run_imitation(recipe: Imitation) -> None:
    """Train with a progress bar and say where the policy is."""
    recipe.make_ready()  # in every process: baking has a lock
    if recipe.find_rate:
        found = find_rate(recipe)
        if not leads():
            return
        if recipe.json:
            print(json.dumps({"folder": str(recipe.out), "suggested": found.suggested}))
        else:
            print(f"{recipe.out / 'rates.png'}: try --learning-rate {found.suggested:.1e}")
        return
    with progress_bar(recipe.method, recipe.training.steps, hidden=recipe.json) as report:
        result = learn(recipe, report)
    if not leads():
        return
    if recipe.json:
        print(json.dumps({"policy": str(recipe.out), **asdict(result)}))
    else:
        unit = "m" if recipe.network.head.outputs == "waypoints" else "1/m"
        print(
            f"{recipe.out}: {recipe.method} policy of step {result.best_step} of {result.steps}; "
            f"it is off by {result.validation_error:.4f} {unit} on average on held-out road"
        )
        if result.time_was_up:
            tell_time_was_up(f"step {result.steps} of {recipe.training.steps}", recipe.minutes)


def run_reinforcement(recipe: Reinforcement) -> None:
    """Train with a progress bar and say where the policy is and how it drives."""
    recipe.make_ready()
    name = next(name for name, kind in REINFORCEMENT.items() if type(recipe) is kind)
    told = "crashes in 100 s"
    with progress_bar(name, recipe.iterations, hidden=recipe.json, told=told) as report:
        if isinstance(recipe, Reinforce):
            result = learn_reinforce(recipe, report)
        else:
            assert isinstance(recipe, PPO)
            result = learn_ppo(recipe, report)
    if recipe.json:
        print(json.dumps({"policy": str(recipe.out), **asdict(result)}))
    else:
        print(
            f"{recipe.out}: {name} policy of iteration {result.best_iteration} of "
            f"{result.iterations}, {result.steps:,} steps in all; it crashes {result.crashes} "
            f"times on the traces, {result.mean_cross_track_error:.2f} m from the path on average"
        )
        if result.iterations < recipe.iterations:
            tell_time_was_up(
                f"iteration {result.iterations} of {recipe.iterations}", recipe.minutes
            )


def run_export(recipe: Export) -> None:
    """Write an ONNX file and say where it is."""
    exported = export_policy(recipe)
    if recipe.json:
        print(
            json.dumps(
                {k: str(v) if isinstance(v, Path) else v for k, v in asdict(exported).items()}
            )
        )
    else:
        print(
            f"{exported.path}: answers as the policy does, to {exported.largest_difference:.1e} "
            f"of its scale; {exported.description.name} says how to run it"
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
        if result.steps < recipe.training.steps:
            minutes = recipe.training.minutes
            tell_time_was_up(f"step {result.steps} of {recipe.training.steps}", minutes)


def tell_time_was_up(where: str, minutes: float | None) -> None:
    """Say that a training stopped because its time was up, and how it goes on."""
    print(f"stopped after {minutes:g} minutes, at {where}; the same command with --resume goes on")


@contextlib.contextmanager
def progress_bar(
    name: str, steps: int, hidden: bool = False, told: str = "loss"
) -> Iterator[Report]:
    """A bar with a smoothed number, on stderr; without a terminal, lines now and then. Gives the
    callback that a training reports to.

    Args:
        name: of what is learned.
        steps: how many there are.
        hidden: whether no bar is shown.
        told: what the number is; nothing is shown of it before there is one.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[told]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    lines = None if console.is_terminal else ProgressLines(name, "steps")
    progress = Progress(*columns, console=console)
    # One that is started and disabled still ends with an empty line in earlier versions of rich.
    with contextlib.nullcontext() if hidden or lines is not None else progress:
        task = progress.add_task(name, total=steps, told="")
        smooth: list[float] = []

        def report(step: int, number: float) -> None:
            share = max(0.02, min(1.0, 10 / steps))
            if not math.isnan(number):
                smooth[:] = [number if not smooth else smooth[0] + share * (number - smooth[0])]
            text = f"{told} {smooth[0]:.4f}" if smooth else ""
            progress.update(task, completed=step, told=text)
            if lines is not None:
                lines.report(step, steps, text)

        try:
            yield report
        except BaseException:
            progress.live.transient = True  # a mistake is told in one line, without the bar
            raise
    if lines is not None:
        lines.end()


def one_line(message: str) -> str:
    """The first part of tyro's framed message, without its frame."""
    lines = [line.strip("│ \t") for line in message.splitlines()]
    parts: list[str] = []
    for line in lines:
        if re.fullmatch(r"─+", line):
            break
        if line and not line.startswith(("╭", "╰")):
            parts.append(line)
    said = re.sub(r"^Error parsing [\w.-]+: ", "", " ".join(" ".join(parts).split()))
    return said or "the arguments cannot be understood; see --help"
