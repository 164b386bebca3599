"""The privileged state vector: what a network that sees no camera is told of its car.

- lateral: offset from the path, m, positive to its left;
- heading_error: angle to the path's direction, rad, positive to its left;
- speed: m/s;
- tire_angle: of the front tires as they stand now, rad, positive to the left;
- path_curvature_0.0s and further: curvature of the path, 1/m, where the car is and as far ahead as
  it comes in so many seconds at its speed, or at PREVIEW_SPEED where it is slower.

The entries are in SI units and of very different size; a network scales them. They are kept
within `STATE_LIMITS`, so that spaces of observations have bounds. Beyond an end of the path its
curvature is that of the end.
"""

from __future__ import annotations

import math

import numpy as np

MAX_SPEED = 70.0  # m/s; the bound of the speed that is observed
PREVIEW_SPEED = 2.0  # m/s
PREVIEW_TIMES = (0.0, 0.5, 1.0, 2.0)  # s

#: Names of the entries, in order.
STATE_NAMES = (
    "lateral",
    "heading_error",
    "speed",
    "tire_angle",
    *(f"path_curvature_{time}s" for time in PREVIEW_TIMES),
)

#: Their units.
STATE_UNITS = ("m", "rad", "m/s", "rad", *("1/m" for _ in PREVIEW_TIMES))

#: Least and greatest value of each, (2, K) float32.
STATE_LIMITS = np.array(
    [
        [-30.0, -math.pi, 0.0, -math.pi / 2, *(-1.0 for _ in PREVIEW_TIMES)],
        [30.0, math.pi, MAX_SPEED, math.pi / 2, *(1.0 for _ in PREVIEW_TIMES)],
    ],
    dtype=np.float32,
)
STATE_LIMITS.setflags(write=False)
