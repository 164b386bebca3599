"""`vista-sim render`: look at synthesized views."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from vista_sim.atomic import whole_file, why_not, write_whole
from vista_sim.console import parse_size, progress_bar, require_within
from vista_sim.errors import VistaError

if TYPE_CHECKING:
    from vista_sim.sensors.camera import Camera


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command("render")(render)


def render(
    trace: Annotated[Path, typer.Argument(help="Trace folder, or the name of a sample.")],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Picture (.png) or, along the drive, video (.mp4).")
    ],
    t: Annotated[float, typer.Option(help="Moment of the scene, s (picture).")] = 0.0,
    lateral: Annotated[
        list[float] | None,
        typer.Option(help="Metres to the left of the recorded car; repeat for views side by side."),
    ] = None,
    heading: Annotated[float, typer.Option(help="Turn to the left, degrees.")] = 0.0,
    camera: Annotated[
        str | None, typer.Option(help="Recorded camera; the first where not given.")
    ] = None,
    size: Annotated[str, typer.Option(help="HEIGHTxWIDTH; as recorded where not given.")] = "",
    fov: Annotated[
        float | None, typer.Option(help="Horizontal field of view, degrees; as recorded.")
    ] = None,
    show: Annotated[
        str, typer.Option(help="What to draw: image, source (where pixels are from), depth.")
    ] = "image",
) -> None:
    """Synthesize what the camera would see beside the recorded path.

    A strip at -1, 0 and +1 m:
    vista-sim render TRACE -o strip.png --t 5 --lateral -1 --lateral 0 --lateral 1
    """
    import cv2

    from vista_sim.sensors.camera import Camera
    from vista_sim.traces.trace import Trace

    drive = Trace.open(trace)
    if not drive.cameras:
        raise VistaError(f"{trace}: the trace has no camera")
    if show not in ("image", "source", "depth"):
        raise VistaError(f"--show is {show!r}; choose image, source or depth")
    if out.suffix not in (".png", ".mp4"):
        raise VistaError(f"{out}: give a name that ends in .png or .mp4")
    require_within("--heading", heading, -180.0, 180.0)
    for value in lateral or ():
        require_within("--lateral", value, -100.0, 100.0)
    if fov is not None:
        require_within("--fov", fov, 1.0, 175.0)
    try:
        cam = Camera(
            drive,
            camera or next(iter(drive.cameras)),
            size=parse_size(size) if size else None,
            fov=None if fov is None else math.radians(fov),
        )
    except ValueError as error:
        raise VistaError(str(error)) from None
    offsets = [(0.0, y, math.radians(heading)) for y in (lateral or [0.0])]
    if out.suffix == ".mp4":
        _film(cam, offsets, show, out)
    else:
        picture = np.hstack([_draw(cam, t, offset, show) for offset in offsets])
        _, data = cv2.imencode(".png", picture[..., ::-1])
        try:
            write_whole(out, data.tobytes())
        except OSError as error:
            raise VistaError(f"{out}: {why_not(error)}") from None
    typer.echo(str(out))


def _film(cam: Camera, offsets: list[tuple[float, float, float]], show: str, out: Path) -> None:
    from vista_sim.traces.video import VideoWriter

    times = [t for t in cam.trace.cameras[cam.name].t if 0 <= t <= cam.trace.duration]
    rate = (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 else 10.0
    height, width = cam.size
    try:
        with (
            progress_bar("rendering", "frames") as report,
            whole_file(out) as part,
            VideoWriter(part, (height, width * len(offsets)), rate) as video,
        ):
            for i, t in enumerate(times):
                video.write(np.hstack([_draw(cam, t, offset, show) for offset in offsets]))
                report(i + 1, len(times))
    except OSError as error:
        raise VistaError(f"{out}: {why_not(error)}") from None


def _draw(cam: Camera, t: float, offset: tuple[float, float, float], show: str) -> Any:
    """uint8 (height, width, 3) RGB: the view, its sources or its depth."""
    import cv2

    view = cam.render_view(t, offset)
    if show == "source":
        tints = np.array([(255, 255, 255), (90, 170, 255), (255, 120, 60)], dtype=np.float32)
        tinted = view.image * (0.4 + 0.6 * tints[view.source] / 255)
        return np.clip(tinted, 0, 255).astype(np.uint8)
    if show == "depth":
        near = np.clip(np.sqrt(view.inverse_depth / 0.5), 0, 1)  # 2 m is the brightest
        return cv2.applyColorMap((255 * near).astype(np.uint8), cv2.COLORMAP_TURBO)[..., ::-1]
    return view.image
