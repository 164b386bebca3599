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
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]

#: Confidence (of 255) of what moves: its distance is that of the ground where it stands.
MOVING_CONFIDENCE = np.uint8(51)

_NEAREST_GROUND, _FARTHEST_GROUND = 0.3, 0.014  # 1/m, between which things are looked for
_SUNK = (0.72, 0.004)  # share and 1/m of the ground's inverse depth below which it is seen through
_ABOVE = (0.12, 0.006)  # share and 1/m beyond which a thing is no ground
_FLOATING = 1.5  # inverse depth of a thing over that of the ground under its lower edge
_FLOATING_DOUBTFUL = 2.0  # the same where matching is weak: cut off by the image, or near
_FLOATING_MOST = 3.5
_NEAR = 0.16  # 1/m; bumpers and the dark below near cars that stand are matched badly
_OVERHANG = (0.12, 0.003)  # share and 1/m by which it is nearer than what is seen under that edge
_IS_GROUND = (0.2, 0.004)
_BELOW = (3, 6)  # px under a lower edge at which the ground is looked for
_SAME_THING = (0.12, 0.004)  # share and 1/m by which inverse depth may vary between neighbours
_SAME_MOTION = (0.35, 0.008)  # the same within what moves as one, above its detected part
_MIN_HEIGHT, _MAX_HEIGHT = 0.7, 4.2  # m
_SURE_HEIGHT = 0.8  # m
_MARGIN = (0.35, 0.8)  # share and m by which it may reach over its seeds on each side
_MIN_WIDTH, _MAX_WIDTH = 0.3, 14.0  # m
_WIDE = 1.2  # m; what floats and is as wide as a car moves even if neighbours disagree on it
_MAX_SLENDERNESS = 4.0  # height over width
_MIN_AREA = 16  # px
_MIN_RELIABLE = 0.7  # share of it that neighbours must agree on
_MIN_COLUMNS = 4  # px of lower edge that must be seen
_MIN_EDGE = 0.5  # share of the lower edge that must be one between a thing and the ground
_STEP = 0.1  # of log inverse depth along the lower edge, from one thing to another
_TERRAIN = 0.35  # slope over that of the ground at which what is sunk is ground that falls away
_FRINGE = 5  # px that matching may reach over an outline
_JOINT = (0.88, 0.8)  # share of inverse depth, and gap in m, within which parts are one thing
_BOX_SLACK = 0.2  # share of a box's smaller side by which what is in it may be smaller
_3X3 = np.ones((3, 3), np.uint8)


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


@dataclass(frozen=True, eq=False)
class _Ground:
    plane: Floats  # (h, w) 1/m, negative above the horizon
    camera_height: float  # m
    focal: float  # px

    def height(self, inverse_depth: float) -> Floats:
        """Height (h, w) over the ground, m, of each pixel on an upright surface that far away."""
        result: Floats = self.camera_height * (1.0 - self.plane / np.float32(inverse_depth))
        return result


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
    if camera_height <= 0 or (ground > _FARTHEST_GROUND).sum() < _MIN_AREA:
        return found
    level = _Ground(signed_plane(ground), camera_height, focal)
    is_ground = _on_ground(inverse_depth, ground)
    under = np.logical_or(*(_shifted_up(is_ground, rows) for rows in _BELOW))
    taken = np.zeros(gray.shape, dtype=bool)
    for thing in found:
        taken |= cv2.dilate(thing.mask.astype(np.uint8), _3X3).astype(bool)
    candidates = _sunk(inverse_depth, reliable, ground, under)
    candidates += _floating(inverse_depth, reliable, level, ground, under)
    for seeds, contact, seen in _joined(candidates, focal):
        seeds = seeds & ~taken
        if seeds.sum() < _MIN_AREA:
            continue
        mask = _outlined(seeds, contact, seen, inverse_depth, reliable, gray, level, focal)
        if mask is None:
            continue
        mask &= ~taken
        taken |= mask
        found.append(MovingThing(mask, contact, seen))
    return found


