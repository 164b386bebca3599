"""Things that move: found where matching as if all stood still gives what cannot be.

Seen from a moving car, a thing that moves along looks farther than it is and one that comes
the other way looks nearer, by the ratio of speeds; neighbouring frames agree on it. What
gives it away is where it meets the ground: the far one sinks into the road, the near one
floats above it. Found regions follow the edges of the image and are put upright on the ground
that they touch. Boxes of other road users, where they were recorded, are taken as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vista_sim.geometry.masks import MIN_AREA, SQUARE, Mask, around, lower_edge, shifted_up, window
from vista_sim.geometry.moving_candidates import (
    BELOW,
    FARTHEST_GROUND,
    FLOATING,
    MIN_EDGE,
    SAME_MOTION,
    Floats,
    Level,
    floating_parts,
    joined,
    sunk_parts,
)
from vista_sim.geometry.moving_outlines import grown, outlined

#: Confidence (of 255) of what moves: its distance is that of the ground where it stands.
MOVING_CONFIDENCE = np.uint8(51)

_IS_GROUND = (0.2, 0.004)
_FRINGE = 5  # px that matching may reach over an outline
_BOX_SLACK = 0.2  # share of a box's smaller side by which what is in it may be smaller


@dataclass(frozen=True, eq=False)
class MovingThing:
    """A region of a frame that moves.

    Args:
        mask: (h, w).
        inverse_depth: of the ground where it stands, 1/m.
        seen: what static matching took it for, 1/m.
        shape: (h, w) its inverse depth, 1/m, where that is known better than by where it
            stands; 0 where not.
    """

    mask: Mask
    inverse_depth: float
    seen: float
    shape: Floats | None = None


def find_moving(
    inverse_depth: Floats,
    reliable: Mask,
    gray: NDArray[np.uint8],
    ground: Floats,
    camera_height: float,
    focal: float,
    boxes: Sequence[Floats] = (),
) -> list[MovingThing]:
    """Find what moves in a frame.

    Args:
        inverse_depth: (h, w) as matched, 1/m.
        reliable: (h, w), where neighbours agree.
        gray: (h, w).
        ground: (h, w) its inverse depth, 1/m; 0 above the horizon.
        camera_height: above the ground, m.
        focal: px.
        boxes: (h, w) inverse depth of what is known to move, 1/m, each 0 where it is not.
    """
    found = boxed(boxes, inverse_depth, gray, ground)
    if camera_height <= 0 or (ground > FARTHEST_GROUND).sum() < MIN_AREA:
        return found
    level = Level(signed_plane(ground), camera_height, focal)
    is_ground = _on_ground(inverse_depth, ground)
    under = np.logical_or(*(shifted_up(is_ground, rows) for rows in BELOW))
    taken = np.zeros(gray.shape, dtype=bool)
    for thing in found:
        taken |= cv2.dilate(thing.mask.astype(np.uint8), SQUARE).astype(bool)
    candidates = sunk_parts(inverse_depth, reliable, ground, under)
    candidates += floating_parts(inverse_depth, reliable, level, ground, under)
    for seeds, contact, seen in joined(candidates, focal):
        seeds = seeds & ~taken
        if seeds.sum() < MIN_AREA:
            continue
        mask = outlined(seeds, contact, seen, inverse_depth, reliable, gray, level, focal)
        mask = None if mask is None else mask & ~taken
        if mask is None or mask.sum() < MIN_AREA:
            continue
        taken |= mask
        found.append(MovingThing(mask, contact, seen))
    return found


def boxed(
    boxes: Sequence[Floats], inverse_depth: Floats, gray: NDArray[np.uint8], ground: Floats
) -> list[MovingThing]:
    """What is in boxes and in sight, the nearest first; arguments as of `find_moving`."""
    is_ground = _on_ground(inverse_depth, ground)
    shown = [box for box in boxes if (box > 0).sum() >= MIN_AREA and _in_sight(box, is_ground)]
    found = [_boxed(box, inverse_depth, gray) for box in shown]
    return sorted(found, key=lambda thing: -thing.inverse_depth)


def _on_ground(inverse_depth: Floats, ground: Floats) -> Mask:
    near = np.abs(inverse_depth - ground) < _IS_GROUND[0] * ground + _IS_GROUND[1]
    return near & (ground > FARTHEST_GROUND)


def upright(thing: MovingThing, inverse_depth: Floats) -> Floats:
    """Inverse depth (h, w) for the pixels of a thing, on the ground where it stands.

    What looked nearer than it is keeps its shape, which was measured all the better; what
    looked far shows none, and becomes a plane that faces the camera.
    """
    contact = np.float32(thing.inverse_depth)
    if thing.shape is not None:
        beyond = cv2.dilate(thing.shape, np.ones((2 * _FRINGE + 1, 2 * _FRINGE + 1), np.uint8))
        return np.where(thing.shape > 0, thing.shape, np.where(beyond > 0, beyond, contact))
    if thing.seen < FLOATING * thing.inverse_depth:
        return np.full_like(inverse_depth, contact)
    scaled = inverse_depth * (contact / np.float32(thing.seen))
    near = np.abs(scaled - contact) < 0.25 * contact
    return np.where(near, scaled, contact).astype(np.float32)


def touched(thing: MovingThing, inverse_depth: Floats, ground: Floats) -> Mask:
    """Pixels (h, w) around a thing whose inverse depth is not their own.

    Matching reaches over outlines; and the thing's shadow moves with it, over ground that
    does not.
    """
    share, slack = SAME_MOTION
    like = np.abs(inverse_depth - thing.seen) < share * thing.seen + slack
    fringe = around(thing.mask, _FRINGE, _FRINGE) & like
    rows, cols = window(thing.mask, 0)
    wide, tall = (cols.stop - cols.start) // 3, (rows.stop - rows.start) // 2
    wrong = np.abs(inverse_depth - ground) > _IS_GROUND[0] * ground + _IS_GROUND[1]
    shadow = around(thing.mask, wide, tall) & wrong & (ground > thing.inverse_depth)
    return (fringe | shadow) & ~thing.mask


def signed_plane(ground: Floats) -> Floats:
    """The plane (h, w) that inverse depth of ground lies on, continued above the horizon."""
    height, width = ground.shape
    v, u = np.mgrid[0:height:4, 0:width:4]
    values = ground[::4, ::4]
    chosen = values > 0.5 * FARTHEST_GROUND
    basis = np.stack([u[chosen], v[chosen], np.ones(int(chosen.sum()))], axis=1)
    a, b, c = np.linalg.lstsq(basis, values[chosen].astype(np.float64), rcond=None)[0]
    plane = a * np.arange(width)[None, :] + b * np.arange(height)[:, None] + c
    return plane.astype(np.float32)


def _boxed(box: Floats, inverse_depth: Floats, gray: NDArray[np.uint8]) -> MovingThing:
    """What is in a box, which is larger than it: to the edges of the image."""
    hull = (box > 0).astype(np.uint8)
    rows, cols = window(hull > 0, 0)
    size = min(rows.stop - rows.start, cols.stop - cols.start)
    margin = max(1, round(_BOX_SLACK * size))
    square = np.ones((2 * margin + 1, 2 * margin + 1), np.uint8)
    inner = cv2.erode(hull, square).astype(bool)  # the image's border does not cut it
    beyond = ~(cv2.dilate(hull, np.ones((5, 5), np.uint8)) > 0)
    mask = grown(gray, inner, beyond) > 0 if inner.any() else hull > 0
    mask = mask if mask.sum() > 0.5 * hull.sum() else hull > 0
    near = float(np.quantile(box[hull > 0], 0.9))
    return MovingThing(mask, near, float(np.median(inverse_depth[mask])), box)


def _in_sight(box: Floats, is_ground: Mask) -> bool:
    """Whether there is ground under a box, and nothing in front that hides it."""
    last = box.shape[0] - 1
    u, v = lower_edge(box > 0)
    rows = v[:, None] + 3 * np.arange(1, 5)
    under = (rows > last) | is_ground[np.minimum(rows, last), u[:, None]]
    return bool(under.any(axis=1).mean() >= MIN_EDGE)
