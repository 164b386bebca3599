"""`vista-sim bake`: estimate the geometry of a trace once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from vista_sim.console import parse_size, progress_bar
from vista_sim.errors import GeometryError


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command("bake")(bake)


def bake(
    trace: Annotated[Path, typer.Argument(help="Trace folder, or the name of a sample.")],
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
        typer.Option(
            help="ground (flat), multiview (neighbouring frames), stereo (a second camera), "
            "lidar, learned (by vista-train depth), onnx:FILE (a depth model of your own), several "
            "joined by +; "
            "auto: all that the recording has."
        ),
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
        with progress_bar(f"baking {name}", "frames") as report:
            wanted = parse_size(size) if size else None
            done = bake_camera(drive, name, wanted, geometry, workers, report, force)
        rate = done.frames / done.seconds if done.seconds else None
        results.append(
            {
                "camera": name,
                "path": str(done.path),
                "frames": done.frames,
                "seconds": round(done.seconds, 3),
                "frames_per_second": None if rate is None else round(rate, 2),
                **done.report,
                "doubts": list(done.doubts),
            }
        )
        if not as_json:
            how = "was there already" if rate is None else f"{rate:.1f} frames/s"
            typer.echo(f"{name}: {done.frames} frames, {how}, {done.path}")
    if as_json:
        typer.echo(json.dumps({"cameras": results}, indent=2))