def boxed(
    boxes: Sequence[Floats], inverse_depth: Floats, gray: NDArray[np.uint8], ground: Floats
) -> list[MovingThing]:
    """What is in boxes and in sight, the nearest first; arguments as of `find_moving`."""
    is_ground = _on_ground(inverse_depth, ground)
    shown = [box for box in boxes if (box > 0).sum() >= _MIN_AREA and _in_sight(box, is_ground)]
    found = [_boxed(box, inverse_depth, gray) for box in shown]
    return sorted(found, key=lambda thing: -thing.inverse_depth)


def _on_ground(inverse_depth: Floats, ground: Floats) -> Mask:
    near = np.abs(inverse_depth - ground) < _IS_GROUND[0] * ground + _IS_GROUND[1]
    return near & (ground > _FARTHEST_GROUND)


def upright(thing: MovingThing, inverse_depth: Floats) -> Floats:
    """Inverse depth (h, w) for the pixels of a thing, on the ground where it stands.

    What looked nearer than it is keeps its shape, which was measured all the better; what
    looked far shows none, and becomes a plane that faces the camera.
    """
    contact = np.float32(thing.inverse_depth)
    if thing.shape is not None:
        beyond = cv2.dilate(thing.shape, np.ones((2 * _FRINGE + 1, 2 * _FRINGE + 1), np.uint8))
        return np.where(thing.shape > 0, thing.shape, np.where(beyond > 0, beyond, contact))
    if thing.seen < _FLOATING * thing.inverse_depth:
        return np.full_like(inverse_depth, contact)
    scaled = inverse_depth * (contact / np.float32(thing.seen))
    near = np.abs(scaled - contact) < 0.25 * contact
    return np.where(near, scaled, contact).astype(np.float32)


def touched(thing: MovingThing, inverse_depth: Floats, ground: Floats) -> Mask:
    """Pixels (h, w) around a thing whose inverse depth is not their own.

    Matching reaches over outlines; and the thing's shadow moves with it, over ground that
    does not.
    """
    share, slack = _SAME_MOTION
    like = np.abs(inverse_depth - thing.seen) < share * thing.seen + slack
    fringe = _around(thing.mask, _FRINGE, _FRINGE) & like
    rows, cols = _window(thing.mask, 0)
    wide, tall = (cols.stop - cols.start) // 3, (rows.stop - rows.start) // 2
    wrong = np.abs(inverse_depth - ground) > _IS_GROUND[0] * ground + _IS_GROUND[1]
    shadow = _around(thing.mask, wide, tall) & wrong & (ground > thing.inverse_depth)
    return (fringe | shadow) & ~thing.mask


def _around(mask: Mask, columns: int, rows: int) -> Mask:
    square = np.ones((2 * rows + 1, 2 * columns + 1), np.uint8)
    return cv2.dilate(mask.astype(np.uint8), square).astype(bool)


def signed_plane(ground: Floats) -> Floats:
    """The plane (h, w) that inverse depth of ground lies on, continued above the horizon."""
    height, width = ground.shape
    v, u = np.mgrid[0:height:4, 0:width:4]
    values = ground[::4, ::4]
    chosen = values > 0.5 * _FARTHEST_GROUND
    basis = np.stack([u[chosen], v[chosen], np.ones(int(chosen.sum()))], axis=1)
    a, b, c = np.linalg.lstsq(basis, values[chosen].astype(np.float64), rcond=None)[0]
    plane = a * np.arange(width)[None, :] + b * np.arange(height)[:, None] + c
    return plane.astype(np.float32)


_Candidate = tuple[Mask, float, float]  # pixels, inverse depth of the ground, and as seen


