"""The command `vista-sim evaluate`."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vista_sim.console import parse_section, progress_bar, require_within
from vista_sim.errors import VistaError
from vista_sim.evaluation.readiness_options import Bake, Unbaked
from vista_sim.interrupts import going_on
from vista_sim.policies.kind import EXPERT

if TYPE_CHECKING:
    from rich.console import Console

    from vista_sim.evaluation.evaluate import Report
    from vista_sim.evaluation.readiness import Source
    from vista_sim.evaluation.recovery import Recovery
    from vista_sim.runs.filming import Filming

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
STARTS, HELD = 4, 1.0  # of the recovery test


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
    suite: Annotated[
        str | None,
        typer.Option(help="Suite or scenario file, or the name of one that is installed."),
    ] = None,
    traces: Annotated[
        list[Path] | None,
        typer.Option(
            "--traces",
            "--trace",
            help="In place of a suite: trace folder, or a sample's name; further ones may follow.",
        ),
    ] = None,
    further: Annotated[
        list[Path] | None,
        typer.Argument(metavar="TRACE", help="Further trace folders.", hidden=True),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Run folder to write; none is written where not given."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Processes that drive a suite's cases side by side (1).")
    ] = None,
    step_timeout: Annotated[
        float | None,
        typer.Option(help="Seconds a policy may take for a step of a suite (10)."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run of the suite at OUT, if there is.")
    ] = False,
    same_policy: Annotated[
        bool,
        typer.Option(
            "--same-policy",
            help="With --resume: take what cannot be known of the policy as unchanged.",
        ),
    ] = False,
    junit: Annotated[
        Path | None, typer.Option(help="Also write a suite's result as JUnit XML.")
    ] = None,
    markdown: Annotated[
        Path | None, typer.Option(help="Also write it as GitHub-style Markdown.")
    ] = None,
    section: Annotated[
        str | None, typer.Option(help="Of traces: drive only START:END, in seconds of each.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of traces: draws where recovery is tested.")] = 0,
    recovery: Annotated[
        bool, typer.Option(help="Of traces: test recovery from beside the path.")
    ] = True,
    starts: Annotated[
        int, typer.Option(help="Places of the recovery test on straight, left and right road each.")
    ] = STARTS,
    held: Annotated[
        float,
        typer.Option(help="Seconds on end near the path that count as recovered; 0: a moment."),
    ] = HELD,
    video: Annotated[
        bool | None,
        typer.Option(
            "--video/--no-video",
            help="Film each trace or case into the run folder; of a suite only if it has few.",
            show_default=False,
        ),
    ] = None,
    views: Annotated[
        str | None,
        typer.Option(
            help="What is filmed, separated by commas: film, scene, camera, recorded, validity, "
            "saliency (all of them).",
            show_default=False,
        ),
    ] = None,
    view_rate: Annotated[
        float | None,
        typer.Option(
            help="Frames that are filmed per second of driving, at most (10).", show_default=False
        ),
    ] = None,
    bake: Bake = False,
    unbaked: Unbaked = False,
    overwrite: Annotated[bool, typer.Option(help="Replace a run at OUT.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Judge a policy in closed loop: on a suite of scenarios, or on whole traces.

    On a suite, the exit status is 0 if it is passed, 1 if not, 2 for a mistake in what was given.
    Scenarios without criteria are passed if no case of theirs crashes, fails to recover, or misses
    what its task asks.
    Its files say what is driven and asked for; see scenarios/README.md. A policy that raises,
    hangs, dies or answers with NaN costs only the case that it drives, which then has failed.

    On traces, a crash is leaving the road (2 m from the path, or 18 degrees off it); the car is
    then set back on the path two seconds further on. Then recovery is tested. The metrics are
    defined in vista_sim/evaluation/metrics/.
    """
    from rich.console import Console

    from vista_sim.evaluation.evaluate import evaluate as judge
    from vista_sim.evaluation.evaluate import refuse
    from vista_sim.evaluation.readiness import sources_of
    from vista_sim.scenarios.places import RecoveryTest
    from vista_sim.traces.trace import Trace

    require_within("--seed", seed, 0, 2**63 - 1)
    require_within("--starts", starts, 1, 10_000)
    span = None if section is None else parse_section(section)
    filming = _filming(video, views, view_rate)
    require_within("--held", held, 0.0, 4.5)
    folders = [*(traces or ()), *(further or ())]
    if suite is not None:
        if folders:
            raise VistaError(f"--suite and traces ({folders[0]}) are both given; give one of them")
        changed = {
            "--section": section is not None,
            "--seed": seed != 0,
            "--no-recovery": not recovery,
            "--starts": starts != STARTS,
            "--held": held != HELD,
        }
        refuse(changed, "--traces; a suite's files say how it is driven")
        _evaluate_suite(
            suite,
            policy,
            out,
            workers,
            step_timeout,
            resume,
            same_policy,
            filming,
            overwrite,
            junit,
            markdown,
            as_json,
            Ground(policy, bake, unbaked),
        )
        return
    if not folders:
        raise VistaError("nothing to drive is given; give --suite NAME or FILE, or --traces FOLDER")
    options = {
        "--workers": workers,
        "--step-timeout": step_timeout,
        "--resume": resume or None,
        "--same-policy": same_policy or None,
        "--junit": junit,
        "--markdown": markdown,
    }
    refuse({name: value is not None for name, value in options.items()}, "--suite")
    test = RecoveryTest(starts_per_kind=starts, held=held) if recovery else False
    drives = [Trace.open(folder) for folder in folders]
    Ground(policy, bake, unbaked).check(lambda: sources_of(drives))
    with progress_bar("evaluating") as progress:
        report = judge(
            policy,
            drives,
            out,
            seed,
            test,
            filming,
            span,
            progress,
            overwrite=overwrite,
        )
    if as_json:
        typer.echo(json.dumps(report.to_json(), indent=2))
    else:
        print_report(report, Console())


