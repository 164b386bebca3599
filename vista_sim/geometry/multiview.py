"""Inverse depth of a frame from its neighbours: plane sweep, semi-global matching, fusion.

Two passes. `match` compares the images of a frame and its neighbours. `merge` compares the
inverse depth so found with that of the neighbours, which gives confidence, averages out
noise and tells what must be filled.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from vista_sim.geometry.census import matching_cost
from vista_sim.geometry.consistency import fill, fuse
from vista_sim.geometry.ground import ground_inverse_depth
from vista_sim.geometry.moving import MOVING_CONFIDENCE, boxed, find_moving, touched, upright
from vista_sim.geometry.neighbours import projections
from vista_sim.geometry.refine import detail, refine
from vista_sim.geometry.settings import Matching
from vista_sim.geometry.sgm import aggregate, best_plane
from vista_sim.geometry.surface import fit_ground, smooth_ground
from vista_sim.geometry.working import WorkingFrame
from vista_sim.traces.calibration import Lens

Floats = NDArray[np.float32]

_GROUND_MARGIN = 1.25  # the nearest plane, over the inverse depth of the nearest ground seen
_TELLING_SHIFT = 0.5  # px
_NEAREST_GROUND = 1.0  # m; no plane is nearer


class MultiView:
    """Estimates inverse depth on working images.

    Args:
        lens: of the working images, ideal.
        T_vehicle_camera: mount.
        poses: (n, 4, 4) T_world_camera of every frame.
        settings: see `Matching`.

    Attributes:
        planes: (d,) inverse depths that are tried, 1/m.
        ground: (h, w) inverse depth of flat ground.
    """

    def __init__(
        self,
        lens: Lens,
        T_vehicle_camera: ArrayLike,
        poses: NDArray[np.float64],
        settings: Matching,
    ) -> None:
        self.poses = poses
        self.settings = settings
        self.matrix = lens.matrix
        self.ground = ground_inverse_depth(lens, T_vehicle_camera)
        self.planes = inverse_depth_planes(lens, self.ground, settings)
        self._step = float(self.planes[1])
        self._prior = self.ground / np.float32(self._step)
        self._height = float(np.asarray(T_vehicle_camera)[2, 3])
        self._window = settings.ground_window
        self._maybe_sky = self.ground == 0

    def match(
        self,
        index: int,
        neighbours: Sequence[int],
        frame: WorkingFrame,
        others: Sequence[WorkingFrame],
    ) -> Floats:
        """Inverse depth (h, w) of a frame, from what its neighbours look like.

        Without neighbours it is that of flat ground.
        """
        if not neighbours:
            return self.ground.copy()
        settings = self.settings
        rotations, translations = projections(self.matrix, self.poses, index, neighbours)
        cost = matching_cost(
            frame.census,
            np.stack([other.census for other in others]),
            rotations,
            translations,
            self.planes,
            self._prior,
            settings.prior_slope,
            settings.prior_limit,
        )
        total = aggregate(
            cost,
            frame.gray,
            settings.small_step_penalty,
            settings.large_step_penalty,
            settings.edge_contrast,
        )
        plane = best_plane(total, self._maybe_sky, settings.far_margin)
        inverse_depth = cv2.medianBlur(plane * np.float32(self._step), 5)
        inverse_depth = refine(
            inverse_depth,
            detail(frame.gray),
            np.stack([detail(other.gray) for other in others]),
            rotations,
            translations,
            settings.refinements,
            self._step,
        )
        result: Floats = cv2.medianBlur(inverse_depth, 3)
        return result

    def merge(
        self,
        index: int,
        neighbours: Sequence[int],
        gray: NDArray[np.uint8],
        inverse_depth: Floats,
        others: Sequence[Floats],
        boxes: Sequence[Floats] = (),
    ) -> tuple[Floats, NDArray[np.uint8]]:
        """Inverse depth (h, w) and confidence (h, w) of a frame, from those of its neighbours.

        Args:
            index: of the frame.
            neighbours: of which `others` are the inverse depths by `match`.
            gray: the working image.
            inverse_depth: of the frame, by `match`.
            boxes: of what is known to move in it (see `moving.find_moving`).
        """
        if not neighbours:
            return inverse_depth, np.zeros(inverse_depth.shape, np.uint8)
        rotations, translations = projections(self.matrix, self.poses, index, neighbours)
        tolerance, share = self.settings.agreement
        fused, agreeing, denying = fuse(
            inverse_depth, np.stack(list(others)), rotations, translations, tolerance, share
        )
        reliable = (agreeing > 0) & (agreeing >= denying)
        agree, deny = agreeing.astype(np.float32), denying.astype(np.float32)
        # One witness is not sure; more are, as far as none denies.
        sure = np.where(reliable, np.minimum(1.0, 1.25 * agree / (agree + deny + 1.0)), 0.0)
        # Where the tolerance of agreement moves nothing, agreement says nothing.
        shift = parallax(translations, fused.shape) * (tolerance + share * fused)
        sure *= np.minimum(1.0, shift / _TELLING_SHIFT)
        ground = fit_ground(fused, self.ground)
        focal = float(self.matrix[0, 0])
        things = find_moving(fused, reliable, gray, ground, self._height, focal, boxes)
        still = np.ones(reliable.shape, dtype=bool)
        for thing in things:
            still &= ~thing.mask
            reliable &= ~touched(thing, fused, ground)
        filled = fill(fused, reliable & still, gray, ground)
        smooth, averaged = smooth_ground(np.where(still, filled, 0.0), ground, self._window)
        # What was averaged is as sure as the pixels that went into it.
        sure = np.where(averaged, np.maximum(sure, cv2.blur(sure, (9, 9))), sure)
        for thing in reversed(things):  # the nearest last
            smooth = np.where(thing.mask, upright(thing, fused), smooth)
        certain = (255 * sure).astype(np.uint8)
        certain += certain == MOVING_CONFIDENCE  # which says that it moves
        confidence = np.where(still, certain, MOVING_CONFIDENCE)
        return smooth, confidence

    def with_boxes(
        self,
        inverse_depth: Floats,
        confidence: NDArray[np.uint8],
        gray: NDArray[np.uint8],
        boxes: Sequence[Floats],
    ) -> tuple[Floats, NDArray[np.uint8]]:
        """Geometry (h, w) with what is known to move put into it (see `merge`)."""
        for thing in reversed(boxed(boxes, inverse_depth, gray, self.ground)):
            inverse_depth = np.where(thing.mask, upright(thing, inverse_depth), inverse_depth)
            confidence = np.where(thing.mask, MOVING_CONFIDENCE, confidence)
        return inverse_depth, confidence


def parallax(translations: Floats, size: tuple[int, ...]) -> Floats:
    """How far, px per 1/m, inverse depth moves each pixel (h, w) in the neighbour where most.

    Nil at the focus of expansion. Exact for far points; the slope at w is this over the square
    of the ratio of depths.

    Args:
        translations: (n, 3), K t, as of `neighbours.projections`.
        size: (h, w).
    """
    u = np.arange(size[1], dtype=np.float32)[None, :]
    v = np.arange(size[0], dtype=np.float32)[:, None]
    largest = np.zeros(size, np.float32)
    for x, y, z in translations:
        np.maximum(largest, np.hypot(x - u * z, y - v * z), out=largest)
    return largest


def inverse_depth_planes(lens: Lens, ground: Floats, settings: Matching) -> Floats:
    """Inverse depths (d,) from 0, evenly spaced; d is a multiple of 16 for the vector units.

    The spacing moves a picture by about 1 / planes_per_pixel pixels when the car is displaced
    by half a metre.
    """
    largest = max(1.0 / settings.nearest, _GROUND_MARGIN * float(ground.max()))
    largest = min(largest, max(1.0 / settings.nearest, 1.0 / _NEAREST_GROUND))
    count = largest * 0.5 * lens.fx * settings.planes_per_pixel
    count = int(np.clip(16 * round(count / 16), 32, 192))
    return np.linspace(0.0, largest, count, dtype=np.float32)
