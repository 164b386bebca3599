"""The motion of a video by its pictures alone.

One camera sees no metres: they come from its height above the road, or from a log of the car's
speed. Where its way was lost, the trace has no poses.
"""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vista_sim.errors import MissingDependencyError, TraceError
from vista_sim.identity.files import content_digest, files_digest
from vista_sim.identity.sources import SIMULATOR, sources_digest
from vista_sim.traces.calibration import CameraCalibration, Lens
from vista_sim.traces.importers.image_folder import ImageFolder
from vista_sim.traces.importers.log_check import checked_path
from vista_sim.traces.importers.log_clock import nominal_start
from vista_sim.traces.importers.log_path import LogPath
from vista_sim.traces.importers.logs.find import read_log
from vista_sim.traces.importers.options import given_or_assumed
from vista_sim.traces.importers.posed_video import PosedVideo
from vista_sim.traces.importers.video_file import VideoFile
from vista_sim.traces.importers.video_options import VideoOptions, given_lens
from vista_sim.traces.importers.visual.car import motion_of, mount_of
from vista_sim.traces.importers.visual.drive import CameraMotion, drive_of
from vista_sim.traces.importers.visual.odometer import way_of
from vista_sim.traces.importers.work import Work
from vista_sim.traces.known import ESTIMATED, GIVEN
from vista_sim.traces.sections import gaps

logger = logging.getLogger(__name__)

_AGREED = 0.05  # share by which parts of a drive may differ on its focal length unremarked
_SEEN = 0.5  # share of the keyframes that should see road

Video = VideoFile | ImageFolder


def odometry(video: Video, options: VideoOptions, work: Work) -> PosedVideo:
    """The motion of a video between `work.start` and `work.end`, and its lens and mount.

    Raises:
        TraceError: it stands still, sees no road, or the wanted stretch is not in it.
        MissingDependencyError: pycolmap is not installed.
    """
    require_pycolmap()
    lens = given_lens(options, video.size)
    t = (video.t_ns - video.t_ns[0]) * 1e-9
    wanted = np.flatnonzero((t >= work.start) & (t <= (math.inf if work.end is None else work.end)))
    if len(wanted) < 2:
        raise TraceError(
            f"{video.path}: from {work.start:g} s on there are {len(wanted)} frames; it lasts "
            f"{t[-1]:.2f} s"
        )

    def pictures(numbers: Sequence[int]) -> Iterator[NDArray[np.uint8]]:
        for image in video.frames([int(wanted[number]) for number in numbers]):
            yield np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)

    drive = drive_of(
        pictures,
        len(wanted),
        video.size,
        work.folder(_plan(video, lens, (int(wanted[0]), int(wanted[-1])))),
        height=options.height,
        lens=lens,
        way=_way(video, options, video.t_ns[wanted]) if options.log else None,
        step=work.tell,
    )
    place = (options.mount_x, options.mount_y, options.height)
    mount = mount_of(drive.stretches, place, options.pitch, options.mount_yaw)
    motion = motion_of(drive.stretches, video.t_ns[wanted], mount)
    _tell_lost(video, (motion.t_ns - video.t_ns[0]) * 1e-9, t[wanted])
    _tell_unsure(video, drive, t[wanted], lens)
    measure = f"a camera {options.height:g} m above the road"
    if options.log:
        measure = f"the speeds of {Path(options.log).name}"
    known = {
        "lens": ESTIMATED if lens is None else GIVEN,
        "mount": ESTIMATED,
        "height": given_or_assumed(options, "height"),
    }
    return PosedVideo(
        motion=motion,
        t_ns=video.t_ns,
        calibration=CameraCalibration(drive.lens, mount),
        known=known,
        source=f"motion by its pictures, metres by {measure}",
    )


def _way(video: Video, options: VideoOptions, t_ns: NDArray[np.int64]) -> NDArray[np.float64]:
    """The way at frames of these times by the speeds of a log, m; NaN where it does not tell."""
    log = read_log(Path(options.log), options.columns)
    place = (options.antenna_x, options.antenna_y)
    speed = checked_path(LogPath.of(log, place), ("speed",)).speed
    if len(speed) < 2:
        raise TraceError(
            f"{log.path}: tells no speeds that metres could be taken from; leave it out, or give "
            "one that does"
        )
    first = int(log.t_ns[0])
    if isinstance(video, ImageFolder):
        start, why = -first * 1e-9, "times of images are taken as those of the log"
    else:
        nominal = nominal_start(video, log)
        start, why = nominal.seconds, nominal.why
    if options.time_offset is not None:
        start, why = start - options.time_offset, f"given ({why})"
    logger.info(
        "%s: begins %.2f s after the first row of %s (%s)", video.path, start, log.path, why
    )
    return way_of(speed.t, speed.value, t_ns * 1e-9 + start)


def _plan(video: Video, lens: Lens | None, span: tuple[int, int]) -> dict[str, object]:
    """What decides tracks and keyframes: metres and mount come after them."""
    if isinstance(video, VideoFile):
        source = content_digest(video.path, TraceError)
    else:
        source = files_digest({path.name: path for path in video.files}, TraceError)
    return {
        "source": source,
        "lens": None if lens is None else dataclasses.asdict(lens),
        "span": span,
        "code": sources_digest(SIMULATOR),
    }


def _tell_lost(video: Video, posed: NDArray[np.float64], t: NDArray[np.float64]) -> None:
    """Say in the log where frames at times t have no poses; those that have are at `posed`, s."""
    for start, end in gaps(posed - t[0], float(t[-1] - t[0])):
        first, last = max(start, 0.0) + t[0], min(end, t[-1] - t[0]) + t[0]
        logger.warning(
            "%s: the way is lost from %.2f to %.2f s; the trace has no poses there",
            video.path,
            first,
            last,
        )


def _tell_unsure(
    video: Video, drive: CameraMotion, t: NDArray[np.float64], given: Lens | None
) -> None:
    """Say in the log what is not sure; t are the times of the frames, s."""
    if given is None:
        lens = drive.lens
        logger.info("%s: focal length %.1f px, k1 %.3f", video.path, lens.fx, lens.distortion[0])
        if not drive.spread < _AGREED:
            spread = (
                "one part alone tells it"
                if math.isnan(drive.spread)
                else (f"parts of the drive differ on it by {100 * drive.spread:.0f} %")
            )
            logger.warning(
                "%s: focal length %.0f px (%.0f degrees) is not sure (%s); a drive with bends "
                "tells it, or give it: --camera-matrix or --fov",
                video.path,
                lens.fx,
                math.degrees(lens.fov),
                spread,
            )
    for stretch in drive.stretches:
        if stretch.road < _SEEN:
            logger.warning(
                "%s: from %.2f to %.2f s the road is seen at %.0f %% of the places alone; speeds "
                "there are not sure",
                video.path,
                t[stretch.frames[0]],
                t[stretch.frames[-1]],
                100 * stretch.road,
            )


def require_pycolmap() -> None:
    """Raise MissingDependencyError unless pycolmap is there."""
    if find_spec("pycolmap") is None:
        raise MissingDependencyError(
            "the motion of a video by its pictures needs pycolmap: pip install 'vista-sim[sfm]'"
        )
