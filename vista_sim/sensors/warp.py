"""What the backends of view synthesis share: constants, the frames they read, the view they make.

How a view is made, in every backend:

1. `splat`: every pixel of a recorded frame goes, by its inverse depth, to where the new
   camera sees it; where several meet, the nearest wins.
2. `close_cracks`, twice: a stretched surface has one-pixel cracks; they are closed.
3. `locate`: every pixel of the view finds its sub-pixel position in the frame by that inverse
   depth, and reads its colour there (bilinear, OpenCV's `remap`).
4. `complete`: what the main frame did not see is taken from other frames, in the same way but
   with their inverse depth at half the resolution and cracks closed once: `close_gaps` joins
   what nearness has torn apart, `double` brings the full resolution back. What moves is left out.
5. `inpaint`: what no frame saw repeats the background beside it, mirrored.
6. Bodies that were not recorded are drawn as boxes, by depth: see `boxes`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vista_sim.traces.calibration import Lens

#: Labels of where a pixel's colour is from (`View.source`).
MAIN, OTHER, INPAINTED, BODY, UNSEEN = 0, 1, 2, 3, 255
#: Code of a pixel of another frame that must not fill anything: it shows something that moves,
#: which is elsewhere by now.
NO_CODE = 65535
#: Inverse depth where nothing was seen.
EMPTY = np.float32(-1.0)
#: Neighbours whose inverse depths differ by less than this share, and SAME_DEPTH, are one surface.
SAME_SURFACE = 0.12
SAME_DEPTH = 0.004  # 1/m
#: Rows of another frame's half-resolution inverse depth across which one surface is joined.
MOST_GAP = 8
#: Share by which inverse depth may change from row to row of it: twice that of near ground.
GAP_SLOPE = 0.06
GAP_CHANGE = 0.25  # and over the whole gap at most
#: A point this much nearer to the new camera than to the old one, or behind it, is not drawn.
MIN_DEPTH_RATIO = np.float32(0.02)


@dataclass(frozen=True, eq=False)
class View:
    """A synthesized image and where its pixels are from."""

    image: NDArray[np.uint8]  # (height, width, 3), RGB
    source: NDArray[np.uint8]  # (height, width): 0 main frame, 1 other, 2 inpainted, 3 a body
    inverse_depth: NDArray[np.float32]  # (height, width), 1/m along the optical axis

    @property
    def valid(self) -> NDArray[np.bool_]:
        """(height, width), False where no recorded frame saw the pixel and no body is seen."""
        return self.source != INPAINTED


@dataclass(frozen=True, eq=False)
class SourceFrame:
    """A recorded frame at working size, with its inverse depth.

    image: uint8 (h, w, 3). codes: uint16 (h, w), inverse depth in steps of `scale` (1/m).
    coarse_codes: every second row and column of `codes`, NO_CODE around what moves.
    """

    image: NDArray[np.uint8]
    codes: NDArray[np.uint16]
    coarse_codes: NDArray[np.uint16]
    scale: float


def lens_parameters(lens: Lens) -> NDArray[np.float32]:
    """A lens as numbers: kind (0 ideal, 1 Brown-Conrady, 2 fisheye), fx, fy, cx, cy, distortion."""
    kind = 2.0 if lens.model == "fisheye" else float(lens.distorted)
    values = [kind, lens.fx, lens.fy, lens.cx, lens.cy, *lens.distortion]
    return np.array(values + [0.0] * (10 - len(values)), dtype=np.float32)


def halved(parameters: NDArray[np.float32]) -> NDArray[np.float32]:
    """`lens_parameters` of the image that has only every second row and column."""
    result = parameters.copy()
    result[1:5] *= 0.5
    return result


def normalized_rays(lens: Lens) -> NDArray[np.float32]:
    """Rays (2, height, width) as (x / z, y / z); NaN where a ray does not point forward.

    A pixel whose ray does not project back onto it (beyond the range in which the
    distortion polynomial is invertible) is NaN too.
    """
    rays = lens.rays()
    with np.errstate(invalid="ignore", divide="ignore"):
        result = np.where(rays[..., 2:] > 0.1, rays[..., :2] / rays[..., 2:], np.nan)
        if lens.distorted:
            v, u = np.mgrid[0 : lens.size[0], 0 : lens.size[1]]
            error = np.abs(lens.project(rays) - np.stack([u, v], axis=-1)).max(axis=-1)
            result[~(error < 0.5)] = np.nan
    return np.ascontiguousarray(np.moveaxis(result, -1, 0), dtype=np.float32)
