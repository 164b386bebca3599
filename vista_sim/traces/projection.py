"""What `path` and its compiled `curve` share: a path's arrays, and how a pose is found on it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

SPACING = 0.5  # m between points of a path
WINDOW = 10.0  # m to each side of near= that is searched first
REACH = 25.0  # m from the path; a pose farther out is not projected
HEADING_WEIGHT = 5.0  # m of distance that a radian of heading error counts as


class PathArrays(NamedTuple):
    """A path and the recording along it for `curve`: contiguous float64, not to be changed."""

    knots: Floats  # (m,) arc length of the points, m
    points: Floats  # (m, 2) xy, world frame, m
    pieces: Floats  # (m - 1, 8) cubic coefficients, highest first, of x and then y
    directions: Floats  # (m, 2) cosine and sine of the path's heading at the points
    bends: Floats  # (m,) curvature at the points, 1/m
    t: Floats  # (n,) time of the recording's rows, s
    row_s: Floats  # (n,) their arc length, m
    speeds: Floats  # (n,) their speed, m/s
    positions: Floats  # (n, 3) m, world frame
    quaternions: Floats  # (n, 4) x y z w
