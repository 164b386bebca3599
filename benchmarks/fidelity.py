"""How true synthesized views are: against a second real camera, and against ground truth.

    python benchmarks/fidelity.py [--json] [--pictures FOLDER]

(a) KITTI odometry, sequence 00 (skipped where ../shared/data is absent): the right camera,
0.537 m to the side, is synthesized from the left one, whose images alone are imported and
baked. Half size, gray, central 90 % in each direction, holes as they are filled; PSNR with
peak 255, SSIM with an 11-pixel Gaussian window of sigma 1.5 (K1 0.01, K2 0.03); mean over
every third frame from the fifth.

(b) The proving ground, seeds that nothing was tuned on: views beside the recorded path and
turned, against true renders; colour, whole pictures.

Beside every figure stands that of flat ground, the geometry of VISTA 2.0, drawn by the same
renderer.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage.metrics import structural_similarity

from vista_sim.errors import VistaError
from vista_sim.geometry.bake import bake_camera
from vista_sim.geometry.store import GeometryStore
from vista_sim.sensors.camera import Camera
from vista_sim.sensors.warp import View
from vista_sim.traces.trace import Trace

KITTI = Path(__file__).resolve().parents[2] / "shared" / "data" / "kitti-odometry"
KITTI_BASELINE = 0.537  # m
KITTI_SIZE = (188, 620)
SEEDS = (101, 102, 103)
LATERAL = (-1.5, -1.0, -0.5, 0.5, 1.0, 1.5)  # m, left positive
HEADING = (-10.0, -5.0, 5.0, 10.0)  # degrees, left positive

Image = NDArray[np.uint8]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--skip-kitti", action="store_true", help="leave out part (a)")
    parser.add_argument("--skip-proving-ground", action="store_true", help="leave out part (b)")
    parser.add_argument("--kitti", type=Path, default=KITTI, help="KITTI odometry's folder")
    parser.add_argument(
        "--traces",
        type=Path,
        nargs="+",
        help="traces of the proving ground; default: new ones of unseen seeds",
    )
    parser.add_argument("--seconds", type=float, default=8.0, help="of each new trace")
    parser.add_argument("--frames", type=int, default=6, help="frames judged of each trace")
    parser.add_argument("--workers", type=int, default=2, help="threads that bake")
    parser.add_argument("--pictures", type=Path, help="folder for true view, view, difference")
    options = parser.parse_args()
    if options.pictures:
        options.pictures.mkdir(parents=True, exist_ok=True)
    result: dict[str, Any] = {}
    try:
        with tempfile.TemporaryDirectory() as folder:
            if not options.skip_kitti:
                result["kitti"] = measure_kitti(options, Path(folder))
            if not options.skip_proving_ground:
                result["proving_ground"] = measure_proving_ground(options, Path(folder))
    except VistaError as error:
        sys.exit(f"error: {error}")
    print(json.dumps(result, indent=2) if options.json else as_text(result))


def measure_kitti(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Part (a): {"multiview", "ground", "no_warp"} of psnr and ssim, and the rate of baking."""
    from vista_sim.traces.importers.kitti_odometry import import_kitti_odometry

    if not options.kitti.is_dir():
        return {"skipped": f"{options.kitti} is absent"}
    import_kitti_odometry(options.kitti, folder / "kitti", cameras="left")
    trace = Trace.open(folder / "kitti")
    images = options.kitti / "sequences" / "00"
    indices = range(4, trace.cameras["left"].frame_count, 3)
    result: dict[str, Any] = {"frames": len(indices)}
    for geometry in ("ground", "multiview"):
        rate = bake_rate(trace, "left", geometry, options.workers)
        if geometry == "multiview":
            result["bake_frames_per_second"] = rate
        camera = Camera(trace, "left", size=KITTI_SIZE)
        scores = []
        for i in indices:
            truth = read_half(images / "image_1" / f"{i:06d}.png")
            view = camera.render_view(float(trace.cameras["left"].t[i]), (0, -KITTI_BASELINE, 0))
            gray = cv2.cvtColor(view.image, cv2.COLOR_RGB2GRAY)
            scores.append(central_scores(gray, truth) | shares(view))
            if options.pictures and geometry == "multiview" and i % 12 == 4:
                write_picture(options.pictures / f"kitti-{i:03d}.png", truth, gray, view)
        result[geometry] = mean(scores)
    left = (read_half(images / "image_0" / f"{i:06d}.png") for i in indices)
    right = (read_half(images / "image_1" / f"{i:06d}.png") for i in indices)
    pairs = zip(left, right, strict=True)
    result["no_warp"] = mean([central_scores(a, b) for a, b in pairs])
    return result


