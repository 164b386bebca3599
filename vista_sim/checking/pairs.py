"""Pairs of frames spread over a drive, and how the camera moved between them, by the frames alone.

The motion is that of followed corners: the essential matrix by RANSAC (Nistér 2004), refined on
their distances to the epipolar lines. Recorded poses give nothing but its length.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from vista_sim.geometry.tracks import corners, estimate_motion, follow
from vista_sim.geometry.working import WorkingCamera
from vista_sim.traces.calibration import Lens
from vista_sim.traces.trace import Trace
from vista_sim.traces.video import RecordedCamera
from vista_sim.transforms import Matrix, inverse, way_along

Floats = NDArray[np.float64]
Image = NDArray[np.uint8]

MOST_PAIRS = 300
BLOCK = 12  # successive pairs that are taken or left together, where a drive is long
WIDTHS = 640, 960  # px of the working images: followed corners are exact to a part of a pixel
GAP, LONGEST_GAP = 0.095, 0.45  # s between the frames of a pair
BASE = 0.8  # m that the car moves between them, if it does within the longest gap
CORNERS = 400
LEAST_CORNERS = 30
STILL = 0.35  # px that corners move where the camera stands
_RANSAC = 1.0  # px
_LEAST_AGREEING = 0.5  # share of the corners


@dataclass(frozen=True, eq=False)
class Pair:
    """Two frames and what they show.

    Args:
        first, second: numbers of the frames.
        start, end: their times, s.
        block: number of the run of successive pairs that it is in.
        here, there: (n, 3) normalized points of followed corners.
        seen: T_second_first of the camera by the frames, with a translation of length 1; None
            where too few corners agree, or the camera stands.
        moved: px, median way of the corners in the working image.
        changed: gray levels, mean change of the pixels.
    """

    first: int
    second: int
    start: float
    end: float
    block: int
    here: Floats
    there: Floats
    seen: Matrix | None
    moved: float
    changed: float

    @cached_property
    def turn(self) -> Floats:
        """(3,) rotation vector (rad) of the camera from the first frame to the second, by it."""
        assert self.seen is not None
        return turn_of(self.seen)

    @property
    def direction(self) -> Floats:
        """(3,) unit vector in the first camera's frame, to where the camera moves."""
        assert self.seen is not None
        return np.asarray(-self.seen[:3, :3].T @ self.seen[:3, 3])


def turn_of(motion: Matrix) -> Floats:
    """(3,) rotation vector (rad) of a camera whose motion T_there_here is given."""
    return np.asarray(cv2.Rodrigues(motion[:3, :3].T.copy())[0][:, 0], dtype=np.float64)


class PairReader:
    """Chooses pairs of frames of one camera, decodes them, and follows corners between them.

    Args:
        trace: an open trace.
        camera: one of its cameras.
        own: mask (height, width), true where the own car hides the scene; None: nowhere.

    Attributes:
        chosen: (n, 3) numbers of both frames, and of the block, of each pair.
        camera: the recorded camera.
        lens: the ideal lens of the working images.
    """

    def __init__(self, trace: Trace, camera: RecordedCamera, own: Image | None = None) -> None:
        self.trace, self.camera = trace, camera
        lens = camera.calibration.lens
        width = int(np.clip(lens.size[1], *WIDTHS))
        size = round(lens.size[0] * width / lens.size[1]), width
        self._working = WorkingCamera(lens.resized(size))
        self.lens: Lens = self._working.lens
        self.chosen = choose(trace, camera.t)
        self._scene: Image | None = None
        if own is not None:
            seen = self._working.gray(np.repeat(255 - own[..., None], 3, axis=2))
            self._scene = np.where(seen > 250, 255, 0).astype(np.uint8)

    def gray(self, index: int) -> Image:
        """The working image of a frame. Raises TraceError where it cannot be decoded."""
        return self._working.gray(self.camera.frame(index))

    def read(self, pairs: NDArray[np.int64]) -> Iterator[tuple[Pair, Image, Image]]:
        """Pairs and both working images of each, for rows of `chosen`."""
        last, image = -1, np.zeros(0, np.uint8)
        for first, second, block in pairs.tolist():
            here = image if first == last else self.gray(first)
            last, image = second, self.gray(second)
            yield self._pair(first, second, block, here, image), here, image

    def _pair(self, first: int, second: int, block: int, here: Image, there: Image) -> Pair:
        points = corners(here, CORNERS)
        if self._scene is not None and len(points):
            u, v = points[:, 0].round().astype(int).T
            points = points[self._scene[v, u] > 0]
        tracks = follow(here, there, points, self.lens.matrix)
        way = np.linalg.norm((tracks.here - tracks.there)[:, :2], axis=1) * self.lens.fx
        moved = float(np.median(way)) if len(way) else 0.0
        changed = float(cv2.absdiff(here, there).mean())
        seen = None
        if moved > STILL:
            seen = motion_of(tracks.here, tracks.there, self.lens.fx)
        times = float(self.camera.t[first]), float(self.camera.t[second])
        return Pair(first, second, *times, block, tracks.here, tracks.there, seen, moved, changed)


