"""Pictures to judge views by eye: true view, synthesized view, their difference, depth."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vista_sim.errors import VistaError

Image = NDArray[np.uint8]
HEADS = ("true", "synthesized", "difference", "inverse depth")


def strip(truth: Image, image: Image, inverse_depth: NDArray[np.floating]) -> Image:
    """The four pictures (h, w, 3) one below the other, named: (4 h, w, 3)."""
    if truth.ndim == 2:
        truth, image = (np.repeat(x[..., None], 3, axis=-1) for x in (truth, image))
    difference = np.clip(128 + image.astype(int) - truth, 0, 255).astype(np.uint8)
    near = np.clip(255 * np.sqrt(inverse_depth / 0.4), 0, 255).astype(np.uint8)
    colours = cv2.applyColorMap(near, cv2.COLORMAP_TURBO)[..., ::-1]
    pictures = []
    for name, picture in zip(HEADS, (truth, image, difference, colours), strict=True):
        picture = np.ascontiguousarray(picture)
        for shift, colour in ((1, (0, 0, 0)), (0, (255, 255, 255))):
            at = (5 + shift, 14 + shift)
            cv2.putText(picture, name, at, cv2.FONT_HERSHEY_SIMPLEX, 0.42, colour, 1, cv2.LINE_AA)
        pictures.append(picture)
    return np.vstack(pictures)


def write_picture(path: Path, columns: list[Image]) -> None:
    """Write strips side by side as a PNG. Raises VistaError."""
    if not cv2.imwrite(str(path), np.hstack(columns)[..., ::-1]):
        raise VistaError(f"{path}: cannot be written")
