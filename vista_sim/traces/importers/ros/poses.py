"""The car's motion by a bag: odometry, poses, places on earth with orientation, or tf."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from vista_sim.errors import TraceError
from vista_sim.traces.importers.motion import SMOOTHING, motion_of_poses
from vista_sim.traces.importers.motion_bounds import check_motion_bounds
from vista_sim.traces.importers.notes import note
from vista_sim.traces.importers.recording import Floats, Motion
from vista_sim.traces.importers.ros.bag import Topic
from vista_sim.traces.importers.ros.body import Body, rows_of, told_std
from vista_sim.traces.importers.ros.fixes import body_of_fixes
from vista_sim.traces.importers.ros.frames import poses_of, usable
from vista_sim.traces.importers.ros.survey import Survey
from vista_sim.traces.importers.ros.topics import FIXES, TF
from vista_sim.traces.origin import Origin
from vista_sim.traces.smoothing import local_fit
from vista_sim.transforms import Matrix, inverse

_X, _ROLL_RATE = slice(7, 10), slice(10, 13)  # of a row of a body's motion: velocity, rates
_VAR_X, _VAR_Y, _VAR_YAW = 13, 14, 15
MAX_STD = 100.0  # m or rad; more stands for "not known"
_STEP, _GAP = 0.1, 2.5  # s between poses; longest time that a curve is laid through
_MOVING = 1.0  # m/s from which a course is told
_AGREES = 0.2  # share, and m/s x 2.5, that a recorded speed may be off that of the positions


def read_body(
    survey: Survey, topic: Topic, imu: Topic | None, base: str, world: str, where: str
) -> Body:
    """The body whose poses a topic tells. Raises TraceError.

    Args:
        imu: orientation, where the topic is of places on earth.
        base, world: frames of tf, where the topic is of tf.
    """
    if topic.type in TF:
        return _of_tf(survey, base, world, where)
    if topic.type in FIXES:
        return body_of_fixes(survey, topic, imu, where)
    return _of_poses(survey, topic, where)


def motion_of_body(body: Body, T_vehicle_body: Matrix, where: str) -> tuple[Motion, Origin | None]:
    """The car's motion, and where on earth it begins, by that of a body that is fixed to it.

    Raises TraceError: it is that of no car.
    """
    poses = body.poses @ inverse(T_vehicle_body)
    speed, rate = _told(body, T_vehicle_body, where)
    motion = motion_of_poses(body.t_ns, poses, speed, rate)
    check_motion_bounds(motion, lambda row: f"{where}: pose {row}", where)
    origin = None if body.place is None else Origin(*body.place).moved(poses[0])
    return replace(motion, further=body.std), origin


def _told(body: Body, T_vehicle_body: Matrix, where: str) -> tuple[Floats | None, Floats | None]:
    """Speed and yaw rate of the rear axle by what the body's twist says, where that can be."""
    turn, arm = T_vehicle_body[:3, :3], T_vehicle_body[:3, 3]
    rates = body.rates @ turn.T
    rate = rates[:, 2] if np.isfinite(rates).all() else None
    if rate is not None and not rate.any():
        rate = None
    if not np.isfinite(body.velocity).all() or rate is None:
        return None, rate
    velocity = body.velocity @ turn.T - np.cross(rates, arm)
    speed: Floats = velocity[:, 0]
    t = (body.t_ns - body.t_ns[0]) * 1e-9
    place = body.poses[:, :3, 3] - body.poses[0, :3, 3]
    moved = np.stack([local_fit(t, t, place[:, k], SMOOTHING, 2)[1] for k in range(3)], axis=1)
    by_place = np.einsum("ij,ij->i", moved, (body.poses @ inverse(T_vehicle_body))[:, :3, 0])
    off = float(np.median(np.abs(speed - by_place)))
    usual = float(np.median(np.abs(by_place)))
    if off > _AGREES * max(usual, 2.5):
        note(
            f"{where}: takes speed and yaw rate from the poses, since the twist's speed is "
            f"{off:.2f} m/s off theirs (is it zero, or not in the frame of the body?)"
        )
        return None, None
    return speed, rate


def _of_poses(survey: Survey, topic: Topic, where: str) -> Body:
    t_ns, rows = rows_of(survey, topic, where)
    good = np.array([usable(tuple(row[:7])) for row in rows])
    if good.sum() < 2:
        raise TraceError(
            f"{where}: {len(rows) - good.sum()} of {len(rows)} poses are not finite, or their "
            "quaternions are not of length 1; at least 2 good ones are needed"
        )
    if not good.all():
        note(f"{where}: {len(rows) - good.sum()} of {len(rows)} poses are left out: no numbers")
    t_ns, rows = t_ns[good], rows[good]
    series = survey.series[topic.name]
    std = (
        {
            "position_std": np.sqrt((rows[:, _VAR_X] + rows[:, _VAR_Y]) / 2),
            "heading_std": np.sqrt(rows[:, _VAR_YAW]),
        }
        if np.isfinite(rows[:, _VAR_X:]).all() and (rows[:, _VAR_X:] >= 0).all()
        else {}
    )
    return Body(
        t_ns,
        poses_of(rows[:, :7]),
        series.child,
        rows[:, _X],
        rows[:, _ROLL_RATE],
        told_std(std),
    )


def _of_tf(survey: Survey, base: str, world: str, where: str) -> Body:
    frames = survey.frames
    up = frames.up_from(base)
    names = [world] if world else ["odom", "map", up[-1]]
    for name in names:
        found = frames.moving(name, base, survey.time)
        if found is not None and len(found[0]) >= 2:
            t_ns, poses = found
            if not world:
                note(f"{where}: takes the poses of {base} in {name}")
            unknown = np.full((len(t_ns), 3), np.nan)
            return Body(t_ns, poses, base, unknown, unknown, {})
    known = ", ".join(sorted(frames.links)) or "none"
    raise TraceError(
        f"{where}: {base} does not move in {' or '.join(dict.fromkeys(names))}; frames: {known}; "
        "name others with --world-frame and --base-frame"
    )
