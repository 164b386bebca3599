"""Imports a video, in any container that FFmpeg reads, with the motion of the car that filmed it.

The motion is that of a position log (`log_odometry`) or of the pictures (`visual_odometry`): each a
module of a function `odometry(video, options)`. Frames have the container's times, so their rate
may vary; a rotation that the container asks for is done.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from vista_sim.traces.calibration import Vehicle
from vista_sim.traces.importers.posed_video import PosedVideo
from vista_sim.traces.importers.recording import CameraStream, Recording
from vista_sim.traces.importers.video_file import VideoFile, is_video
from vista_sim.traces.importers.video_options import VideoOptions

CAMERA = "front"


class Video:
    """Dash cams, phones and action cameras."""

    name = "video"
    options = VideoOptions
    takes = "frames, motion by a log (GPX, NMEA, CSV, GoPro) or by the pictures"
    extra = ""

    def detect(self, src: Path) -> float:
        return 0.95 if is_video(src) else 0.0

    def why(self, src: Path) -> str:
        return f"it is named as a video, {src.suffix}"

    def open(self, src: Path, options: VideoOptions) -> Recording:
        """Open a video and find out its motion. Raises TraceError."""
        video = VideoFile.open(src)
        posed = _posed(video, options)
        stream = CameraStream(posed.calibration, posed.t_ns, video.frames, posed.known)
        return Recording(
            name=src.stem,
            source=f"{src.name}, {posed.source}",
            licence="unknown",
            vehicle=Vehicle.from_json({}),
            motion=posed.motion,
            cameras={CAMERA: lambda: stream},
            usual=(CAMERA,),
            origin=posed.origin,
        )


def _posed(video: VideoFile, options: VideoOptions) -> PosedVideo:
    # Loaded when used: an odometry may be heavy, or need an extra.
    odometry = import_module(f"{__package__}.{options.odometry}_odometry").odometry
    posed: PosedVideo = odometry(video, options)
    return posed
