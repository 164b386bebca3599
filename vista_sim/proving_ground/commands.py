"""`vista-sim record`: drives through the proving ground and writes a trace."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vista_sim.console import parse_size, progress_bar, require_within
from vista_sim.errors import VistaError

if TYPE_CHECKING:
    from vista_sim.proving_ground.street import Street


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("record")(record_command)


def record_command(
    destination: Annotated[Path, typer.Argument(metavar="DST", help="Folder of the new trace.")],
    seed: Annotated[int, typer.Option(help="Of the world, the driver and the noise.")] = 7,
    seconds: Annotated[float, typer.Option(help="Length of the drive, s.")] = 90.0,
    size: Annotated[
        str, typer.Option(metavar="HxW", help="Height x width of the images, px.")
    ] = "200x320",
    fov: Annotated[float, typer.Option(help="Horizontal field of view, degrees.")] = 75.0,
    rate: Annotated[float, typer.Option(help="Frames per second.")] = 10.0,
    mount_x: Annotated[float, typer.Option(help="Camera in front of the rear axle, m.")] = 1.6,
    mount_y: Annotated[float, typer.Option(help="Camera left of the car's middle, m.")] = 0.0,
    mount_height: Annotated[float, typer.Option(help="Camera above the ground, m.")] = 1.4,
    pitch: Annotated[float, typer.Option(help="Camera's tilt downwards, degrees.")] = 4.0,
    distortion: Annotated[
        str, typer.Option(metavar="K1,K2,P1,P2,K3", help="Brown-Conrady coefficients.")
    ] = "0,0,0,0,0",
    stereo: Annotated[
        float,
        typer.Option(metavar="BASELINE", help="Second camera so far to the right, m; 0: none."),
    ] = 0.0,
    supersample: Annotated[int, typer.Option(help="Samples drawn along each side of a pixel.")] = 2,
    position_noise: Annotated[
        float, typer.Option(help="Deviation of the recorded positions, m.")
    ] = 0.003,
    angle_noise: Annotated[
        float, typer.Option(help="Deviation of the recorded attitude, degrees.")
    ] = 0.02,
    traffic: Annotated[
        int, typer.Option(metavar="N", help="Other cars on the road: some lead, most come.")
    ] = 0,
    street: Annotated[
        str,
        typer.Option(
            metavar="WAY",
            help="A city street, no country road: two-way, one-way (driven in its middle), "
            "right-lane or left-lane (of two that go the same way), or any (by the seed). "
            "What the next three leave out, the seed draws.",
        ),
    ] = "",
    lines: Annotated[
        str, typer.Option(help="White lines of the street: none, centre, edges, all or any.")
    ] = "any",
    lane_width: Annotated[
        float | None, typer.Option(help="Half of the street's driven surface, m, 2.4 to 3.75.")
    ] = None,
    parked: Annotated[
        str | None,
        typer.Option(
            metavar="LEFT,RIGHT", help="Shares of the street's kerbs at which cars park, 0 to 1."
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a trace that is there already.")
    ] = False,
) -> None:
    """Drive through a generated world (PyBullet) and record it as a trace."""
    from vista_sim.proving_ground.record import Recording, record

    require_within("--mount-x", mount_x, -5.0, 5.0)
    require_within("--mount-y", mount_y, -2.0, 2.0)
    require_within("--mount-height", mount_height, 0.3, 5.0)
    require_within("--pitch", pitch, -45.0, 45.0)
    require_within("--position-noise", position_noise, 0.0, 10.0)
    require_within("--angle-noise", angle_noise, 0.0, 10.0)
    recording = Recording(
        seed=seed,
        seconds=seconds,
        size=parse_size(size),
        fov=math.radians(fov),
        rate=rate,
        mount=(mount_x, mount_y, mount_height),
        pitch=math.radians(pitch),
        distortion=_numbers(distortion, 5, "--distortion"),
        stereo=stereo,
        supersample=supersample,
        position_noise=position_noise,
        angle_noise=math.radians(angle_noise),
        traffic=traffic,
        street=_street(seed, street, lines, lane_width, parked),
    )
    with progress_bar("recording", "frames") as report:
        record(destination, recording, overwrite=overwrite, progress=report)
    typer.echo(f"{destination}: {seconds:g} s recorded with seed {seed}")


def _street(
    seed: int, way: str, lines: str, lane_width: float | None, parked: str | None
) -> Street | None:
    from vista_sim.proving_ground.street import Street

    if not way:
        if lines != "any" or lane_width is not None or parked is not None:
            raise VistaError("--lines, --lane-width and --parked are of a street; give --street")
        return None
    street = Street.draw(seed, way, lines)
    if lane_width is not None:
        street = replace(street, lane_width=lane_width)
    if parked is not None:
        left, right = _numbers(parked, 2, "--parked")
        street = replace(street, parked=(left, right))
    return street


def _numbers(text: str, count: int, option: str) -> tuple[float, ...]:
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if len(values) != count or not all(math.isfinite(v) for v in values):
        raise VistaError(f"{option} is {text!r}; it must be {count} numbers with commas between")
    return values
