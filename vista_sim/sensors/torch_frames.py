"""Recorded frames that stay on a device: images and inverse depth in slots of a few large tensors.

A frame takes 4 bytes a pixel for its image, 6 for its inverse depth with slopes, and a quarter
of 6 for the inverse depth at half the resolution.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vista_sim.sensors.torch_kernels import CODE_ZERO
from vista_sim.sensors.warp import SAME_SURFACE, SourceFrame

if TYPE_CHECKING:
    from vista_sim.sensors.frames import FrameCache

#: Frames brought to the device in one go: what they take on the way there stays small.
_BLOCK = 16


class ResidentFrames:
    """Frames of one or more recorded cameras on a device, least recently used ones dropped.

    Frames of different sizes share the tensors; the smaller ones leave their right and lower
    part unused. One thread at a time may use it.

    Args:
        caches: of the recorded cameras.
        device: where the frames are kept.
        capacity_bytes: how much they may take there.
        least: how many are kept at least.

    Attributes:
        images: int32 (slots, h, w), a pixel's red, green and blue in the lower three bytes.
        geometry: int16 (slots, 3, h, w), see `geometry_of`.
        coarse: int16 (slots, 3, ceil(h / 2), ceil(w / 2)), that of every second row and column.
        scales: float32 (slots,), 1/m per step of the code.
        slots: int64, slot of every frame (`key` is its place), -1 where it is not resident.
    """

    def __init__(
        self, caches: Sequence[FrameCache], device: torch.device, capacity_bytes: int, least: int
    ) -> None:
        self.caches = caches
        self.device = device
        h, w = (max(cache.size[i] for cache in caches) for i in (0, 1))
        coarse = (-(-h // 2), -(-w // 2))
        counts = [len(cache.times) for cache in caches]
        self.first_key = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        self.frame_bytes = 10 * h * w + 6 * coarse[0] * coarse[1]
        # Positions in `images` are 32-bit integers on the device.
        most = (2**31 - 1) // (h * w)
        self.capacity = min(max(least, capacity_bytes // self.frame_bytes), sum(counts), most)
        n = self.capacity
        self.images = torch.empty((n, h, w), dtype=torch.int32, device=device)
        self.geometry = torch.empty((n, 3, h, w), dtype=torch.int16, device=device)
        self.coarse = torch.empty((n, 3, *coarse), dtype=torch.int16, device=device)
        self.scales = torch.zeros(n, dtype=torch.float32, device=device)
        self._slot_of = np.full(sum(counts), -1, dtype=np.int64)
        self.slots = torch.from_numpy(self._slot_of.copy()).to(device)
        self._used: OrderedDict[int, int] = OrderedDict()  # key to slot, oldest first

    def keys(self, recorded: NDArray[np.int64], frames: NDArray[np.int64]) -> NDArray[np.int64]:
        """Numbers of frames among those of all cameras; -1 where `frames` is -1: none.

        Raises:
            ValueError: no such camera or frame.
        """
        count = len(self.caches)
        bad = recorded[(recorded < 0) | (recorded >= count)]
        if bad.size:
            raise ValueError(f"recorded is {bad[0]}; there are {count} cameras")
        first, last = (
            np.array([getattr(cache, end) for cache in self.caches])[recorded]
            for end in ("first", "last")
        )
        wrong = np.argwhere((frames != -1) & ((frames < first) | (frames > last)))
        if wrong.size:
            at = tuple(wrong[0])
            raise ValueError(
                f"frame is {frames[at]}; usable frames of camera {recorded[at]} are "
                f"{first[at]} to {last[at]}"
            )
        return np.where(frames >= 0, self.first_key[recorded] + frames, -1)

    def hold(self, keys: NDArray[np.int64]) -> None:
        """Make frames resident by their keys (-1: none), dropping others where there is no room.

        Raises:
            ValueError: more frames than there are slots.
        """
        wanted = dict.fromkeys(keys[keys >= 0].tolist())
        if len(wanted) > self.capacity:
            raise ValueError(
                f"{len(wanted)} frames are wanted at once; resident_bytes has room for "
                f"{self.capacity} of {self.frame_bytes} bytes"
            )
        missing = []
        for key in wanted:
            if key in self._used:
                self._used.move_to_end(key)
            else:
                missing.append(key)
        # Those wanted are the most recently used by now: what is dropped is not among them.
        for start in range(0, len(missing), _BLOCK):
            block = missing[start : start + _BLOCK]
            frames = [self._load(key) for key in block]
            self._write([self._take_slot(key) for key in block], frames)
            self.slots.copy_(send(self._slot_of, self.device))

    def slots_of(self, keys: NDArray[np.int64]) -> NDArray[np.int64]:
        """Slots of frames by their keys; -1 where a frame is not resident, or the key is -1."""
        return np.where(keys >= 0, self._slot_of[keys], -1)

    def _take_slot(self, key: int) -> int:
        if len(self._used) < self.capacity:
            slot = len(self._used)
        else:
            dropped, slot = self._used.popitem(last=False)
            self._slot_of[dropped] = -1
        self._used[key] = slot
        self._slot_of[key] = slot
        return slot

    def _load(self, key: int) -> SourceFrame:
        recorded = int(np.searchsorted(self.first_key, key, side="right")) - 1
        return self.caches[recorded][key - int(self.first_key[recorded])]

    def _write(self, slots: list[int], frames: list[SourceFrame]) -> None:
        n, (h, w), (ch, cw) = len(slots), self.images.shape[1:], self.coarse.shape[2:]
        images = np.zeros((n, h, w, 4), dtype=np.uint8)
        geometry = np.zeros((n, 3, h, w), dtype=np.int16)
        coarse = np.zeros((n, 3, ch, cw), dtype=np.int16)
        for i, frame in enumerate(frames):
            rows, columns = frame.codes.shape
            images[i, :rows, :columns, :3] = frame.image
            geometry[i, :, :rows, :columns] = geometry_of(frame.codes)
            rows, columns = frame.coarse_codes.shape
            coarse[i, :, :rows, :columns] = geometry_of(frame.coarse_codes)
        scales = np.array([frame.scale for frame in frames], dtype=np.float32)
        places = send(np.array(slots, dtype=np.int64), self.device)
        # Bytes in the order of memory: red is the lowest on every machine PyTorch runs on.
        packed = images.view(np.int32)[..., 0]
        for tensor, block in (
            (self.images, packed),
            (self.geometry, geometry),
            (self.coarse, coarse),
            (self.scales, scales),
        ):
            tensor.index_copy_(0, places, send(block, self.device))


def send(array: NDArray[np.generic], device: torch.device) -> Tensor:
    """A copy of an array on the device; the host does not wait for it."""
    tensor = torch.from_numpy(array.copy())
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def chunks(keys: NDArray[np.int64], most_views: int, most_frames: int) -> Iterator[slice]:
    """Parts of a batch, in order, of at most so many views, from at most so many frames together.

    Args:
        keys: (n, m), of the frames of each view, -1: none.

    A view of more frames than that is a part of its own.
    """
    start = 0
    while start < len(keys):
        part = slice(start, min(start + most_views, len(keys)))
        if _count(keys[part]) > most_frames:
            fitting = 1
            while _count(keys[start : start + fitting + 1]) <= most_frames:
                fitting += 1
            part = slice(start, start + fitting)
        yield part
        start = part.stop


def _count(keys: NDArray[np.int64]) -> int:
    return int((np.unique(keys) >= 0).sum())


def geometry_of(codes: NDArray[np.uint16]) -> NDArray[np.int16]:
    """Codes with their slopes as a device keeps them: int16 (3, h, w).

    The code less CODE_ZERO, and twice its change per pixel along u and v where three
    neighbours lie on one surface (`reference._slope`), else 0. Twice the change is a whole
    number, and small where it is not 0.
    """
    code = codes.astype(np.int32)
    slopes = [_twice_slope(code, axis) for axis in (1, 0)]
    return np.stack([code - CODE_ZERO, *slopes]).astype(np.int16)


def _twice_slope(code: NDArray[np.int32], axis: int) -> NDArray[np.int32]:
    padded = np.pad(code, [(1, 1) if i == axis else (0, 0) for i in (0, 1)], mode="edge")
    n = code.shape[axis]
    change = np.take(padded, range(2, n + 2), axis) - np.take(padded, range(n), axis)
    return np.where(np.abs(0.5 * change) <= 0.5 * SAME_SURFACE * code, change, 0)
