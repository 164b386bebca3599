"""When a bake cannot be right: what it found out contradicts the calibration or the poses.

A wrong lens, mount or clock still gives some inverse depth everywhere. What gives it away is how
far the recorded poses had to be moved for the frames to fit each other, how far the road lies
from where the mount says it is, and how little neighbouring frames agree on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Right bakes: 0.1 to 1.1 cm, 0.001 to 0.034 degrees, 1 to 3 % of the height, 0.1 to 1.5 degrees
# (rendered streets, the proving ground, KITTI 00). With the distortion of KITTI's raw images on
# its rectified ones: 47 cm, 0.04 degrees, 20 %, 1.8 degrees.
_SHIFT = 0.08  # m, median between keyframes
_TURN = 0.25  # degrees, median between keyframes
_HEIGHT = 0.08  # share of the camera's height above the road, median
_TILT = 2.5  # degrees, median pitch or roll of the road against the mount
_LENS = (
    "is the lens right (distortion of raw images on rectified ones, or of another size)? "
    "Try without distortion"
)


def doubts(report: Mapping[str, Any], camera_height: float) -> list[str]:
    """What speaks against a bake, one line each with what to try; empty where nothing does.

    Args:
        report: of the bake (`GeometryStore.report`).
        camera_height: above the ground as calibrated, m.
    """
    found: list[str] = []
    motion, ground = report.get("motion"), report.get("ground")
    if isinstance(motion, Mapping):
        shift, turn = motion.get("median_shift_m", 0.0), motion.get("median_turn_deg", 0.0)
        if shift > _SHIFT or turn > _TURN:
            found.append(
                f"poses had to be moved by {100 * shift:.0f} cm and {turn:.2f} degrees between "
                f"keyframes for frames to fit each other; {_LENS}, another mount, or check that "
                "images and poses share one clock"
            )
    if isinstance(ground, Mapping) and ground.get("frames_fitted"):
        height = ground.get("median_height_m", 0.0)
        tilt = max(ground.get("median_pitch_deg", 0.0), ground.get("median_roll_deg", 0.0))
        if camera_height > 0 and height > _HEIGHT * camera_height:
            found.append(
                f"the road lies {100 * height:.0f} cm from where the mount says it is (camera "
                f"{camera_height:.2f} m above it); is the mount's height right, and the focal "
                f"length? And {_LENS}"
            )
        if tilt > _TILT:
            found.append(
                f"the road is tilted by {tilt:.1f} degrees against the mount; are its pitch "
                f"and roll right, and the principal point? And {_LENS}"
            )
    return found
