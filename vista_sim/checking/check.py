"""Checks a drive by its frames: measures what can be wrong with it, and says what is."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
from numpy.typing import NDArray

from vista_sim.checking.directions import directions
from vista_sim.checking.estimate import Estimate, median, unknown
from vista_sim.checking.findings import findings_of
from vista_sim.checking.frozen import look_for_stills
from vista_sim.checking.pairs import STILL, Pair, PairReader, recorded_motion
from vista_sim.checking.report import CameraCheck, Measure
from vista_sim.checking.road import LEAST_BASE, RoadFit, RoadState
from vista_sim.checking.turning import Turns, focal_length, turning
from vista_sim.errors import TraceError
from vista_sim.images import read_mask
from vista_sim.traces.findings import find_all
from vista_sim.traces.trace import Trace
from vista_sim.traces.video import RecordedCamera
from vista_sim.transforms import Matrix

ROADS = 60  # pairs in which the road is looked for
LEAST_ROADS = 12
AGREEING = 0.4  # share of the pairs whose corners must agree on a motion

#: What is smaller is not called wrong; README.md of `vista_sim.traces` has them in a table.
LATE_FLOOR = 0.05  # s
HEIGHT_FLOOR = 0.10, 0.07  # m, and of the height
PITCH_FLOOR = math.radians(0.75)
ROLL_FLOOR = math.radians(1.5)
YAW_FLOOR = math.radians(1.5)
FOCAL_FLOOR = 0.025

Floats = NDArray[np.float64]
Seen = list[tuple[Pair, RoadState | None]]


def check(
    trace: Trace, camera: str = "", progress: Callable[[float, float], None] | None = None
) -> CameraCheck:
    """Check a drive by the frames of one of its cameras.

    Args:
        trace: an open trace.
        camera: empty: the first.
        progress: called with pairs done and all.

    Raises:
        TraceError: no such camera, or its frames cannot be decoded.
    """
    recorded = trace.find_camera(camera or None)
    mount = recorded.calibration.T_vehicle_camera
    reader = PairReader(trace, recorded, _own_car(trace, recorded))
    seen = _look(trace, reader, mount, progress)
    if not _agree([pair for pair, _ in seen]):
        seen = [(dataclasses.replace(pair, seen=None), None) for pair, _ in seen]
    pairs = [pair for pair, _ in seen if pair.seen is not None]
    stills = look_for_stills(trace, reader, [pair for pair, _ in seen])
    roads = [road for pair, road in seen if pair.seen is not None]
    ways = np.array([np.nan if road is None else road.way / road.height for road in roads])
    turns = Turns(trace, pairs, mount, ways)
    turned = turning(turns)
    late = turned.late.value if turned.late.told else 0.0
    ahead = directions(trace, pairs, mount, late)
    focal = unknown("how the poses turn is not known")
    if turned.late.told and not turned.mirrored:
        focal = focal_length(turns, mount, late, reader.lens.fx)
    height, pitch, roll = _road(pairs, roads, turns.recorded_way(late), mount)
    floor = max(HEIGHT_FLOOR[0], HEIGHT_FLOOR[1] * float(mount[2, 3]))
    measures = (
        Measure("video-late", "video late", turned.late, LATE_FLOOR),
        Measure("camera-height", "camera too high in the calibration", height, floor),
        Measure("camera-pitch", "camera looks further down", pitch, PITCH_FLOOR),
        Measure("camera-roll", "camera rolled further to the right", roll, ROLL_FLOOR),
        Measure("camera-yaw", "camera looks further left", ahead.mount_yaw, YAW_FLOOR),
        Measure("heading-off", "headings left of the motion", ahead.heading, YAW_FLOOR),
        Measure("focal-length", "focal length too long", focal, FOCAL_FLOOR),
    )
    by_name = {measure.name: measure for measure in measures}
    findings = findings_of(trace, recorded, by_name, turned.mirrored, ahead, stills)
    return CameraCheck(
        recorded.name,
        by_name,
        turned.mirrored,
        ahead.mount_pitch,
        (*find_all(trace), *findings),
        len(seen),
    )


def _agree(pairs: Sequence[Pair]) -> bool:
    """Whether the frames show how the camera moves; where few do, these err too."""
    moving = [pair for pair in pairs if pair.moved > STILL]
    return sum(pair.seen is not None for pair in moving) >= AGREEING * len(moving)


def _own_car(trace: Trace, camera: RecordedCamera) -> NDArray[np.uint8] | None:
    """255 (height, width) where the own car hides the scene; None where that is not recorded."""
    mask = camera.calibration.mask
    if mask is None:
        return None
    hidden = read_mask(trace.root / mask, camera.calibration.lens.size, TraceError)
    return np.where(hidden, 255, 0).astype(np.uint8)


def _look(
    trace: Trace,
    reader: PairReader,
    mount: Matrix,
    progress: Callable[[float, float], None] | None,
) -> Seen:
    """All pairs, and the road in some of them, block by block on a few threads."""
    chosen = reader.chosen
    every = max(1, len(chosen) // ROADS)
    roads = RoadFit(reader.lens, mount)
    with_road = set(chosen[::every, 0].tolist())
    blocks = [chosen[chosen[:, 2] == block] for block in np.unique(chosen[:, 2])]

    def work(block: NDArray[np.int64]) -> Seen:
        found: Seen = []
        for pair, here, there in reader.read(block):
            road = None
            if pair.first in with_road and pair.seen is not None:
                motion = pair.seen.copy()
                moved = recorded_motion(trace, mount, pair.start, pair.end)
                motion[:3, 3] *= float(np.linalg.norm(moved[:3, 3]))
                road = roads.fit(here, there, motion)
            found.append((pair, road))
        return found

    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # pairs are worked on side by side; more threads only wait
    seen: Seen = []
    try:
        with ThreadPoolExecutor(min(os.cpu_count() or 1, 8)) as pool:
            for found in pool.map(work, blocks):
                seen += found
                if progress is not None:
                    progress(len(seen), len(chosen))
    finally:
        cv2.setNumThreads(threads)
    return seen


def _road(
    pairs: Sequence[Pair], roads: Sequence[RoadState | None], ways: Floats, mount: Matrix
) -> tuple[Estimate, Estimate, Estimate]:
    """By how much the camera's height is too large, and its pitch and roll really are larger.

    Args:
        ways: (n,) m between the frames of each pair, now that the offset of times is known.
    """
    rows: list[tuple[float, float, float]] = []
    blocks: list[int] = []
    for pair, road, way in zip(pairs, roads, ways.tolist(), strict=True):
        if road is not None and way > 0.5 * LEAST_BASE:
            rows.append((road.height * way / road.way, road.pitch, road.roll))
            blocks.append(pair.block)
    if len(rows) < LEAST_ROADS:
        none = unknown("too little of the road can be followed", len(rows))
        return none, none, none
    states, groups = np.array(rows), np.array(blocks, dtype=np.int64)
    return (
        median(float(mount[2, 3]) - states[:, 0], groups),
        median(states[:, 1], groups),
        median(states[:, 2], groups),
    )
