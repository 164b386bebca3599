"""Views on the CPU: the steps of `warp`, by the kernels of `reference` or `numba_cpu`."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vista_sim.sensors.frames import FrameCache
from vista_sim.sensors.plan import PlannedFrame, ViewPlan
from vista_sim.sensors.poses import forth_and_back
from vista_sim.sensors.warp import halved, lens_parameters, normalized_rays
from vista_sim.traces.calibration import Lens


class CpuRenderer:
    """Makes views from planned frames.

    Safe to use from several threads, as long as each has a `Workspace` of its own.

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
        self._rays = normalized_rays(lens)
        self._lens = lens_parameters(lens)
        self._coarse_lens = halved(self._lens)
        self._sources = tuple(_Optics(cache.lens, lens) for cache in frames)
        self._enough = int(min_unseen * lens.size[0] * lens.size[1])

    def workspace(self) -> Workspace:
        """Working memory for one thread."""
        return Workspace(self.size)

    def render(
        self,
        plan: ViewPlan,
        image: NDArray[np.uint8],
        source: NDArray[np.uint8],
        work: Workspace,
    ) -> NDArray[np.float32]:
        """Make one view.

        Args:
            plan: the frames to take.
            image: (height, width, 3), receives the view, RGB.
            source: (height, width), receives where each pixel is from (see `warp`).
            work: changed.

        Returns:
            Inverse depth (height, width), 1/m; it lies in `work` and lasts to the next call.
        """
        unseen = self._take_main(plan[0], image, source, work)
        for planned in plan[1:]:
            if unseen <= self._enough:
                break
            unseen = self._take_other(planned, image, source, work, unseen)
        if unseen:
            self._kernels.inpaint(image, source, work.depth, work.holes, unseen)
        return work.depth

    def _take_main(
        self,
        planned: PlannedFrame,
        image: NDArray[np.uint8],
        source: NDArray[np.uint8],
        work: Workspace,
    ) -> int:
        """Fill the view from its main frame; how many pixels that did not see."""
        frame = self._frames[planned.recorded][planned.frame]
        optics = self._sources[planned.recorded]
        forth, back = forth_and_back(planned.T_view_frame)
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
        planned: PlannedFrame,
        image: NDArray[np.uint8],
        source: NDArray[np.uint8],
        work: Workspace,
        unseen: int,
    ) -> int:
        """Fill what is unseen from one more frame; how many pixels remain."""
        frame = self._frames[planned.recorded][planned.frame]
        optics = self._sources[planned.recorded]
        forth, back = forth_and_back(planned.T_view_frame)
        left: int = self._kernels.complete(
            frame.image,
            planned.gain,
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


class _Optics:
    """What the kernels need of a recorded camera, at full and at half resolution."""

    def __init__(self, lens: Lens, view: Lens) -> None:
        self.lens = lens_parameters(lens)
        self.rays = normalized_rays(lens)
        self.coarse_rays = np.ascontiguousarray(self.rays[:, ::2, ::2])
        self.ratio = np.float32(lens.fx / view.fx)
