"""A picture of a frame and its baked geometry, for people to look at."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vista_sim.errors import GeometryError
from vista_sim.geometry.store import GeometryStore
from vista_sim.images import write_png
from vista_sim.traces.trace import Trace

Image = NDArray[np.uint8]

_NEAREST = 0.4  # 1/m (2.5 m), shown as the hottest colour
_BAR = 20  # px, height of the line of text above each part
_UNSURE = (230, 30, 20)  # RGB over what is not sure at all


def write_picture(trace: Trace, camera: str, index: int, path: Path) -> Path:
    """Write the image, inverse depth and confidence of a frame side by side as a PNG.

    Args:
        trace: an open trace.
        camera: a recorded camera with baked geometry.
        index: of the frame.
        path: of the PNG.

    Raises:
        GeometryError: no such frame, nothing baked, or the file cannot be written.
    """
    if path.suffix.lower() != ".png":
        raise GeometryError(f"{path}: the picture is a PNG; its name must end in .png")
    recorded = trace.cameras[camera]
    if not 0 <= index < recorded.frame_count:
        raise GeometryError(
            f"{trace.root}: camera {camera!r} has no frame {index}; it has frames 0 to "
            f"{recorded.frame_count - 1}"
        )
    store = GeometryStore.find(trace, camera)
    if store is None:
        raise GeometryError(
            f"{trace.root}: camera {camera!r} has no baked geometry; run 'vista-sim bake' first"
        )
    rows = draw(recorded.frame(index), store.metric(index), np.asarray(store.confidence[index]))
    write_png(path, rows, GeometryError)
    return path


def draw(image: Image, inverse_depth: NDArray[np.float32], confidence: Image) -> Image:
    """Image, inverse depth and confidence side by side, uint8 RGB.

    Inverse depth goes from dark blue (infinitely far) to dark red (2.5 m and nearer), evenly
    in its square root; what is not sure is red over the gray image.

    Args:
        image: (H, W, 3) RGB.
        inverse_depth, confidence: (h, w), 1/m and 0 to 255.
    """
    size = inverse_depth.shape
    small = np.asarray(cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA), dtype=np.uint8)
    heat = np.sqrt(np.clip(inverse_depth / _NEAREST, 0.0, 1.0))
    colours = cv2.applyColorMap((255 * heat).astype(np.uint8), cv2.COLORMAP_TURBO)[..., ::-1]
    gray = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float32)[..., None]
    sure = (confidence.astype(np.float32) / 255)[..., None]
    shown = sure * gray + (1.0 - sure) * (0.3 * gray + 0.7 * np.array(_UNSURE))
    parts = [
        _titled(small, "image"),
        _titled(colours, "inverse depth (red: 2.5 m)"),
        _titled(
            shown.astype(np.uint8), f"confidence, {100 * confidence.mean() / 255:.0f} % (red: none)"
        ),
    ]
    return np.hstack(parts)


def _titled(picture: Image, title: str) -> Image:
    bar = np.full((_BAR, picture.shape[1], 3), 24, np.uint8)
    cv2.putText(bar, title, (4, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (230, 230, 230), 1, cv2.LINE_AA)
    return np.vstack([bar, picture])
