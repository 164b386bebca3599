"""The synthesized camera: what a recorded, or a virtual, camera would see from another pose."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from vista_sim.errors import TraceError
from vista_sim.sensors.blocks import FrameBudget
from vista_sim.sensors.frames import FrameCache
from vista_sim.sensors.rays import shared_rays
from vista_sim.sensors.warp import (
    OTHER,
    SourceFrame,
    View,
    halved,
    lens_parameters,
)
from vista_sim.traces.calibration import Lens
from vista_sim.traces.trace import Trace
from vista_sim.transforms import Matrix, inverse, planar_pose

BACKENDS = {"numpy": "vista_sim.sensors.reference", "numba": "vista_sim.sensors.numba_cpu"}

# Frames are enlarged for a finer view, up to this; beyond, a view gains nothing.
_MAX_ENLARGEMENT = 3.0


@dataclass(frozen=True)
class Synthesis:
    """How views are made.

    Args:
        other_frames: distances along the drive (m, positive ahead) from the main frame at
            which further frames are tried for what the main frame did not see, in order.
        min_unseen: share of unseen pixels below which other frames are not tried.
        lead: a frame at most this share of a frame interval ahead of the moment of the scene
            may be the main frame; else it is the one behind, which sees more at its edges.
    """

    other_frames: tuple[float, ...] = (-2.0, -6.0)
    min_unseen: float = 0.002
    lead: float = 0.2


class Camera:
    """A camera on the virtual car. It keeps working memory: one thread at a time may use it.

    Args:
        trace: an open trace, or its folder.
        name: the recorded camera whose frames are used.
        size: (height, width) of the views; None: as recorded.
        fov: horizontal field of view, rad, of an ideal pinhole camera. None: the recorded
            camera itself at the new size, with its distortion; where the new size has
            another aspect ratio, an ideal pinhole camera with the recorded field of view.
        mount: T_vehicle_camera of a virtual camera; None: as recorded.
        backend: "numba" or "numpy" (the slow reference).
        cache_bytes: how much memory decoded frames may take; or a budget that cameras share.

    Raises:
        TraceError: the trace has no such camera.
        ValueError: a size, field of view or backend that cannot be.
    """

    def __init__(
        self,
        trace: Trace | str | os.PathLike[str],
        name: str,
        size: tuple[int, int] | None = None,
        fov: float | None = None,
        mount: ArrayLike | None = None,
        backend: str = "numba",
        cache_bytes: int | FrameBudget = 512 * 2**20,
        synthesis: Synthesis | None = None,
    ) -> None:
        self.trace = Trace.open(trace)
        if name not in self.trace.cameras:
            known = ", ".join(self.trace.cameras) or "none"
            raise TraceError(f"{self.trace.root}: no camera {name!r}; cameras: {known}")
        if backend not in BACKENDS:
            raise ValueError(f"backend is {backend!r}; known are {', '.join(BACKENDS)}")
        self.name = name
        self.synthesis = synthesis or Synthesis()
        recorded = self.trace.cameras[name].calibration
        self.lens: Lens = virtual_lens(recorded.lens, size, fov)
        self.size: tuple[int, int] = self.lens.size
        self.T_vehicle_camera = np.array(
            recorded.T_vehicle_camera if mount is None else mount, dtype=np.float64
        ).reshape(4, 4)
        working = _working_size(recorded.lens, self.lens)
        self._frames = FrameCache(self.trace, name, working, cache_bytes)
        self._kernels: Any = import_module(BACKENDS[backend])
        self._rays = shared_rays(self.lens)
        self._source_rays = shared_rays(self._frames.lens)
        self._lens = lens_parameters(self.lens)
        self._source_lens = lens_parameters(self._frames.lens)
        self._ratio = np.float32(self._frames.lens.fx / self.lens.fx)
        self._coarse_rays = shared_rays(self._frames.lens, stride=2)
        self._coarse_lens = halved(self._lens)
        self._depth = np.empty(self.size, dtype=np.float32)
        self._scratch = np.empty((2, *self.size), dtype=np.float32)
        coarse = (-(-self.size[0] // 2), -(-self.size[1] // 2))
        self._coarse_scratch = np.empty((2, *coarse), dtype=np.float32)
        self._map_u, self._map_v = np.empty_like(self._depth), np.empty_like(self._depth)
        self._seen = np.empty(self.size, dtype=np.bool_)
        travelled = np.linalg.norm(np.diff(self._frames.poses[:, :3, 3], axis=0), axis=1)
        travelled = np.where(np.isfinite(travelled), travelled, 0.0)
        self._travelled = np.concatenate([[0.0], np.cumsum(travelled)])

    def render(
        self, t: float, offset: ArrayLike = (0.0, 0.0, 0.0)
    ) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Synthesize one image.

        Args:
            t: the moment of the scene, s; `offset` is relative to the recorded pose at t.
            offset: (x, y, yaw) of the car in the recorded car's frame (m, rad), or a 4x4
                T_recorded_displaced.

        Returns:
            uint8 (height, width, 3) RGB and bool (height, width), False where no recorded
            frame saw the scene.

        Raises:
            TraceError: t is outside the trace.
        """
        view = self.render_view(t, offset)
        return view.image, view.valid

    def render_batch(
        self, ts: Iterable[float], offsets: Sequence[ArrayLike] | ArrayLike
    ) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Synthesize n images: uint8 (n, height, width, 3) and bool (n, height, width)."""
        ts = [float(t) for t in ts]
        offsets = [np.asarray(offset, dtype=np.float64) for offset in offsets]  # type: ignore[union-attr]
        if len(ts) != len(offsets):
            raise ValueError(f"{len(ts)} times and {len(offsets)} offsets; give as many of each")
        images = np.empty((len(ts), *self.size, 3), dtype=np.uint8)
        valids = np.empty((len(ts), *self.size), dtype=np.bool_)
        for i, (t, offset) in enumerate(zip(ts, offsets, strict=True)):
            images[i], valids[i] = self.render(t, offset)
        return images, valids

    def render_view(self, t: float, offset: ArrayLike = (0.0, 0.0, 0.0)) -> View:
        """Synthesize one image and tell, pixel by pixel, where it is from. See `render`."""
        T_world_view = self.trace.pose(t) @ _offset_pose(offset) @ self.T_vehicle_camera
        main = self._main_frame(t)
        others = self._other_frames(main)
        self._frames.prefetch(others)  # while the main frame is read
        frame = self._frames[main]
        T_view_main = inverse(T_world_view) @ self._frames.poses[main]
        unseen = self._locate(frame, T_view_main, coarse=False)
        image: NDArray[np.uint8] = cv2.remap(
            frame.image,
            self._map_u,
            self._map_v,
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        # MAIN where it was seen, UNSEEN elsewhere: 1 - 1 is 0, and 0 - 1 wraps to 255.
        source = self._seen.view(np.uint8) - np.uint8(1)
        inverse_depth = np.maximum(self._depth, np.float32(0.0))
        for index in others:
            if unseen <= self.synthesis.min_unseen * source.size:
                break
            frame = self._frames[index]
            T_view_other = T_view_main @ self._frames.relative_pose(main, index)
            self._locate(frame, T_view_other, coarse=True)
            unseen = self._kernels.patch(
                frame.image,
                self._map_u,
                self._map_v,
                self._seen,
                self._depth,
                OTHER,
                image,
                source,
                inverse_depth,
            )
        if unseen:
            self._kernels.inpaint(image, source, inverse_depth)
        return View(image, source, inverse_depth)

    def _locate(self, frame: SourceFrame, T_view_frame: Matrix, coarse: bool) -> int:
        """Find the pixels of the view in a frame: fills `_map_u`, `_map_v`, `_seen`, `_depth`.

        With `coarse`, at half the resolution of the frame's inverse depth.

        Returns:
            How many pixels the frame did not see.
        """
        forth = T_view_frame.astype(np.float32)
        back = inverse(T_view_frame).astype(np.float32)
        kernels = self._kernels
        rays, lens, codes = self._source_rays, self._lens, frame.codes
        first, second = self._scratch
        if coarse:
            rays, lens, codes = self._coarse_rays, self._coarse_lens, frame.coarse_codes
            first, second = self._coarse_scratch
        kernels.splat(rays, codes, np.float32(frame.scale), forth, lens, self._ratio, first)
        # Twice: where cracks cross, the first time leaves a pixel without neighbours.
        kernels.close_cracks(first, second)
        if coarse:
            kernels.close_cracks(second, first)
            kernels.double(first, self._depth)
        else:
            kernels.close_cracks(second, self._depth)
        seen = kernels.locate(
            self._rays,
            self._depth,
            back,
            self._source_lens,
            frame.codes.shape,
            self._map_u,
            self._map_v,
            self._seen,
        )
        return int(self._seen.size - seen)

    def _main_frame(self, t: float) -> int:
        """Index of the frame that sees most of the scene at t: the last one taken by then."""
        times = self._frames.times
        i = int(np.searchsorted(times, t, side="right")) - 1
        i = min(max(i, self._frames.first), self._frames.last)
        if i < self._frames.last:
            interval = times[i + 1] - times[i]
            if times[i + 1] - t <= self.synthesis.lead * interval:
                i += 1
        return i

    def _other_frames(self, main: int) -> list[int]:
        """Frames about as far from the main one as `Synthesis.other_frames` asks."""
        found: list[int] = []
        here = self._travelled[main]
        for distance in self.synthesis.other_frames:
            i = int(np.searchsorted(self._travelled, here + distance))
            i = min(max(i, self._frames.first), self._frames.last)
            if i != main and i not in found:
                found.append(i)
        return found


def virtual_lens(recorded: Lens, size: tuple[int, int] | None, fov: float | None) -> Lens:
    """The lens of a camera made from a recorded one; see `Camera` for the rules."""
    if size is None:
        size = recorded.size
    height, width = int(size[0]), int(size[1])
    if height < 1 or width < 1:
        raise ValueError(f"size is {size}; it must be (height, width) in pixels")
    if fov is not None:
        return Lens.from_fov((height, width), fov)
    aspect = (width / height) / (recorded.size[1] / recorded.size[0])
    if abs(aspect - 1) < 0.02:
        return recorded.resized((height, width))
    return Lens.from_fov((height, width), recorded.fov)


def _working_size(recorded: Lens, lens: Lens) -> tuple[int, int]:
    """The size to bring frames to, so that their pixels are as fine as those of the view."""
    height, width = recorded.size
    scale = min(lens.fx / recorded.fx, _MAX_ENLARGEMENT)
    return max(2, round(height * scale)), max(2, round(width * scale))


def _offset_pose(offset: ArrayLike) -> NDArray[np.float64]:
    """T_recorded_displaced of an (x, y, yaw) or of a 4x4 matrix."""
    array = np.asarray(offset, dtype=np.float64)
    if array.shape == (3,):
        pose = planar_pose(*array)
    elif array.shape == (4, 4):
        pose = array
    else:
        raise ValueError(f"offset has shape {array.shape}; give (x, y, yaw) or a 4x4 matrix")
    if not np.isfinite(pose).all():
        raise ValueError(f"offset {offset!r} has a value that is not finite")
    return pose
