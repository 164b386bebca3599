"""The images that matching works on: small, gray, and without lens distortion."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vista_sim.geometry.census import census
from vista_sim.geometry.resample import sample_inverse_depth
from vista_sim.traces.calibration import Lens

Floats = NDArray[np.float32]

_MAX_TANGENT = 2.2  # of the angle from the axis (66 degrees): a pinhole image wastes pixels beyond
_MAX_GROWTH = 1.4  # of each side of the working image over the geometry's


class WorkingCamera:
    """The ideal pinhole camera that stands for a recorded one while matching.

    Args:
        lens: of the recorded camera at the geometry's size, with distortion.

    Attributes:
        lens: of the working images: that of the geometry if it is ideal already; else with
            the same focal lengths, and a size that covers what the recorded camera sees.
        matrix: K, float64 (3, 3).
    """

    def __init__(self, lens: Lens) -> None:
        self.geometry_lens = lens
        self._to_working: tuple[Floats, Floats] | None = None
        self._to_recorded: tuple[Floats, Floats] | None = None
        if lens.distorted:
            rays = lens.rays()
            with np.errstate(divide="ignore", invalid="ignore"):
                slopes = rays[..., :2] / rays[..., 2:]
            slopes[rays[..., 2] < 1e-3] = np.nan
            self.lens = covering_lens(lens, slopes)
            # Recorded pixel of each working pixel, and the other way round.
            there = lens.project(self.lens.rays())
            self._to_working = pixel_maps(there)
            focal = np.array([self.lens.fx, self.lens.fy])
            self._to_recorded = pixel_maps(slopes * focal + [self.lens.cx, self.lens.cy])
        else:
            self.lens = lens
        self.matrix = self.lens.matrix

    def gray(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The working image, uint8 (h, w), of a recorded RGB one of any size."""
        gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        size = self.geometry_lens.size
        if gray.shape != size:
            smaller = size[0] < gray.shape[0]
            how = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
            gray = cv2.resize(gray, size[::-1], interpolation=how)
        if self._to_working is not None:
            gray = cv2.remap(
                gray, *self._to_working, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
            )
        return np.ascontiguousarray(gray, dtype=np.uint8)

    def colours(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A recorded RGB image of any size at the geometry's (h, w, 3), distortion included."""
        size = self.geometry_lens.size
        if image.shape[:2] == size:
            return image
        return np.asarray(cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA), np.uint8)

    def to_recorded(self, values: Floats, outside: Floats) -> Floats:
        """Bring inverse depth (h, w) of the working grid onto the recorded one.

        Args:
            values: (h, w) of the working image.
            outside: (h, w) of the geometry, taken where the working image does not reach.
        """
        if self._to_recorded is None:
            return values
        return sample_inverse_depth(values, *self._to_recorded, outside)

    def nearest_to_recorded(self, values: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Bring uint8 (h, w) of the working grid onto the recorded one; 0 where it has none."""
        if self._to_recorded is None:
            return values
        moved: NDArray[np.uint8] = cv2.remap(
            values, *self._to_recorded, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT
        )
        return moved


@dataclass(frozen=True, eq=False)
class WorkingFrame:
    """One recorded frame, ready for matching."""

    gray: NDArray[np.uint8]  # (h, w)
    census: NDArray[np.uint32]  # (h, w)
    colours: NDArray[np.uint8]  # (h, w, 3) as recorded, at the geometry's size


class WorkingFrames:
    """Working frames by index, made on request and shared between threads.

    Args:
        camera: how they are made.
        read: gives the recorded RGB frame of an index.
        capacity: how many are kept; the least recently used go first.
    """

    def __init__(
        self, camera: WorkingCamera, read: Callable[[int], NDArray[np.uint8]], capacity: int
    ) -> None:
        self.camera = camera
        self._read = read
        self._capacity = max(1, capacity)
        self._frames: OrderedDict[int, _Slot] = OrderedDict()
        self._lock = threading.Lock()

    def __getitem__(self, index: int) -> WorkingFrame:
        with self._lock:
            slot = self._frames.setdefault(index, _Slot())
            self._frames.move_to_end(index)
            while len(self._frames) > self._capacity:
                self._frames.popitem(last=False)
        with slot.lock:  # the other thread may be making this very frame
            if slot.frame is None:
                image = self._read(index)
                gray = self.camera.gray(image)
                slot.frame = WorkingFrame(gray, census(gray), self.camera.colours(image))
            return slot.frame


class _Slot:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.frame: WorkingFrame | None = None


def covering_lens(lens: Lens, slopes: NDArray[np.float64]) -> Lens:
    """An ideal lens with the same focal lengths that covers the slopes (h, w, 2) = (x, y) / z."""
    limit = np.clip(np.nan_to_num(slopes, nan=0.0), -_MAX_TANGENT, _MAX_TANGENT)
    low, high = limit.min(axis=(0, 1)), limit.max(axis=(0, 1))
    height, width = lens.size
    fx, fy = lens.fx, lens.fy
    w = int(np.clip(np.ceil(fx * (high[0] - low[0])) + 1, 8, width * _MAX_GROWTH))
    h = int(np.clip(np.ceil(fy * (high[1] - low[1])) + 1, 8, height * _MAX_GROWTH))
    cx = (w - 1) * (-low[0] / (high[0] - low[0]))
    cy = (h - 1) * (-low[1] / (high[1] - low[1]))
    return Lens("pinhole", fx, fy, float(cx), float(cy), (h, w))


def pixel_maps(pixels: NDArray[np.float64]) -> tuple[Floats, Floats]:
    """cv2.remap's maps of pixels (h, w, 2); far outside where they are not finite."""
    u, v = np.moveaxis(np.nan_to_num(pixels, nan=-1e6, posinf=-1e6, neginf=-1e6), -1, 0)
    u, v = np.clip(u, -1e6, 1e6), np.clip(v, -1e6, 1e6)
    return np.ascontiguousarray(u, np.float32), np.ascontiguousarray(v, np.float32)
