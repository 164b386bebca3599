"""Steps per second of one environment and of many cars in one process, in the same run.

    python benchmarks/vector.py [--json] [--trace FOLDER] [--seconds 4]
    python benchmarks/vector.py --scenario recovery [--json] [--seconds 4]
    python benchmarks/vector.py --base CHECKOUT [--rounds 60] [--most 1.03]

Warm: every frame that is needed has been decoded before. Actions and starts are random, up to
1.5 m beside the recorded path. A reset counts as a step, for one as for many: both make a view.
Rounds of the single environment and of the vector environments take turns, and each figure is
the median of its rounds, because the machine's speed drifts; `ratio` compares their wall time,
`cpu_us` is the processor time of a step, which other programs disturb less. `overhead_us` is
the wall time of a single step outside of the rendering of its view (median).

With --scenario, many cars that drive cases of a scenario or suite are beside Gymnasium's own loop
over as many single environments (`SyncVectorEnv`), which resets in the same way.

With --base, vector steps of another checkout are timed in turns with those of this one.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import checkouts
import numpy as np

ID = "VistaSim/LaneFollowing-v0"
SCENARIO_ID = "VistaSim/Scenario-v0"
SCENARIO_COUNTS = (8, 32)
SIZES = ((66, 200), (200, 320))
COUNTS = (1, 8, 32, 64)
WORKERS = (1, 2)
ROUNDS = 3
COMPARED = 32  # cars whose steps are compared between checkouts
TURN = 0.1  # s that a checkout is timed before it is the other one's turn
SETTINGS: dict[str, Any] = {"perturb_lateral": 1.5, "perturb_heading": 0.1}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--trace", type=Path, help="a baked trace; default: the sample trace")
    parser.add_argument("--scenario", help="a scenario or suite: a file, or an installed one")
    parser.add_argument("--seconds", type=float, default=4.0, help="timed for each figure")
    parser.add_argument("--seed", type=int, default=0)
    checkouts.add_options(parser)
    options = parser.parse_args()

    import cv2

    cv2.setNumThreads(1)
    folder = options.trace or checkouts.HERE / "assets" / "proving-ground"
    steps = vector_steps(folder, options.seed)
    if options.serve:
        checkouts.serve(steps)
        return 0
    if options.base is not None:
        given = ("--trace", folder, "--seed", options.seed)
        return checkouts.compare_speed(__file__, tuple(steps), options, *given)

    from vista_sim.geometry.bake import bake
    from vista_sim.traces.trace import Trace

    if options.scenario:
        found = measure_scenario(options.scenario, options.seconds, options.seed)
        print(json.dumps(found, indent=2) if options.json else text_of_scenario(found))
        return 0
    trace = Trace.open(folder)
    bake(trace.root)
    result: dict[str, Any] = {"cores": len(os.sched_getaffinity(0)), "sizes": {}}
    for size in SIZES:
        name = f"{size[0]}x{size[1]}"
        result["sizes"][name] = measure(trace, size, options.seconds, options.seed)
        if not options.json:
            show(name, result["sizes"][name])
    if options.json:
        print(json.dumps(result, indent=2))
    return 0


def vector_steps(trace: Path, seed: int) -> Mapping[str, checkouts.Measurement]:
    """What is compared between checkouts: many cars that see, know their state, drive cases."""
    free: dict[str, Any] = {"traces": [trace], **SETTINGS}
    cases: dict[str, Any] = {"scenario": "recovery"}
    return {
        f"{COMPARED} cars that see": partial(prepare_vector, ID, seed, free),
        f"{COMPARED} cars, their state": partial(
            prepare_vector, ID, seed, free | {"observe": "state"}
        ),
        f"{COMPARED} cars in cases, their state": partial(
            prepare_vector, SCENARIO_ID, seed, cases | {"observe": "state"}
        ),
    }


def prepare_vector(name: str, seed: int, settings: Mapping[str, Any]) -> Callable[[], Any]:
    """Warm steps of a vector environment, with the resets in them."""
    import gymnasium

    import vista_sim  # noqa: F401  # registers the environments

    envs = gymnasium.make_vec(
        name,
        num_envs=COMPARED,
        vectorization_mode="vector_entry_point",
        workers=1,
        **settings,
    )
    envs.action_space.seed(seed)
    envs.reset(seed=seed)
    if settings.get("observe") != "state":
        drive_through(envs.unwrapped.envs[0])  # type: ignore[attr-defined]
        envs.reset(seed=seed)
    step = stepper_of_many(envs)
    return lambda: checkouts.take_turn(step, TURN)


def show(name: str, figures: dict[str, Any]) -> None:
    print(
        f"{name}: one environment {figures['single']:.0f} steps/s "
        f"({figures['cpu_us']:.0f} µs of processor time), "
        f"{figures['overhead_us']:.0f} µs of a step outside of the view"
    )
    for row in figures["vector"]:
        print(
            f"  {row['num_envs']:>3} cars, {row['workers']} workers: "
            f"{row['steps_per_s']:.0f} steps/s ({row['cpu_us']:.0f} µs of processor time), "
            f"{row['ratio']:.2f} times the single one"
        )


def measure(trace: Any, size: tuple[int, int], seconds: float, seed: int) -> dict[str, Any]:
    """Steps per second at one size, each vector environment beside the single one."""
    import gymnasium

    single = gymnasium.make(ID, traces=[trace], size=size, **SETTINGS)
    drive_through(single)
    single.reset(seed=seed)
    single.action_space.seed(seed)
    one = stepper_of_one(single)
    overhead = overhead_of(single)
    vector = []
    everything: list[tuple[float, float]] = []
    for count in COUNTS:
        for workers in WORKERS:
            envs = gymnasium.make_vec(
                ID,
                num_envs=count,
                vectorization_mode="vector_entry_point",
                traces=[trace],
                size=size,
                workers=workers,
                **SETTINGS,
            )
            drive_through(envs.unwrapped.envs[0])  # type: ignore[attr-defined]
            envs.reset(seed=seed)
            envs.action_space.seed(seed)
            alone, together = race(one, stepper_of_many(envs), seconds / (2 * ROUNDS))
            everything += alone
            vector.append(
                {
                    "num_envs": count,
                    "workers": workers,
                    "steps_per_s": median([speed for speed, _ in together]),
                    "single_steps_per_s": median([speed for speed, _ in alone]),
                    "cpu_us": median([cpu for _, cpu in together]),
                    "ratio": median([b[0] / a[0] for a, b in zip(alone, together, strict=True)]),
                }
            )
            envs.close()
    single.close()
    return {
        "single": median([speed for speed, _ in everything]),
        "cpu_us": median([cpu for _, cpu in everything]),
        "overhead_us": overhead,
        "vector": vector,
    }


def measure_scenario(scenario: str, seconds: float, seed: int) -> dict[str, Any]:
    """Steps per second of many cars and of Gymnasium's loop, in rounds that take turns."""
    import gymnasium

    import vista_sim  # noqa: F401  # registers the environments

    rows = []
    for count in SCENARIO_COUNTS:
        for workers in WORKERS:
            given: dict[str, Any] = {"num_envs": count, "scenario": scenario}
            loop = gymnasium.make_vec(SCENARIO_ID, vectorization_mode="sync", **given)
            given |= {"workers": workers, "vectorization_mode": "vector_entry_point"}
            ours = gymnasium.make_vec(SCENARIO_ID, **given)
            for envs in (loop, ours):
                envs.reset(seed=seed)
                envs.action_space.seed(seed)
                for _ in range(100):  # so that most frames are decoded
                    envs.step(envs.action_space.sample())
            each, together = race(
                stepper_of_many(loop), stepper_of_many(ours), seconds / (2 * ROUNDS)
            )
            rows.append(
                {
                    "num_envs": count,
                    "workers": workers,
                    "loop_steps_per_s": median([speed for speed, _ in each]),
                    "loop_cpu_us": median([cpu for _, cpu in each]),
                    "steps_per_s": median([speed for speed, _ in together]),
                    "cpu_us": median([cpu for _, cpu in together]),
                    "ratio": median([b[0] / a[0] for a, b in zip(each, together, strict=True)]),
                }
            )
            loop.close()
            ours.close()
    return {"cores": len(os.sched_getaffinity(0)), "scenario": scenario, "vector": rows}


