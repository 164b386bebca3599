"""What an odometry makes of a video: the seam between `video` and whatever tells its motion."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from vista_sim.traces.calibration import CameraCalibration
from vista_sim.traces.importers.recording import Motion, Times
from vista_sim.traces.origin import Origin


@dataclass(frozen=True, eq=False)
class PosedVideo:
    """A video with the motion of its car.

    Args:
        motion: of the vehicle frame. Frames before its first or after its last row are left out.
        t_ns: (n,) times of the n frames of the video on the clock of the motion, ns.
        calibration: lens and mount.
        known: where each value comes from (`traces.known`): "lens", "mount" and what else.
        source: what told the motion, for the trace.
        origin: where on earth its world frame is.
    """

    motion: Motion
    t_ns: Times
    calibration: CameraCalibration
    known: Mapping[str, str]
    source: str
    origin: Origin | None = field(default=None)
