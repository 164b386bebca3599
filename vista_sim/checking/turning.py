"""How the frames turn, and gain speed, against how the poses do.

What is told by it: late videos, mirrored axes, wrong focal lengths.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation, Slerp

from vista_sim.checking.estimate import Estimate, of_groups, unknown
from vista_sim.checking.pairs import Pair, turn_of
from vista_sim.geometry.tracks import estimate_motion
from vista_sim.traces.trace import Trace
from vista_sim.transforms import Matrix

Floats = NDArray[np.float64]

REACH, STEP = 1.5, 0.02  # s to each side in which an offset is looked for
ELSEWHERE = 0.4  # s from the best offset, where none must fit about as well
LEAST_PAIRS = 25
LEAST_TURN = math.radians(30.0)  # of bends, in all pairs together, that tell a focal length
BEND = math.radians(4.0)  # rad/s
_LEAD = 8.0  # by which the log-likelihood of the best offset exceeds that of others
_LEAST_WAY, _LEAST_SHARE = 0.02, 0.01  # m, and of a way
_LEAST_SPREAD = math.radians(0.005)  # no turn is seen better
_MOST_BENDS = 80  # pairs in bends
_MIRRORED = np.array([-1.0, 1.0, -1.0])  # rotation vectors where y points the other way
_MIRROR_LEAD = 20.0
_WORST = 0.08  # s


@dataclass(frozen=True)
class Turning:
    """What turning says.

    late: s by which the video is late. mirrored: whether poses turn right where frames turn left;
    None where that cannot be told.
    """

    late: Estimate
    mirrored: bool | None


class Turns:
    """Turns of the frames of one camera, beside those of the poses at any offset.

    Args:
        pairs: (n) with `seen`.
        mount: T_vehicle_camera (4, 4).
        ways: (n,) lengths of way, in an unknown unit, by the road in the frames; NaN where it is
            not seen.
    """

    def __init__(
        self, trace: Trace, pairs: Sequence[Pair], mount: Matrix, ways: Floats | None = None
    ) -> None:
        self.pairs = pairs
        self.ways = np.full(len(pairs), np.nan) if ways is None else ways
        self._ego = trace.ego
        self.blocks = np.array([pair.block for pair in pairs], dtype=np.int64)
        self._start = np.array([pair.start for pair in pairs])
        self._end = np.array([pair.end for pair in pairs])
        seen = np.array([pair.turn for pair in pairs]).reshape(-1, 3)
        self.seen: Floats = seen @ mount[:3, :3].T  # in the axes of the vehicle
        self._attitude = Slerp(trace.ego.t, Rotation.from_quat(trace.ego.quaternion))
        self._last = trace.duration

    def recorded(self, late: float) -> Floats:
        """(n, 3) rotation vectors (rad) by the poses, if the video is so late; NaN outside."""
        start, end = self._start - late, self._end - late
        inside = (start >= 0) & (end <= self._last)
        turns = np.full((len(start), 3), np.nan)
        if inside.any():
            before, after = self._attitude(start[inside]), self._attitude(end[inside])
            turns[inside] = (before.inv() * after).as_rotvec()
        return turns

    def recorded_way(self, late: float) -> Floats:
        """(n,) m between the frames by the poses, if the video is so late; NaN outside."""
        start, end = self._start - late, self._end - late
        inside = (start >= 0) & (end <= self._last)
        ends = [
            np.stack([np.interp(t, self._ego.t, axis) for axis in self._ego.position.T], axis=1)
            for t in (start, end)
        ]
        return np.where(inside, np.linalg.norm(ends[1] - ends[0], axis=1), np.nan)

    def slowing(self, late: float) -> Floats:
        """(n,) by which share ways of the poses are longer than those of the frames, to a constant.

        In logarithms; NaN where one of both is not known.
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.log(np.maximum(self.recorded_way(late), _LEAST_WAY) / self.ways)
        known = np.isfinite(share)
        return np.where(known, share - np.median(share[known]), np.nan) if known.any() else share


def turning(turns: Turns) -> Turning:
    """By how much the video is late, and whether an axis is mirrored."""
    few = unknown("too few pairs of frames show how the camera turns", len(turns.pairs))
    if len(turns.pairs) < LEAST_PAIRS:
        return Turning(few, None)
    offsets = np.arange(-REACH, REACH + STEP / 2, STEP)
    recorded = np.array([turns.recorded(late) for late in offsets])  # (offsets, n, 3)
    whole = np.isfinite(recorded).all(axis=2)
    enough = whole.sum(axis=1) >= max(LEAST_PAIRS, 0.5 * len(turns.pairs))
    if not enough.any():
        return Turning(few, None)
    offsets, recorded, whole = offsets[enough], recorded[enough], whole[enough]
    as_is = turns.seen[None] - recorded
    turned = turns.seen[None] - recorded * _MIRRORED
    everything = np.ones(len(turns.pairs), dtype=bool)
    # What is explained best has the smallest residuals, which are what is to be expected.
    spread = np.min([np.min([_spread(r) for r in s], axis=0) for s in (as_is, turned)], axis=0)
    # A change of speed shows an offset where nothing turns; it is the same in a mirror.
    slower = np.array([turns.slowing(late) for late in offsets])[:, :, None]
    known = np.isfinite(slower[..., 0])
    slower = np.nan_to_num(slower)
    least = np.array([_LEAST_SHARE])
    doubt = np.maximum(
        np.min([_spread(s[k]) for s, k in zip(slower, known, strict=True)], axis=0), least
    )
    as_is, turned = np.nan_to_num(as_is), np.nan_to_num(turned)

    def likelihood_of(residual: Floats, kept: NDArray[np.bool_]) -> Floats:
        turning = _likelihood(residual, whole, spread, kept)
        return turning + _likelihood(slower, known, doubt, kept)

    straight, mirror = (likelihood_of(r, everything) for r in (as_is, turned))
    mirrored = _told_mirrored(straight.max(), mirror.max())
    residual = turned if mirrored else as_is
    likelihood = mirror if mirrored else straight
    best = float(offsets[int(np.argmax(likelihood))])
    others = likelihood[np.abs(offsets - best) > ELSEWHERE]
    if not len(others) or likelihood.max() - others.max() < _LEAD:
        return Turning(unknown("the drive turns too evenly", len(turns.pairs)), mirrored)

    def peak(kept: NDArray[np.bool_]) -> float:
        return _peak(offsets, likelihood_of(residual, kept))

    late, sigma = of_groups(len(turns.pairs), turns.blocks, peak)
    if sigma > _WORST:
        return Turning(unknown("parts of the drive say different things", 0), mirrored)
    if abs(late) > REACH - 2 * STEP:
        return Turning(unknown(f"it may be over {REACH} s", 0), mirrored)
    return Turning(Estimate(late, sigma, len(turns.pairs)), mirrored)


