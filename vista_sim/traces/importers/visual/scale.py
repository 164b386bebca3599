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
    Road,
    View,
    evened,
    level_and_ahead,
    smoothed,
)
from vista_sim.traces.importers.visual.tracking import smaller

Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]
Pictures = Callable[[Sequence[int]], Iterator[NDArray[np.uint8]]]

SURE = 0.4  # correlation of the road in two pictures from which on a fit counts
_MIN_FITS = 5
_SCANNED, _SKIPPED = 24, 3  # keyframes by which a first height is found; of rays one in so many
_HEIGHTS = np.geomspace(0.1, 20.0, 110)  # that are tried, in steps from keyframe to keyframe
_REACH = 6  # keyframes to each side that may be fitted with one


@dataclass(frozen=True, eq=False)
class Heights:
    """The camera over its road.

    Args:
        height: (n,) at each keyframe, in the units of the chain, smoothed.
        up, ahead: (3,) unit, in the camera frame.
        share: of the keyframes at which the road was seen.
    """

    height: Floats
    up: Floats
    ahead: Floats
    share: float


def camera_heights(
    poses: Floats, frames: Numbers, pictures: Pictures, lens: Lens, height: float
) -> Heights:
    """Find the road under a chain of keyframes.

    Args:
        poses: (n, 4, 4) of the keyframes. frames: (n,) of the video.
        pictures: gives gray pictures of frames.
        height: of the camera, m: only to know over what way heights are smoothed.

    Raises TraceError: no road is seen.
    """
    place = poses[:, :3, 3]
    step = np.linalg.norm(np.diff(place, axis=0), axis=1)
    arc = np.concatenate([[0.0], np.cumsum(step)])
    up, ahead = level_and_ahead(poses)
    views = _Views(poses, frames, pictures, lens)
    guess = _scanned(views, views.road(up, ahead), float(np.median(step)))
    fits = np.zeros((0, 4))
    for tilt in ((TILT[0], ANY_ROLL), TILT):
        road = views.road(up, ahead)
        fits = _fits(views, road, arc, guess, tilt)
        sure = np.flatnonzero(fits[:, 3] > SURE)
        if len(sure) < _MIN_FITS:
            raise TraceError(
                "no road is seen in front of the car, so its speed cannot be told; is the camera "
                "one that looks ahead?"
            )
        pitch, roll = np.median(fits[sure, 1:3], axis=0)
        up, ahead = _tilted(up, ahead, pitch, roll)
        guess = float(np.median(fits[sure, 0]))
    weight = np.where(fits[:, 3] > SURE, fits[:, 3], 0.0)
    course = smoothed(arc * height / guess, fits[:, 0], weight)
    return Heights(course, up, ahead, len(sure) / len(fits))


def _tilted(up: Floats, ahead: Floats, pitch: float, roll: float) -> tuple[Floats, Floats]:
    up = up + pitch * ahead + roll * np.cross(up, ahead)
    up = up / np.linalg.norm(up)
    ahead = ahead - (ahead @ up) * up
    return up, ahead / np.linalg.norm(ahead)


class _Views:
    """Pictures of keyframes, evened, without distortion; those near the last one are held."""

    def __init__(self, poses: Floats, frames: Numbers, pictures: Pictures, lens: Lens) -> None:
        self.poses = poses
        self._frames = frames
        self._pictures = pictures
        self._lens = lens
        first = next(pictures([int(frames[0])]))
        small, scale = smaller(first)
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

    def road(self, up: Floats, ahead: Floats) -> Road:
        return Road(self.focal, *self.middle, self.size, up, ahead)

    def run(self, numbers: Sequence[int]) -> Iterator[View]:
        """Views of keyframes (increasing numbers), one after the other."""
        wanted = [int(self._frames[number]) for number in numbers]
        for number, picture in zip(numbers, self._pictures(wanted), strict=True):
            small, _ = smaller(picture)
            if self._maps is not None:
                small = np.asarray(cv2.remap(small, *self._maps, cv2.INTER_LINEAR), np.uint8)
            yield View(evened(small), self.poses[number])


def _scanned(views: _Views, road: Road, step: float) -> float:
    """The height at which the road of consecutive keyframes is most alike, all in all."""
    rays = road.rays()[::_SKIPPED]
    if not len(rays):
        raise TraceError("the camera sees no road before the car: it looks up, or too far down")
    count = len(views.poses)
    first = np.unique(np.linspace(0, count - 2, min(_SCANNED, count - 1)).astype(int))
    numbers = sorted({*first.tolist(), *(first + 1).tolist()})
    total = np.zeros(len(_HEIGHTS))
    before: tuple[int, View] | None = None
    for number, view in zip(numbers, views.run(numbers), strict=True):
        if before is not None and before[0] == number - 1:
            planes = [-road.up / (step * height) for height in _HEIGHTS]
            total += road.correlations(rays, before[1], view, planes)
        before = (number, view)
    return float(step * _HEIGHTS[np.argmax(total)])


def _fits(
    views: _Views, road: Road, arc: Floats, guess: float, tilt: tuple[float, float]
) -> Floats:
    """Height, pitch and roll against `road`, and correlation (n, 4) of each keyframe."""
    rays = road.rays()
    found = np.full((len(arc), 4), np.nan)
    found[:, 3] = 0.0
    held: dict[int, View] = {}
    coming = views.run(range(len(arc)))
    height = guess
    for number in range(len(arc)):
        after = int(np.searchsorted(arc, arc[number] + BASELINE * height))
        after = min(max(after, number + 1), number + _REACH, len(arc) - 1)
        before = int(np.searchsorted(arc, arc[number] - BASELINE * height))
        before = max(min(before, number - 1), number - _REACH, 0)
        while not held or max(held) < after:
            held[max(held, default=-1) + 1] = next(coming)
        for old in [old for old in held if old < number - _REACH]:
            del held[old]
        others = [held[other] for other in sorted({before, after} - {number})]
        fit = road.fit(rays, held[number], others, height, tilt)
        if fit is None:
            continue
        found[number] = fit
        if fit[3] > SURE:  # scale drifts: the next search begins where this one ended
            height = 0.7 * height + 0.3 * float(np.clip(fit[0], 0.8 * height, 1.25 * height))
    return found
