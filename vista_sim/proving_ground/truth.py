"""What really was there when a proving-ground trace was recorded.

For tests and benchmarks only: nothing that synthesizes views may import this.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vista_sim.errors import TraceError, VistaError
from vista_sim.files import one_line, read_json
from vista_sim.proving_ground.boxes import Box
from vista_sim.proving_ground.closing import Closing
from vista_sim.proving_ground.record import (
    WORLD_VERSION,
    Motion,
    Recording,
    build_scene,
    frame_times,
)
from vista_sim.proving_ground.road import Road
from vista_sim.proving_ground.scene import RenderedView, Scene
from vista_sim.traces.calibration import Lens
from vista_sim.transforms import planar_pose

Matrix = NDArray[np.float64]


class GroundTruth(Closing):
    """The world behind a recorded trace, made again from the parameters it holds.

    Poses are in the trace's world frame and free of the recorder's noise. The road, the
    drive and the poses need no PyBullet; pictures and depth do. A context manager.

    Args:
        trace: its folder.
        scene: the world it was recorded in, if that is still open; closed with this.

    Raises:
        TraceError: the folder holds no trace of the proving ground, or one of another version
            of its generator.
    """

    def __init__(self, trace: str | os.PathLike[str], scene: Scene | None = None) -> None:
        path = Path(trace) / "trace.json"
        values: Any = read_json(path, TraceError)
        if not isinstance(values, dict) or "proving_ground" not in values:
            raise TraceError(f"{path}: not recorded in the proving ground; no truth is known")
        try:
            self.recording = Recording.from_json(values["proving_ground"])
        except (AttributeError, TypeError, ValueError, VistaError) as error:
            raise TraceError(
                f"{path}: field 'proving_ground' cannot be used ({one_line(error)})"
            ) from None
        version = self.recording.world_version
        if version != WORLD_VERSION:
            raise TraceError(
                f"{path}: its world is of version {version}, this is {WORLD_VERSION}; record again"
            )
        self.road = Road(self.recording.seed, self.recording.road_shape)
        self.motion = Motion.simulate(self.recording, self.road)
        self.frame_times = frame_times(self.recording)
        self._scene = scene

    def close(self) -> None:
        """Free the rendered world."""
        if self._scene is not None:
            self._scene.close()
            self._scene = None

    @property
    def scene(self) -> Scene:
        """The world itself, in its own frame; made when first used (needs PyBullet)."""
        if self._scene is None:
            self._scene = build_scene(self.recording)
        return self._scene

    def pose(self, t: float) -> Matrix:
        """T_world_vehicle (4, 4) at t (s), exact."""
        return np.asarray(self.motion.T_trace_scene @ self.motion.drive.poses(t)[0])

    def lane(self, t: float) -> tuple[float, float, float]:
        """Where the car was on the road at t (s).

        Returns:
            Arc length of the centre line (m), lateral offset from it (m, left positive) and
            heading relative to it (rad).
        """
        driven = self.motion.drive
        s = float(driven.at("s", t))
        heading = float(driven.at("yaw", t)) - float(self.road.heading_at(s))
        return s, float(driven.at("lateral", t)), heading

    def centre_line(self, s: NDArray[np.float64], lateral: float = 0.0) -> NDArray[np.float64]:
        """Points (n, 3) of the road in the trace's world frame."""
        points = self.road.surface(s, lateral)
        T = self.motion.T_trace_scene
        return np.asarray(points @ T[:3, :3].T + T[:3, 3])

    def depth(self, camera: str, frame: int) -> NDArray[np.float32]:
        """Depth (h, w) of a recorded frame, m along the optical axis, inf for the sky."""
        return self._frame(camera, frame).depth

    def image(self, camera: str, frame: int) -> NDArray[np.uint8]:
        """A recorded frame (h, w, 3) as it was before it was compressed."""
        return self._frame(camera, frame).image

    def _frame(self, camera: str, frame: int) -> RenderedView:
        calibration = self.recording.cameras[camera]
        return self.view(
            float(self.frame_times[frame]),
            (0.0, 0.0, 0.0),
            calibration.lens,
            calibration.T_vehicle_camera,
        )

    def view(
        self,
        t: float,
        offset: tuple[float, float, float] | Matrix = (0.0, 0.0, 0.0),
        lens: Lens | None = None,
        T_vehicle_camera: Matrix | None = None,
        supersample: int | None = None,
        boxes: Sequence[Box] = (),
    ) -> RenderedView:
        """What a camera would really have seen from beside the recorded car.

        Args:
            t: moment of the drive, s; other cars are where they were then.
            offset: (x, y, yaw) of the car in the frame of the exact pose at t, m and rad, or
                a 4x4 T_recorded_displaced.
            lens, T_vehicle_camera: of the camera; by default those of `front`.
            supersample: samples drawn along each side of a pixel; None: as recorded.
            boxes: that stand there too, in the frame of the scene.

        Returns:
            The picture, its depth, and which pixels are on moving cars and on boxes.
        """
        front = self.recording.cameras["front"]
        moved = np.asarray(offset, dtype=np.float64)
        displaced = moved if moved.shape == (4, 4) else planar_pose(*moved)
        mount = front.T_vehicle_camera if T_vehicle_camera is None else T_vehicle_camera
        pose = self.motion.drive.poses(t)[0] @ displaced @ mount
        samples = self.recording.supersample if supersample is None else supersample
        return self.scene.render(pose, lens or front.lens, samples, t, boxes)
