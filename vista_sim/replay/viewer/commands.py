"""The command `vista-sim replay`."""

from __future__ import annotations

import os
import shutil
import sys
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vista_sim.console import progress_bar
from vista_sim.errors import VistaError

if TYPE_CHECKING:
    from vista_sim.replay.viewer.runs import RunReplay
    from vista_sim.replay.viewer.trace import TraceReplay

MAX_PORT = 65535


def register(app: typer.Typer) -> None:
    """Add the commands of this part to the program."""
    app.command("replay")(replay)


def replay(
    folders: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN|TRACE...", help="Run folders, or one trace, by folder or name."
        ),
    ],
    web: Annotated[
        bool, typer.Option("--web", help="Serve a page for the browser, on this machine alone.")
    ] = False,
    port: Annotated[int, typer.Option(help="Port of the page; 0: any.")] = 0,
    save: Annotated[
        Path | None, typer.Option(help="Write a file for Rerun (.rrd) and open nothing.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the file of --save.")
    ] = False,
    episode: Annotated[
        str,
        typer.Option(
            help="Episode N of the runs, FIRST:LAST, or all. Without it the drives, not the "
            "starts of a recovery test."
        ),
    ] = "",
    points: Annotated[
        bool, typer.Option("--points/--no-points", help="Point clouds around the road.")
    ] = True,
) -> None:
    """Look at runs, or at a trace, in 3D: paths, views, plots, endings.

    Opens a window of Rerun; --web shows the same in the browser. Several runs are shown together,
    each in its own colour.
    """
    from vista_sim.replay.viewer.serving import check_screen, opened, saving

    if save is not None and web:
        raise VistaError("--save and --web are both given; choose one")
    if not 0 <= port <= MAX_PORT:
        raise VistaError(f"--port is {port}; it must be from 0 to {MAX_PORT}")
    if port and not web:
        raise VistaError("--port is of the page: give --web too")
    if save is None and not web:
        check_screen()
    shown = _open(folders, episode, points)
    if save is None and not web and shutil.which("ffmpeg") is None:
        shown.recording.note(
            "videos: Rerun's window needs the program ffmpeg for them, --web does not"
        )
    stream = shown.recording.stream
    if save is not None:
        with (
            saving(stream, save, overwrite) as flow,
            progress_bar("writing the recording") as report,
        ):
            shown.log_first()
            shown.log_rest(flow.checked(report))
        _tell_notes(shown)
        typer.echo(str(save))
        return
    with opened(web, port) as viewer:
        with viewer.receiving(stream) as flow:
            if web:
                _say(f"open {viewer.url}")
                if _has_screen():
                    webbrowser.open(viewer.url)
            shown.log_first()
            if web:
                _say("shown: scene, plots and videos; points and overlays follow")
            with progress_bar("sending the rest") as report:
                shown.log_rest(flow.checked(report))
        _tell_notes(shown)
        _say("Ctrl-C ends it" if web else "closing the window ends it")
        viewer.wait()


def _open(folders: list[Path], episode: str, points: bool) -> RunReplay | TraceReplay:
    """What the folders hold. Raises VistaError."""
    from vista_sim.replay.viewer.runs import RunReplay
    from vista_sim.replay.viewer.trace import TraceReplay
    from vista_sim.traces.samples import find_trace

    folders = [folder if folder.exists() else find_trace(folder) for folder in folders]
    traces = [f for f in folders if not (f / "run.json").exists() and (f / "trace.json").exists()]
    if not traces:
        for folder in folders:
            if not (folder / "run.json").exists():
                raise VistaError(
                    f"{folder}: holds neither a run (run.json) nor a trace (trace.json)"
                )
        return RunReplay(folders, episode, points)
    if len(folders) > 1:
        raise VistaError(f"{traces[0]}: is a trace; a trace is shown alone")
    if episode:
        raise VistaError("--episode is of runs; a trace has none")
    return TraceReplay(traces[0], points)


def _say(line: str) -> None:
    """Print a line at once, also into a pipe."""
    typer.echo(line)
    sys.stdout.flush()


def _tell_notes(shown: RunReplay | TraceReplay) -> None:
    for note in shown.recording.notes:
        typer.echo(f"note: {note}", err=True)


def _has_screen() -> bool:
    names = ("DISPLAY", "WAYLAND_DISPLAY")
    return not sys.platform.startswith("linux") or any(os.environ.get(n) for n in names)
