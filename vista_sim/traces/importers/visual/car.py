"""From the drive of a camera to that of its car: how the camera sits, and the car's motion."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vista_sim.traces.importers.motion import motion_of_poses
from vista_sim.traces.importers.recording import Motion, Times
from vista_sim.traces.importers.visual.drive import Stretch
from vista_sim.traces.levelling import level_to_first_pose
from vista_sim.traces.sections import GAP_FACTOR, SHORTEST_GAP
from vista_sim.transforms import (
    R_VEHICLE_FORWARD_CAMERA,
    Matrix,
    camera_mount,
    inverse,
    matrix_from_quaternion,
    planar_pose,
    quaternion_from_matrix,
    way_along,
    yaw_of,
)

Floats = NDArray[np.float64]

_APART = 1.0  # m between the poses by which a direction of motion is told
_LEVEL = 300.0  # m at the beginning of a stretch whose roads are level, all in all
_MARGIN = 1.1  # of the longest gap that is none


def mount_of(
    stretches: Sequence[Stretch],
    place: tuple[float, float, float],
    pitch: float | None,
    yaw: float | None,
) -> Matrix:
    """T_vehicle_camera (4, 4), by how the road lies in the picture and how the car moves.

    A car turns about its rear axle: a camera `x` ahead of it moves aside by x times the curvature.

    Args:
        place: x, y, z of the camera on the vehicle, m.
        pitch, yaw: of the camera, rad, that are known; None: found.
    """
    longest = max(stretches, key=lambda stretch: len(stretch.frames))
    up, ahead = longest.up, longest.ahead
    turn = np.stack([ahead, np.cross(up, ahead), up])
    aside = float(np.median(np.concatenate([_aside(s, turn, place[0]) for s in stretches])))
    straight = planar_pose(0.0, 0.0, -aside)[:3, :3] @ turn
    return camera_mount(*place, **_angles(straight, pitch, yaw))


def _angles(turn: Matrix, pitch: float | None, yaw: float | None) -> dict[str, float]:
    """Roll, pitch and yaw of a camera's R_vehicle_camera, in place of which some are known."""
    R = turn @ R_VEHICLE_FORWARD_CAMERA.T
    return {
        "roll": math.atan2(R[2, 1], R[2, 2]),
        "pitch": math.asin(float(np.clip(-R[2, 0], -1, 1))) if pitch is None else pitch,
        "yaw": math.atan2(R[1, 0], R[0, 0]) if yaw is None else yaw,
    }


def _aside(stretch: Stretch, turn: Matrix, ahead: float) -> Floats:
    """Angles, rad, by which the camera moves to the left of the x axis, but for bends."""
    poses = stretch.T_stretch_camera
    arc = way_along(poses[:, :3, 3])
    rows = np.unique(np.searchsorted(arc, np.arange(0.0, arc[-1], _APART)))
    rows = rows[rows < len(poses)]
    if len(rows) < 3:
        return np.zeros(1)
    chosen = poses[rows]
    # Halfway between two poses the camera is turned half as far.
    step = np.diff(chosen[:, :3, 3], axis=0)
    first = np.einsum("nji,nj->ni", chosen[:-1, :3, :3], step) @ turn.T
    last = np.einsum("nji,nj->ni", chosen[1:, :3, :3], step) @ turn.T
    angle = np.arctan2(first[:, 1], first[:, 0])
    turned = angle - np.arctan2(last[:, 1], last[:, 0])
    curvature = turned / np.maximum(np.linalg.norm(step, axis=1), 0.1)
    return angle - 0.5 * turned - np.arctan(ahead * curvature)


def motion_of(stretches: Sequence[Stretch], t_ns: Times, T_vehicle_camera: Matrix) -> Motion:
    """The car's motion over all stretches; where the camera was lost there are no rows.

    A stretch begins where the one before would have come to at its last speed and heading, since
    nothing tells how the car went on.
    """
    interval = float(np.median(np.diff(t_ns)))
    apart = _MARGIN * max(SHORTEST_GAP * 1e9, GAP_FACTOR * interval)
    parts: list[Motion] = []
    for stretch in stretches:
        rows = np.arange(len(stretch.frames))
        if parts:
            rows = rows[t_ns[stretch.frames] > parts[-1].t_ns[-1] + apart]
        if len(rows) < 3:
            continue
        poses = stretch.T_stretch_camera[rows] @ inverse(T_vehicle_camera)
        poses = _levelled(poses)
        motion = motion_of_poses(t_ns[stretch.frames[rows]], poses)
        parts.append(_after(parts[-1], motion) if parts else motion)
    position, quaternion = level_to_first_pose(
        np.concatenate([part.position for part in parts]),
        np.concatenate([part.quaternion for part in parts]),
    )
    return Motion(
        np.concatenate([part.t_ns for part in parts]),
        position,
        quaternion,
        np.concatenate([part.speed for part in parts]),
        np.concatenate([part.yaw_rate for part in parts]),
    )


def _levelled(poses: Matrix) -> Matrix:
    """Poses in a frame whose z is the car's, by mean over the first roads: gravity is not seen."""
    up = poses[way_along(poses[:, :3, 3]) <= _LEVEL, :3, 2].mean(axis=0)
    up /= np.linalg.norm(up)
    x = poses[0, :3, 0] - (poses[0, :3, 0] @ up) * up
    x /= np.linalg.norm(x)
    frame = np.eye(4)
    frame[:3, :3] = np.stack([x, np.cross(up, x), up])
    return np.asarray(frame @ poses)


def _after(before: Motion, motion: Motion) -> Motion:
    """A motion moved to where the one before it would have come to."""
    heading = yaw_of(matrix_from_quaternion(before.quaternion[-1]))
    way = max(0.0, before.speed[-1]) * (motion.t_ns[0] - before.t_ns[-1]) * 1e-9
    x, y, z = before.position[-1]
    start = planar_pose(x + way * math.cos(heading), y + way * math.sin(heading), heading)
    start[2, 3] = z
    turned = start[:3, :3] @ matrix_from_quaternion(motion.quaternion)
    return Motion(
        motion.t_ns,
        motion.position @ start[:3, :3].T + start[:3, 3],
        quaternion_from_matrix(turned),
        motion.speed,
        motion.yaw_rate,
    )
