"""The command `vista-sim check`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vista_sim.console import progress_bar
from vista_sim.errors import VistaError
from vista_sim.traces.atomic import check_destination

if TYPE_CHECKING:
    from vista_sim.checking.report import CameraCheck
    from vista_sim.traces.trace import Trace


def register(app: typer.Typer) -> None:
    """Add the commands of this part to the program."""
    app.command("check")(check)


def check(
    trace: Annotated[Path, typer.Argument(help="Trace folder, or the name of a sample.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="PNG to write: frames, path, findings.")
    ] = None,
    camera: Annotated[
        str, typer.Option(help="Camera that is looked at; the first where not given.")
    ] = "",
    rrd: Annotated[
        Path | None, typer.Option(help="The same for Rerun, with the drive in 3D (.rrd).")
    ] = None,
    fix: Annotated[
        Path | None,
        typer.Option(
            metavar="FIXED_TRACE",
            help="Write a trace with what was found mended: times, poses and calibration; videos "
            "are linked, baked geometry is left out.",
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace what --rrd or --fix write.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Look whether a drive is right: its frames against its poses and its calibration.

    The picture shows the recorded path of the next 40 m, the ground, the horizon, and lidar points
    and boxes where there are any, on frames spread over the drive. Findings say what is wrong, and
    the option that mends it; what cannot be told is said too.

    Exit status: 0 if nothing wrong was found, 1 if something was, 2 if the drive cannot be read.
    """
    from vista_sim.checking.check import check as check_trace
    from vista_sim.checking.sheet import panels, write_sheet
    from vista_sim.traces.trace import Trace

    if out is not None and out.suffix.lower() != ".png":
        raise VistaError(f"{out}: the picture is a PNG; its name must end in .png")
    if rrd is not None and rrd.suffix != ".rrd":
        raise VistaError(f"{rrd}: a recording of Rerun has a name that ends in .rrd")
    if fix is not None:
        check_destination(fix, overwrite)
    with Trace.open(trace) as opened:
        with progress_bar("looking at frames", "pairs") as progress:
            report = check_trace(opened, camera, progress)
        shown = panels(opened, opened.find_camera(camera or None)) if out or rrd else []
        if out is not None:
            write_sheet(out, opened, report, shown)
        if rrd is not None:
            from vista_sim.checking.scene import write_scene

            write_scene(rrd, opened, report, shown, overwrite)
        told = _mend(opened, report, fix, overwrite) if fix is not None else []
    if as_json:
        typer.echo(json.dumps(report.to_json(), indent=2))
    else:
        _print(report)
        for line in [*told, *(str(path) for path in (out, rrd) if path is not None)]:
            typer.echo(line)
    raise typer.Exit(1 if report.findings else 0)


def _mend(trace: Trace, report: CameraCheck, fix: Path, overwrite: bool) -> list[str]:
    """Write the mended trace, where there is something to mend; what to tell about it."""
    from vista_sim.checking.amended import write_amended
    from vista_sim.checking.mending import MENDED, amendment_of

    names = [finding.name for finding in report.findings]
    mended = [name for name in names if name in MENDED]
    if not mended:
        return [f"{fix}: not written: nothing was found that --fix mends"]
    write_amended(trace, fix, report.camera, amendment_of(trace, report), overwrite)
    lines = [f"{fix}: mended {', '.join(mended)}; bake it, and check it again"]
    rest = [name for name in names if name not in MENDED]
    if rest:
        lines.append(f"note: --fix cannot mend {', '.join(rest)}")
    return lines


def _print(report: CameraCheck) -> None:
    for finding in report.findings:
        typer.echo(f"{finding.name}: {finding.line}")
    if not report.findings:
        typer.echo(f"nothing wrong was found ({report.pairs} pairs of frames)")
    for line in report.untold:
        typer.echo(f"note: {line}")
