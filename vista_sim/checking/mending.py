"""From what a check found to what is changed of the trace."""

from __future__ import annotations

import numpy as np

from vista_sim.checking.amended import Amendment
from vista_sim.checking.report import CameraCheck
from vista_sim.traces.trace import Trace
from vista_sim.transforms import Matrix, pose_from_euler

#: Findings that `amendment_of` mends.
MENDED = (
    "mirrored",
    "video-late",
    "camera-height",
    "camera-pitch",
    "camera-roll",
    "camera-yaw",
    "heading-off",
    "focal-length",
)


def amendment_of(trace: Trace, report: CameraCheck) -> Amendment:
    """What mends the findings of a check.

    A tilt that the poses share with the camera is the vehicle frame's; one that they contradict is
    the mount's alone. A height is the vehicle frame's: between sensors it was calibrated.
    """
    off = {name: m.estimate.value for name, m in report.measures.items() if m.wrong}
    tilt = pose_from_euler(pitch=off.get("camera-pitch", 0.0), roll=off.get("camera-roll", 0.0))
    camera_moved = pose_from_euler(yaw=off.get("camera-yaw", 0.0))
    vehicle_moved = pose_from_euler(yaw=off.get("heading-off", 0.0))
    if shared_tilt(report):
        vehicle_moved = vehicle_moved @ tilt
    else:
        camera_moved = camera_moved @ tilt
    mount = trace.cameras[report.camera].calibration.T_vehicle_camera
    # Turned about itself: the camera stays where it is, then goes to its height.
    camera_moved = _about(mount, camera_moved)
    vehicle_moved = _about(mount, vehicle_moved)
    vehicle_moved[2, 3] -= off.get("camera-height", 0.0)
    return Amendment(
        late=off.get("video-late", 0.0),
        mirrored=bool(report.mirrored),
        focal=1.0 / (1.0 + off.get("focal-length", 0.0)),
        camera_moved=camera_moved,
        vehicle_moved=vehicle_moved,
    )


def shared_tilt(report: CameraCheck) -> bool:
    """Whether a wrong pitch is that of poses and camera together, which the frames do not deny."""
    pitch = report.measures["camera-pitch"].estimate.value
    return report.mount_pitch.told and not report.mount_pitch.beyond(0.5 * abs(pitch))


def _about(mount: Matrix, turn: Matrix) -> Matrix:
    moved = turn.copy()
    moved[:3, 3] = mount[:3, 3] - turn[:3, :3] @ mount[:3, 3]
    return np.where(np.abs(moved) < 1e-15, 0.0, moved)
