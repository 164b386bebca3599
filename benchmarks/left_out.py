"""How true synthesized views are of any real drive: frames left out, and made again.

    python benchmarks/left_out.py TRACE [--camera NAME] [--size 270x480] [--stretches 5-32 33-46]
        [--json] [--pictures DIR]

Every fifth frame is withheld from the bake and from synthesis, then synthesized at its own time
and pose, and compared with what was recorded: PSNR and SSIM (11-pixel Gaussian window of sigma
1.5) over whole colour pictures, mean over the withheld frames at which the car is faster than
walking. Beside them stand the nearest frame that was not withheld, copied, and flat ground, the
geometry of VISTA 2.0, drawn by the same renderer. No second camera is needed. Views have as many
pixels as 270 x 480 in the proportions of the recorded picture.
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from printing import print_measured
from scores import Image, Scores, compare, mean, shares
from strips import strip, write_picture
from thinned import thinned

from vista_sim.errors import VistaError
from vista_sim.geometry.bake import bake_camera
from vista_sim.sensors.camera import Camera
from vista_sim.traces.trace import Trace

EVERY = 5
WALKING = 1.4  # m/s
PIXELS = 270 * 480  # of a view
OTHER_SHAPE = 0.02  # share by which proportions may differ


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("trace", type=Path)
    parser.add_argument("--camera", help="default: the first of the trace")
    parser.add_argument("--size", help="HEIGHTxWIDTH of the views")
    parser.add_argument("--geometry", default="auto", help="how the trace is baked")
    parser.add_argument(
        "--stretches", nargs="+", default=[], help="START-END in s, that are judged by themselves"
    )
    parser.add_argument("--speed", type=float, default=WALKING, help="of judged frames, m/s")
    parser.add_argument("--workers", type=int, default=2, help="threads that bake")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--pictures", type=Path, help="folder for true view, view, depth")
    print_measured(parser.parse_args(), measure, as_text)


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """{"trace", "camera", "size", "geometry", "frames", "view", "copy", "ground", "stretches"}.

    "view", "copy" and "ground" are `Scores`; "stretches" lists those and "frames" of each stretch.
    """
    trace = Trace.open(options.trace)
    name = trace.find_camera(options.camera).name
    recorded = trace.cameras[name]
    size = _size_of_views(options.size, recorded.calibration.lens.size)
    withheld = range(EVERY - 1, recorded.frame_count - 1, EVERY)
    judged = [i for i in withheld if trace.speed(float(recorded.t[i])) > options.speed]
    if not judged:
        raise VistaError(f"{trace.root}: at none of the withheld frames the car is fast enough")
    stretches = {text: _within(recorded.t[judged], text) for text in options.stretches}
    truths = {i: _shrunk(recorded.frame(i), size) for i in judged}
    kept = np.setdiff1d(np.arange(recorded.frame_count), withheld)
    nearest = {i: int(kept[np.argmin(np.abs(recorded.t[kept] - recorded.t[i]))]) for i in judged}
    each: dict[str, list[Scores]] = {
        "copy": [compare(_shrunk(recorded.frame(nearest[i]), size), truths[i]) for i in judged]
    }
    part = thinned(trace, folder / "trace", {name: withheld}, {})
    for key, geometry in (("ground", "ground"), ("view", options.geometry)):
        print(f"baking: {geometry}", file=sys.stderr)
        bake_camera(part, name, geometry=geometry, workers=options.workers, force=True)
        camera = Camera(part, name, size=size)
        each[key] = []
        for i, truth in truths.items():
            view = camera.render_view(float(recorded.t[i]))
            each[key].append(compare(view.image, truth) | shares(view))
            if options.pictures and key == "view":
                options.pictures.mkdir(parents=True, exist_ok=True)
                picture = strip(truth, view.image, view.inverse_depth)
                write_picture(options.pictures / f"{trace.name}-{i:04d}.png", [picture])
    return {
        "trace": trace.name,
        "camera": name,
        "size": size,
        "geometry": options.geometry,
        **_means(each, np.ones(len(judged), dtype=bool)),
        "stretches": [
            {"stretch": stretch, **_means(each, chosen)} for stretch, chosen in stretches.items()
        ],
    }


def _size_of_views(asked: str | None, recorded: tuple[int, int]) -> tuple[int, int]:
    """(height, width) as asked, which must be in the proportions of the recorded picture."""
    if asked is None:
        scale = min(1.0, math.sqrt(PIXELS / (recorded[0] * recorded[1])))
        return round(recorded[0] * scale), round(recorded[1] * scale)
    height, width = (int(side) for side in asked.split("x"))
    if abs(height / width * recorded[1] / recorded[0] - 1) > OTHER_SHAPE:
        raise VistaError(
            f"--size is {asked}; pictures of {recorded[0]} x {recorded[1]} would be distorted: "
            "leave it out, or give a size of the same proportions"
        )
    return height, width


def _within(times: NDArray[np.float64], stretch: str) -> NDArray[np.bool_]:
    """Which times (n,) s lie within START-END."""
    start, end = (float(part) for part in stretch.split("-"))
    inside = (times >= start) & (times <= end)
    if not inside.any():
        raise VistaError(f"--stretches {stretch}: no judged frame was taken then")
    return inside


def _means(each: dict[str, list[Scores]], chosen: NDArray[np.bool_]) -> dict[str, Any]:
    """{"frames", "copy", "ground", "view"} of the chosen frames (n,)."""
    means = {
        key: mean([scores for scores, use in zip(values, chosen, strict=True) if use])
        for key, values in each.items()
    }
    return {"frames": int(chosen.sum()), **means}


def _shrunk(image: Image, size: tuple[int, int]) -> Image:
    """A picture shrunk by averaging over areas."""
    return np.asarray(cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA), np.uint8)


def as_text(result: dict[str, Any]) -> str:
    height, width = result["size"]
    lines = [
        f"{result['trace']}, camera {result['camera']}, {height} x {width}, "
        f"geometry: {result['geometry']}",
    ]
    for part in (result, *result["stretches"]):
        title = f"{part['stretch']} s, " if "stretch" in part else ""
        title += f"{part['frames']} frames"
        lines += [f"{title:24}{'PSNR dB':>10}{'SSIM':>8}{'holes %':>10}"]
        for key, name in (
            ("view", "view"),
            ("copy", "nearest frame, copied"),
            ("ground", "flat ground"),
        ):
            scores = part[key]
            holes = f"{100 * scores['holes']:.1f}" if "holes" in scores else ""
            lines.append(f"{name:24}{scores['psnr']:>10.2f}{scores['ssim']:>8.3f}{holes:>10}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
