"""The cameras and lidars of a bag, with their calibrations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vista_sim.errors import TraceError
from vista_sim.traces.calibration import Lens
from vista_sim.traces.importers.motion_bounds import require_within, say_outside
from vista_sim.traces.importers.notes import note
from vista_sim.traces.importers.recording import CameraStream, Floats, LidarStream, Motion
from vista_sim.traces.importers.ros.bag import Bag, Topic
from vista_sim.traces.importers.ros.mounts import Mounts
from vista_sim.traces.importers.ros.sensors import Pictures, camera_stream, lidar_stream
from vista_sim.traces.importers.ros.survey import Survey
from vista_sim.traces.importers.ros.topics import Choice, base_of
from vista_sim.traces.known import GIVEN, RECORDED


@dataclass(frozen=True, eq=False)
class Rig:
    """The sensors of an import.

    Args:
        motion: of the car; what is taken at other times cannot be used.
        matrices: fx fy cx cy, and distortion, of options, by sensor; "": of all.
        rectified: "yes", "no" or "auto". compensated: as `lidar_stream` takes it.
    """

    bag: Bag
    found: Survey
    choice: Choice
    motion: Motion
    mounts: Mounts
    matrices: dict[str, tuple[float, ...]]
    rectified: str
    compensated: str

    def camera(self, name: str) -> CameraStream:
        """Open a camera. Raises TraceError."""
        topic = self.choice.cameras[name]
        pictures = Pictures.open(self.bag, self.found, topic)
        where = f"{self.bag.src}: {topic.name}"
        require_within(where, "images", pictures.kept.t_ns, self.motion, self._same_clock())
        say_outside(where, "images", pictures.kept.t_ns, self.motion)
        frame = self.found.series[topic.name].frame
        offset = np.zeros(3)
        matrix = self.matrices.get(name) or self.matrices.get("")
        if matrix is not None:
            fx, fy, cx, cy, *distortion = matrix
            five = (*distortion, 0.0)[:5] if distortion else ()
            lens = Lens("pinhole", fx, fy, cx, cy, pictures.size, five)
            lens_is = GIVEN
        else:
            lens, offset = self._by_info(name, topic, pictures, frame)
            lens_is = RECORDED
        mount, mount_is = self.mounts.camera(name, frame, offset)
        return camera_stream(pictures, lens, mount, {"lens": lens_is, "mount": mount_is})

    def _same_clock(self) -> str:
        """What may be done where images and poses are not of the same time."""
        poses = self.choice.poses.name
        if self.found.time == "log":
            return f"poses of {poses} were recorded at another time; choose others with --poses"
        return f"has {poses} another clock? --time log takes the times of recording"

    def _by_info(
        self, name: str, topic: Topic, pictures: Pictures, frame: str
    ) -> tuple[Lens, Floats]:
        """The lens, and where the camera is in its frame, (3,) m."""
        found = self._info_topic(topic)
        if not found:
            raise TraceError(
                f"{self.bag.src}: {topic.name}: has no CameraInfo beside it; give --camera-matrix "
                f"{name}=FX,FY,CX,CY"
            )
        info = self.found.infos[found]
        last = base_of(topic.name).rpartition("/")[2]
        rectified = "rect" in last if self.rectified == "auto" else self.rectified == "yes"
        lens, done = info.lens(pictures.size, rectified)
        if done:
            note(f"{info.where}: {done}")
        if not rectified and np.abs(info.R - np.eye(3)).max() > 2e-3 and info.R.any():
            note(
                f"{info.where}: R turns the rectified camera; {frame.strip()} is taken as that of "
                f"the raw images of {name}"
            )
        # The images of a pair are in the frame of its first camera: P tells where the second is.
        others = [other for name, other in self.found.infos.items() if name != found]
        shared = any(other.frame == info.frame for other in others)
        offset = info.offset() if shared else np.zeros(3)
        if offset.any():
            note(f"{name}: {offset[0]:.4f} m to the right of {frame.strip()}, by P of {found}")
        return lens, offset

    def _info_topic(self, topic: Topic) -> str:
        """The topic of an image's CameraInfo; empty: none that is surely its own."""
        infos = self.found.infos
        base = base_of(topic.name)
        for name in (f"{base.rpartition('/')[0]}/camera_info", f"{base}/camera_info"):
            if name in infos:
                return name
        frame = self.found.series[topic.name].frame
        same = [name for name, info in infos.items() if info.frame == frame]
        if len(same) == 1:
            return same[0]
        return next(iter(infos)) if len(infos) == len(self.choice.cameras) == 1 else ""

    def lidar(self, name: str) -> LidarStream:
        """Open a lidar. Raises TraceError."""
        topic = self.choice.lidars[name]
        try:
            mount, mount_is = self.mounts.frame(name, self.found.series[topic.name].frame)
        except TraceError as error:
            raise TraceError(f"{error}, or leave it out: --points none") from None
        known = {"mount": mount_is}
        stream = lidar_stream(self.bag, self.found, topic, mount, self.compensated, known)
        say_outside(f"{self.bag.src}: {topic.name}", "sweeps", stream.t_ns, self.motion)
        return stream
