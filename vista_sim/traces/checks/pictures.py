"""Values of a camera's pictures against the range that 8 bits have.

Whether a picture is inverted cannot be told: a street at night is dark above and light below.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vista_sim.traces.checks.finding import Finding

SAMPLES = 5  # pictures that are looked at
DARK, PALE = 20, 235  # nothing is brighter, nothing is darker
_RARE = 0.001  # share of pixels that does not count


@dataclass(frozen=True, eq=False)
class PictureValues:
    """How often each value 0 to 255 is in some pictures of a camera: counts (256,)."""

    camera: str
    counts: NDArray[np.int64]

    @classmethod
    def of(cls, camera: str, pictures: list[NDArray[np.uint8]]) -> PictureValues:
        counts = np.zeros(256, dtype=np.int64)
        for picture in pictures:
            counts += np.bincount(picture.reshape(-1), minlength=256)
        return cls(camera, counts)

    def at(self, share: float) -> int:
        """The value that such a share of the pixels does not exceed."""
        return int(np.searchsorted(np.cumsum(self.counts), share * self.counts.sum()))

    @property
    def video(self) -> str:
        """Name of the camera's video."""
        return f"{self.camera}.mp4"


def dark(values: PictureValues) -> list[Finding]:
    """Pictures are black: 10 or 12 bits that were read as 16, or values of 0 to 1."""
    brightest = values.at(1.0 - _RARE)
    if brightest > DARK or not values.counts.any():
        return []
    text = f"pictures hold values of 0 to {brightest} of 255: they are black"
    remedy = "scale them to 8 bits (are they of 10, 12 or 16 bits, or of 0 to 1?)"
    return [Finding("dark-pictures", "warn", values.video, text, remedy)]


def pale(values: PictureValues) -> list[Finding]:
    """Pictures are white: overexposed, or cut off at 8 bits."""
    darkest = values.at(_RARE)
    if darkest < PALE or not values.counts.any():
        return []
    text = f"pictures hold values of {darkest} to 255 of 255: they are white"
    remedy = "scale them to 8 bits (were larger values cut off?)"
    return [Finding("pale-pictures", "warn", values.video, text, remedy)]
