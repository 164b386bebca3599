"""What environments take of memory, and what a collection too large for it costs in speed.

    python benchmarks/memory.py [--json] [--quick] [--trace FOLDER] [--size 200x320]

- sharing: 1 and 64 environments on one trace in one process, and 1 and 8 processes with an
  environment each, started by fork from one that has loaded the libraries.
- growth: one environment over 100,000 steps, and the slope after the first fifth.
- collection: 400 differently named copies of the trace (links to its files), uniform resets,
  beside one trace of which every frame is in memory, in turns in one process, after
  each trace has been visited once.

Memory is PSS, the proportional set size of /proc/self/smaps_rollup: what several processes
map counts once over all of them. Actions and starts are random, up to 1.5 m beside the path.
Every part runs in a process of its own. Progress goes to stderr.
"""

from __future__ import annotations

import argparse
import gc
import json
import multiprocessing
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

MIB = 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--quick", action="store_true", help="fewer of everything")
    parser.add_argument("--trace", type=Path, help="a baked trace; default: the sample trace")
    parser.add_argument("--size", default="200x320", help="HEIGHTxWIDTH of the camera")
    parser.add_argument("--part", choices=sorted(PARTS), help="only this part")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.part and options.json:  # a process of its own
        print(json.dumps(PARTS[options.part](options)))
        return

    import vista_sim
    from vista_sim.geometry.bake import bake

    bake(options.trace or vista_sim.sample_trace("proving-ground"))
    result = {part: run_part(part) for part in ([options.part] if options.part else PARTS)}
    if options.json:
        print(json.dumps(result, indent=2))
    else:
        for part, figures in result.items():
            TEXTS[part](figures)


def run_part(part: str) -> dict[str, Any]:
    """The figures of a part, from a process of its own."""
    command = [sys.executable, __file__, *sys.argv[1:], "--json", "--part", part]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def sharing(options: argparse.Namespace) -> dict[str, Any]:
    """PSS of environments in one process, and of processes, MiB."""
    many, processes = (4, 2) if options.quick else (64, 8)
    metres = 8.0 if options.quick else 1.0
    progress("1 environment")
    envs = [make_env(options)]
    drive_through(envs[0], metres)
    one = pss()
    progress(f"{many} environments")
    envs += [make_env(options) for _ in range(many - 1)]
    for index, env in enumerate(envs):
        env.reset(seed=options.seed + index)
        drive(env, 20)
    all_of_them = pss()
    for env in envs:
        env.close()
    del envs, env
    gc.collect()
    frames = {n: processes_pss(n, metres, options) for n in (1, processes)}
    return {
        "environments": many,
        "one_environment_mib": one,
        "all_environments_mib": all_of_them,
        "environments_ratio": all_of_them / one,
        "processes": processes,
        "one_process_mib": frames[1],
        "all_processes_mib": frames[processes],
        "processes_ratio": frames[processes] / frames[1],
    }


def processes_pss(count: int, metres: float, options: argparse.Namespace) -> float:
    """PSS of this process and `count` forked ones that have driven through the trace, MiB."""
    progress(f"{count} processes")
    context = multiprocessing.get_context("fork")
    done, measured = context.Barrier(count + 1), context.Barrier(count + 1)
    results = context.SimpleQueue()

    def work() -> None:
        env = make_env(options)
        drive_through(env, metres)
        done.wait()  # measure while all are there
        results.put(pss())
        measured.wait()
        env.close()

    workers = [context.Process(target=work) for _ in range(count)]
    for worker in workers:
        worker.start()
    done.wait(timeout=900)
    own = pss()
    total = own + sum(results.get() for _ in workers)
    measured.wait(timeout=60)
    for worker in workers:
        worker.join()
    return total


