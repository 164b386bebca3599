"""What a program needs that writes traces, or brings in a format of its own, in one place.

README.md of `vista_sim.traces` has an example of each.
"""

from vista_sim.errors import TraceError
from vista_sim.traces.calibration import CameraCalibration, Lens, LidarCalibration, Vehicle
from vista_sim.traces.geodesy import local_of_geodetic
from vista_sim.traces.image_motion import image_motion
from vista_sim.traces.importers.motion import motion_of_poses, poses_of_vehicle
from vista_sim.traces.importers.notes import note
from vista_sim.traces.importers.options import option
from vista_sim.traces.importers.posed_images import Posed, mount_on
from vista_sim.traces.importers.recording import (
    CameraStream,
    LidarStream,
    Motion,
    Points,
    Recording,
    Tracks,
)
from vista_sim.traces.importers.registry import Importer
from vista_sim.traces.importers.write import import_recording, write_recording
from vista_sim.traces.levelling import level_to_first_pose, levelling
from vista_sim.traces.mount_from_motion import turned_mount
from vista_sim.traces.origin import Origin
from vista_sim.traces.sections import Label
from vista_sim.traces.time_offset import find_offset
from vista_sim.traces.writer import TraceWriter
from vista_sim.transforms import (
    camera_mount,
    inverse,
    matrix_from_quaternion,
    planar_pose,
    pose_from_euler,
    quaternion_from_matrix,
)

__all__ = [
    "CameraCalibration",
    "CameraStream",
    "Importer",
    "Label",
    "Lens",
    "LidarCalibration",
    "LidarStream",
    "Motion",
    "Origin",
    "Points",
    "Posed",
    "Recording",
    "TraceError",
    "TraceWriter",
    "Tracks",
    "Vehicle",
    "camera_mount",
    "find_offset",
    "image_motion",
    "import_recording",
    "inverse",
    "level_to_first_pose",
    "levelling",
    "local_of_geodetic",
    "matrix_from_quaternion",
    "motion_of_poses",
    "mount_on",
    "note",
    "option",
    "planar_pose",
    "pose_from_euler",
    "poses_of_vehicle",
    "quaternion_from_matrix",
    "turned_mount",
    "write_recording",
]
