"""What an import takes of memory, by the length of a recording that is made up as it is read.

    python benchmarks/import_memory.py [--minutes 1,3] [--size 874x1164] [--azimuths 1024] [--json]

Frames at 20 Hz (a noisy street that moves) and sweeps of a lidar with 64 beams of 1024 points at
10 Hz are written as `vista-sim import` writes them. Each length runs in a process of its own;
memory is the peak of its resident set, libraries included. Progress goes to stderr.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # libraries count as what is there before
    from vista_sim.recordings import Recording

MIB = 2**20
FRAME, SWEEP = 50_000_000, 100_000_000  # ns
BEAMS = 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--minutes", default="1,3", help="lengths, separated by commas")
    parser.add_argument("--size", default="874x1164", help="HEIGHTxWIDTH of the camera")
    parser.add_argument("--azimuths", type=int, default=1024, help="points of a beam")
    parser.add_argument("--folder", type=Path, help="where traces are written, then removed")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    lengths = [float(text) for text in options.minutes.split(",")]
    height, width = (int(text) for text in options.size.split("x"))
    if options.one:  # a process of its own
        print(json.dumps(measure(lengths[0], (height, width), options.azimuths, options.folder)))
        return
    results = []
    for minutes in lengths:
        command = [sys.executable, __file__, "--one", "--minutes", str(minutes)]
        command += ["--size", options.size, "--azimuths", str(options.azimuths)]
        if options.folder:
            command += ["--folder", str(options.folder)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        results.append(json.loads(done.stdout))
        if not options.json:
            print(TEXT.format(**results[-1]), flush=True)
    if options.json:
        print(json.dumps(results, indent=2))


TEXT = (
    "{minutes:g} min: {frames} frames, {sweeps} sweeps: {peak_mib:.0f} MiB at most "
    "({start_mib:.0f} before), {seconds:.0f} s, {trace_mib:.0f} MiB on disk"
)


def measure(
    minutes: float, size: tuple[int, int], azimuths: int, folder: Path | None
) -> dict[str, float]:
    """Write one recording, and say what it took."""
    from vista_sim.recordings import write_recording

    made = Path(tempfile.mkdtemp(prefix="import-memory-", dir=folder))
    start = peak()
    began = time.perf_counter()
    shown = [began]

    def progress(done: int, total: int) -> None:
        if time.perf_counter() - shown[0] > 10.0:
            shown[0] = time.perf_counter()
            sys.stderr.write(f"{minutes:g} min: {done} of {total}, {peak() / MIB:.0f} MiB\n")

    try:
        recording = made_up(minutes * 60.0, size, azimuths)
        write_recording(recording, made / "trace", progress=progress)
        trace = sum(path.stat().st_size for path in (made / "trace").iterdir())
    finally:
        shutil.rmtree(made)
    return {
        "minutes": minutes,
        "frames": len(recording.cameras["front"]().t_ns),
        "sweeps": len(recording.lidars["top"].t_ns),
        "peak_mib": peak() / MIB,
        "start_mib": start / MIB,
        "seconds": time.perf_counter() - began,
        "trace_mib": trace / MIB,
    }


def peak() -> int:
    """Bytes of this process's resident set at its largest."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def made_up(seconds: float, size: tuple[int, int], azimuths: int) -> Recording:
    """A recording of a long bend; images and points are made when they are asked for."""
    from vista_sim.recordings import (
        CameraCalibration,
        CameraStream,
        Lens,
        LidarCalibration,
        LidarStream,
        Points,
        Recording,
        Vehicle,
        camera_mount,
        motion_of_poses,
        planar_pose,
        pose_from_euler,
    )

    frame_t = np.arange(0, int(seconds * 1e9), FRAME, dtype=np.int64)
    turned = 12.0 / 500.0 * frame_t * 1e-9
    poses = np.array([planar_pose(500 * np.sin(a), 500 - 500 * np.cos(a), a) for a in turned])
    rng = np.random.default_rng(0)
    street = rng.integers(60, 200, (size[0] // 8 + 1, size[1] // 8 + 64, 3), dtype=np.uint8)
    street = np.kron(street, np.ones((8, 8, 1), dtype=np.uint8))
    elevation = np.radians(np.linspace(-25.0, 3.0, BEAMS))[:, None]
    azimuth = np.linspace(-np.pi, np.pi, azimuths, endpoint=False)[None]
    ahead = np.stack(
        np.broadcast_arrays(
            np.cos(elevation) * np.cos(azimuth),
            np.cos(elevation) * np.sin(azimuth),
            np.sin(elevation),
        ),
        axis=-1,
    ).reshape(-1, 3)
    ring = np.repeat(np.arange(BEAMS), azimuths)

    def frames(numbers: Sequence[int]) -> Iterator[NDArray[np.uint8]]:
        for number in numbers:
            shift = (3 * number) % 500
            noise = rng.integers(0, 6, (*size, 1), dtype=np.uint8)
            yield street[: size[0], shift : shift + size[1]] + noise

    def sweeps(numbers: Sequence[int]) -> Iterator[Points]:
        for number in numbers:
            away = 20.0 + 10.0 * np.sin(0.1 * number) + rng.normal(0.0, 0.02, len(ahead))
            late = np.linspace(0, SWEEP - 1, len(ahead)).astype(np.int64)
            brightness = rng.integers(0, 256, len(ahead)).astype(np.float64)
            yield Points(ahead * away[:, None], brightness, ring, number * SWEEP + late)

    lens = Lens.from_fov(size, 1.2)
    camera = CameraStream(CameraCalibration(lens, camera_mount(1.5, 0.0, 1.4)), frame_t, frames)
    lidar = LidarStream(
        LidarCalibration(pose_from_euler(1.0, 0.0, 1.8), motion_compensated=False),
        frame_t[:: SWEEP // FRAME],
        sweeps,
    )
    return Recording(
        name="made-up",
        source="benchmarks/import_memory.py",
        licence="unknown",
        vehicle=Vehicle(),
        motion=motion_of_poses(frame_t, poses),
        cameras={"front": lambda: camera},
        usual=("front",),
        lidars={"top": lidar},
    )


if __name__ == "__main__":
    main()
