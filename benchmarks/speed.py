"""How long a full `env.step` takes, in units of one `cv2.remap` timed in the same process.

Also: what `import vista_sim` adds to `import gymnasium`, and how long it takes to reach any
frame of a 376 x 1241 video.

    python benchmarks/speed.py [--json] [--trace FOLDER] [--steps 400]
    python benchmarks/speed.py --base CHECKOUT [--rounds 60] [--most 1.03]

Warm: the frames the steps need have been decoded before. Cold: every step starts somewhere
else in a trace of which nothing is in memory. Actions are random, and so are the starts, up
to 1.5 m beside the recorded path. The unit is `cv2.remap` of a 200 x 320 x 3 image with
float maps, bilinear, on one thread. One is timed after every step, so that steps and unit
see the same machine; figures are medians, and so is the ratio.

With --base, warm steps of another checkout are timed in turns with those of this one.
"""

from __future__ import annotations

import argparse
import atexit
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import checkouts
import numpy as np

SIZES = ((200, 320), (66, 200))
ID = "VistaSim/LaneFollowing-v0"
SETTINGS: dict[str, Any] = {"perturb_lateral": 1.5, "perturb_heading": 0.1}
TURN = 0.1  # s that a checkout is timed before it is the other one's turn


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--trace", type=Path, help="a baked trace; default: the sample trace")
    parser.add_argument("--steps", type=int, default=400, help="steps timed for each figure")
    parser.add_argument("--seed", type=int, default=0)
    checkouts.add_options(parser)
    options = parser.parse_args()

    import cv2

    cv2.setNumThreads(1)
    trace = options.trace or checkouts.HERE / "assets" / "proving-ground"
    warm = warm_steps(trace, options.seed)
    if options.serve:
        checkouts.serve(warm)
        return 0
    if options.base is not None:
        given = ("--trace", trace, "--seed", options.seed)
        return checkouts.compare_speed(__file__, tuple(warm), options, *given)

    from vista_sim.geometry.bake import bake

    bake(trace)
    result: dict[str, Any] = {
        "import_ms_beyond_gymnasium": time_import(),
        "frame_376x1241_ms": time_frames(),
        "steps": {},
    }
    for size in SIZES:
        result["steps"][f"{size[0]}x{size[1]}"] = measure(trace, size, options)
    units = [figures["warm_unit_ms"] for figures in result["steps"].values()]
    result["cv2_remap_200x320_ms"] = float(np.median(units))
    if options.json:
        print(json.dumps(result, indent=2))
        return 0
    print(f"import vista_sim beyond gymnasium: {result['import_ms_beyond_gymnasium']:.0f} ms")
    print(f"one cv2.remap, 200 x 320 x 3:      {result['cv2_remap_200x320_ms']:.3f} ms")
    frames = result["frame_376x1241_ms"]
    print(
        f"any frame of 376 x 1241:           {frames['median']:.1f} ms "
        f"(95 % within {frames['p95']:.1f} ms)"
    )
    for name, figures in result["steps"].items():
        for kind in ("warm", "cold"):
            ms, remaps = figures[f"{kind}_ms"], figures[f"{kind}_remaps"]
            print(f"env.step {name:>7} {kind}: {ms:.2f} ms, {remaps:.1f} remaps")
    return 0


def warm_steps(trace: Path, seed: int) -> Mapping[str, checkouts.Measurement]:
    """What is compared between checkouts: seeing a camera, the state alone, and recorded."""
    found = {
        f"env.step {size[0]}x{size[1]}": partial(prepare_steps, trace, seed, size=size)
        for size in SIZES
    }
    found["env.step of the state"] = partial(prepare_steps, trace, seed, observe="state")
    found["the same, recorded"] = partial(prepare_steps, trace, seed, True, observe="state")
    return found


def prepare_steps(
    trace: Path, seed: int, recorded: bool = False, **settings: Any
) -> Callable[[], checkouts.Turn]:
    """Warm steps of an environment; resets between them are not timed."""
    import gymnasium

    import vista_sim

    env: Any = gymnasium.make(ID, traces=[trace], **SETTINGS, **settings)
    if recorded:
        folder = tempfile.TemporaryDirectory()
        env = vista_sim.RecordRun(env, Path(folder.name) / "run", views=(), max_steps=10**9)
        atexit.register(folder.cleanup)
    env.action_space.seed(seed)
    env.reset(seed=seed)
    if "size" in settings:
        drive_through(env)
    ended = True
    action = env.action_space.sample()

    def before() -> None:
        nonlocal action
        action = env.action_space.sample()
        if ended:
            env.reset()

    def step() -> None:
        nonlocal ended
        _, _, terminated, truncated, _ = env.step(action)
        ended = terminated or truncated

    return lambda: checkouts.take_turn(step, TURN, before)


