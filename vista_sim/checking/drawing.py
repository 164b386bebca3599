"""What is recorded, drawn onto the frames: the path ahead, the ground, the horizon, points, boxes.

Where all is right, the path lies on the lane that the car then drives, the grid on the road, and
the horizon on the horizon.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import cv2
import numpy as np
from numpy.typing import NDArray

from vista_sim.traces.calibration import Lens
from vista_sim.traces.lidar import RecordedLidar
from vista_sim.traces.tables import Array
from vista_sim.traces.trace import Trace
from vista_sim.transforms import Matrix, inverse, matrix_from_quaternion

Floats = NDArray[np.float64]
Image = NDArray[np.uint8]

AHEAD = 40.0  # m of the path
GRID_LENGTH, GRID_WIDTH, GRID_STEP = 40.0, 10.0, 5.0  # m
PATH, EDGE, GRID, HORIZON, BOX = (
    (40, 220, 90),
    (10, 120, 40),
    (90, 200, 255),
    (255, 230, 60),
    (255, 120, 40),
)  # RGB
_NEAREST, _WIDEST = 0.3, 1.3  # m before the camera, and rad from its axis: nothing else is drawn
_FINE = 0.5  # m between the points of a line
_NEAR, _FAR = 3.0, 60.0  # m, from the first to the last colour of points
_SWEEP_APART = 0.1  # s between a frame and a sweep that is drawn onto it
_MAX_POINTS = 40_000
_MAX_BOXES = 60


class Overlay:
    """Draws onto pictures of one camera.

    Args:
        lens: of the pictures, at their size.
        mount: T_vehicle_camera (4, 4).
    """

    def __init__(self, trace: Trace, lens: Lens, mount: Matrix) -> None:
        self.trace, self.lens, self.mount = trace, lens, mount
        self._tracks = trace.tracks()
        self._scale = max(1, round(lens.size[1] / 480))

    def draw(self, picture: Image, t: float, late: float = 0.0) -> Image:
        """The picture (h, w, 3) of time t (s) with all that is recorded drawn onto it.

        Args:
            late: s by which the video is late.
        """
        t = min(max(t - late, 0.0), self.trace.duration)
        camera = inverse(self.trace.pose(t) @ self.mount)
        vehicle = inverse(self.mount)
        canvas = np.ascontiguousarray(picture)
        for lidar in self.trace.lidars.values():
            self._points(canvas, lidar, t, camera)
        self._grid(canvas, vehicle)
        self._horizon(canvas, vehicle)
        self._path(canvas, t, camera)
        self._boxes(canvas, t, camera)
        return canvas

    def pixels(self, points: Floats) -> tuple[Floats, NDArray[np.bool_]]:
        """Pixels (n, 2) of points (n, 3) in the camera's frame, and which can be drawn."""
        with np.errstate(invalid="ignore", divide="ignore"):
            aside = np.arctan2(np.hypot(points[:, 0], points[:, 1]), points[:, 2])
            pixels = self.lens.project(points)
        widest = _WIDEST if self.lens.model == "pinhole" else 1.5
        if self.lens.distorted and self.lens.model == "pinhole":
            widest = min(widest, self._half_diagonal() * 1.1)
        good = (points[:, 2] > _NEAREST) & (aside < widest) & np.isfinite(pixels).all(axis=1)
        good &= np.abs(np.nan_to_num(pixels)).max(axis=1) < 4 * max(self.lens.size)
        return pixels, good

    def _half_diagonal(self) -> float:
        height, width = self.lens.size
        corners = self.lens.unproject(
            np.array([[0, 0], [width - 1, 0], [0, height - 1], [width - 1, height - 1]], float)
        )
        return float(np.arctan2(np.hypot(corners[:, 0], corners[:, 1]), corners[:, 2]).max())

    def _line(self, canvas: Image, points: Floats, colour: tuple[int, int, int], wide: int) -> None:
        pixels, good = self.pixels(points)
        for piece in _runs(good):
            line = _fixed(pixels[piece])
            cv2.polylines(canvas, [line], False, colour, wide, cv2.LINE_AA, _SHIFT)

    def _grid(self, canvas: Image, vehicle: Matrix) -> None:
        """Squares of 5 m on the plane on which the vehicle frame stands."""
        x = np.arange(0.0, GRID_LENGTH + _FINE, _FINE)
        y = np.arange(-GRID_WIDTH, GRID_WIDTH + _FINE, _FINE)
        lines = [_level(x, np.full(len(x), side)) for side in _steps(-GRID_WIDTH, GRID_WIDTH)]
        lines += [_level(np.full(len(y), far), y) for far in _steps(GRID_STEP, GRID_LENGTH)]
        faint = canvas.copy()
        for line in lines:
            self._line(faint, _moved(vehicle, line), GRID, self._scale)
        cv2.addWeighted(faint, 0.5, canvas, 0.5, 0.0, dst=canvas)

    def _horizon(self, canvas: Image, vehicle: Matrix) -> None:
        """Where a plane without end through the vehicle frame would vanish."""
        angle = np.radians(np.linspace(-180.0, 180.0, 361))
        far = np.stack([np.cos(angle), np.sin(angle), np.zeros(len(angle))], axis=1)
        self._line(canvas, far @ vehicle[:3, :3].T, HORIZON, self._scale)

    def _path(self, canvas: Image, t: float, camera: Matrix) -> None:
        """Where the car's sides will be: the recorded path, as wide as the car."""
        half = 0.5 * self.trace.vehicle.width
        times, way, last = [t], 0.0, self.trace.pose(t)
        poses = [last]
        step = max(0.02, 0.5 / max(1.0, abs(self.trace.speed(t))))
        while way < AHEAD and times[-1] + step <= self.trace.duration:
            times.append(times[-1] + step)
            pose = self.trace.pose(times[-1])
            moved = float(np.linalg.norm(pose[:3, 3] - last[:3, 3]))
            if moved > 0.2:
                way, last = way + moved, pose
                poses.append(pose)
        ways = np.array(poses)
        sides = [ways @ np.array([0.0, side, 0.0, 1.0]) for side in (half, -half)]
        left, right = (_moved(camera, side[:, :3]) for side in sides)
        (pixels_left, good_left), (pixels_right, good_right) = self.pixels(left), self.pixels(right)
        faint = canvas.copy()
        for piece in _runs(good_left & good_right):
            outline = np.concatenate([pixels_left[piece], pixels_right[piece][::-1]])
            cv2.fillPoly(faint, [_fixed(outline)], PATH, cv2.LINE_AA, _SHIFT)
        cv2.addWeighted(faint, 0.4, canvas, 0.6, 0.0, dst=canvas)
        for side in (left, right):
            self._line(canvas, side, EDGE, self._scale)

    def _points(self, canvas: Image, lidar: RecordedLidar, t: float, camera: Matrix) -> None:
        """The sweep nearest in time, coloured by depth from red (near) to blue."""
        index = int(np.argmin(np.abs(lidar.t - t)))
        if abs(lidar.t[index] - t) > _SWEEP_APART:
            return
        sweep = lidar.sweep(index)
        points = sweep.points[:: 1 + len(sweep.points) // _MAX_POINTS]
        there = self.trace.pose(min(max(sweep.t, 0.0), self.trace.duration))
        seen = _moved(camera @ there @ lidar.calibration.T_vehicle_lidar, points)
        pixels, good = self.pixels(seen)
        depth = seen[good, 2]
        heat = 1.0 - np.clip(np.log(depth / _NEAR) / math.log(_FAR / _NEAR), 0.0, 1.0)
        colours = cv2.applyColorMap((255 * heat).astype(np.uint8)[:, None], cv2.COLORMAP_TURBO)
        u, v = np.round(pixels[good]).astype(int).T
        inside = (u >= 0) & (v >= 0) & (u < canvas.shape[1]) & (v < canvas.shape[0])
        order = np.argsort(-depth[inside])  # the nearest last
        u, v, colour = u[inside][order], v[inside][order], colours[inside, 0, ::-1][order]
        for right in range(self._scale):
            for down in range(self._scale):
                x = np.minimum(u + right, canvas.shape[1] - 1)
                canvas[np.minimum(v + down, canvas.shape[0] - 1), x] = colour

    def _boxes(self, canvas: Image, t: float, camera: Matrix) -> None:
        place = self.trace.pose(t)[:3, 3]
        for pose, size in boxes_at(self._tracks, t, place):
            corners = _moved(camera @ pose, box_corners(size))
            for a, b in _BOX_EDGES:
                ends = np.linspace(corners[a], corners[b], 6)
                self._line(canvas, ends, BOX, self._scale)


def boxes_at(tracks: dict[str, Array], t: float, place: Floats) -> list[tuple[Matrix, Floats]]:
    """Poses (4, 4) and sizes (3,) of other road users at the labelled time nearest to t (s).

    Args:
        place: (3,) m, whom those that are drawn are nearest to.
    """
    if not tracks or not len(tracks["t"]):
        return []
    nearest = tracks["t"][int(np.argmin(np.abs(tracks["t"] - t)))]
    if abs(nearest - t) > _SWEEP_APART:
        return []
    rows = np.flatnonzero(tracks["t"] == nearest)
    far = np.linalg.norm(tracks["pose"][rows, :3] - place, axis=1)
    rows = rows[np.argsort(far, kind="stable")[:_MAX_BOXES]]
    poses = np.tile(np.eye(4), (len(rows), 1, 1))
    poses[:, :3, 3] = tracks["pose"][rows, :3]
    poses[:, :3, :3] = matrix_from_quaternion(tracks["pose"][rows, 3:])
    return list(zip(poses, tracks["size"][rows], strict=True))


def box_corners(size: Floats) -> Floats:
    """Corners (8, 3) of a box of length, width and height on the ground of its own frame."""
    signs = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (0.0, 1.0)])
    return np.asarray(signs * size)


_BOX_EDGES = [(a, a | bit) for bit in (1, 2, 4) for a in range(8) if not a & bit]
_SHIFT = 4  # bits of a part of a pixel


def _fixed(pixels: Floats) -> NDArray[np.int32]:
    return np.round(pixels * 2**_SHIFT).astype(np.int32).reshape(-1, 1, 2)


def _runs(good: NDArray[np.bool_]) -> Iterable[slice]:
    """Stretches of at least two points that can be drawn."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], good.astype(np.int8), [0]])))
    return [slice(a, b) for a, b in zip(edges[::2], edges[1::2], strict=True) if b - a > 1]


def _level(x: Floats, y: Floats) -> Floats:
    return np.stack([x, y, np.zeros(len(x))], axis=1)


def _steps(first: float, last: float) -> Floats:
    return np.arange(first, last + GRID_STEP / 2, GRID_STEP)


def _moved(pose: Matrix, points: Floats) -> Floats:
    return np.asarray(points @ pose[:3, :3].T + pose[:3, 3])
