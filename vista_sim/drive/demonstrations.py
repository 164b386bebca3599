"""Writes what a human drove as traces, which are demonstrations: `vista-train bc`, `guided` and
`dagger` take them with --traces, and whatever else takes a trace does too.

Each episode that a human drove becomes a trace of its own. Its ego motion is that of the driven
car; its camera is the recorded one, whose frames are synthesized at the driven poses: what a camera
on the driven car would have recorded. So it has calibration, mount and size of the recording, and
both can be learned from together. What a scenario does to images is not in it.

What would teach wrong things is left out: the last seconds before a crash, and frames of which too
little was really seen, which leave a gap that is not driven and not learned from.
"""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vista_sim.drive.log import HUMAN
from vista_sim.errors import RunError
from vista_sim.evaluation.metrics.tables import select
from vista_sim.evaluation.runs import Run, columns, read_run
from vista_sim.tasks.lane_following import CRASHES
from vista_sim.traces.sections import Label
from vista_sim.traces.trace import Trace
from vista_sim.traces.writer import CameraWriter, TraceWriter, level_to_first_pose
from vista_sim.transforms import planar_pose, quaternion_from_matrix

if TYPE_CHECKING:
    from vista_sim.sensors.camera import Camera

Floats = NDArray[np.float64]
Columns = dict[str, NDArray[Any]]

MIN_VALIDITY = 0.6
BEFORE_CRASH = 2.0  # s
SHORTEST, LEAST = 2.0, 5.0  # s and m; an episode below either is no demonstration
NARROWEST = 0.05  # m from the path to a road's edge


@dataclass(frozen=True)
class Rules:
    """What of a drive is a demonstration.

    Args:
        min_validity: share of a frame's pixels that a recorded frame must have seen.
        before_crash: s before a crash that are left out.
        driver: whose episodes are written: "human" or "policy".
    """

    min_validity: float = MIN_VALIDITY
    before_crash: float = BEFORE_CRASH
    driver: str = HUMAN


@dataclass(frozen=True)
class Demonstration:
    """A trace that was written.

    Args:
        folder: of the trace.
        seconds, metres: that it lasts.
        frames: of its camera.
        left_out: frames of which too little was seen.
    """

    folder: Path
    seconds: float
    metres: float
    frames: int
    left_out: int


def write_demonstrations(
    run: Run | Path,
    destination: Path,
    rules: Rules | None = None,
    progress: Callable[[float, float], None] | None = None,
) -> tuple[Demonstration, ...]:
    """Write the episodes of a run that a human drove as traces in a folder.

    Args:
        run: that was driven, or its folder.
        destination: gets a trace folder for each episode, named after run and episode.
        rules: what is left out.
        progress: called with steps done and steps in all.

    Raises:
        RunError, TraceError: run or trace cannot be read, or what is written is there already.
    """
    run = run if isinstance(run, Run) else read_run(run)
    rules = rules or Rules()
    picked = list(_episodes(run, rules))
    for episode, _ in picked:
        folder = destination / _name(run, episode)
        if folder.exists():
            raise RunError(f"{folder}: is there already; choose another folder")
    total = sum(len(steps["t"]) for _, steps in picked)
    done = 0
    written = []
    for episode, steps in picked:

        def told(step: int, before: int = done) -> None:
            if progress is not None:
                progress(before + step, max(1, total))

        with suppress(_NothingSeenError):  # then nothing is written of it
            folder = destination / _name(run, episode)
            written.append(_write(run, folder, episode, steps, rules, told))
        done += len(steps["t"])
    return tuple(written)


def check_destination(destination: Path, run: Path) -> None:
    """Whether demonstrations of a run may be written to a folder, before it was driven.

    Raises:
        RunError: demonstrations of a run of that name are there, or nobody may write there.
    """
    if destination.exists() and not destination.is_dir():
        raise RunError(f"{destination}: is a file; name a folder for demonstrations")
    name = _name_of(run)
    for folder in sorted(destination.glob("*")):
        if re.fullmatch(re.escape(name) + r"-\d{3,}", folder.name):
            raise RunError(
                f"{folder}: is there already, of another run {name}; choose another folder"
            )
    there = next(
        place for place in (destination, *destination.absolute().parents) if place.exists()
    )
    if not (there.is_dir() and os.access(there, os.W_OK | os.X_OK)):
        raise RunError(f"{destination}: cannot be written (nothing may be written in {there})")


def _episodes(run: Run, rules: Rules) -> Iterator[tuple[dict[str, Any], Columns]]:
    """Episodes with their steps that are long enough."""
    steps = columns(run.steps)
    for episode in run.episodes.to_pylist():
        if episode["driver"] != rules.driver:
            continue
        own = select(steps, steps["episode"] == episode["episode"])
        own = select(own, np.argsort(own["step"], kind="stable"))
        if episode["ending"] in CRASHES:
            own = select(own, own["t"] <= own["t"][-1] - rules.before_crash)
        if len(own["t"]) < 2 or own["t"][-1] - own["t"][0] < SHORTEST:
            continue
        if _arc(own)[-1] >= LEAST:
            yield episode, own


def _arc(steps: Columns) -> Floats:
    """Distance driven up to each step (n,), m."""
    moved: Floats = np.hypot(np.diff(steps["x"]), np.diff(steps["y"]))
    return np.concatenate([[0.0], np.cumsum(moved)])


def _name_of(run: Path) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", run.resolve().name).strip(".-") or "drive"


def _name(run: Run, episode: dict[str, Any]) -> str:
    return f"{_name_of(run.folder)}-{episode['episode']:03d}"


