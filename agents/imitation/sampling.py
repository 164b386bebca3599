"""Which windows of frames a batch is made of."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .frames import Batch, Frames, Windows

Ints = NDArray[np.int64]


def window_starts(frames: Frames, length: int) -> Ints:
    """Frames at which a window of `length` can begin: whole ones, and in an episode that is
    shorter, its first frame.
    """
    first = np.flatnonzero(np.diff(frames.episode, prepend=frames.episode[:1] - 1))
    sizes = np.diff(np.append(first, len(frames)))
    return np.concatenate(
        [
            np.arange(begin, begin + max(1, size - length + 1))
            for begin, size in zip(first.tolist(), sizes.tolist(), strict=True)
        ]
    )


class Sampler:
    """Draws windows evenly over the windows of some frames.

    Args:
        windows: what they look like.
        parts: frames.
        weights: for each part a weight for each of its frames as the start of a window; None:
            all alike.
    """

    def __init__(
        self,
        windows: Windows,
        parts: Sequence[Frames],
        weights: Sequence[NDArray[np.float64]] | None = None,
    ) -> None:
        self._windows, self._parts = windows, parts
        starts = [window_starts(part, windows.length) for part in parts]
        self._start = np.concatenate(starts)
        self._part = np.repeat(np.arange(len(parts)), [len(s) for s in starts])
        self._p: NDArray[np.float64] | None = None
        if weights is not None:
            chosen = np.concatenate([w[s] for w, s in zip(weights, starts, strict=True)])
            self._p = chosen / chosen.sum()

    def batch(self, size: int, rng: np.random.Generator) -> Batch:
        chosen = rng.choice(len(self._start), size, p=self._p)
        return self._windows.cut(self._parts, self._part[chosen], self._start[chosen])
