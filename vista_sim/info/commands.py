"""The command `vista-sim info`."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vista_sim.errors import TraceError, VistaError
from vista_sim.traces.sections import SHORTEST

if TYPE_CHECKING:
    from vista_sim.traces.trace import Trace


def register(app: typer.Typer) -> None:
    """Add the commands of this part to the program."""
    app.command("info")(info)


def info(
    trace: Annotated[Path, typer.Argument(help="Trace folder, or the name of a sample.")],
    min_speed: Annotated[float, typer.Option(help="Slower stretches are not driven (m/s).")] = 2.5,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    frame: Annotated[
        int | None,
        typer.Option(help="Draw this frame: image, baked inverse depth and confidence, as a PNG."),
    ] = None,
    camera: Annotated[
        str, typer.Option(help="Camera of --frame; the first baked one where not given.")
    ] = "",
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="PNG that --frame writes; TRACE-CAMERA-FRAME.png where not given."
        ),
    ] = None,
) -> None:
    """Say what a trace holds: duration, length, sensors, ranges, gaps, sections and geometry.

    Findings say what in the recording contradicts itself, and what to do about it.
    """
    from vista_sim.info.summary import summarize
    from vista_sim.traces.trace import Trace

    if frame is None and (camera or out is not None):
        raise VistaError("--camera and --out are about the picture of a frame: give --frame N")
    with Trace.open(trace) as opened:
        summary = summarize(opened, min_speed=min_speed)
        if frame is not None:
            summary["picture"] = str(_draw(opened, summary["geometry"], frame, camera, out))
    if as_json:
        typer.echo(json.dumps(summary, indent=2))
    elif frame is not None:
        typer.echo(summary["picture"])
    else:
        _print(summary, min_speed)


def _draw(trace: Trace, baked: list[str], frame: int, camera: str, out: Path | None) -> Path:
    from vista_sim.geometry.picture import write_picture

    if not trace.cameras or (camera and camera not in trace.cameras):
        known = ", ".join(trace.cameras) or "none"
        raise TraceError(f"{trace.root}: no camera {camera!r}; cameras: {known}")
    name = camera or next(iter([*baked, *trace.cameras]))
    path = out or Path(f"{trace.root.name}-{name}-{frame:06d}.png")
    return write_picture(trace, name, frame, path)


def _print(summary: dict[str, Any], min_speed: float) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=summary["name"], show_header=False, title_justify="left")
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, text in _rows(summary, min_speed):
        table.add_row(name, text)
    Console().print(table)


def _rows(summary: dict[str, Any], min_speed: float) -> list[tuple[str, str]]:
    rows = [
        ("source", summary["source"] or "not given"),
        ("licence", summary["licence"] or "not given"),
        ("duration", f"{summary['duration']:.2f} s"),
        ("length", f"{summary['length']:.1f} m"),
        ("ego", f"{summary['ego_rows']} rows at {summary['ego_rate']:.1f} Hz"),
    ]
    for name, sensor in summary["sensors"].items():
        rate = "" if sensor["rate"] is None else f" at {sensor['rate']:.1f} Hz"
        if sensor["type"] == "camera":
            height, width = sensor["size"]
            fov = math.degrees(sensor["fov"])
            text = f"{summary['frames'][name]} frames{rate}, {height} x {width}, {fov:.0f} degrees"
        else:
            text = f"{summary['sweeps'][name]} sweeps{rate}"
        rows.append((f"{sensor['type']} {name}", text))
    speed, curvature = summary["speed"], summary["curvature"]
    rows.append(("speed", f"{speed['min']:.1f} to {speed['max']:.1f} m/s"))
    if curvature is not None:
        text = f"{curvature['min']:+.4f} to {curvature['max']:+.4f} 1/m (left is positive)"
        rows.append(("curvature", text))
    rows.append(("gaps", _intervals(summary["gaps"]) or "none"))
    for finding in summary["findings"]:
        text = f"{finding['where']}: {finding['text']}; {finding['remedy']}"
        rows.append((f"{finding['level']} ({finding['name']})", text))
    if not summary["findings"]:
        rows.append(("findings", "none"))
    sections = [(s["start"], s["end"]) for s in summary["sections"]]
    share = f"{summary['usable_duration']:.1f} s, {summary['usable_length']:.1f} m"
    listed = _intervals(sections) or f"none, {_why_none(summary['undriven'], min_speed)}"
    rows.append(("sections", f"{listed} ({share})"))
    keys = sorted({f"{x['key']}={x['value']}" for x in summary["labels"]})
    rows.append(("labels", ", ".join(keys) or "none"))
    for name, baked in summary["baked"].items():
        rows.append((f"geometry {name}", "; ".join(_geometry(baked))))
        rows += [("warning", doubt) for doubt in baked["doubts"]]
    if not summary["baked"]:
        rows.append(("geometry", "not baked"))
    return rows


def _why_none(undriven: dict[str, float], min_speed: float) -> str:
    """What keeps a whole drive from being driven, with its seconds."""
    shortest_time, shortest_length = SHORTEST
    words = {
        "slow": f"slower than {min_speed:g} m/s",
        "reverse": "in reverse",
        "gaps": "without samples, or where they contradict each other",
        "short": f"between those, under {shortest_time:g} s or {shortest_length:g} m at a time",
    }
    shares = [
        f"{undriven[why]:.2f} s {text}" for why, text in words.items() if undriven[why] > 0.005
    ]
    return ", ".join(shares) or "it is too short"


def _geometry(baked: dict[str, Any]) -> list[str]:
    """What is worth knowing of the baked geometry of one camera."""
    height, width = baked["size"]
    texts = [f"{' + '.join(baked['sources']) or 'baked'}, {height} x {width}"]
    if baked["confident_share"] is not None:
        texts.append(f"{100 * baked['confident_share']:.0f} % of the pixels confident")
    if baked["frames_without_neighbours"]:
        texts.append(f"{baked['frames_without_neighbours']} frames without neighbours")
    if motion := baked["motion"]:
        texts.append(
            "poses moved between keyframes by "
            f"{100 * motion['median_shift_m']:.1f} cm, {motion['median_turn_deg']:.2f} degrees "
            f"(at most {100 * motion['max_shift_m']:.1f} cm, {motion['max_turn_deg']:.2f} degrees)"
        )
    ground = baked["ground"]
    if ground and not ground["frames_fitted"]:
        texts.append("no road seen to fit the ground to")
    elif ground:
        texts.append(
            f"ground off the calibration by {100 * ground['median_height_m']:.1f} cm, pitch "
            f"{ground['median_pitch_deg']:.2f}, roll {ground['median_roll_deg']:.2f} degrees "
            f"(at most {100 * ground['max_height_m']:.1f} cm, {ground['max_pitch_deg']:.2f}, "
            f"{ground['max_roll_deg']:.2f} degrees)"
        )
    return texts


def _intervals(intervals: Any, most: int = 8) -> str:
    texts = [f"{start:.2f}-{end:.2f} s" for start, end in intervals]
    hidden = len(texts) - most
    return ", ".join(texts[:most]) + (f" and {hidden} more" if hidden > 0 else "")
