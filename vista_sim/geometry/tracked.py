"""Other road users whose boxes were recorded: where they are in a frame, and how far."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vista_sim.traces.calibration import Lens
from vista_sim.traces.trace import Trace
from vista_sim.traces.tracks import Track
from vista_sim.transforms import Matrix, inverse

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]

_NEAREST = 0.3  # m in front of the camera


def boxes_file(trace: Trace) -> list[Path]:
    """The file of its tracks, if a trace has one."""
    path = trace.root / "tracks.parquet"
    return [path] if path.exists() else []


def carried(
    points: NDArray[np.float64],
    measured: NDArray[np.float64],
    t: float,
    tracks: Sequence[Track],
    margin: float,
) -> NDArray[np.float64]:
    """Points (n, 3) of the world, those on road users that move as if measured at t (s).

    Args:
        points: m.
        measured: (n,) s, when each was.
        tracks: see `Trace.road_users`; where one is not known at both times, its points stay.
        margin: m around a box within which points belong to it; below it they do not.
    """
    result = points.copy()
    if not len(points):
        return result
    moments = np.array([t, measured.min(), measured.max()])
    for track in tracks:
        ((now, *others), known) = track.moving_at(moments)
        if not known[0]:
            continue
        reach = 0.5 * float(np.linalg.norm(track.size[:2])) + margin
        reach += max(float(np.linalg.norm(o[:2, 3] - now[:2, 3])) for o in others)
        near = np.flatnonzero((np.abs(points[:, :2] - now[:2, 3]) < reach).all(axis=1))
        poses, known = track.moving_at(measured[near])
        local = np.einsum("nji,nj->ni", poses[:, :3, :3], points[near] - poses[:, :3, 3])
        inside = known & (np.abs(local[:, :2]) < 0.5 * track.size[:2] + margin).all(axis=1)
        inside &= (local[:, 2] > 0) & (local[:, 2] < track.size[2] + margin)
        result[near[inside]] = local[inside] @ now[:3, :3].T + now[:3, 3]
    return result


class MovingBoxes:
    """The boxes of a trace's tracks that move, as a camera sees them.

    Args:
        trace: whose tracks are taken; there may be none.
        mount: (4, 4) T_vehicle_camera.
        lens: ideal, of the pictures they are drawn into.
    """

    def __init__(self, trace: Trace, mount: Matrix, lens: Lens) -> None:
        self._trace, self._mount, self._lens = trace, mount, lens
        self._rays = lens.rays()
        self._tracks = trace.road_users

    def inverse_depth(self, t: float) -> list[Floats]:
        """Inverse depth (h, w), 1/m, of each box that moves at t (s); 0 where it is not."""
        if not self._tracks:
            return []
        T_camera_world = inverse(self._trace.pose(t) @ self._mount)
        result = []
        for track in self._tracks:
            poses, moves = track.moving_at(np.array([t]))
            if not moves[0]:
                continue
            drawn = _box(T_camera_world @ poses[0], track.size, self._lens, self._rays)
            if drawn is not None:
                result.append(drawn)
        return result


def _box(
    T_camera_box: Matrix, size: NDArray[np.float64], lens: Lens, rays: NDArray[np.float64]
) -> Floats | None:
    """Inverse depth (h, w) of the near side of a box that stands on its origin, by slabs.

    Kay and Kajiya, "Ray tracing complex scenes", SIGGRAPH 1986.
    """
    low = np.array([-0.5, -0.5, 0.0]) * size
    high = np.array([0.5, 0.5, 1.0]) * size
    corners = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], dtype=float)
    there = (low + corners * size) @ T_camera_box[:3, :3].T + T_camera_box[:3, 3]
    if (there[:, 2] < _NEAREST).all():
        return None
    rows, columns = slice(None), slice(None)
    if (there[:, 2] > _NEAREST).all():
        u, v = np.moveaxis(lens.project(there), -1, 0)
        if u.max() < 0 or v.max() < 0 or u.min() > lens.size[1] - 1 or v.min() > lens.size[0] - 1:
            return None
        rows = slice(max(0, int(v.min())), int(v.max()) + 2)
        columns = slice(max(0, int(u.min())), int(u.max()) + 2)
    T_box_camera = inverse(T_camera_box)
    direction = rays[rows, columns] @ T_box_camera[:3, :3].T
    direction = np.where(np.abs(direction) < 1e-9, 1e-9, direction)
    first = (low - T_box_camera[:3, 3]) / direction
    second = (high - T_box_camera[:3, 3]) / direction
    enter = np.minimum(first, second).max(axis=-1)
    leave = np.maximum(first, second).min(axis=-1)
    depth = enter * rays[rows, columns, 2]
    hit = (enter < leave) & (depth > _NEAREST)
    if not hit.any():
        return None
    result = np.zeros(lens.size, np.float32)
    result[rows, columns] = np.where(hit, 1.0 / np.where(hit, depth, 1.0), 0.0)
    return result
