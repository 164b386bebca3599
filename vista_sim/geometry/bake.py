"""Bake a trace: estimate the geometry of every recorded frame once, and keep it.

A bake may be killed at any time and goes on where it was; its outcome is the same.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vista_sim.errors import GeometryError
from vista_sim.geometry.ground import ground_inverse_depth
from vista_sim.geometry.partial import Partial, locked, read_json, writable_folder, write_json
from vista_sim.geometry.settings import GEOMETRIES, BakeSettings, default_size
from vista_sim.geometry.store import (
    CONFIDENCE,
    FORMAT,
    INVERSE_DEPTH,
    POSES,
    GeometryStore,
    folder_in_cache,
    folder_in_trace,
    identify,
)
from vista_sim.traces.trace import Trace
from vista_sim.traces.video import RecordedCamera

#: Called with the frames done (a fraction counts what is under way), and how many there are.
Progress = Callable[[float, int], None]

# What share of the time the steps take, for the progress.
_MOTION_SHARE, _MATCH_SHARE = 0.1, 0.75


@dataclass(frozen=True)
class Baked:
    """The outcome for one camera.

    Args:
        path: folder of the geometry.
        frames: how many the camera has.
        seconds: how long it took; 0 where it was there already.
    """

    camera: str
    path: Path
    frames: int
    seconds: float
    report: dict[str, Any]


def bake(
    trace: Trace | str | os.PathLike[str],
    camera: str | None = None,
    size: tuple[int, int] | None = None,
    geometry: str = "auto",
    workers: int = 2,
    progress: Progress | None = None,
    force: bool = False,
) -> Path:
    """Bake a trace, unless that is done already with the same settings.

    Args:
        trace: an open trace, or its folder.
        camera: a recorded camera; None: all of them.
        size: (height, width) of the geometry; None: as recorded, or that divided by a whole
            number where it is large.
        geometry: "multiview"; "ground", flat; "auto", the best there is for the camera.
        workers: threads.
        progress: called as it goes on, camera by camera.
        force: bake even if it is done, from the beginning.

    Returns:
        The folder of the camera's geometry; of all cameras' if none was named.

    Raises:
        GeometryError: a setting that cannot be, or no space left.
        TraceError: the trace cannot be read.
    """
    trace = Trace.open(trace)
    names = list(trace.cameras) if camera is None else [camera]
    if not names:
        raise GeometryError(f"{trace.root}: the trace has no camera to bake")
    results = [bake_camera(trace, name, size, geometry, workers, progress, force) for name in names]
    return results[0].path if camera is not None else results[0].path.parent


def bake_camera(
    trace: Trace,
    camera: str,
    size: tuple[int, int] | None = None,
    geometry: str = "auto",
    workers: int = 2,
    progress: Progress | None = None,
    force: bool = False,
) -> Baked:
    """Bake one camera of a trace; see `bake`."""
    if camera not in trace.cameras:
        known = ", ".join(trace.cameras) or "none"
        raise GeometryError(f"{trace.root}: no camera {camera!r}; cameras: {known}")
    if geometry not in GEOMETRIES:
        raise GeometryError(f"geometry is {geometry!r}; it must be one of {', '.join(GEOMETRIES)}")
    if workers < 1:
        raise GeometryError(f"workers is {workers}; at least 1 is needed")
    recorded = trace.cameras[camera]
    settings = BakeSettings(
        size=size or default_size(recorded.calibration.lens.size),
        geometry="multiview" if geometry == "auto" else geometry,
    )
    plan = {"trace": identify(trace, camera), "settings": settings.to_json()}
    if not force and (done := _finished(trace, camera, plan)):
        return done
    destination = _destination(trace, camera)
    with locked(destination):
        if not force and (done := _finished(trace, camera, plan)):
            return done  # by the process that had the lock before
        started = time.perf_counter()
        partial = Partial(destination, plan, fresh=force)
        job = _Bake(trace, recorded, settings, partial, workers, progress)
        report = job.run()
        partial.finish(
            {
                "format": FORMAT,
                **plan,
                "size": list(settings.size),
                "scale": job.scale,
                "report": report,
            }
        )
    seconds = time.perf_counter() - started
    return Baked(camera, destination, recorded.frame_count, seconds, report)


def _finished(trace: Trace, camera: str, plan: dict[str, Any]) -> Baked | None:
    """What is there already, if it is whole and of the same plan."""
    try:
        store = GeometryStore.find(trace, camera)
    except GeometryError:  # malformed, or of another trace: it is made again
        return None
    if store is None or store.settings != plan["settings"]:
        return None
    return Baked(camera, store.path, store.frame_count, 0.0, store.report)


def _destination(trace: Trace, camera: str) -> Path:
    """Where the geometry goes: into the trace if it can be written to, else the user's cache."""
    for path in (folder_in_trace(trace, camera), folder_in_cache(trace, camera)):
        if writable_folder(path.parent):
            return path
    raise GeometryError(
        f"{folder_in_trace(trace, camera).parent} and {path.parent} cannot be written to; "
        "make one of them writable"
    )


class _Bake:
    """One run over the frames of one camera."""

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
