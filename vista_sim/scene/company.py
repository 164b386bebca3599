"""Which bodies each car of a world can see, and where they stand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vista_sim.dynamics import state as c
from vista_sim.dynamics.state import Table
from vista_sim.scene.box import Box
from vista_sim.sensors.bodies import Bodies
from vista_sim.traces.trace import Trace
from vista_sim.transforms import Matrix, inverse, planar_pose, pose_from_euler

Rows = NDArray[np.int64]


def company_of(
    table: Table, present: NDArray[np.bool_], rows: Rows, recording: Trace, boxes: Sequence[Box]
) -> Bodies:
    """The other bodies in the scenes of some cars.

    Args:
        table: (m, WIDTH) of all bodies, see `dynamics.state`.
        present: (m,) which of them are there to be seen.
        rows: (n,) of the cars that see, all of them in one recording.
        recording: that one.
        boxes: of the world, which the column BOX counts.
    """
    views, others = [], []
    for k, row in enumerate(rows.tolist()):
        there = np.flatnonzero(present & (table[:, c.SCENE] == table[row, c.SCENE]))
        there = there[there != row]
        views.extend([k] * len(there))
        others.extend(there.tolist())
    world = {row: _pose(table[row], recording, boxes) for row in dict.fromkeys(others)}
    seen_from = [inverse(recording.pose(t)) for t in table[rows, c.SCENE_TIME].tolist()]
    worn = [boxes[int(table[row, c.BOX])] for row in others]
    return Bodies.by_view(
        views,
        len(rows),
        [seen_from[k] @ world[row] for k, row in zip(views, others, strict=True)],
        [box.size for box in worn],
        [box.colour for box in worn],
    )


def _pose(row: NDArray[np.float64], recording: Trace, boxes: Sequence[Box]) -> Matrix:
    """T_world_box of a body's row."""
    if np.isnan(row[c.Z]):
        offset = row[c.OFFSET_X : c.OFFSET_YAW + 1].tolist()
        pose = recording.pose(float(row[c.SCENE_TIME])) @ planar_pose(*offset)
    else:
        pose = pose_from_euler(*row[[c.X, c.Y, c.Z, c.ROLL, c.PITCH, c.YAW]].tolist())
    pose[:3, 3] += boxes[int(row[c.BOX])].ahead * pose[:3, 0]
    return pose


def overlaps(table: Table, row: int, others: Rows, boxes: Sequence[Box], margin: float) -> bool:
    """Whether a body stands within `margin` (m) of one of some others, seen from above.

    Boxes, one of them larger by the margin on each side; by the axes of both, which is exact.
    """
    own = _corners(table[row], boxes, margin)
    return any(_touch(own, _corners(table[other], boxes, 0.0)) for other in others.tolist())


def _corners(row: NDArray[np.float64], boxes: Sequence[Box], margin: float) -> NDArray[np.float64]:
    """(4, 2) of a body's box from above, world frame, m, in turn."""
    box = boxes[int(row[c.BOX])]
    half = np.array(box.size[:2]) / 2 + margin
    local = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]]) * half + (box.ahead, 0.0)
    cosine, sine = np.cos(row[c.YAW]), np.sin(row[c.YAW])
    turned: NDArray[np.float64] = local @ np.array([[cosine, sine], [-sine, cosine]])
    return turned + row[[c.X, c.Y]]


def _touch(a: NDArray[np.float64], b: NDArray[np.float64]) -> bool:
    """Whether two rectangles have a point in common: no axis of theirs parts them."""
    for sides in (a, b):
        axes = np.stack([sides[0] - sides[1], sides[1] - sides[2]])
        of_a, of_b = axes @ a.T, axes @ b.T
        if ((of_a.max(1) < of_b.min(1)) | (of_b.max(1) < of_a.min(1))).any():
            return False
    return True
