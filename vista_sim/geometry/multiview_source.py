"""Multi-view geometry as a source: all frames are matched first, then each is fused."""

from __future__ import annotations

import threading

import numpy as np
from numpy.typing import NDArray

from vista_sim.geometry.carry import Carried
from vista_sim.geometry.moving import MOVING_CONFIDENCE
from vista_sim.geometry.multiview import MultiView
from vista_sim.geometry.neighbours import projections
from vista_sim.geometry.source import (
    BakeContext,
    Estimate,
    Floats,
    SourceKind,
    decode,
    encode,
)
from vista_sim.geometry.tracked import MovingBoxes
from vista_sim.traces.trace import Trace

_KEPT = 4  # frames that geometry is carried from


class MultiViewSource:
    """See `multiview`.

    A frame without neighbours shows no parallax: what others of its stretch know is brought
    into it, and where there is nothing, flat ground without confidence.
    """

    name = "multiview"

    def __init__(self, context: BakeContext) -> None:
        self._context = context
        self._camera = context.frames.camera
        self._view = MultiView(
            self._camera.lens, context.mount, context.poses, context.settings.matching
        )
        self._boxes = MovingBoxes(context.trace, context.mount, self._camera.lens)
        self._kept: dict[int, tuple[Floats, NDArray[np.uint8]]] = {}
        self._lock = threading.Lock()
        shape = (context.recorded.frame_count, *self._camera.lens.size)
        self._matched = context.partial.array("matched.npy", shape, np.uint16, work=True)

    def prepare(self, index: int) -> None:
        """Match a frame with its neighbours."""
        frames, neighbours = self._context.frames, self._context.neighbours[index]
        others = [frames[j] for j in neighbours]
        found = self._view.match(index, neighbours, frames[index], others)
        self._matched[index] = encode(found, self._context.scale)

    def estimate(self, index: int) -> Estimate:
        has_own = bool(self._context.neighbours[index])
        values, sure = self._merged(index) if has_own else self._carried(index)
        values = self._camera.to_recorded(values, self._context.ground)
        sure = self._camera.nearest_to_recorded(sure)
        confidence = sure.astype(np.float32) / np.float32(255)
        return Estimate(values, confidence, sure == MOVING_CONFIDENCE)

    def _merged(self, index: int) -> tuple[Floats, NDArray[np.uint8]]:
        neighbours = self._context.neighbours[index]
        own, *others = (decode(self._matched[j], self._context.scale) for j in (index, *neighbours))
        gray = self._context.frames[index].gray
        return self._view.merge(index, neighbours, gray, own, others, self._boxes_of(index))

    def _carried(self, index: int) -> tuple[Floats, NDArray[np.uint8]]:
        context = self._context
        gray = context.frames[index].gray
        carried = Carried(gray, self._view.ground)
        for other in carry_from(index, context):
            values, sure = self._remembered(other)
            rotation, translation = projections(self._camera.matrix, context.poses, other, [index])
            moving = sure == MOVING_CONFIDENCE
            carried.add(values, sure, moving, rotation[0], translation[0])
        return self._view.with_boxes(*carried.result(), gray, self._boxes_of(index))

    def _boxes_of(self, index: int) -> list[Floats]:
        return self._boxes.inverse_depth(float(self._context.recorded.t[index]))

    def _remembered(self, index: int) -> tuple[Floats, NDArray[np.uint8]]:
        """`_merged`, kept: while the car stands, many frames take from the same one."""
        with self._lock:
            if index not in self._kept:
                self._kept[index] = self._merged(index)
                while len(self._kept) > _KEPT:
                    self._kept.pop(next(iter(self._kept)))
            return self._kept[index]


def carry_from(index: int, context: BakeContext) -> list[int]:
    """The frames that geometry is brought from: the next ones in time with neighbours.

    At most one before and one after, the nearer in time first, of the same stretch and no
    farther than neighbours may be.
    """
    times, stretch = context.recorded.t, context.stretch
    has_own = np.array([bool(n) for n in context.neighbours])
    near = np.linalg.norm(context.poses[:, :3, 3] - context.poses[index, :3, 3], axis=1)
    near = near <= context.settings.matching.max_baseline
    usable = np.flatnonzero(has_own & near & (stretch == stretch[index]))
    found = [int(i) for i in (*usable[usable < index][-1:], *usable[usable > index][:1])]
    return sorted(found, key=lambda i: abs(float(times[i] - times[index])))


class _MultiView(SourceKind):
    """Any camera has what it needs."""

    def offered(self, trace: Trace, camera: str) -> bool:
        return True

    def make(self, context: BakeContext) -> MultiViewSource:
        return MultiViewSource(context)


MULTIVIEW = _MultiView()
