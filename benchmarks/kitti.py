"""Real photographs: KITTI odometry's right camera, synthesized from its left one alone."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from scores import Image, compare, mean, shares
from strips import strip, write_picture

from vista_sim.errors import VistaError
from vista_sim.geometry.bake import bake_camera
from vista_sim.sensors.camera import Camera
from vista_sim.traces.trace import Trace

FOLDER = Path(__file__).resolve().parents[2] / "shared" / "data" / "kitti-odometry"
BASELINE = 0.537  # m
SIZE = (188, 620)
MARGIN = 0.05  # of each side


def measure_kitti(
    source: Path, scratch: Path, geometry: str, workers: int, pictures: Path | None
) -> dict[str, Any]:
    """Scores of the views, of flat ground and of the left picture as it is ("no_warp").

    Half size, gray, central 90 % in each direction, holes as they are filled; mean over every
    third frame from the fifth.
    """
    from vista_sim.traces.importers.selection import Selection
    from vista_sim.traces.importers.write import import_recording

    if not source.is_dir():
        return {"skipped": f"{source} is absent"}
    import_recording(source, scratch, selection=Selection(cameras=("left",)))
    return judge(scratch, "left", source, geometry, workers, pictures)


def judge(
    made: Path, name: str, source: Path, geometry: str, workers: int, pictures: Path | None
) -> dict[str, Any]:
    """Scores of a trace whose camera of some name is the left one."""
    trace = Trace.open(made)
    images = source / "sequences" / "00"
    indices = range(4, trace.cameras[name].frame_count, 3)
    truths = {i: _read_half(images / "image_1" / f"{i:06d}.png") for i in indices}
    result: dict[str, Any] = {"frames": len(indices)}
    for kind, chosen in (("flat", "ground"), ("view", geometry)):
        print(f"KITTI: {chosen}", file=sys.stderr)
        baked = bake_camera(trace, name, geometry=chosen, workers=workers, force=True)
        result["bake_frames_per_second"] = round(baked.frames / baked.seconds, 2)
        camera = Camera(trace, name, size=SIZE)
        scores = []
        for i, truth in truths.items():
            view = camera.render_view(float(trace.cameras[name].t[i]), (0, -BASELINE, 0))
            gray = cv2.cvtColor(view.image, cv2.COLOR_RGB2GRAY)
            scores.append(compare(gray, truth, margin=MARGIN) | shares(view))
            if pictures and kind == "view" and i % 12 == 4:
                columns = [strip(truth, gray, view.inverse_depth)]
                write_picture(pictures / f"kitti-{i:03d}.png", columns)
        result[kind] = mean(scores)
    left = {i: _read_half(images / "image_0" / f"{i:06d}.png") for i in indices}
    result["no_warp"] = mean(compare(left[i], truths[i], margin=MARGIN) for i in indices)
    return result


def _read_half(path: Path) -> Image:
    """A gray image shrunk to half size by area averaging."""
    image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if image is None:
        raise VistaError(f"{path}: cannot be read as an image")
    return np.asarray(cv2.resize(image, SIZE[::-1], interpolation=cv2.INTER_AREA), np.uint8)
