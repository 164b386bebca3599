"""How true synthesized views are of any real drive: frames left out, and made again.

    python benchmarks/left_out.py TRACE [--camera NAME] [--size 270x480] [--json] [--pictures DIR]

Every fifth frame is withheld from the bake and from synthesis, then synthesized at its own time
and pose, and compared with what was recorded: PSNR and SSIM (11-pixel Gaussian window of sigma
1.5) over whole colour pictures, mean over the withheld frames at which the car is faster than
walking. Beside them stand the nearest frame that was not withheld, copied, and flat ground, the
geometry of VISTA 2.0, drawn by the same renderer. No second camera is needed.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
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


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("trace", type=Path)
    parser.add_argument("--camera", help="default: the first of the trace")
    parser.add_argument("--size", default="270x480", help="HEIGHTxWIDTH of the views")
    parser.add_argument("--geometry", default="auto", help="how the trace is baked")
    parser.add_argument("--speed", type=float, default=WALKING, help="of judged frames, m/s")
    parser.add_argument("--workers", type=int, default=2, help="threads that bake")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--pictures", type=Path, help="folder for true view, view, depth")
    print_measured(parser.parse_args(), measure, as_text)


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """{"trace", "camera", "frames", "size", "view", "copy", "ground"}, the last three `Scores`."""
    trace = Trace.open(options.trace)
    name = trace.find_camera(options.camera).name
    height, width = (int(side) for side in options.size.split("x"))
    size = (height, width)
    recorded = trace.cameras[name]
    withheld = range(EVERY - 1, recorded.frame_count - 1, EVERY)
    judged = [i for i in withheld if trace.speed(float(recorded.t[i])) > options.speed]
    if not judged:
        raise VistaError(f"{trace.root}: at none of the withheld frames the car is fast enough")
    truths = {i: _shrunk(recorded.frame(i), size) for i in judged}
    kept = np.setdiff1d(np.arange(recorded.frame_count), withheld)
    nearest = {i: int(kept[np.argmin(np.abs(recorded.t[kept] - recorded.t[i]))]) for i in judged}
    copies = [compare(_shrunk(recorded.frame(nearest[i]), size), truths[i]) for i in judged]
    part = thinned(trace, folder / "trace", {name: withheld}, {})
    result: dict[str, Any] = {
        "trace": trace.name,
        "camera": name,
        "size": size,
        "geometry": options.geometry,
        "frames": len(judged),
        "copy": mean(copies),
    }
    for key, geometry in (("ground", "ground"), ("view", options.geometry)):
        print(f"baking: {geometry}", file=sys.stderr)
        bake_camera(part, name, geometry=geometry, workers=options.workers, force=True)
        camera = Camera(part, name, size=size)
        scores: list[Scores] = []
        for i, truth in truths.items():
            view = camera.render_view(float(recorded.t[i]))
            scores.append(compare(view.image, truth) | shares(view))
            if options.pictures and key == "view":
                options.pictures.mkdir(parents=True, exist_ok=True)
                picture = strip(truth, view.image, view.inverse_depth)
                write_picture(options.pictures / f"{trace.name}-{i:04d}.png", [picture])
        result[key] = mean(scores)
    return result


def _shrunk(image: Image, size: tuple[int, int]) -> Image:
    """A picture shrunk by averaging over areas."""
    return np.asarray(cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA), np.uint8)


def as_text(result: dict[str, Any]) -> str:
    height, width = result["size"]
    lines = [
        f"{result['trace']}, camera {result['camera']}, {height} x {width}, {result['frames']} "
        f"frames, geometry: {result['geometry']}",
        f"{'':24}{'PSNR dB':>10}{'SSIM':>8}{'holes %':>10}",
    ]
    for key, title in (
        ("view", "view"),
        ("copy", "nearest frame, copied"),
        ("ground", "flat ground"),
    ):
        scores = result[key]
        holes = f"{100 * scores['holes']:.1f}" if "holes" in scores else ""
        lines.append(f"{title:24}{scores['psnr']:>10.2f}{scores['ssim']:>8.3f}{holes:>10}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
