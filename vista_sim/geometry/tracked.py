"""Other road users whose boxes were recorded: where they are in a frame, and how far."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vista_sim.traces.calibration import Lens
from vista_sim.traces.trace import Trace
from vista_sim.transforms import Matrix, inverse, matrix_from_quaternion

Floats = NDArray[np.float32]

_MIN_SPEED = 0.5  # m/s; slower ones are seen as they are
_MAX_GAP = 0.5  # s between rows of a track that are joined
_NEAREST = 0.3  # m in front of the camera


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
        self._tracks: list[tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]]
        self._tracks = []
        tracks = trace.tracks()
        for name in np.unique(tracks["track_id"]) if tracks else ():
            rows = tracks["track_id"] == name
            times, poses = tracks["t"][rows], tracks["pose"][rows]
            self._tracks.append((times, poses, tracks["size"][rows].max(axis=0)))

    def inverse_depth(self, t: float) -> list[Floats]:
        """Inverse depth (h, w), 1/m, of each box that moves at t (s); 0 where it is not."""
        if not self._tracks:
            return []
        T_camera_world = inverse(self._trace.pose(t) @ self._mount)
        result = []
        for times, poses, size in self._tracks:
            pose = _pose_at(times, poses, t)
            if pose is None:
                continue
            drawn = _box(T_camera_world @ pose, size, self._lens, self._rays)
            if drawn is not None:
                result.append(drawn)
        return result


def _pose_at(times: NDArray[np.float64], poses: NDArray[np.float64], t: float) -> Matrix | None:
    """T_world_box at t; None where the track has nothing then, or stands."""
    after = int(np.searchsorted(times, t))
    a, b = max(after - 1, 0), min(after, len(times) - 1)
    if after < len(times) and times[after] == t:
        a, b = (after, after + 1) if after + 1 < len(times) else (after - 1, after)
    if a < 0 or a == b or not times[a] <= t <= times[b] or times[b] - times[a] > _MAX_GAP:
        return None
    moved = poses[b, :3] - poses[a, :3]
    if np.linalg.norm(moved) < _MIN_SPEED * (times[b] - times[a]):
        return None
    share = (t - times[a]) / (times[b] - times[a])
    pose = np.eye(4)
    pose[:3, :3] = matrix_from_quaternion(poses[a if share < 0.5 else b, 3:])
    pose[:3, 3] = poses[a, :3] + share * moved
    return pose


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
