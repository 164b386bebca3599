"""How true the motion of a video is that is told by its pictures alone.

    python benchmarks/visual_odometry.py [--json] [--only kitti malaga] [--pictures FOLDER]

1. `kitti`: KITTI odometry, sequence 00, 100 frames, without its poses; camera matrix and height
   (1.65 m) given. Errors over all sub-paths of 20, 40 and 60 m (KITTI's measure), against the
   recorded poses and against stereo matching of both cameras (OpenCV; see `stereo_poses`), which
   shows where the recorded poses themselves are off.
2. `fidelity`: its right camera synthesized from the left one with these poses, and with the
   recorded ones (the protocol of fidelity.py).
3. `malaga`: 60 s of a city; what share of it becomes a world, how long, and how far the focal
   length is off that is found where it is not given. The camera's height is not known; 1.5 m.
4. `lens`: the focal length of KITTI's frames, not given.

Parts whose data is absent are skipped.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import kitti
import numpy as np
from numpy.typing import NDArray
from odometry_errors import sub_path_errors, way

from vista_sim.errors import VistaError
from vista_sim.traces.importers.write import import_recording
from vista_sim.traces.trace import Trace
from vista_sim.transforms import inverse, matrix_from_quaternion

Floats = NDArray[np.float64]

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
LENGTHS = (20.0, 40.0, 60.0)  # m
KITTI_MATRIX, KITTI_HEIGHT = "718.856,718.856,607.1928,185.2157", 1.65
MALAGA_HEIGHT = 1.5  # m: above a car's roof or bonnet, by the picture
BASELINE = 0.537166  # m between KITTI's gray cameras, by calib.txt
PARTS = ("kitti", "fidelity", "malaga", "lens")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="parts; all else")
    parser.add_argument("--pictures", type=Path, help="folder for views of KITTI's right camera")
    options = parser.parse_args()
    result: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        try:
            for part in options.only:
                print(f"measuring {part}", file=sys.stderr)
                result[part] = _measure(part, Path(folder), options.pictures)
        except VistaError as error:
            print(f"error: {error}", file=sys.stderr)
            sys.exit(2)
    if options.json:
        print(json.dumps(result, indent=2))
        return
    for part, values in result.items():
        print(part)
        for name, value in values.items():
            print(f"  {name}: {value}")


def _measure(part: str, folder: Path, pictures: Path | None) -> dict[str, Any]:
    source = DATA / ("malaga" if part == "malaga" else "kitti-odometry")
    if not source.is_dir():
        return {"skipped": f"{source} is absent"}
    if part == "kitti":
        return measure_kitti(source, folder / "kitti")
    if part == "fidelity":
        return measure_fidelity(source, folder, pictures)
    if part == "malaga":
        return measure_malaga(source / "drive.mp4", folder)
    return measure_lens(source, folder / "lens")


def measure_kitti(source: Path, made: Path) -> dict[str, Any]:
    """Errors of the poses of the camera."""
    spent = timed(lambda: import_kitti(source, made))
    with Trace.open(made) as trace:
        found = camera_poses(trace)
    true = recorded_poses(source)[: len(found)]
    stereo = stereo_poses(source / "sequences" / "00", len(found))
    result: dict[str, Any] = {"frames": len(found), **spent}
    for name, reference in (("recorded poses", true), ("stereo", stereo)):
        every = np.arange(0, len(found), 2 if name == "stereo" else 1)
        errors = sub_path_errors(reference, found[every], LENGTHS)
        result[f"against {name}"] = {
            "translation_percent": round(100 * errors.translation, 2),
            "rotation_deg_per_m": round(float(np.degrees(errors.rotation)), 4),
            "sub_paths": errors.count,
            "length_ratio": round(float(way(found[every])[-1] / way(reference)[-1]), 4),
        }
    errors = sub_path_errors(stereo, true[::2], LENGTHS)
    result["recorded poses against stereo, percent"] = round(100 * errors.translation, 2)
    return result


def import_kitti(source: Path, made: Path, matrix: str = KITTI_MATRIX) -> Path:
    """A trace of the left pictures alone."""
    return import_recording(
        source / "sequences" / "00" / "image_0",
        made,
        "video",
        odometry="visual",
        camera_matrix=matrix,
        height=KITTI_HEIGHT,
        times=str(source / "sequences" / "00" / "times.txt"),
        overwrite=True,
    )


def measure_fidelity(source: Path, folder: Path, pictures: Path | None) -> dict[str, Any]:
    """PSNR and SSIM of the right camera's views, with found and with recorded poses."""
    if pictures is not None:
        pictures.mkdir(parents=True, exist_ok=True)
    made = import_kitti(source, folder / "seen")
    seen = kitti.judge(made, "front", source, "auto", 2, pictures)
    recorded = kitti.measure_kitti(source, folder / "recorded", "auto", 2, None)
    return {
        "with poses by the pictures": seen["view"],
        "with recorded poses": recorded["view"],
        "lost_db": round(recorded["view"]["psnr"] - seen["view"]["psnr"], 2),
    }


