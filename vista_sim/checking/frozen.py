"""Frames that show the same although the car moves: held, doubled, or counted twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from vista_sim.checking.pairs import Pair, PairReader
from vista_sim.traces.checks.spans import merged
from vista_sim.traces.trace import Trace

BURSTS, LENGTH = 10, 9  # runs of successive frames that are looked at
LEAST_SPEED = 2.0  # m/s
_SAME = 0.12  # of the usual change between frames
_NOTHING = 0.6  # gray levels; video coding alone changes so much
_STILL_MOVE = 0.15  # px


@dataclass(frozen=True)
class Stills:
    """frozen: spans (s) in which frames are held. doubled: share of frames that are doubled."""

    frozen: tuple[tuple[float, float], ...]
    doubled: float


def look_for_stills(trace: Trace, reader: PairReader, pairs: Sequence[Pair]) -> Stills:
    """Look at pairs of frames for held ones, and at runs of successive frames for doubled ones."""
    speed = np.abs(np.interp([p.start for p in pairs], trace.ego.t, trace.ego.speed))
    held = [
        pair
        for pair, fast in zip(pairs, speed > LEAST_SPEED, strict=True)
        if fast and pair.moved < _STILL_MOVE and pair.changed < _NOTHING
    ]
    frozen: tuple[tuple[float, float], ...] = ()
    if held:
        starts, ends = (np.array([getattr(p, end) for p in held]) for end in ("start", "end"))
        frozen = merged(starts, ends)
    return Stills(frozen, _doubled(trace, reader))


def _doubled(trace: Trace, reader: PairReader) -> float:
    t = reader.camera.t
    moving = np.abs(np.interp(t, trace.ego.t, trace.ego.speed)) > LEAST_SPEED
    first = np.flatnonzero(moving[: max(len(t) - LENGTH, 0)])
    if not len(first):
        return 0.0
    changes: list[float] = []
    for start in first[np.linspace(0, len(first) - 1, BURSTS).astype(int)].tolist():
        before = None
        for index in range(start, start + LENGTH):
            image = cv2.resize(reader.gray(index), None, fx=0.5, fy=0.5, interpolation=3)
            if before is not None and moving[index]:
                changes.append(float(cv2.absdiff(image, before).mean()))
            before = image
    usual = np.array(changes)
    if len(usual) < LENGTH or not np.quantile(usual, 0.75) > 2 * _NOTHING:
        return 0.0
    same = (usual < _SAME * np.quantile(usual, 0.75)) & (usual < _NOTHING)
    return float(same.mean())
