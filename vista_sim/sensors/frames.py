"""Recorded frames at working size with their inverse depth, decoded once and kept while in use."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict

import cv2
import numpy as np
from numpy.typing import NDArray

from vista_sim.errors import TraceError
from vista_sim.geometry.ground import ground_inverse_depth
from vista_sim.geometry.store import GeometryStore
from vista_sim.sensors.warp import SAME_SURFACE, SourceFrame
from vista_sim.traces.calibration import Lens
from vista_sim.traces.trace import Trace
from vista_sim.traces.video import RecordedCamera

logger = logging.getLogger(__name__)

_GROUND_SCALE = 1.0 / 65535  # 1/m per step of the code: down to 1 m


class FrameCache:
    """The frames of one recorded camera at one working size, least recently used ones dropped.

    Args:
        trace, name: the recorded camera.
        size: working (height, width); frames are shrunk by area averaging.
        capacity_bytes: how much the kept frames may take; at least three are kept.

    Safe to use from several threads.
    """

    def __init__(self, trace: Trace, name: str, size: tuple[int, int], capacity_bytes: int) -> None:
        self.camera = trace.cameras[name]
        self.lens: Lens = self.camera.calibration.lens.resized(size)
        self.size = size
        self.times = _exposure_centres(self.camera)
        # Frames outside the ego motion have no pose: they cannot be used.
        inside = np.flatnonzero((self.times >= 0) & (self.times <= trace.duration))
        if inside.size == 0:
            raise TraceError(f"{trace.root}: camera {name!r} has no frame during the ego motion")
        self.first, self.last = int(inside[0]), int(inside[-1])
        mount = self.camera.calibration.T_vehicle_camera
        self.poses = np.full((len(self.times), 4, 4), np.nan)  # T_world_camera
        for i in inside:
            self.poses[i] = trace.pose(float(self.times[i])) @ mount
        # Between near frames, baking may have found better poses than the recorded ones.
        self.fitted_poses = self.poses
        self.exposure = np.zeros((len(self.times), 3), dtype=np.float32)  # log gain
        self._store = GeometryStore.find(trace, name)
        if self._store is None:
            logger.warning(
                "%s: camera %r has no baked geometry, the ground is assumed flat; "
                "run: vista-sim bake %s",
                trace.root,
                name,
                trace.root,
            )
            ground = ground_inverse_depth(self.lens, mount)
            codes = np.round(np.minimum(ground, 1.0) / _GROUND_SCALE)
            self._ground_codes = codes.astype(np.uint16)
        else:
            self.fitted_poses = np.asarray(self._store.poses)
            self.exposure = np.asarray(getattr(self._store, "exposure", self.exposure))
        frame_bytes = int(size[0] * size[1] * 5.5)
        self.capacity = max(3, int(capacity_bytes) // frame_bytes)
        self._frames: OrderedDict[int, SourceFrame] = OrderedDict()
        self._lock = threading.Lock()

    def __getitem__(self, index: int) -> SourceFrame:
        with self._lock:
            frame = self._frames.get(index)
            if frame is not None:
                self._frames.move_to_end(index)
                return frame
        frame = self._load(index)
        with self._lock:
            self._frames[index] = frame
            while len(self._frames) > self.capacity:
                self._frames.popitem(last=False)
        return frame

    def _load(self, index: int) -> SourceFrame:
        image = self.camera.frame(index)
        if image.shape[:2] != self.size:
            smaller = self.size[0] < image.shape[0]
            how = cv2.INTER_AREA if smaller else cv2.INTER_CUBIC
            image = cv2.resize(image, self.size[::-1], interpolation=how)
        if self._store is None:
            codes, scale = self._ground_codes, _GROUND_SCALE
        else:
            codes = resize_inverse_depth(self._store.inverse_depth[index], self.size)
            scale = float(self._store.scale)
        coarse = np.ascontiguousarray(codes[::2, ::2])
        return SourceFrame(np.ascontiguousarray(image), codes, coarse, scale)


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
    return np.where(edge, near, np.round(linear)).astype(np.uint16)


def _exposure_centres(camera: RecordedCamera) -> NDArray[np.float64]:
    """Times (n,) at which the middle row of each frame was exposed, s."""
    calibration = camera.calibration
    shift = {"start": 0.5, "middle": 0.0, "end": -0.5}[calibration.timestamp]
    times: NDArray[np.float64] = np.asarray(camera.t) + shift * calibration.readout
    return times
