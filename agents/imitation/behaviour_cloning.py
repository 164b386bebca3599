"""Behaviour cloning: recorded frames, labelled with what the human did there.

Pomerleau, "ALVINN" (1989); Bojarski et al. (2016) without their shifted cameras. Nothing in
these data is off the path, so nothing teaches the way back: a policy that drifts meets
views it has never seen (Ross and Bagnell, "Efficient Reductions for Imitation Learning", 2010).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..training import Views
from .drives import Drive
from .road import Interval, balanced_weights


class RecordedViews:
    """Views from the recorded path at the times of the recorded frames.

    The label is the curvature of the driven path, smoothed: yaw rate by speed.
    """

    def __init__(self, drives: Sequence[Drive], seed: int) -> None:
        self._seed = seed
        self._train = _frames(drives, validation=False)
        self._validation = _frames(drives, validation=True)
        self._weights = balanced_weights(self._train.curvature.astype(np.float64))

    def batch(self, step: int, size: int) -> Views:
        rng = np.random.default_rng([self._seed, 1, step])
        return self._train.take(rng.choice(len(self._train), size, p=self._weights))

    def validation(self) -> Views:
        return self._validation


def _frames(drives: Sequence[Drive], validation: bool) -> Views:
    images, speeds, curvatures = [], [], []
    for drive in drives:
        times = drive.trace.cameras[drive.camera.name].t
        intervals = drive.validation if validation else drive.train
        for t in map(float, times):
            s = drive.path.arc_length(t)
            if _within(s, intervals):
                images.append(drive.camera.render(t)[0])
                speeds.append(drive.trace.speed(t))
                curvatures.append(drive.path.curvature(s))
    return Views(
        np.stack(images), np.array(speeds, dtype=np.float32), np.array(curvatures, dtype=np.float32)
    )


def _within(s: float, intervals: Sequence[Interval]) -> bool:
    return any(start <= s <= end for start, end in intervals)
