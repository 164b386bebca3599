"""The measure of the KITTI odometry benchmark (Geiger, Lenz, Urtasun, CVPR 2012)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vista_sim.transforms import inverse, way_along

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Errors:
    """Means over sub-paths: translation (share of the way), rotation (rad/m); and of how many."""

    translation: float
    rotation: float
    count: int


def way(poses: Floats) -> Floats:
    """Distance (n,) travelled up to each of the poses (n, 4, 4)."""
    return way_along(poses[:, :3, 3])


def sub_path_errors(true: Floats, found: Floats, lengths: Sequence[float]) -> Errors:
    """Errors over all sub-paths of some lengths (m of the true way), from every pose on.

    Of each the error is that of its end as seen from its start:
    inverse(true motion) x found motion.

    Args:
        true, found: (n, 4, 4) poses at the same times.
    """
    arc = way(true)
    translation, rotation = [], []
    for length in lengths:
        for first in range(len(true)):
            last = int(np.searchsorted(arc, arc[first] + length))
            if last == len(true):
                break
            moved = inverse(true[first]) @ true[last]
            error = inverse(moved) @ inverse(found[first]) @ found[last]
            cosine = np.clip(0.5 * (np.trace(error[:3, :3]) - 1.0), -1.0, 1.0)
            translation.append(np.linalg.norm(error[:3, 3]) / length)
            rotation.append(np.arccos(cosine) / length)
    if not translation:
        return Errors(float("nan"), float("nan"), 0)
    return Errors(float(np.mean(translation)), float(np.mean(rotation)), len(translation))