def measure_proving_ground(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Part (b): figures of each offset for both geometries, and how wrong the baked depth is."""
    from vista_sim.errors import MissingDependencyError
    from vista_sim.proving_ground.record import Recording, record

    sources = list(options.traces or [])
    try:
        for seed in SEEDS if not sources else ():
            recording = Recording(seed=seed, seconds=options.seconds)
            sources.append(record(folder / f"seed-{seed}", recording))
    except MissingDependencyError as error:
        return {"skipped": str(error)}
    tables: dict[str, list[dict[str, Any]]] = {}
    rates: list[float] = []
    depth: list[dict[str, Any]] = []
    for k, source in enumerate(sources):
        copy = folder / f"trace-{k}"
        shutil.copytree(source, copy, ignore=shutil.ignore_patterns("geometry"))
        rates.append(judge_trace(copy, options, tables, depth))
    rows = [{"offset": name} | collect(scores) for name, scores in tables.items()]
    return {
        "traces": [str(s.name) for s in sources],
        "frames_per_trace": options.frames,
        "bake_frames_per_second": round(float(np.mean(rates)), 2),
        "recorded_view_depth": collect(depth),
        "offsets": rows,
    }


def judge_trace(
    path: Path,
    options: argparse.Namespace,
    tables: dict[str, list[dict[str, Any]]],
    depth: list[dict[str, Any]],
) -> float:
    """Add the scores of one trace; returns the rate it was baked with."""
    from vista_sim.proving_ground.truth import GroundTruth

    trace = Trace.open(path)
    recorded = trace.cameras["front"]
    offsets = [(f"{y:+.1f} m", (0.0, y, 0.0)) for y in LATERAL]
    offsets += [(f"{a:+.0f} deg", (0.0, 0.0, math.radians(a))) for a in HEADING]
    indices = np.linspace(0, recorded.frame_count - 1, options.frames + 2).round()[1:-1]
    truths: dict[tuple[int, str], Any] = {}
    with GroundTruth(path) as truth:
        for i in map(int, indices):
            truths[i, "recorded"] = truth.view(float(recorded.t[i]))
            for name, offset in offsets:
                truths[i, name] = truth.view(float(recorded.t[i]), offset)
    rate = math.nan
    for geometry in ("ground", "multiview"):
        rate = bake_rate(trace, "front", geometry, options.workers)
        store = GeometryStore.find(trace, "front")
        assert store is not None
        camera = Camera(trace, "front")
        for i in map(int, indices):
            shape = truths[i, "recorded"].depth
            if shape.shape == store.size:
                depth.append({"geometry": geometry} | depth_scores(store.metric(i), shape))
            for name, offset in offsets:
                true = truths[i, name]
                view = camera.render_view(float(recorded.t[i]), offset)
                scores = {"geometry": geometry} | picture_scores(view.image, true.image)
                scores |= depth_scores(view.inverse_depth, true.depth) | shares(view)
                tables.setdefault(name, []).append(scores)
                if options.pictures and geometry == "multiview" and i == int(indices[0]):
                    file = f"{path.name}-{i:03d}{name.replace(' ', '')}.png"
                    write_picture(options.pictures / file, true.image, view.image, view)
    return rate


def bake_rate(trace: Trace, camera: str, geometry: str, workers: int) -> float:
    """Bake from the beginning; frames per second."""
    done = bake_camera(trace, camera, geometry=geometry, workers=workers, force=True)
    return round(done.frames / done.seconds, 2)


def central_scores(image: Image, truth: Image) -> dict[str, float]:
    """PSNR (dB) and SSIM of gray pictures over the central 90 % in each direction."""
    return _scores(image, truth, margin=0.05)


def picture_scores(image: Image, truth: Image) -> dict[str, float]:
    """PSNR (dB) and SSIM of whole colour pictures."""
    return _scores(image, truth, margin=0.0)


def _scores(image: Image, truth: Image, margin: float) -> dict[str, float]:
    height, width = truth.shape[:2]
    top, left = round(margin * height), round(margin * width)
    inside = (slice(top, height - top), slice(left, width - left))
    error = image[inside].astype(np.float64) - truth[inside]
    _, similarity = structural_similarity(
        image,
        truth,
        full=True,
        gaussian_weights=True,  # with sigma 1.5 a window of 11 pixels
        sigma=1.5,
        use_sample_covariance=False,
        data_range=255,
        channel_axis=None if truth.ndim == 2 else 2,
        K1=0.01,
        K2=0.03,
    )
    power = max(float(np.mean(error**2)), 1e-10)
    return {
        "psnr": 10 * math.log10(255**2 / power),
        "ssim": float(np.mean(similarity[inside])),
    }


def depth_scores(inverse_depth: NDArray[Any], depth: NDArray[Any]) -> dict[str, float]:
    """How wrong the depth is where there is no sky.

    Mean error of inverse depth, 1/m, and the share of pixels within 50 m whose depth is off
    by more than a tenth.
    """
    with np.errstate(divide="ignore"):
        true = np.where(np.isfinite(depth), 1.0 / depth, 0.0)
    scene, near = np.isfinite(depth), depth < 50.0
    error = np.abs(inverse_depth - true)
    off = error[near] > 0.1 * true[near]
    return {
        "inverse_depth_error": float(error[scene].mean()),
        "depth_off_share": float(off.mean()) if near.any() else math.nan,
    }


def shares(view: View) -> dict[str, float]:
    """Shares of pixels from the main frame, from other frames, and inpainted (holes)."""
    return {
        "main": float((view.source == 0).mean()),
        "other": float((view.source == 1).mean()),
        "holes": float((view.source == 2).mean()),
    }


def collect(scores: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Means of scores by their key "geometry"."""
    scores = list(scores)
    result = {}
    for geometry in ("multiview", "ground"):
        chosen = [s for s in scores if s["geometry"] == geometry]
        result[geometry] = mean([{k: v for k, v in s.items() if k != "geometry"} for s in chosen])
    return result


def mean(scores: list[dict[str, float]]) -> dict[str, float]:
    if not scores:
        return {}
    return {key: round(float(np.nanmean([s[key] for s in scores])), 4) for key in scores[0]}


def read_half(path: Path) -> Image:
    """A gray image shrunk to half size by area averaging."""
    image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if image is None:
        raise VistaError(f"{path}: cannot be read as an image")
    return np.asarray(cv2.resize(image, KITTI_SIZE[::-1], interpolation=cv2.INTER_AREA), np.uint8)


def write_picture(path: Path, truth: Image, image: Image, view: View) -> None:
    """True view, synthesized view, their difference, and the inverse depth used."""
    if truth.ndim == 2:
        truth, image = (cv2.cvtColor(x, cv2.COLOR_GRAY2RGB) for x in (truth, image))
    difference = np.clip(128 + image.astype(int) - truth, 0, 255).astype(np.uint8)
    near = np.clip(255 * np.sqrt(view.inverse_depth / 0.4), 0, 255).astype(np.uint8)
    colours = cv2.applyColorMap(near, cv2.COLORMAP_TURBO)[..., ::-1]
    rows = np.vstack([truth, image, difference, colours])
    if not cv2.imwrite(str(path), rows[..., ::-1]):
        raise VistaError(f"{path}: cannot be written")


def as_text(result: dict[str, Any]) -> str:
    lines = []
    kitti = result.get("kitti")
    if kitti and "skipped" in kitti:
        lines.append(f"KITTI skipped: {kitti['skipped']}")
    elif kitti:
        lines.append("right camera of KITTI 00 from the left one, half size, central 90 %")
        lines.append(f"{'':22}{'PSNR dB':>8}{'SSIM':>8}{'other':>8}{'holes':>8}")
        names = {
            "no_warp": "no warp",
            "ground": "flat ground",
            "multiview": "neighbouring frames",
        }
        for key, name in names.items():
            s = kitti[key]
            line = f"{name:22}{s['psnr']:8.2f}{s['ssim']:8.3f}"
            if "holes" in s:
                line += f"{s['other']:8.3f}{s['holes']:8.3f}"
            lines.append(line)
        lines.append(f"baked {kitti['bake_frames_per_second']:.1f} frames/s\n")
    ground = result.get("proving_ground")
    if ground and "skipped" in ground:
        lines.append(f"proving ground skipped: {ground['skipped']}")
    elif ground:
        lines.append(
            f"proving ground, {', '.join(ground['traces'])}; in brackets: flat ground\n"
            "depth off: share of pixels within 50 m that are wrong by more than a tenth"
        )
        heads = ("PSNR dB", "SSIM", "depth off %", "holes %")
        lines.append(f"{'offset':10}" + "".join(f"{h:>18}" for h in heads))
        for row in ground["offsets"]:
            m, g = row["multiview"], row["ground"]
            cells = [
                f"{m['psnr']:.2f} ({g['psnr']:.2f})",
                f"{m['ssim']:.3f} ({g['ssim']:.3f})",
                f"{100 * m['depth_off_share']:.1f} ({100 * g['depth_off_share']:.1f})",
                f"{100 * m['holes']:.1f} ({100 * g['holes']:.1f})",
            ]
            lines.append(f"{row['offset']:10}" + "".join(f"{c:>18}" for c in cells))
        lines.append(f"baked {ground['bake_frames_per_second']:.1f} frames/s")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
