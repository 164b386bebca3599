"""The work of a bake on one camera, step by step: motion, matching, merging."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vista_sim.errors import GeometryError
from vista_sim.geometry.ground import ground_inverse_depth
from vista_sim.geometry.partial import Partial, read_json, write_json
from vista_sim.geometry.settings import BakeSettings
from vista_sim.geometry.store import CONFIDENCE, INVERSE_DEPTH, POSES
from vista_sim.traces.trace import Trace
from vista_sim.traces.video import RecordedCamera

#: Called with the frames done (a fraction counts what is under way), and how many there are.
Progress = Callable[[float, int], None]

# What share of the time the steps take, for the progress.
_MOTION_SHARE, _MATCH_SHARE = 0.1, 0.75


class BakeJob:
    """One run over the frames of one camera.

    Args:
        trace: the trace.
        recorded: its camera.
        settings: what is baked.
        partial: where the work is kept; `run` takes up what is there.
        workers: threads.
        progress: see `Progress`.

    Attributes:
        scale: of the inverse depth written, 1/m per step; known after `run`.
    """

    def __init__(
        self,
        trace: Trace,
        recorded: RecordedCamera,
        settings: BakeSettings,
        partial: Partial,
        workers: int,
        progress: Progress | None,
    ) -> None:
        self.recorded = recorded
        self.settings = settings
        self.partial = partial
        self.workers = workers
        self.count = recorded.frame_count
        self._progress = progress or (lambda done, total: None)
        calibration = recorded.calibration
        self.mount = calibration.T_vehicle_camera
        self.lens = calibration.lens.resized(settings.size)
        self.ground = ground_inverse_depth(self.lens, self.mount)
        self.poses = np.array([trace.pose(float(t)) for t in recorded.t]) @ self.mount
        self.trace = trace
        self.hood = _own_hood(trace, recorded, settings.size)
        self.scale = 1.0 / 65535  # 1/m per step of the code

    def run(self) -> dict[str, Any]:
        """Bake; returns the report."""
        if self.settings.geometry == "ground":
            return self._flat()
        return self._multiview()

    def _flat(self) -> dict[str, Any]:
        size = self.settings.size
        self.partial.array(INVERSE_DEPTH, (1, *size), np.uint16)[0] = self._codes(self.ground)
        self.partial.array(CONFIDENCE, (1, *size), np.uint8)
        self.partial.array(POSES, (self.count, 4, 4), np.float64)[:] = self.poses
        self._progress(self.count, self.count)
        return {}

    def _multiview(self) -> dict[str, Any]:
        from vista_sim.geometry.multiview import MultiView
        from vista_sim.geometry.neighbours import choose_neighbours, stretches
        from vista_sim.geometry.working import WorkingCamera, WorkingFrames

        matching = self.settings.matching
        camera = WorkingCamera(self.lens)
        times = np.asarray(self.recorded.t, dtype=np.float64)
        stretch = stretches(self.trace, times)
        neighbours = choose_neighbours(self.poses[:, :3, 3], times, stretch, matching)
        reach = max((max(abs(j - i) for j in n) for i, n in enumerate(neighbours) if n), default=1)
        # Frames in reach of what the workers are at, and of what is followed ahead of them.
        frames = WorkingFrames(camera, self.recorded.frame, 2 * reach + 40 + 2 * self.workers)
        with ThreadPoolExecutor(self.workers) as pool:
            poses, report = self._motion(stretch, frames, camera.matrix, pool)
            view = MultiView(camera.lens, self.mount, poses, matching)
            self.scale = 1.1 * max(float(view.planes[-1]), float(self.ground.max())) / 65535
            shape = (self.count, *camera.lens.size)
            matched = self.partial.array("matched.npy", shape, np.uint16, work=True)

            def match(i: int) -> None:
                others = [frames[j] for j in neighbours[i]]
                matched[i] = self._codes(view.match(i, neighbours[i], frames[i], others))

            self._each("match_done.npy", match, pool, _MOTION_SHARE, _MATCH_SHARE)
            size = (self.count, *self.settings.size)
            inverse_depth = self.partial.array(INVERSE_DEPTH, size, np.uint16)
            confidence = self.partial.array(CONFIDENCE, size, np.uint8)

            def merge(i: int) -> None:
                own, *others = (
                    matched[j].astype(np.float32) * np.float32(self.scale)
                    for j in (i, *neighbours[i])
                )
                values, sure = view.merge(i, neighbours[i], frames[i].gray, own, others)
                values = camera.to_recorded(values, self.ground)
                sure = camera.nearest_to_recorded(sure)
                if self.hood is not None:
                    values = np.where(self.hood, self.ground, values)
                    sure = np.where(self.hood, np.uint8(0), sure)
                inverse_depth[i] = self._codes(values)
                confidence[i] = sure

            done = _MOTION_SHARE + _MATCH_SHARE
            self._each("merge_done.npy", merge, pool, done, 1.0 - done)
        still = sum(1 for n in neighbours if not n)
        return {"frames_without_neighbours": still, "motion": report}

    def _motion(
        self,
        stretch: NDArray[np.int64],
        frames: Any,
        matrix: NDArray[np.float64],
        pool: ThreadPoolExecutor,
    ) -> tuple[NDArray[np.float64], dict[str, float]]:
        """Refined poses and what was moved: from disk if that was done before."""
        from vista_sim.geometry.motion import refine_motions

        poses = self.partial.array(POSES, (self.count, 4, 4), np.float64)
        report_file = self.partial.work / "motion.json"
        report = read_json(report_file)
        if report is None:
            refined = refine_motions(
                self.poses,
                stretch,
                lambda i: frames[i].gray,
                matrix,
                self.settings.motion,
                pool,
                lambda share: self._progress(_MOTION_SHARE * share * self.count, self.count),
            )
            poses[:] = refined.poses
            write_json(report_file, refined.report)
            report = refined.report
        return poses, report

    def _each(
        self,
        done_name: str,
        work: Callable[[int], None],
        pool: ThreadPoolExecutor,
        start: float,
        share: float,
    ) -> None:
        """Do the work of every frame that is not marked as done, and mark it."""
        done = self.partial.array(done_name, (self.count,), np.uint8, work=True)
        todo = [int(i) for i in np.flatnonzero(done == 0)]
        finished = self.count - len(todo)

        def one(i: int) -> None:
            work(i)
            done[i] = 1

        for _ in in_order(pool, one, todo, ahead=2 * self.workers):
            finished += 1
            self._progress(start * self.count + share * finished, self.count)

    def _codes(self, inverse_depth: NDArray[np.float32]) -> NDArray[np.uint16]:
        """Inverse depth (1/m) in steps of the scale."""
        return np.clip(inverse_depth / self.scale + 0.5, 0, 65535).astype(np.uint16)


def in_order(
    pool: ThreadPoolExecutor, work: Callable[[int], None], items: Iterable[int], ahead: int
) -> Iterator[None]:
    """Do work in a pool, yielding in order; at most `ahead` items wait, so that it ends soon."""
    waiting: deque[Future[None]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


def _own_hood(
    trace: Trace, recorded: RecordedCamera, size: tuple[int, int]
) -> NDArray[np.bool_] | None:
    """Where the own car hides the scene, bool (h, w); None where no mask was recorded."""
    name = recorded.calibration.mask
    if name is None:
        return None
    import cv2

    mask = cv2.imread(str(trace.root / name), cv2.IMREAD_GRAYSCALE)
    if mask is None:
        raise GeometryError(f"{trace.root / name}: the mask cannot be read as an image")
    small = cv2.resize((mask > 0).astype(np.float32), size[::-1], interpolation=cv2.INTER_AREA)
    hidden: NDArray[np.bool_] = small > 0
    return hidden
