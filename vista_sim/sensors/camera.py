"""The synthesized camera: what a recorded, or a virtual, camera would see from another pose."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vista_sim.arguments import check_count, check_size
from vista_sim.errors import TraceError
from vista_sim.sensors.backends import BACKENDS
from vista_sim.sensors.blocks import FrameBudget
from vista_sim.sensors.bodies import Bodies
from vista_sim.sensors.boxes import place_bodies
from vista_sim.sensors.cpu import CpuRenderer
from vista_sim.sensors.frames import FrameCache
from vista_sim.sensors.plan import Planner, Plans, Synthesis
from vista_sim.sensors.poses import planar_poses
from vista_sim.sensors.rays import shared_spans
from vista_sim.sensors.warp import INPAINTED, View
from vista_sim.traces.calibration import Lens, check_rigid
from vista_sim.traces.trace import Trace

if TYPE_CHECKING:
    from vista_sim.sensors.torch_backend import HostRenderer, TorchRenderer, TorchViews

__all__ = ["BACKENDS", "Camera", "Synthesis", "virtual_lens"]

#: rad; what an ideal pinhole camera without a field of view of its own takes from a recorded one.
WIDEST_PINHOLE = math.radians(170.0)

# Frames are enlarged for a finer view, up to this; beyond, a view gains nothing.
_MAX_ENLARGEMENT = 3.0

Images = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Depths = NDArray[np.float32]
_BYTE, _BOOL, _FLOAT = np.dtype(np.uint8), np.dtype(np.bool_), np.dtype(np.float32)


class Camera:
    """A camera on the virtual car. It keeps working memory: one thread at a time may use it.

    A copy, also by `copy.copy` or pickle, is a camera with working memory of its own.

    Args:
        trace: an open trace, or its folder.
        name: the recorded camera whose frames are used, or several: of those, the one that
            looks most nearly the same way is the main one, the others fill what it did not
            see. Lens and mount are by default those of the first.
        size: (height, width) of the views; None: as recorded.
        fov: horizontal field of view, rad, of an ideal pinhole camera. None: the recorded
            camera itself at the new size, with its distortion; where the new size has
            another aspect ratio, an ideal pinhole camera with the recorded field of view.
        mount: T_vehicle_camera of a virtual camera; None: as recorded.
        backend: "numba", "torch" or "numpy" (the slow reference).
        cache_bytes: how much memory decoded frames may take, or a budget that cameras share;
            with "torch", as much again on the device.
        synthesis: how views are made.
        lens: of a virtual camera, ideal, Brown-Conrady or fisheye, in place of `fov`; it is
            resized to `size` where that is given.
        device: where "torch" makes the views: "cpu", "cuda", "cuda:1", ...

    Raises:
        TraceError: the trace has no such camera.
        ValueError: a size, field of view, lens, backend or device that cannot be.
        MissingDependencyError: "torch" without PyTorch.
    """

    def __init__(
        self,
        trace: Trace | str | os.PathLike[str],
        name: str | Sequence[str],
        size: tuple[int, int] | None = None,
        fov: float | None = None,
        mount: ArrayLike | None = None,
        backend: str = "numba",
        cache_bytes: int | FrameBudget = 512 * 2**20,
        synthesis: Synthesis | None = None,
        lens: Lens | None = None,
        device: str = "cpu",
    ) -> None:
        self.trace = Trace.open(trace)
        self.names = (name,) if isinstance(name, str) else tuple(name)
        if not self.names:
            raise ValueError("name is empty; give the name of at least one recorded camera")
        for one in self.names:
            self.trace.find_camera(one)
        if backend not in BACKENDS:
            raise ValueError(f"backend is {backend!r}; known are {', '.join(BACKENDS)}")
        if device != "cpu" and backend != "torch":
            raise ValueError(f"device is {device!r}; backend {backend!r} runs on the cpu only")
        if lens is not None and not isinstance(lens, Lens):
            raise ValueError(f"lens is {lens!r}; give a vista_sim.traces.calibration.Lens")
        if lens is not None and fov is not None:
            raise ValueError("fov and lens are both given; a lens has its own field of view")
        self.name = self.names[0]
        self.synthesis = synthesis or Synthesis()
        recorded = self.trace.cameras[self.name].calibration
        if lens is None:
            self.lens: Lens = virtual_lens(recorded.lens, size, fov)
        else:
            self.lens = lens if size is None else lens.resized(check_size(size))
        self.size: tuple[int, int] = self.lens.size
        self.T_vehicle_camera = np.array(
            recorded.T_vehicle_camera if mount is None else check_mount(mount), dtype=np.float64
        )
        self.T_vehicle_camera.setflags(write=False)
        if isinstance(cache_bytes, FrameBudget):
            budget = cache_bytes
        else:
            budget = FrameBudget(check_count("cache_bytes", cache_bytes, least=0))
        self._frames = tuple(
            FrameCache(self.trace, one, working_size(self._recorded_lens(one), self.lens), budget)
            for one in self.names
        )
        self._made_of = (
            self.trace,
            self.names,
            None,
            None,
            self.T_vehicle_camera,
            backend,
            budget,
            self.synthesis,
            self.lens,
            device,
        )
        self._planner = Planner(self.trace, self._frames, self.T_vehicle_camera, self.synthesis)
        module, enough = import_module(BACKENDS[backend]), self.synthesis.min_unseen
        self._renderer: CpuRenderer | HostRenderer
        self.device_renderer: TorchRenderer | None = None
        if backend == "torch":
            self.device_renderer = module.TorchRenderer(
                self._frames, self.lens, device, budget.capacity, min_unseen=enough
            )
            self._renderer = module.HostRenderer(self.device_renderer)
        else:
            self._renderer = CpuRenderer(self._frames, self.lens, module, enough)

    def __reduce__(self) -> tuple[Any, ...]:
        return Camera, self._made_of

    def render(
        self, t: float, offset: ArrayLike = (0.0, 0.0, 0.0), bodies: Bodies | None = None
    ) -> tuple[Images, Mask]:
        """Synthesize one image.

        Args:
            t: the moment of the scene, s; `offset` is relative to the recorded pose at t.
            offset: (x, y, yaw) of the car in the recorded car's frame (m, rad), or a 4x4
                T_recorded_displaced.
            bodies: of this one view, that were not recorded; they are drawn into it by depth.

        Returns:
            uint8 (height, width, 3) RGB and bool (height, width), False where no recorded
            frame saw the scene. Where a body is drawn it is True: what is seen there is known.

        Raises:
            TraceError: t is outside the trace.
            ValueError: bodies of more views than one.
        """
        images = np.empty((1, *self.size, 3), dtype=np.uint8)
        sources = np.empty((1, *self.size), dtype=np.uint8)
        self._renderer.render(self._plan_one(t, offset, bodies), images, sources, (0,))
        return images[0], sources[0] != INPAINTED

    def render_batch(
        self,
        ts: Sequence[float] | NDArray[np.float64],
        offsets: Sequence[ArrayLike] | NDArray[np.float64],
        out: tuple[Images, Mask] | None = None,
        rows: Sequence[int] | NDArray[np.integer] | None = None,
        workers: int = 1,
        inverse_depth: Depths | None = None,
        bodies: Bodies | None = None,
    ) -> tuple[Images, Mask]:
        """Synthesize n images.

        Args:
            ts, offsets: n of each, as for `render`; offsets all of one kind.
            out: uint8 (m, height, width, 3) and bool (m, height, width) to write into, C
                contiguous; None: new ones.
            rows: (n,) where in `out` each view goes; None: the first n.
            workers: threads that work on the batch. The views are the same for any number.
            inverse_depth: float32 (m, height, width), as `out`, to write inverse depth into, 1/m
                along the optical axis; None: it is not asked for.
            bodies: of the n views, as for `render`.

        Returns:
            Images and masks: `out`, or new ones of n.
        """
        n = len(ts)
        if len(offsets) != n:
            raise ValueError(f"{n} times and {len(offsets)} offsets; give as many of each")
        if out is None:
            out = np.empty((n, *self.size, 3), np.uint8), np.empty((n, *self.size), np.bool_)
        images, valids = out
        if n == 0:
            return images, valids
        places = range(n) if rows is None else np.asarray(rows).tolist()
        self._check_out(images, valids, inverse_depth, places, n)
        times, displaced = _numbers("ts", ts), _numbers("offsets", offsets)
        sources = valids.view(np.uint8)
        plans = self._plan(times, displaced, bodies)
        self._renderer.render(plans, images, sources, places, workers, inverse_depth)
        for place in places:
            np.not_equal(sources[place], INPAINTED, out=valids[place])
        return images, valids

    def _check_out(
        self,
        images: Images,
        valids: Mask,
        depths: Depths | None,
        places: Sequence[int],
        n: int,
    ) -> None:
        """Raise ValueError unless n views may be written to these places of these arrays."""
        height, width = self.size
        self._check_array("images", images, _BYTE, (height, width, 3))
        self._check_array("valids", valids, _BOOL, (height, width))
        most = min(len(images), len(valids))
        if depths is not None:
            self._check_array("inverse_depth", depths, _FLOAT, (height, width))
            most = min(most, len(depths))
        if len(places) != n or not all(0 <= place < most for place in places):
            raise ValueError(f"rows must be {n} places below {most}, as many as out has")

    def _check_array(
        self, name: str, array: Any, kind: np.dtype[Any], shape: tuple[int, ...]
    ) -> None:
        right = isinstance(array, np.ndarray) and array.dtype == kind
        if not (right and array.shape[1:] == shape and array.flags.c_contiguous):
            raise ValueError(
                f"out: {name} must be a C contiguous {kind} array (m, {', '.join(map(str, shape))})"
            )

    def render_tensors(
        self,
        ts: Sequence[float] | NDArray[np.float64],
        offsets: Sequence[ArrayLike] | NDArray[np.float64],
        bodies: Bodies | None = None,
    ) -> TorchViews:
        """Synthesize n images that stay on the device. See `render_batch`.

        Raises:
            ValueError: the backend is not "torch", or as `render_batch`.
        """
        if self.device_renderer is None:
            raise ValueError("render_tensors needs backend='torch'")
        if len(offsets) != len(ts):
            raise ValueError(f"{len(ts)} times and {len(offsets)} offsets; give as many of each")
        return self.device_renderer.render(self.plan(ts, offsets, bodies))

    def plan(
        self,
        ts: Sequence[float] | NDArray[np.float64],
        offsets: Sequence[ArrayLike] | NDArray[np.float64],
        bodies: Bodies | None = None,
    ) -> Plans:
        """Which recorded frames, and boxes, n views are made from. See `render_batch`."""
        return self._plan(_numbers("ts", ts), _numbers("offsets", offsets), bodies)

    def render_view(
        self, t: float, offset: ArrayLike = (0.0, 0.0, 0.0), bodies: Bodies | None = None
    ) -> View:
        """Synthesize one image and tell, pixel by pixel, where it is from. See `render`."""
        images = np.empty((1, *self.size, 3), dtype=np.uint8)
        sources = np.empty((1, *self.size), dtype=np.uint8)
        depths = np.empty((1, *self.size), dtype=np.float32)
        plans = self._plan_one(t, offset, bodies)
        self._renderer.render(plans, images, sources, (0,), depths=depths)
        return View(images[0], sources[0], depths[0])

    def _plan_one(self, t: float, offset: ArrayLike, bodies: Bodies | None) -> Plans:
        return self._plan(_numbers("ts", [t]), _numbers("offsets", offset)[None], bodies)

    def _plan(
        self, ts: NDArray[np.float64], offsets: NDArray[np.float64], bodies: Bodies | None
    ) -> Plans:
        plans = self._planner.plan(ts, offsets)
        if bodies is None:
            return plans
        bodies.check_views(len(ts))
        displaced = planar_poses(offsets) if offsets.ndim == 2 else offsets
        spans = shared_spans(self.lens)
        boxes = place_bodies(bodies, displaced, self.T_vehicle_camera, spans)
        return dataclasses.replace(plans, boxes=boxes)

    def _recorded_lens(self, name: str) -> Lens:
        return self.trace.cameras[name].calibration.lens


def _numbers(name: str, values: Any) -> NDArray[np.float64]:
    """An array of what a batch was given. Raises ValueError naming it."""
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be numbers, all of one kind") from None
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite numbers")
    if name == "ts" and array.ndim != 1:
        raise ValueError(f"ts has shape {array.shape}; give one time for each view")
    return array


def check_mount(mount: ArrayLike) -> NDArray[np.float64]:
    """A mount, T_vehicle_camera (4, 4). Raises ValueError unless it is a rigid transform."""
    try:
        return check_rigid(mount, "mount (T_vehicle_camera)")
    except TraceError as error:
        raise ValueError(str(error)) from None


def virtual_lens(recorded: Lens, size: tuple[int, int] | None, fov: float | None) -> Lens:
    """The lens of a camera made from a recorded one; see `Camera` for the rules."""
    height, width = recorded.size if size is None else check_size(size)
    if fov is not None:
        return Lens.from_fov((height, width), fov)
    aspect = (width / height) / (recorded.size[1] / recorded.size[0])
    if abs(aspect - 1) < 0.02:
        return recorded.resized((height, width))
    return ideal_lens((height, width), recorded)


def ideal_lens(size: tuple[int, int], recorded: Lens) -> Lens:
    """An ideal pinhole lens of a size (height, width) that sees as wide as a recorded one.

    Raises:
        TraceError: the recorded lens sees wider than a pinhole can.
    """
    if not 0 < recorded.fov <= WIDEST_PINHOLE:
        raise TraceError(
            f"the recorded {recorded.model} camera sees {math.degrees(recorded.fov):.0f} degrees, "
            f"an ideal one of size {size[0]}x{size[1]} at most "
            f"{math.degrees(WIDEST_PINHOLE):.0f}; give fov (such as 2.0 rad) or a lens, or a size "
            f"with the aspect ratio of {recorded.size[0]}x{recorded.size[1]}"
        )
    return Lens.from_fov(size, recorded.fov)


def working_size(recorded: Lens, lens: Lens) -> tuple[int, int]:
    """The size to bring frames to, so that their pixels are as fine as those of the view."""
    height, width = recorded.size
    scale = min(lens.fx / recorded.fx, _MAX_ENLARGEMENT)
    return max(2, round(height * scale)), max(2, round(width * scale))