def measure_malaga(video: Path, folder: Path) -> dict[str, Any]:
    """How much of a drive becomes a world; and its lens, not given."""
    matrix = np.loadtxt(video.parent / "K.txt", delimiter=",", usecols=range(3))
    given = f"{matrix[0, 0]},{matrix[1, 1]},{matrix[0, 2]},{matrix[1, 2]}"
    result: dict[str, Any] = {}
    for name, camera in (("lens given", given), ("lens not given", "")):
        made = folder / name.replace(" ", "-")
        spent = timed(partial(import_malaga, video, made, camera))
        with Trace.open(made) as trace:
            sections = trace.find_sections()
            lens = trace.cameras["front"].calibration.lens
            result[name] = {
                **spent,
                "frames": trace.cameras["front"].frame_count,
                "sections": len(sections),
                "length_m": round(sum(section.length for section in sections), 1),
                "drivable_seconds": round(sum(section.duration for section in sections), 2),
                "focal_length_ratio": round(lens.fx / float(matrix[0, 0]), 4),
            }
    return result


def import_malaga(video: Path, made: Path, matrix: str) -> Path:
    """A trace of Málaga's drive."""
    return import_recording(
        video, made, "video", odometry="visual", camera_matrix=matrix, height=MALAGA_HEIGHT
    )


def measure_lens(source: Path, made: Path) -> dict[str, Any]:
    """The focal length that is found of KITTI's pictures."""
    spent = timed(lambda: import_kitti(source, made, ""))
    with Trace.open(made) as trace:
        lens = trace.cameras["front"].calibration.lens
    return {**spent, "focal_length_ratio": round(lens.fx / float(KITTI_MATRIX.split(",")[0]), 4)}


def timed(work: Callable[[], Any]) -> dict[str, float]:
    """Seconds, and seconds of all processors together, that some work takes."""
    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)

    def spent() -> float:
        return sum(u.ru_utime + u.ru_stime for u in map(resource.getrusage, who))

    begun, before = time.monotonic(), spent()
    work()
    return {
        "seconds": round(time.monotonic() - begun, 1),
        "processor_seconds": round(spent() - before, 1),
    }


def camera_poses(trace: Trace) -> Floats:
    """T_world_camera (n, 4, 4) at each pose of a trace."""
    ego = trace.ego
    poses = np.tile(np.eye(4), (len(ego.t), 1, 1))
    poses[:, :3, :3] = matrix_from_quaternion(ego.quaternion)
    poses[:, :3, 3] = ego.position
    return np.asarray(poses @ trace.cameras["front"].calibration.T_vehicle_camera)


def recorded_poses(source: Path) -> Floats:
    """T_first_camera (n, 4, 4) of KITTI's file."""
    rows = np.loadtxt(source / "poses" / "00.txt").reshape(-1, 3, 4)
    poses = np.tile(np.eye(4), (len(rows), 1, 1))
    poses[:, :3] = rows
    return poses


def stereo_poses(folder: Path, count: int) -> Floats:
    """Poses (n, 4, 4) of every second left picture, by points whose depth both cameras tell.

    Each is found against the one before alone: it drifts, but its metres are the baseline's.
    """
    fx, fy, cx, cy = (float(word) for word in KITTI_MATRIX.split(","))
    K = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])
    cv2.setRNGSeed(1)
    poses = [np.eye(4)]
    for first in range(0, count - 2, 2):
        left, right, later = (
            np.asarray(cv2.imread(str(folder / f"image_{side}" / f"{number:06d}.png"), 0))
            for side, number in ((0, first), (1, first), (0, first + 2))
        )
        corners = cv2.goodFeaturesToTrack(left, 3000, 0.003, 7)
        beside, sure = _followed(left, right, corners)
        after, also = _followed(left, later, corners)
        points, beside, after = corners[:, 0], beside[:, 0], after[:, 0]
        disparity = points[:, 0] - beside[:, 0]
        sure &= also & (np.abs(points[:, 1] - beside[:, 1]) < 0.7) & (disparity > 4)
        rays = np.hstack([(points[sure] - (cx, cy)) / (fx, fy), np.ones((int(sure.sum()), 1))])
        places = rays * (fx * BASELINE / disparity[sure])[:, None]
        _, turn, shift, fitted = cv2.solvePnPRansac(
            places, after[sure], K, None, reprojectionError=1.0, iterationsCount=1000
        )
        rows = fitted[:, 0]
        turn, shift = cv2.solvePnPRefineLM(places[rows], after[sure][rows], K, None, turn, shift)
        moved = np.eye(4)
        moved[:3, :3], moved[:3, 3] = cv2.Rodrigues(turn)[0], shift[:, 0]
        poses.append(poses[-1] @ inverse(moved))
    return np.array(poses)


def _followed(before: Any, after: Any, points: Any) -> tuple[Any, NDArray[np.bool_]]:
    settings: dict[str, Any] = {"winSize": (21, 21), "maxLevel": 4}
    flow: Any = cv2.calcOpticalFlowPyrLK  # its stubs know no lack of a first guess
    there, found, _ = flow(before, after, points, None, **settings)
    back, again, _ = flow(after, before, there, None, **settings)
    sure = (found[:, 0] > 0) & (again[:, 0] > 0)
    return there, sure & (np.abs(back - points).max(axis=(1, 2)) < 0.3)


if __name__ == "__main__":
    main()