def growth(options: argparse.Namespace) -> dict[str, Any]:
    """PSS over many steps, and its slope after the first fifth."""
    steps = 800 if options.quick else 100_000
    every = steps // 40
    env = make_env(options)
    env.reset(seed=options.seed)
    drive_through(env, 8.0 if options.quick else 1.0)
    curve = [(0, pss())]
    for done in range(every, steps + 1, every):
        drive(env, every)
        curve.append((done, pss()))
        progress(f"{done} steps: {curve[-1][1]:.1f} MiB")
    late = np.array([point for point in curve if point[0] >= steps // 5])
    slope = float(np.polyfit(late[:, 0], late[:, 1], 1)[0])
    return {"curve_mib": curve, "slope_kib_per_1000_steps": slope * 1024 * 1000}


def collection(options: argparse.Namespace) -> dict[str, Any]:
    """Memory and speed with many traces, beside one trace of which all is in memory."""
    copies, rounds, steps = (4, 2, 60) if options.quick else (400, 12, 1500)
    one = make_env(options)
    drive_through(one, 8.0 if options.quick else 1.0)
    with linked_copies(trace_of(options), copies) as folders:
        progress(f"opening {copies} traces")
        start = time.perf_counter()
        many = make_env(options, folders)
        opening = time.perf_counter() - start
        opened = pss()
        for env in (one, many):
            env.reset(seed=options.seed)
            drive(env, steps // 4)
        progress("visiting each trace once")
        for number in range(copies):
            many.reset(options={"trace": number})
        spent, cpu = {"one": 0.0, "many": 0.0}, {"one": 0.0, "many": 0.0}
        peak = 0.0
        episodes = 0
        for number in range(rounds):
            for name, env in (("one", one), ("many", many)):
                start, busy = time.perf_counter(), time.process_time()
                ended = drive(env, steps)
                spent[name] += time.perf_counter() - start
                cpu[name] += time.process_time() - busy
                episodes += ended if name == "many" else 0
            peak = max(peak, pss())
            speeds = {k: (number + 1) * steps / v for k, v in spent.items()}
            progress(f"{speeds['many']:.0f} of {speeds['one']:.0f} steps/s, {peak:.0f} MiB")
        many.close()
    return {
        "copies": copies,
        "opening_s": opening,
        "opened_mib": opened,
        "peak_mib": peak,
        "steps_per_episode": rounds * steps / max(1, episodes),
        "warm_steps_per_s": speeds["one"],
        "steps_per_s": speeds["many"],
        "ratio": speeds["many"] / speeds["one"],
        "warm_cpu_ms_per_step": 1e3 * cpu["one"] / (rounds * steps),
        "cpu_ms_per_step": 1e3 * cpu["many"] / (rounds * steps),
    }


PARTS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "sharing": sharing,
    "growth": growth,
    "collection": collection,
}


def print_sharing(found: dict[str, Any]) -> None:
    print(
        f"environments on one trace:  1: {found['one_environment_mib']:.0f} MiB, "
        f"{found['environments']}: {found['all_environments_mib']:.0f} MiB, "
        f"{found['environments_ratio']:.2f} times"
    )
    print(
        f"processes on one trace:     1: {found['one_process_mib']:.0f} MiB, "
        f"{found['processes']}: {found['all_processes_mib']:.0f} MiB, "
        f"{found['processes_ratio']:.2f} times"
    )


def print_growth(found: dict[str, Any]) -> None:
    curve = found["curve_mib"]
    print("steps      PSS, MiB")
    for steps, mib in curve[:: max(1, len(curve) // 10)]:
        print(f"{steps:>7} {mib:>9.1f}")
    print(f"slope after the first fifth: {found['slope_kib_per_1000_steps']:.1f} KiB / 1000 steps")


def print_collection(found: dict[str, Any]) -> None:
    print(
        f"{found['copies']} traces: opened in {found['opening_s']:.1f} s, "
        f"{found['peak_mib']:.0f} MiB at most, {found['steps_per_s']:.0f} steps/s "
        f"({found['steps_per_episode']:.0f} steps an episode), "
        f"{found['ratio']:.2f} of the {found['warm_steps_per_s']:.0f} steps/s of one trace"
    )


TEXTS = {"sharing": print_sharing, "growth": print_growth, "collection": print_collection}


def trace_of(options: argparse.Namespace) -> Path:
    import vista_sim

    return Path(options.trace or vista_sim.sample_trace("proving-ground"))


def make_env(options: argparse.Namespace, traces: Sequence[Path] | None = None) -> Any:
    import cv2
    import gymnasium

    import vista_sim  # noqa: F401  registers the environment

    cv2.setNumThreads(1)
    height, width = (int(n) for n in options.size.split("x"))
    env = gymnasium.make(
        "VistaSim/LaneFollowing-v0",
        traces=list(traces or [trace_of(options)]),
        size=(height, width),
        perturb_lateral=1.5,
        perturb_heading=0.1,
    )
    env.action_space.seed(options.seed)
    return env


def drive(env: Any, steps: int) -> int:
    """Random actions; returns how many episodes have ended."""
    episodes = 0
    if env.unwrapped.car.done:
        env.reset()
    for _ in range(steps):
        _, _, terminated, truncated, _ = env.step(env.action_space.sample())
        if terminated or truncated:
            env.reset()
            episodes += 1
    return episodes


def drive_through(env: Any, metres: float) -> None:
    """Have a look from all along the trace, so that its frames are in memory."""
    car = env.unwrapped.car
    sections = env.unwrapped.world.sections[0]
    for section in sections:
        for s in np.arange(section.start_s, section.end_s - 0.5, metres):
            env.reset(options={"trace": 0, "s": float(s), "lateral": 0.0, "heading": 0.0})
    assert not car.done


@contextmanager
def linked_copies(trace: Path, count: int) -> Iterator[list[Path]]:
    """Folders that look like copies of a trace, whose files are links to it."""
    root = Path(tempfile.mkdtemp(prefix="vista_sim-copies-"))
    try:
        folders = [root / f"drive-{number:03d}" for number in range(count)]
        for folder in folders:
            for file in sorted(trace.rglob("*")):
                target = folder / file.relative_to(trace)
                if file.is_dir():
                    continue
                target.parent.mkdir(parents=True, exist_ok=True)
                target.symlink_to(file.resolve())
        yield folders
    finally:
        shutil.rmtree(root)


def pss() -> float:
    """Proportional set size of this process, MiB."""
    gc.collect()
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024 / MIB
    raise RuntimeError("/proc/self/smaps_rollup has no Pss")


def progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
