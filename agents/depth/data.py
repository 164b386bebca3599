"""What the depth network learns from: frames of traces, their neighbours, and known motion."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vista_sim.errors import GeometryError, TraceError
from vista_sim.geometry.ground import ground_inverse_depth
from vista_sim.geometry.neighbours import choose_neighbours, projections, stretches
from vista_sim.geometry.pinhole import PinholePictures
from vista_sim.geometry.settings import Matching, default_size
from vista_sim.geometry.store import GeometryStore
from vista_sim.geometry.working import WorkingCamera
from vista_sim.images import read_mask
from vista_sim.traces.trace import Trace

from .network import DepthNetConfig

_BLOCK = 10  # frames that are held out or trained on together: neighbours look alike
_HELD_OUT_BLOCKS = 10  # one block of so many is held out

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class DepthBatch:
    """Frames of one trace with k neighbours each."""

    image: Tensor  # (B, h, w, 3) uint8
    others: Tensor  # (B, k, h, w) float, gray, 0..1
    rotations: Tensor  # (B, k, 3, 3) K R K⁻¹ to the neighbour
    translations: Tensor  # (B, k, 3) K t
    ground: Tensor  # (B, h, w) inverse depth of flat ground times focal length, px/m
    focal: Tensor  # (B,) px
    known: Tensor  # (B, h, w) baked inverse depth, 1/m
    sure: Tensor  # (B, h, w) its confidence, 0..1; 0 where there is none
    scene: Tensor  # (B, h, w) 1 where the scene is seen, 0 where the own car hides it

    def to(self, device: torch.device) -> DepthBatch:
        return DepthBatch(**{name: t.to(device) for name, t in vars(self).items()})


class DepthDrive:
    """One camera of one trace, as the network sees it.

    Args:
        trace, camera: what is learned from.
        config: gives the size of the pictures.
        supervised: take the baked inverse depth along where there is some.

    Attributes:
        lens: of the pictures, ideal.
        neighbours: frames that each frame is compared with; none where the car hardly moves.
        baked: whether poses come from baked geometry.
    """

    def __init__(self, trace: Trace, camera: str, config: DepthNetConfig, supervised: bool) -> None:
        self.trace = trace
        self.camera = camera
        self.recorded = trace.cameras[camera]
        lens = self.recorded.calibration.lens
        ideal = WorkingCamera(lens.resized(default_size(lens.size))).lens
        self._pictures = PinholePictures(lens, ideal, config.input_size(ideal.size))
        self.lens = self._pictures.lens
        self.mount = self.recorded.calibration.T_vehicle_camera
        store = GeometryStore.find(trace, camera)
        self.baked = store is not None
        times = np.asarray(self.recorded.t, dtype=np.float64)
        if store is None:
            self.poses = np.array([trace.pose(float(t)) for t in times]) @ self.mount
        else:
            self.poses = np.asarray(store.poses)
        self.neighbours = choose_neighbours(
            self.poses[:, :3, 3], times, stretches(trace, times), Matching()
        )
        self.usable = [i for i, near in enumerate(self.neighbours) if near]
        if not self.usable:
            raise TraceError(
                f"{trace.root}: camera {camera!r} never moves far enough between frames to show "
                "depth; give another trace"
            )
        self.ground = ground_inverse_depth(self.lens, self.mount) * np.float32(self.lens.fx)
        self.scene = self._seen()
        self._store = store if supervised and store is not None and _teaches(store) else None
        if self._store is not None:
            u, v = np.moveaxis(self._store.lens.project(self.lens.rays()), -1, 0)
            u, v = (np.nan_to_num(x, nan=-9.0, posinf=-9.0, neginf=-9.0) for x in (u, v))
            self._in_store = u.clip(-9, 1e6).astype(np.float32), v.clip(-9, 1e6).astype(np.float32)

    @property
    def supervised(self) -> bool:
        """Whether there is baked inverse depth that is sure of something."""
        return self._store is not None

    def picture(self, index: int) -> NDArray[np.uint8]:
        """A frame as the network sees it, uint8 (h, w, 3)."""
        return self._pictures.picture(self.recorded.frame(index))

    def known(self, index: int) -> tuple[Floats, Floats]:
        """Baked inverse depth (1/m) and confidence (0..1) of a frame, both (h, w)."""
        if self._store is None:
            return np.zeros(self.lens.size, np.float32), np.zeros(self.lens.size, np.float32)
        values = cv2.remap(self._store.metric(index), *self._in_store, cv2.INTER_NEAREST)
        sure = np.asarray(self._store.confidence[index], np.float32) / np.float32(255)
        sure = cv2.remap(sure, *self._in_store, cv2.INTER_NEAREST, borderValue=0)
        return values, sure

    def split(self, seed: int) -> tuple[list[int], list[int]]:
        """Usable frames to train on, and those held out: blocks spread over the drive.

        Of a drive that has a single block, all frames are both.
        """
        rng = np.random.default_rng([seed, len(self.usable)])
        blocks = [self.usable[i : i + _BLOCK] for i in range(0, len(self.usable), _BLOCK)]
        out = {
            start + int(rng.integers(0, min(_HELD_OUT_BLOCKS, len(blocks) - start)))
            for start in range(0, len(blocks), _HELD_OUT_BLOCKS)
        }
        train = [i for b, block in enumerate(blocks) if b not in out for i in block]
        held_out = [i for b, block in enumerate(blocks) if b in out for i in block]
        return (train, held_out) if train else (held_out, held_out)

    def _seen(self) -> Floats:
        name = self.recorded.calibration.mask
        if name is None:
            return np.ones(self.lens.size, np.float32)
        size = self.recorded.calibration.lens.size
        mask = read_mask(self.trace.root / name, size, GeometryError)
        hidden = np.repeat(mask.astype(np.uint8)[..., None] * np.uint8(255), 3, axis=2)
        return (self._pictures.picture(hidden)[..., 0] == 0).astype(np.float32)


class DepthFrames:
    """Batches from several drives; a batch depends on nothing but the seed and the step.

    Args:
        drives: where frames come from.
        seed: of the held-out frames and of the batches.
        neighbours: how many each frame is compared with.
        cache_mib: memory for pictures that were decoded.
    """

    def __init__(
        self, drives: Sequence[DepthDrive], seed: int, neighbours: int, cache_mib: int
    ) -> None:
        self.drives = list(drives)
        self._seed = seed
        self._k = neighbours
        splits = [drive.split(seed) for drive in self.drives]
        self._train = [train for train, _ in splits]
        self._held_out = [held_out for _, held_out in splits]
        count = np.array([len(train) for train in self._train], dtype=np.float64)
        self._weight = count / count.sum()
        self._cache: OrderedDict[tuple[int, int], Any] = OrderedDict()
        pixels = max(drive.lens.size[0] * drive.lens.size[1] for drive in self.drives)
        # Three bytes of picture, four of inverse depth, four of confidence.
        self._capacity = max(16, cache_mib * 2**20 // (11 * pixels))

    def batch(self, step: int, size: int) -> DepthBatch:
        """`size` frames of one drive, drawn for this step."""
        rng = np.random.default_rng([self._seed, 1, step])
        d = int(rng.choice(len(self.drives), p=self._weight))
        indices = rng.choice(self._train[d], size, replace=len(self._train[d]) < size)
        return self._collate(d, [int(i) for i in indices], rng)

    def held_out(self, count: int, size: int) -> list[DepthBatch]:
        """Batches of up to `count` held-out frames of each drive, the same at every call."""
        batches = []
        for d, frames in enumerate(self._held_out):
            rng = np.random.default_rng([self._seed, 2, d])
            chosen = np.linspace(0, len(frames) - 1, min(count, len(frames))).round().astype(int)
            for start in range(0, len(chosen), size):
                part = [frames[i] for i in chosen[start : start + size]]
                batches.append(self._collate(d, part, rng))
        return batches

    def held_out_indices(self, drive: int) -> list[int]:
        """Frames of a drive that are not trained on."""
        return list(self._held_out[drive])

    def _collate(self, d: int, indices: list[int], rng: np.random.Generator) -> DepthBatch:
        drive = self.drives[d]
        images, others, rotations, translations, known, sure = [], [], [], [], [], []
        for i in indices:
            near = self._some(drive.neighbours[i], i, rng)
            picture, values, confidence = self._frame(d, i)
            images.append(picture)
            known.append(values)
            sure.append(confidence)
            others.append([_gray(self._frame(d, j)[0]) for j in near])
            r, t = projections(drive.lens.matrix, drive.poses, i, near)
            rotations.append(r)
            translations.append(t)
        count = len(indices)
        return DepthBatch(
            torch.from_numpy(np.stack(images)),
            torch.from_numpy(np.array(others, dtype=np.float32)),
            torch.from_numpy(np.stack(rotations)),
            torch.from_numpy(np.stack(translations)),
            torch.from_numpy(drive.ground).expand(count, -1, -1),
            torch.full((count,), drive.lens.fx, dtype=torch.float32),
            torch.from_numpy(np.stack(known)),
            torch.from_numpy(np.stack(sure)),
            torch.from_numpy(drive.scene).expand(count, -1, -1),
        )

    def _some(self, near: tuple[int, ...], index: int, rng: np.random.Generator) -> list[int]:
        """As many neighbours as wanted, from both sides where there are both."""
        sides = [[j for j in near if j < index], [j for j in near if j > index]]
        first = [int(rng.choice(side)) for side in sides if side][: self._k]
        rest = [j for j in near if j not in first]
        more = min(self._k - len(first), len(rest))
        chosen = first + [int(j) for j in rng.choice(rest, more, replace=False)] if more else first
        return (chosen * self._k)[: self._k]

    def _frame(self, d: int, index: int) -> tuple[NDArray[np.uint8], Floats, Floats]:
        key = (d, index)
        found: tuple[NDArray[np.uint8], Floats, Floats] | None = self._cache.get(key)
        if found is None:
            drive = self.drives[d]
            found = self._cache[key] = (drive.picture(index), *drive.known(index))
            while len(self._cache) > self._capacity:
                self._cache.popitem(last=False)
        self._cache.move_to_end(key)
        return found


def _teaches(store: GeometryStore) -> bool:
    """Whether baked geometry is sure of something that another depth network did not say."""
    some = slice(None, None, max(1, store.frame_count // 20))
    return store.settings.get("geometry") != "learned" and bool(store.confidence[some].any())


def _gray(picture: NDArray[np.uint8]) -> Floats:
    return cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32) / np.float32(255)
