"""How true baked depth is of a real drive with a lidar: against sweeps that were left out.

    python benchmarks/lidar_depth.py TRACE [--camera NAME] [--json]

Every fourth sweep is taken out of the trace, with what other lidars measured within half a turn
of it. What remains is baked by each geometry, and the depth of the frame that was taken nearest to
each missing sweep is compared with what was measured of it within half a turn of the frame: the
share of the pixels that returns lie on, from 3 to 50 m, whose depth is off by more than a tenth,
of all and of the confident ones, and the median error. Beside them stand the share of pixels that
are confident, and of those that are marked as moving, the latter in all frames from the first
sweep to the last.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from printing import print_measured
from scores import FAR
from thinned import thinned

from vista_sim.errors import VistaError
from vista_sim.geometry.bake import bake_camera
from vista_sim.geometry.lidar import points_in_camera, project
from vista_sim.geometry.store import CONFIDENT, GeometryStore
from vista_sim.traces.trace import Trace

GEOMETRIES = ("ground", "multiview", "lidar", "auto")
EVERY, FIRST = 4, 2
NEAR = 0.05  # s between a frame and a sweep that is judged by it, and between sweeps left out
NEAREST = 3.0  # m


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("trace", type=Path)
    parser.add_argument("--camera", help="default: the first of the trace")
    parser.add_argument("--geometries", nargs="+", default=GEOMETRIES)
    parser.add_argument("--workers", type=int, default=2, help="threads that bake")
    parser.add_argument("--json", action="store_true", help="print JSON")
    print_measured(parser.parse_args(), measure, as_text)


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """{"trace", "camera", "sweeps", "geometries": {name: scores}}."""
    trace = Trace.open(options.trace)
    camera = options.camera or next(iter(trace.cameras), "")
    if camera not in trace.cameras or not trace.lidars:
        raise VistaError(f"{trace.root}: has no camera {camera!r}, or no lidar")
    frames, sweeps = trace.cameras[camera].t, next(iter(trace.lidars.values())).t
    near = {i: int(np.abs(frames - sweeps[i]).argmin()) for i in range(FIRST, len(sweeps), EVERY)}
    judged = {i: k for i, k in near.items() if abs(frames[k] - sweeps[i]) < NEAR}
    if not judged:
        raise VistaError(f"{trace.root}: no sweep was measured when a frame was taken")
    moments = sweeps[list(judged)]
    gone = {
        name: [i for i, t in enumerate(other.t) if np.abs(moments - t).min() < NEAR]
        for name, other in trace.lidars.items()
    }
    part = thinned(trace, folder / "trace", {}, gone)
    result: dict[str, Any] = {
        "trace": trace.name,
        "camera": camera,
        "sweeps": list(judged),
        "geometries": {},
    }
    first, last = np.searchsorted(frames, [sweeps[0], sweeps[-1]])
    for geometry in options.geometries:
        print(f"baking: {geometry}", file=sys.stderr)
        bake_camera(part, camera, geometry=geometry, workers=options.workers, force=True)
        store = GeometryStore.find(part, camera)
        assert store is not None
        returns = [_returns(trace, gone, camera, k, store) for k in judged.values()]
        moving = [float((store.inverse_depth[k] & 1).mean()) for k in range(first, last)]
        scores = judge(store, returns, list(judged.values()))
        result["geometries"][geometry] = scores | {
            "moving": float(np.mean(moving)) if store.moving_bit else 0.0
        }
    return result


def _returns(
    trace: Trace, gone: Mapping[str, list[int]], camera: str, frame: int, store: GeometryStore
) -> NDArray[np.floating]:
    """Inverse depth (h, w), 1/m, of the nearest return, of the sweeps that the bake did not see,
    in each pixel of a frame; 0: none.
    """
    mount = trace.cameras[camera].calibration.T_vehicle_camera
    t = float(trace.cameras[camera].t[frame])
    nearest, boxes = np.zeros(store.size, np.float32), trace.road_users
    for name, sweeps in gone.items():
        lidar = trace.lidars[name]
        for sweep in (lidar.sweep(i) for i in sweeps if abs(lidar.t[i] - t) < NEAR):
            if sweep.point_t is None:
                then = np.full(len(sweep.points), abs(sweep.t - t) < NEAR)
            else:
                then = np.abs(sweep.point_t - t) < NEAR
            optional = None if sweep.point_t is None else sweep.point_t[then]
            part = replace(sweep, points=sweep.points[then], point_t=optional)
            points = points_in_camera(trace, lidar, part, t, mount, boxes)
            nearest = np.maximum(nearest, project(points, store.lens))
    return nearest


def judge(
    store: GeometryStore, returns: list[NDArray[np.floating]], frames: list[int]
) -> dict[str, float]:
    """Scores of the depth of frames where there are returns from `NEAREST` to `FAR`."""
    errors, sure, confident = [], [], []
    for k, measured in zip(frames, returns, strict=True):
        seen = (measured > 1 / FAR) & (measured < 1 / NEAREST)
        depth = 1 / np.maximum(store.metric(k)[seen], 1e-9)
        errors.append(np.abs(depth * measured[seen] - 1))
        sure.append(np.asarray(store.confidence[k])[seen] >= CONFIDENT)
        confident.append(float((np.asarray(store.confidence[k]) >= CONFIDENT).mean()))
    error, known = np.concatenate(errors), np.concatenate(sure)
    return {
        "off": float((error > 0.1).mean()),
        "off_confident": float((error[known] > 0.1).mean()) if known.any() else 0.0,
        "median_error": float(np.median(error)),
        "pixels": len(error),
        "confident": float(np.mean(confident)),
    }


def as_text(result: dict[str, Any]) -> str:
    lines = [
        f"{result['trace']}, camera {result['camera']}: {len(result['sweeps'])} sweeps left out, "
        f"returns from {NEAREST:g} to {FAR:g} m",
        f"{'geometry':20}{'off %':>9}{'of confident %':>16}{'median error %':>16}"
        f"{'confident %':>13}{'moving %':>10}",
    ]
    for name, scores in result["geometries"].items():
        cells = (
            (scores["off"], 9),
            (scores["off_confident"], 16),
            (scores["median_error"], 16),
            (scores["confident"], 13),
            (scores["moving"], 10),
        )
        lines.append(f"{name:20}" + "".join(f"{100 * share:>{wide}.1f}" for share, wide in cells))
    return "\n".join(lines)


if __name__ == "__main__":
    main()
