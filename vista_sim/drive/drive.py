"""One drive from the command line to a run on disk."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import socket
import sys
import threading
import webbrowser
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import typer
from rich.console import Console

from vista_sim.addresses import is_loopback
from vista_sim.console import parse_size, progress_bar, require_within
from vista_sim.drive.access import Access
from vista_sim.drive.course import Course, Target, read_target
from vista_sim.drive.demonstrations import (
    Demonstration,
    check_destination,
    write_demonstrations,
)
from vista_sim.drive.filming import Filmer
from vista_sim.drive.link import Link
from vista_sim.drive.log import HUMAN, POLICY, DriveLog
from vista_sim.drive.server import DriveServer
from vista_sim.drive.session import Session
from vista_sim.errors import VistaError
from vista_sim.evaluation.metrics import select, summarize
from vista_sim.evaluation.plain import or_null
from vista_sim.evaluation.readiness import make_ready, sources_of_cases
from vista_sim.evaluation.suites.run_folder import write_cases
from vista_sim.geometry.identity import describe_traces
from vista_sim.policies import GuardedPolicy, Policy, load_policy
from vista_sim.policies.identity import identify_policy
from vista_sim.policies.policy import policy_sensors
from vista_sim.runs.roads import road_table
from vista_sim.runs.run import VIEWS, columns, read_run
from vista_sim.runs.writer import RunWriter, check_folder
from vista_sim.scenarios.case import terms_of
from vista_sim.traces.trace import Trace

STEP_TIMEOUT = 5.0  # s that a policy may take; its first step may load a lot
LARGEST = 2_000_000  # pixels of a view


@dataclass(frozen=True)
class DriveOptions:
    """What `vista-sim drive` was given; see its help."""

    target: str
    policy: str | None = None
    out: Path | None = None
    demonstrations: Path | None = None
    speed: str | None = None
    size: str = "320x640"
    rate: float = 20.0
    quality: int = 80
    seed: int = 0
    host: str = "127.0.0.1"
    port: int = 8700
    token: str | None = None
    open_page: bool | None = None
    bake: bool = False
    unbaked: bool = False
    overwrite: bool = False


def drive(options: DriveOptions) -> None:
    """Serve a drive until it is over, and write it.

    Raises:
        VistaError: something given cannot be used.
    """
    size = parse_size(options.size)
    if size[0] * size[1] > LARGEST:
        raise VistaError(
            f"--size {options.size}: more than {LARGEST} pixels cannot be kept up with"
        )
    require_within("--rate", options.rate, 5.0, 50.0)
    require_within("--quality", options.quality, 30, 95)
    require_within("--seed", options.seed, 0, 2**63 - 1)
    require_within("--port", options.port, 0, 65535)
    access = Access.choose(options.host, options.token)
    out = options.out or Path("runs") / datetime.now().strftime("drive-%Y%m%d-%H%M%S")
    check_folder(out, options.overwrite)
    if options.demonstrations is not None:
        check_destination(options.demonstrations, out)
    policy = None if options.policy is None else load_policy(options.policy)
    guarded = None if policy is None else GuardedPolicy(policy, STEP_TIMEOUT)
    target = read_target(options.target, 1.0 / options.rate, options.speed, options.seed)
    make_ready(sources_of_cases(target.cases), options.bake, options.unbaked)
    link = Link()
    hello = {
        "target": target.name,
        "size": list(size),
        "policy": None if options.policy is None else Path(options.policy).name or options.policy,
        "rate": options.rate,
    }
    with DriveServer(link, hello, access, options.port) as server:
        with Console(stderr=True).status("getting the first view ready"):
            course = Course(target, size, None if policy is None else policy_sensors(policy))
            course.warm_up()
        filmer = Filmer(out / VIEWS)
        with DriveLog(_new_run(options, target, policy, out), filmer) as log:
            with filmer:
                session = Session(course, link, log, guarded, options.seed, options.quality)
                with _ended_by_signals(session.stopping), _told(link):
                    _invite(server, access, options)
                    session.run()
            log.finish(_results)
        if not log.steps:
            link.tell(_over("Nothing was driven."))
            typer.echo("nothing was driven, so no run was written")
            return
        try:
            written = _write_demonstrations(options, out, link)
        except BaseException as error:
            why = error if isinstance(error, VistaError) else "interrupted"
            link.tell(_over(f"The run is in {out}, but no demonstrations are: {why}"))
            raise
        link.tell(_farewell(out, log, options, written))
    typer.echo(f"{out}: {log.seconds:.1f} s, {log.distance:.0f} m, {log.episodes} episodes")
    for one in written:
        typer.echo(one.line)


def _new_run(
    options: DriveOptions, target: Target, policy: Policy | None, out: Path
) -> Callable[[], RunWriter]:
    """Begins to write the run; what takes long is done before."""
    roads = road_table([Trace.open(path) for path in target.traces])
    info, terms = _info(options, target, policy), terms_of(target.cases)

    def new_run() -> RunWriter:
        writer = RunWriter(out, info, terms, options.overwrite, roads=roads)
        if target.of_suite:
            write_cases(out, target.cases)
        return writer

    return new_run


def _info(options: DriveOptions, target: Target, policy: Policy | None) -> dict[str, Any]:
    """What run.json says of the drive."""
    traces = [Trace.open(path) for path in target.traces]
    first = target.cases[0].settings
    return {
        "what": "drive by hand",
        "policy": {"name": HUMAN, "sha256": None},
        "traces": describe_traces(traces),
        "seed": options.seed,
        "dt": first.dt,
        "views": "synthesized",
        "section": None,
        "drive": {
            "target": target.name,
            "speed": first.speed.mode,
            "size": list(parse_size(options.size)),
            "policy": None
            if options.policy is None
            else {
                "name": options.policy,
                **identify_policy(options.policy, policy).to_json(),
            },
        },
    }


def _results(writer: RunWriter) -> dict[str, Any]:
    """The metrics of a run: of all of it, and of what human and policy drove."""
    episodes, steps = columns(writer.episodes.table()), columns(writer.steps.table())

    def of(driver: str | None) -> dict[str, Any]:
        own = episodes if driver is None else select(episodes, episodes["driver"] == driver)
        values = summarize(select(steps, np.isin(steps["episode"], own["episode"])), own)
        return {k: or_null(v) if isinstance(v, float) else v for k, v in values.items()}

    drivers = [name for name in (HUMAN, POLICY) if (episodes["driver"] == name).any()]
    return {"metrics": of(None), "drivers": {name: of(name) for name in drivers}}


def _write_demonstrations(
    options: DriveOptions, out: Path, link: Link
) -> tuple[Demonstration, ...]:
    if options.demonstrations is None:
        return ()
    link.tell({"type": "saving"})
    with progress_bar("writing demonstrations") as report:
        written = write_demonstrations(read_run(out), options.demonstrations, progress=report)
    if not written:
        typer.echo("nothing was driven by hand for long enough to be a demonstration", err=True)
    return written


def _farewell(
    out: Path, log: DriveLog, options: DriveOptions, written: tuple[Demonstration, ...]
) -> dict[str, Any]:
    """What the page says at the end."""
    folder = shlex.quote(str(out.absolute()))
    commands = [f"vista-sim replay {folder} --web", f"vista-sim report {folder}"]
    text = (
        f"{log.seconds:.0f} s and {log.distance:.0f} m were driven in {log.episodes} episodes. "
        f"The run is in {out} on the machine that the drive was served from. Look at it with:"
    )
    if written:
        assert options.demonstrations is not None
        demos = shlex.quote(str(options.demonstrations.absolute()))
        commands.append(f'for demo in {demos}/*; do vista-sim bake "$demo"; done')
        commands.append(f"vista-train bc --traces {demos}/* --out policies/mine")
    return _over(text, commands)


def _over(text: str, commands: Sequence[str] = ()) -> dict[str, Any]:
    """The last message to the page."""
    return {"type": "end", "title": "The drive is over", "text": text, "commands": list(commands)}


def _invite(server: DriveServer, access: Access, options: DriveOptions) -> None:
    """Say where the page is, and open it."""
    typer.echo(f"drive at {server.url}")
    if is_loopback(access.host):
        forward = f"{server.port}:127.0.0.1:{server.port}"
        typer.echo(f"from another machine: ssh -N -L {forward} {socket.gethostname()}")
        typer.echo("and then open the same address there")
    typer.echo("Ctrl-C here, or End drive on the page, ends the drive")
    sys.stdout.flush()
    screen = any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
    here = screen and not os.environ.get("SSH_CONNECTION")
    if here if options.open_page is None else options.open_page:
        threading.Thread(target=webbrowser.open, args=(server.url,), daemon=True).start()


@contextlib.contextmanager
def _ended_by_signals(stopping: threading.Event) -> Iterator[None]:
    """Ctrl-C and SIGTERM end the drive as its button does; a second one ends the program."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {n: signal.getsignal(n) for n in numbers if signal.getsignal(n) != signal.SIG_IGN}

    def end(number: int, frame: FrameType | None) -> None:
        stopping.set()
        for one, handler in before.items():
            signal.signal(one, handler)

    for number in before:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _told(link: Link) -> Iterator[None]:
    """What ends the drive too early is told to the driver too."""
    try:
        yield
    except VistaError as error:
        link.tell(_over(f"It ended too early: {error}"))
        raise
