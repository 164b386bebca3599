"""Inverse depth of flat ground: what is known of a scene before anything is measured."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vista_sim.traces.calibration import Lens


def ground_inverse_depth(lens: Lens, T_vehicle_camera: ArrayLike) -> NDArray[np.float32]:
    """Inverse depth (1/m along the optical axis) of the plane z = 0 of the vehicle frame.

    A point of the ray r, in units of depth (r_z = 1), at inverse depth w is c + R r / w in
    the vehicle frame; its height is zero at w = -(R r)_z / c_z.

    Args:
        lens: of the camera, with its distortion.
        T_vehicle_camera: (4, 4) mount; the camera is above the ground.

    Returns:
        (h, w) of the lens's size; 0 at and above the horizon, and where a ray does not
        point forward.
    """
    mount = np.asarray(T_vehicle_camera, dtype=np.float64)
    rays = lens.rays()
    height = mount[2, 3]
    if height <= 0:
        return np.zeros(lens.size, dtype=np.float32)
    downward = -(rays @ mount[2, :3])
    forward = rays[..., 2]
    with np.errstate(divide="ignore", invalid="ignore"):
        inverse = np.where(forward > 1e-3, downward / (forward * height), 0.0)
    return np.maximum(np.nan_to_num(inverse, nan=0.0, posinf=0.0), 0.0).astype(np.float32)
