"""Multi-view geometry as a source: all frames are matched first, then each is fused."""

from __future__ import annotations

import numpy as np

from vista_sim.geometry.multiview import MultiView
from vista_sim.geometry.source import BakeContext, Floats, decode, encode
from vista_sim.geometry.tracked import MovingBoxes


class MultiViewSource:
    """See `multiview`. Frames without neighbours get flat ground without confidence."""

    name = "multiview"

    def __init__(self, context: BakeContext) -> None:
        self._context = context
        self._camera = context.frames.camera
        self._view = MultiView(
            self._camera.lens, context.mount, context.poses, context.settings.matching
        )
        self._boxes = MovingBoxes(context.trace, context.mount, self._camera.lens)
        shape = (context.recorded.frame_count, *self._camera.lens.size)
        self._matched = context.partial.array("matched.npy", shape, np.uint16, work=True)

    def prepare(self, index: int) -> None:
        """Match a frame with its neighbours."""
        frames, neighbours = self._context.frames, self._context.neighbours[index]
        others = [frames[j] for j in neighbours]
        found = self._view.match(index, neighbours, frames[index], others)
        self._matched[index] = encode(found, self._context.scale)

    def estimate(self, index: int) -> tuple[Floats, Floats]:
        neighbours = self._context.neighbours[index]
        own, *others = (decode(self._matched[j], self._context.scale) for j in (index, *neighbours))
        gray = self._context.frames[index].gray
        boxes = self._boxes.inverse_depth(float(self._context.recorded.t[index]))
        values, sure = self._view.merge(index, neighbours, gray, own, others, boxes)
        values = self._camera.to_recorded(values, self._context.ground)
        sure = self._camera.nearest_to_recorded(sure)
        return values, sure.astype(np.float32) / np.float32(255)