def _told_mirrored(straight: float, mirror: float) -> bool | None:
    """Whether one of two log-likelihoods is by far the better."""
    if abs(mirror - straight) < _MIRROR_LEAD:
        return None
    return bool(mirror > straight)


def _spread(residual: Floats) -> Floats:
    """(k,) robust deviation of residuals (n, k), axis by axis."""
    known = np.isfinite(residual).all(axis=1)
    if np.count_nonzero(known) < LEAST_PAIRS // 2:
        return np.full(residual.shape[1], np.inf)
    spread = 1.4826 * np.median(np.abs(residual[known]), axis=0)
    return np.asarray(np.maximum(spread, _LEAST_SPREAD))


def _likelihood(
    residual: Floats, whole: NDArray[np.bool_], spread: Floats, kept: NDArray[np.bool_]
) -> Floats:
    """(offsets,) log-likelihood of residuals (offsets, n, k) with heavy tails (Student, 3)."""
    each = -2.0 * np.log1p((residual / spread) ** 2 / 3.0).sum(axis=2)
    good = whole & kept
    # By the mean: other offsets see other pairs. Half: neighbours are not independent.
    mean = np.where(good, each, 0.0).sum(axis=1) / np.maximum(good.sum(axis=1), 1)
    return np.asarray(0.5 * good.sum(axis=1).max() * mean)


def _peak(offsets: Floats, likelihood: Floats) -> float:
    """Where a parabola through the best offset and those beside it is highest."""
    best = int(np.argmax(likelihood))
    near = slice(max(best - 3, 0), best + 4)
    if len(offsets[near]) < 5:
        return float(offsets[best])
    a, b, _ = np.polyfit(offsets[near] - offsets[best], likelihood[near], 2)
    if not a < 0:
        return float(offsets[best])
    return float(offsets[best] + np.clip(-b / (2 * a), -3 * STEP, 3 * STEP))


def focal_length(turns: Turns, mount: Matrix, late: float, focal: float) -> Estimate:
    """By which share the focal length is too long: bends look less than they are.

    The turn that frames show goes down with the focal length that is thought of; the right one is
    where frames turn as much as the poses.

    Args:
        focal: px, of the working images.
    """
    recorded = turns.recorded(late)
    seconds = np.array([pair.end - pair.start for pair in turns.pairs])
    rate = np.abs(recorded[:, 2]) / seconds
    chosen = np.flatnonzero(np.isfinite(rate) & (rate > BEND))
    total = float(np.abs(recorded[chosen, 2]).sum())
    if total < LEAST_TURN or len(chosen) < LEAST_PAIRS // 2:
        return unknown(f"only {math.degrees(total):.0f} degrees of bends", len(chosen))
    if len(chosen) > _MOST_BENDS:
        chosen = chosen[np.linspace(0, len(chosen) - 1, _MOST_BENDS).round().astype(int)]
    up = mount[2, :3]
    shares = np.array([0.92, 1.0, 1.08])
    turned = np.empty((len(shares), len(chosen)))
    for place, row in enumerate(chosen.tolist()):
        pair = turns.pairs[row]
        assert pair.seen is not None
        for k, share in enumerate(shares.tolist()):
            scale = np.array([1 / share, 1 / share, 1.0])
            here, there = pair.here * scale, pair.there * scale
            motion = estimate_motion(here, there, pair.seen, focal * share).corrected()
            turned[k, place] = turn_of(motion) @ up
    truth = recorded[chosen, 2]

    def right(kept: NDArray[np.bool_]) -> float:
        ratios = [_slope(truth[kept], values[kept]) for values in turned]
        line = np.polyfit(ratios, np.log(shares), 2)
        return float(np.exp(np.polyval(line, 1.0)))

    share, sigma = of_groups(len(chosen), turns.blocks[chosen], right)
    return Estimate(1.0 / share - 1.0, sigma, len(chosen))


def _slope(x: Floats, y: Floats) -> float:
    """Robust slope of a line y = slope x through the origin."""
    good = np.isfinite(x) & np.isfinite(y)
    x, y = x[good], y[good]
    slope = float(np.median(y / x)) if len(x) else 1.0
    for _ in range(10):
        residual = y - slope * x
        spread = max(1.4826 * float(np.median(np.abs(residual))), 1e-6)
        weight = 1.0 / (1.0 + (residual / (2 * spread)) ** 2)
        slope = float(np.sum(weight * x * y) / np.sum(weight * x * x))
    return slope
