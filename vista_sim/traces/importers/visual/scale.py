"""Metres for a reconstruction: by the height of the camera, picture by picture, over its road."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vista_sim.errors import TraceError
from vista_sim.traces.calibration import Lens
from vista_sim.traces.importers.visual.ground import (
    ANY_ROLL,
    BASELINE,
    TILT,
    RoadRegion,
    View,
    evened,
    level_and_ahead,
    smoothed,
)
from vista_sim.traces.importers.visual.tracking import smaller
from vista_sim.transforms import way_along

Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]
Pictures = Callable[[Sequence[int]], Iterator[NDArray[np.uint8]]]

SURE = 0.25  # correlation of the road in two pictures from which on a fit counts
_MIN_FITS = 5
_SCANNED = 24  # pairs of pictures by which a first height is found
_SKIPPED = 3  # of its rays, one in so many is looked along
_HEIGHTS = np.geomspace(0.15, 40.0, 130)  # that are tried, in steps from picture to picture
_APART = (1, 3)  # pictures between those of a pair
_TRIED = 60  # pictures by which up is found
_SPACING = 0.7  # camera heights between the places where the road is looked at
_TOO_FAR = 3.0  # camera heights between two pictures, which share no road then


@dataclass(frozen=True, eq=False)
class Heights:
    """The camera over its road.

    Args:
        height: (n,) at each frame, in the units of the chain, smoothed.
        up, ahead: (3,) unit, in the camera frame.
        share: of the places at which the road was seen.
    """

    height: Floats
    up: Floats
    ahead: Floats
    share: float


def camera_heights(
    poses: Floats,
    frames: Numbers,
    pictures: Pictures,
    lens: Lens,
    height: float,
    report: Callable[[int, int], None] | None = None,
) -> Heights:
    """Find the road under a chain of frames.

    Args:
        poses: (n, 4, 4). frames: (n,) of the video.
        pictures: gives gray pictures of frames.
        height: of the camera, m: only to know over what way heights are smoothed.
        report: told how many places are done, and of how many.

    Raises TraceError: no road is seen.
    """
    arc = way_along(poses[:, :3, 3])
    if not arc[-1] > 0:
        raise TraceError("the camera stands still")
    steady = poses[_spread(arc, arc[-1] / max(len(arc) / 4, 8))]
    up, ahead = level_and_ahead(steady)
    views = _Views(poses, frames, pictures, lens)
    guess = _scanned(views, views.road(up, ahead), arc)
    for _ in range(2):  # the second time with a road that lies better
        rows = _spread(arc, _SPACING * guess)
        rows = rows[np.unique(np.linspace(0, len(rows) - 1, _TRIED).round().astype(int))]
        fits = _fits(views, views.road(up, ahead), arc, rows, guess, (TILT[0], ANY_ROLL))
        sure = fits[fits[:, 3] > SURE]
        if len(sure) < _MIN_FITS:
            raise TraceError(
                "no road is seen in front of the car, so its speed cannot be told; is the camera "
                "one that looks ahead?"
            )
        pitch, roll = np.median(sure[:, 1:3], axis=0)
        up, ahead = _tilted(up, ahead, pitch, roll)
        guess = float(np.median(sure[:, 0]))
    rows = _spread(arc, _SPACING * guess)
    fits = _fits(views, views.road(up, ahead), arc, rows, guess, TILT, report)
    weight = np.where(fits[:, 3] > SURE, fits[:, 3], 0.0)
    turned = _turned(poses[rows])
    course = smoothed(arc[rows] * height / guess, turned, fits[:, 0], weight)
    everywhere = np.exp(np.interp(arc, arc[rows], np.log(course)))
    return Heights(everywhere, up, ahead, float((weight > 0).mean()))


def _spread(arc: Floats, apart: float) -> NDArray[np.int64]:
    """Rows that are so far apart along the way, or just farther; the first and the last too."""
    slot = np.floor(arc / apart).astype(np.int64)
    first = np.flatnonzero(np.diff(slot, prepend=-1))
    return np.unique(np.append(first, len(arc) - 1)).astype(np.int64)


def _turned(poses: Floats) -> Floats:
    """Angles (n - 1,) between poses (n, 4, 4), rad."""
    between = np.einsum("nji,njk->nik", poses[:-1, :3, :3], poses[1:, :3, :3])
    cosine = 0.5 * (np.trace(between, axis1=1, axis2=2) - 1.0)
    return np.asarray(np.arccos(np.clip(cosine, -1.0, 1.0)))


def _tilted(up: Floats, ahead: Floats, pitch: float, roll: float) -> tuple[Floats, Floats]:
    up = up + pitch * ahead + roll * np.cross(up, ahead)
    up = up / np.linalg.norm(up)
    ahead = ahead - (ahead @ up) * up
    return up, ahead / np.linalg.norm(ahead)


class _Views:
    """Pictures of the road, evened, without distortion."""

    def __init__(self, poses: Floats, frames: Numbers, pictures: Pictures, lens: Lens) -> None:
        self.poses = poses
        self._frames = frames
        self._pictures = pictures
        self._lens = lens
        small, scale = smaller(next(pictures([int(frames[0])])))
        self.size = (small.shape[0], small.shape[1])
        self.focal = 0.5 * (lens.fx + lens.fy) / scale
        self.middle = ((lens.cx + 0.5) / scale - 0.5, (lens.cy + 0.5) / scale - 0.5)
        self._maps = self._undistortion() if lens.distorted or lens.fx != lens.fy else None

    def _undistortion(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        v, u = np.mgrid[0 : self.size[0], 0 : self.size[1]].astype(np.float64)
        rays = np.stack(
            [(u - self.middle[0]) / self.focal, (v - self.middle[1]) / self.focal, np.ones_like(u)],
            axis=-1,
        )
        there = self._lens.resized(self.size).project(rays).astype(np.float32)
        return there[..., 0], there[..., 1]

    def road(self, up: Floats, ahead: Floats) -> RoadRegion:
        return RoadRegion(self.focal, *self.middle, self.size, up, ahead)

    def run(self, rows: Sequence[int], top: int) -> Iterator[View]:
        """Views of frames (increasing rows), one after the other, from one of their rows on."""
        wanted = [int(self._frames[row]) for row in rows]
        for row, picture in zip(rows, self._pictures(wanted), strict=True):
            small, _ = smaller(picture)
            if self._maps is not None:
                small = np.asarray(cv2.remap(small, *self._maps, cv2.INTER_LINEAR), np.uint8)
            yield View(evened(small[top:]), self.poses[row], top)


def _scanned(views: _Views, road: RoadRegion, arc: Floats) -> float:
    """The height at which the road of pictures close to each other is most alike, all in all."""
    rays = road.rays()[::_SKIPPED]
    if not len(rays):
        raise TraceError("the camera sees no road before the car: it looks up, or too far down")
    step = float(np.median(np.diff(arc)[np.diff(arc) > 0.1 * np.diff(arc).max()]))
    moving = np.flatnonzero(np.diff(arc) > 0.5 * step)
    moving = moving[moving < len(arc) - max(_APART)]
    if not len(moving):
        raise TraceError("the camera hardly moves")
    first = moving[np.unique(np.linspace(0, len(moving) - 1, _SCANNED).astype(int))]
    rows = sorted({int(row) + apart for row in first for apart in (0, *_APART)})
    planes = [-road.up / (step * height) for height in _HEIGHTS]
    total = np.zeros(len(_HEIGHTS))
    held: dict[int, View] = {}
    for row, view in zip(rows, views.run(rows, road.top(rays)), strict=True):
        held = {old: kept for old, kept in held.items() if old >= row - max(_APART)}
        held[row] = view
        for apart in _APART:
            if row - apart in first and row - apart in held:
                total += road.correlations(rays, held[row - apart], view, planes)
    return float(step * _HEIGHTS[np.argmax(total)])


def _fits(
    views: _Views,
    road: RoadRegion,
    arc: Floats,
    rows: NDArray[np.int64],
    guess: float,
    tilt: tuple[float, float],
    report: Callable[[int, int], None] | None = None,
) -> Floats:
    """Height, pitch and roll against `road`, and correlation (n, 4) at each of n rows."""
    rays = road.rays()
    found = np.full((len(rows), 4), np.nan)
    found[:, 3] = 0.0
    partner = np.minimum(np.searchsorted(arc, arc[rows] + BASELINE * guess), len(arc) - 1)
    partner = np.where(partner > rows, partner, np.maximum(rows - 1, 0))
    needed = np.unique(np.concatenate([rows, partner]))
    coming = views.run([int(row) for row in needed], road.top(rays))
    waiting = iter(needed.tolist())
    held: dict[int, View] = {}
    height = guess
    for i, (row, other) in enumerate(zip(rows.tolist(), partner.tolist(), strict=True)):
        while not held or max(held) < max(row, other):
            held[next(waiting)] = next(coming)
        held = {old: kept for old, kept in held.items() if old >= row - 1}
        if 0 < abs(arc[other] - arc[row]) < _TOO_FAR * height:
            fit = road.fit(rays, held[row], [held[other]], height, tilt)
            if fit is not None:
                found[i] = fit
                if fit[3] > SURE:  # scale drifts: the next search begins where this one ended
                    height = 0.8 * height + 0.2 * float(np.clip(fit[0], 0.8 * height, height / 0.8))
        if report is not None:
            report(i + 1, len(rows))
    return found
