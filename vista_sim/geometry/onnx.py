"""A user's own depth model in ONNX format, run by ONNX Runtime.

What the file does not say stands in a JSON file of the same name beside it (depth.onnx,
depth.json); all fields may be left out:

    layout         "NCHW" or "NHWC"; by the model's input where that shows it
    size           [height, width] of its input, or "dynamic"; by the model's input
    multiple       sides of a dynamic input are multiples of this; 32
    colour         "RGB", "BGR" or "gray"; by the number of channels
    scale          what a pixel value 0..255 is multiplied by; 1/255
    mean, std      subtracted, and divided by, after that; one number or one per channel;
                   those of ImageNet
    output         "inverse_depth" (or disparity; what is near is large) or "depth"
    kind           "relative" (scale and shift are unknown) or "metric" (m, or 1/m)
    align          whether the scale of a metric model is corrected; true
    input_name, output_name    where the model has several
    name           for messages

The defaults are those of MiDaS, DPT and Depth Anything.
"""

from __future__ import annotations

import dataclasses
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vista_sim.errors import GeometryError
from vista_sim.files import one_line, read_json, require_file, shown
from vista_sim.onnx_session import open_session
from vista_sim.traces.calibration import Lens

_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)
_DYNAMIC_PIXELS = 400_000  # a dynamic input has at most so many
_MOST_PIXELS = 2**26  # of an input and an output
_NEAREST = 0.01  # m; depth at or below is none
_TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(uint8)": np.uint8}
_CHOICES = {
    "layout": ("NCHW", "NHWC"),
    "colour": ("RGB", "BGR", "gray"),
    "output": ("inverse_depth", "depth"),
    "kind": ("relative", "metric"),
}


@dataclass(frozen=True)
class OnnxSettings:
    """What the JSON file beside a model says; see the module. None: to be found in the model."""

    layout: str | None = None
    size: tuple[int, int] | None = None
    multiple: int = 32
    colour: str | None = None
    scale: float = 1.0 / 255.0
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    output: str = "inverse_depth"
    kind: str = "relative"
    align: bool = True
    input_name: str | None = None
    output_name: str | None = None
    name: str | None = None

    @classmethod
    def read(cls, path: Path) -> OnnxSettings:
        """Read a JSON file; the defaults where there is none. Raises GeometryError."""
        if not os.path.exists(path):
            return cls()
        values = read_json(path, GeometryError)
        if not isinstance(values, dict):
            raise GeometryError(f"{path}: must hold an object of fields, such as {{}}")
        known = [f.name for f in dataclasses.fields(cls)]
        for field in values:
            if field not in known:
                raise GeometryError(
                    f"{path}: field {shown(field)} is unknown; known: {', '.join(known)}"
                )
        checked = {name: _checked(path, name, value) for name, value in values.items()}
        return cls(**checked)


