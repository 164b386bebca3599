"""Imports a video, in any container that FFmpeg reads, with the motion of the car that filmed it.

The motion is that of a position log (`log_odometry`) or of the pictures (`visual_odometry`): each a
module of a function `odometry(video, options, work)`. Frames have the container's times, so their
rate may vary; a rotation that the container asks for is done.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from vista_sim.errors import TraceError
from vista_sim.traces.calibration import Vehicle
from vista_sim.traces.importers.image_folder import ImageFolder, is_image_folder
from vista_sim.traces.importers.posed_video import PosedVideo
from vista_sim.traces.importers.recording import CameraStream, Recording
from vista_sim.traces.importers.video_file import VideoFile, is_video
from vista_sim.traces.importers.video_options import VideoOptions
from vista_sim.traces.importers.work import Work

CAMERA = "front"


class Video:
    """Dash cams, phones and action cameras."""

    name = "video"
    options = VideoOptions
    takes = "frames, motion by a log (GPX, NMEA, CSV, GoPro) or by the pictures"
    extra = ""

    def detect(self, src: Path) -> float:
        return 0.95 if is_video(src) else 0.6 if is_image_folder(src) else 0.0

    def why(self, src: Path) -> str:
        return f"it is named as a video, {src.suffix}" if src.is_file() else "numbered images"

    def camera_names(self, src: Path, options: VideoOptions) -> tuple[str, ...]:
        """The cameras there will be."""
        return (CAMERA,)

    def open(self, src: Path, options: VideoOptions) -> Recording:
        """Open a video and find out its motion. Raises TraceError."""
        with TemporaryDirectory() as folder:
            return self.open_part(src, options, Work(Path(folder) / src.stem))[0]

    def open_part(self, src: Path, options: VideoOptions, work: Work) -> tuple[Recording, bool]:
        """Open a stretch of it, where finding out the motion takes long; and whether it is that."""
        video: VideoFile | ImageFolder
        if src.is_dir():
            video = ImageFolder.open(src, options.times, options.image_rate)
        else:
            video = VideoFile.open(src)
        posed = _posed(video, options, work)
        recording = _recording(src, video, posed)
        return recording, options.odometry == "visual"


def _recording(src: Path, video: VideoFile | ImageFolder, posed: PosedVideo) -> Recording:
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


def _posed(video: VideoFile | ImageFolder, options: VideoOptions, work: Work) -> PosedVideo:
    # Loaded when used: an odometry may be heavy, or need an extra.
    if options.odometry == "visual":
        from vista_sim.traces.importers import visual_odometry

        return visual_odometry.odometry(video, options, work)
    from vista_sim.traces.importers import log_odometry

    if isinstance(video, ImageFolder):
        raise TraceError(
            f"{video.path}: holds images, which no log goes with; the motion is that of the "
            "pictures: odometry visual"
        )
    return log_odometry.odometry(video, options, work)
