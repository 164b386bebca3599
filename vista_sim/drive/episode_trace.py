"""Writes one episode of a run as a trace: what a car would have recorded on that drive."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vista_sim.scenarios.case import Case
from vista_sim.scenarios.images import image_changes
from vista_sim.sensors.pool import CameraPool
from vista_sim.sensors.randomization import RandomizedCamera
from vista_sim.traces.levelling import level_to_first_pose
from vista_sim.traces.sections import Label
from vista_sim.traces.trace import Trace
from vista_sim.traces.writer import TraceWriter
from vista_sim.transforms import planar_pose, quaternion_from_matrix

Floats = NDArray[np.float64]
Columns = Mapping[str, NDArray[Any]]

#: Columns of the steps that are used; all are finite.
NEEDED = ("t", "scene_time", "x", "y", "yaw", "speed", "curvature", "tire_angle", "s", "lateral")
NARROWEST = 0.05  # m from the path to a road's edge


class NothingSeenError(Exception):
    """No two frames of an episode show enough that was really seen."""


@dataclass(frozen=True)
class DrivenEpisode:
    """An episode that was driven.

    Args:
        trace: the recording that it was driven in.
        steps: its steps, in order, with the columns `NEEDED`; `t` increases.
        case: of the scenario; None: the trace itself was driven.
        origin: who drove it and in which run, for trace.json.
    """

    trace: Trace
    steps: Columns
    case: Case | None
    origin: Mapping[str, Any]

    @cached_property
    def t(self) -> Floats:
        """(n,) s since its first step."""
        t: Floats = np.asarray(self.steps["t"], dtype=np.float64)
        return t - t[0]

    @cached_property
    def arc(self) -> Floats:
        """(n,) distance driven up to each step, m."""
        return arc_lengths(self.steps)

    @cached_property
    def offsets(self) -> list[tuple[float, float, float]]:
        """(x, y, yaw) of the driven car in the recorded car's frame at the scene's moment, n."""
        return [self._offset(i) for i in range(len(self.t))]

    @cached_property
    def poses(self) -> Floats:
        """(n, 4, 4) T_world_vehicle of the driven car in the recording's world frame.

        It is as high and as tilted as the recorded car was at the moment of the scene.
        """
        times = self.steps["scene_time"]
        return np.array(
            [
                self.trace.pose(float(time)) @ planar_pose(*offset)
                for time, offset in zip(times, self.offsets, strict=True)
            ]
        )

    def _offset(self, i: int) -> tuple[float, float, float]:
        x, y, yaw = (float(self.steps[name][i]) for name in ("x", "y", "yaw"))
        pose = self.trace.pose(float(self.steps["scene_time"][i]))
        recorded = float(np.arctan2(pose[1, 0], pose[0, 0]))
        dx, dy = x - float(pose[0, 3]), y - float(pose[1, 3])
        c, s = np.cos(recorded), np.sin(recorded)
        turned = yaw - recorded
        return (
            float(c * dx + s * dy),
            float(c * dy - s * dx),
            float(np.arctan2(np.sin(turned), np.cos(turned))),
        )


def arc_lengths(steps: Columns) -> Floats:
    """Distance driven up to each step (n,), m."""
    moved: Floats = np.hypot(np.diff(steps["x"]), np.diff(steps["y"]))
    return np.concatenate([[0.0], np.cumsum(moved)])


def write_episode(
    drive: DrivenEpisode,
    folder: Path,
    min_validity: float,
    told: Callable[[int], None] = lambda step: None,
) -> tuple[int, int]:
    """Write an episode as a trace, or leave nothing behind.

    Args:
        drive: the episode.
        folder: to make.
        min_validity: share of a frame's pixels that a recorded frame must have seen.
        told: called with the step that was filmed.

    Returns:
        How many frames were left out because too little of them was seen, and how many were not.

    Raises:
        NothingSeenError: fewer than two were not.
        TraceError, WorldError: the recording cannot be read, or is another one by now.
    """
    film = _Film(drive, min_validity)
    trace, steps, t = drive.trace, drive.steps, drive.t
    vehicle, mask = trace.vehicle, film.recorded.calibration.mask
    position, quaternion = level_to_first_pose(
        drive.poses[:, :3, 3], quaternion_from_matrix(drive.poses[:, :3, :3])
    )
    with TraceWriter(
        folder,
        name=folder.name,
        licence=trace.licence,
        source=f"driven by a {drive.origin['driver']} in views synthesized from {trace.name}"
        + (f" ({trace.source})" if trace.source else ""),
        vehicle=vehicle,
        extra={"demonstration": {"trace": trace.name, **drive.origin}},
    ) as writer:
        if mask is not None:
            shutil.copyfile(trace.root / mask, writer.folder / mask)
        calibration = dataclasses.replace(
            film.recorded.calibration, timestamp="middle", readout=0.0
        )
        video = writer.add_camera(film.name, calibration, film.rate, preset="veryfast")
        left_out = 0
        for i, image in film.frames():
            if image is None:
                left_out += 1
            else:
                video.write(image, _ns(t[i]))
            told(i)
        if len(video.t_ns) < 2:
            raise NothingSeenError
        writer.write_ego(
            _ns(t),
            position,
            quaternion,
            steps["speed"],
            steps["speed"] * steps["curvature"],
            steering_angle=steps["tire_angle"] * vehicle.steering_ratio,
            acceleration=np.gradient(steps["speed"], t),
        )
        _write_road(writer, drive)
        _write_tracks(writer, drive)
        writer.write_labels(_labels(drive))
    return left_out, len(video.t_ns)


class _Film:
    """Frames of the recorded camera on the driven car.

    Attributes:
        name, recorded: of the camera.
        rate: frames a second: of the recording, where the drive had as many steps.
    """

    def __init__(self, drive: DrivenEpisode, min_validity: float) -> None:
        from vista_sim.sensors.camera import Camera

        self._drive, self._min_validity = drive, min_validity
        trace, case = drive.trace, drive.case
        wanted = None if case is None else case.settings.sensors.recorded_camera
        names = CameraPool([trace], wanted).recorded_names(0)
        self.name, self.recorded = names[0], trace.cameras[names[0]]
        self._camera = Camera(trace, names)
        dt = float(np.median(np.diff(drive.t)))
        interval = float(np.median(np.diff(self.recorded.t))) if len(self.recorded.t) > 1 else dt
        self._every = max(1, round(interval / dt))
        self.rate = 1.0 / (self._every * dt)
        self._changed: RandomizedCamera | None = None
        changes = None
        if case is not None:
            changes = image_changes(case.settings.image, case.settings.sensors)
        if changes is not None:
            mount = self.recorded.calibration.T_vehicle_camera
            self._changed = RandomizedCamera(changes.drawn, mount)
        self._rng = np.random.default_rng(0 if case is None else case.seed)

    def frames(self) -> Iterator[tuple[int, NDArray[np.uint8] | None]]:
        """Step and frame, uint8 (height, width, 3); None: too little of it was really seen."""
        for i in range(0, len(self._drive.t), self._every):
            pose: Any = self._drive.offsets[i]
            if self._changed is not None and self._changed.displacement is not None:
                pose = planar_pose(*pose) @ self._changed.displacement
            image, valid = self._camera.render(float(self._drive.steps["scene_time"][i]), pose)
            if self._changed is not None:
                image = self._changed.drawn.apply(image, self._rng)
            enough = np.count_nonzero(valid) >= self._min_validity * valid.size
            yield i, image if enough else None


def _write_road(writer: TraceWriter, drive: DrivenEpisode) -> None:
    """How far the road's edges are from the driven path, where the recording says it."""
    road, steps = drive.trace.road, drive.steps
    if not road:
        return
    new = np.concatenate([[True], np.diff(drive.arc) > 1e-6])
    left = np.interp(steps["s"], road["s"], road["left"]) - steps["lateral"]
    right = np.interp(steps["s"], road["s"], road["right"]) + steps["lateral"]
    edges = (np.maximum(side, NARROWEST)[new] for side in (left, right))
    writer.write_road(drive.arc[new], *edges)


