"""`vista-train demo`: the whole road once, on the sample drives.

Bakes two sample drives, trains behaviour cloning and guided policy learning on the first (same
network, same number of steps, same seed), judges both on both, prints one table, and writes a
report of each drive.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from vista_sim.console import ProgressLines
from vista_sim.errors import MissingDependencyError, PolicyError

from .imitation.guided import GuidedConfig
from .imitation.recipes import BehaviourCloning, Guided, Imitation, learn
from .recipe import check_seed
from .training import TrainingConfig

if TYPE_CHECKING:
    from vista_sim.evaluation.evaluate import Report

LEARNED, UNSEEN = "proving-ground", "proving-ground-unseen"
MARK = "demo.txt"
RECIPES: dict[str, type[Imitation]] = {"bc": BehaviourCloning, "guided": Guided}


@dataclass(frozen=True)
class Demo:
    """Train on the sample drive, judge on it and on one never seen, and show a table."""

    out: Annotated[Path, tyro.conf.arg(aliases=("-o",))] = Path("runs/demo")
    """Folder for policies, runs and videos. Running again renews it; trainings that are there
    and whole are kept, those that were interrupted go on."""
    seed: int = 0
    """Of both trainings and of the places where recovery is tested."""
    quick: bool = False
    """A few steps and one video, to see that everything works; the policies learn little."""
    traces: tuple[Path, ...] = ()
    """Trace to learn from and trace to be tested on, instead of the sample drives."""
    json: bool = False
    """Print the table as JSON."""
    training: Annotated[TrainingConfig, tyro.conf.arg(name="")] = dataclasses.field(
        default_factory=TrainingConfig
    )

    def __post_init__(self) -> None:
        check_seed(self.seed)


@dataclass(frozen=True)
class Row:
    """One line of the table: a policy on a trace."""

    policy: str
    trace: str
    crashes: int
    crashes_per_km: float
    without_intervention: float  # share of the distance
    mean_cross_track: float  # m
    max_cross_track: float  # m
    recovery: float  # share of all starts
    recovery_of_expert: float  # share of the starts that the expert recovers from
    video: str
    run: str


def run_demo(demo: Demo) -> list[Row]:
    """Run the demo and print its table. Raises VistaError where something cannot be used."""
    started = time.monotonic()
    traces = _traces(demo)
    _claim(demo.out)
    console = Console(stderr=True)
    with _stages(console) as stage:
        for trace in traces:
            _bake(trace, stage)
        folders = {name: _train(demo, name, traces[0], stage) for name in RECIPES}
        rows = [row for trace in traces for row in _judge(demo, folders, trace, stage)]
        pages = [_report(demo, folders, trace, stage) for trace in traces]
    if demo.json:
        print(json.dumps([dataclasses.asdict(row) for row in rows], indent=2))
    else:
        _print_table(rows, pages, traces, time.monotonic() - started, demo)
    return rows


Stage = Callable[[str], Callable[[float, float], None]]


@contextmanager
def _stages(console: Console) -> Iterator[Stage]:
    """Progress bars, one a stage; gives a function that opens one and returns its callback.
    Without a terminal, lines now and then, and one at the end of each stage.
    """
    if not console.is_terminal:
        going: list[ProgressLines] = []

        def tell(name: str) -> Callable[[float, float], None]:
            if going:
                going[-1].end()
            going.append(ProgressLines(name, brief=False))
            return going[-1].report

        yield tell
        going[-1].end()
        return
    columns = (
        TextColumn("{task.description:<44}"),
        BarColumn(),
        TextColumn("{task.percentage:3.0f} %"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:

        def stage(name: str) -> Callable[[float, float], None]:
            task = progress.add_task(name, total=None)

            def update(done: float, total: float) -> None:
                progress.update(task, completed=done, total=max(total, 1e-9))

            return update

        try:
            yield stage
        except BaseException:
            progress.live.transient = True  # a mistake is told in one line, without the bars
            raise


def _traces(demo: Demo) -> tuple[Path, Path]:
    from vista_sim.traces.samples import find_trace, sample_trace

    if not demo.traces:
        return sample_trace(LEARNED), sample_trace(UNSEEN)
    if len(demo.traces) != 2:
        raise PolicyError("--traces takes two folders or samples: to learn from, and another")
    return find_trace(demo.traces[0]), find_trace(demo.traces[1])


def _claim(out: Path) -> None:
    """Mark a folder as a demo's, because a demo renews what is in it. Raises PolicyError."""
    mark = out / MARK
    if not mark.exists():
        for name in RECIPES:
            if (out / name).exists():
                raise PolicyError(
                    f"{out / name}: is not of a demo, which would renew it; name another --out"
                )
    try:
        out.mkdir(parents=True, exist_ok=True)
        mark.write_text("The folders here are renewed by vista-train demo.\n", encoding="utf-8")
    except OSError as error:
        raise PolicyError(f"{out}: cannot be written to ({error.strerror})") from None


def _bake(trace: Path, stage: Stage) -> None:
    from vista_sim.geometry.bake import bake

    update = stage(f"bake the geometry of {trace.name}")
    bake(trace, progress=update)
    update(1, 1)