def motion_of(here: Floats, there: Floats, focal: float) -> Matrix | None:
    """T_there_here of a camera, with a translation of length 1; None if too few points agree.

    Args:
        here, there: (n, 3) normalized points.
        focal: px.
    """
    if len(here) < LEAST_CORNERS:
        return None
    a, b = (np.ascontiguousarray(points[:, :2]) for points in (here, there))
    cv2.setRNGSeed(len(a))
    essential, agree = cv2.findEssentialMat(
        a, b, np.eye(3), cv2.USAC_MAGSAC, 0.999, _RANSAC / focal
    )
    if essential is None or essential.shape != (3, 3) or agree.mean() < _LEAST_AGREEING:
        return None
    _, rotation, translation, _ = cv2.recoverPose(essential, a, b, np.eye(3), mask=agree.copy())
    motion = np.eye(4)
    motion[:3, :3], motion[:3, 3] = rotation, translation[:, 0]
    refined = estimate_motion(here, there, motion, focal).corrected()
    return refined if np.isfinite(refined).all() else None


def recorded_motion(trace: Trace, mount: Matrix, start: float, end: float) -> Matrix:
    """T_end_start of a camera by the recorded poses and its mount (4, 4)."""
    moved = inverse(trace.pose(end)) @ trace.pose(start)
    return np.asarray(inverse(mount) @ moved @ mount)


def choose(trace: Trace, t: Floats, most: int = MOST_PAIRS) -> NDArray[np.int64]:
    """Pairs of frames (n, 3): numbers of both, and of the block that the pair is in.

    Frames of a pair are apart by a tenth of a second, and by more where the car is slow. Of a long
    drive blocks of successive pairs are taken: those with most turning, and as many spread evenly.

    Args:
        t: (n,) times of the frames, s.
    """
    way = np.interp(t, trace.ego.t, way_along(trace.ego.position))
    pairs: list[tuple[int, int]] = []
    first = 0
    while first < len(t) - 1:
        second = first + 1
        while second < len(t) - 1 and (
            t[second] - t[first] < GAP
            or (way[second] - way[first] < BASE and t[second + 1] - t[first] < LONGEST_GAP)
        ):
            second += 1
        crossed = any(a < t[second] and t[first] < b for a, b in trace.gaps)
        if not crossed:
            pairs.append((first, second))
        first = second
    if not pairs:
        return np.zeros((0, 3), np.int64)
    table = np.array(pairs, dtype=np.int64)
    table = np.column_stack([table, np.arange(len(table)) // BLOCK])
    blocks = int(table[-1, 2]) + 1
    wanted = most // BLOCK
    if blocks <= wanted:
        return table
    yaw = np.interp(t, trace.ego.t, trace.ego.yaw)
    turned = np.bincount(table[:, 2], np.abs(yaw[table[:, 1]] - yaw[table[:, 0]]))
    spread = np.linspace(0, blocks - 1, wanted // 2).round().astype(int)
    taken = set(spread.tolist())
    for block in np.argsort(-turned, kind="stable").tolist():
        if len(taken) >= wanted:
            break
        taken.add(block)
    return table[np.isin(table[:, 2], sorted(taken))]
