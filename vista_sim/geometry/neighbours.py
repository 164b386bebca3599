"""Which frames a frame is compared with, and where they stood."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vista_sim.geometry.settings import Matching
from vista_sim.traces.sections import gaps
from vista_sim.traces.trace import Trace
from vista_sim.transforms import inverse

Floats = NDArray[np.float64]


def stretches(trace: Trace, times: Floats) -> NDArray[np.int64]:
    """Number (n,) of the gapless stretch each frame belongs to.

    Frames are never compared across a gap of the camera or a break of the ego motion: the pose is
    a guess inside it.
    """
    cuts = [0.5 * (start + end) for start, end in trace.ego.breaks]
    number = np.searchsorted(np.sort(np.array(cuts)), times)
    for start, _ in gaps(times):
        number = number + (times > start)
    return np.asarray(number, dtype=np.int64)


def choose_neighbours(
    positions: Floats, times: Floats, stretch: NDArray[np.int64], settings: Matching
) -> list[tuple[int, ...]]:
    """Frames at about the wanted baselines before and after each frame.

    Args:
        positions: (n, 3) of the camera, m.
        times: (n,) s.
        stretch: (n,) as of `stretches`.

    Returns:
        Indices for each frame, in order of time; none where the car hardly moves.
    """
    step = np.linalg.norm(np.diff(positions, axis=0), axis=1)
    travelled = np.concatenate([[0.0], np.cumsum(step)])
    chosen: list[tuple[int, ...]] = []
    for i in range(len(times)):
        same = stretch == stretch[i]
        low, high = int(np.argmax(same)), len(same) - 1 - int(np.argmax(same[::-1]))
        low = max(low, int(np.searchsorted(times, times[i] - settings.max_interval)))
        last = int(np.searchsorted(times, times[i] + settings.max_interval, side="right")) - 1
        high = min(high, last)
        before = np.arange(i - 1, low - 1, -1)
        after = np.arange(i + 1, high + 1)
        picked = set()
        for side in (before, after):
            picked.update(_at_baselines(side, np.abs(travelled[side] - travelled[i]), settings))
        chosen.append(tuple(sorted(picked)))
    return chosen


def _at_baselines(side: NDArray[np.int64], distance: Floats, settings: Matching) -> list[int]:
    """The frames of one side whose distance (m) is nearest to each baseline, no frame twice."""
    usable = (distance >= settings.min_baseline) & (distance <= settings.max_baseline)
    side, distance = side[usable], distance[usable]
    picked: list[int] = []
    for baseline in settings.baselines:
        free = np.array([k for k in range(len(side)) if int(side[k]) not in picked], dtype=int)
        if free.size == 0:
            break
        best = free[np.argmin(np.abs(distance[free] - baseline))]
        # Once a frame is had, one that is much farther than wanted only adds occlusions.
        if picked and distance[best] > 2.0 * baseline:
            continue
        picked.append(int(side[best]))
    return picked


def projections(
    matrix: Floats, poses: Floats, index: int, neighbours: Sequence[int]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Homographies at infinity and epipoles from a frame to its neighbours.

    Args:
        matrix: K (3, 3) of the working images.
        poses: (n, 4, 4) T_world_camera.

    Returns:
        K R K⁻¹ (k, 3, 3) and K t (k, 3): p at inverse depth w is at (K R K⁻¹ p + w K t).
    """
    relative = inverse(poses[list(neighbours)]) @ poses[index]
    rotation = matrix @ relative[:, :3, :3] @ np.linalg.inv(matrix)
    translation = relative[:, :3, 3] @ matrix.T
    return (
        np.ascontiguousarray(rotation, dtype=np.float32),
        np.ascontiguousarray(translation, dtype=np.float32),
    )