def _train(demo: Demo, name: str, trace: Path, stage: Stage) -> Path:
    training = demo.training
    options: dict[str, Any] = {}
    if demo.quick:
        training = dataclasses.replace(training, steps=20, batch_size=16, evaluate_every=10)
        if name == "guided":
            options["guided"] = GuidedConfig(frames=64, rounds=2, cars=16)
    recipe = RECIPES[name](
        traces=(trace,),
        out=demo.out / name,
        seed=demo.seed,
        training=training,
        resume=True,
        **options,
    )
    update = stage(f"train {name}, {training.steps} steps of {training.batch_size} views")
    try:
        learn(recipe, lambda step, loss: update(step, training.steps))
    except PolicyError:  # what is there is of other settings, or damaged: start anew
        recipe = dataclasses.replace(recipe, resume=False, overwrite=True)
        learn(recipe, lambda step, loss: update(step, training.steps))
    update(1, 1)
    return recipe.out


def _judge(demo: Demo, folders: dict[str, Path], trace: Path, stage: Stage) -> Iterator[Row]:
    from vista_sim.evaluation.evaluate import evaluate
    from vista_sim.runs.filming import Filming
    from vista_sim.scenarios.places import RecoveryTest

    test = RecoveryTest()
    if demo.quick:
        test = RecoveryTest(laterals=(-0.5, 0.5), headings=(0.0,), starts_per_kind=1)
    for name, folder in folders.items():
        out = _run(demo, name, trace)
        update = stage(f"drive {name} on {trace.name}")
        report = evaluate(
            folder,
            [trace],
            out=out,
            seed=demo.seed,
            recovery=test,
            progress=update,
            overwrite=True,
            video=Filming(max_frames=20) if demo.quick else Filming(),
        )
        update(1, 1)
        yield _row(name, trace, report)


def _run(demo: Demo, name: str, trace: Path) -> Path:
    return demo.out / "runs" / f"{name}-on-{trace.name}"


def _report(demo: Demo, names: Iterable[str], trace: Path, stage: Stage) -> Path | str:
    """Write the report of a drive: all policies on it, compared with the first. The page, or why
    there is none.
    """
    from vista_sim.report.page import write_report

    page = demo.out / f"report-{trace.name}.html"
    update = stage(f"report on {trace.name}")
    try:
        write_report(
            [_run(demo, name, trace) for name in names],
            page,
            overwrite=True,
            told=lambda done, total, note: update(done, total),
        )
    except MissingDependencyError as error:  # no reason to lose what was trained and judged
        return str(error)
    update(1, 1)
    return page


def _row(name: str, trace: Path, report: Report) -> Row:
    metrics, recovery = report.metrics, report.recovery
    videos = sorted((report.out / "views").glob("*.film.mp4")) if report.out else []
    return Row(
        policy=name,
        trace=trace.name,
        crashes=round(metrics["crashes"]),
        crashes_per_km=metrics["crashes_per_km"],
        without_intervention=metrics["share_without_intervention"],
        mean_cross_track=metrics["mean_cross_track_error_m"],
        max_cross_track=metrics["max_cross_track_error_m"],
        recovery=recovery.policy_rate if recovery else float("nan"),
        recovery_of_expert=recovery.rate if recovery else float("nan"),
        run=str(report.out),
        video=str(videos[0]) if videos else "",
    )


def _print_table(
    rows: list[Row], pages: list[Path | str], traces: tuple[Path, Path], seconds: float, demo: Demo
) -> None:
    table = Table(title="Policies in closed loop", title_justify="left")
    table.add_column("trace")
    table.add_column("policy")
    for heading in (
        "crashes",
        "crashes\nper km",
        "driven by\nitself",
        "cross-track error\nmean / max, m",
        "recovery",
        "of what the\nexpert recovers",
    ):
        table.add_column(heading, justify="right")
    for row in rows:
        seen = "learned from" if row.trace == traces[0].name else "never seen"
        table.add_row(
            f"{row.trace} ({seen})",
            row.policy,
            str(row.crashes),
            f"{row.crashes_per_km:.1f}",
            f"{100 * row.without_intervention:.0f} %",
            f"{row.mean_cross_track:.2f} / {row.max_cross_track:.2f}",
            f"{100 * row.recovery:.0f} %",
            f"{100 * row.recovery_of_expert:.0f} %",
        )
    # Wide enough for the table, so that a log file or a narrow pipe does not fold it.
    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(table)
    print("\nwatch them:")
    for page in pages:
        print(f"  {page}  (open it in a browser)" if isinstance(page, Path) else f"  {page}")
    print(f"  vista-sim replay {rows[-1].run} --web")
    print("  vista-sim drive proving-ground  (drive it yourself)")
    print(f"policies: {demo.out / 'bc'}, {demo.out / 'guided'}  (tensorboard --logdir {demo.out})")
    print(f"tables of every run: {demo.out / 'runs'}    {seconds / 60:.1f} minutes in all")