def _sunk(inverse_depth: Floats, reliable: Mask, ground: Floats, under: Mask) -> list[_Candidate]:
    """What is seen through the ground: regions with the road at their lower edge."""
    share, slack = _SUNK
    sunk = (inverse_depth < share * ground - slack) & (ground > _FARTHEST_GROUND)
    result = []
    for region in _regions(_opened(sunk)):
        u, v = _lower_edge(region)
        standing = under[np.minimum(v + 1, under.shape[0] - 1), u]
        for part, contact in _standing_parts(region, u, ground[v, u], standing):
            inner = part & _shifted_up(part, _BELOW[0])  # its foot is smeared into the ground
            inner = inner if inner.sum() >= 8 else part
            if reliable[inner].mean() < _MIN_RELIABLE:
                continue
            values, expected = inverse_depth[inner], ground[inner]
            seen = float(np.median(values))
            spread = np.mean((values - values.mean()) * (expected - expected.mean()))
            slope = spread / max(float(np.var(expected)), 1e-9)
            # Ground that falls away is far in proportion; what stands upright is not.
            if slope > max(_TERRAIN * seen / float(np.median(expected)), 0.05):
                continue
            result.append((part, contact, seen))
    return result


def _floating(
    inverse_depth: Floats, reliable: Mask, level: _Ground, ground: Floats, under: Mask
) -> list[_Candidate]:
    """What is nearer than the ground under its lower edge."""
    share, slack = _ABOVE
    near = inverse_depth > (1.0 + share) * ground + slack
    spread = cv2.dilate(inverse_depth, _3X3) - cv2.erode(inverse_depth, _3X3)
    near &= spread < _SAME_THING[0] * inverse_depth + _SAME_THING[1]
    # What stands is never nearer than what is under it.
    share, slack = _OVERHANG
    edge = near & under & (inverse_depth > _FLOATING * ground)
    below = np.minimum(*(_shifted_up(inverse_depth, rows) for rows in _BELOW))
    edge &= inverse_depth > (1.0 + share) * below + slack
    if edge.sum() < _MIN_COLUMNS:
        return []
    result = []
    last = near.shape[0] - 1
    for region in _regions(_opened(near)):
        if not (region & edge).any():
            continue
        u, v = _lower_edge(region)
        floats = edge[np.minimum(v[:, None] + np.arange(-1, 2), last), u[:, None]].any(axis=1)
        foot = ground[np.minimum(v + 1, last), u]
        for part, contact in _standing_parts(region, u, foot, floats):
            bottom = inverse_depth[part & edge]
            seen = float(np.median(bottom if bottom.size else inverse_depth[part]))
            cut_off = part[:, 0].any() or part[:, -1].any() or part[-1].any()
            least = _FLOATING_DOUBTFUL if cut_off or contact > _NEAR else _FLOATING
            if not least * contact < seen < _FLOATING_MOST * contact:
                continue
            columns = np.flatnonzero(part.any(axis=0))
            wide = (columns[-1] + 1 - columns[0]) / (level.focal * contact)
            if reliable[part].mean() < _MIN_RELIABLE and (wide < _WIDE or cut_off):
                continue
            if contact < _FARTHEST_GROUND:
                continue
            part &= np.abs(inverse_depth - seen) < _SAME_MOTION[0] * seen
            # The crown of a tree floats too, but it is too high for what drives.
            height = level.height(contact)[part]
            if height.size and np.quantile(height, 0.95) < _MAX_HEIGHT:
                result.append((part, contact, seen))
    return result


def _joined(candidates: list[_Candidate], focal: float) -> list[_Candidate]:
    """Parts that stand side by side at the same distance are one; the nearest come first."""
    result: list[_Candidate] = []
    for seeds, contact, seen in sorted(candidates, key=lambda c: -c[1]):
        columns = np.flatnonzero(seeds.any(axis=0))
        for k, (other, nearer, how) in enumerate(result):
            beside = np.flatnonzero(other.any(axis=0))
            gap = max(columns[0] - beside[-1], beside[0] - columns[-1])
            same_kind = (how > nearer) == (seen > contact)
            if same_kind and contact > _JOINT[0] * nearer and gap < _JOINT[1] * focal * contact:
                weight = seeds.sum() / (seeds.sum() + other.sum())
                result[k] = (seeds | other, nearer, float(how + weight * (seen - how)))
                break
        else:
            result.append((seeds, contact, seen))
    return result


