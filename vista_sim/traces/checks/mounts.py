"""The calibration of a camera against what cameras on cars are like."""

from __future__ import annotations

import numpy as np

from vista_sim.traces.calibration import CameraCalibration
from vista_sim.traces.checks.finding import Finding

STEEP = np.radians(60.0)  # of the viewing direction, and of a roll
WIDEST = np.radians(170.0)  # of a pinhole camera: its picture would be 23 times its focal length
_WHERE = "trace.json"
_AXES = "a camera's x points right, y down and z ahead; T_vehicle_camera brings them to the car's"


def lens_of_another_unit(name: str, camera: CameraCalibration) -> list[Finding]:
    """The focal length is not in pixels: an identity matrix, or values for a picture of size 1."""
    lens = camera.lens
    if lens.model != "pinhole":
        return []
    fov = 2 * np.arctan(0.5 * np.array(lens.size[::-1]) / (lens.fx, lens.fy))
    if fov.max() <= WIDEST:
        return []
    text = (
        f"K of {name!r} has focal lengths of {lens.fx:.4g} and {lens.fy:.4g} px for pictures of "
        f"{lens.size[1]} x {lens.size[0]} px: a pinhole camera of "
        f"{np.degrees(fov.max()):.1f} degrees"
    )
    return [Finding("camera-lens", "refuse", _WHERE, text, "K must be in pixels of that size")]


def principal_point(name: str, camera: CameraCalibration) -> list[Finding]:
    """The optical axis does not go through the picture."""
    lens = camera.lens
    if 0 <= lens.cx <= lens.size[1] and 0 <= lens.cy <= lens.size[0]:
        return []
    text = (
        f"K of {name!r} has its centre at ({lens.cx:.4g}, {lens.cy:.4g}), outside of pictures of "
        f"{lens.size[1]} x {lens.size[0]} px"
    )
    remedy = "unless they were cut out of larger ones, K must be for their size"
    return [Finding("camera-lens", "warn", _WHERE, text, remedy)]


def looks_along_the_road(name: str, camera: CameraCalibration) -> list[Finding]:
    """The camera looks at the sky, at the ground, or lies on its side."""
    mount = camera.T_vehicle_camera[:3, :3]
    if np.array_equal(mount, np.eye(3)):
        text = f"the mount of {name!r} has no rotation: this camera looks at the sky"
        return [Finding("camera-mount", "refuse", _WHERE, text, _AXES)]
    up = float(np.arcsin(np.clip(mount[2, 2], -1.0, 1.0)))
    if abs(up) > STEEP:
        seen = "the sky" if up > 0 else "the ground below it"
        text = f"{name!r} looks at {seen}: {np.degrees(up):.0f} degrees above the horizon"
        return [Finding("camera-mount", "warn", _WHERE, text, _AXES)]
    roll = float(np.arctan2(-mount[2, 0], -mount[2, 1]))  # of the picture's x and y axes
    if abs(roll) > STEEP:
        text = f"{name!r} is turned by {np.degrees(abs(roll)):.0f} degrees about its viewing axis"
        return [Finding("camera-mount", "warn", _WHERE, text, _AXES)]
    return []


def above_the_road(name: str, camera: CameraCalibration) -> list[Finding]:
    """The camera is in the road, or far above it."""
    height = float(camera.T_vehicle_camera[2, 3])
    if 0.05 < height < 6.0:
        return []
    text = f"{name!r} is {height:.2f} m above the road"
    remedy = "the vehicle frame lies on the road, below the rear axle, in m"
    return [Finding("camera-mount", "warn", _WHERE, text, remedy)]