class OnnxDepth:
    """An ONNX file as a `models.DepthModel`.

    Args:
        path: the file.

    Raises:
        GeometryError: it cannot be read, is no ONNX model, does not take one picture, or its
            JSON file says what cannot be.
        MissingDependencyError: ONNX Runtime is not installed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._json = path.with_suffix(".json")
        self.settings = settings = OnnxSettings.read(self._json)
        self.name = settings.name or path.name
        self.metric = settings.kind == "metric"
        self.align = settings.align
        if not (self.align or self.metric):
            raise GeometryError(
                f"{self._json}: field 'align' is false; a relative model has no scale of its own"
            )
        self._session = _open(path)
        inputs = {value.name: value for value in self._session.get_inputs()}
        outputs = {value.name: value for value in self._session.get_outputs()}
        self._input = self._named(inputs, settings.input_name, "input_name")
        self._output = self._named(outputs, settings.output_name, "output_name").name
        others = sorted(set(inputs) - {self._input.name})
        if others:
            raise GeometryError(f"{path}: needs the further input {others[0]!r}; one is fed")
        if self._input.type not in _TYPES:
            raise GeometryError(
                f"{path}: input {self._input.name!r} is {self._input.type}; it must be one of "
                f"{', '.join(_TYPES)}"
            )
        self._dtype = _TYPES[self._input.type]
        self._layout, self._channels, self._size = self._shape()
        self._colour = settings.colour or ("gray" if self._channels == 1 else "RGB")
        if (self._colour == "gray") != (self._channels == 1):
            raise GeometryError(
                f"{self._json}: field 'colour' is {self._colour!r}; the model's input has "
                f"{self._channels} channels"
            )
        self._mean, self._std = self._normalization()

    def input_size(self, size: tuple[int, int]) -> tuple[int, int]:
        if self._size is not None:
            return self._size
        shrink = min(1.0, math.sqrt(_DYNAMIC_PIXELS / (size[0] * size[1])))
        step = self.settings.multiple
        height, width = (max(step, step * round(side * shrink / step)) for side in size)
        return height, width

    def predict(
        self,
        picture: NDArray[np.uint8],
        lens: Lens,
        T_vehicle_camera: NDArray[np.float64],
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """What the model says of one picture, as inverse depth; see `models.DepthModel`."""
        try:
            (answer,) = self._session.run([self._output], {self._input.name: self._fed(picture)})
        except Exception as error:  # ONNX Runtime's own classes, without a common base
            reason = one_line(error)
            raise GeometryError(f"{self.path}: does not run on its input ({reason})") from None
        values = self._plane(np.asarray(answer))
        if not np.isfinite(values).all():
            raise GeometryError(
                f"{self.path}: output {self._output!r} holds values that are not finite"
            )
        if self.settings.output == "depth":
            values = np.where(values > _NEAREST, 1.0 / np.maximum(values, _NEAREST), 0.0)
        return values.astype(np.float32), np.ones(values.shape, np.float32)

    def _fed(self, picture: NDArray[np.uint8]) -> NDArray[Any]:
        """The picture as the model wants it."""
        if self._colour == "gray":
            colours = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)[..., None]
        else:
            colours = picture[..., ::-1] if self._colour == "BGR" else picture
        if self._dtype == np.uint8:
            values: NDArray[Any] = colours
        else:
            scaled = colours.astype(np.float32) * np.float32(self.settings.scale)
            values = ((scaled - self._mean) / self._std).astype(self._dtype)
        if self._layout == "NCHW":
            values = values.transpose(2, 0, 1)
        return np.ascontiguousarray(values[None])

    def _plane(self, answer: NDArray[Any]) -> NDArray[np.float64]:
        """The output (h, w) without the dimensions of size one around it."""
        sides = [side for side in answer.shape if side != 1]
        if answer.size > _MOST_PIXELS:
            raise GeometryError(
                f"{self.path}: output {self._output!r} has the shape {answer.shape}; that is more "
                f"than {_MOST_PIXELS} pixels"
            )
        if answer.ndim > 4 or len(sides) != 2 or not np.issubdtype(answer.dtype, np.number):
            raise GeometryError(
                f"{self.path}: output {self._output!r} is {answer.dtype} of shape {answer.shape}; "
                "it must be one number per pixel, such as (1, 1, height, width)"
            )
        return answer.reshape(sides).astype(np.float64)

    def _named(self, values: dict[str, Any], name: str | None, field: str) -> Any:
        if not values:
            raise GeometryError(f"{self.path}: has no {field.partition('_')[0]}; a model needs one")
        if name is None:
            return next(iter(values.values()))
        if name not in values:
            raise GeometryError(
                f"{self._json}: field {field!r} is {name!r}; the model has {', '.join(values)}"
            )
        return values[name]

    def _shape(self) -> tuple[str, int, tuple[int, int] | None]:
        """Layout, channels and size (None: dynamic) of the input."""
        settings, shape = self.settings, list(self._input.shape)
        where = f"{self.path}: input {self._input.name!r} has shape {shape}"
        if len(shape) != 4 or (isinstance(shape[0], int) and shape[0] != 1):
            raise GeometryError(f"{where}; it must be one picture: (1, 3, height, width)")
        layout = settings.layout
        if layout is None:
            layout = "NHWC" if shape[3] in (1, 3) and shape[1] not in (1, 3) else "NCHW"
        channels, sides = (shape[1], shape[2:]) if layout == "NCHW" else (shape[3], shape[1:3])
        if not isinstance(channels, int):
            channels = 1 if settings.colour == "gray" else 3
        if channels not in (1, 3):
            raise GeometryError(f"{where}; in layout {layout} it must have 1 or 3 channels")
        size = settings.size
        for side, (found, name) in enumerate(zip(sides, ("height", "width"), strict=True)):
            if isinstance(found, int) and size is not None and size[side] != found:
                raise GeometryError(
                    f"{self._json}: field 'size' has {name} {size[side]}; the model takes {found}"
                )
        if size is None and all(isinstance(side, int) for side in sides):
            size = (sides[0], sides[1])
        if size is None and any(isinstance(side, int) for side in sides):
            raise GeometryError(f"{where}; name both sides in field 'size' of {self._json}")
        if size is not None and not (min(size) >= 1 and size[0] * size[1] <= _MOST_PIXELS):
            raise GeometryError(f"{where}; that is no picture of at most {_MOST_PIXELS} pixels")
        return layout, channels, size

    def _normalization(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Mean and deviation for each channel."""
        settings = self.settings
        gray = self._channels == 1
        mean = settings.mean or ((sum(_IMAGENET_MEAN) / 3,) if gray else _IMAGENET_MEAN)
        std = settings.std or ((sum(_IMAGENET_STD) / 3,) if gray else _IMAGENET_STD)
        for name, numbers in (("mean", mean), ("std", std)):
            if len(numbers) not in (1, self._channels):
                raise GeometryError(
                    f"{self._json}: field {name!r} has {len(numbers)} numbers; the model's input "
                    f"has {self._channels} channels"
                )
        return np.array(mean, np.float32), np.array(std, np.float32)


