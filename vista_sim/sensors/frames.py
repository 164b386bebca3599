"""Recorded frames at working size with their inverse depth, decoded once and kept while in use."""

from __future__ import annotations

import hashlib
import logging
import shlex
import weakref
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from vista_sim.arrays import map_array
from vista_sim.errors import GeometryError, TraceError
from vista_sim.geometry.ground import ground_inverse_depth
from vista_sim.geometry.store import ARRAYS, DESCRIPTION, INVERSE_DEPTH, GeometryStore, remedied
from vista_sim.identity.files import State, state_of
from vista_sim.sensors.blocks import Block, BlockLayout, FrameBudget
from vista_sim.sensors.prefetch import prefetcher
from vista_sim.sensors.shrink import shrink
from vista_sim.sensors.warp import NO_CODE, SAME_SURFACE, SourceFrame
from vista_sim.traces.calibration import Lens
from vista_sim.traces.trace import Trace
from vista_sim.traces.video import RecordedCamera

logger = logging.getLogger(__name__)

_GROUND_SCALE = 1.0 / 65535  # 1/m per step of the code: down to 1 m
_ROOM = 32  # frames; in a smaller cache, what is decoded ahead would drive out what is in use
_AROUND = np.ones((5, 5), np.uint8)  # what moves is cut out with its fringe
_RECENT = 512  # indices remembered as just used
_PACES = (1, 2, 3, 4)  # frames from one step to the next that are looked ahead for


