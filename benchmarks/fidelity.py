"""How true synthesized views are: against a second real camera, and against ground truth.

    python benchmarks/fidelity.py [--json] [--quick] [--pictures FOLDER]

1. KITTI odometry, sequence 00 (skipped where ../shared/data is absent): the right camera,
   0.537 m to the side, synthesized from the left one, whose images alone are imported and
   baked (see kitti.py).
2. The proving ground, seeds that nothing was tuned on: views beside the recorded path and
   turned, against true renders; colour, whole pictures.
3. The same among moving cars, at moments when some are near; on whole pictures, and on the
   pixels that show cars or lie within 4 pixels of one.
4. Views at 30 Hz, 1 m beside a 10 Hz recording: whether they change as smoothly as the true
   ones (see smoothness.py).

Beside every figure stands that of flat ground, the geometry of VISTA 2.0, drawn by the same
renderer.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import kitti
import numpy as np
from report import as_text
from scores import Mask, Scores, compare, depth_scores, mean, shares
from smoothness import smoothness
from strips import strip, write_picture
from worlds import SMOOTH_OFFSET, Offset, Plan, World, make_worlds, offset_name

from vista_sim.errors import MissingDependencyError, VistaError
from vista_sim.geometry.bake import bake_camera
from vista_sim.proving_ground.record import Recording
from vista_sim.proving_ground.renderer import import_pybullet
from vista_sim.proving_ground.traffic import SHORTEST_INTERVAL
from vista_sim.sensors.camera import Camera
from vista_sim.traces.trace import Trace

SEEDS, TRAFFIC_SEEDS = (101, 102, 103), (104, 105)
LATERAL = (-2.0, -1.5, -1.0, -0.5, 0.5, 1.0, 1.5, 2.0)  # m, left positive
HEADING = (-15.0, -10.0, -5.0, 5.0, 10.0, 15.0)  # degrees, left positive
BOTH = ((1.0, -10.0), (-1.0, 10.0), (2.0, -15.0), (-2.0, 15.0))
NEAR_CARS = 4  # px around a moving car that count as its own
SHOWN = ("+1.0 m", "-1.0 m", "+2.0 m -15 deg")  # offsets of the pictures


def main() -> None:
    options = parse_options()
    if options.pictures:
        options.pictures.mkdir(parents=True, exist_ok=True)
    result: dict[str, Any] = {"geometry": options.geometry}
    try:
        with tempfile.TemporaryDirectory() as folder:
            if not options.skip_kitti:
                result["kitti"] = kitti.measure_kitti(
                    options.kitti,
                    Path(folder) / "kitti",
                    options.geometry,
                    options.workers,
                    options.pictures,
                )
            if not options.skip_proving_ground:
                result |= measure_proving_ground(options, Path(folder))
    except VistaError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    print(as_json(result) if options.json else as_text(result))


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument(
        "--quick", action="store_true", help="small pictures, few poses, no KITTI: not to be quoted"
    )
    parser.add_argument("--geometry", default="auto", help="how traces are baked (vista-sim bake)")
    parser.add_argument("--skip-kitti", action="store_true", help="leave out part 1")
    parser.add_argument("--skip-proving-ground", action="store_true", help="leave out parts 2 to 4")
    parser.add_argument("--kitti", type=Path, default=kitti.FOLDER, help="KITTI odometry's folder")
    parser.add_argument(
        "--traces",
        type=Path,
        nargs="+",
        help="traces of the proving ground, with or without traffic; default: new unseen ones",
    )
    parser.add_argument("--seconds", type=float, default=5.0, help="of each new trace")
    parser.add_argument("--frames", type=int, default=3, help="frames judged of each trace")
    parser.add_argument("--workers", type=int, default=2, help="processes that record, threads")
    parser.add_argument("--pictures", type=Path, help="folder for true view, view, difference")
    options = parser.parse_args()
    options.skip_kitti |= options.quick
    return options


def measure_proving_ground(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Parts 2 to 4: "proving_ground", "moving_cars" and "smoothness"."""
    try:
        import_pybullet()
    except MissingDependencyError as error:
        return {"proving_ground": {"skipped": str(error)}}
    worlds = make_worlds(plan_worlds(options, folder), options.workers)
    tables: dict[str, list[dict[str, Any]]] = {"proving_ground": [], "moving_cars": []}
    smooth: dict[str, list[Scores]] = {"view": [], "flat": []}
    rates: list[float] = []
    for world in worlds:
        print(f"judging {world.path.name}", file=sys.stderr)
        moving = bool(Trace.open(world.path).tracks())
        rows = tables["moving_cars" if moving else "proving_ground"]
        rates.append(judge_world(world, options, rows, smooth))
    result: dict[str, Any] = {
        name: tabulate(rows) | {"frames_per_trace": options.frames}
        for name, rows in tables.items()
        if rows
    }
    if smooth["view"]:
        result["smoothness"] = {name: mean(scores) for name, scores in smooth.items()}
    result["bake_frames_per_second"] = round(float(np.mean(rates)), 2)
    return result


