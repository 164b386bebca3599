"""Other road users that were recorded: where each was, and when."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vista_sim.traces.tables import Array
from vista_sim.transforms import matrix_from_quaternion

Mask = NDArray[np.bool_]
Floats = NDArray[np.float64]

_MIN_SPEED = 0.5  # m/s; slower ones are seen as they are
_MAX_GAP = 0.5  # s between rows of a track that are joined


@dataclass(frozen=True, eq=False)
class Track:
    """A recorded road user: times (n,) s, poses (n, 7) of its box in the world, size (3,) m."""

    t: Floats
    pose: Floats
    size: Floats
    category: str = ""

    def at(self, t: Floats) -> tuple[Floats, Mask]:
        """T_world_box (n, 4, 4) at times (n,) s, and when it is known (n,).

        In between rows the box moves evenly, and is turned as at the nearer one.
        """
        poses, known, _ = self._at(t)
        return poses, known

    def moving_at(self, t: Floats) -> tuple[Floats, Mask]:
        """The same, known only where it moves."""
        poses, known, moves = self._at(t)
        return poses, known & moves

    def _at(self, t: Floats) -> tuple[Floats, Mask, Mask]:
        """Poses, where they are known, and where it moves."""
        poses = np.tile(np.eye(4), (len(t), 1, 1))
        if len(self.t) < 2:
            return poses, *np.zeros((2, len(t)), dtype=bool)
        after = np.searchsorted(self.t, t, side="right").clip(1, len(self.t) - 1)
        before = after - 1
        gap = self.t[after] - self.t[before]
        moved = self.pose[after, :3] - self.pose[before, :3]
        known = (t >= self.t[0]) & (t <= self.t[-1]) & (gap <= _MAX_GAP)
        share = (t - self.t[before]) / gap
        nearer = np.where(share < 0.5, before, after)
        poses[:, :3, :3] = matrix_from_quaternion(self.pose[nearer, 3:])
        poses[:, :3, 3] = self.pose[before, :3] + share[:, None] * moved
        return poses, known, np.linalg.norm(moved, axis=1) >= _MIN_SPEED * gap


def split_tracks(tracks: Mapping[str, Array]) -> tuple[Track, ...]:
    """The road users of a table of `annotations.read_tracks`; there may be none."""
    if not tracks:
        return ()
    rows = [tracks["track_id"] == name for name in np.unique(tracks["track_id"])]
    return tuple(
        Track(
            tracks["t"][own],
            tracks["pose"][own],
            tracks["size"][own].max(axis=0),
            str(tracks["category"][own][0]),
        )
        for own in rows
    )
