"""Views on the CPU: the steps of `warp`, by the kernels of `reference` or `numba_cpu`."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vista_sim.sensors.frames import FrameCache
from vista_sim.sensors.plan import Plans
from vista_sim.sensors.rays import shared_rays
from vista_sim.sensors.warp import halved, lens_parameters
from vista_sim.traces.calibration import Lens


class CpuRenderer:
    """Makes views from planned frames.

    Renderers of one size share their working memory, which belongs to the calling thread.

    Args:
        frames: of the recorded cameras.
        lens: of the view.
        kernels: the module `reference` or `numba_cpu`.
        min_unseen: share of unseen pixels below which other frames are not tried.
    """

    def __init__(
        self, frames: Sequence[FrameCache], lens: Lens, kernels: ModuleType, min_unseen: float
    ) -> None:
        self._frames = tuple(frames)
        self._kernels: Any = kernels
        self.size = lens.size
        self._rays = shared_rays(lens)
        self._lens = lens_parameters(lens)
        self._coarse_lens = halved(self._lens)
        self._sources = tuple(_Optics(cache.lens, lens) for cache in frames)
        self._enough = int(min_unseen * lens.size[0] * lens.size[1])
        self._threads: _Threads | None = None

    def render(
        self,
        plans: Plans,
        images: NDArray[np.uint8],
        sources: NDArray[np.uint8],
        rows: Sequence[int],
        workers: int = 1,
        depths: NDArray[np.float32] | None = None,
    ) -> None:
        """Make views.

        Args:
            plans: n of them.
            images: (m, height, width, 3), receives the views, RGB.
            sources: (m, height, width), receives where each pixel is from (see `warp`).
            rows: (n,) where each view goes.
            workers: threads that work on them.
            depths: (m, height, width), receives inverse depth, 1/m; None: nobody asks for it.
        """

        def make(i: int, work: Workspace) -> None:
            self._make(plans, i, images[rows[i]], sources[rows[i]], work)
            if depths is not None:
                depths[rows[i]] = work.depth

        own = workspace(self.size)
        self._look_ahead(plans)
        if workers > 1 and len(plans) > 1:
            if self._threads is None or not self._threads.fit(workers):
                self._threads = _Threads(self.size, workers)
            self._threads.run(make, len(plans))
        else:
            for i in range(len(plans)):
                make(i, own)

    def _look_ahead(self, plans: Plans) -> None:
        """Have frames decoded in the background, while the first one is used."""
        frames, cameras = plans.frames.tolist(), plans.recorded.tolist()
        for i in range(len(plans)):
            for k in range(i == 0, len(frames[i])):
                self._frames[cameras[i][k]].prefetch((frames[i][k],))

    def _make(
        self,
        plans: Plans,
        i: int,
        image: NDArray[np.uint8],
        source: NDArray[np.uint8],
        work: Workspace,
    ) -> None:
        frames: list[int] = plans.frames[i].tolist()
        cameras: list[int] = plans.recorded[i].tolist()
        forth, back, gains = plans.forth[i], plans.back[i], plans.gains[i]
        unseen = self._take_main(cameras[0], frames[0], forth[0], back[0], image, source, work)
        for k in range(1, len(frames)):
            if unseen <= self._enough:
                break
            if frames[k] >= 0:
                unseen = self._take_other(
                    cameras[k], frames[k], forth[k], back[k], gains[k], image, source, work, unseen
                )
        if unseen:
            self._kernels.inpaint(image, source, work.depth, work.holes, unseen)
        if plans.boxes is not None:
            faces = work.holes.reshape(self.size)
            views = (self._rays, image, source, work.depth, work.scratch, faces)
            self._kernels.draw_boxes(plans.boxes, i, *views)

    def _take_main(
        self,
        camera: int,
        index: int,
        forth: NDArray[np.float32],
        back: NDArray[np.float32],
        image: NDArray[np.uint8],
        source: NDArray[np.uint8],
        work: Workspace,
    ) -> int:
        """Fill the view from its main frame; how many pixels that did not see."""
        frame, optics = self._frames[camera][index], self._sources[camera]
        unseen: int = self._kernels.warp(
            optics.rays,
            frame.codes,
            np.float32(frame.scale),
            forth,
            self._lens,
            optics.ratio,
            self._rays,
            back,
            optics.lens,
            work.depth,
            work.scratch,
            work.map_u,
            work.map_v,
            source,
            work.holes,
        )
        # OpenCV reads four channels twice as fast as three, the two conversions included.
        four = work.four_channels(frame.image)
        cv2.remap(
            four,
            work.map_u,
            work.map_v,
            cv2.INTER_LINEAR,
            dst=work.four,
            borderMode=cv2.BORDER_REPLICATE,
        )
        cv2.cvtColor(work.four, cv2.COLOR_RGBA2RGB, dst=image)
        return unseen

    def _take_other(
        self,
        camera: int,
        index: int,
        forth: NDArray[np.float32],
        back: NDArray[np.float32],
        gain: NDArray[np.float32],
        image: NDArray[np.uint8],
        source: NDArray[np.uint8],
        work: Workspace,
        unseen: int,
    ) -> int:
        """Fill what is unseen from one more frame; how many pixels remain."""
        frame, optics = self._frames[camera][index], self._sources[camera]
        left: int = self._kernels.complete(
            frame.image,
            gain,
            optics.coarse_rays,
            frame.coarse_codes,
            np.float32(frame.scale),
            forth,
            self._coarse_lens,
            optics.ratio,
            self._rays,
            back,
            optics.lens,
            work.coarse,
            work.coarse_scratch,
            image,
            source,
            work.depth,
            work.holes,
            unseen,
        )
        return left


class Workspace:
    """Working memory of one thread for views of (height, width)."""

    def __init__(self, size: tuple[int, int]) -> None:
        coarse = (-(-size[0] // 2), -(-size[1] // 2))
        self.depth, self.scratch = np.empty((2, *size), dtype=np.float32)
        self.coarse, self.coarse_scratch = np.empty((2, *coarse), dtype=np.float32)
        self.map_u, self.map_v = np.empty((2, *size), dtype=np.float32)
        self.holes = np.empty(size[0] * size[1], dtype=np.int32)
        self.four = np.empty((*size, 4), dtype=np.uint8)
        self._frames: dict[tuple[int, ...], NDArray[np.uint8]] = {}

    def four_channels(self, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A recorded frame (h, w, 3) with a fourth channel; lasts to the next call."""
        target = self._frames.get(frame.shape)
        if target is None:
            target = self._frames[frame.shape] = np.empty((*frame.shape[:2], 4), dtype=np.uint8)
        cv2.cvtColor(frame, cv2.COLOR_RGB2RGBA, dst=target)
        return target


