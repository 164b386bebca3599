"""How alike two pictures are, how wrong a depth is, and where a view's pixels are from."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage.metrics import structural_similarity

from vista_sim.sensors.warp import INPAINTED, MAIN, OTHER, View

Image = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Scores = dict[str, float]

FAR = 50.0  # m up to which depth is judged
FEWEST = 100  # pixels of a mask that are worth a score
GMSD_CONSTANT = 170.0  # T of Xue et al. for pictures of peak 255


def compare(image: Image, truth: Image, mask: Mask | None = None, margin: float = 0.0) -> Scores:
    """Scores of a picture against the true one.

    Args:
        image, truth: (h, w) gray or (h, w, 3) RGB.
        mask: (h, w) pixels that count; None: all.
        margin: share of each side that does not count.

    Returns:
        psnr: dB with peak 255. ssim: mean structural similarity with a Gaussian window of 11
        pixels and sigma 1.5, K1 0.01, K2 0.03 (Wang et al. 2004). gmsd: gradient magnitude
        similarity deviation, 0 for equal pictures (Xue et al. 2014). NaN for fewer than
        `FEWEST` pixels.
    """
    height, width = truth.shape[:2]
    top, left = round(margin * height), round(margin * width)
    inside = (slice(top, height - top), slice(left, width - left))
    chosen = np.ones((height - 2 * top, width - 2 * left), bool) if mask is None else mask[inside]
    if chosen.sum() < FEWEST:
        return dict.fromkeys(("psnr", "ssim", "gmsd"), math.nan)
    error = image[inside][chosen].astype(np.float64) - truth[inside][chosen]
    _, similarity = structural_similarity(
        image,
        truth,
        full=True,
        gaussian_weights=True,  # with sigma 1.5 a window of 11 pixels
        sigma=1.5,
        use_sample_covariance=False,
        data_range=255,
        channel_axis=None if truth.ndim == 2 else 2,
        K1=0.01,
        K2=0.03,
    )
    return {
        "psnr": 10 * math.log10(255**2 / max(float(np.mean(error**2)), 1e-10)),
        "ssim": float(np.mean(similarity[inside][chosen])),
        "gmsd": gmsd(image[inside], truth[inside], chosen),
    }


def gmsd(image: Image, truth: Image, mask: Mask | None = None) -> float:
    """Gradient magnitude similarity deviation of two pictures, over a mask (h, w) or all.

    Xue, Zhang, Mou, Bovik, "Gradient Magnitude Similarity Deviation: A Highly Efficient
    Perceptual Image Quality Index", IEEE TIP 2014, and its authors' code: gray pictures are
    halved by averaging, gradients are Prewitt's, the score is the deviation of their
    similarity. NaN for fewer than two pixels.
    """
    a, b = _gradient_magnitude(image), _gradient_magnitude(truth)
    similarity = (2 * a * b + GMSD_CONSTANT) / (a * a + b * b + GMSD_CONSTANT)
    if mask is not None:
        h, w = similarity.shape
        similarity = similarity[mask[: 2 * h : 2, : 2 * w : 2]]
    return float(np.std(similarity, ddof=1)) if similarity.size > 1 else math.nan


def _gradient_magnitude(image: Image) -> NDArray[np.float64]:
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) if image.ndim == 3 else image
    h, w = gray.shape[0] // 2, gray.shape[1] // 2
    half = gray[: 2 * h, : 2 * w].astype(np.float64).reshape(h, 2, w, 2).mean(axis=(1, 3))
    prewitt = np.array([[1.0, 0.0, -1.0]] * 3) / 3.0
    dx, dy = (
        cv2.filter2D(half, cv2.CV_64F, kernel, borderType=cv2.BORDER_CONSTANT)
        for kernel in (prewitt, prewitt.T)
    )
    return np.hypot(dx, dy)


def depth_scores(
    inverse_depth: NDArray[Any], depth: NDArray[Any], mask: Mask | None = None
) -> Scores:
    """How wrong inverse depth (h, w), 1/m, is where the true depth (h, w), m, is below 50 m.

    Returns:
        depth_error: mean error of inverse depth as a share of the true one.
        depth_off: share of pixels that are off by more than a tenth.
    """
    near = depth < FAR
    if mask is not None:
        near &= mask
    if near.sum() < FEWEST:
        return {"depth_error": math.nan, "depth_off": math.nan}
    error = np.abs(inverse_depth[near] * depth[near] - 1.0)
    return {"depth_error": float(error.mean()), "depth_off": float((error > 0.1).mean())}


def shares(view: View, mask: Mask | None = None) -> Scores:
    """Shares of pixels from the main frame, from other frames, and inpainted (holes)."""
    source = view.source if mask is None else view.source[mask]
    if source.size < FEWEST:
        return dict.fromkeys(("main", "other", "holes"), math.nan)
    return {
        "main": float((source == MAIN).mean()),
        "other": float((source == OTHER).mean()),
        "holes": float((source == INPAINTED).mean()),
    }


def mean(scores: Iterable[Scores]) -> Scores:
    """Mean of each score over pictures, NaN (nothing to be seen there) left out."""
    scores = list(scores)
    result = {}
    for key in scores[0] if scores else ():
        values = np.array([s[key] for s in scores])
        known = values[np.isfinite(values)]
        result[key] = round(float(known.mean()), 4) if len(known) else math.nan
    return result
