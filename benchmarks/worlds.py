"""Worlds that nothing was tuned on: recorded drives, and true views beside them."""

from __future__ import annotations

import math
import multiprocessing
import shutil
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vista_sim.proving_ground.record import Recording, build_scene, record
from vista_sim.proving_ground.scene import RenderedView
from vista_sim.proving_ground.truth import GroundTruth
from vista_sim.traces.trace import Trace

Offset = tuple[float, float, float]  # x, y, yaw: m and rad
Moment = tuple[float, Offset]

SMOOTH_OFFSET: Offset = (0.0, 1.0, 0.0)
NEAREST, FARTHEST = 6.0, 30.0  # m, along the optical axis, of a car that is near
APART = 0.45  # s between moments that are judged, at least


@dataclass(frozen=True, eq=False)
class World:
    """A recorded drive and what would have been seen from beside it.

    Attributes:
        path: the trace.
        moments: s, of the recorded frames that are judged, from each of `offsets`.
        truths: true views by moment and offset, for the table and for smoothness.
        smooth: s, an even series of moments three times as dense as the recorded frames,
            beginning at a frame, seen from `SMOOTH_OFFSET`.
    """

    path: Path
    moments: tuple[float, ...]
    offsets: tuple[Offset, ...]
    truths: dict[Moment, RenderedView]
    smooth: tuple[float, ...]


@dataclass(frozen=True)
class Plan:
    """What to make of one world.

    Attributes:
        source: what to record, or a trace of the proving ground that is there already.
        offsets: from which true views are rendered at each judged moment.
        count: how many moments are judged.
        smooth: how many moments of an even series.
    """

    source: Recording | Path
    offsets: tuple[Offset, ...]
    count: int
    smooth: int = 0


def make_worlds(plans: Sequence[tuple[Path, Plan]], workers: int) -> list[World]:
    """Record worlds and render their true views, each in a process of its own.

    Args:
        plans: where to record, and what.
        workers: how many processes at a time.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max(1, workers), mp_context=context) as pool:
        waiting = [pool.submit(make_world, *plan) for plan in plans]
        for done, world in enumerate(as_completed(waiting), 1):
            print(f"world {done} of {len(plans)}: {world.result().path.name}", file=sys.stderr)
    return [world.result() for world in waiting]


def make_world(path: Path, plan: Plan) -> World:
    """Record one world and render its true views."""
    scene = None
    if isinstance(plan.source, Path):
        shutil.copytree(plan.source, path, ignore=shutil.ignore_patterns("geometry"))
    else:
        scene = build_scene(plan.source)
        record(path, plan.source, scene=scene)
    trace = Trace.open(path)
    moments = busy_moments(trace, plan.count) or even_moments(trace, plan.count)
    times = trace.cameras["front"].t
    smooth: tuple[float, ...] = ()
    if plan.smooth:
        first = len(times) // 4
        interval = float(times[first + 1] - times[first]) / 3.0
        smooth = tuple(float(times[first]) + interval * k for k in range(plan.smooth))
    with GroundTruth(path, scene) as truth:
        wanted = [(t, offset) for t in moments for offset in plan.offsets]
        wanted += [(t, SMOOTH_OFFSET) for t in smooth]
        truths = {key: truth.view(*key) for key in wanted}
    return World(path, moments, plan.offsets, truths, smooth)


def even_moments(trace: Trace, count: int) -> tuple[float, ...]:
    """Times (s) of `count` recorded frames spread over a trace."""
    times = trace.cameras["front"].t
    picked = np.linspace(0, len(times) - 1, count + 2).round().astype(int)[1:-1]
    return tuple(float(times[i]) for i in picked)


def busy_moments(trace: Trace, count: int) -> tuple[float, ...]:
    """Times (s) of the recorded frames that show the nearest moving cars, at most `count`."""
    tracks = trace.tracks()
    if not tracks:
        return ()
    camera = trace.cameras["front"].calibration
    half = 0.4 * camera.lens.fov
    size = {}
    for t in trace.cameras["front"].t[3:-3]:
        row = np.abs(tracks["t"] - t) < 0.06
        points = tracks["pose"][row, :3]
        T = np.linalg.inv(trace.pose(float(t)) @ camera.T_vehicle_camera)
        x, _, z = T[:3, :3] @ points.T + T[:3, 3:]
        near = (z > NEAREST) & (z < FARTHEST) & (np.abs(np.arctan2(x, z)) < half)
        size[float(t)] = float(np.sum(1.0 / z[near] ** 2))
    picked: list[float] = []
    for t in sorted(size, key=lambda t: -size[t]):
        if size[t] > 0 and len(picked) < count and all(abs(t - p) > APART for p in picked):
            picked.append(t)
    return tuple(sorted(picked))


def offset_name(offset: Offset) -> str:
    """Such as "+1.0 m -10 deg"; "recorded" for none."""
    _, y, yaw = offset
    parts = [f"{y:+.1f} m"] if y else []
    parts += [f"{math.degrees(yaw):+.0f} deg"] if yaw else []
    return " ".join(parts) or "recorded"