def _standing_parts(
    region: Mask, u: NDArray[np.int64], foot: Floats, standing: Mask
) -> list[tuple[Mask, float]]:
    """Parts of a region that stand on the ground, apart where they stand at different distances.

    Args:
        region: (h, w).
        u: (n,) its columns, in order.
        foot: (n,) inverse depth of the ground at its lower edge, 1/m.
        standing: (n,) whether that edge is one between a thing and the ground.

    Returns:
        Of each its pixels and the inverse depth of the ground where it stands. The farther half of
        the edge counts: a shadow in front moves along.
    """
    smooth = median_filter(np.log(np.maximum(foot, 1e-4)), size=5, mode="nearest")
    cuts = np.flatnonzero((np.abs(np.diff(smooth)) > _STEP) | (np.diff(u) > 1)) + 1
    parts = []
    for columns in np.split(np.arange(len(u)), cuts):
        good = standing[columns]
        if good.sum() < _MIN_COLUMNS:
            continue
        # What does not stand at its sides belongs to something else.
        inside = columns[np.argmax(good) : len(good) - np.argmax(good[::-1])]
        good = standing[inside]
        if good.mean() < _MIN_EDGE:
            continue
        part = np.zeros_like(region)
        part[:, u[inside]] = region[:, u[inside]]
        parts.append((part, float(np.quantile(foot[inside][good], 0.4))))
    return parts


