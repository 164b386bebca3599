"""Which recorded frames a view is made from, and where they stood relative to it."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vista_sim.sensors import poses
from vista_sim.sensors.frames import FrameCache
from vista_sim.traces.trace import Trace
from vista_sim.transforms import Matrix

Gain = NDArray[np.float32]

_SAME = np.ones(3, dtype=np.float32)
_STANDING = 0.02  # m between two frames


@dataclass(frozen=True)
class Synthesis:
    """How views are made.

    Args:
        other_frames: distances along the drive (m, positive ahead) from the main frame at
            which further frames are tried for what the main frame did not see, in order.
        min_unseen: share of unseen pixels below which other frames are not tried.
        lead: a frame at most this share of a frame interval ahead of the view may be the
            main frame; else it is the one behind, which sees more at its edges.
    """

    other_frames: tuple[float, ...] = (-2.0, -6.0)
    min_unseen: float = 0.002
    lead: float = 0.2


class PlannedFrame(NamedTuple):
    """One recorded frame that a view is made from.

    recorded: which of the recorded cameras. frame: index of the frame.
    T_view_frame: float64 (4, 4), pose of the frame's camera in the view's camera.
    gain: float32 (3,), brings its colours (red, green, blue) to the main frame's exposure.
    """

    recorded: int
    frame: int
    T_view_frame: Matrix
    gain: Gain = _SAME


#: The first is the main frame; the others fill what it did not see, in order.
ViewPlan = tuple[PlannedFrame, ...]


class Planner:
    """Chooses frames for views of one trace.

    Args:
        trace: an open trace.
        frames: of the recorded cameras that views are made from; the first is preferred.
        T_vehicle_camera: mount of the view's camera.
        synthesis: see `Synthesis`.
    """

    def __init__(
        self,
        trace: Trace,
        frames: Sequence[FrameCache],
        T_vehicle_camera: Matrix,
        synthesis: Synthesis,
    ) -> None:
        self.trace = trace
        self.synthesis = synthesis
        self._mount = np.ascontiguousarray(T_vehicle_camera, dtype=np.float64)
        self._drives = [_Drive(cache, synthesis) for cache in frames]

    def plan(self, t: float, offset: Matrix) -> ViewPlan:
        """Choose the frames of a view.

        Args:
            t: the moment of the scene, s.
            offset: (4, 4) T_recorded_displaced of the car.

        Raises:
            TraceError: t is outside the trace.
        """
        car = self.trace.pose(t)
        order = self._by_direction(offset)
        ahead = float(offset[0, 3])
        first = self._drives[order[0]]
        here = first.pose(t, car, offset, self._mount)
        main = first.main(t, ahead)
        plan = [PlannedFrame(order[0], main, poses.between(here, first.fitted[main]))]
        for k in order[1:]:  # what the other cameras saw at the same time
            drive = self._drives[k]
            there = drive.pose(t, car, offset, self._mount)
            index = drive.main(t, ahead)
            plan.append(PlannedFrame(k, index, poses.between(there, drive.fitted[index])))
        for index in first.others(main):
            pose = poses.between(here, first.fitted[index])
            plan.append(PlannedFrame(order[0], index, pose, first.gain(main, index)))
        return tuple(plan)

    def _by_direction(self, offset: Matrix) -> list[int]:
        """The recorded cameras, by the angle between their and the view's optical axis."""
        if len(self._drives) == 1:
            return [0]
        axis = offset[:3, :3] @ self._mount[:3, 2]
        cosines = [float(axis @ drive.mount[:3, 2]) for drive in self._drives]
        return sorted(range(len(cosines)), key=lambda k: -round(cosines[k], 6))


class _Drive:
    """One recorded camera along the drive."""

    def __init__(self, cache: FrameCache, synthesis: Synthesis) -> None:
        self.synthesis = synthesis
        self.first, self.last = cache.first, cache.last
        self.mount = np.ascontiguousarray(cache.camera.calibration.T_vehicle_camera, np.float64)
        self.recorded = np.ascontiguousarray(cache.poses)
        self.fitted = np.ascontiguousarray(cache.fitted_poses)
        self._twists = poses.corrections(self.recorded, self.fitted)
        self._exposure = np.asarray(cache.exposure, dtype=np.float64)
        self._exposed = bool(self._exposure.any())
        self._times: list[float] = cache.times.tolist()
        steps = np.linalg.norm(np.diff(self.recorded[:, :3, 3], axis=0), axis=1)
        steps = np.where(np.isfinite(steps), steps, 0.0)
        self._travelled: list[float] = [0.0, *np.cumsum(steps).tolist()]

    def pose(self, t: float, car: Matrix, offset: Matrix, view_mount: Matrix) -> Matrix:
        """Pose (4, 4) of the view's camera among `fitted`."""
        i, share = self._before(t)
        return poses.view_pose(
            self.recorded[i],
            self.fitted[i],
            self._twists[i],
            share,
            car,
            self.mount,
            offset,
            view_mount,
        )

    def main(self, t: float, ahead: float) -> int:
        """The frame that sees most from `ahead` (m) of the car at t: the nearest one behind."""
        i, share = self._before(t)
        step = self._step(i)
        if ahead and step > _STANDING:
            target = self._travelled[i] + share * step + ahead
            i = self._clip(bisect_right(self._travelled, target) - 1)
            step = self._step(i)
            share = (target - self._travelled[i]) / step if step > 0.0 else 0.0
        if i < self.last and 1.0 - share <= self.synthesis.lead:
            i += 1
        return i

    def others(self, main: int) -> list[int]:
        """Frames about as far from the main one as `Synthesis.other_frames` asks."""
        found: list[int] = []
        here = self._travelled[main]
        for distance in self.synthesis.other_frames:
            i = self._clip(bisect_left(self._travelled, here + distance))
            if i != main and i not in found:
                found.append(i)
        return found

    def gain(self, main: int, other: int) -> Gain:
        """What brings the colours of one frame to the exposure of another."""
        if not self._exposed:
            return _SAME
        return np.exp(self._exposure[main] - self._exposure[other]).astype(np.float32)

    def _before(self, t: float) -> tuple[int, float]:
        """The last frame at or before t, and the share of the way to the next that is gone."""
        i = self._clip(bisect_right(self._times, t) - 1)
        if i == self.last:
            return i, 0.0
        share = (t - self._times[i]) / (self._times[i + 1] - self._times[i])
        return i, min(max(share, 0.0), 1.0)

    def _step(self, i: int) -> float:
        """Distance to the next frame, m."""
        return self._travelled[min(i + 1, self.last)] - self._travelled[i]

    def _clip(self, index: int) -> int:
        return min(max(index, self.first), self.last)
