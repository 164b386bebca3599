"""Geometry from a second camera beside the baked one: semi-global matching of rectified images.

The matcher is OpenCV's (Hirschmüller 2008 with the cost of Birchfield and Tomasi). Both
directions are matched; what they agree on is confident, and refined to a fraction of a pixel.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vista_sim.errors import GeometryError
from vista_sim.geometry.consistency import fill
from vista_sim.geometry.ground import ground_inverse_depth
from vista_sim.geometry.pairs import Pair, find_pair, pair_hash
from vista_sim.geometry.rectify import Rectification
from vista_sim.geometry.refine import detail, refine
from vista_sim.geometry.settings import StereoMatching
from vista_sim.geometry.source import BakeContext, Estimate, Floats, SourceKind
from vista_sim.geometry.surface import fit_ground, smooth_ground
from vista_sim.traces.trace import Trace

_FRACTION = 16  # of OpenCV's fixed-point disparities
_TEXTURE_WINDOW = 5  # px


class StereoSource:
    """Stereo as a source. Frames without a partner get flat ground without confidence.

    Args:
        context: of the bake.
        pair: the camera that is baked, and the one it is matched with.
    """

    name = "stereo"

    def __init__(self, context: BakeContext, pair: Pair) -> None:
        self._pair = pair
        self._ground = context.ground
        self._settings = context.settings.stereo
        self._window = context.settings.matching.ground_window
        self._rectified = Rectification(pair, context.lens)
        lens = self._rectified.lens
        # The rectified camera is turned against the recorded one, which the ground must know.
        self._flat = ground_inverse_depth(lens, context.mount @ self._rectified.turn)
        self._per_disparity = 1.0 / (lens.fx * pair.baseline)  # 1/m a pixel
        largest = context.scale * 65535 / self._per_disparity
        self._count = int(np.clip(16 * np.ceil(largest / 16), 16, 16 * (lens.size[1] // 16)))

    def estimate(self, index: int) -> Estimate:
        partner = int(self._pair.partners[index])
        if partner < 0:
            return Estimate(self._ground.copy(), np.zeros_like(self._ground))
        own = self._rectified.own(self._pair.own.frame(index))
        other = self._rectified.other(self._pair.other.frame(partner))
        disparity, sure = match_pair(own, other, self._pair.side, self._count, self._settings)
        sure = np.where(self._seen_by_both(disparity), sure, np.float32(0))
        values = self._refined(disparity, own, other)
        reliable = sure > 0
        plane = fit_ground(np.where(reliable, values, np.float32(-1.0)), self._flat)
        filled = fill(values, reliable, own, plane)
        smooth, averaged = smooth_ground(filled, plane, self._window)
        sure = np.where(averaged, np.maximum(sure, cv2.blur(sure, (9, 9))), sure)
        found = self._rectified.to_recorded(smooth, sure.astype(np.float32), self._ground)
        return Estimate(*found)

    def _seen_by_both(self, disparity: Floats) -> NDArray[np.bool_]:
        """Where there is a recorded pixel in both images (h, w), at a disparity (px)."""
        v, u = np.mgrid[0 : disparity.shape[0], 0 : disparity.shape[1]].astype(np.float32)
        there = cv2.remap(
            self._rectified.other_seen, u - self._pair.side * disparity, v, cv2.INTER_NEAREST
        )
        return np.asarray((there > 0) & (self._rectified.own_seen > 0))

    def _refined(
        self, disparity: Floats, own: NDArray[np.uint8], other: NDArray[np.uint8]
    ) -> Floats:
        """Inverse depth where the brightness of both images fits best, from disparity (px)."""
        shift = np.array([[-self._pair.side / self._per_disparity, 0.0, 0.0]], np.float32)
        return refine(
            np.maximum(disparity, 0.0) * np.float32(self._per_disparity),
            detail(own),
            detail(other)[None],
            np.eye(3, dtype=np.float32)[None],
            shift,
            self._settings.refinements,
            0.5 * self._per_disparity,
        )


def match_pair(
    own: NDArray[np.uint8],
    other: NDArray[np.uint8],
    side: int,
    count: int,
    settings: StereoMatching,
) -> tuple[Floats, Floats]:
    """Disparity of a rectified image against the one beside it.

    Args:
        own, other: (h, w) gray.
        side: +1 if the other camera is to the right, -1 if to the left.
        count: disparities looked for, from 0; a multiple of 16.

    Returns:
        Disparity (h, w), px, and confidence (h, w), 0 to 1, by how well the match back fits
        and by texture; 0 where there is none.
    """
    left, right = (own, other) if side > 0 else (own[:, ::-1], other[:, ::-1])
    there = _disparity(left, right, count, settings)
    back = _disparity(right[:, ::-1], left[:, ::-1], count, settings)[:, ::-1]
    u = np.arange(own.shape[1], dtype=np.float32)
    v = np.repeat(np.arange(own.shape[0], dtype=np.float32)[:, None], own.shape[1], axis=1)
    met = cv2.remap(
        np.ascontiguousarray(back),
        u - there,
        v,
        cv2.INTER_NEAREST,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=-1e3,
    )
    apart = np.abs(met - there)
    sure = 1.0 / (1.0 + (apart / settings.half_sure) ** 2)
    # Where nothing changes along the row, both directions only repeat what is beside it.
    change = np.abs(cv2.Sobel(left, cv2.CV_32F, 1, 0, ksize=3)) / 8.0
    sure *= np.minimum(1.0, cv2.blur(change, (_TEXTURE_WINDOW,) * 2) / settings.texture)
    sure = np.where((there >= 0) & (apart < settings.tolerance), sure, 0.0)
    if side < 0:
        there, sure = there[:, ::-1], sure[:, ::-1]
    return np.ascontiguousarray(there, np.float32), np.ascontiguousarray(sure, np.float32)


def _disparity(
    left: NDArray[np.uint8], right: NDArray[np.uint8], count: int, settings: StereoMatching
) -> Floats:
    """Disparity (h, w) of the left image, px; negative where none was found."""
    area = settings.block**2
    matcher = cv2.StereoSGBM.create(
        minDisparity=0,
        numDisparities=count,
        blockSize=settings.block,
        P1=settings.small_step_penalty * area,
        P2=settings.large_step_penalty * area,
        disp12MaxDiff=-1,
        preFilterCap=settings.gradient_cap,
        uniquenessRatio=settings.uniqueness,
        speckleWindowSize=settings.speckle,
        speckleRange=1,
        mode=cv2.StereoSGBM_MODE_SGBM_3WAY,
    )
    # OpenCV leaves a margin as wide as the largest disparity unmatched.
    wide = [cv2.copyMakeBorder(x, 0, 0, count, 0, cv2.BORDER_REPLICATE) for x in (left, right)]
    fixed = matcher.compute(*wide)[:, count:]
    return np.asarray(fixed, np.float32) / np.float32(_FRACTION)


class _Stereo(SourceKind):
    """It needs a second camera beside the first."""

    def offered(self, trace: Trace, camera: str) -> bool:
        try:
            self._pair(trace, camera)
        except GeometryError:
            return False
        return True

    def inputs(self, trace: Trace, camera: str, model: Path | None) -> str:
        return pair_hash(trace, self._pair(trace, camera))

    def files(self, trace: Trace, camera: str) -> Sequence[Path]:
        return (self._pair(trace, camera).other.path,)

    def make(self, context: BakeContext) -> StereoSource:
        pair = find_pair(context.trace, context.recorded.name, context.settings.stereo)
        return StereoSource(context, pair)

    def _pair(self, trace: Trace, camera: str) -> Pair:
        return find_pair(trace, camera, StereoMatching())


STEREO = _Stereo()
