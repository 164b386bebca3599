"""Headings against the direction of motion: a car drives where it looks.

With the vehicle frame at the rear axle the angle between both is the slip of the tires, a few
degrees; with the frame elsewhere on the car it reaches some tens of degrees in hairpins.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vista_sim.traces.checks.finding import Finding, places
from vista_sim.traces.checks.motion import Motion, Window
from vista_sim.traces.checks.spans import merged
from vista_sim.traces.checks.units import EGO, FAST
from vista_sim.traces.sections import MIN_SPEED

Floats = NDArray[np.float64]

SLIP = np.radians(45.0)  # more than any car slips
OFFSET = np.radians(30.0)  # more than a frame elsewhere on the car makes all the time
BEND = 0.6  # rad of a turn that counts
SHARE = 0.2  # of the way that may slip more
FORWARD = 0.1  # of the way that a car drives forward, at least
LEAST_WAY = 10.0  # m of which that can be said
_AXES = "yaw is 0 along the world's x axis and positive to the left"


@dataclass(frozen=True)
class _Course:
    """Of n windows: direction of motion and heading in the middle, rad, way and expected way, m.

    fast: (n,) whether a slow error of the positions cannot turn the direction by much.
    """

    course: Floats
    heading: Floats
    way: Floats
    expected: Floats
    fast: NDArray[np.bool_]

    def agreement(self, phase: Floats) -> tuple[float, float]:
        """How alike angles are, 0 to 1, and their mean."""
        mean = np.sum(self.way * np.exp(1j * phase)) / np.sum(self.way)
        return float(np.abs(mean)), float(np.angle(mean))


def heading_against_motion(motion: Motion) -> list[Finding]:
    """Headings of another convention: compass, NED, degrees, another axis."""
    course = _course(motion)
    if course is None:
        return []
    slip = _wrapped(course.course - course.heading)
    alike, offset = course.agreement(slip)
    share = float(course.way[np.abs(slip) > SLIP].sum() / course.way.sum())
    turn = _turning(course)
    steady = alike > 0.9 and abs(offset) > OFFSET
    against = turn is not None and turn < 0.5
    if not (steady or share > SHARE or against):
        return []
    explained = _explained(course, alike, offset, share, turn)
    return [Finding("heading", "refuse", EGO, *explained)]


def speed_along_wrong_headings(motion: Motion) -> list[Finding]:
    """The speed is what is left of the motion along headings that are off it.

    So are speeds that are made of poses: where those are wrong, the speed is no measure of the
    way, and of another unit only by the looks of it.
    """
    window = motion.window(1.0)
    middle = (window.first + window.last) // 2
    moved = window.distance
    along = np.abs(np.einsum("ij,ij->i", window.moved, motion.forward[middle, :2]))
    turned = np.abs(motion.yaw[window.last] - motion.yaw[window.first])
    good = window.whole & (moved > FAST * window.time) & (moved > 14.0 * motion.noise[0])
    good &= (turned < 1.0) & ~_jumps(motion, window)
    off = good & (along < np.cos(SLIP) * moved) & (np.abs(window.expected - along) < 0.15 * moved)
    if np.count_nonzero(off) < 5 or moved[off].sum() < SHARE * moved[good].sum():
        return []
    way, heading = moved[good], 0.5 * (motion.yaw[window.first] + motion.yaw[window.last])[good]
    direction = np.unwrap(np.arctan2(window.moved[good, 1], window.moved[good, 0]))
    course = _Course(direction, heading, way, way, np.ones(len(way), dtype=bool))
    alike, offset = course.agreement(direction - heading)
    share = float(moved[off].sum() / way.sum())
    explained = _explained(course, alike, offset, share, _turning(course))
    return [Finding("heading", "refuse", EGO, *explained)]


def _jumps(motion: Motion, window: Window) -> NDArray[np.bool_]:
    """(n,) whether a step in a window is far longer than those of the drive, by positions alone."""
    rate = np.linalg.norm(np.diff(motion.position, axis=0), axis=1) / motion.dt
    usual = float(np.median(rate[rate > FAST])) if np.any(rate > FAST) else np.inf
    count = np.concatenate([[0], np.cumsum(rate > 3.0 * usual)])
    return np.asarray(count[window.last] > count[window.first])


def in_reverse(motion: Motion) -> list[Finding]:
    """By the sign of its speed the car hardly ever drives forward."""
    way = 0.5 * np.abs(motion.speed[1:] + motion.speed[:-1]) * motion.dt
    back = motion.speed[1:] + motion.speed[:-1] < 0
    share = float(way[back].sum() / max(way.sum(), 1e-9))
    if share < 1 - FORWARD or way.sum() < LEAST_WAY or motion.speed.min() > -MIN_SPEED:
        return []
    text = f"the car drives in reverse on {100 * share:.0f} % of its way"
    remedy = (
        "nothing of that is driven (are poses camera-to-world, and headings those of the "
        "direction of motion?)"
    )
    return [Finding("in-reverse", "warn", EGO, text, remedy)]


def reversing(motion: Motion) -> list[Finding]:
    """The car moves backwards faster than is driven, while its speed is positive."""
    runs = np.flatnonzero(np.diff(np.concatenate([[0], motion.backward.astype(int), [0]])))
    first, last = runs[::2], runs[1::2] - 1
    fast = [motion.speed[a : b + 1].max() > MIN_SPEED for a, b in zip(first, last, strict=True)]
    if not any(fast):
        return []
    spans = merged(motion.t[first[fast]], motion.t[last[fast]])
    text = f"the car moves backwards with a positive speed {places(spans)}"
    remedy = "speed must be negative there; what is reversed is not driven"
    return [Finding("reversing", "cut", EGO, text, remedy, spans)]


def _course(motion: Motion) -> _Course | None:
    """Directions of motion where they can be told; None if too few can."""
    least = max(3.0, 20.0 * float(motion.noise[0]))
    for seconds in (1.0, 2.0, 4.0):
        window = motion.window(seconds)
        stride = int(window.last[0] - window.first[0])
        # Neither a standing car, nor one that goes to and fro within the window.
        good = window.sound & (window.distance > least)
        good &= window.distance > 0.7 * window.expected
        good &= window.distance < 2.0 * window.expected
        good &= window.expected > 1.5 * window.time
        if np.count_nonzero(good) >= 5 and window.distance[good].sum() / stride >= 10.0:
            return _measured(motion, window, good)
    return None


def _measured(motion: Motion, window: Window, good: NDArray[np.bool_]) -> _Course | None:
    middle = (window.first + window.last) // 2
    speed = motion.speed[middle]
    direction = np.where(speed < 0, -1.0, 1.0)[:, None] * window.moved
    course = np.arctan2(direction[:, 1], direction[:, 0])
    heading = 0.5 * (motion.yaw[window.first] + motion.yaw[window.last])
    # Moving backwards with a positive speed is a matter of `reversing`, unless it is the rule.
    back = good & (np.abs(_wrapped(course - heading)) > np.pi - SLIP)
    if window.distance[back].sum() < 0.5 * window.distance[good].sum():
        good = good & ~back
    way, expected = window.distance[good], window.expected[good]
    fast = (expected > FAST * window.time[good]) & (way > max(5.0, 25.0 * motion.noise[0]))
    return _Course(np.unwrap(course[good]), heading[good], way, expected, fast)


def _turning(course: _Course) -> float | None:
    """Turn of the headings over turn of the motion; None where the drive hardly turns."""
    lag = max(1, min(len(course.course) // 6, 50))
    moved = _wrapped(course.course[lag:] - course.course[:-lag])
    turned = _wrapped(course.heading[lag:] - course.heading[:-lag])
    # A jump to the side that makes such a bend makes the way at least 6 % longer too.
    longer = course.way > 1.06 * course.expected * np.median(course.way / course.expected)
    sure = course.fast & ~longer
    bends = (np.abs(moved) > BEND) & sure[lag:] & sure[:-lag]
    if np.count_nonzero(bends) < 10:
        return None
    return float(np.median(turned[bends] / moved[bends]))


def _explained(
    course: _Course, alike: float, offset: float, share: float, turn: float | None
) -> tuple[str, str]:
    """What is wrong, and which convention explains it best."""
    mirrored, _ = course.agreement(course.course + course.heading)
    degrees, _ = course.agreement(np.degrees(course.course) - course.heading)
    if degrees > max(alike + 0.05, mirrored, 0.7):  # on a straight road all agree
        text = f"headings are off the direction of motion on {100 * share:.0f} % of the way"
        return text, f"{_AXES} (are they degrees that were taken for radians?)"
    if turn is not None and abs(turn) < 0.3:
        return "headings hardly turn where the car does", f"{_AXES} (are they recorded at all?)"
    if alike >= max(mirrored, degrees, 0.7) - 0.05 and abs(offset) > OFFSET:
        text = f"headings are {abs(np.degrees(offset)):.0f} degrees off the direction of motion"
        if abs(offset) > np.radians(150.0):
            return text, f"{_AXES}; or speed must be negative where the car reverses"
        return text, f"{_AXES} (are they compass angles, or of NED or camera axes?)"
    text = f"headings are off the direction of motion on {100 * share:.0f} % of the way"
    if mirrored > 0.7:
        text = "headings turn against the motion"
        return text, f"{_AXES} (are they compass or NED angles, positive clockwise?)"
    return text, f"{_AXES} (are they in degrees, compass, or of another sensor?)"


def _wrapped(angle: Floats) -> Floats:
    result: Floats = (angle + np.pi) % (2 * np.pi) - np.pi
    return result
