"""The motion between neighbouring frames, refined by what the frames show.

Recorded poses (GPS and inertial sensors, wheel odometry) err by centimetres and tenths of a
degree from frame to frame: as much as a pixel, and more than matching tolerates. Between
keyframes, rotation and direction of motion are refined by followed corners; the lengths of
successive motions are made consistent with each other, and with the recording in the long run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vista_sim.geometry.settings import MotionRefinement
from vista_sim.geometry.tracks import (
    MotionEstimate,
    Tracks,
    corners,
    estimate_motion,
    follow,
    triangulate,
)
from vista_sim.transforms import Matrix, inverse

Floats = NDArray[np.float64]

_MIN_PARALLAX = 1.0  # px; points that move less say nothing about a ratio of lengths
_RATIO_FLOOR = 0.001  # no ratio of lengths is known better than this
_UNUSUAL = 3.0  # standard deviations
_MIN_MOTION = 0.02  # m; the direction of less cannot be seen
_RIDGE = np.eye(5)  # 1/rad²: keeps what is not seen at all invertible, and is nothing otherwise


@dataclass(frozen=True, eq=False)
class RefinedMotion:
    """Poses whose differences between near frames are refined. They drift over long distances.

    Args:
        poses: (n, 4, 4) T_world_camera; the first as recorded.
        report: how much was moved: medians and maxima, over the motions between keyframes
            that were refined.
    """

    poses: Floats
    report: dict[str, float]


@dataclass(frozen=True, eq=False)
class _Keyframe:
    index: int
    before: Tracks | None  # into the keyframe before
    after: Tracks | None


def refine_motions(
    recorded: Floats,
    stretch: NDArray[np.int64],
    gray: Callable[[int], NDArray[np.uint8]],
    matrix: Matrix,
    settings: MotionRefinement,
    pool: Executor,
    progress: Callable[[float], None] | None = None,
) -> RefinedMotion:
    """Refine the motion of a camera.

    Args:
        recorded: (n, 4, 4) T_world_camera.
        stretch: (n,) number of the gapless stretch of each frame.
        gray: gives the working image of an index.
        matrix: K of the working images.
        pool: where frames are worked on.
        progress: called with the share that is done.
    """
    keys = _keyframes(recorded[:, :3, 3], stretch, settings.keyframe_distance)
    estimates: list[MotionEstimate | None] = []  # from each keyframe to the next
    ratios = np.full((max(len(keys) - 1, 0), 2), np.nan)
    focal = float(matrix[0, 0])
    last: _Keyframe | None = None
    for k, key in enumerate(_followed(keys, stretch, gray, matrix, settings, pool)):
        if last is not None:
            estimates.append(_between(last, key, recorded, focal, settings))
            if k >= 2:
                ratios[k - 2] = _length_ratio(last, estimates[-2], estimates[-1], focal)
        last = key
        if progress is not None:
            progress((k + 1) / len(keys))
    turns = _weighed(estimates, settings)
    scale = _consistent_lengths(len(estimates), ratios, settings)
    return _compose(recorded, stretch, keys, turns, scale)


def _keyframes(positions: Floats, stretch: NDArray[np.int64], distance: float) -> list[int]:
    """Frames at least `distance` apart, and the first and last one of each stretch."""
    keys = [0]
    ends = {int(i) for i in np.flatnonzero(np.diff(stretch))} | {len(stretch) - 1}
    for i in range(1, len(stretch)):
        far = np.linalg.norm(positions[i] - positions[keys[-1]]) >= distance
        if far or i in ends or stretch[i] != stretch[i - 1]:
            keys.append(i)
    return keys


def _followed(
    keys: list[int],
    stretch: NDArray[np.int64],
    gray: Callable[[int], NDArray[np.uint8]],
    matrix: Matrix,
    settings: MotionRefinement,
    pool: Executor,
) -> Iterator[_Keyframe]:
    """Each keyframe with its corners followed into the keyframes beside it, in order."""

    def work(k: int) -> _Keyframe:
        here = gray(keys[k])
        points = corners(here, settings.features)
        tracks: list[Tracks | None] = []
        for other in (k - 1, k + 1):
            near = 0 <= other < len(keys) and stretch[keys[other]] == stretch[keys[k]]
            tracks.append(follow(here, gray(keys[other]), points, matrix) if near else None)
        return _Keyframe(keys[k], *tracks)

    block = 32  # what is followed ahead stays bounded
    for start in range(0, len(keys), block):
        yield from pool.map(work, range(start, min(start + block, len(keys))))


def _between(
    a: _Keyframe, b: _Keyframe, recorded: Floats, focal: float, settings: MotionRefinement
) -> MotionEstimate | None:
    """T_b_a by the corners of both; None across a gap, or where there are too few."""
    if a.after is None or b.before is None:
        return None
    motion: Matrix = inverse(recorded[b.index]) @ recorded[a.index]
    here = np.concatenate([a.after.here, b.before.there])
    there = np.concatenate([a.after.there, b.before.here])
    if len(here) < settings.min_tracks or np.linalg.norm(motion[:3, 3]) < _MIN_MOTION:
        return None
    return estimate_motion(here, there, motion, focal)


def _weighed(
    estimates: list[MotionEstimate | None], settings: MotionRefinement
) -> list[Matrix | None]:
    """Motions corrected as far as the corners are to be trusted more than the recording.

    How much the recording errs is found from the corrections themselves (empirical Bayes):
    their spread beyond that of the measurement is its own. Single errors may be much larger
    than is usual: what is far outside that spread is believed.
    """
    known = [e for e in estimates if e is not None]
    if not known:
        return [None] * len(estimates)
    covariances = np.array(
        [settings.motion_inflation * np.linalg.inv(e.information + _RIDGE) for e in known]
    )
    lengths = np.array([np.linalg.norm(e.recorded[:3, 3]) for e in known])
    scale = np.stack([np.ones_like(lengths)] * 3 + [lengths] * 2, axis=1)  # rad, m
    corrections = np.array([e.correction for e in known]) * scale
    measured = np.diagonal(covariances, axis1=1, axis2=2) * scale**2
    excess = np.median(corrections**2, axis=0) / 0.455 - np.median(measured, axis=0)
    floor = np.array([settings.min_rotation_sigma] * 3 + [settings.min_translation_sigma] * 2)
    trust = np.maximum(excess, floor**2)
    square = corrections**2
    unusual = square**2 / (square + _UNUSUAL**2 * (trust + measured))
    result: list[Matrix | None] = []
    rows = iter(zip(covariances, (trust + unusual) / scale**2, strict=True))
    for estimate in estimates:
        if estimate is None:
            result.append(None)
            continue
        covariance, variance = next(rows)
        prior = np.diag(variance)
        gain = prior @ np.linalg.inv(prior + covariance)
        result.append(estimate.corrected(gain @ estimate.correction))
    return result


def _length_ratio(
    key: _Keyframe, before: MotionEstimate | None, after: MotionEstimate | None, focal: float
) -> tuple[float, float]:
    """How the lengths of two successive motions must change for their depths to agree.

    Returns:
        Log of the factor for the motion after, less that for the motion before, and its
        standard deviation; NaN where nothing can be said.
    """
    if before is None or after is None or key.before is None or key.after is None:
        return np.nan, np.nan
    both = key.before.found & key.after.found
    in_before, in_after = both[key.before.found], both[key.after.found]
    w0, angle0 = triangulate(
        key.before.here[in_before], key.before.there[in_before], inverse(before.corrected())
    )
    w1, angle1 = triangulate(key.after.here[in_after], key.after.there[in_after], after.corrected())
    parallax = np.minimum(angle0, angle1) * focal
    good = (w0 > 0) & (w1 > 0) & (parallax > _MIN_PARALLAX)
    if good.sum() < 20:
        return np.nan, np.nan
    log, weight = np.log(w1[good] / w0[good]), parallax[good] ** 2
    mean = float(np.median(log))
    for _ in range(8):
        sigma = max(1.4826 * float(np.median(np.abs(log - mean))), 1e-4)
        robust = weight / (1.0 + ((log - mean) / (2.0 * sigma)) ** 2)
        mean = float(np.sum(robust * log) / np.sum(robust))
    return mean, sigma / float(np.sqrt(good.sum()))


def _consistent_lengths(count: int, ratios: Floats, settings: MotionRefinement) -> Floats:
    """Factors (k,) for the lengths of the motions.

    Minimizes the errors of the measured ratios of neighbours, and of the factors themselves:
    those with a heavy tail, so that stretches of wrong speed give way to the rest.
    """
    log = np.zeros(count)
    known = np.all(np.isfinite(ratios), axis=1)
    first = np.flatnonzero(known)
    first = first[first < count - 1]
    if first.size == 0:
        return np.ones(count)
    from scipy.linalg import solveh_banded

    variance = settings.length_inflation * ratios[first, 1] ** 2 + _RATIO_FLOOR**2
    # Two lengths err in each ratio.
    spread = np.median((ratios[first, 0] - np.median(ratios[first, 0])) ** 2) / 0.455
    excess = 0.5 * float(spread - np.median(variance))
    sigma = float(np.sqrt(max(excess, settings.min_length_sigma**2)))
    pull = ratios[first, 0] / variance
    for _ in range(60):
        diagonal = 1.0 / sigma**2 / (1.0 + (log / sigma) ** 2)
        right, upper = np.zeros(count), np.zeros(count)
        np.add.at(diagonal, first, 1.0 / variance)
        np.add.at(diagonal, first + 1, 1.0 / variance)
        upper[first + 1] = -1.0 / variance
        np.add.at(right, first, -pull)
        np.add.at(right, first + 1, pull)
        log = solveh_banded(np.stack([upper, diagonal]), right)
    factors: Floats = np.exp(log)
    return factors


def _compose(
    recorded: Floats,
    stretch: NDArray[np.int64],
    keys: list[int],
    motions: list[Matrix | None],
    scale: Floats,
) -> RefinedMotion:
    """Chain the refined motions; frames between keyframes share the correction by distance.

    After a gap the chain starts anew at the recorded pose.
    """
    poses = recorded.copy()
    turns: list[float] = []
    shifts: list[float] = []
    changes: list[float] = []
    for k, motion in enumerate(motions):
        a, b = keys[k], keys[k + 1]
        if stretch[a] != stretch[b]:
            continue
        steps = np.linalg.norm(np.diff(recorded[a : b + 1, :3, 3], axis=0), axis=1)
        share = np.cumsum(steps) / steps.sum() if steps.sum() > 0 else np.zeros(len(steps))
        turn, shift = np.zeros(3), np.zeros(3)
        if motion is not None:
            refined = motion.copy()
            refined[:3, 3] *= scale[k]
            correction = inverse(refined @ inverse(recorded[a]) @ recorded[b])
            turn, shift = cv2.Rodrigues(correction[:3, :3])[0][:, 0], correction[:3, 3]
            turns.append(float(np.degrees(np.linalg.norm(turn))))
            shifts.append(float(np.linalg.norm(shift)))
            changes.append(abs(float(scale[k]) - 1.0))
        for i, f in zip(range(a + 1, b + 1), share, strict=True):
            part = np.eye(4)
            part[:3, :3] = cv2.Rodrigues(turn * f)[0]
            part[:3, 3] = shift * f
            poses[i] = poses[a] @ inverse(recorded[a]) @ recorded[i] @ part
    report = {"keyframes": float(len(keys))}
    for name, values in (("turn_deg", turns), ("shift_m", shifts), ("length_change", changes)):
        report[f"median_{name}"] = float(np.median(values)) if values else 0.0
        report[f"max_{name}"] = max(values, default=0.0)
    return RefinedMotion(poses, report)