def measure(trace: Path, size: tuple[int, int], options: argparse.Namespace) -> dict[str, float]:
    """Median time of a step with one camera of a size, warm and cold, ms."""
    import gymnasium

    import vista_sim  # noqa: F401  registers the environment

    env = gymnasium.make(ID, traces=[trace], size=size, **SETTINGS)
    env.action_space.seed(options.seed)
    env.reset(seed=options.seed)
    for _ in range(5):  # compile
        env.step(env.action_space.sample())
    cold = run(env, options.steps // 4, options.seed + 1, fresh=True)
    drive_through(env)
    warm = run(env, options.steps, options.seed + 2, fresh=False)
    env.close()
    result: dict[str, float] = {}
    for name, (step, unit) in (("warm", warm), ("cold", cold)):
        result |= {f"{name}_ms": step, f"{name}_unit_ms": unit, f"{name}_remaps": step / unit}
    return result


def run(env: Any, steps: int, seed: int, fresh: bool) -> tuple[float, float]:
    """Median times of a step and of the unit, ms. With `fresh`, each step follows a reset."""
    env.reset(seed=seed)
    unit = make_unit()
    times, units = [], []
    ended = True
    for _ in range(steps):
        if ended or fresh:
            env.reset()
        action = env.action_space.sample()
        start = time.perf_counter()
        _, _, terminated, truncated, _ = env.step(action)
        between = time.perf_counter()
        unit()
        units.append(time.perf_counter() - between)
        times.append(between - start)
        ended = terminated or truncated
    return 1e3 * float(np.median(times)), 1e3 * float(np.median(units))


def drive_through(env: Any) -> None:
    """Visit every metre of the trace, so that all frames are decoded."""
    world = env.unwrapped.world
    car = world.cars[0]
    for section in car.trace.sections:
        for s in np.arange(section.start_s, section.end_s - 0.5, 1.0):
            env.reset(options={"trace": 0, "s": float(s), "lateral": 0.0, "heading": 0.0})


def make_unit() -> Callable[[], Any]:
    """The unit: one remap of a 200 x 320 x 3 image."""
    import cv2

    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (200, 320, 3), dtype=np.uint8)
    v, u = np.mgrid[0:200, 0:320].astype(np.float32)
    u, v = u + 3 * np.sin(v / 20), v + 3 * np.cos(u / 30)
    return lambda: cv2.remap(image, u, v, cv2.INTER_LINEAR)


def time_frames(frames: int = 60, reads: int = 200) -> dict[str, float]:
    """Time to read frames of a video of moving texture in random order, ms."""
    import cv2

    from vista_sim.traces.calibration import CameraCalibration, Lens, Vehicle
    from vista_sim.traces.trace import Trace
    from vista_sim.traces.writer import TraceWriter

    height, width = 376, 1241
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (height, width + frames * 4, 3), dtype=np.uint8)
    texture = cv2.GaussianBlur(noise, (0, 0), 1.5)
    texture = cv2.convertScaleAbs(texture, alpha=2.0, beta=-128)
    with tempfile.TemporaryDirectory() as folder:
        destination = Path(folder) / "trace"
        with TraceWriter(
            destination, name="speed", licence="", source="", vehicle=Vehicle()
        ) as writer:
            lens = Lens.from_fov((height, width), 1.4)
            camera = writer.add_camera("front", CameraCalibration(lens), 10.0)
            for i in range(frames):
                view = np.ascontiguousarray(texture[:, 4 * i : 4 * i + width])
                camera.write(view, i * 100_000_000)
            t = np.arange(frames)
            position = np.stack([1.0 * t, 0.0 * t, 0.0 * t], axis=1)
            rotation = np.tile([0.0, 0.0, 0.0, 1.0], (frames, 1))
            writer.write_ego(t * 100_000_000, position, rotation, 0.0 * t + 10, 0.0 * t)
        recorded = Trace.open(destination).cameras["front"]
        times = []
        for i in rng.integers(0, frames, reads):
            start = time.perf_counter()
            recorded.frame(int(i))
            times.append(1e3 * (time.perf_counter() - start))
    return {
        "median": float(np.median(times)),
        "p95": float(np.quantile(times, 0.95)),
        "max": float(np.max(times)),
    }


def time_import(runs: int = 7) -> float:
    """Median time of `import vista_sim` after `import gymnasium`, each in a new process, ms."""
    code = (
        "import gymnasium, time; t = time.perf_counter(); import vista_sim; "
        "print(time.perf_counter() - t)"
    )
    times = [float(subprocess.check_output([sys.executable, "-c", code])) for _ in range(runs)]
    return 1e3 * float(np.median(times))


if __name__ == "__main__":
    sys.exit(main())
