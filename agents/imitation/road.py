"""Which road is learned from: held-out stretches, and places drawn evenly over its bends."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vista_sim.errors import TraceError

Interval = tuple[float, float]  # arc length from, to, m


@dataclass(frozen=True)
class SplitConfig:
    """How the road is divided into a part to learn from and a part to validate on."""

    validation_share: float = 0.15
    """Share of the road held out for validation."""
    block: float = 25.0
    """Length of a held-out stretch, m; shorter where the road is short."""
    margin: float = 5.0
    """Road left out on both sides of a held-out stretch, m, at most a fifth of it."""

    def __post_init__(self) -> None:
        if not 0 < self.validation_share <= 0.5:
            raise ValueError(
                f"validation_share is {self.validation_share}; it must be above 0, at most 0.5"
            )
        if not (0 < self.block < math.inf and 0 <= self.margin < math.inf):
            raise ValueError(
                f"block is {self.block} m and margin {self.margin} m; both must be finite, block "
                "positive and margin not negative"
            )


def split_road(
    sections: Sequence[Interval], config: SplitConfig, rng: np.random.Generator
) -> tuple[list[Interval], list[Interval]]:
    """Divide sections of road into stretches to train and to validate on.

    Held-out stretches are spread evenly: the road, sections laid end to end, is cut into
    equal periods, and in each a stretch at a random place is held out. Random frames would not
    do, since neighbouring frames show nearly the same.

    Args:
        sections: arc length from, to, m.
        config: lengths and shares.
        rng: draws the places.

    Returns:
        Training and validation intervals; `margin` metres lie between them, in neither.
    """
    total = sum(end - start for start, end in sections)
    if total <= 0:
        raise TraceError("no road to learn from: no section of the trace can be driven")
    periods = max(1, round(total * config.validation_share / config.block))
    period = total / periods
    block = period * config.validation_share
    margin = min(config.margin, block / 5)
    held: list[Interval] = []
    for i in range(periods):
        start = i * period + float(rng.uniform(margin, period - block - margin))
        held.append((start, start + block))
    train: list[Interval] = []
    validation: list[Interval] = []
    laid = 0.0  # where the section begins on the road laid end to end
    for start, end in sections:
        shift = start - laid
        length = end - start
        cursor = start
        for a, b in held:
            a, b = max(a, laid - margin), min(b, laid + length + margin)
            if b <= a:
                continue
            inside = max(a + shift, start), min(b + shift, end)
            if inside[1] > inside[0]:
                validation.append(inside)
            if a + shift - margin > cursor:
                train.append((cursor, a + shift - margin))
            cursor = max(cursor, b + shift + margin)
        if cursor < end:
            train.append((cursor, end))
        laid += length
    return train, validation


def places_along(intervals: Sequence[Interval], step: float = 0.5) -> NDArray[np.float64]:
    """Arc lengths (m) every `step` metres within intervals, their ends left out."""
    pieces = []
    for start, end in intervals:
        count = max(1, round((end - start) / step))
        pieces.append(start + (np.arange(count) + 0.5) * (end - start) / count)
    return np.concatenate(pieces) if pieces else np.empty(0)


def balanced_weights(
    curvature: NDArray[np.float64],  # (n,) 1/m
    bins: int = 9,
    limit: float = 20.0,
) -> NDArray[np.float64]:  # (n,), sums to 1
    """Probabilities that draw bends of every curvature equally often, left and right.

    Places are counted in bins over signed curvature, equally wide between the 1st and 99th
    percentile of its size; a place weighs the inverse of its bin's count, at most `limit` times
    what the most common place weighs, so that a rare one is not learned by heart.
    """
    if not len(curvature):
        return np.empty(0)
    size = np.abs(curvature)
    largest = float(np.percentile(size, 99)) or float(size.max()) or 1.0
    scaled = np.clip(curvature / largest, -1.0, 1.0)
    index = np.minimum(((scaled + 1) / 2 * bins).astype(int), bins - 1)
    count = np.bincount(index, minlength=bins)[index]
    weights = np.minimum(1.0 / count, limit / count.max())
    total: NDArray[np.float64] = weights / weights.sum()
    return total
