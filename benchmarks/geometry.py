"""How true baked geometry is, source by source and merged, in the proving ground.

    python benchmarks/geometry.py [--json] [--pictures FOLDER]

Traces of unseen seeds with a stereo camera 0.5 m to the right are recorded, and a turning
lidar is added that measures the true depth with 2 cm of noise, each point at its own time. It
has 64 rings, and once more 16. Printed are, over frames spread over the drive: the mean error
of inverse depth where there is no sky; the share of pixels within 50 m whose depth is off by
more than a tenth, of all and of the confident ones; the share of confident pixels; and the
processor time a baked frame takes, which other work on the machine changes little (of a
lidar only the frames that are judged have a sweep, so its part in that is left out).
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from vista_sim.errors import VistaError
from vista_sim.geometry.bake import bake_camera
from vista_sim.geometry.picture import draw
from vista_sim.geometry.store import CONFIDENT, GeometryStore
from vista_sim.traces.calibration import Lens, LidarCalibration
from vista_sim.traces.trace import Trace
from vista_sim.transforms import camera_mount, inverse, pose_from_euler

GEOMETRIES = ("ground", "multiview", "stereo", "lidar", "multiview+stereo", "multiview+lidar")
LIDAR = (1.0, 0.0, 1.9)  # m from the rear axle on the ground
SLICE = 25.0  # degrees that are drawn at once, at the time the lidar looks there
TURN = 0.1  # s


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--seeds", type=int, nargs="+", default=[101, 102])
    parser.add_argument("--seconds", type=float, default=4.0, help="of each trace")
    parser.add_argument("--frames", type=int, default=5, help="frames judged of each trace")
    parser.add_argument("--rings", type=int, nargs="+", default=[64, 16], help="of the lidars")
    parser.add_argument("--workers", type=int, default=2, help="threads that bake")
    parser.add_argument("--pictures", type=Path, help="folder for pictures of a frame of each")
    options = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory() as folder:
            rows = measure(options, Path(folder))
    except VistaError as error:
        sys.exit(f"error: {error}")
    print(json.dumps(rows, indent=2) if options.json else as_text(rows))


def measure(options: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    """Means over the seeds, a row for each geometry."""
    from vista_sim.proving_ground.record import Recording, record
    from vista_sim.proving_ground.truth import GroundTruth

    scores: dict[str, list[dict[str, float]]] = {}
    for seed in options.seeds:
        plain = record(folder / f"{seed}", Recording(seed, options.seconds, stereo=0.5))
        with GroundTruth(plain) as truth:
            count = len(truth.frame_times)
            frames = np.linspace(0, count - 1, options.frames + 2).round()[1:-1].astype(int)
            depths = np.array([truth.depth("front", int(i)) for i in frames])
            traces = {0: plain}
            for rings in options.rings:
                traces[rings] = folder / f"{seed}-{rings}"
                shutil.copytree(plain, traces[rings])
                add_lidar(traces[rings], truth, frames, rings, seed)
        for rings, path in traces.items():
            trace = Trace.open(path)
            for geometry in (*GEOMETRIES, "auto") if rings else GEOMETRIES:
                if ("lidar" in geometry or geometry == "auto") != bool(rings):
                    continue
                name = f"{geometry}, {rings} rings" if rings else geometry
                picture = None
                if options.pictures and seed == options.seeds[0]:
                    options.pictures.mkdir(parents=True, exist_ok=True)
                    picture = options.pictures / f"{name.replace(', ', '-').replace(' ', '-')}.png"
                found = judge(trace, geometry, frames, depths, options.workers, picture)
                scores.setdefault(name, []).append(found)
    return [
        {"geometry": name} | {k: round(float(np.mean([s[k] for s in found])), 4) for k in found[0]}
        for name, found in scores.items()
    ]


def judge(
    trace: Trace,
    geometry: str,
    frames: NDArray[np.int64],
    depths: NDArray[np.float32],
    workers: int,
    picture: Path | None,
) -> dict[str, float]:
    """Bake, and compare with true depths (n, h, w) of the frames (n,)."""
    started = time.process_time()
    done = bake_camera(trace, "front", geometry=geometry, workers=workers, force=True)
    seconds = (time.process_time() - started) / done.frames
    store = GeometryStore.find(trace, "front")
    assert store is not None
    values = np.array([store.metric(int(i)) for i in frames])
    sure = np.array([store.confidence[int(i)] for i in frames]) >= CONFIDENT
    scene, near = np.isfinite(depths), depths < 50.0
    true = np.where(scene, 1.0 / depths, 0.0)
    off = np.abs(values - true) > 0.1 * true
    if picture is not None:
        k = len(frames) // 2
        image = trace.cameras["front"].frame(int(frames[k]))
        drawn = draw(image, values[k], np.asarray(store.confidence[int(frames[k])]))
        cv2.imwrite(str(picture), drawn[..., ::-1])
    result = {
        "inverse_depth_error": float(np.abs(values - true)[scene].mean()),
        "off_share": float(off[near].mean()),
        "off_share_confident": float(off[near & sure].mean()) if sure.any() else 0.0,
        "confident_share": float(sure[scene].mean()),
    }
    return result if trace.lidars else result | {"cpu_seconds_per_frame": seconds}


def add_lidar(path: Path, truth: Any, frames: NDArray[np.int64], rings: int, seed: int) -> None:
    """Add a lidar with a sweep around the time of each of the frames (n,)."""
    mount = pose_from_euler(*LIDAR, 0.0, 0.0, 0.0)
    rng = np.random.default_rng(seed)
    elevation = np.radians(np.linspace(8.0, -25.0, rings))
    lens = Lens("pinhole", 500.0, 500.0, 149.5, 249.5, (400, 300))
    rows: dict[str, list[NDArray[Any]]] = {}
    for number, frame in enumerate(frames):
        middle = float(truth.frame_times[frame])
        for centre in (1.5 * SLICE, 0.5 * SLICE, -0.5 * SLICE, -1.5 * SLICE):
            t = middle - centre / 360.0 * TURN
            camera = camera_mount(*LIDAR, yaw=math.radians(centre), pitch=math.radians(8.5))
            depth = truth.view(t, (0.0, 0.0, 0.0), lens, camera).depth
            azimuth = np.radians(centre + np.arange(-0.5 * SLICE, 0.5 * SLICE, 0.2))
            points = _returns(depth, lens, inverse(camera) @ mount, azimuth, elevation, rng)
            columns = {
                "sweep": np.full(len(points), number),
                "t_ns": np.full(len(points), round((middle - 0.5 * TURN) * 1e9)),
                "point_t_ns": np.full(len(points), round(t * 1e9)),
                "intensity": np.ones(len(points)),
            } | dict(zip("xyz", points.T, strict=True))
            for name, values in columns.items():
                rows.setdefault(name, []).append(values)
    table = pa.table({name: np.concatenate(values) for name, values in rows.items()})
    pq.write_table(table, path / "top.parquet")
    description = json.loads((path / "trace.json").read_text(encoding="utf-8"))
    description["sensors"]["top"] = LidarCalibration(mount, False).to_json()
    (path / "trace.json").write_text(json.dumps(description), encoding="utf-8")


def _returns(
    depth: NDArray[np.float32],
    lens: Lens,
    T_camera_lidar: NDArray[np.float64],
    azimuth: NDArray[np.float64],
    elevation: NDArray[np.float64],
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Points (n, 3) of the lidar frame along its beams, on what a picture of depth shows."""
    a, e = (x.ravel() for x in np.meshgrid(azimuth, elevation))
    beams = np.stack([np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e)], axis=1)
    pixels = np.round(lens.project(beams @ T_camera_lidar[:3, :3].T)).astype(int)
    inside = ((pixels >= 0) & (pixels < lens.size[::-1])).all(axis=1)
    u, v = pixels[inside].T
    reach = depth[v, u].astype(np.float64)
    seen = reach < 120.0
    points = lens.unproject(np.stack([u, v], axis=1)[seen].astype(float)) * reach[seen, None]
    length = np.linalg.norm(points, axis=1, keepdims=True)
    points *= 1.0 + rng.normal(0.0, 0.02, (len(points), 1)) / length
    back = inverse(T_camera_lidar)
    return np.asarray(points @ back[:3, :3].T + back[:3, 3])


def as_text(rows: list[dict[str, Any]]) -> str:
    heads = ("error 1/m", "off %", "confident %", "off of these %", "cpu s/frame")
    lines = [f"{'geometry':28}" + "".join(f"{head:>16}" for head in heads)]
    for row in rows:
        cells = (
            f"{row['inverse_depth_error']:.4f}",
            f"{100 * row['off_share']:.1f}",
            f"{100 * row['confident_share']:.1f}",
            f"{100 * row['off_share_confident']:.1f}",
            f"{row['cpu_seconds_per_frame']:.3f}" if "cpu_seconds_per_frame" in row else "",
        )
        lines.append(f"{row['geometry']:28}" + "".join(f"{cell:>16}" for cell in cells))
    return "\n".join(lines)


if __name__ == "__main__":
    main()
