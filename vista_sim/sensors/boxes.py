"""Bodies as the cameras of views see them: what every backend draws.

How a box is drawn, in every backend:

1. A ray of the camera meets a box where it is inside of all three pairs of its faces at once
   (Kay and Kajiya, Ray Tracing Complex Scenes, 1986); of several boxes the nearest counts.
2. It is hidden where the view's own inverse depth is larger by more than a margin: near things
   stand before it. Two things do not hide it: what is as far away as it is, as far as recorded
   depth can tell, and ground. No straight line from above the plane that a box stands on to the
   box leads below that plane, so what lies there does not stand between.
3. What is left gets the colour of its face, the label BODY and the inverse depth of the box.

Placing boxes is compiled, without fast-math, in a loop over them: what is found of one does not
depend on those beside it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vista_sim.compiled import compiler
from vista_sim.sensors.bodies import Bodies

Floats = NDArray[np.float64]

#: By how much a nearer thing must be nearer to hide a box: a share of inverse depth, and 1/m.
NEARER = 0.06
NEARER_BY = 0.001
#: What is lower above the plane that a box stands on is taken for ground: m, and m for every m of
#: its distance, since recorded depth is the less certain the farther it is.
GROUND = 0.1
GROUND_SHARE = 0.01
#: Light on the faces: front, rear, left, right, top, bottom.
LIGHT = np.array([0.75, 0.75, 0.55, 0.55, 1.0, 0.3])
NEAREST = 0.05  # m along the optical axis; a box that begins nearer may cover all of the view
#: Of a ray along a face, in place of 0.
ALONG = 1e-12

_compiled = compiler()


class Spans(NamedTuple):
    """What the columns and the rows of a camera see, in coordinates x / z and y / z of rays.

    left, right: (width,), least and greatest x / z of a column's rays.
    top, bottom: (height,), least and greatest y / z of a row's rays.
    """

    left: Floats
    right: Floats
    top: Floats
    bottom: Floats


class Boxes(NamedTuple):
    """Boxes in the cameras of n views.

    starts: int64 (n + 1,), as of `Bodies`.
    pose: (k, 3, 4), the upper rows of T_body_camera.
    size: (k, 3), m.
    paint: uint8 (k, 6, 3), the colours of the faces, in the order of `LIGHT`.
    bounds: int64 (k, 4), rows from the first up to the second and columns from the third up to
        the fourth hold all of the box.
    """

    starts: NDArray[np.int64]
    pose: Floats
    size: Floats
    paint: NDArray[np.uint8]
    bounds: NDArray[np.int64]


def spans_of(rays: NDArray[np.float32]) -> Spans:
    """The spans of `warp.normalized_rays` (2, height, width)."""
    seen = np.isfinite(rays).all(axis=0)
    low, high = (np.where(seen, rays, end).astype(np.float64) for end in (np.inf, -np.inf))
    return Spans(low[0].min(0), high[0].max(0), low[1].min(1), high[1].max(1))


def place_bodies(bodies: Bodies, displaced: Floats, mount: Floats, spans: Spans) -> Boxes:
    """Boxes in the cameras of n views.

    Args:
        bodies: of n views.
        displaced: (n, 4, 4) T_recorded_displaced of the cars.
        mount: T_vehicle_camera of the views' camera.
        spans: of that camera.
    """
    pose, paint, bounds = _place(
        bodies.starts, bodies.pose, bodies.size, bodies.colour, displaced, mount, spans
    )
    return Boxes(bodies.starts, pose, bodies.size, paint, bounds)


@_compiled
def _place(
    starts: NDArray[np.int64],
    bodies: Floats,
    size: Floats,
    colour: NDArray[np.uint8],
    displaced: Floats,
    mount: Floats,
    spans: Spans,
) -> tuple[Floats, NDArray[np.uint8], NDArray[np.int64]]:
    """`pose`, `paint` and `bounds` of `Boxes`."""
    count = len(bodies)
    pose, paint = np.empty((count, 3, 4)), np.empty((count, 6, 3), dtype=np.uint8)
    bounds = np.zeros((count, 4), dtype=np.int64)
    for i in range(len(starts) - 1):
        camera = _rigid_product(displaced[i], mount)
        for k in range(starts[i], starts[i + 1]):
            body = bodies[k]
            for r in range(3):
                for c in range(4):
                    shift = 1.0 if c == 3 else 0.0
                    pose[k, r, c] = (
                        body[0, r] * (camera[0, c] - shift * body[0, 3])
                        + body[1, r] * (camera[1, c] - shift * body[1, 3])
                        + body[2, r] * (camera[2, c] - shift * body[2, 3])
                    )
            for f in range(6):
                for c in range(3):
                    paint[k, f, c] = np.uint8(np.floor(colour[k, c] * LIGHT[f] + 0.5))
            _bound(pose[k], size[k], spans, bounds[k])
    return pose, paint, bounds


@_compiled
def _bound(pose: Floats, size: Floats, spans: Spans, bounds: NDArray[np.int64]) -> None:
    """Fill the bounds of a box: what is drawn of it lies within its corners' rays."""
    left, right, top, bottom = np.inf, -np.inf, np.inf, -np.inf
    near, far = np.inf, -np.inf
    for corner in range(8):
        # T_camera_body is the inverse of a rigid transform.
        a = size[0] * (0.5 if corner & 1 else -0.5) - pose[0, 3]
        b = size[1] * (0.5 if corner & 2 else -0.5) - pose[1, 3]
        c = size[2] * (1.0 if corner & 4 else 0.0) - pose[2, 3]
        x = pose[0, 0] * a + pose[1, 0] * b + pose[2, 0] * c
        y = pose[0, 1] * a + pose[1, 1] * b + pose[2, 1] * c
        z = pose[0, 2] * a + pose[1, 2] * b + pose[2, 2] * c
        near, far = min(near, z), max(far, z)
        if z > 0.0:
            left, right = min(left, x / z), max(right, x / z)
            top, bottom = min(top, y / z), max(bottom, y / z)
    if far <= 0.0:
        return
    if near < NEAREST:
        left, right, top, bottom = -np.inf, np.inf, -np.inf, np.inf
    bounds[0], bounds[1] = _between(spans.top, spans.bottom, top, bottom)
    bounds[2], bounds[3] = _between(spans.left, spans.right, left, right)


@_compiled
def _between(low: Floats, high: Floats, start: float, end: float) -> tuple[int, int]:
    """The first, and the one after the last, of the spans low to high that meet start to end."""
    first, after = len(low), 0
    for i in range(len(low)):
        if low[i] <= end + 1e-9 and high[i] >= start - 1e-9:
            first, after = min(first, i), i + 1
    return min(first, after), after


@_compiled
def _rigid_product(a: Floats, b: Floats) -> Floats:
    out = np.zeros((4, 4))
    for r in range(3):
        for c in range(4):
            out[r, c] = a[r, 0] * b[0, c] + a[r, 1] * b[1, c] + a[r, 2] * b[2, c]
        out[r, 3] += a[r, 3]
    out[3, 3] = 1.0
    return out
