"""How a camera is turned on its car, by where the car moves to in its pictures."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from vista_sim.traces.image_motion import ImageMotion

STRAIGHT = 0.03  # rad/s of yaw rate up to which a car moves to where it looks
LEAST_PARALLAX = 4.0  # px/s of flow, of a car that moves
LEAST = 30  # intervals between pictures that are enough


@dataclass(frozen=True)
class Turned:
    """Angles of a mount as `transforms.camera_mount` takes them, rad, with one sigma of each."""

    pitch: float
    yaw: float
    pitch_std: float
    yaw_std: float


def turned_mount(motion: ImageMotion, yaw_rate: ArrayLike) -> Turned | None:
    """Pitch and yaw of a camera; None where the car hardly ever moves straight on.

    Args:
        motion: of the camera.
        yaw_rate: (n,) rad/s at its times. A pose of the car itself (load, braking) is part of it.
    """
    straight = np.abs(np.asarray(yaw_rate, dtype=np.float64)) < STRAIGHT
    straight &= np.isfinite(motion.ahead).all(axis=1) & (motion.parallax > LEAST_PARALLAX)
    if np.count_nonzero(straight) < LEAST:
        return None
    ahead = motion.ahead[straight]
    middle = np.median(ahead, axis=0)
    spread = 1.4826 * np.median(np.abs(ahead - middle), axis=0)
    # Pictures beside each other show the same road; about one in five is a witness of its own.
    std = 1.253 * spread / math.sqrt(len(ahead) / 5)
    pitch = -math.atan(middle[1])
    yaw = math.atan(middle[0] * math.cos(pitch))
    return Turned(pitch, yaw, float(std[1]), float(std[0]))
