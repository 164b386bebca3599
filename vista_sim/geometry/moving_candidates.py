"""What gives moving things away: regions that sink into the road, or float above it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter

from vista_sim.geometry.masks import SQUARE, Mask, lower_edge, opened, regions, shifted_up

Floats = NDArray[np.float32]

FARTHEST_GROUND = 0.014  # 1/m, up to which things are looked for
_SUNK = (0.72, 0.004)  # share and 1/m of the ground's inverse depth below which it is seen through
_ABOVE = (0.12, 0.006)  # share and 1/m beyond which a thing is no ground
FLOATING = 1.5  # inverse depth of a thing over that of the ground under its lower edge
_FLOATING_DOUBTFUL = 2.0  # the same where matching is weak: cut off by the image, or near
_FLOATING_MOST = 3.5
_NEAR = 0.16  # 1/m; bumpers and the dark below near cars that stand are matched badly
_OVERHANG = (0.12, 0.003)  # share and 1/m by which it is nearer than what is seen under that edge
BELOW = (3, 6)  # px under a lower edge at which the ground is looked for
_SAME_THING = (0.12, 0.004)  # share and 1/m by which inverse depth may vary between neighbours
SAME_MOTION = (0.35, 0.008)  # the same within what moves as one, above its detected part
MAX_HEIGHT = 4.2  # m
_WIDE = 1.2  # m; what floats and is as wide as a car moves even if neighbours disagree on it
_MIN_RELIABLE = 0.7  # share of it that neighbours must agree on
_MIN_COLUMNS = 4  # px of lower edge that must be seen
MIN_EDGE = 0.5  # share of the lower edge that must be one between a thing and the ground
_STEP = 0.1  # of log inverse depth along the lower edge, from one thing to another
_TERRAIN = 0.35  # slope over that of the ground at which what is sunk is ground that falls away
_JOINT = (0.88, 0.8)  # share of inverse depth, and gap in m, within which parts are one thing

Candidate = tuple[Mask, float, float]  # pixels, inverse depth of the ground, and as seen


@dataclass(frozen=True, eq=False)
class Level:
    """The ground as a frame sees it."""

    plane: Floats  # (h, w) 1/m, negative above the horizon
    camera_height: float  # m
    focal: float  # px

    def height(self, inverse_depth: float) -> Floats:
        """Height (h, w) over the ground, m, of each pixel on an upright surface that far away."""
        result: Floats = self.camera_height * (1.0 - self.plane / np.float32(inverse_depth))
        return result


def sunk_parts(
    inverse_depth: Floats, reliable: Mask, ground: Floats, under: Mask
) -> list[Candidate]:
    """What is seen through the ground: regions with the road at their lower edge."""
    share, slack = _SUNK
    sunk = (inverse_depth < share * ground - slack) & (ground > FARTHEST_GROUND)
    result = []
    for region in regions(opened(sunk)):
        u, v = lower_edge(region)
        standing = under[np.minimum(v + 1, under.shape[0] - 1), u]
        for part, contact in _standing_parts(region, u, ground[v, u], standing):
            inner = part & shifted_up(part, BELOW[0])  # its foot is smeared into the ground
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


def floating_parts(
    inverse_depth: Floats, reliable: Mask, level: Level, ground: Floats, under: Mask
) -> list[Candidate]:
    """What is nearer than the ground under its lower edge."""
    share, slack = _ABOVE
    near = inverse_depth > (1.0 + share) * ground + slack
    spread = cv2.dilate(inverse_depth, SQUARE) - cv2.erode(inverse_depth, SQUARE)
    near &= spread < _SAME_THING[0] * inverse_depth + _SAME_THING[1]
    # What stands is never nearer than what is under it.
    share, slack = _OVERHANG
    edge = near & under & (inverse_depth > FLOATING * ground)
    below = np.minimum(*(shifted_up(inverse_depth, rows) for rows in BELOW))
    edge &= inverse_depth > (1.0 + share) * below + slack
    if edge.sum() < _MIN_COLUMNS:
        return []
    result = []
    last = near.shape[0] - 1
    for region in regions(opened(near)):
        if not (region & edge).any():
            continue
        u, v = lower_edge(region)
        floats = edge[np.minimum(v[:, None] + np.arange(-1, 2), last), u[:, None]].any(axis=1)
        foot = ground[np.minimum(v + 1, last), u]
        for part, contact in _standing_parts(region, u, foot, floats):
            bottom = inverse_depth[part & edge]
            seen = float(np.median(bottom if bottom.size else inverse_depth[part]))
            cut_off = part[:, 0].any() or part[:, -1].any() or part[-1].any()
            least = _FLOATING_DOUBTFUL if cut_off or contact > _NEAR else FLOATING
            if not least * contact < seen < _FLOATING_MOST * contact:
                continue
            columns = np.flatnonzero(part.any(axis=0))
            wide = (columns[-1] + 1 - columns[0]) / (level.focal * contact)
            if reliable[part].mean() < _MIN_RELIABLE and (wide < _WIDE or cut_off):
                continue
            if contact < FARTHEST_GROUND:
                continue
            part &= np.abs(inverse_depth - seen) < SAME_MOTION[0] * seen
            # The crown of a tree floats too, but it is too high for what drives.
            height = level.height(contact)[part]
            if height.size and np.quantile(height, 0.95) < MAX_HEIGHT:
                result.append((part, contact, seen))
    return result


def joined(candidates: list[Candidate], focal: float) -> list[Candidate]:
    """Parts that stand side by side at the same distance are one; the nearest come first."""
    result: list[Candidate] = []
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
        if good.mean() < MIN_EDGE:
            continue
        part = np.zeros_like(region)
        part[:, u[inside]] = region[:, u[inside]]
        parts.append((part, float(np.quantile(foot[inside][good], 0.4))))
    return parts
