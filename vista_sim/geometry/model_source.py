"""A depth model as a source of geometry: its answers, aligned to what the motion shows."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vista_sim.errors import GeometryError
from vista_sim.geometry.alignment import (
    Fit,
    Points,
    SparseReference,
    fit_scale_and_shift,
    smoothed,
)
from vista_sim.geometry.models import (
    DepthModel,
    folder_hash,
    load_depth_model,
    model_beside,
    onnx_hash,
)
from vista_sim.geometry.pinhole import PinholePictures
from vista_sim.geometry.source import BakeContext, Estimate, SourceKind
from vista_sim.traces.trace import Trace

_TRUST = 0.4  # confidence of a model where all speaks for it: it has seen but one picture
_GROUND_TRUST = 0.2  # where its scale comes from flat ground
_RIGHT_SCALE = 0.05  # share by which a metric scale may seem off and still be left as it is
_SMOOTHING = 0.3  # s over which scale and shift are averaged
# Where a fit comes from.
_NO_FIT, _FROM_MOTION, _FROM_GROUND = 0, 1, 2


class ModelSource:
    """See `models.DepthModel`; the first pass asks the model, the second aligns its answers.

    A relative model gets scale and shift of inverse depth; a metric one a scale, if the motion
    shows over the whole drive that its own is wrong. Frames of a car that stands take those
    of the frames around them; where it never moves, a relative model is fitted to flat ground.

    Args:
        name: "learned" or "onnx".
        model: the model.
        context: of the bake.
    """

    def __init__(self, name: str, model: DepthModel, context: BakeContext) -> None:
        self.name = name
        self._model = model
        self._context = context
        self._camera = context.frames.camera
        self._reference = SparseReference(context)
        count, size = context.recorded.frame_count, self._camera.lens.size
        lens = context.recorded.calibration.lens
        fine = _full_size(size, lens.size, context.lens.size)
        wanted = model.input_size(fine)
        self._pictures = PinholePictures(lens, self._camera.lens, wanted)
        arrays = context.partial.array
        self._codes = arrays(f"{name}_codes.npy", (count, *size), np.uint16, work=True)
        self._sure = arrays(f"{name}_sure.npy", (count, *size), np.uint8, work=True)
        self._ends = arrays(f"{name}_ends.npy", (count, 2), np.float64, work=True)
        # Origin, scale, shift, share of inliers, points.
        self._fits = arrays(f"{name}_fits.npy", (count, 5), np.float64, work=True)
        self._times = np.asarray(context.recorded.t, dtype=np.float64)

    def prepare(self, index: int) -> None:
        """Ask the model about a frame, and fit its answer to what is known of it."""
        picture = self._pictures.picture(self._context.recorded.frame(index))
        try:
            values, sure = self._model.predict(picture, self._pictures.lens, self._context.mount)
        except GeometryError as error:
            raise GeometryError(f"{error} (frame {index})") from None
        size = self._camera.lens.size
        values = cv2.resize(values.astype(np.float64), size[::-1], interpolation=cv2.INTER_LINEAR)
        sure = cv2.resize(sure.astype(np.float32), size[::-1], interpolation=cv2.INTER_LINEAR)
        low, high = float(values.min()), float(values.max())
        step = max(high - low, 1e-12) / 65535
        self._codes[index] = np.round((values - low) / step).astype(np.uint16)
        self._sure[index] = np.clip(255 * sure + 0.5, 0, 255).astype(np.uint8)
        self._ends[index] = low, step
        self._fits[index] = self._fit(index, values)

    def estimate(self, index: int) -> Estimate:
        found = self._scale_and_shift(index)
        if found is None:
            raise GeometryError(
                f"{self._model.name}: its answers follow neither what the motion shows of the "
                "depth nor flat ground in any frame; is its output named rightly "
                "(inverse_depth or depth)?"
            )
        scale, shift, trust = found
        low, step = self._ends[index]
        values = self._codes[index].astype(np.float64) * step + low
        inverse_depth = np.maximum(scale * values + shift, 0.0).astype(np.float32)
        context = self._context
        inverse_depth = self._camera.to_recorded(inverse_depth, context.ground)
        sure = self._camera.nearest_to_recorded(self._sure[index])
        return Estimate(inverse_depth, sure.astype(np.float32) * np.float32(trust / 255))

    def report(self) -> dict[str, float]:
        """How the model was aligned: medians over the frames, and shares of them."""
        origin = self._fits[:, 0]
        own = self._fits[origin == _FROM_MOTION]
        middle = np.median(own[:, 1:4], axis=0) if len(own) else np.array([np.nan] * 3)
        values = {
            "frames_aligned_share": float((origin == _FROM_MOTION).mean()),
            "median_scale": float(middle[0]),
            "median_shift": float(middle[1]),
            "median_inlier_share": float(middle[2]),
        }
        return {name: value for name, value in values.items() if np.isfinite(value)}

    def _fit(self, index: int, values: NDArray[np.float64]) -> tuple[float, ...]:
        if not self._model.align:
            return (_NO_FIT, 1.0, 0.0, 0.0, 0.0)
        shift = not self._model.metric
        origin = _FROM_MOTION
        fit = _fit_at(values, self._reference.points(index), shift)
        if fit is None and shift:
            origin = _FROM_GROUND
            fit = _fit_at(values, self._reference.ground(), shift)
        if fit is None:
            return (_NO_FIT, 1.0, 0.0, 0.0, 0.0)
        return (origin, fit.scale, fit.shift, fit.inliers, fit.points)

    def _scale_and_shift(self, index: int) -> tuple[float, float, float] | None:
        """Scale, shift and what confidence they deserve."""
        kind, scales, shifts, inliers, points = self._fits.T
        if self._model.metric and (kind == _FROM_MOTION).any():
            # Of a single frame the motion does not tell the scale to a few percent.
            middle = float(np.median(scales[kind == _FROM_MOTION]))
            if abs(middle - 1.0) < _RIGHT_SCALE:
                return 1.0, 0.0, _TRUST
        for origin, trust in ((_FROM_MOTION, _TRUST), (_FROM_GROUND, _GROUND_TRUST)):
            weights = np.where(kind == origin, points * inliers**3, 0.0)
            found = smoothed(scales, shifts, weights, self._times, index, _SMOOTHING)
            if found is not None:
                return (*found, trust)
        return (1.0, 0.0, _GROUND_TRUST) if self._model.metric else None


def _fit_at(values: NDArray[np.float64], points: Points, shift: bool) -> Fit | None:
    height, width = values.shape
    u, v = points.pixels[:, 0].clip(0, width - 1), points.pixels[:, 1].clip(0, height - 1)
    around = np.ones((3, 3), np.uint8)
    vague = 0.5 * (cv2.dilate(values, around) - cv2.erode(values, around))
    return fit_scale_and_shift(values[v, u], points.inverse_depth, points.sigma, vague[v, u], shift)


def _full_size(
    working: tuple[int, int], recorded: tuple[int, int], geometry: tuple[int, int]
) -> tuple[int, int]:
    """Size of the working picture at the recording's resolution."""
    height, width = (
        max(8, round(w * r / g)) for w, r, g in zip(working, recorded, geometry, strict=True)
    )
    return height, width


class _Learned(SourceKind):
    """It needs a model folder, by default the one that was trained on the trace."""

    model = "FOLDER"

    def usual_model(self, trace: Trace) -> Path:
        return model_beside(trace)

    def inputs(self, trace: Trace, camera: str, model: Path | None) -> str:
        return folder_hash(model or model_beside(trace))

    def make(self, context: BakeContext) -> ModelSource:
        model = load_depth_model(context.settings.models["learned"])
        return ModelSource("learned", model, context)


class _Onnx(SourceKind):
    """It needs a model file."""

    model = "FILE"
    needs_model = True

    def inputs(self, trace: Trace, camera: str, model: Path | None) -> str:
        if model is None:
            raise GeometryError("geometry onnx needs a model; name it as onnx:FILE")
        return onnx_hash(model)

    def make(self, context: BakeContext) -> ModelSource:
        model = load_depth_model(f"onnx:{context.settings.models['onnx']}")
        return ModelSource("onnx", model, context)


LEARNED, ONNX = _Learned(), _Onnx()
