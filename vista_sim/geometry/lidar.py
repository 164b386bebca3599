"""Geometry from a lidar: its points as the camera sees them, completed along the image."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vista_sim.errors import GeometryError
from vista_sim.geometry.completion import complete, cull_hidden
from vista_sim.geometry.rectify import small_gray
from vista_sim.geometry.settings import LidarProjection
from vista_sim.geometry.source import MEASURED, BakeContext, Estimate, Floats, SourceKind
from vista_sim.geometry.tracked import boxes_file, carried
from vista_sim.identity.files import content_digest
from vista_sim.traces.calibration import Lens, Vehicle
from vista_sim.traces.lidar import RecordedLidar, Sweep
from vista_sim.traces.trace import Trace
from vista_sim.traces.tracks import Track
from vista_sim.transforms import Matrix, inverse

_BODY = 0.1  # m around the own car in which nothing else is measured
_BATCH = 0.002  # s within which points share one pose of the car


class LidarSource:
    """Lidar as a source. Frames without a sweep near them get flat ground without confidence."""

    name = "lidar"

    def __init__(self, context: BakeContext, lidars: list[RecordedLidar]) -> None:
        self._context = context
        self._lidars = lidars
        self._settings = context.settings.lidar
        # Neighbouring frames look at the same sweeps.
        self._read = [lru_cache(maxsize=8)(lidar.sweep) for lidar in lidars]
        self._boxes = context.trace.road_users

    def estimate(self, index: int) -> Estimate:
        context = self._context
        recorded, lens = context.recorded, context.lens
        points = [
            self._points(lidar, sweep, float(recorded.t[index]))
            for lidar, read in zip(self._lidars, self._read, strict=True)
            for sweep in nearest_sweeps(lidar, float(recorded.t[index]), self._settings, read)
        ]
        if not points:
            return Estimate(context.ground.copy(), np.zeros_like(context.ground))
        measured = cull_hidden(project(np.concatenate(points), lens))
        gray = small_gray(recorded.frame(index), lens.size)
        return Estimate(*complete(measured, gray, context.ground, self._settings))

    def _points(self, lidar: RecordedLidar, sweep: Sweep, t: float) -> NDArray[np.float64]:
        trace, mount, margin = self._context.trace, self._context.mount, self._settings.box_margin
        return points_in_camera(trace, lidar, sweep, t, mount, self._boxes, margin)


def find_lidars(trace: Trace) -> list[RecordedLidar]:
    """The lidars of a trace.

    Raises:
        GeometryError: it has none.
    """
    if not trace.lidars:
        raise GeometryError(f"{trace.root}: the trace has no lidar")
    return list(trace.lidars.values())


def lidar_hash(trace: Trace) -> str:
    """What of a trace with lidars a bake by them depends on: mounts, times, tables, tracks.

    Raises:
        GeometryError: it has no lidar.
    """
    digest = hashlib.sha256()
    for lidar in find_lidars(trace):
        digest.update(repr((lidar.name, lidar.calibration.to_json())).encode())
        digest.update(np.ascontiguousarray(lidar.t, np.float64).tobytes())
        digest.update(content_digest(lidar.path, GeometryError).encode())
    for path in boxes_file(trace):
        digest.update(content_digest(path, GeometryError).encode())
    return digest.hexdigest()


def nearest_sweeps(
    lidar: RecordedLidar,
    t: float,
    settings: LidarProjection,
    read: Callable[[int], Sweep] | None = None,
) -> list[Sweep]:
    """The sweeps nearest to a moment (s): those whose points were measured nearest to it.

    A sweep's time is that of its first row; one that is not motion-compensated and tells the
    time of its points is judged by their median. `read` may give sweeps from a memory.
    """
    read = read or lidar.sweep
    after = int(np.searchsorted(lidar.t, t))
    candidates = [i for i in range(after - 2, after + 2) if 0 <= i < lidar.sweep_count]
    candidates = [i for i in candidates if abs(lidar.t[i] - t) <= 2 * settings.max_interval]
    sweeps = [sweep for sweep in map(read, candidates) if len(sweep.points)]
    compensated = lidar.calibration.motion_compensated
    moments = [
        sweep.t if compensated or sweep.point_t is None else float(np.median(sweep.point_t))
        for sweep in sweeps
    ]
    near = [(abs(m - t), k) for k, m in enumerate(moments) if abs(m - t) <= settings.max_interval]
    return [sweeps[k] for _, k in sorted(near)[: settings.sweeps]]


def points_in_camera(
    trace: Trace,
    lidar: RecordedLidar,
    sweep: Sweep,
    t: float,
    T_vehicle_camera: NDArray[np.float64],
    boxes: Sequence[Track] = (),
    margin: float = LidarProjection.box_margin,
) -> NDArray[np.float64]:
    """Points (n, 3) of a sweep, m, where a camera of the car at time t (s) has them.

    Points that are not motion-compensated and carry their own time are taken from where the
    car was then; all others from where it was at the sweep's time. Outside the recorded ego
    motion the car is where the motion begins or ends. Points on the own car are left out,
    those in moving `boxes` brought to where these are at t (see `tracked.carried`).
    """
    mount = lidar.calibration.T_vehicle_lidar
    foreign = ~_of_own_car(sweep.points @ mount[:3, :3].T + mount[:3, 3], trace.vehicle)
    first, last = float(trace.ego.t[0]), float(trace.ego.t[-1])
    times = None if lidar.calibration.motion_compensated else sweep.point_t
    times = np.full(len(foreign), sweep.t) if times is None else times
    points, times = sweep.points[foreign], np.clip(times[foreign], first, last)
    if len(points):
        points = carried(_in_world(trace, points, times, mount), times, t, boxes, margin)
    to_camera = inverse(trace.pose(float(np.clip(t, first, last))) @ T_vehicle_camera)
    return np.asarray(points @ to_camera[:3, :3].T + to_camera[:3, 3])


def _in_world(
    trace: Trace, points: NDArray[np.float64], times: NDArray[np.float64], mount: Matrix
) -> NDArray[np.float64]:
    """Points (n, 3) of a scanner that stands so on the car, each from where it was at its time."""
    start, last = float(times.min()), float(trace.ego.t[-1])
    batch = np.round((times - start) / _BATCH).astype(np.int64)
    used, place = np.unique(batch, return_inverse=True)
    moments = np.minimum(start + used * _BATCH, last)
    poses = np.array([trace.pose(float(m)) for m in moments]) @ mount
    turned = np.einsum("nij,nj->ni", poses[place, :3, :3], points)
    return np.asarray(turned + poses[place, :3, 3])


def _of_own_car(points: NDArray[np.float64], vehicle: Vehicle) -> NDArray[np.bool_]:
    """Which points (n, 3) of the vehicle frame lie within the box of the car, or as good as."""
    x, y, z = points.T
    back, front = -vehicle.rear_overhang, vehicle.length - vehicle.rear_overhang
    inside = (x > back - _BODY) & (x < front + _BODY) & (z < vehicle.height + _BODY)
    return np.asarray(inside & (np.abs(y) < 0.5 * vehicle.width + _BODY))


def project(points: NDArray[np.float64], lens: Lens) -> Floats:
    """Inverse depth (h, w), 1/m, of the nearest of the points (n, 3) in each pixel; else 0."""
    height, width = lens.size
    # Beyond a right angle from the axis depth is not positive; beyond the edge of the image,
    # distortion may fold rays back into it.
    ahead = points[points[:, 2] > 0.1]
    pixels = lens.project(ahead)
    u, v = np.round(np.nan_to_num(pixels, nan=-1e6)).clip(-1e6, 1e6).astype(np.int64).T
    inside = (u >= 0) & (v >= 0) & (u < width) & (v < height)
    seen = np.array([u[inside], v[inside]], dtype=np.float64).T
    rays = lens.unproject(seen)
    aligned = np.einsum("ni,ni->n", rays, ahead[inside])
    length = np.linalg.norm(rays, axis=1) * np.linalg.norm(ahead[inside], axis=1)
    back = aligned > np.cos(np.radians(3.0)) * length
    out = np.zeros((height, width), np.float32)
    depth = ahead[inside][back][:, 2]
    np.maximum.at(out, (v[inside][back], u[inside][back]), (1.0 / depth).astype(np.float32))
    return out


class _Lidar(SourceKind):
    """It needs lidars, all of which it takes."""

    trust = MEASURED

    def offered(self, trace: Trace, camera: str) -> bool:
        return bool(trace.lidars)

    def inputs(self, trace: Trace, camera: str, model: Path | None) -> str:
        return lidar_hash(trace)

    def files(self, trace: Trace, camera: str) -> Sequence[Path]:
        return *(lidar.path for lidar in trace.lidars.values()), *boxes_file(trace)

    def make(self, context: BakeContext) -> LidarSource:
        return LidarSource(context, find_lidars(context.trace))


LIDAR = _Lidar()
