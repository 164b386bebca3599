"""Bring a model's inverse depth to metres: the scale and shift that fit what the motion shows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vista_sim.geometry.ground import ground_inverse_depth
from vista_sim.geometry.neighbours import stretches
from vista_sim.geometry.source import BakeContext
from vista_sim.geometry.tracks import corners, follow, triangulate
from vista_sim.transforms import inverse

Floats = NDArray[np.float64]

MIN_POINTS = 20
_TOLERANCE = (0.03, 0.001)  # share and 1/m by which a model may err, beside the reference
_PAIRS = 200  # of points that propose a scale and a shift
_ITERATIONS = 20
_MIN_INLIERS = 0.3  # share of the points

_CORNERS = 400
_WITNESSES = 3  # neighbours into which corners are followed
_TRACKING_ERROR = 0.4  # px, of a followed corner
_AGREEMENT = 2.5  # standard deviations by which witnesses of a point may differ
_WORST_SIGMA = 0.05  # 1/m; what is known less well is left out
_ROAD_FRAMES = 100  # later frames that are looked at
_ROAD_REACH = (2.0, 30.0)  # m in front of the camera
_WHEELS = (-0.75, 0.0, 0.75)  # m to the left
_ROAD_SIGMA = (0.03, 0.001)  # share and 1/m, of the road under the later car
_ONWARD = 15  # m that the road goes straight on after the last frame
_ONWARD_SIGMA = (0.05, 0.002)  # the same of that
_GROUND_SEEN = (0.03, 0.3)  # 1/m; ground within is looked at
_GROUND_POINTS = 600
_GROUND_SLOPE = 0.05  # share by which real ground differs from flat


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


def fit_scale_and_shift(
    values: Floats,
    reference: Floats,
    sigma: Floats,
    vagueness: Floats | None = None,
    shift: bool = True,
) -> Fit | None:
    """Fit values to reference inverse depth, though up to half of the points be wrong.

    Pairs of points propose (RANSAC, Fischler and Bolles 1981, judged by the truncated square
    as in MSAC, Torr and Zisserman 2000); the best proposal is refined by reweighted least
    squares with the weights of Geman and McClure. A residual is measured in what the reference
    and the model may err by; the latter goes by the fitted value, because going by the
    reference would favour points that err to the low side.

    Args:
        values: (n,) of a model, any unit, growing with inverse depth.
        reference, sigma: (n,) inverse depth and its standard deviation, 1/m.
        vagueness: (n,) by which a value may be that of another place, as beside an edge.
        shift: whether there is one; else the values are thought to be proportional.

    Returns:
        None where there are too few points, or where too few agree.
    """
    values, reference = np.asarray(values, np.float64), np.asarray(reference, np.float64)
    variance = np.asarray(sigma, np.float64) ** 2 + _TOLERANCE[1] ** 2
    count = len(values)
    if count < MIN_POINTS or not np.ptp(values) > 0:
        return None

    vague = np.zeros(count) if vagueness is None else np.asarray(vagueness, np.float64)

    def tolerance(fitted: Floats, scale: Floats | float) -> Floats:
        result: Floats = np.sqrt(variance + (_TOLERANCE[0] * fitted) ** 2 + (scale * vague) ** 2)
        return result

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
    fitted = scales[:, None] * values + shifts[:, None]
    squares = ((fitted - reference) / tolerance(fitted, scales[:, None])) ** 2
    best = int(np.argmin(np.minimum(squares, 4.0).sum(axis=1)))
    a, b = float(scales[best]), float(shifts[best])
    for _ in range(_ITERATIONS):
        fitted = a * values + b
        spread = tolerance(fitted, a)
        weight = 1.0 / (1.0 + ((fitted - reference) / (2.0 * spread)) ** 2) ** 2 / spread**2
        mean_v = float(np.average(values, weights=weight)) if shift else 0.0
        mean_r = float(np.average(reference, weights=weight)) if shift else 0.0
        v, r = values - mean_v, reference - mean_r
        power = float((weight * v * v).sum())
        if not power > 0:
            return None
        a = float((weight * v * r).sum()) / power
        b = mean_r - a * mean_v
    fitted = a * values + b
    inliers = float((np.abs(fitted - reference) < 2.5 * tolerance(fitted, a)).mean())
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


@dataclass(frozen=True, eq=False)
class Points:
    """Points of a working image whose inverse depth is known.

    Args:
        pixels: (n, 2) as (u, v).
        inverse_depth, sigma: (n,) and its standard deviation, 1/m.
    """

    pixels: NDArray[np.int64]
    inverse_depth: Floats
    sigma: Floats


def _together(a: Points, b: Points) -> Points:
    return Points(
        np.concatenate([a.pixels, b.pixels]),
        np.concatenate([a.inverse_depth, b.inverse_depth]),
        np.concatenate([a.sigma, b.sigma]),
    )


class SparseReference:
    """Inverse depth of single points of frames, from the motion alone.

    Corners are followed into neighbouring frames; and the road that the car drives over in
    later frames is where its wheels will be, unless something stands there now.
    """

    def __init__(self, context: BakeContext) -> None:
        self._context = context
        times = np.asarray(context.recorded.t, dtype=np.float64)
        self._stretch = stretches(context.trace, times)
        self._vehicles = context.poses @ inverse(context.mount)
        camera = context.frames.camera
        self._matrix = camera.matrix
        self._ground = ground_inverse_depth(camera.lens, context.mount)

    def points(self, index: int) -> Points:
        """All points of a frame; none where the car never moves."""
        return _together(self.corners(index), self.road(index))

    def corners(self, index: int) -> Points:
        """Corners that the motion shows, where all neighbours that show one agree about it."""
        context = self._context
        neighbours = context.neighbours[index]
        gray = context.frames[index].gray
        start = corners(gray, _CORNERS)
        if not neighbours or not len(start):
            return Points(np.zeros((0, 2), np.int64), np.zeros(0), np.zeros(0))
        spread = np.linspace(0, len(neighbours) - 1, min(_WITNESSES, len(neighbours)))
        found = np.zeros((len(spread), len(start)))
        weight = np.zeros((len(spread), len(start)))  # 1 / variance
        for row, k in enumerate(spread.round().astype(int)):
            j = neighbours[k]
            tracks = follow(gray, context.frames[j].gray, start, self._matrix)
            motion = inverse(context.poses[j]) @ context.poses[index]
            depth, parallax = triangulate(tracks.here, tracks.there, motion)
            # What an error along the epipolar line does to inverse depth, wherever the corner
            # was found: going by the parallax it shows would favour what errs to the near side.
            with np.errstate(divide="ignore", invalid="ignore"):
                angle = np.nan_to_num(parallax / depth)
            found[row, tracks.found] = depth
            weight[row, tracks.found] = (angle * self._matrix[0, 0] / _TRACKING_ERROR) ** 2
        total = weight.sum(axis=0)
        mean = (weight * found).sum(axis=0) / np.maximum(total, 1e-12)
        apart = np.abs(found - mean) * np.sqrt(weight)
        sigma = 1.0 / np.sqrt(np.maximum(total, 1e-12))
        witnesses = (weight > 0).sum(axis=0)
        good = (witnesses >= min(2, len(spread))) & (sigma < _WORST_SIGMA)
        good &= (apart < _AGREEMENT).all(axis=0)
        pixels = np.round(start[good, 0]).astype(np.int64)
        return Points(pixels, mean[good], sigma[good])

    def road(self, index: int) -> Points:
        """Where the wheels will be in later frames: points of the ground.

        Where the drive ends before, the road is thought to go straight on, less surely.
        """
        ahead = np.arange(index + 1, min(index + 1 + _ROAD_FRAMES, len(self._stretch)))
        ahead = ahead[self._stretch[ahead] == self._stretch[index]]
        camera = inverse(self._context.poses[index])
        known = self._under(camera @ self._vehicles[ahead], _ROAD_SIGMA)
        if not self._context.neighbours[index]:
            return known  # it stands: what is in front of it may be a car
        last = int(ahead[-1]) if len(ahead) else index
        onward = np.tile(np.eye(4), (_ONWARD, 1, 1))
        onward[:, 0, 3] = np.arange(1, _ONWARD + 1)
        beyond = self._under(camera @ self._vehicles[last] @ onward, _ONWARD_SIGMA)
        return _together(known, beyond)

    def _under(self, vehicles: Floats, sigma: tuple[float, float]) -> Points:
        """Points of the ground under vehicles (n, 4, 4) in the frame of a camera."""
        lateral = np.array([[0.0, y, 0.0, 1.0] for y in _WHEELS])
        points = (vehicles[:, None] @ lateral[None, :, :, None])[..., :3, 0].reshape(-1, 3)
        near, far = _ROAD_REACH
        points = points[(points[:, 2] > near) & (points[:, 2] < far)]
        lens = self._context.frames.camera.lens
        pixels = np.round(lens.project(points)).astype(np.int64)
        inside = ((pixels >= 0) & (pixels < [lens.size[1], lens.size[0]])).all(axis=1)
        values = 1.0 / points[inside, 2]
        return Points(pixels[inside], values, sigma[0] * values + sigma[1])

    def ground(self) -> Points:
        """The same of flat ground, in front of a car that never moved."""
        low, high = _GROUND_SEEN
        v, u = np.nonzero((self._ground > low) & (self._ground < high))
        some = np.linspace(0, len(v) - 1, min(_GROUND_POINTS, len(v))).round().astype(int)
        pixels = np.stack([u[some], v[some]], axis=1).astype(np.int64)
        values = self._ground[pixels[:, 1], pixels[:, 0]].astype(np.float64)
        return Points(pixels, values, _GROUND_SLOPE * values)
