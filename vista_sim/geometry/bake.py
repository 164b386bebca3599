"""Bake a trace: estimate the geometry of every recorded frame once, and keep it.

A bake may be killed at any time and goes on where it was; its outcome is the same.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vista_sim.errors import GeometryError
from vista_sim.geometry.doubts import doubts
from vista_sim.geometry.job import BakeJob, Progress
from vista_sim.geometry.partial import Partial, abandon, bake_lock, writable_folder
from vista_sim.geometry.settings import BakeSettings, default_size
from vista_sim.geometry.sources import GeometryChoice, files_of, resolve
from vista_sim.geometry.store import (
    FORMAT,
    GeometryStore,
    folder_in_cache,
    folder_in_trace,
    identify,
)
from vista_sim.identity.files import files_digests
from vista_sim.identity.sources import SIMULATOR, sources_digest
from vista_sim.traces.trace import Trace

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Baked:
    """The outcome for one camera.

    Args:
        path: folder of the geometry.
        frames: how many the camera has.
        seconds: how long it took; 0 where it was there already.
        doubts: why it cannot be right, see `doubts`.
    """

    camera: str
    path: Path
    frames: int
    seconds: float
    report: dict[str, Any]
    doubts: tuple[str, ...] = ()


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
        geometry: what it is taken from, see `sources.GeometryChoice`: "multiview", "stereo",
            "lidar", "learned", "onnx:FILE" or several of them joined by "+"; "auto", all
            the recording has; "ground", flat.
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
    """Bake one camera of a trace; see `bake`. What makes the outcome doubtful is logged."""
    done = _bake_camera(trace, camera, size, geometry, workers, progress, force)
    height = float(trace.cameras[camera].calibration.T_vehicle_camera[2, 3])
    found = tuple(doubts(done.report, height))
    for doubt in found:
        logger.warning("%s: %s", done.path, doubt)
    return dataclasses.replace(done, doubts=found)


def _bake_camera(
    trace: Trace,
    camera: str,
    size: tuple[int, int] | None,
    geometry: str,
    workers: int,
    progress: Progress | None,
    force: bool,
) -> Baked:
    if camera not in trace.cameras:
        known = ", ".join(trace.cameras) or "none"
        raise GeometryError(f"{trace.root}: no camera {camera!r}; cameras: {known}")
    choice = GeometryChoice.parse(geometry)
    if workers < 1:
        raise GeometryError(f"workers is {workers}; at least 1 is needed")
    recorded = trace.cameras[camera]
    largest = recorded.calibration.lens.size
    if size is not None and (size[0] > largest[0] or size[1] > largest[1]):
        raise GeometryError(
            f"geometry size is {size[0]}x{size[1]}; camera {camera!r} recorded only "
            f"{largest[0]}x{largest[1]}"
        )
    settings = BakeSettings(
        size or default_size(recorded.calibration.lens.size),
        *resolve(choice, trace, camera),
    )
    files = baked_from(trace, camera, settings.sources)
    plan = {
        "trace": identify(trace, camera),
        "settings": settings.to_json(),
        "files": files_digests(files, GeometryError),
    }
    if not force and (done := _finished(trace, camera, plan)):
        abandon(done.path)
        return done
    destination = _destination(trace, camera)
    with bake_lock(destination):
        if not force and (done := _finished(trace, camera, plan)):
            return done  # by the process that had the lock before
        started = time.perf_counter()
        # What is half done goes on only by the code that began it.
        partial = Partial(destination, {**plan, "sources": sources_digest(SIMULATOR)}, fresh=force)
        job = BakeJob(trace, recorded, settings, partial, workers, progress)
        report = job.run()
        if files_digests(files, GeometryError) != plan["files"]:
            raise GeometryError(f"{trace.root}: has changed while it was baked; bake it again")
        partial.finish(
            {
                "format": FORMAT,
                **plan,
                "size": list(settings.size),
                "scale": job.scale,
                "moving_bit": True,
                "report": report,
            }
        )
    seconds = time.perf_counter() - started
    return Baked(camera, destination, recorded.frame_count, seconds, report)


def baked_from(trace: Trace, camera: str, sources: Sequence[str]) -> dict[str, Path]:
    """The files of a trace, by name, whose content decides what is baked for a camera."""
    recorded = trace.cameras[camera]
    paths = [recorded.path]
    if recorded.calibration.mask is not None:
        paths.append(trace.root / recorded.calibration.mask)
    paths += files_of(trace, camera, sources)
    return {path.name: path for path in paths}


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
        "make one of them writable, or set XDG_CACHE_HOME to a folder that is"
    )
