"""Points followed from picture to picture (Lucas, Kanade; pyramids after Bouguet, 2000).

A picture becomes a keyframe where the last one is far in the picture or few of its points are
left; new points are looked for there alone, so a standing car makes no keyframes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float32]
Numbers = NDArray[np.int64]
Image = NDArray[np.uint8]

MAX_WIDTH = 1280  # px; wider pictures are made smaller before points are followed
POINTS = 1000  # that are followed at once
_CELLS = (6, 8)  # rows and columns of the grid over which points are spread
_APART = 8  # px between points
_BORDER = 12  # px
_WINDOW, _LEVELS = 21, 4  # px of the patch that is followed, and halvings of the picture
_BACK = 0.5  # px by which a point followed there and back may miss its place
_STEP = 0.014  # of the picture's width that points move from a keyframe to the next, by median
_LEFT = 0.55  # share of a keyframe's points below which the next is due
_TEXTURE = 1e-3  # least eigenvalue of a corner, of the largest in the picture
_STILL = 0.75  # px: less is no movement
_BONNET = 0.55  # of the height, below which what never moves is a part of the car


_flow: Any = cv2.calcOpticalFlowPyrLK  # its stubs know no lack of a first guess


@dataclass(frozen=True, eq=False)
class Followed:
    """What is seen in one picture: number (n,) and place (n, 2) px of each point."""

    ids: Numbers
    xy: Points
    key: bool

    def common(self, other: Followed) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Rows here and there of the points that both see."""
        _, here, there = np.intersect1d(
            self.ids, other.ids, assume_unique=True, return_indices=True
        )
        return here, there


class Tracker:
    """Follows points through the pictures of a video.

    Args:
        last: to go on after a picture that was looked at before, with its keyframe.
        keyframe: the last one up to it.
        image: that picture.
        next_id: the number of the next new point.
    """

    def __init__(
        self,
        last: Followed | None = None,
        keyframe: Followed | None = None,
        image: Image | None = None,
        next_id: int = 0,
    ) -> None:
        self._ids = np.zeros(0, np.int64) if last is None else last.ids
        self._xy = np.zeros((0, 2), np.float32)
        self._keyframe = keyframe
        self._next_id = next_id
        self._image: Image | None = None
        self._scale = 1
        if last is not None and image is not None:
            self._image, self._scale = smaller(image)
            self._xy = ((last.xy + 0.5) / self._scale - 0.5).astype(np.float32)

    def step(self, image: Image) -> Followed:
        """Look at the next picture (gray, (h, w))."""
        picture, self._scale = smaller(image)
        if self._image is not None and len(self._ids):
            self._follow(self._image, picture)
        self._image = picture
        key = self._is_due()
        if key:
            self._drop_bonnet(picture.shape[0])
            self._find(picture)
        seen = Followed(self._ids, self._full_size(), key)
        if key:
            self._keyframe = seen
        return seen

    def _full_size(self) -> Points:
        return ((self._xy + 0.5) * self._scale - 0.5).astype(np.float32)

    def _follow(self, before: Image, now: Image) -> None:
        settings: dict[str, Any] = {
            "winSize": (_WINDOW, _WINDOW),
            "maxLevel": _LEVELS,
            "criteria": (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 20, 0.01),
        }
        xy, found, _ = _flow(before, now, self._xy, None, **settings)
        back, again, _ = _flow(
            now, before, xy, self._xy.copy(), flags=cv2.OPTFLOW_USE_INITIAL_FLOW, **settings
        )
        height, width = now.shape
        sure = (found[:, 0] > 0) & (again[:, 0] > 0)
        sure &= np.abs(back - self._xy).max(axis=1) < _BACK
        sure &= (xy >= 3).all(axis=1) & (xy[:, 0] < width - 4) & (xy[:, 1] < height - 4)
        self._xy, self._ids = xy[sure], self._ids[sure]

    def _is_due(self) -> bool:
        if self._keyframe is None:
            return True
        now = Followed(self._ids, self._full_size(), False)
        here, there = now.common(self._keyframe)
        if len(here) < _LEFT * len(self._keyframe.ids):
            return True
        moved = now.xy[here] - self._keyframe.xy[there]
        # What all points have in common is a turn, mostly, which tells no depth.
        moved -= np.median(moved, axis=0)
        assert self._image is not None
        step = _STEP * self._image.shape[1] * self._scale
        return bool(np.median(np.linalg.norm(moved, axis=1)) > step)

    def _drop_bonnet(self, height: int) -> None:
        """Forget points low in the picture that have not moved while the others have."""
        if self._keyframe is None:
            return
        now = Followed(self._ids, self._full_size(), False)
        here, there = now.common(self._keyframe)
        moved = np.linalg.norm(now.xy[here] - self._keyframe.xy[there], axis=1)
        if len(moved) < 10 or np.median(moved) < 4 * _STILL:
            return
        still = np.zeros(len(self._ids), dtype=bool)
        still[here] = moved < _STILL * self._scale
        still &= self._xy[:, 1] > _BONNET * height
        self._xy, self._ids = self._xy[~still], self._ids[~still]

    def _find(self, image: Image) -> None:
        """Add the strongest corners of each cell that has too few points (Shi, Tomasi, 1994)."""
        rows, columns = _CELLS
        height, width = image.shape
        strength = cv2.cornerMinEigenVal(image, 5)
        peak = strength == cv2.dilate(strength, np.ones((5, 5), np.uint8))
        peak &= strength > _TEXTURE * strength.max() + 1e-9
        peak[:_BORDER] = peak[-_BORDER:] = False
        peak[:, :_BORDER] = peak[:, -_BORDER:] = False
        taken = np.zeros(image.shape, np.uint8)
        for x, y in self._xy:
            cv2.circle(taken, (round(float(x)), round(float(y))), _APART, 1, -1)
        y, x = np.nonzero(peak & (taken == 0))
        order = np.argsort(-strength[y, x], kind="stable")
        y, x = y[order], x[order]
        cell = (y * rows // height) * columns + x * columns // width
        held = (self._xy[:, 1] * rows // height) * columns + self._xy[:, 0] * columns // width
        free = POINTS // (rows * columns) - np.bincount(
            held.astype(np.int64), minlength=rows * columns
        )
        chosen = []
        for px, py, where in zip(x.tolist(), y.tolist(), cell.tolist(), strict=True):
            if free[where] > 0 and not taken[py, px]:
                free[where] -= 1
                cv2.circle(taken, (px, py), _APART, 1, -1)
                chosen.append((px, py))
        if not chosen:
            return
        new = np.array(chosen, np.float32).reshape(-1, 1, 2)
        end = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 10, 0.03)
        cv2.cornerSubPix(image, new, (3, 3), (-1, -1), end)
        self._xy = np.vstack([self._xy, new[:, 0]])
        self._ids = np.concatenate([self._ids, self._next_id + np.arange(len(new))])
        self._next_id += len(new)

    @property
    def next_id(self) -> int:
        """The number of the next new point."""
        return self._next_id


def smaller(image: Image) -> tuple[Image, int]:
    """A picture of at most `MAX_WIDTH`, and how many of its pixels are one there."""
    scale = -(-image.shape[1] // MAX_WIDTH)
    if scale == 1:
        return image, 1
    size = (image.shape[1] // scale, image.shape[0] // scale)
    cropped = image[: size[1] * scale, : size[0] * scale]
    return np.asarray(cv2.resize(cropped, size, interpolation=cv2.INTER_AREA), np.uint8), scale
