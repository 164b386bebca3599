"""Whether a position log contradicts itself: its columns against the way of its positions.

A column in another unit, or of another convention, would bend the path to what it says. Over ways
long enough that the positions' noise counts for little, each is compared with them.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vista_sim.errors import TraceError
from vista_sim.traces.importers.log_path import LogPath
from vista_sim.traces.importers.logs.csv_log import FACTORS, unit_of
from vista_sim.traces.importers.motion_evidence import Measured
from vista_sim.traces.importers.planar_motion import PlanarMotion
from vista_sim.traces.importers.recording import Floats
from vista_sim.traces.importers.rough_motion import TOP_SPEED, reachable

logger = logging.getLogger(__name__)

USED = ("speed", "course", "yaw_rate")
_CLEAR = 8.0  # sigmas of a fix that a way is long, to be compared
_LONGEST = 30.0  # s that it may take
_LEAST = 4  # ways
_STEP = 0.5  # s from one way to the next, at least
_SPEED = (0.7, 1.4)  # of the positions' way that speeds may add up to; bends shorten it
_HEADING = math.radians(25.0)
_ALIKE = math.radians(15.0)  # of a heading that is read otherwise, to be proposed
_YAW_RATE = (0.6, 1.6)
_SURE = 4.0  # sigmas
_WRAPS = 2.0  # rad; ways that turn more may have turned the other way round
_LEFT = 0.7  # share of the positions that must be believed
_JUMP = 100.0  # m that positions may be off for a while and come back
_ERROR = 15.0  # m that positions may err by, if that is also
_EXCESS = 5.0  # times what they say of themselves


def checked_path(path: LogPath, names: Sequence[str] = USED) -> LogPath:
    """A log as evidence whose columns agree with its positions.

    What does not agree is refused where a column can be renamed, and else left out, which is said.
    Of others than those named (`USED`) nothing is asked. Raises TraceError.
    """
    if len(path.position) < 2:
        return path
    _check_positions(path)
    checks = {"speed": _speed, "course": _course, "yaw_rate": _yaw_rate}
    for name, check in ((name, checks[name]) for name in names):
        wrong = check(replace(path, position=_means(path.position)))
        if not wrong:
            continue
        title = path.log.titles.get(name)
        if title is not None:
            text = f"column {title.column!r}, read as {title.name} in {title.unit},"
            raise TraceError(f"{path.log.path}: {text} {wrong}")
        text = f"its {name.replace('_', ' ')}"
        logger.warning("%s: %s %s; it is not used", path.log.path, text, wrong.split(";")[0])
        nothing: Any = Measured(np.zeros(0), np.zeros(0), np.zeros(0))
        path = replace(path, **{name: nothing})
    return path


def check_fit(path: LogPath, planar: PlanarMotion) -> None:
    """Raise TraceError where a motion passes by the positions that it is of."""
    t = path.position.t
    inside = (t >= planar.t[0]) & (t <= planar.t[-1])
    if inside.sum() < 8:
        return
    wrong = planar.outliers & inside
    used = [path.log.titles.get(name) for name in USED]
    columns = ", ".join(title.column for title in used if title is not None)
    remedy = f"; are its columns right ({columns})?" if columns else "; cut or mend the log"
    if wrong.sum() > (1.0 - _LEFT) * inside.sum():
        raise TraceError(
            f"{path.log.path}: {wrong.sum()} of {inside.sum()} positions during the video do not "
            f"fit the rest of it (from {t[wrong][0]:.1f} s after the first row on){remedy}"
        )
    error = planar.noise * float(np.median(path.position.std[inside]))
    if planar.noise > _EXCESS and error > _ERROR:
        raise TraceError(
            f"{path.log.path}: positions err by {error:.0f} m against the rest of the log{remedy}"
        )


def _check_positions(path: LogPath) -> None:
    """Refuse positions that no car can have."""
    t, xy = path.position.t, path.position.value
    step, took = np.linalg.norm(np.diff(xy, axis=0), axis=1), np.diff(t)
    second = np.searchsorted(t, t + 1.0)  # the first row a second later
    start = np.flatnonzero(second < len(t))
    end = second[start]
    pace = np.linalg.norm(xy[end] - xy[start], axis=1) / (t[end] - t[start])
    if len(pace) and (fast := float(np.median(pace))) > TOP_SPEED:
        title = path.log.titles.get("x")
        units = f"{title.unit} (column {title.column!r})" if title else "degrees"
        says = (
            "say the units: --columns x=COLUMN:cm,y=COLUMN:cm,time=COLUMN:s"
            if title
            else "are its places and times right?"
        )
        raise TraceError(f"{path.log.path}: positions in {units} move at {fast:.0f} m/s; {says}")
    kept = np.flatnonzero(reachable(t, xy))
    if len(t) < 8:
        return
    # Beyond a jump that lasts, the others are reached as soon as a fast car could.
    far = np.linalg.norm(np.diff(xy[kept], axis=0), axis=1)
    gap = far / np.diff(t[kept])
    jumps = (np.diff(kept) > 1) & (far > _JUMP)
    jumps &= (gap > 0.6 * TOP_SPEED) & (gap > 3.0 * np.median(gap))
    if len(kept) >= _LEFT * len(t) and not jumps.any():
        return
    first = int(kept[np.flatnonzero(jumps)[0]]) if jumps.any() else 0
    worst = first + int(np.argmax((step - TOP_SPEED * took)[first:]))
    raise TraceError(
        f"{path.log.path}: {len(t) - len(kept)} of {len(t)} positions are out of a car's reach "
        f"from the others: {t[worst + 1]:.1f} s after the first row they jump by {step[worst]:.0f} "
        "m; cut the log there, or mend its positions"
    )


def _means(position: Measured) -> Measured:
    """Positions by means over half a second: of many, the noisiest would be taken for far."""
    _, cell = np.unique(np.floor(position.t / _STEP), return_inverse=True)
    count = np.bincount(cell)
    x, y, t, std = (
        np.bincount(cell, values) / count
        for values in (*position.value.T, position.t, position.std)
    )
    return Measured(t, np.stack([x, y], axis=1), std)


def _ways(path: LogPath, least: Floats) -> NDArray[np.int64]:
    """Pairs (m, 2) of rows of positions whose ways are the shortest that are clear.

    least: (n,) m at each position that have been moved beside those of the positions, as by speeds.
    """
    t, xy, std = path.position.t, path.position.value, path.position.std
    clear = _CLEAR * max(float(np.median(std)), 0.05)
    pairs, last = [], -math.inf
    for i in range(len(t) - 1):
        if t[i] < last + _STEP:
            continue
        end = int(np.searchsorted(t, t[i] + _LONGEST, side="right"))
        far = np.linalg.norm(xy[i + 1 : end] - xy[i], axis=1)
        far = np.maximum(far, least[i + 1 : end] - least[i])
        enough = np.flatnonzero(far >= clear)
        if len(enough):
            pairs.append((i, i + 1 + int(enough[0])))
            last = t[i]
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def _integral(measured: Measured, at: Floats) -> Floats:
    """What values add up to at times (m,), from the first of their own; NaN beyond them."""
    t, value = measured.t, measured.value
    total = np.concatenate([[0.0], np.cumsum(0.5 * (value[1:] + value[:-1]) * np.diff(t))])
    return np.asarray(np.interp(at, t, total, left=np.nan, right=np.nan))


def _speed(path: LogPath) -> str:
    """What contradicts the speeds."""
    if len(path.speed) < 2:
        return ""
    way = _integral(path.speed, path.position.t)
    pairs = _ways(path, np.nan_to_num(way))
    xy = path.position.value
    chord = np.linalg.norm(xy[pairs[:, 1]] - xy[pairs[:, 0]], axis=1)
    told = way[pairs[:, 1]] - way[pairs[:, 0]]
    good = np.isfinite(told)
    if good.sum() < _LEAST:
        return ""
    ratio = float(np.median(told[good] / np.maximum(chord[good], 1e-3)))
    if _SPEED[0] <= ratio <= _SPEED[1]:
        return ""
    wrong = f"adds up to {ratio:.3g} times the way of the positions"
    title = path.log.titles.get("speed")
    if title is None:
        return wrong
    unit = unit_of("speed", FACTORS["speed"][title.unit] / max(ratio, 1e-9), 0.06)
    if unit:
        return f"{wrong}: say its unit, --columns speed={title.column}:{unit}"
    return f"{wrong}: say its unit (--columns speed={title.column}:UNIT), or remove it"


def _course(path: LogPath) -> str:
    """What contradicts the headings."""
    if len(path.course) < 2:
        return ""
    pairs = _ways(path, np.zeros(len(path.position)))
    t, xy = path.position.t, path.position.value
    chord = xy[pairs[:, 1]] - xy[pairs[:, 0]]
    toward = np.arctan2(chord[:, 1], chord[:, 0])

    def off(course: Floats) -> Floats:
        """What the mean headings (m,) over the ways are off, rad."""
        turned = _integral(replace(path.course, value=np.unwrap(course)), t)
        took = t[pairs[:, 1]] - t[pairs[:, 0]]
        mean = (turned[pairs[:, 1]] - turned[pairs[:, 0]]) / took
        return np.asarray(np.angle(np.exp(1j * (mean - toward))))

    wrong = off(path.course.value)
    good = np.isfinite(wrong)
    if good.sum() < _LEAST or float(np.median(np.abs(wrong[good]))) <= _HEADING:
        return ""
    by = math.degrees(float(np.median(np.abs(wrong[good]))))
    text = f"is {by:.0f} degrees off the way of the positions"
    title = path.log.titles.get("course")
    if title is None:
        return text
    raw = path.course.value if title.name == "yaw" else math.pi / 2 - path.course.value
    raw = raw / FACTORS[title.name][title.unit]
    for name in ("heading", "yaw"):
        for unit in ("deg", "rad"):
            angle = raw * FACTORS[name][unit]
            other = off(angle if name == "yaw" else math.pi / 2 - angle)[good]
            if float(np.median(np.abs(other))) < _ALIKE:
                return (
                    f"{text}: it may be {'from x' if name == 'yaw' else 'from north'} in {unit}; "
                    f"--columns {name}={title.column}:{unit}"
                )
    mean = np.exp(1j * wrong[good]).mean()
    if abs(mean) > 0.9:
        side = "left" if mean.imag > 0 else "right"
        text = f"is turned {abs(math.degrees(np.angle(mean))):.0f} degrees to the {side} of the way"
    return (
        f"{text}: heading is clockwise from north, yaw counter-clockwise from x; mend or remove it"
    )


def _yaw_rate(path: LogPath) -> str:
    """What contradicts the yaw rates."""
    if len(path.yaw_rate) < 2:
        return ""
    t, xy = path.position.t, path.position.value
    pairs = _ways(path, np.zeros(len(t)))
    chord = xy[pairs[:, 1]] - xy[pairs[:, 0]]
    middle = 0.5 * (t[pairs[:, 0]] + t[pairs[:, 1]])
    toward = np.arctan2(chord[:, 1], chord[:, 0])
    # Ways one after the other: the next that begins where one ends, or later.
    after = np.searchsorted(pairs[:, 0], pairs[:, 1])
    has = np.flatnonzero(after < len(pairs))
    after = after[has]
    seen = np.angle(np.exp(1j * (toward[after] - toward[has])))
    angle = _integral(path.yaw_rate, middle)
    told, took = angle[after] - angle[has], middle[after] - middle[has]
    good = np.isfinite(told) & (np.abs(seen) < _WRAPS) & (took < _LONGEST)
    if good.sum() < 2 * _LEAST:
        return ""
    # A bias counts by the time; noise is in what is seen.
    seen, told, took = seen[good], told[good], took[good]
    design = np.stack([told, took], axis=1)
    answer, *_ = np.linalg.lstsq(design, seen, rcond=None)
    rest = float(np.mean((seen - design @ answer) ** 2))
    apart = float(np.mean(after - has)) + 1.0  # ways that overlap err alike
    normal = design.T @ design + 1e-12 * np.eye(2)
    std = math.sqrt(apart * max(rest, 1e-6) * float(np.linalg.inv(normal)[0, 0]))
    slope = float(answer[0])
    if std > 0.25 * max(abs(slope), 1.0) or abs(slope - 1.0) < _SURE * std:
        return ""
    if 1 / _YAW_RATE[1] <= slope <= 1 / _YAW_RATE[0]:
        return ""
    text = f"is {1 / slope if abs(slope) > 1e-4 else math.inf:.2g} times what the positions turn by"
    title = path.log.titles.get("yaw_rate")
    if title is None:
        return text
    unit = unit_of("yaw_rate", FACTORS["yaw_rate"][title.unit] * slope, 0.3)
    if unit:
        return f"{text}: say its unit, --columns yaw_rate={title.column}:{unit}"
    if -1 / _YAW_RATE[0] <= slope <= -1 / _YAW_RATE[1]:
        return f"{text}: it must be positive to the left; negate it"
    return f"{text}: say its unit (--columns yaw_rate={title.column}:UNIT), or remove it"