def plan_worlds(options: argparse.Namespace, folder: Path) -> list[tuple[Path, Plan]]:
    """Which worlds are made where: the static ones first."""
    offsets: list[Offset] = [(0.0, 0.0, 0.0), *((0.0, y, 0.0) for y in LATERAL)]
    offsets += [(0.0, 0.0, math.radians(a)) for a in HEADING]
    offsets += [(0.0, y, math.radians(a)) for y, a in BOTH]
    seeds: tuple[int, ...] = SEEDS
    traffic_seeds: tuple[int, ...] = TRAFFIC_SEEDS
    seconds, smooth, shape = options.seconds, 31, dict[str, Any]()
    if options.quick:
        seeds, traffic_seeds, seconds, smooth = SEEDS[:1], TRAFFIC_SEEDS[:1], 2.0, 7
        offsets = [(0.0, 1.0, 0.0), (0.0, -1.0, math.radians(10.0))]
        options.frames = 1
        shape = {"size": (100, 160), "supersample": 1}
    if options.traces:
        return [
            (folder / f"{i}-{path.name}", Plan(path, tuple(offsets), options.frames, smooth))
            for i, path in enumerate(Trace.open(trace).root for trace in options.traces)
        ]
    plans = []
    for seed in (*seeds, *traffic_seeds):
        traffic = math.floor(seconds / SHORTEST_INTERVAL) if seed in traffic_seeds else 0
        recording = Recording(seed=seed, seconds=seconds, traffic=traffic, **shape)
        plan = Plan(recording, tuple(offsets), options.frames, smooth)
        plans.append((folder / f"seed-{seed}{'-traffic' if traffic else ''}", plan))
    return plans


def judge_world(
    world: World,
    options: argparse.Namespace,
    rows: list[dict[str, Any]],
    smooth: dict[str, list[Scores]],
) -> float:
    """Add the scores of one world; returns how many frames a second were baked."""
    trace = Trace.open(world.path)
    rate = math.nan
    for name, geometry in (("flat", "ground"), ("view", options.geometry)):
        baked = bake_camera(trace, "front", geometry=geometry, workers=options.workers, force=True)
        rate = baked.frames / baked.seconds
        camera = Camera(trace, "front")
        judged: dict[str, list[Any]] = {}
        for t in world.moments:
            for offset in world.offsets:
                truth = world.truths[t, offset]
                view = camera.render_view(t, offset)
                near_cars = grown(truth.moving, NEAR_CARS)
                row: dict[str, Any] = {
                    "trace": world.path.name,
                    "offset": offset_name(offset),
                    "geometry": name,
                    "whole": compare(view.image, truth.image)
                    | depth_scores(view.inverse_depth, truth.depth)
                    | shares(view),
                    "cars": compare(view.image, truth.image, near_cars)
                    | depth_scores(view.inverse_depth, truth.depth, truth.moving)
                    | shares(view, near_cars),
                }
                rows.append(row)
                picture = (truth.image, view.image, view.inverse_depth)
                judged.setdefault(row["offset"], []).append(picture)
        if options.pictures and name == "view":
            for offset_text in set(SHOWN) & set(judged):
                file = f"{world.path.name}{offset_text.replace(' ', '')}.png"
                columns = [strip(*picture) for picture in judged[offset_text]]
                write_picture(options.pictures / file, columns)
        if world.smooth:
            views = [camera.render(t, SMOOTH_OFFSET)[0] for t in world.smooth]
            truths = [world.truths[t, SMOOTH_OFFSET].image for t in world.smooth]
            smooth[name].append(smoothness(views, truths))
    return rate


def grown(mask: Mask, by: int) -> Mask:
    """A mask and what lies within `by` pixels of it along rows and columns."""
    kernel = np.ones((2 * by + 1, 2 * by + 1), np.uint8)
    return np.asarray(cv2.dilate(mask.astype(np.uint8), kernel)) > 0


def as_json(result: dict[str, Any]) -> str:
    """The result as JSON, in which what is not known (NaN) is null."""

    def known(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: known(v) for k, v in value.items()}
        if isinstance(value, list):
            return [known(v) for v in value]
        return None if isinstance(value, float) and math.isnan(value) else value

    return json.dumps(known(result), indent=2, allow_nan=False)


def tabulate(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Means by offset: {"traces", "offsets": [{"offset", "whole", "cars"}], "gain_at_1_m"}."""
    offsets = []
    for offset in dict.fromkeys(row["offset"] for row in rows):
        entry: dict[str, Any] = {"offset": offset}
        for part in ("whole", "cars"):
            entry[part] = {
                name: select(rows, part, geometry=name, offset=offset) for name in ("view", "flat")
            }
        offsets.append(entry)
    table: dict[str, Any] = {
        "traces": list(dict.fromkeys(row["trace"] for row in rows)),
        "offsets": offsets,
    }
    aside = [row for row in rows if row["offset"] in ("+1.0 m", "-1.0 m")]
    if aside:
        view, flat = (select(aside, "whole", geometry=name)["psnr"] for name in ("view", "flat"))
        table["gain_at_1_m_db"] = round(view - flat, 2)
    return table


def select(rows: Sequence[dict[str, Any]], part: str, **wanted: str) -> Scores:
    """Means of one part of the rows that have these values."""
    return mean(row[part] for row in rows if all(row[k] == v for k, v in wanted.items()))


if __name__ == "__main__":
    main()
