"""From the camera's image to a model's tensor: crop, resize, colour, normalization, layout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vista_sim.errors import PolicyError
from vista_sim.policies.onnx.fields import Fields
from vista_sim.policies.onnx.history import History, check_kept, read_history
from vista_sim.policies.onnx.tensors import TensorInfo
from vista_sim.sensors.spec import CameraSpec

if TYPE_CHECKING:
    from vista_sim.world import Car

MAX_SIDE = 8192  # px
DTYPES = ("float32", "float16", "float64", "uint8", "int32", "int64")
COLOURS = ("RGB", "BGR", "gray", "YUV")
INTERPOLATIONS = {
    "nearest": cv2.INTER_NEAREST,
    "linear": cv2.INTER_LINEAR,
    "cubic": cv2.INTER_CUBIC,
    "area": cv2.INTER_AREA,
}
#: N: batch, T: time, C: channels, H: height, W: width.
LAYOUTS = ("NCHW", "NHWC", "NTCHW", "NTHWC", "NCTHW", "CHW", "HWC", "TCHW", "NHW", "NTHW", "HW")
FIELDS = (
    "name",
    "what",
    "sensor",
    "dtype",
    "shape",
    "crop",
    "resize",
    "colour",
    "scale",
    "mean",
    "std",
    "layout",
    "history",
)
_SIDES = ("top", "bottom", "left", "right")
_BOX = ("x", "y", "width", "height")


@dataclass(frozen=True, eq=False)
class CameraInput:
    """An input that holds images.

    Args:
        tensor: of the model.
        sensor: name of the camera.
        camera_size: (height, width) of the camera's image.
        rows, columns: of the camera's image that are kept.
        size: (height, width) to which they are resized; None: as they are.
        interpolation: name of one of OpenCV's.
        colour: order of channels, or another colour space.
        scale, mean, std: value = (pixel * scale - mean) / std; mean and std (C,).
        layout: order of dimensions, see `LAYOUTS`.
        history: frames stacked along T, or along C where the layout has no T.
    """

    tensor: TensorInfo
    sensor: str
    camera_size: tuple[int, int]
    rows: slice
    columns: slice
    size: tuple[int, int] | None
    interpolation: str
    colour: str
    scale: np.float32
    mean: NDArray[np.float32]
    std: NDArray[np.float32]
    layout: str
    history: History

    def frame(self, observation: Mapping[str, Any], car: Car | None = None) -> NDArray[Any]:
        """An observation's image as the model wants it, (H, W, C). Raises PolicyError."""
        image = np.asarray(observation[self.sensor])
        wanted = (*self.camera_size, 3)
        if image.shape != wanted:
            raise PolicyError(
                f"the {self.sensor} image has shape {image.shape}; this policy takes {wanted}"
            )
        if image.dtype != np.uint8:
            raise PolicyError(f"the {self.sensor} image is {image.dtype}; it must be uint8")
        image = image[self.rows, self.columns]
        if self.size is not None and image.shape[:2] != self.size:
            height, width = self.size
            method = INTERPOLATIONS[self.interpolation]
            image = cv2.resize(np.ascontiguousarray(image), (width, height), interpolation=method)
        if self.colour == "BGR":
            image = image[..., ::-1]
        elif self.colour == "gray":
            image = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)[..., None]
        elif self.colour == "YUV":
            image = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2YUV)
        if not self.tensor.dtype.startswith("float"):
            return image.astype(self.tensor.dtype)
        values = (image.astype(np.float32) * self.scale - self.mean) / self.std
        return values.astype(self.tensor.dtype)

    def arrange(self, frames: list[NDArray[Any]]) -> NDArray[Any]:
        """Frames (H, W, C) as the model's tensor."""
        if "T" in self.layout:
            values, letters = np.stack(frames), "THWC"
        else:
            values, letters = np.concatenate(frames, axis=-1), "HWC"
        if "C" not in self.layout:
            values, letters = values[..., 0], letters.replace("C", "")
        if "N" in self.layout:
            values, letters = values[None], "N" + letters
        order = [letters.index(letter) for letter in self.layout]
        return np.ascontiguousarray(values.transpose(order))


