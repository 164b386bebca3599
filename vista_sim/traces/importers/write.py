"""Writes a recording as a trace, image by image and sweep by sweep."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from vista_sim.errors import TraceError
from vista_sim.files import absolute
from vista_sim.traces.atomic import check_destination
from vista_sim.traces.importers.options import make_options
from vista_sim.traces.importers.recording import Recording, Times
from vista_sim.traces.importers.registry import (
    detected,
    find_importer,
    require_readable,
    told_as_its_own,
)
from vista_sim.traces.importers.selection import (
    Selected,
    Selection,
    check_cameras,
    check_selection,
    selected,
)
from vista_sim.traces.importers.work import Tell, Work, silent
from vista_sim.traces.writer import TraceWriter

#: Told how much is done, and of how much: images and sweeps, or else what a third argument says.
Report = Callable[..., None]
T = TypeVar("T")


def import_recording(
    src: str | os.PathLike[str],
    dst: str | os.PathLike[str],
    format: str = "",
    *,
    selection: Selection | None = None,
    overwrite: bool = False,
    progress: Report | None = None,
    **options: Any,
) -> Path:
    """Turn a recording into a trace.

    Args:
        src: file or folder of the recording.
        dst: trace folder to make.
        format: name of its format; empty: found out.
        selection: the part of it that is wanted; None: all.
        overwrite: replace a trace at dst.
        progress: called with (images and sweeps done, all); of a format that computes before it
            can write, before that too, with a note of what is done.
        options: of the format; angles in rad.

    Returns:
        The trace folder.

    Raises:
        TraceError: what is missing, malformed or does not fit, in one line.
    """
    absolute(src, TraceError)  # what is no path, or in a working folder that is gone, is told
    src, dst = Path(src), Path(dst)
    wanted = selection or Selection()
    check_selection(wanted)
    importer = find_importer(format) if format else detected(src).importer
    name = format or importer.name
    with (
        Work(dst, wanted.start, wanted.end, _teller(progress)) as work,
        told_as_its_own(name),
    ):
        chosen = make_options(importer.options, options)
        check_destination(dst, overwrite)
        require_readable(src)
        if wanted.cameras is not None and hasattr(importer, "camera_names"):
            check_cameras(wanted.cameras, importer.camera_names(src, chosen))
        recording: Any  # whatever an importer of another package gives
        if (open_part := getattr(importer, "open_part", None)) is None:
            recording = importer.open(src, chosen)
        else:
            recording, whole = open_part(src, chosen, work)
            wanted = replace(wanted, start=0.0, end=None) if whole else wanted
        if not isinstance(recording, Recording):
            kind = type(recording).__name__
            raise TypeError(f"it gave a {kind} in place of a vista_sim.recordings.Recording")
        return write_recording(
            recording,
            dst,
            wanted,
            src=src,
            importer=name,
            overwrite=overwrite,
            progress=progress,
        )


def _teller(progress: Report | None) -> Tell:
    return silent if progress is None else lambda what, done, all: progress(done, all, what)


def write_recording(
    recording: Recording,
    dst: Path,
    selection: Selection | None = None,
    *,
    src: str | os.PathLike[str] = "",
    importer: str = "",
    overwrite: bool = False,
    progress: Report | None = None,
) -> Path:
    """Write a recording as a trace; the arguments are as those of `import_recording`.

    src, importer: the file or folder that it is read from, which findings name; its format.
    """
    part = selected(recording, selection or Selection())
    known = {name: camera.known for name, camera in part.cameras.items()}
    known |= {name: lidar.known for name, lidar in part.lidars.items()}
    motion = part.motion
    writer = TraceWriter(
        dst,
        name=recording.name,
        licence=recording.licence,
        source=recording.source,
        vehicle=recording.vehicle,
        origin=part.origin,
        known={name: about for name, about in known.items() if about},
        importer=importer,
        recording=src,
        overwrite=overwrite,
    )
    with writer:
        writer.write_ego(
            motion.t_ns,
            motion.position,
            motion.quaternion,
            motion.speed,
            motion.yaw_rate,
            **motion.further,
        )
        if (tracks := part.tracks) is not None:
            writer.write_tracks(
                tracks.t_ns, tracks.track_id, tracks.category, tracks.pose, tracks.size
            )
        _write_sensors(writer, part, progress)
    return dst


def _write_sensors(writer: TraceWriter, part: Selected, progress: Report | None) -> None:
    total = sum(len(camera.t_ns) for camera in part.cameras.values())
    total += sum(len(lidar.t_ns) for lidar in part.lidars.values())
    done = 0

    def one_more() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, total)

    for name, camera in part.cameras.items():
        interval = float(np.median(np.diff(camera.t_ns))) if len(camera.t_ns) > 1 else 1e8
        out = writer.add_camera(name, camera.calibration, 1e9 / interval)
        images = camera.frames(range(len(camera.t_ns)))
        for t_ns, image in _each(f"camera {name!r}: images", camera.t_ns, images):
            out.write(image, t_ns)
            one_more()
    for name, lidar in part.lidars.items():
        scanner = writer.add_lidar(name, lidar.calibration)
        sweeps = lidar.sweeps(range(len(lidar.t_ns)))
        for t_ns, points in _each(f"lidar {name!r}: sweeps", lidar.t_ns, sweeps):
            scanner.write(
                t_ns, points.xyz, points.intensity, ring=points.ring, point_t_ns=points.t_ns
            )
            one_more()


def _each(what: str, t_ns: Times, given: Iterable[T]) -> Iterator[tuple[int, T]]:
    """Times with what was measured then. Raises TraceError unless it is as many."""
    done = -1
    for done, one in enumerate(given):
        if done == len(t_ns):
            raise TraceError(f"{what}: more were given than the {len(t_ns)} times of them")
        yield int(t_ns[done]), one
    if done + 1 < len(t_ns):
        raise TraceError(f"{what}: {done + 1} were given, and {len(t_ns)} times of them")
