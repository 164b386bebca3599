"""View synthesis with PyTorch: batches of views, made and kept on a CPU or a CUDA GPU.

`TorchRenderer` does for a batch what `reference.py` describes for one view (`torch_kernels.py`
holds the steps). Agreement with the reference: on at least 99.9 % of pixels the label is the
same, the image within one gray level and the inverse depth within 0.0001 1/m. The rest lies
where single precision lets a point fall on the other side of a pixel's border. On one device a
view's bytes do not depend on the batch that it is made in.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vista_sim.errors import MissingDependencyError
from vista_sim.sensors.frames import FrameCache
from vista_sim.sensors.plan import Plans
from vista_sim.sensors.rays import shared_rays
from vista_sim.sensors.warp import (
    INPAINTED,
    OTHER,
    UNSEEN,
    View,
    halved,
    lens_parameters,
    normalized_rays,
)
from vista_sim.traces.calibration import Lens

try:
    import torch
    from torch import Tensor
except ImportError:
    raise MissingDependencyError(
        "torch is not installed; the torch backend needs the extra: pip install 'vista-sim[train]'"
    ) from None

from vista_sim.sensors import torch_kernels as kernels
from vista_sim.sensors.torch_boxes import Painter
from vista_sim.sensors.torch_frames import ResidentFrames, chunks, send

#: Views made at once where nothing else is asked: on a CPU what fits its caches.
_CHUNK = {"cpu": 4, "cuda": 256}


@dataclass(frozen=True, eq=False)
class TorchViews:
    """Synthesized views on the device. See `warp.View`."""

    image: Tensor  # uint8 (n, height, width, 3), RGB
    source: Tensor  # uint8 (n, height, width): 0 main frame, 1 other, 2 inpainted, 3 a body
    inverse_depth: Tensor  # float32 (n, height, width), 1/m along the optical axis

    @property
    def valid(self) -> Tensor:
        """Whether a recorded frame saw the pixel, or a body is seen there, (n, height, width)."""
        return self.source != INPAINTED

    def __len__(self) -> int:
        return len(self.image)

    def on_host(self) -> list[View]:
        """The views in the memory of the host; waits until they are made."""
        image, source, depth = (
            tensor.cpu().numpy() for tensor in (self.image, self.source, self.inverse_depth)
        )
        return [View(image[i], source[i], depth[i]) for i in range(len(image))]


class _Cameras(NamedTuple):
    """The recorded cameras, c of them, frames of at most (h, w), on the device."""

    rays: Tensor  # (c, 2, h, w)
    coarse_rays: Tensor  # (c, 2, ceil(h / 2), ceil(w / 2))
    lens: Tensor  # (c, 10)
    size: Tensor  # (c, 2), width and height
    ratio: Tensor  # (c,), focal length by that of the view

    def of(self, camera: Tensor) -> _Cameras:
        """The camera of each view (n,); where there is only one, that one."""
        if len(self.lens) == 1:
            return self
        return _Cameras(*(numbers.index_select(0, camera) for numbers in self))


class _Sources(NamedTuple):
    """A frame for each of n views."""

    slot: Tensor  # int64 (n,), -1: none
    camera: Tensor  # int64 (n,)
    forth: Tensor  # float32 (n, 4, 4), T_view_frame
    back: Tensor  # float32 (n, 4, 4), T_frame_view


class TorchRenderer:
    """Makes views of one lens from the frames of one or more recorded cameras, on one device.

    Args:
        caches: of the recorded cameras, at the working size of the lens.
        lens: of the views, at their size.
        device: "cpu", "cuda", "cuda:1", ...
        resident_bytes: how much of the device's memory the frames may take (10 to 12 bytes a
            pixel and frame); at least those of one view are kept.
        chunk: how many views are made at once; further ones follow. Each takes about 220
            bytes a pixel of working memory while it is made (14 MB at 200 x 320, 3.6 GB for
            256 views) and 8 bytes a pixel in the result. None: 4 on a CPU, 256 on a GPU.
        min_unseen: share of unseen pixels below which other frames are not tried.
        compiled: whether the steps run through `torch.compile`, which fuses them into far fewer
            passes over memory. The first call, and the first with another number of other
            frames, then takes minutes; it needs a C++ compiler (CPU) or Triton (GPU). Every
            chunk is filled up to `chunk` views, so fit that to the batch.
        triton: whether `triton_splat.py` makes the first step, in one pass over memory; on a
            GPU. Not with `compiled`. Neither's speed on a GPU has been measured.

    Raises:
        ValueError: a device that is not there, sizes or options that cannot be.
        MissingDependencyError: Triton is asked for and not installed.
    """

    def __init__(
        self,
        caches: Sequence[FrameCache],
        lens: Lens,
        device: str | torch.device = "cpu",
        resident_bytes: int = 2**30,
        chunk: int | None = None,
        min_unseen: float = 0.002,
        compiled: bool = False,
        triton: bool = False,
    ) -> None:
        if not caches:
            raise ValueError("caches is empty; a renderer needs at least one recorded camera")
        self.device = _device(device)
        self.lens = lens
        self.size: tuple[int, int] = lens.size
        if min(self.size) < 4 or min(min(cache.size) for cache in caches) < 2:
            raise ValueError(f"views of {self.size}; the torch backend needs 4 x 4 pixels at least")
        if chunk is not None and chunk < 1:
            raise ValueError(f"chunk is {chunk}; at least one view must be made at once")
        if compiled and triton:
            raise ValueError("compiled and triton are both asked for; give one of them")
        self._kernel = import_module("vista_sim.sensors.triton_splat") if triton else None
        if triton and self.device.type == "cpu" and os.environ.get("TRITON_INTERPRET") != "1":
            raise ValueError("triton is asked for on the cpu; its kernel runs on a CUDA device")
        self.chunk = chunk or _CHUNK[self.device.type]
        self.min_unseen = min_unseen
        # A view has a main frame and a few others of each recorded camera.
        self._frames = ResidentFrames(caches, self.device, resident_bytes, least=len(caches) + 3)
        self._cameras = self._make_cameras(caches)
        self._kinds = tuple({int(lens_parameters(cache.lens)[0]) for cache in caches})
        numbers = lens_parameters(lens)
        self._view_kinds = (int(numbers[0]),)
        self._view_rays = self._send(normalized_rays(lens)[None])
        self._painter = Painter(self._view_rays)
        self._view_lens = self._send(numbers[None])
        self._view_coarse_lens = self._send(halved(numbers)[None])
        self.compiled, self.triton = compiled, triton
        self._synthesize = (
            torch.compile(self._steps, fullgraph=True, dynamic=False) if compiled else self._steps
        )

    def upload(self, recorded: int, indices: Iterable[int]) -> None:
        """Make frames resident ahead of time: all of a trace's, where they fit.

        Raises:
            ValueError: no such camera or frame, or more than there is room for.
        """
        frames = np.array(list(indices), dtype=np.int64)
        self._frames.hold(self._frames.keys(np.full_like(frames, recorded), frames))

    def render(self, plans: Plans) -> TorchViews:
        """Make a view for every plan. Frames that are not resident are made so.

        Raises:
            ValueError: no such camera or frame, or a view of more frames than there is room for.
            TraceError: a frame cannot be read.
        """
        keys = self._frames.keys(plans.recorded, plans.frames)
        result = self._empty(len(plans))
        for part in chunks(keys, self.chunk, self._frames.capacity):
            self._frames.hold(np.unique(keys[part]))
            slots = self._send(self._frames.slots_of(keys[part]))
            cameras = self._send(plans.recorded[part])
            forth, back = self._send(plans.forth[part]), self._send(plans.back[part])
            sources = [
                _Sources(slots[:, i], cameras[:, i], forth[:, i], back[:, i])
                for i in range(keys.shape[1])
            ]
            self._fill(result, part, sources, self._send(plans.gains[part, 1:]))
            if plans.boxes is not None:
                views = (result.image[part], result.source[part], result.inverse_depth[part])
                self._painter.draw(plans.boxes, part, *views)
        return result

    @torch.no_grad()
    def render_tensors(
        self,
        main: Tensor,
        T_view_main: Tensor,
        others: Tensor | None = None,
        T_view_others: Tensor | None = None,
        gains: Tensor | None = None,
        recorded: Tensor | None = None,
        recorded_others: Tensor | None = None,
    ) -> TorchViews:
        """Make n views of what is on the device already; nothing waits for the host.

        A frame that is not resident (`upload`) counts as one that saw nothing, and so does an
        index of -1 in `others`. No value is checked: looking at one would wait for the device.

        Args:
            main: int64 (n,), index of the main frame.
            T_view_main: float32 (n, 4, 4), its camera's pose in the view's camera; rigid.
            others, T_view_others: (n, k) and (n, k, 4, 4), of the frames tried next, in order.
            gains: float32 (n, k, 3), of the colours of `others`; None: 1.
            recorded, recorded_others: int64 (n,), (n, k): which recorded cameras; None: the first.
        """
        n = len(main)
        if others is None or T_view_others is None:
            others = main.new_zeros((n, 0))
            T_view_others = T_view_main.new_zeros((n, 0, 4, 4))
        k = others.shape[1]
        if gains is None:
            gains = torch.ones((n, k, 3), device=self.device)
        if recorded is None:
            recorded = torch.zeros_like(main)
        if recorded_others is None:
            recorded_others = torch.zeros_like(others)
        first_key = self._first_key
        cameras = torch.cat([recorded[:, None], recorded_others], 1).to(torch.int64)
        indices = torch.cat([main[:, None], others], 1).to(torch.int64)
        keys = (first_key[cameras] + indices).clamp_(0, len(self._frames.slots) - 1)
        slots = torch.where(indices >= 0, self._frames.slots[keys], -1)
        forth = torch.cat([T_view_main[:, None], T_view_others], 1).to(torch.float32)
        back = _rigid_inverse(forth)
        gains = gains.to(torch.float32)
        result = self._empty(n)
        for start in range(0, n, self.chunk):
            part = slice(start, min(start + self.chunk, n))
            sources = [
                _Sources(slots[part, i], cameras[part, i], forth[part, i], back[part, i])
                for i in range(1 + k)
            ]
            self._fill(result, part, sources, gains[part])
        return result

    @torch.no_grad()
    def _fill(
        self, result: TorchViews, part: slice, sources: list[_Sources], gains: Tensor
    ) -> None:
        n = part.stop - part.start
        if self.compiled:
            # One shape and layout, compiled once: the last view is made again in what is left.
            order = torch.arange(self.chunk, device=self.device).clamp_max_(n - 1)
            sources = [_Sources(*(each.index_select(0, order) for each in s)) for s in sources]
            gains = gains.index_select(0, order)
        image, source, depth = self._synthesize(sources, gains)
        result.image[part] = image[:n]
        result.source[part] = source[:n]
        result.inverse_depth[part] = depth[:n]

    def _steps(self, sources: list[_Sources], gains: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Make the views of one chunk: image, source and inverse depth, as in `TorchViews`."""
        frames = self._frames
        most_unseen = math.floor(self.min_unseen * self.size[0] * self.size[1])
        depth, pixel, seen = self._see(sources[0], coarse=False)
        slot = sources[0].slot.clamp_min(0)
        size = self._cameras.of(sources[0].camera).size
        image = kernels.rounded(kernels.sample(frames.images, slot, pixel, size))
        # MAIN is 0.
        source = (~seen).to(torch.uint8).mul_(UNSEEN)
        for i, other in enumerate(sources[1:]):
            unseen = source == UNSEEN
            wanted = unseen.sum((1, 2)) > most_unseen
            found, pixel, seen = self._see(other, coarse=True)
            new = seen & unseen & wanted[:, None, None]
            size = self._cameras.of(other.camera).size
            colour = kernels.sample(frames.images, other.slot.clamp_min(0), pixel, size)
            colour = (colour * gains[:, i, None, None]).clamp_(0.0, 255.0)
            image = torch.where(new[..., None], kernels.rounded(colour), image)
            source = torch.where(new, OTHER, source)
            depth = torch.where(new, found, depth)
        return kernels.inpaint(image, source, depth)

    def _see(self, source: _Sources, coarse: bool) -> tuple[Tensor, Tensor, Tensor]:
        """Inverse depth (n, H, W) of the views from a frame, where in it they are, what it saw.

        With `coarse`, at half the resolution of the frame's inverse depth.
        """
        depth = kernels.close_cracks(self._splat(source, coarse))
        if coarse:
            depth = kernels.double(kernels.close_gaps(depth), self.size)
        else:  # where cracks cross, the first time leaves a pixel without neighbours
            depth = kernels.close_cracks(depth)
        cameras = self._cameras.of(source.camera)
        pixel, seen = kernels.locate(
            self._view_rays, depth, source.back, cameras.lens, self._kinds, cameras.size
        )
        return depth, pixel, seen & (source.slot >= 0)[:, None, None]

    def _splat(self, source: _Sources, coarse: bool) -> Tensor:
        frames, slot = self._frames, source.slot.clamp_min(0)
        size, lens, geometry = self.size, self._view_lens, frames.geometry
        cameras = self._cameras if self._kernel else self._cameras.of(source.camera)
        rays = cameras.rays
        if coarse:
            size = (-(-size[0] // 2), -(-size[1] // 2))
            lens, geometry, rays = self._view_coarse_lens, frames.coarse, cameras.coarse_rays
        if self._kernel:
            scales, kind = frames.scales, self._view_kinds[0]
            return self._kernel.splat(
                rays,
                geometry,
                scales,
                slot,
                source.camera,
                source.forth,
                lens,
                kind,
                cameras.ratio,
                size,
            )
        scales, geometry = (each.index_select(0, slot) for each in (frames.scales, geometry))
        return kernels.splat(
            rays, geometry, scales, source.forth, lens, self._view_kinds, cameras.ratio, size
        )

    def _make_cameras(self, caches: Sequence[FrameCache]) -> _Cameras:
        height, width = self._frames.images.shape[1:]
        rays = np.full((len(caches), 2, height, width), np.nan, dtype=np.float32)
        coarse = np.full_like(rays[:, :, ::2, ::2], np.nan)
        for i, cache in enumerate(caches):
            own = shared_rays(cache.lens)
            rays[i, :, : own.shape[1], : own.shape[2]] = own
            own = own[:, ::2, ::2]
            coarse[i, :, : own.shape[1], : own.shape[2]] = own
        self._first_key = self._send(self._frames.first_key[:-1])
        return _Cameras(
            self._send(rays),
            self._send(coarse),
            self._send(np.stack([lens_parameters(cache.lens) for cache in caches])),
            self._send(np.array([cache.size[::-1] for cache in caches], dtype=np.float32)),
            self._send(
                np.array([cache.lens.fx / self.lens.fx for cache in caches], dtype=np.float32)
            ),
        )

    def _empty(self, n: int) -> TorchViews:
        return TorchViews(
            torch.empty((n, *self.size, 3), dtype=torch.uint8, device=self.device),
            torch.empty((n, *self.size), dtype=torch.uint8, device=self.device),
            torch.empty((n, *self.size), dtype=torch.float32, device=self.device),
        )

    def _send(self, array: NDArray[np.generic]) -> Tensor:
        return send(array, self.device)


class HostRenderer:
    """A `TorchRenderer` whose views come back to the host: in the place of a `CpuRenderer`."""

    def __init__(self, renderer: TorchRenderer) -> None:
        self.renderer = renderer

    def render(
        self,
        plans: Plans,
        images: NDArray[np.uint8],
        sources: NDArray[np.uint8],
        rows: Sequence[int],
        workers: int = 1,
        depths: NDArray[np.float32] | None = None,
    ) -> None:
        """Make views. See `CpuRenderer.render`; `workers` is of no use here."""
        views = self.renderer.render(plans)
        places = list(rows)
        images[places] = views.image.cpu().numpy()
        sources[places] = views.source.cpu().numpy()
        if depths is not None:
            depths[places] = views.inverse_depth.cpu().numpy()


def _rigid_inverse(pose: Tensor) -> Tensor:
    """Inverse of rigid transforms (..., 4, 4); by products and sums, not by a matrix product,
    whose precision a program may have lowered.
    """
    rotation = pose[..., :3, :3].transpose(-1, -2)
    shift = -(rotation * pose[..., None, :3, 3]).sum(-1, keepdim=True)
    return torch.cat([torch.cat([rotation, shift], -1), pose[..., 3:, :]], -2)


def _device(name: str | torch.device) -> torch.device:
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ValueError(f"device is {name!r}; use cpu, cuda or cuda:NUMBER") from None
    if device.type not in _CHUNK:
        raise ValueError(f"device is {name!r}; use cpu, cuda or cuda:NUMBER")
    if device.type == "cuda":
        count = torch.cuda.device_count()
        if not torch.cuda.is_available() or (device.index or 0) >= count:
            raise ValueError(f"device is {name!r}; PyTorch finds {count} CUDA devices")
    return device
