"""A picture of what a depth model makes of held-out frames."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vista_sim.atomic import write_whole

from .data import DepthDrive
from .model import LearnedDepth

_ROWS = 6
_BRIGHTEST = 0.4  # 1/m


def write_picture(
    path: Path, model: LearnedDepth, drive: DepthDrive, indices: Sequence[int]
) -> None:
    """Write rows of frame, inverse depth and how sure it is, as a PNG."""
    chosen = np.linspace(0, len(indices) - 1, min(_ROWS, len(indices))).round().astype(int)
    rows = []
    for k in chosen:
        picture = drive.picture(indices[k])
        values, sure = model.predict(picture, drive.lens, drive.mount)
        bright = np.clip(255 * sure, 0, 255).astype(np.uint8)
        gray = np.repeat(bright[..., None], 3, axis=2)
        rows.append(np.hstack([picture[..., ::-1], colours(values), gray]))
    done, data = cv2.imencode(".png", np.vstack(rows))
    assert done  # PNG takes any picture
    write_whole(path, data.tobytes())


def colours(inverse_depth: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Inverse depth (h, w) as BGR (h, w, 3): red is near, blue is far."""
    share = np.sqrt(np.clip(inverse_depth / _BRIGHTEST, 0.0, 1.0))
    coloured: NDArray[np.uint8] = cv2.applyColorMap(
        (255 * share).astype(np.uint8), cv2.COLORMAP_TURBO
    )
    return coloured
