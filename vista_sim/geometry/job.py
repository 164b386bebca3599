"""The work of a bake on one camera, step by step: motion, sources, merging."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vista_sim.errors import GeometryError
from vista_sim.geometry.exposure import ExposureMeter, chained
from vista_sim.geometry.ground import ground_inverse_depth
from vista_sim.geometry.merge import merged
from vista_sim.geometry.motion import refine_motions
from vista_sim.geometry.neighbours import choose_neighbours, stretches
from vista_sim.geometry.partial import Partial, read_object, write_json
from vista_sim.geometry.settings import BakeSettings
from vista_sim.geometry.source import BakeContext, PreparedSource, ReportingSource, encode
from vista_sim.geometry.sources import kind_of, make_sources
from vista_sim.geometry.store import CONFIDENCE, CONFIDENT, EXPOSURE, GROUND, INVERSE_DEPTH, POSES
from vista_sim.images import read_mask
from vista_sim.traces.calibration import Lens
from vista_sim.traces.trace import Trace
from vista_sim.traces.video import RecordedCamera

#: Called with the frames done (a fraction counts what is under way), and how many there are.
Progress = Callable[[float, int], None]

# What share of the time the steps take, for the progress.
_MOTION_SHARE, _PREPARE_SHARE = 0.1, 0.75


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
        if self.settings.sources == ("ground",):
            return self._flat()
        return self._estimated()

    def _flat(self) -> dict[str, Any]:
        size = self.settings.size
        codes = encode(self.ground, self.scale)
        self.partial.array(INVERSE_DEPTH, (1, *size), np.uint16)[0] = codes
        self.partial.array(CONFIDENCE, (1, *size), np.uint8)
        self.partial.array(POSES, (self.count, 4, 4), np.float64)[:] = self.poses
        states = self.partial.array(GROUND, (self.count, 3), np.float64)
        states[:] = (self.mount[2, 3], 0.0, 0.0)
        self._progress(self.count, self.count)
        return {"sources": ["ground"], "confident_share": 0.0}

    def _estimated(self) -> dict[str, Any]:
        from vista_sim.geometry.ground_fit import GroundFit, drift_report, smooth_over_time
        from vista_sim.geometry.multiview import inverse_depth_planes
        from vista_sim.geometry.working import WorkingCamera, WorkingFrames

        matching = self.settings.matching
        camera = WorkingCamera(self.lens)
        times = np.asarray(self.recorded.t, dtype=np.float64)
        stretch = stretches(self.trace, times)
        neighbours = choose_neighbours(self.poses[:, :3, 3], times, stretch, matching)
        reach = max((max(abs(j - i) for j in n) for i, n in enumerate(neighbours) if n), default=1)
        # Frames in reach of what the workers are at, and of what is followed ahead of them.
        frames = WorkingFrames(camera, self.recorded.frame, 2 * reach + 40 + 2 * self.workers)
        nearest = inverse_depth_planes(camera.lens, self.ground_of(camera.lens), matching)[-1]
        self.scale = 1.1 * max(float(nearest), float(self.ground.max())) / 65535
        with ThreadPoolExecutor(self.workers) as pool:
            poses, motion = self._motion(stretch, frames, camera.matrix, pool)
            context = BakeContext(
                self.trace,
                self.recorded,
                self.settings,
                self.lens,
                self.mount,
                poses,
                self.ground,
                self.scale,
                stretch,
                neighbours,
                frames,
                self.partial,
            )
            sources = make_sources(context)
            prepared = [source for source in sources if isinstance(source, PreparedSource)]
            done = _MOTION_SHARE
            for source in prepared:
                share = _PREPARE_SHARE / len(prepared)
                self._each(f"{source.name}_done.npy", source.prepare, pool, done, share)
                done += share
            size = (self.count, *self.settings.size)
            inverse_depth = self.partial.array(INVERSE_DEPTH, size, np.uint16)
            confidence = self.partial.array(CONFIDENCE, size, np.uint8)

            trust = [kind_of(name).trust for name in self.settings.sources]
            road = GroundFit(self.lens, self.mount)
            confident = self.partial.array("sure.npy", (self.count, 2), np.float64, work=True)
            fits = self.partial.array("ground_fits.npy", (self.count, 3), np.float64, work=True)

            meter = ExposureMeter(self.lens, poses)
            changes = self.partial.array("exposure_changes.npy", (self.count, 3), float, work=True)

            def merge(i: int) -> None:
                values, sure, moving = merged([source.estimate(i) for source in sources], trust)
                if self.hood is not None:
                    values = np.where(self.hood, self.ground, values)
                    sure = np.where(self.hood, np.float32(0), sure)
                    moving = None if moving is None else moving & ~self.hood
                fits[i] = road.fit(values, sure)
                confidence[i] = codes = np.clip(255 * sure + 0.5, 0, 255).astype(np.uint8)
                inverse_depth[i] = encode(values, self.scale, moving)
                confident[i] = (codes >= CONFIDENT).mean(), codes.any()
                if i + 1 < self.count and stretch[i + 1] == stretch[i]:
                    here, there = frames[i].colours, frames[i + 1].colours
                    changes[i] = meter.change(i, here, there, values, sure)

            self._each("merge_done.npy", merge, pool, done, 1.0 - done)
        states = smooth_over_time(fits, road.calibrated)
        self.partial.array(GROUND, (self.count, 3), np.float64)[:] = states
        exposure = self.partial.array(EXPOSURE, (self.count, 3), np.float32)
        exposure[:] = chained(changes, stretch)
        # Where nothing was seen, the road lies as it does where more was.
        for i in np.flatnonzero(confident[:, 1] == 0):
            inverse_depth[i] = encode(road.inverse_depth(states[i]), self.scale)
        still = sum(1 for n in neighbours if not n)
        reports = {s.name: s.report() for s in sources if isinstance(s, ReportingSource)}
        return {
            "sources": [source.name for source in sources],
            "frames_without_neighbours": still,
            "motion": motion,
            "ground": drift_report(states, fits, road.calibrated),
            "largest_exposure_change": float(np.abs(changes).max(initial=0.0)),
            "confident_share": float(confident[:, 0].mean()),
            **reports,
        }

    def ground_of(self, lens: Lens) -> NDArray[np.float32]:
        """Inverse depth of flat ground in a camera of this mount."""
        return ground_inverse_depth(lens, self.mount)

    def _motion(
        self,
        stretch: NDArray[np.int64],
        frames: Any,
        matrix: NDArray[np.float64],
        pool: ThreadPoolExecutor,
    ) -> tuple[NDArray[np.float64], dict[str, float]]:
        """Refined poses and what was moved: from disk if that was done before."""
        poses = self.partial.array(POSES, (self.count, 4, 4), np.float64)
        report_file = self.partial.work / "motion.json"
        report = read_object(report_file)
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
    mask = read_mask(trace.root / name, recorded.calibration.lens.size, GeometryError)
    small = cv2.resize(mask.astype(np.float32), size[::-1], interpolation=cv2.INTER_AREA)
    hidden: NDArray[np.bool_] = small > 0
    return hidden
