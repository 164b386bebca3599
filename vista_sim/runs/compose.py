"""One picture of a moment of driving: the view, the scene from above, and the numbers."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from vista_sim.colours import ALARM, BACKGROUND, CAR, EDGE, GROUND, LABEL, PATH, ROAD, TRACK, VALUE
from vista_sim.tasks.endings import CRASH

if TYPE_CHECKING:
    from vista_sim.world import Car

Image = NDArray[np.uint8]

_SHIFT = 4  # fractional bits of drawn coordinates
_FONT = cv2.FONT_HERSHEY_SIMPLEX


@dataclass(frozen=True)
class PictureLayout:
    """Sizes of a composed picture, px."""

    view_width: int = 640
    strip_height: int = 104
    map_width: int = 320
    map_min_height: int = 360
    scale: float = 9.0  # px/m seen from above
    ahead: float = 0.72  # share of the map's height that lies ahead of the car
    track_points: int = 400


class Composer:
    """Composes pictures of a car and remembers the track it drove."""

    def __init__(self, layout: PictureLayout | None = None) -> None:
        self.layout = layout or PictureLayout()
        self._track: deque[tuple[float, float]] = deque(maxlen=self.layout.track_points)

    def restart(self, car: Car) -> None:
        """Forget the track: a new episode began."""
        self._track.clear()
        self.follow(car)

    def follow(self, car: Car) -> None:
        """Remember where the car is now."""
        self._track.append((car.x, car.y))

    def size(self, view: tuple[int, int]) -> tuple[int, int]:
        """(height, width) of the picture for a view of (height, width); both even."""
        layout = self.layout
        height = round(layout.view_width * view[0] / view[1]) + layout.strip_height
        height = max(height, layout.map_min_height)
        return height + height % 2, layout.view_width + layout.map_width

    def compose(self, car: Car, view: Image) -> Image:
        """Compose a picture.

        Args:
            car: at the moment to show.
            view: uint8 (h, w, 3) RGB, what it sees.

        Returns:
            uint8 (height, width, 3) RGB of `size`.
        """
        layout = self.layout
        height, width = self.size((view.shape[0], view.shape[1]))
        picture = np.empty((height, width, 3), dtype=np.uint8)
        picture[:] = BACKGROUND
        view_height = round(layout.view_width * view.shape[0] / view.shape[1])
        enlarged = layout.view_width > view.shape[1]
        cv2.resize(
            view,
            (layout.view_width, view_height),
            dst=picture[:view_height, : layout.view_width],
            interpolation=cv2.INTER_CUBIC if enlarged else cv2.INTER_AREA,
        )
        self._draw_numbers(picture[view_height:, : layout.view_width], car)
        self._draw_map(picture[:, layout.view_width :], car)
        return picture

    def _draw_map(self, panel: Image, car: Car) -> None:
        # OpenCV draws into contiguous memory only.
        height, width, _ = panel.shape
        canvas = np.empty((height, width, 3), dtype=np.uint8)
        canvas[:] = GROUND
        layout = self.layout
        to_map = _MapFrame(car.x, car.y, car.yaw, layout.scale, 0.5 * width, layout.ahead * height)
        path = car.path
        reach = (height + width) / layout.scale
        inside = (path.s >= car.s - reach) & (path.s <= car.s + reach)
        points, s = path.points[inside], path.s[inside]
        if len(points) >= 2:
            left, right = _edges(car, points, s)
            outline = to_map(np.concatenate([left, right[::-1]]))
            cv2.fillPoly(canvas, [outline], ROAD, cv2.LINE_AA, _SHIFT)
            for edge in (left, right):
                cv2.polylines(canvas, [to_map(edge)], False, EDGE, 1, cv2.LINE_AA, _SHIFT)
            cv2.polylines(canvas, [to_map(points)], False, PATH, 1, cv2.LINE_AA, _SHIFT)
        if len(self._track) >= 2:
            track = to_map(np.array(self._track))
            cv2.polylines(canvas, [track], False, TRACK, 2, cv2.LINE_AA, _SHIFT)
        outline = to_map(_car_outline(car))
        color = ALARM if car.ending_kind == CRASH else CAR
        cv2.fillPoly(canvas, [outline], color, cv2.LINE_AA, _SHIFT)
        self._draw_scale(canvas)
        panel[:] = canvas

    def _draw_scale(self, canvas: Image) -> None:
        height, width = canvas.shape[:2]
        length = round(10 * self.layout.scale)
        x, y = width - 16 - length, height - 18
        cv2.line(canvas, (x, y), (x + length, y), LABEL, 1)
        for end in (x, x + length):
            cv2.line(canvas, (end, y - 3), (end, y + 3), LABEL, 1)
        cv2.putText(
            canvas, "10 m", (x + length // 2 - 16, y - 8), _FONT, 0.4, LABEL, 1, cv2.LINE_AA
        )

    def _draw_numbers(self, panel: Image, car: Car) -> None:
        height, width, _ = panel.shape
        canvas = np.empty((height, width, 3), dtype=np.uint8)
        canvas[:] = BACKGROUND
        columns, row_height = 4, self.layout.strip_height // 2
        step = width // columns
        for i, (label, value) in enumerate(_numbers(car)):
            x, y = 16 + (i % columns) * step, 20 + (i // columns) * row_height
            cv2.putText(canvas, label, (x, y), _FONT, 0.4, LABEL, 1, cv2.LINE_AA)
            alarm = label == "state" and car.ending_kind == CRASH
            color = ALARM if alarm else VALUE
            cv2.putText(canvas, value, (x, y + 21), _FONT, 0.56, color, 1, cv2.LINE_AA)
        panel[:] = canvas


@dataclass(frozen=True)
class _MapFrame:
    """Turns world points (m) into map pixels with the car's heading up."""

    x: float
    y: float
    yaw: float
    scale: float
    column: float
    row: float

    def __call__(self, points: NDArray[np.float64]) -> NDArray[np.int32]:
        dx, dy = points[:, 0] - self.x, points[:, 1] - self.y
        c, s = math.cos(self.yaw), math.sin(self.yaw)
        forward, left = c * dx + s * dy, c * dy - s * dx
        pixels = np.column_stack([self.column - self.scale * left, self.row - self.scale * forward])
        return np.round(pixels * (1 << _SHIFT)).astype(np.int32)


