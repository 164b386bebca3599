"""What views are to be made from, and a batch of such plans as arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vista_sim.transforms import Matrix


@dataclass(frozen=True, eq=False)
class PlannedFrame:
    """One recorded frame that a view is made from.

    Args:
        recorded: which of the recorded cameras.
        index: of the frame in it.
        T_view_frame: 4x4, pose of the frame's camera in the view's camera.
        gain: of red, green and blue, where the frame fills what the main frame did not see.
    """

    recorded: int
    index: int
    T_view_frame: Matrix
    gain: tuple[float, float, float] = (1.0, 1.0, 1.0)


@dataclass(frozen=True, eq=False)
class ViewPlan:
    """What a view is made from: the main frame, then others in the order they are tried."""

    frames: tuple[PlannedFrame, ...]

    def __post_init__(self) -> None:
        if not self.frames:
            raise ValueError("frames is empty; a view needs at least its main frame")


@dataclass(frozen=True, eq=False)
class PlanBatch:
    """n plans of at most k frames each; where a plan has fewer, the key is -1.

    keys: int64 (n, k), numbers of the frames. cameras: int64 (n, k), recorded cameras.
    poses: float64 (n, k, 4, 4), T_view_frame. gains: float64 (n, k, 3).
    """

    keys: NDArray[np.int64]
    cameras: NDArray[np.int64]
    poses: NDArray[np.float64]
    gains: NDArray[np.float64]

    @classmethod
    def of(cls, plans: Sequence[ViewPlan], key: Callable[[int, int], int]) -> PlanBatch:
        """Arrays of plans.

        Args:
            key: number of a frame by its recorded camera and index; raises ValueError.

        Raises:
            ValueError: no such camera or frame, or a pose or gain that cannot be.
        """
        most = max((len(plan.frames) for plan in plans), default=1)
        shape = (len(plans), most)
        keys = np.full(shape, -1, dtype=np.int64)
        cameras = np.zeros(shape, dtype=np.int64)
        poses = np.tile(np.eye(4), (*shape, 1, 1))
        gains = np.ones((*shape, 3))
        for i, plan in enumerate(plans):
            for j, frame in enumerate(plan.frames):
                keys[i, j] = key(frame.recorded, frame.index)
                cameras[i, j] = frame.recorded
                poses[i, j] = frame.T_view_frame
                gains[i, j] = frame.gain
        for name, values in (("T_view_frame", poses), ("gain", gains)):
            finite = np.isfinite(values).all(axis=tuple(range(1, values.ndim)))
            bad = np.flatnonzero(~finite)
            if bad.size:
                raise ValueError(f"{name} of view {bad[0]} has a value that is not finite")
        return cls(keys, cameras, poses, gains)

    def frames_of(self, part: slice) -> list[int]:
        """Keys of all frames that a part of the views needs."""
        keys = np.unique(self.keys[part])
        return [int(key) for key in keys[keys >= 0]]

    def chunks(self, most_views: int, most_frames: int) -> Iterator[slice]:
        """Parts, in order, of at most so many views, from at most so many frames together.

        A view of more frames than that is a part of its own.
        """
        start = 0
        while start < len(self.keys):
            part = slice(start, min(start + most_views, len(self.keys)))
            if len(self.frames_of(part)) > most_frames:
                part = slice(start, start + self._fitting(part, most_frames))
            yield part
            start = part.stop

    def _fitting(self, part: slice, most_frames: int) -> int:
        """How many of the first views of a part need no more frames than that; at least 1."""
        held: set[int] = set()
        for i in range(part.start, part.stop):
            held.update(self.frames_of(slice(i, i + 1)))
            if len(held) > most_frames:
                return max(i - part.start, 1)
        return int(part.stop - part.start)