def _write_tracks(writer: TraceWriter, drive: DrivenEpisode) -> None:
    """Other road users, when and where they are seen from the driven car.

    They are where the recording has them at the moment of the scene: where the driven car stands,
    so do they. World and time begin with the driven car.
    """
    tracks = drive.trace.tracks()
    if not tracks:
        return
    scene = np.maximum.accumulate(np.asarray(drive.steps["scene_time"], dtype=np.float64))
    new = np.concatenate([[True], np.diff(scene) > 1e-9])
    seen = (tracks["t"] >= scene[0]) & (tracks["t"] <= scene[-1])
    if np.count_nonzero(new) < 2 or not seen.any():
        return
    first = drive.poses[:1]
    pose = tracks["pose"][seen]
    position, quaternion = level_to_first_pose(
        np.concatenate([first[:, :3, 3], pose[:, :3]]),
        np.concatenate([quaternion_from_matrix(first[:, :3, :3]), pose[:, 3:]]),
    )
    writer.write_tracks(
        _ns(np.interp(tracks["t"][seen], scene[new], drive.t[new])),
        tracks["track_id"][seen],
        [str(name) for name in tracks["category"][seen]],
        np.column_stack([position, quaternion])[1:],
        tracks["size"][seen],
    )


def _labels(drive: DrivenEpisode) -> list[Label]:
    """The recording's labels where and while they were driven by."""
    trace, t = drive.trace, drive.t
    found = []
    for key in sorted({label.key for label in trace.labels}):
        values = [trace.label(key, float(time)) for time in drive.steps["scene_time"]]
        begin = 0
        for i in range(1, len(values) + 1):
            if i < len(values) and values[i] == values[begin]:
                continue
            value = values[begin]
            if value is not None:
                found.append(Label(float(t[begin]), float(t[min(i, len(t) - 1)]), key, value))
            begin = i
    return found


def _ns(seconds: Any) -> Any:
    """Times in whole ns."""
    return np.round(np.asarray(seconds) * 1e9).astype(np.int64)