def _open(path: Path) -> Any:
    """An inference session on one thread: the bake's workers are the others."""
    require_file(path, GeometryError, "no such file; onnx:FILE names a depth model")
    return open_session(path, "depth models in ONNX format", GeometryError)


def _checked(path: Path, name: str, value: Any) -> Any:
    """The value of a field if it can be one. Raises GeometryError."""

    def wrong(wanted: str) -> GeometryError:
        return GeometryError(f"{path}: field {name!r} is {shown(value)}; it must be {wanted}")

    if name in _CHOICES:
        if not isinstance(value, str) or value not in _CHOICES[name]:
            raise wrong(" or ".join(f"{c!r}" for c in _CHOICES[name]))
        return value
    if name in ("mean", "std"):
        numbers = value if isinstance(value, list) else [value]
        if not numbers or not all(_is_number(n) and (name == "mean" or n > 0) for n in numbers):
            raise wrong("a number or one per channel" + (", positive" if name == "std" else ""))
        return tuple(float(n) for n in numbers)
    if name == "size":
        if value == "dynamic":
            return None
        sound = isinstance(value, list) and len(value) == 2
        if not (sound and all(type(side) is int and 8 <= side <= 8192 for side in value)):
            raise wrong('[height, width] in pixels, or "dynamic"')
        return tuple(value)
    if name == "multiple":
        if type(value) is not int or not 1 <= value <= 512:
            raise wrong("a whole number from 1 to 512")
    elif name == "scale":
        if not (_is_number(value) and value > 0):
            raise wrong("a positive number")
    elif name == "align":
        if not isinstance(value, bool):
            raise wrong("true or false")
    elif not isinstance(value, str):
        raise wrong("text")
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and -1e30 < value < 1e30
