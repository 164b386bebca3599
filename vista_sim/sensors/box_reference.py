"""Drawing boxes into a view in plain NumPy: what every other backend is compared with.

It looks at all pixels of the view, whatever the bounds of a box say.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vista_sim.sensors.boxes import ALONG, GROUND, GROUND_SHARE, NEARER, NEARER_BY, Boxes
from vista_sim.sensors.warp import BODY

Array = NDArray[np.floating]


def draw_boxes(
    boxes: Boxes,
    view: int,
    rays: Array,
    image: NDArray[np.uint8],
    source: NDArray[np.uint8],
    depth: Array,
    nearest: Array,
    faces: NDArray[np.int32],
) -> None:
    """Draw the boxes of one view, as `boxes` says.

    Args:
        boxes, view: of n views, and which of them this is.
        rays: float (2, h, w), normalized viewing rays of the view.
        image, source, depth: (h, w, 3), (h, w) and (h, w), changed in place.
        nearest, faces: float32 and int32 (h, w), room to work in.
    """
    nearest[:] = 0.0
    for k in range(boxes.starts[view], boxes.starts[view + 1]):
        found, face = cast(boxes.pose[k], boxes.size[k], rays)
        nearer = found > nearest
        nearest[nearer], faces[nearer] = found[nearer], 6 * k + face[nearer]
    for k in range(boxes.starts[view], boxes.starts[view + 1]):
        seen = (nearest > 0) & (faces // 6 == k) & ~hidden(boxes.pose[k], rays, nearest, depth)
        image[seen] = boxes.paint[k][faces[seen] % 6]
        source[seen], depth[seen] = BODY, nearest[seen]


def cast(pose: Array, size: Array, rays: Array) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Inverse depth (h, w) at which rays meet a box, 0 where they do not, and the face (h, w)."""
    x, y = rays.astype(np.float64)
    enter, leave = np.full(x.shape, -np.inf), np.full(x.shape, np.inf)
    face = np.zeros(x.shape, dtype=np.int64)
    with np.errstate(invalid="ignore", divide="ignore"):
        for axis in range(3):
            low, high = (0.0, size[2]) if axis == 2 else (-0.5 * size[axis], 0.5 * size[axis])
            way = pose[axis, 0] * x + pose[axis, 1] * y + pose[axis, 2]
            way = np.where(np.abs(way) < ALONG, ALONG, way)
            inverse = 1.0 / way
            to_low, to_high = (low - pose[axis, 3]) * inverse, (high - pose[axis, 3]) * inverse
            near, far = np.minimum(to_low, to_high), np.maximum(to_low, to_high)
            face = np.where(near > enter, 2 * axis + (way > 0), face)
            enter, leave = np.maximum(enter, near), np.minimum(leave, far)
        hit = (enter > 0) & (enter <= leave)
        return np.where(hit, 1.0 / enter, 0.0).astype(np.float32), face


def hidden(pose: Array, rays: Array, found: Array, depth: Array) -> NDArray[np.bool_]:
    """Where (h, w) a box of these inverse depths is hidden by what the view shows."""
    x, y = rays.astype(np.float64)
    scene, box = depth.astype(np.float64), found.astype(np.float64)
    eye = pose[2, 3]
    # Height of what is seen, times its inverse depth: that of the sky is 0.
    height = eye * scene + (pose[2, 0] * x + pose[2, 1] * y + pose[2, 2])
    is_ground = (eye > GROUND) & (height < GROUND * scene + GROUND_SHARE)
    return (scene > box * (1.0 + NEARER) + NEARER_BY) & ~is_ground
