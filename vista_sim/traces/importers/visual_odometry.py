"""The motion of a video by its pictures alone.

One camera sees no metres: they come from its height above the road. Where its way was lost, the
trace has no poses.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vista_sim.errors import MissingDependencyError
from vista_sim.traces.calibration import CameraCalibration
from vista_sim.traces.importers.options import given_or_assumed
from vista_sim.traces.importers.posed_video import PosedVideo
from vista_sim.traces.importers.video_file import VideoFile
from vista_sim.traces.importers.video_options import VideoOptions, given_lens
from vista_sim.traces.importers.visual.car import motion_of, mount_of
from vista_sim.traces.importers.visual.drive import drive_of, frames_lost
from vista_sim.traces.known import ESTIMATED, GIVEN

logger = logging.getLogger(__name__)


def odometry(video: VideoFile, options: VideoOptions) -> PosedVideo:
    """The motion of a video, and its lens and mount. Raises TraceError."""
    require_pycolmap()
    lens = given_lens(options, video.size)

    def pictures(numbers: Sequence[int]) -> Iterator[NDArray[np.uint8]]:
        for image in video.frames(numbers):
            yield np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)

    with tempfile.TemporaryDirectory() as folder:
        drive = drive_of(
            pictures, len(video.t_ns), video.size, Path(folder), height=options.height, lens=lens
        )
    t = (video.t_ns - video.t_ns[0]) * 1e-9
    for first, last in frames_lost(drive.stretches, len(t)):
        logger.warning(
            "%s: the way is lost from %.2f to %.2f s: the trace has no poses there",
            video.path, t[first], t[last],
        )
    place = (options.mount_x, options.mount_y, options.height)
    mount = mount_of(drive.stretches, place, options.pitch, options.mount_yaw)
    return PosedVideo(
        motion=motion_of(drive.stretches, video.t_ns, mount),
        t_ns=video.t_ns,
        calibration=CameraCalibration(drive.lens, mount),
        known={
            "lens": ESTIMATED if lens is None else GIVEN,
            "mount": ESTIMATED,
            "height": given_or_assumed(options, "height"),
        },
        source="motion by its pictures",
    )


def require_pycolmap() -> None:
    """Raise MissingDependencyError unless pycolmap is there."""
    if find_spec("pycolmap") is None:
        raise MissingDependencyError(
            "the motion of a video by its pictures needs pycolmap: pip install 'vista-sim[sfm]'"
        )
