"""One geometry from several sources, pixel by pixel."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from vista_sim.geometry.source import Estimate

# 1/m, and share of the nearer, by which inverse depths of one surface may differ.
_TOLERANCE, _SHARE = 0.006, 0.05
_DISPUTED = 0.5  # of the loser's confidence is taken from the winner's


def merged(estimates: Sequence[Estimate], trust: Sequence[float] | None = None) -> Estimate:
    """What all sources together know of a frame.

    Sources that agree in a pixel back each other as independent witnesses do: what they say
    is wrong only if all are. The best backed value wins, as the mean, by confidence, of those
    that back it; so surfaces are never mixed, and no source smooths the edges of another.
    What one source finds moving moves, whichever tells best how far it is.

    Args:
        estimates: of each source; where none is sure of anything, the first one counts.
        trust: of each source, see `SourceKind`; 1 where not given. It decides between values,
            and leaves the confidence of the one that wins as it is.
    """
    if len(estimates) == 1:
        return estimates[0]
    values = np.stack([estimate.inverse_depth for estimate in estimates])
    sure = np.clip(np.stack([estimate.confidence for estimate in estimates]), 0.0, 1.0)
    factor = np.ones(len(estimates)) if trust is None else np.asarray(trust)
    counted = sure * factor.astype(np.float32)[:, None, None]
    best_value, best_backing = values[0], np.full(values.shape[1:], -1.0, np.float32)
    confidence, disputed = np.zeros((2, *values.shape[1:]), np.float32)
    for value in values:
        larger = np.maximum(value, values)
        agrees = np.abs(values - value) <= np.float32(_TOLERANCE) + np.float32(_SHARE) * larger
        weight = np.where(agrees, counted, 0.0)
        backing = 1.0 - np.prod(1.0 - weight, axis=0)
        total = weight.sum(axis=0)
        mean = (weight * values).sum(axis=0) / np.maximum(total, 1e-6)
        wins = backing > best_backing
        best_backing = np.where(wins, backing, best_backing)
        best_value = np.where(wins, np.where(total > 1e-6, mean, value), best_value)
        together = 1.0 - np.prod(np.where(agrees, 1.0 - sure, 1.0), axis=0)
        confidence = np.where(wins, together, confidence)
        disputed = np.where(wins, np.where(agrees, 0.0, counted).max(axis=0), disputed)
    # Where sources contradict each other, the choice follows that of the pixels around.
    around = cv2.medianBlur(best_value.astype(np.float32), 3)
    best_value = np.where(disputed > 0, around, best_value)
    confidence = confidence * (1.0 - _DISPUTED * disputed)
    marks = [estimate.moving for estimate in estimates if estimate.moving is not None]
    moving = np.logical_or.reduce(marks) if marks else None
    return Estimate(best_value.astype(np.float32), confidence.astype(np.float32), moving)
