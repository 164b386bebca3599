"""Whether `vista-sim check` finds what is wrong with a drive, and is silent where nothing is.

Good drives are damaged by known amounts, and looked at by their frames alone.

    python benchmarks/check.py                      both samples, and what ../shared/data holds
    python benchmarks/check.py --trace FOLDER       another drive (may be repeated)
    python benchmarks/check.py --seeds 20           silence on recorded proving grounds
    python benchmarks/check.py --picture FILE.png   the README's picture: a sample, good and damaged
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vista_sim.checking.amended import Amendment, write_amended
from vista_sim.checking.check import check
from vista_sim.checking.drawing import Overlay
from vista_sim.checking.mending import amendment_of
from vista_sim.checking.report import CameraCheck
from vista_sim.traces.importers.write import import_recording
from vista_sim.traces.samples import samples
from vista_sim.traces.trace import Trace
from vista_sim.transforms import pose_from_euler

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
SECONDS = 25.0  # of recorded seeds

LATE, PITCH, HEIGHT, FOCAL = 0.3, math.radians(2.0), 0.3, 1.05


def raised(metres: float) -> NDArray[np.float64]:
    moved = np.eye(4)
    moved[2, 3] = metres
    return moved


#: Name, what is done, the measure that must find it, and by how much, in units of people.
DAMAGES = (
    ("video 0.3 s late", Amendment(late=-LATE), "video-late", 0.3),
    ("video 0.3 s early", Amendment(late=LATE), "video-late", -0.3),
    ("mount pitched 2 deg down", "pitch", "camera-pitch", -2.0),
    ("camera 0.3 m too high", Amendment(vehicle_moved=raised(HEIGHT)), "camera-height", 0.3),
    ("camera 0.2 m too low", Amendment(vehicle_moved=raised(-0.2)), "camera-height", -0.2),
    ("y mirrored", Amendment(mirrored=True), "mirrored", 1.0),
    ("focal length 5 % long", Amendment(focal=FOCAL), "focal-length", 5.0),
    ("focal length 5 % short", Amendment(focal=1 / FOCAL), "focal-length", 100 * (1 / FOCAL - 1)),
)


def pitched(trace: Trace, camera: str, times: float = 1.0) -> Amendment:
    """The mount alone looks (so many times) 2 degrees further down, from where it is."""
    place = trace.cameras[camera].calibration.T_vehicle_camera[:3, 3]
    moved = pose_from_euler(pitch=times * PITCH)
    moved[:3, 3] = place - moved[:3, :3] @ place
    return Amendment(camera_moved=moved)


def found(report: CameraCheck, name: str) -> str:
    """What was found of a damage."""
    if name == "mirrored":
        return {None: "cannot tell", True: "1", False: "0"}[report.mirrored]
    measure = report.measures[name]
    if not measure.estimate.told:
        return f"cannot tell ({measure.estimate.why})"
    return f"{measure.shown(measure.estimate.value):+.3f}"


def row(*cells: object) -> None:
    print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


def names(report: CameraCheck) -> str:
    return ", ".join(finding.name for finding in report.findings) or "none"


def judge(folder: Path, scratch: Path, camera: str, mend: bool) -> None:
    """Check a drive, and each damage of it."""
    trace = Trace.open(folder)
    camera = camera or next(iter(trace.cameras))
    start, cpu = time.perf_counter(), time.process_time()
    good = check(trace, camera)
    took, cpu = time.perf_counter() - start, time.process_time() - cpu
    print(f"\n{trace.name} ({camera}, {trace.duration:.0f} s): findings {names(good)}; ", end="")
    print(f"{took:.0f} s, {cpu:.0f} s of processor time")
    for measure in good.measures.values():
        print(f"  {measure.line}")
    print(f"  mirrored: {found(good, 'mirrored')}\n")
    row("damage", "true", "found", "undamaged", "error of the difference", "findings", "mended")
    row(*["---"] * 7)
    for what, change, name, truth in DAMAGES:
        amendment = pitched(trace, camera) if isinstance(change, str) else change
        damaged = Trace.open(write_amended(trace, scratch / "damaged", camera, amendment, True))
        report = check(damaged, camera)
        seen, before = found(report, name), found(good, name)
        error = ""
        if "cannot" not in seen + before and name != "mirrored":
            off = float(seen) - float(before) - truth
            error = f"{off:+.3f}" if name == "focal-length" else f"{100 * abs(off / truth):.0f} %"
        healed = ""
        if mend and report.findings:
            change = amendment_of(damaged, report)
            again = Trace.open(write_amended(damaged, scratch / "mended", camera, change, True))
            healed = names(check(again, camera))
        row(what, truth, seen, before, error, names(report), healed)


def silence(count: int, scratch: Path) -> None:
    """Record short drives of seeds and check each."""
    from vista_sim.proving_ground.record import Recording, record

    print(f"\nproving grounds of {SECONDS:g} s, default noise")
    row("seed", "findings", "largest measure over its floor")
    row("---", "---", "---")
    for seed in range(1, count + 1):
        folder = scratch / f"seed-{seed}"
        record(folder, Recording(seed=seed, seconds=SECONDS))
        report = check(Trace.open(folder))
        told = [m for m in report.measures.values() if m.estimate.told]
        worst = max(told, key=lambda m: abs(m.estimate.value) / m.floor)
        share = abs(worst.estimate.value) / worst.floor
        row(seed, names(report), f"{worst.line} ({100 * share:.0f} %)")


def draw(path: Path, t: float = 25.5, width: int = 480) -> None:
    """A frame of the sample drive with its path: as recorded, and with a wrong mount."""
    trace = Trace.open(samples()["proving-ground"])
    camera = trace.cameras["front"]
    mount, lens = camera.calibration.T_vehicle_camera, camera.calibration.lens
    lens = lens.resized((round(lens.size[0] * width / lens.size[1]), width))
    frame = cv2.resize(camera.frame(camera.nearest(t)), lens.size[::-1])
    parts = []
    for title, turned in (
        ("as recorded", mount),
        ("mount pitched 4 degrees too little", pitched(trace, "front", -2).camera_moved @ mount),
    ):
        part = Overlay(trace, lens, turned).draw(frame.copy(), t)
        cv2.putText(part, title, (8, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.55, (20, 20, 20), 2, 16)
        parts.append(part)
    cv2.imwrite(str(path), np.hstack(parts)[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 9])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--trace", action="append", type=Path, default=[])
    parser.add_argument("--camera", default="")
    parser.add_argument("--seeds", type=int, default=0, help="recorded drives that must be silent")
    parser.add_argument("--mend", action="store_true", help="mend each damage, and check again")
    parser.add_argument("--picture", type=Path, help="draw the README's picture, and end")
    args = parser.parse_args()
    if args.picture is not None:
        draw(args.picture)
        return
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        traces = list(args.trace)
        if not traces and not args.seeds:
            traces = list(samples().values())
            for kind in ("kitti-odometry", "pandaset"):
                if (SHARED / kind).is_dir():
                    traces.append(import_recording(SHARED / kind, scratch / kind))
        for folder in traces:
            judge(folder, scratch, args.camera, args.mend)
        silence(args.seeds, scratch)


if __name__ == "__main__":
    main()