def _evaluate_suite(
    suite: str,
    policy: str,
    out: Path | None,
    workers: int | None,
    step_timeout: float | None,
    resume: bool,
    same_policy: bool,
    filming: Filming | bool | None,
    overwrite: bool,
    junit: Path | None,
    markdown: Path | None,
    as_json: bool,
    ground: Ground,
) -> None:
    from rich.console import Console

    from vista_sim.evaluation.evaluate import evaluate as judge
    from vista_sim.evaluation.readiness import sources_of_cases
    from vista_sim.evaluation.suites.junit import write_junit
    from vista_sim.evaluation.suites.report import print_suite, write_markdown
    from vista_sim.evaluation.suites.result import Score
    from vista_sim.evaluation.suites.run import MOST_WORKERS
    from vista_sim.scenarios.suite import load_suite

    require_within("--workers", 1 if workers is None else workers, 0, MOST_WORKERS)
    if step_timeout is not None:
        require_within("--step-timeout", step_timeout, 0.001, 1e6)
    if resume and out is None:
        raise VistaError("--resume goes on with the run at --out, which is not given")
    if same_policy and not resume:
        raise VistaError("--same-policy goes with --resume, which is not given")
    for option, path in (("--junit", junit), ("--markdown", markdown)):
        if path is not None and not path.absolute().parent.is_dir():
            raise VistaError(f"{option} is {path}; there is no folder {path.absolute().parent}")
        if path is not None and path.is_dir():
            raise VistaError(f"{option} is {path}, which is a folder; name a file")
    read = load_suite(suite)
    ground.check(lambda: sources_of_cases(read.cases()))
    how = "" if out is None else f"; what was driven is kept: go on with --resume and --out {out}"
    with going_on(how), progress_bar("judging") as progress:

        def watch(score: Score) -> None:
            progress(score.done, score.total, str(score))

        report = judge(
            policy,
            read,
            out,
            video=filming,
            overwrite=overwrite,
            workers=workers,
            step_timeout=step_timeout,
            resume=resume,
            same_policy=same_policy,
            watch=watch,
        )
    result = report.suite
    assert result is not None
    if out is not None and result.unknown:
        typer.echo(f"not known: {result.unknown}; --resume will not take it as unchanged", err=True)
    if junit is not None:
        write_junit(result, junit)
    if markdown is not None:
        write_markdown(result, markdown)
    if as_json:
        typer.echo(json.dumps(report.to_json(), indent=2, allow_nan=False))
    else:
        console = Console()
        print_suite(result, console)
        if out is not None:
            console.print(f"run: {out}", soft_wrap=True)
    raise typer.Exit(0 if result.passed else 1)


@dataclass(frozen=True)
class Ground:
    """What a policy drives on, as the options say."""

    policy: str
    bake: bool
    unbaked: bool

    def check(self, sources: Callable[[], Iterable[Source]]) -> None:
        """Refuse or bake what is not baked; the privileged expert, who sees no views, needs none.

        Raises:
            GeometryError: something is not baked.
        """
        from vista_sim.evaluation.readiness import make_ready

        if self.bake or self.unbaked or self.policy != EXPERT:
            make_ready(sources(), self.bake, self.unbaked)


def _filming(video: bool | None, views: str | None, rate: float | None) -> Filming | bool | None:
    """What is filmed, from the options."""
    if views is None and rate is None:
        return video
    if video is False:
        option = "--view-rate" if views is None else "--views"
        raise VistaError(f"{option} is given with --no-video")
    from vista_sim.runs.filming import VIEWS, Filming

    names = VIEWS if views is None else tuple(dict.fromkeys(views.split(",")))
    return Filming(names, 10.0 if rate is None else rate)


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
    # Left of the path is on top, as on a map whose road goes to the right.
    for i in sorted(range(len(test.laterals)), key=lambda i: -test.laterals[i]):
        pairs = zip(policy[i].tolist(), expert[i].tolist(), strict=True)
        table.add_row(f"{test.laterals[i]:+.1f}", *(f"{mine}/{best}" for mine, best in pairs))
    console.print(table)
    rate = "-" if math.isnan(recovery.rate) else f"{100 * recovery.rate:.1f} %"
    console.print(
        f"recovers from {rate} of what the expert recovers from "
        f"(expert: {100 * recovery.expert_rate:.1f} % of {int(recovery.tried.sum())} starts, "
        f"at {len(recovery.places)} places)"
    )
