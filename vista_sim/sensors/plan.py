"""Which recorded frames views are made from, and where they stood relative to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vista_sim.sensors import poses
from vista_sim.sensors.boxes import Boxes
from vista_sim.sensors.frames import FrameCache
from vista_sim.traces.trace import Trace
from vista_sim.transforms import Matrix

Floats = NDArray[np.float64]

_APART = 1000.0  # m; farther than any other frame is looked for


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


@dataclass(frozen=True, eq=False)
class Plans:
    """What each of n views is made from: the main frame, then others in order, m in all.

    frames: (n, m) index of the frame, -1 where there is none.
    recorded: (n, m) which of the recorded cameras it is from.
    forth, back: float32 (n, m, 4, 4), T_view_frame and T_frame_view of the cameras.
    gains: float32 (n, m, 3), bring red, green and blue to the main frame's exposure.
    boxes: that are drawn into them; None: none.
    """

    frames: NDArray[np.int64]
    recorded: NDArray[np.int64]
    forth: NDArray[np.float32]
    back: NDArray[np.float32]
    gains: NDArray[np.float32]
    boxes: Boxes | None = None

    def __len__(self) -> int:
        return len(self.frames)


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
        ego = trace.ego
        self._trace = trace
        self._mount = _plain(T_vehicle_camera)
        self._ego = (_plain(ego.t), _plain(ego.position), _plain(ego.quaternion))
        self._drives = [_Drive(cache, synthesis, ego.cuts) for cache in frames]

    def plan(self, ts: Floats, offsets: Floats) -> Plans:
        """Choose the frames of n views.

        Args:
            ts: (n,) moments of the scene, s.
            offsets: (n, 3) as (x, y, yaw), m and rad, or (n, 4, 4): T_recorded_displaced.

        Raises:
            TraceError: a time is outside the trace.
            ValueError: an offset of another shape, or that is not finite.
        """
        if offsets.shape[1:] not in ((3,), (4, 4)):
            raise ValueError(
                f"offset has shape {offsets.shape[1:]}; give (x, y, yaw) or a 4x4 matrix"
            )
        displaced = poses.planar_poses(offsets) if offsets.ndim == 2 else offsets
        parts = []
        for drive in self._drives:
            plans = drive.choose(ts, displaced, self._mount, self._ego)
            if plans is not None:
                parts.append(plans)
        if len(parts) < len(self._drives):
            # Rounding just beyond the ends of the trace is let through, the rest is refused.
            if not np.isfinite(offsets).all():
                raise ValueError(f"offset {offsets.tolist()} has a value that is not finite")
            inside = np.array([self._trace.time_inside(float(t)) for t in ts])
            return self.plan(inside, offsets)
        if len(parts) == 1:
            return parts[0]
        return _interleaved(parts, self._by_direction(displaced))

    def _by_direction(self, displaced: Floats) -> NDArray[np.int64]:
        """(n, cameras): the recorded ones by the angle between their and the view's axis."""
        axes = displaced[:, :3, :3] @ self._mount[:3, 2]
        cosines = axes @ np.stack([drive.mount[:3, 2] for drive in self._drives], axis=1)
        return np.argsort(-cosines.round(6), axis=1, kind="stable")


class _Drive:
    """One recorded camera along the drive."""

    def __init__(
        self, cache: FrameCache, synthesis: Synthesis, cuts: Sequence[tuple[float, float]]
    ) -> None:
        self.mount = _plain(cache.camera.calibration.T_vehicle_camera)
        usable = slice(cache.first, cache.last + 1)
        self._first = cache.first
        times = _plain(cache.times[usable])
        recorded, fitted = _plain(cache.poses[usable]), _plain(cache.fitted_poses[usable])
        steps = np.linalg.norm(np.diff(recorded[:, :3, 3], axis=0), axis=1)
        for start, end in cuts:  # frames at both sides are of different coordinates
            steps[(times[1:] > start) & (times[:-1] < end)] += _APART
        self._frames: tuple[Any, ...] = (
            times,
            np.concatenate([[0.0], np.cumsum(steps)]),
            recorded,
            fitted,
            poses.corrections(recorded, fitted),
            self.mount,
            _plain(cache.exposure[usable]),
            np.array(synthesis.other_frames, dtype=np.float64),
            float(synthesis.lead),
        )

    def choose(
        self, ts: Floats, displaced: Floats, mount: Matrix, ego: tuple[Floats, Floats, Floats]
    ) -> Plans | None:
        """Plans from this camera alone; None if a time or an offset cannot be."""
        possible, frames, forth, back, gains = poses.choose_frames(
            ts, displaced, mount, *ego, *self._frames
        )
        if not possible:
            return None
        if self._first:
            frames[frames >= 0] += self._first
        return Plans(frames, np.zeros_like(frames), forth, back, gains)


def _interleaved(parts: Sequence[Plans], order: NDArray[np.int64]) -> Plans:
    """The main frames of all cameras by their order (n, cameras), then the first one's others."""
    rows = np.arange(len(order))[:, None]
    cameras = np.concatenate([order, np.repeat(order[:, :1], parts[0].frames.shape[1] - 1, 1)], 1)
    columns = np.zeros_like(cameras)
    columns[:, order.shape[1] :] = np.arange(1, parts[0].frames.shape[1])

    def take(name: str) -> Any:
        return np.stack([getattr(part, name) for part in parts])[cameras, rows, columns]

    return Plans(take("frames"), cameras, take("forth"), take("back"), take("gains"))


def _plain(array: NDArray[np.generic]) -> Floats:
    """A copy: Numba compiles anew for every mixture of read-only and writable arrays."""
    return np.array(array, dtype=np.float64, order="C")