def _edges(
    car: Car, points: NDArray[np.float64], s: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Left and right edge of the road, or of what the task allows, along the path."""
    road = car.trace.road
    if road:
        left = np.interp(s, road["s"], road["left"])
        right = np.interp(s, road["s"], road["right"])
    else:
        limit = car.world.task.limits.max_lateral
        width = 2.0 if isinstance(limit, str) else limit
        left = right = np.full(len(s), float(width))
    along = np.gradient(points, axis=0)
    along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-9)
    normal = np.column_stack([-along[:, 1], along[:, 0]])
    return points + left[:, None] * normal, points - right[:, None] * normal


def _car_outline(car: Car) -> NDArray[np.float64]:
    """Corners (4, 2) of the car in the world frame, m."""
    vehicle = car.vehicle
    back, front = -vehicle.rear_overhang, vehicle.length - vehicle.rear_overhang
    half = 0.5 * vehicle.width
    corners = np.array([[front, half], [front, -half], [back, -half], [back, half]])
    c, s = math.cos(car.yaw), math.sin(car.yaw)
    outline: NDArray[np.float64] = corners @ np.array([[c, s], [-s, c]])
    outline += (car.x, car.y)
    return outline


def _numbers(car: Car) -> list[tuple[str, str]]:
    """Labels and values to show."""
    steering = math.degrees(car.tire_angle)
    seen = "-" if math.isnan(car.validity) else f"{100 * car.validity:.1f} %"
    return [
        ("speed", f"{car.speed:.1f} m/s"),
        ("lateral offset", f"{car.lateral:+.2f} m"),
        ("heading error", f"{math.degrees(car.heading_error):+.1f} deg"),
        ("tire angle", f"{steering:+.1f} deg"),
        ("distance", f"{car.s:.0f} m"),
        ("time", f"{car.t:.1f} s"),
        ("pixels seen", seen),
        ("state", car.ending.replace("_", " ") if car.ending else "driving"),
    ]