def read_camera_input(
    fields: Fields, tensor: TensorInfo, cameras: Mapping[str, CameraSpec], history: History
) -> CameraInput:
    """Read an entry of `inputs` that is a camera.

    Args:
        fields: the entry.
        tensor: that it names.
        cameras: of the policy, by name.
        history: where the entry has none of its own.

    Raises:
        PolicyError: a field is wrong, or what comes out does not fit the model.
    """
    if not cameras:
        raise PolicyError(f"{fields.where} takes the camera, but {fields.file}: camera is null")
    sensor = fields.choice("sensor", tuple(cameras), CameraSpec.kind)
    camera = cameras[sensor]
    if tensor.dtype not in DTYPES:
        raise PolicyError(
            f"{fields.where}: input {tensor.name!r} of the model is {tensor.dtype}; images can be "
            f"{', '.join(DTYPES)}"
        )
    rows, columns = _read_crop(fields, camera.size)
    size, interpolation = _read_resize(fields)
    colour = fields.choice("colour", COLOURS, "RGB")
    channels = 1 if colour == "gray" else 3
    scale = fields.number("scale", 1.0)
    mean, std = read_normalization(fields, channels, "channel")
    unchanged = scale == 1.0 and not mean.any() and bool((std == 1.0).all())
    if not tensor.dtype.startswith("float") and not unchanged:
        raise PolicyError(
            f"{fields.where}: scale, mean and std must be 1, 0 and 1, since input "
            f"{tensor.name!r} of the model is {tensor.dtype}"
        )
    layout = fields.choice("layout", LAYOUTS)
    if "C" not in layout and channels != 1:
        raise fields.wrong("layout", f"one with C, since colour is {colour!r}")
    history = read_history(fields, history)
    if "C" not in layout and "T" not in layout and history.frames > 1:
        raise fields.wrong("layout", f"one with T or C, to stack {history.frames} frames along")
    read = CameraInput(
        tensor,
        sensor,
        camera.size,
        rows,
        columns,
        size,
        interpolation,
        colour,
        np.float32(scale),
        mean,
        std,
        layout,
        history,
    )
    _check_shape(fields, read, channels)
    return read


def read_normalization(
    fields: Fields, count: int, of: str
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Fields `mean` and `std`, each one number or one per channel or entry, (count,)."""
    found = []
    for name, default in (("mean", 0.0), ("std", 1.0)):
        positive = ", positive" if name == "std" else ""
        wanted = f"a number, or a list of {count}, one per {of}{positive}"
        numbers = fields.numbers(name, wanted, default)
        if len(numbers) not in (1, count) or (name == "std" and min(numbers) <= 0):
            raise fields.wrong(name, wanted)
        found.append(np.broadcast_to(np.array(numbers, np.float32), (count,)))
    return found[0], found[1]


def _read_crop(fields: Fields, size: tuple[int, int]) -> tuple[slice, slice]:
    """Rows and columns that are kept."""
    height, width = size
    crop = fields.object("crop", (*_SIDES, *_BOX))
    if crop is None:
        return slice(0, height), slice(0, width)
    if any(name in crop.values for name in _BOX):
        mixed = [name for name in _SIDES if name in crop.values]
        if mixed:
            raise PolicyError(
                f"{crop.where} has {mixed[0]!r} beside a box; give {', '.join(_SIDES)}, or "
                f"{', '.join(_BOX)}"
            )
        x, y = crop.whole("x", 0, MAX_SIDE), crop.whole("y", 0, MAX_SIDE)
        right = x + crop.whole("width", 1, MAX_SIDE)
        bottom = y + crop.whole("height", 1, MAX_SIDE)
    else:
        cut = {name: crop.whole(name, 0, MAX_SIDE, 0) for name in _SIDES}
        x, y = cut["left"], cut["top"]
        right, bottom = width - cut["right"], height - cut["bottom"]
    if not (x < right <= width and y < bottom <= height):
        raise PolicyError(
            f"{crop.where} keeps columns {x} to {right} and rows {y} to {bottom}; the camera has "
            f"{width} columns and {height} rows"
        )
    return slice(y, bottom), slice(x, right)


def _read_resize(fields: Fields) -> tuple[tuple[int, int] | None, str]:
    resize = fields.object("resize", ("size", "interpolation"))
    if resize is None:
        return None, "linear"
    wanted = f"[height, width] in pixels, each from 1 to {MAX_SIDE}"
    size = resize.sizes("size", wanted, MAX_SIDE)
    if size is None or len(size) != 2:
        raise resize.wrong("size", wanted)
    return (size[0], size[1]), resize.choice("interpolation", tuple(INTERPOLATIONS), "linear")


def _check_shape(fields: Fields, read: CameraInput, channels: int) -> None:
    height, width = read.size or (
        read.rows.stop - read.rows.start,
        read.columns.stop - read.columns.start,
    )
    frames = read.history.frames
    sides = {"N": 1, "T": frames, "C": channels, "H": height, "W": width}
    if "T" not in read.layout:
        sides["C"] *= frames
    shape = tuple(sides[letter] for letter in read.layout)
    check_kept(
        fields, read.history, height * width * channels * np.dtype(read.tensor.dtype).itemsize
    )
    if not read.tensor.takes(shape):
        raise PolicyError(
            f"{fields.where}: camera, crop, resize, colour, history and layout {read.layout} make "
            f"the shape {shape}; input {read.tensor.name!r} of the model takes {read.tensor.shown}"
        )
