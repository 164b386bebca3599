"""`vista-sim bake`: estimate the geometry of a trace once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from vista_sim.errors import GeometryError


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command("bake")(bake)


def bake(
    trace: Annotated[Path, typer.Argument(help="Folder of the trace.")],
    camera: Annotated[
        list[str] | None,
        typer.Option(help="Recorded camera; repeat for several. All where not given."),
    ] = None,
    size: Annotated[
        str,
        typer.Option(
            help="HEIGHTxWIDTH of the geometry; as recorded, or smaller, where not given."
        ),
    ] = "",
    geometry: Annotated[
        str,
        typer.Option(help="auto, ground (flat) or multiview (from neighbouring frames)."),
    ] = "auto",
    workers: Annotated[int, typer.Option(help="Threads.")] = 2,
    force: Annotated[
        bool, typer.Option("--force", help="Bake from the beginning even if it is done.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON.")] = False,
) -> None:
    """Estimate the inverse depth of every recorded frame from the trace itself, and keep it.

    It is done once per trace, goes on where it was interrupted, and is made again when the
    trace or the settings have changed.
    """
    from vista_sim.geometry.bake import bake_camera
    from vista_sim.traces.trace import Trace

    drive = Trace.open(trace)
    if not drive.cameras:
        raise GeometryError(f"{drive.root}: the trace has no camera to bake")
    results: list[dict[str, Any]] = []
    for name in camera or list(drive.cameras):
        with progress_bar(name, show=not as_json) as advance:
            done = bake_camera(drive, name, parse_size(size), geometry, workers, advance, force)
        rate = done.frames / done.seconds if done.seconds else None
        results.append(
            {
                "camera": name,
                "path": str(done.path),
                "frames": done.frames,
                "seconds": round(done.seconds, 3),
                "frames_per_second": None if rate is None else round(rate, 2),
                **done.report,
            }
        )
        if not as_json:
            how = "was there already" if rate is None else f"{rate:.1f} frames/s"
            typer.echo(f"{name}: {done.frames} frames, {how}, {done.path}")
    if as_json:
        typer.echo(json.dumps({"cameras": results}, indent=2))


def parse_size(text: str) -> tuple[int, int] | None:
    """(height, width) of "HEIGHTxWIDTH"; None of an empty text."""
    if not text:
        return None
    parts = text.lower().split("x")
    if len(parts) != 2 or not all(part.isdecimal() for part in parts):
        raise GeometryError(f"size is {text!r}; give HEIGHTxWIDTH in pixels, such as 200x320")
    return int(parts[0]), int(parts[1])


class progress_bar:  # noqa: N801, used like a function
    """A bar on stderr with frames done and frames per second; a callback for `bake`."""

    def __init__(self, name: str, show: bool = True) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._progress = Progress(
            TextColumn("baking {task.description}"),
            BarColumn(),
            TextColumn("{task.completed:.0f}/{task.total:.0f} frames"),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            disable=not show,
            transient=True,
        )
        self._task = self._progress.add_task(name, total=1, rate="", start=False)
        self._first: float | None = None

    def __enter__(self) -> progress_bar:
        return self

    def __exit__(self, *_: Any) -> None:
        if self._first is not None:
            self._progress.stop()

    def __call__(self, done: float, total: int) -> None:
        if self._first is None:  # what an earlier run did does not count for the rate
            self._first = done
            self._progress.start()
            self._progress.start_task(self._task)
        elapsed = self._progress.tasks[0].elapsed or 0.0
        rate = (done - self._first) / elapsed if elapsed > 0.5 else 0.0
        text = f"{rate:.1f} frames/s" if rate > 0 else ""
        self._progress.update(self._task, completed=done, total=total, rate=text)
