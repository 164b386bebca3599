"""One geometry from several sources, pixel by pixel."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from vista_sim.geometry.source import Floats

# 1/m, and share of the nearer, by which inverse depths of one surface may differ.
_TOLERANCE, _SHARE = 0.006, 0.05
_DISPUTED = 0.5  # of the loser's confidence is taken from the winner's


def merged(estimates: Sequence[tuple[Floats, Floats]]) -> tuple[Floats, Floats]:
    """Inverse depth (h, w) and confidence (h, w) of all sources together.

    Sources that agree in a pixel back each other as independent witnesses do: what they say
    is wrong only if all are. The best backed value wins, as the mean, by confidence, of those
    that back it; so surfaces are never mixed, and no source smooths the edges of another.

    Args:
        estimates: inverse depth (h, w), 1/m, and confidence (h, w), 0 to 1, of each source;
            where none is sure of anything, the first one counts.
    """
    if len(estimates) == 1:
        return estimates[0]
    values = np.stack([value for value, _ in estimates])
    sure = np.clip(np.stack([confidence for _, confidence in estimates]), 0.0, 1.0)
    best_value, best_backing = values[0], np.full(values.shape[1:], -1.0, np.float32)
    disputed = np.zeros(values.shape[1:], np.float32)
    for value in values:
        larger = np.maximum(value, values)
        agrees = np.abs(values - value) <= np.float32(_TOLERANCE) + np.float32(_SHARE) * larger
        backing = 1.0 - np.prod(np.where(agrees, 1.0 - sure, 1.0), axis=0)
        against = np.where(agrees, 0.0, sure).max(axis=0)
        weight = np.where(agrees, sure, 0.0)
        total = weight.sum(axis=0)
        mean = (weight * values).sum(axis=0) / np.maximum(total, 1e-6)
        wins = backing > best_backing
        best_value = np.where(wins, np.where(total > 1e-6, mean, value), best_value)
        disputed = np.where(wins, against, disputed)
        best_backing = np.where(wins, backing, best_backing)
    # Where sources contradict each other, the choice follows that of the pixels around.
    around = cv2.medianBlur(best_value.astype(np.float32), 3)
    best_value = np.where(disputed > 0, around, best_value)
    confidence = best_backing * (1.0 - _DISPUTED * disputed)
    return best_value.astype(np.float32), confidence.astype(np.float32)
