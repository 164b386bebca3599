"""Whether a view that moves at 30 Hz over a 10 Hz recording shows the recording's beat.

Between two recorded frames the source of a view is one frame; at the next frame it switches.
If views were true, their change from one to the next would be that of the true pictures, and
no larger at a switch than elsewhere.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scores import Scores, compare

Image = NDArray[np.uint8]
PHASES = 3  # moments a recorded frame


def smoothness(views: list[Image], truths: list[Image]) -> Scores:
    """Scores of a series of views and true pictures, three a recorded frame.

    The first moment is that of a frame, so steps 2, 5, 8, ... end at one: there the source
    switches.

    Returns:
        psnr_at_frames, psnr_between: dB at moments of recorded frames, and between them.
        change_ratio, true_change_ratio: RMS difference of one picture to the next at
            switches, as a multiple of that elsewhere; of the views, and of the true pictures.
        jerk: RMS of what the views change but the truth does not, at switches, as a multiple
            of the true pictures' change; jerk_elsewhere: the same at the other steps.
    """
    psnr = np.array([compare(v, t)["psnr"] for v, t in zip(views, truths, strict=True)])
    frames = np.arange(len(views)) % PHASES == 0
    shown, true = (np.diff(np.array(x, np.float32), axis=0) for x in (views, truths))
    switch = np.arange(len(shown)) % PHASES == PHASES - 1
    change, true_change, extra = _rms(shown), _rms(true), _rms(shown - true)
    jerk = extra / np.maximum(true_change, 1e-6)
    return {
        "psnr_at_frames": float(psnr[frames].mean()),
        "psnr_between": float(psnr[~frames].mean()),
        "change_ratio": float(change[switch].mean() / change[~switch].mean()),
        "true_change_ratio": float(true_change[switch].mean() / true_change[~switch].mean()),
        "jerk": float(jerk[switch].mean()),
        "jerk_elsewhere": float(jerk[~switch].mean()),
    }


def _rms(series: NDArray[np.float32]) -> NDArray[np.float64]:
    """Root mean square (n,) of each picture of a series."""
    return np.sqrt(np.mean(series.astype(np.float64) ** 2, axis=tuple(range(1, series.ndim))))