def _trace_of(run: Run, episode: dict[str, Any]) -> Trace:
    traces = run.info.get("traces")
    index = episode["trace"]
    try:
        return Trace.open(traces[index]["path"])  # type: ignore[index]
    except (TypeError, KeyError, IndexError):
        raise RunError(
            f"{run.folder / 'run.json'}: traces do not say where trace {index} is"
        ) from None


def _write(
    run: Run,
    folder: Path,
    episode: dict[str, Any],
    steps: Columns,
    rules: Rules,
    told: Callable[[int], None],
) -> Demonstration:
    """One episode as a trace. Raises _NothingSeenError, and then leaves nothing behind."""
    from vista_sim.sensors.camera import Camera
    from vista_sim.sensors.pool import CameraPool

    trace = _trace_of(run, episode)
    names = CameraPool([trace]).recorded_names(0)
    camera = Camera(trace, names)
    recorded = trace.cameras[names[0]]
    offsets = [_offset(trace, steps, i) for i in range(len(steps["t"]))]
    poses = np.array(
        [
            trace.pose(float(time)) @ planar_pose(*offset)
            for time, offset in zip(steps["scene_time"], offsets, strict=True)
        ]
    )
    position, quaternion = level_to_first_pose(
        poses[:, :3, 3], quaternion_from_matrix(poses[:, :3, :3])
    )
    t = steps["t"] - steps["t"][0]
    t_ns = np.round(t * 1e9).astype(np.int64)
    dt = float(np.median(np.diff(t)))
    rate = 1.0 / max(float(np.median(np.diff(recorded.t))), dt) if len(recorded.t) > 1 else 1 / dt
    every = max(1, round(1.0 / (rate * dt)))
    vehicle = trace.vehicle
    mask = recorded.calibration.mask
    with TraceWriter(
        folder,
        name=folder.name,
        licence=trace.licence,
        source=f"driven by a {rules.driver} in views synthesized from {trace.name}"
        + (f" ({trace.source})" if trace.source else ""),
        vehicle=vehicle,
        extra={
            "demonstration": {
                "trace": trace.name,
                "driver": rules.driver,
                "run": run.folder.resolve().name,
                "episode": episode["episode"],
            }
        },
    ) as writer:
        if mask is not None:
            shutil.copyfile(trace.root / mask, writer.folder / mask)
        calibration = dataclasses.replace(recorded.calibration, timestamp="middle", readout=0.0)
        video = writer.add_camera(names[0], calibration, 1 / (every * dt), preset="veryfast")
        chosen = range(0, len(t), every)
        left_out = _film(camera, video, steps, offsets, t_ns, chosen, rules, told)
        if len(video.t_ns) < 2:
            raise _NothingSeenError
        writer.write_ego(
            t_ns,
            position,
            quaternion,
            steps["speed"],
            steps["speed"] * steps["curvature"],
            steering_angle=steps["tire_angle"] * vehicle.steering_ratio,
            acceleration=np.gradient(steps["speed"], t),
        )
        _write_road(writer, trace, steps)
        writer.write_labels(_labels(trace, steps, t))
    return Demonstration(folder, float(t[-1]), float(_arc(steps)[-1]), len(video.t_ns), left_out)


class _NothingSeenError(Exception):
    """No frame of an episode shows enough that was really seen."""


def _offset(trace: Trace, steps: Columns, i: int) -> tuple[float, float, float]:
    """(x, y, yaw) of the driven car in the recorded car's frame at the moment of the scene."""
    pose = trace.pose(float(steps["scene_time"][i]))
    yaw = float(np.arctan2(pose[1, 0], pose[0, 0]))
    dx, dy = float(steps["x"][i] - pose[0, 3]), float(steps["y"][i] - pose[1, 3])
    c, s = np.cos(yaw), np.sin(yaw)
    turned = float(steps["yaw"][i]) - yaw
    return (
        float(c * dx + s * dy),
        float(c * dy - s * dx),
        float(np.arctan2(np.sin(turned), np.cos(turned))),
    )


def _film(
    camera: Camera,
    video: CameraWriter,
    steps: Columns,
    offsets: list[tuple[float, float, float]],
    t_ns: NDArray[np.int64],
    chosen: range,
    rules: Rules,
    told: Callable[[int], None],
) -> int:
    """Write the frames; returns how many were left out."""
    left_out = 0
    for i in chosen:
        image, valid = camera.render(float(steps["scene_time"][i]), offsets[i])
        if np.count_nonzero(valid) < rules.min_validity * valid.size:
            left_out += 1
        else:
            video.write(image, int(t_ns[i]))
        told(i)
    return left_out


def _write_road(writer: TraceWriter, trace: Trace, steps: Columns) -> None:
    """How far the road's edges are from the driven path, where the recording says it."""
    road = trace.road
    if not road:
        return
    s = _arc(steps)
    new = np.concatenate([[True], np.diff(s) > 1e-6])
    left = np.interp(steps["s"], road["s"], road["left"]) - steps["lateral"]
    right = np.interp(steps["s"], road["s"], road["right"]) + steps["lateral"]
    edges = (np.maximum(side, NARROWEST)[new] for side in (left, right))
    writer.write_road(s[new], *edges)


def _labels(trace: Trace, steps: Columns, t: Floats) -> list[Label]:
    """The recording's labels where and while they were driven by."""
    found = []
    for key in sorted({label.key for label in trace.labels}):
        values = [trace.label(key, float(time)) for time in steps["scene_time"]]
        begin = 0
        for i in range(1, len(values) + 1):
            if i < len(values) and values[i] == values[begin]:
                continue
            value = values[begin]
            if value is not None:
                found.append(Label(float(t[begin]), float(t[min(i, len(t) - 1)]), key, value))
            begin = i
    return found