_local = threading.local()
_KEPT = 4  # workspaces a thread: for cameras of so many sizes in turns


def workspace(size: tuple[int, int]) -> Workspace:
    """The working memory of this thread for views of a size."""
    spaces: dict[tuple[int, int], Workspace] | None = getattr(_local, "spaces", None)
    if spaces is None:
        spaces = _local.spaces = {}
    found = spaces.get(size)
    if found is None:
        while len(spaces) >= _KEPT:
            del spaces[next(iter(spaces))]
        found = spaces[size] = Workspace(size)
    return found


class _Threads:
    """Threads that each own a workspace. A forked child has none of them: it needs its own."""

    def __init__(self, size: tuple[int, int], count: int) -> None:
        self._spaces = [Workspace(size) for _ in range(count)]
        self._pid = os.getpid()
        self._pool = ThreadPoolExecutor(count - 1, thread_name_prefix="vista-views")

    def fit(self, count: int) -> bool:
        """Whether these are so many, and of this process."""
        return len(self._spaces) == count and self._pid == os.getpid()

    def run(self, make: Callable[[int, Workspace], None], count: int) -> None:
        """Call make(i, workspace) for each i below count; this thread works too."""
        todo = iter(range(count))  # hands out each number once, whichever thread asks

        def work(space: Workspace) -> None:
            for i in todo:
                make(i, space)

        others = [self._pool.submit(work, space) for space in self._spaces[1:]]
        work(self._spaces[0])
        for other in others:
            other.result()


class _Optics:
    """What the kernels need of a recorded camera, at full and at half resolution."""

    def __init__(self, lens: Lens, view: Lens) -> None:
        self.lens = lens_parameters(lens)
        self.rays, self.coarse_rays = shared_rays(lens), shared_rays(lens, stride=2)
        self.ratio = np.float32(lens.fx / view.fx)