class FrameCache:
    """The frames of one recorded camera at one working size, least recently used ones dropped.

    Frames are shared with every other cache of this process on the same camera and size, and
    between processes (see `blocks`); all arrays are read only. The next frames along the
    drive are decoded in the background (see `prefetch`).

    Args:
        trace, name: the recorded camera.
        size: working (height, width); frames are shrunk by area averaging.
        capacity: how many bytes the kept frames may take, or a budget that several caches
            share. The frames in use are kept in any case.

    Safe to use from several threads. Pickling keeps no frames.
    """

    def __init__(
        self, trace: Trace, name: str, size: tuple[int, int], capacity: int | FrameBudget
    ) -> None:
        self._arguments = (trace, name, size, capacity)
        self.camera = trace.cameras[name]
        self.size = size
        track = _track(trace, name)
        self.lens: Lens = self.camera.calibration.lens.resized(size)
        self.times, self.poses = track.times, track.poses
        self.first, self.last = track.first, track.last
        # Between near frames, baking may have found better poses than the recorded ones.
        self.fitted_poses = track.poses
        self.exposure: NDArray[np.float32] = np.zeros((len(self.times), 3), dtype=np.float32)
        self._inverse_depth: NDArray[np.uint16] | None = None
        geometry = _geometry_of(trace, name)
        if geometry is None:
            _warn_once(trace, name)
            self._scale, self._moving_bit = _GROUND_SCALE, False
            ground = ground_inverse_depth(self.lens, self.camera.calibration.T_vehicle_camera)
            self._ground_codes = np.round(np.minimum(ground, 1.0) / _GROUND_SCALE).astype(np.uint16)
            self._ground_coarse = np.ascontiguousarray(self._ground_codes[::2, ::2])
            self._ground_codes.setflags(write=False)
            self._ground_coarse.setflags(write=False)
        else:
            self._scale, self.fitted_poses = geometry.scale, geometry.poses
            self._moving_bit = geometry.moving_bit
            self.exposure = self.exposure if geometry.exposure is None else geometry.exposure
            self._inverse_depth = geometry.open()
        coarse = (-(-size[0] // 2), -(-size[1] // 2))
        arrays: list[tuple[Any, tuple[int, ...]]] = [(np.uint8, (*size, 3))]
        # Inverse depth of this very size is read where it lies, and is shared as it is.
        self._own_codes = geometry is not None and geometry.size != size
        if geometry is not None:
            arrays += [(np.uint16, size)] if self._own_codes else []
            arrays += [(np.uint16, coarse)]
        self._frame_bytes = size[0] * size[1] * 5 + 2 * coarse[0] * coarse[1]
        self._budget = capacity if isinstance(capacity, FrameBudget) else FrameBudget(capacity)
        self._layout = BlockLayout.of(arrays, self._frame_bytes, self._budget.capacity)
        self._name = _identity(trace, name, size, None if geometry is None else geometry.path)
        self._recent: OrderedDict[int, None] = OrderedDict()

    def __reduce__(self) -> tuple[Any, ...]:
        return FrameCache, self._arguments

    def __getitem__(self, index: int) -> SourceFrame:
        frame = self._find(index)
        if frame is None:
            frame = self._obtain(index)
        self._look_ahead(index)
        return frame

    def prefetch(self, indices: Iterable[int]) -> None:
        """Decode frames in the background, if they are not here yet and there is time."""
        missing = [i for i in indices if self.first <= i <= self.last and self._find(i) is None]
        if not missing or self._budget.capacity < _ROOM * self._frame_bytes:
            return
        background = prefetcher()
        if background is not None:
            for index in missing:
                background.request((self._name, index), _Job(self, index))

    def _find(self, index: int) -> SourceFrame | None:
        """The frame, if this process has it."""
        number, slot = divmod(index, self._layout.frames)
        block: Block[SourceFrame] | None = self._budget.find((self._name, number))
        return None if block is None else block.frames[slot]

    def _obtain(self, index: int) -> SourceFrame:
        """The frame, by whatever it takes."""
        background = prefetcher()
        if background is not None:
            background.claim((self._name, index))
        return self.load(index)

    def load(self, index: int) -> SourceFrame:
        """The frame from another cache, from another process, or decoded."""
        if not 0 <= index < self.camera.frame_count:
            raise IndexError(f"no frame {index}; there are {self.camera.frame_count}")
        number, slot = divmod(index, self._layout.frames)
        block: Block[SourceFrame] = self._budget.take(
            (self._name, number), self._layout, self._frame_bytes
        )
        frame = block.frames[slot]
        if frame is None:
            arrays = block.read(slot)
            if arrays is None:
                arrays = block.write(slot, self._decode(index))
            frame = block.keep(slot, self._assemble(index, arrays))
        self._budget.trim(self._frame_bytes)
        return frame

    def _decode(self, index: int) -> list[NDArray[Any]]:
        """What is kept of a frame: its image, and what is derived from its inverse depth."""
        image: NDArray[Any] = self.camera.frame(index)
        if image.shape[:2] != self.size:
            if self.size[0] < image.shape[0]:
                image = shrink(image, self.size)
            else:
                image = cv2.resize(image, self.size[::-1], interpolation=cv2.INTER_CUBIC)
        if self._inverse_depth is None:
            return [image]
        codes = np.asarray(self._inverse_depth[index])
        if not self._own_codes:
            return [image, self._coarse(codes)]
        codes = resize_inverse_depth(codes, self.size)
        return [image, codes, self._coarse(codes)]

    def _coarse(self, codes: NDArray[np.uint16]) -> NDArray[np.uint16]:
        """Every second row and column, without what moves, which other views must not show."""
        coarse = codes[::2, ::2]
        if not self._moving_bit:
            return coarse
        moving = (coarse & 1).astype(np.uint8)
        if not moving.any():
            return coarse
        return np.where(cv2.dilate(moving, _AROUND), np.uint16(NO_CODE), coarse)

    def _assemble(self, index: int, arrays: list[NDArray[Any]]) -> SourceFrame:
        if self._inverse_depth is None:
            return SourceFrame(arrays[0], self._ground_codes, self._ground_coarse, self._scale)
        image, coarse = arrays[0], arrays[-1]
        codes = arrays[1] if self._own_codes else np.asarray(self._inverse_depth[index])
        return SourceFrame(image, codes, coarse, self._scale)

    def _look_ahead(self, index: int) -> None:
        """Have the frame decoded that follows this one at the pace of the drive so far."""
        recent = self._recent
        if index in recent:
            return
        recent[index] = None
        while len(recent) > _RECENT:
            recent.popitem(last=False)
        pace = next((step for step in _PACES if index - step in recent), 1)
        self.prefetch((index + pace,))


class _Job:
    """Loads a frame, if its cache is still in use by then."""

    def __init__(self, cache: FrameCache, index: int) -> None:
        self._cache = weakref.ref(cache)
        self._index = index

    def __call__(self) -> None:
        cache = self._cache()
        if cache is not None:
            cache.load(self._index)


@dataclass(frozen=True, eq=False)
class _Track:
    """Where a recorded camera was: small, and kept as long as its trace is open.

    times: (n,) s, centre of the exposure. first, last: frames during the ego motion.
    poses: (n, 4, 4) T_world_camera, NaN outside.
    """

    times: NDArray[np.float64]
    first: int
    last: int
    poses: NDArray[np.float64]


_tracks: weakref.WeakKeyDictionary[Trace, dict[str, _Track]] = weakref.WeakKeyDictionary()

_warned: weakref.WeakKeyDictionary[Trace, set[str]] = weakref.WeakKeyDictionary()


def _warn_once(trace: Trace, name: str) -> None:
    """However many cameras show an open trace, its user reads once that it is not baked."""
    warned = _warned.setdefault(trace, set())
    if name in warned:
        return
    warned.add(name)
    logger.warning(
        "%s: camera %r has no baked geometry, the ground is assumed flat; run: vista-sim bake %s",
        trace.root,
        name,
        shlex.quote(str(trace.root)),
    )


def _track(trace: Trace, name: str) -> _Track:
    known = _tracks.setdefault(trace, {})
    if name in known:
        return known[name]
    camera = trace.cameras[name]
    times = _exposure_centres(camera)
    # Frames outside the ego motion have no pose: they cannot be used.
    inside = np.flatnonzero((times >= 0) & (times <= trace.duration))
    if inside.size == 0:
        raise TraceError(f"{trace.root}: camera {name!r} has no frame during the ego motion")
    mount = camera.calibration.T_vehicle_camera
    poses = np.full((len(times), 4, 4), np.nan)
    for i in inside:
        poses[i] = trace.pose(float(times[i])) @ mount
    track = known[name] = _Track(times, int(inside[0]), int(inside[-1]), poses)
    return track


class _Geometry:
    """Baked geometry that was found to fit its trace, without the large arrays."""

    def __init__(self, store: GeometryStore) -> None:
        self.path, self.size, self.scale = store.path, store.size, float(store.scale)
        self.poses = np.array(store.poses)
        self.moving_bit = bool(getattr(store, "moving_bit", False))
        exposure = getattr(store, "exposure", None)
        self.exposure = None if exposure is None else np.array(exposure)
        self.state = self._state()
        self._first: Any = store.inverse_depth
        self._frames = len(store.inverse_depth)

    @property
    def unchanged(self) -> bool:
        """Whether it still is what was checked."""
        return self.state is not None and self.state == self._state()

    def open(self) -> Any:
        """Inverse depth (n, h, w), mapped; not kept, because each map takes a file handle."""
        first, self._first = self._first, None
        if first is not None:
            return first
        one, every = (1, *self.size), (self._frames, *self.size)
        path = self.path / INVERSE_DEPTH
        array = remedied(lambda: map_array(path, np.uint16, (every, one), GeometryError))
        return np.broadcast_to(array, every, subok=True)

    def _state(self) -> tuple[State | None, ...] | None:
        found = tuple(state_of(self.path / name) for name in (DESCRIPTION, *ARRAYS))
        return None if found[0] is None else found


_geometries: weakref.WeakKeyDictionary[Trace, dict[str, _Geometry]] = weakref.WeakKeyDictionary()


def _geometry_of(trace: Trace, name: str) -> _Geometry | None:
    """The baked geometry of a camera; whether it fits an open trace is checked only once."""
    known = _geometries.setdefault(trace, {})
    geometry = known.get(name)
    if geometry is None or not geometry.unchanged:
        store = GeometryStore.find(trace, name)
        if store is None:
            return None
        geometry = known[name] = _Geometry(store)
    return geometry


def _identity(trace: Trace, name: str, size: tuple[int, int], geometry: Path | None) -> str:
    """Tells apart whatever frames are made from: files as they are now, and what reads them."""
    camera = trace.cameras[name]
    parts = [str(size), av.__version__, cv2.__version__, np.__version__]
    parts += [str(camera.calibration.to_json()), str(camera.frame_count), str(camera.t[0])]
    paths = [camera.path]
    if geometry is not None:
        paths += [geometry / DESCRIPTION, geometry / INVERSE_DEPTH]
    for path in paths:
        parts.append(f"{path} {state_of(path)}")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:40]


def resize_inverse_depth(codes: NDArray[np.uint16], size: tuple[int, int]) -> NDArray[np.uint16]:
    """Inverse depth at another size: linear on a surface, the nearest value across an edge."""
    if codes.shape == size:
        return np.array(codes)
    codes = np.ascontiguousarray(codes)
    near = cv2.resize(codes, size[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
    if size[0] <= codes.shape[0]:
        return near
    linear = cv2.resize(codes.astype(np.float32), size[::-1], interpolation=cv2.INTER_LINEAR)
    edge = np.abs(linear - near) > SAME_SURFACE * np.maximum(linear, near)
    sized = np.where(edge, near, np.round(linear)).astype(np.uint16)
    return (sized & np.uint16(0xFFFE)) | (near & np.uint16(1))  # the lowest bit is a mark


def _exposure_centres(camera: RecordedCamera) -> NDArray[np.float64]:
    """Times (n,) at which the middle row of each frame was exposed, s."""
    calibration = camera.calibration
    shift = {"start": 0.5, "middle": 0.0, "end": -0.5}[calibration.timestamp]
    times: NDArray[np.float64] = np.asarray(camera.t) + shift * calibration.readout
    return times
