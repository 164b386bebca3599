"""A suite seen from above: recorded paths, road edges, sections, limits, and where cases start."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vista_sim.atomic import why_not, write_whole
from vista_sim.colours import (
    ALARM,
    BACKGROUND,
    CAR,
    EDGE,
    GROUND,
    LABEL,
    PATH,
    ROAD,
    TRACK,
    VALUE,
    Color,
)
from vista_sim.errors import ScenarioError
from vista_sim.scenarios.case import Case
from vista_sim.scenarios.document import field_name
from vista_sim.scenarios.settings import unit_of
from vista_sim.scenarios.suite import Member, Suite
from vista_sim.traces.calibration import Vehicle
from vista_sim.traces.trace import Trace

Image = NDArray[np.uint8]
Points = NDArray[np.float64]

HEIGHT, WIDE, NARROW = 560, 840, 440  # px of a trace's row: the map, and the detail beside it
LINE, MARGIN = 20, 16  # px
DETAIL = 11.0  # m to each side that the detail shows
FEW = 12  # starts that are drawn as cars; of more, there are arrows alone
MOST_TRACES, MOST_NAMES, MOST_ARROWS = 8, 10, 3000
_SHIFT = 4  # fractional bits of drawn coordinates
_FONT = cv2.FONT_HERSHEY_SIMPLEX


def draw_suite(suite: Suite) -> Image:
    """Draw a suite, a row for each of its first traces.

    Returns:
        uint8 (height, width, 3) RGB.

    Raises:
        ScenarioError: its cases cannot be made.
    """
    by_trace: dict[Any, list[Case]] = {}
    for case in suite.cases():
        by_trace.setdefault(case.trace, []).append(case)
    rows = [_header(suite, len(by_trace))]
    rows += [_row(Trace.open(root), by_trace[root]) for root in list(by_trace)[:MOST_TRACES]]
    return np.concatenate(rows)


def write_picture(suite: Suite, path: str) -> None:
    """Draw a suite into an image file; its ending says of which format.

    Raises:
        ScenarioError: its cases cannot be made, or OpenCV does not know the format.
    """
    image = draw_suite(suite)
    place = Path(path)
    try:
        written, data = cv2.imencode(place.suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    except cv2.error:
        written = False
    if not written or not place.parent.is_dir():
        raise ScenarioError(
            f"{path}: cannot be written; name a .png or .jpg in a folder that is there"
        )
    try:
        write_whole(place, data.tobytes())
    except OSError as error:
        raise ScenarioError(f"{path}: {why_not(error)}") from None


def _header(suite: Suite, traces: int) -> Image:
    cases = suite.cases()
    more = f", the first {MOST_TRACES} drawn" if traces > MOST_TRACES else ""
    lines: list[tuple[str, Color]] = [
        (f"{suite.name}: {_count(len(cases), 'case')} on {_count(traces, 'trace')}{more}", VALUE)
    ]
    if suite.description:
        lines.append((suite.description, LABEL))
    for member in suite.members[:MOST_NAMES]:
        lines.append((_summary(member, len(suite.members) > 1), LABEL))
    if len(suite.members) > MOST_NAMES:
        lines.append((f"and {len(suite.members) - MOST_NAMES} more scenarios", LABEL))
    picture = _blank(2 * MARGIN + LINE * (len(lines) + 1), WIDE + NARROW, BACKGROUND)
    for i, (words, color) in enumerate(lines):
        _write(picture, words, MARGIN, MARGIN + 14 + i * LINE, color)
    x, y = MARGIN, MARGIN + 10 + LINE * len(lines)
    legend = (("recorded path", PATH), ("section", TRACK), ("limit", ALARM), ("start", CAR))
    for words, color in legend:
        cv2.line(picture, (x, y), (x + 22, y), color, 2, cv2.LINE_AA)
        _write(picture, words, x + 28, y + 4, LABEL)
        x += 160
    return picture


def _summary(member: Member, named: bool) -> str:
    """One line on a scenario: its mode and what it sweeps."""
    scenario = member.scenario
    settings = scenario.settings
    limit = settings.endings.max_lateral
    beside = "the road's edges" if isinstance(limit, str) else f"{limit:g} m"
    parts = [f"mode {settings.mode}"]
    parts.append(f"limits {beside} and {math.degrees(settings.endings.max_heading):.4g} deg")
    if settings.time_limit is not None:
        parts.append(f"{settings.time_limit:g} s")
    for sweep in scenario.sweeps:
        unit = unit_of(settings, sweep.path)
        degrees = unit.startswith("rad")
        low, high = (
            math.degrees(v) if degrees else v for v in (min(sweep.values), max(sweep.values))
        )
        unit = unit.replace("rad", "deg")
        span = f"{low:.4g} to {high:.4g}{' ' * bool(unit)}{unit}"
        parts.append(f"{field_name(sweep.path)} {span} ({len(sweep.values)})")
    if len(scenario.seeds) > 1:
        parts.append(f"{len(scenario.seeds)} seeds")
    if member.weight != 1.0:
        parts.append(f"weight {member.weight:g}")
    return (f"{scenario.name}: " if named else "") + ", ".join(parts)


def _row(trace: Trace, cases: Sequence[Case]) -> Image:
    """The map of a trace, and the detail around its first start."""
    points = trace.path.points
    low, high = points.min(axis=0), points.max(axis=0)
    room = np.maximum(high - low, 20.0) * 1.08 + 10.0
    frame = _Frame(0.5 * (low + high), float(min(WIDE / room[0], (HEIGHT - 30) / room[1])), WIDE)
    whole = _map(trace, cases, frame)
    _write(whole, f"{trace.name}: {_count(len(cases), 'case')}", MARGIN, 24, VALUE)
    first = cases[0]
    near = [c for c in cases if abs(c.s - first.s) < DETAIL]
    x, y, _ = trace.path.place(first.s)
    detail = _map(trace, near, _Frame(np.array([x, y]), 0.5 * NARROW / DETAIL, NARROW))
    _write(detail, f"around s = {first.s:.0f} m: {_count(len(near), 'start')}", MARGIN, 24, VALUE)
    cv2.line(detail, (0, 0), (0, HEIGHT), BACKGROUND, 4)
    return np.concatenate([whole, detail], axis=1)


@dataclass(frozen=True)
class _Frame:
    """Turns world points (m) into pixels: x to the right, y up."""

    middle: Points
    scale: float  # px/m
    width: int

    def __call__(self, points: Points) -> NDArray[np.int32]:
        d = (np.asarray(points, dtype=np.float64).reshape(-1, 2) - self.middle) * self.scale
        pixels = np.column_stack([0.5 * self.width + d[:, 0], 0.5 * HEIGHT - d[:, 1]])
        return np.round(np.clip(pixels, -1e6, 1e6) * (1 << _SHIFT)).astype(np.int32)


def _map(trace: Trace, cases: Sequence[Case], frame: _Frame) -> Image:
    canvas = _blank(HEIGHT, frame.width, GROUND)
    path = trace.path
    if trace.road:
        left, right = (
            _beside(trace, path.s, sign * np.interp(path.s, trace.road["s"], trace.road[side]))
            for side, sign in (("left", 1.0), ("right", -1.0))
        )
        for i in range(0, len(path.s) - 1, 20):  # by pieces: a road may cross itself
            piece = np.concatenate([left[i : i + 21], right[i : i + 21][::-1]])
            cv2.fillPoly(canvas, [frame(piece)], ROAD, cv2.LINE_AA, _SHIFT)
        for edge in (left, right):
            _line(canvas, frame(edge), EDGE, 1)
    _line(canvas, frame(path.points), PATH, 1)
    for start, end in sorted({case.section for case in cases}):
        s = np.linspace(path.arc_length(start), path.arc_length(end), 400)
        _line(canvas, frame(_beside(trace, s, np.zeros(len(s)))), TRACK, 2)
        for case in {c.settings.endings: c for c in cases if c.section == (start, end)}.values():
            for edge in _limits(trace, case, s):
                _line(canvas, frame(edge), ALARM, 1)
        for at in (s[0], s[-1]):
            across = _beside(trace, np.array([at, at]), np.array([-4.0, 4.0]))
            _line(canvas, frame(across), TRACK, 2)
    starts = list(dict.fromkeys((c.s, c.lateral, c.heading) for c in cases))
    for s_, lateral, heading in starts[:MOST_ARROWS]:
        pose = path.place(s_, lateral, heading)
        _draw_start(canvas, frame, trace.vehicle, pose, outlined=len(starts) <= FEW)
    _draw_scale(canvas, frame.scale)
    return canvas


def _limits(trace: Trace, case: Case, s: Points) -> list[Points]:
    """Where a car has left the road: to the left and to the right of the path."""
    limit = case.settings.endings.max_lateral
    if isinstance(limit, str):
        road = trace.road
        offsets = [np.interp(s, road["s"], road["left"]), -np.interp(s, road["s"], road["right"])]
    else:
        offsets = [np.full(len(s), limit), np.full(len(s), -limit)]
    return [_beside(trace, s, offset) for offset in offsets]


def _beside(trace: Trace, s: Points, offset: Points) -> Points:
    """Points (n, 2) at arc lengths s (n,) and offsets to the left (n,) of the path, m."""
    pairs = zip(s.tolist(), offset.tolist(), strict=True)
    return np.array([trace.path.place(a, b)[:2] for a, b in pairs])


def _draw_start(
    canvas: Image, frame: _Frame, vehicle: Vehicle, pose: tuple[float, float, float], outlined: bool
) -> None:
    """An arrow from the rear axle to where it heads; around it the car, if it can be seen."""
    x, y, yaw = pose
    ahead = np.array([math.cos(yaw), math.sin(yaw)])
    length = max(vehicle.wheelbase, 16.0 / frame.scale)
    at = np.array([x, y])
    if outlined and vehicle.length * frame.scale >= 16.0:
        back, front = -vehicle.rear_overhang, vehicle.length - vehicle.rear_overhang
        half = 0.5 * vehicle.width
        side = np.array([-ahead[1], ahead[0]])
        corners = [
            at + a * ahead + b * side
            for a, b in ((front, half), (front, -half), (back, -half), (back, half))
        ]
        cv2.polylines(canvas, [frame(np.array(corners))], True, CAR, 1, cv2.LINE_AA, _SHIFT)
    tail, tip = frame(np.array([at, at + length * ahead]))
    cv2.arrowedLine(canvas, tail.tolist(), tip.tolist(), CAR, 1, cv2.LINE_AA, _SHIFT, 0.3)


def _draw_scale(canvas: Image, scale: float) -> None:
    height, width = canvas.shape[:2]
    length = next(m for m in (5, 10, 20, 50, 100, 200, 500, 1000, 10**9) if m * scale > 60)
    x, y = width - MARGIN - round(length * scale), height - MARGIN
    cv2.line(canvas, (x, y), (width - MARGIN, y), LABEL, 1)
    _write(canvas, f"{length} m", x, y - 6, LABEL)


def _line(canvas: Image, pixels: NDArray[np.int32], color: Color, thickness: int) -> None:
    cv2.polylines(canvas, [pixels], False, color, thickness, cv2.LINE_AA, _SHIFT)


def _write(canvas: Image, words: str, x: int, y: int, color: Color) -> None:
    plain = words.replace("²", "2").encode("ascii", "replace").decode()
    most = max(10, (canvas.shape[1] - x) // 8)
    plain = plain if len(plain) <= most else plain[: most - 3] + "..."
    cv2.putText(canvas, plain, (x, y), _FONT, 0.45, color, 1, cv2.LINE_AA)


def _blank(height: int, width: int, color: Color) -> Image:
    picture = np.empty((height, width, 3), dtype=np.uint8)
    picture[:] = color
    return picture


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
