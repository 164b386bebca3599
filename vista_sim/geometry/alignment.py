"""Bring a model's inverse depth to metres: the scale and shift that fit what the motion shows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vista_sim.geometry.ground import ground_inverse_depth
from vista_sim.geometry.source import BakeContext
from vista_sim.geometry.tracks import corners, follow, triangulate
from vista_sim.transforms import inverse

Floats = NDArray[np.float64]

MIN_POINTS = 20
_TOLERANCE = (0.05, 0.003)  # share and 1/m of the reference at which a residual counts a quarter
_PAIRS = 200  # of points that propose a scale and a shift
_ITERATIONS = 20
_MIN_INLIERS = 0.3  # share of the points

_CORNERS = 400
_WITNESSES = 3  # neighbours into which corners are followed
_MIN_PARALLAX = 1.5  # px
_AGREEMENT = (0.04, 0.003)  # share and 1/m by which witnesses of a point may differ
_GROUND_SEEN = (0.03, 0.3)  # 1/m; ground within is looked at
_GROUND_POINTS = 600


@dataclass(frozen=True)
class Fit:
    """reference = scale * value + shift.

    Args:
        scale, shift: 1/m per unit of the values, and 1/m.
        inliers: share of the points that agree.
        points: how many there were.
    """

    scale: float
    shift: float
    inliers: float
    points: int


def fit_scale_and_shift(values: Floats, reference: Floats, shift: bool = True) -> Fit | None:
    """Fit values to reference inverse depth, though up to half of the points be wrong.

    Pairs of points propose (RANSAC, Fischler and Bolles 1981, judged by the truncated square
    as in MSAC, Torr and Zisserman 2000); the best proposal is refined by reweighted least
    squares with the weights of Geman and McClure.

    Args:
        values: (n,) of a model, any unit, growing with inverse depth.
        reference: (n,) inverse depth, 1/m.
        shift: whether there is one; else the values are thought to be proportional.

    Returns:
        None where there are too few points, or where too few agree.
    """
    values, reference = np.asarray(values, np.float64), np.asarray(reference, np.float64)
    count = len(values)
    if count < MIN_POINTS or not np.ptp(values) > 0:
        return None
    share, floor = _TOLERANCE
    tolerance = share * np.abs(reference) + floor
    first, second = np.random.default_rng(count).integers(0, count, (2, _PAIRS))
    with np.errstate(divide="ignore", invalid="ignore"):
        if shift:
            scales = (reference[first] - reference[second]) / (values[first] - values[second])
            shifts = reference[first] - scales * values[first]
        else:
            scales = reference[first] / values[first]
            shifts = np.zeros(_PAIRS)
    usable = np.isfinite(scales) & np.isfinite(shifts) & (scales > 0)
    if not usable.any():
        return None
    scales, shifts = scales[usable], shifts[usable]
    residual = (scales[:, None] * values + shifts[:, None] - reference) / tolerance
    best = int(np.argmin(np.minimum(residual**2, 1.0).sum(axis=1)))
    a, b = float(scales[best]), float(shifts[best])
    for _ in range(_ITERATIONS):
        weight = 1.0 / (1.0 + ((a * values + b - reference) / tolerance) ** 2) ** 2 / tolerance**2
        mean_v = float(np.average(values, weights=weight)) if shift else 0.0
        mean_r = float(np.average(reference, weights=weight)) if shift else 0.0
        v, r = values - mean_v, reference - mean_r
        power = float((weight * v * v).sum())
        if not power > 0:
            return None
        a = float((weight * v * r).sum()) / power
        b = mean_r - a * mean_v
    inliers = float((np.abs(a * values + b - reference) < 2.0 * tolerance).mean())
    if not a > 0 or inliers < _MIN_INLIERS:
        return None
    return Fit(a, b, inliers, count)


def smoothed(
    scales: Floats,
    shifts: Floats,
    weights: Floats,
    times: Floats,
    index: int,
    interval: float,
) -> tuple[float, float] | None:
    """Scale and shift of a frame from its own fit and those around it, so that nothing flickers.

    Fits fall off with time; where the frame has none, the nearest decide.

    Args:
        scales, shifts, weights: (n,) of all frames; a weight of 0 where there is no fit.
        times: (n,) s.
        interval: s at which a fit counts a quarter.

    Returns:
        None where no frame has a fit.
    """
    have = weights > 0
    if not have.any():
        return None
    apart = (times[have] - times[index]) / interval
    weight = weights[have] / (1.0 + apart**2) ** 2
    scale = np.exp(np.average(np.log(scales[have]), weights=weight))
    return float(scale), float(np.average(shifts[have], weights=weight))


class SparseReference:
    """Inverse depth of single points of frames: corners followed into neighbouring frames."""

    def __init__(self, context: BakeContext) -> None:
        self._context = context
        camera = context.frames.camera
        self._matrix = camera.matrix
        self._ground = ground_inverse_depth(camera.lens, context.mount)

    def points(self, index: int) -> tuple[NDArray[np.int64], Floats]:
        """Pixels (n, 2) as (u, v) of the working image and their inverse depth (n,), 1/m.

        A point counts where it moves far enough, and where all neighbours that show it agree
        about it. None where the car does not move.
        """
        context = self._context
        neighbours = context.neighbours[index]
        gray = context.frames[index].gray
        start = corners(gray, _CORNERS)
        if not neighbours or not len(start):
            return np.zeros((0, 2), np.int64), np.zeros(0)
        spread = np.linspace(0, len(neighbours) - 1, min(_WITNESSES, len(neighbours)))
        found = np.full((len(spread), len(start)), np.nan)
        for row, k in enumerate(spread.round().astype(int)):
            j = neighbours[k]
            tracks = follow(gray, context.frames[j].gray, start, self._matrix)
            motion = inverse(context.poses[j]) @ context.poses[index]
            depth, parallax = triangulate(tracks.here, tracks.there, motion)
            depth[np.abs(parallax) * self._matrix[0, 0] < _MIN_PARALLAX] = np.nan
            found[row, tracks.found] = depth
        seen = np.isfinite(found).sum(axis=0)
        enough = seen >= min(2, len(spread))
        found, pixels = found[:, enough], start[enough, 0]
        middle = np.nanmedian(found, axis=0) if found.size else np.zeros(0)
        share, floor = _AGREEMENT
        apart = np.nanmax(np.abs(found - middle), axis=0) if found.size else np.zeros(0)
        good = (middle > 0) & (apart < share * middle + floor)
        return np.round(pixels[good]).astype(np.int64), middle[good]

    def ground(self) -> tuple[NDArray[np.int64], Floats]:
        """The same of flat ground, in front of a car that never moved."""
        low, high = _GROUND_SEEN
        v, u = np.nonzero((self._ground > low) & (self._ground < high))
        some = np.linspace(0, len(v) - 1, min(_GROUND_POINTS, len(v))).round().astype(int)
        pixels = np.stack([u[some], v[some]], axis=1).astype(np.int64)
        return pixels, self._ground[pixels[:, 1], pixels[:, 0]].astype(np.float64)