def _outlined(
    seeds: Mask,
    contact: float,
    seen: float,
    inverse_depth: Floats,
    reliable: Mask,
    gray: NDArray[np.uint8],
    level: _Ground,
    focal: float,
) -> Mask | None:
    """Grow seeds to the edges of the image; None where the outcome is no thing that drives.

    A watershed between what surely moves and what surely does not; in between the strongest
    edge decides. It reaches above the seeds, where a thing that looks infinitely far cannot
    be told from what is.
    """
    if not _FARTHEST_GROUND < contact < _NEAREST_GROUND:
        return None
    columns = np.flatnonzero(seeds.any(axis=0))
    left, right = int(columns[0]), int(columns[-1]) + 1
    wide = (right - left) / (focal * contact)
    if not 0.5 * _MIN_WIDTH < wide < _MAX_WIDTH:
        return None
    height = level.height(contact)
    lowest = int(np.flatnonzero(seeds.any(axis=1))[-1])
    margin = max(3, round(min(_MARGIN[0] * (right - left), _MARGIN[1] * focal * contact)))
    limit = min(_MAX_HEIGHT, max(1.9, 1.3 * wide))
    box = np.zeros(seeds.shape, dtype=bool)
    box[: lowest + 4, max(0, left - margin) : right + margin] = True
    box &= height < limit
    # Above its foot it hides what is behind, so far up as everything that drives reaches.
    foot = np.maximum.accumulate(seeds[::-1], axis=0)[::-1]
    body = (foot & (height < _SURE_HEIGHT) & box) | seeds
    inner = cv2.erode(body.astype(np.uint8), _3X3, borderValue=0).astype(bool)
    inner = inner if inner.sum() >= 0.3 * body.sum() else body
    aside = np.ones(seeds.shape, dtype=bool)
    aside[:, left:right] = False
    share, slack = _SAME_MOTION
    other = reliable & ~(np.abs(inverse_depth - seen) < share * seen + slack) & aside
    other |= reliable & (height < 0.0)  # the ground in front
    other = cv2.erode((other | ~box).astype(np.uint8), _3X3).astype(bool) & ~body
    grown = _grown(gray, inner, other | ~box)
    outlines, _ = cv2.findContours(grown, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not outlines:
        return None
    solid = np.zeros(seeds.shape, np.uint8)
    cv2.drawContours(solid, [max(outlines, key=cv2.contourArea)], -1, 1, cv2.FILLED)
    mask: Mask = solid.astype(bool)
    if mask.sum() < _MIN_AREA:
        return None
    tall = float(np.quantile(height[mask], 0.97))
    wide = float(mask.any(axis=0).sum()) / (focal * contact)
    if not _MIN_HEIGHT < tall < _MAX_SLENDERNESS * wide or not _MIN_WIDTH < wide < _MAX_WIDTH:
        return None
    return mask


def _grown(gray: NDArray[np.uint8], inner: Mask, other: Mask) -> NDArray[np.uint8]:
    """Watershed between two masks (h, w): 1 where it goes to the first."""
    rows, cols = _window(~other, 3)
    markers = np.ascontiguousarray(np.where(inner, 2, other)[rows, cols], dtype=np.int32)
    colours = cv2.cvtColor(np.ascontiguousarray(gray[rows, cols]), cv2.COLOR_GRAY2BGR)
    cv2.watershed(colours, markers)
    grown = np.zeros(gray.shape, np.uint8)
    grown[rows, cols] = cv2.dilate((markers == 2).astype(np.uint8), _3X3)  # it leaves a border
    opened: NDArray[np.uint8] = cv2.morphologyEx(grown, cv2.MORPH_OPEN, np.ones((5, 3), np.uint8))
    return opened


def _boxed(box: Floats, inverse_depth: Floats, gray: NDArray[np.uint8]) -> MovingThing:
    """What is in a box, which is larger than it: to the edges of the image."""
    hull = (box > 0).astype(np.uint8)
    rows, cols = _window(hull > 0, 0)
    size = min(rows.stop - rows.start, cols.stop - cols.start)
    margin = max(1, round(_BOX_SLACK * size))
    square = np.ones((2 * margin + 1, 2 * margin + 1), np.uint8)
    inner = cv2.erode(hull, square).astype(bool)  # the image's border does not cut it
    around = cv2.dilate(hull, np.ones((5, 5), np.uint8)) > 0
    mask = _grown(gray, inner, ~around) > 0 if inner.any() else hull > 0
    mask = mask if mask.sum() > 0.5 * hull.sum() else hull > 0
    near = float(np.quantile(box[hull > 0], 0.9))
    return MovingThing(mask, near, float(np.median(inverse_depth[mask])), box)


def _in_sight(box: Floats, is_ground: Mask) -> bool:
    """Whether there is ground under a box, and nothing in front that hides it."""
    last = box.shape[0] - 1
    u, v = _lower_edge(box > 0)
    rows = v[:, None] + 3 * np.arange(1, 5)
    under = (rows > last) | is_ground[np.minimum(rows, last), u[:, None]]
    return bool(under.any(axis=1).mean() >= _MIN_EDGE)


def _regions(mask: Mask) -> list[Mask]:
    count, labels, stats, _ = cv2.connectedComponentsWithStats(
        mask.astype(np.uint8), connectivity=4
    )
    return [labels == k for k in range(1, count) if stats[k, cv2.CC_STAT_AREA] >= _MIN_AREA]


def _lower_edge(region: Mask) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Columns (n,) of a region and its lowest row (n,) in each."""
    u = np.flatnonzero(region.any(axis=0))
    v = region.shape[0] - 1 - np.argmax(region[::-1][:, u], axis=0)
    return u, v


def _opened(mask: Mask) -> Mask:
    opened: NDArray[np.uint8] = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, _3X3)
    return opened.astype(bool)


def _shifted_up(values: NDArray[Any], rows: int) -> NDArray[Any]:
    """What is that many rows below each pixel; the last row goes on."""
    return np.concatenate([values[rows:], np.repeat(values[-1:], rows, axis=0)])


def _window(mask: Mask, margin: int) -> tuple[slice, slice]:
    rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return (
        slice(max(0, int(rows[0]) - margin), int(rows[-1]) + 1 + margin),
        slice(max(0, int(cols[0]) - margin), int(cols[-1]) + 1 + margin),
    )
