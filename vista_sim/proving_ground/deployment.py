"""Deployment: a world whose pictures are rendered where its traces were recorded.

    with RenderedWorlds() as real:
        report = vista_sim.evaluate(policy, traces, cameras=real.cameras)

The proving ground stands for reality. Cars move by the same dynamics, are measured against the
same recorded path and end by the same rules as in a world of synthesized views; only the
picture differs: it is drawn anew from the car's pose, and no recorded frame is looked at.
Bodies that are given to a view are boxes of that world, in its light and with their shadows.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import NoReturn

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vista_sim.identity.files import State, state_of
from vista_sim.proving_ground.boxes import Box
from vista_sim.proving_ground.closing import Closing
from vista_sim.proving_ground.driver import ground_poses
from vista_sim.proving_ground.renderer import import_pybullet
from vista_sim.proving_ground.scene import RenderedView
from vista_sim.proving_ground.truth import GroundTruth
from vista_sim.sensors.bodies import Bodies
from vista_sim.sensors.pool import CameraChoice
from vista_sim.sensors.spec import CameraSpec
from vista_sim.traces.calibration import Lens
from vista_sim.traces.trace import Trace
from vista_sim.transforms import Matrix, inverse, planar_pose, yaw_of

Images = NDArray[np.uint8]
Mask = NDArray[np.bool_]

SUPERSAMPLE = 2  # 66 x 200 is drawn as 132 x 400 and shrunk


class RenderedWorlds(Closing):
    """The worlds that traces were recorded in, each opened when first seen and then kept.

    A context manager: leaving it frees them. Any number of worlds (`World`) may use it, from
    one thread at a time or several: pictures are drawn one after the other.

    Args:
        supersample: samples drawn along each side of a pixel.

    Raises:
        ValueError: supersample is below 1.
        MissingDependencyError: PyBullet is not installed.
    """

    def __init__(self, supersample: int = SUPERSAMPLE) -> None:
        if supersample < 1:
            raise ValueError(f"supersample is {supersample}; it must be at least 1")
        import_pybullet()
        self.supersample = supersample
        self.lock = Lock()
        self._truths: dict[Path, tuple[State | None, GroundTruth]] = {}

    def close(self) -> None:
        """Free the worlds; they are made again where they are asked for again."""
        with self.lock:
            for _, truth in self._truths.values():
                truth.close()
            self._truths.clear()

    def truth(self, trace: Trace) -> GroundTruth:
        """The world of a trace.

        Raises:
            TraceError: it was not recorded in the proving ground, or in another version of it.
        """
        state = state_of(trace.root / "trace.json")
        found = self._truths.get(trace.root)
        if found is None or found[0] != state:
            if found is not None:
                found[1].close()
            found = self._truths[trace.root] = (state, GroundTruth(trace.root))
        return found[1]

    def cameras(
        self, traces: Sequence[Trace], recorded: str | Sequence[str] | None = None
    ) -> RenderedCameras:
        """The cameras of a `World`, to be given to it as `cameras`.

        Raises:
            TraceError: a trace was not recorded in the proving ground.
        """
        return RenderedCameras(self, traces, recorded)


class RenderedCameras(CameraChoice):
    """Cameras that see what really was there; lenses and mounts are those of `CameraPool`.

    Args:
        worlds: that the traces were recorded in.
        traces, recorded: see `CameraChoice`.
    """

    views = "rendered"

    def __init__(
        self,
        worlds: RenderedWorlds,
        traces: Sequence[Trace],
        recorded: str | Sequence[str] | None = None,
    ) -> None:
        super().__init__(traces, recorded)
        self._worlds = worlds
        for trace in traces:
            worlds.truth(trace)

    def camera(self, trace: int, spec: CameraSpec) -> RenderedCamera:
        """The camera of `spec` in a trace (an index)."""
        lens, mount = self.lens(trace, spec), self.mount(trace, spec)
        return RenderedCamera(self._worlds, self.traces[trace], lens, mount)


class RenderedCamera:
    """A camera of a car in the proving ground.

    Args:
        worlds: holds the trace's world.
        trace: that offsets are relative to.
        lens, T_vehicle_camera: of the camera.
    """

    def __init__(
        self, worlds: RenderedWorlds, trace: Trace, lens: Lens, T_vehicle_camera: Matrix
    ) -> None:
        self.trace = trace
        self.lens = lens
        self.T_vehicle_camera = T_vehicle_camera
        self._worlds = worlds

    def render(
        self, t: float, offset: ArrayLike = (0.0, 0.0, 0.0), bodies: Bodies | None = None
    ) -> tuple[Images, Mask]:
        """Draw one image.

        Args:
            t: the moment of the scene, s; `offset` is relative to the recorded pose at t, which
                the recorder's noise is part of.
            offset: (x, y, yaw) of the car in the recorded car's frame (m, rad), or a 4x4
                T_recorded_displaced.
            bodies: of this one view; they stand on the ground.

        Returns:
            uint8 (height, width, 3) RGB, and bool (height, width), all True.

        Raises:
            TraceError: t is outside the trace.
        """
        image = self.view(t, offset, bodies).image
        return image, np.ones(image.shape[:2], dtype=np.bool_)

    def render_batch(
        self,
        ts: Sequence[float] | NDArray[np.float64],
        offsets: Sequence[ArrayLike] | NDArray[np.float64],
        out: tuple[Images, Mask] | None = None,
        rows: Sequence[int] | NDArray[np.integer] | None = None,
        workers: int = 1,
        inverse_depth: NDArray[np.float32] | None = None,
        bodies: Bodies | None = None,
    ) -> tuple[Images, Mask]:
        """Draw n images, one after the other; see `Camera.render_batch`."""
        size = self.lens.size
        if out is None:
            out = np.empty((len(ts), *size, 3), np.uint8), np.empty((len(ts), *size), np.bool_)
        images, valids = out
        if bodies is not None:
            bodies.check_views(len(ts))
        places = range(len(ts)) if rows is None else rows
        for i, (place, t, offset) in enumerate(zip(places, ts, offsets, strict=True)):
            view = self.view(float(t), offset, None if bodies is None else bodies.only(i))
            images[place], valids[place] = view.image, True
            if inverse_depth is not None:
                inverse_depth[place] = 1.0 / view.depth  # of the sky: 0
        return images, valids

    def render_tensors(
        self,
        ts: Sequence[float] | NDArray[np.float64],
        offsets: Sequence[ArrayLike] | NDArray[np.float64],
        bodies: Bodies | None = None,
    ) -> NoReturn:
        """Pictures are drawn on the host."""
        raise ValueError("render_tensors needs views that are synthesized, by backend='torch'")

    def view(
        self, t: float, offset: ArrayLike = (0.0, 0.0, 0.0), bodies: Bodies | None = None
    ) -> RenderedView:
        """Draw one image, with its depth and which pixels show bodies. See `render`."""
        if bodies is not None:
            bodies.check_views(1)
        worlds = self._worlds
        with worlds.lock:
            truth = worlds.truth(self.trace)
            moved = np.asarray(offset, dtype=np.float64)
            displaced = moved if moved.shape == (4, 4) else planar_pose(*moved)
            error = recorder_error(self.trace, truth, t)
            return truth.view(
                t,
                error @ displaced,
                self.lens,
                self.T_vehicle_camera,
                worlds.supersample,
                () if bodies is None else _standing(truth, truth.pose(t) @ error, bodies),
            )


def _standing(truth: GroundTruth, T_world_recorded: Matrix, bodies: Bodies) -> list[Box]:
    """Bodies as boxes on the ground: what the record got wrong in height and slope is left out."""
    boxes = []
    T_scene_recorded = inverse(truth.motion.T_trace_scene) @ T_world_recorded
    for pose, size, colour in zip(bodies.pose, bodies.size, bodies.colour, strict=True):
        T = T_scene_recorded @ pose
        stands = ground_poses(truth.road, T[0, 3], T[1, 3], yaw_of(T))[0]
        red, green, blue = (int(c) for c in colour)
        length, width, height = (float(v) for v in size)
        boxes.append(Box(stands, (length, width, height), (red, green, blue)))
    return boxes


def recorder_error(trace: Trace, truth: GroundTruth, t: float) -> Matrix:
    """Where the recorded pose at t (s) lies beside the exact one: T_exact_recorded (4, 4).

    A car stands on the ground: what the recorder got wrong in height, roll and pitch moves no
    car, and is left out.
    """
    error = inverse(truth.pose(t)) @ trace.pose(t)
    return planar_pose(float(error[0, 3]), float(error[1, 3]), yaw_of(error))