def text_of_scenario(found: dict[str, Any]) -> str:
    return "\n".join(
        f"{found['scenario']}: {row['num_envs']:>3} cars, {row['workers']} workers: "
        f"{row['steps_per_s']:.0f} steps/s ({row['cpu_us']:.0f} µs of processor time), "
        f"{row['ratio']:.2f} times Gymnasium's loop of {row['loop_steps_per_s']:.0f} "
        f"({row['loop_cpu_us']:.0f} µs)"
        for row in found["vector"]
    )


def race(
    one: Callable[[], int], many: Callable[[], int], seconds: float
) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
    """Speeds of both, in rounds that take turns; see `rate`."""
    alone, together = [], []
    many()
    for _ in range(ROUNDS):
        alone.append(rate(one, seconds))
        together.append(rate(many, seconds))
    return alone, together


def rate(step: Callable[[], int], seconds: float) -> tuple[float, float]:
    """Steps per second, and processor time of a step, µs."""
    began, cpu, steps = time.perf_counter(), time.process_time(), 0
    while (passed := time.perf_counter() - began) < seconds:
        steps += step()
    return steps / passed, 1e6 * (time.process_time() - cpu) / steps


def median(values: list[float]) -> float:
    return float(np.median(values))


def overhead_of(env: Any, steps: int = 300) -> float:
    """Median wall time of a step outside of the rendering of its view, µs."""
    car = env.unwrapped.car
    times = []
    for _ in range(steps):
        action = env.action_space.sample()
        began = time.perf_counter()
        _, _, terminated, truncated, _ = env.step(action)
        times.append(1e6 * (time.perf_counter() - began - car.view_seconds))
        if terminated or truncated:
            env.reset()
    return median(times)


def stepper_of_one(env: Any) -> Callable[[], int]:
    """Ten steps of one environment."""

    def steps() -> int:
        done = 0
        for _ in range(10):
            _, _, terminated, truncated, _ = env.step(env.action_space.sample())
            done += 1
            if terminated or truncated:
                env.reset()
                done += 1
        return done

    return steps


def stepper_of_many(envs: Any) -> Callable[[], int]:
    """One step of many environments."""

    def step() -> int:
        envs.step(envs.action_space.sample())
        return int(envs.num_envs)

    return step


def drive_through(env: Any) -> None:
    """Visit every metre of the trace, so that all frames are decoded."""
    car = env.unwrapped.car
    env.reset(seed=0)
    for section in car.trace.sections:
        for s in np.arange(section.start_s, section.end_s - 0.5, 1.0):
            env.reset(options={"trace": 0, "s": float(s), "lateral": 0.0, "heading": 0.0})


if __name__ == "__main__":
    sys.exit(main())
