"""The car's motion by a bag: odometry, poses, places on earth with orientation, or tf."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.spatial.transform import Rotation

from vista_sim.errors import TraceError
from vista_sim.traces.geodesy import local_of_geodetic
from vista_sim.traces.importers.motion import SMOOTHING, motion_of_poses
from vista_sim.traces.importers.notes import note
from vista_sim.traces.importers.recording import Floats, Motion, Times
from vista_sim.traces.importers.ros.bag import Topic
from vista_sim.traces.importers.ros.frames import poses_at, poses_of, usable
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


@dataclass(frozen=True, eq=False)
class Body:
    """Poses of what a bag tells the motion of: (n, 4, 4) at times (n,), ns, in a frame with z up.

    Args:
        frame: its name; "": not told. turn: of what its axes are, where that is another's: an
            Imu's beside an antenna; "vehicle": the car's own.
        velocity, rates: (n, 3) m/s and rad/s, along its own axes; NaN: not told.
        std: of the position, m, and of the heading, rad, (n,) each, where told.
        place: latitude, longitude, altitude of the frame's origin.
    """

    t_ns: Times
    poses: Matrix
    frame: str
    velocity: Floats
    rates: Floats
    std: Mapping[str, Floats]
    place: tuple[float, float, float] | None = None
    turn: str = ""


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
        return _of_fixes(survey, topic, imu, where)
    return _of_poses(survey, topic, where)


def motion_of_body(body: Body, T_vehicle_body: Matrix, where: str) -> tuple[Motion, Origin | None]:
    """The car's motion, and where on earth it begins, by that of a body that is fixed to it."""
    poses = body.poses @ inverse(T_vehicle_body)
    speed, rate = _told(body, T_vehicle_body, where)
    motion = motion_of_poses(body.t_ns, poses, speed, rate)
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


def _rows(survey: Survey, topic: Topic, where: str) -> tuple[Times, Floats]:
    kept = survey.kept(topic.name)
    rows = survey.series[topic.name].table()[kept.numbers]
    if len(rows) < 2:
        raise TraceError(f"{where}: holds {len(rows)} usable messages; at least 2 are needed")
    return kept.t_ns, rows


def _of_poses(survey: Survey, topic: Topic, where: str) -> Body:
    t_ns, rows = _rows(survey, topic, where)
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
            "heading_std": np.sqrt(np.maximum(rows[:, _VAR_YAW], -1.0)),
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
        _told_std(std),
    )


def _told_std(std: Mapping[str, Floats]) -> dict[str, Floats]:
    """Those that say something: not all zero, nor of a size that stands for "not known"."""
    return {
        name: values
        for name, values in std.items()
        if np.isfinite(values).all() and values.any() and values.max() <= MAX_STD
    }


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


def _of_fixes(survey: Survey, topic: Topic, imu: Topic | None, where: str) -> Body:
    t_ns, degrees, std = _fixes(survey, topic, where)
    place = local_of_geodetic(*degrees.T)
    first = float(degrees[0, 0]), float(degrees[0, 1]), float(degrees[0, 2])
    dense = _between(t_ns)
    if len(dense) > len(t_ns):
        note(f"{where}: poses between its messages are of a smooth curve through them")
        t, at = (t_ns - t_ns[0]) * 1e-9, (dense - t_ns[0]) * 1e-9
        place, t_ns = CubicSpline(t, place)(at), dense
        std = {name: np.interp(at, t, values) for name, values in std.items()}
    turned = None if imu is None else _orientation(survey, imu, t_ns, where)
    if turned is None or imu is None:
        rotation, turn = _by_course(t_ns, place, where), "vehicle"
        rates = np.full((len(t_ns), 3), np.nan)
    else:
        inside, rotation, rates = turned
        t_ns, place, turn = t_ns[inside], place[inside], survey.series[imu.name].frame
        std = {name: values[inside] for name, values in std.items()}
    poses = np.tile(np.eye(4), (len(t_ns), 1, 1))
    poses[:, :3, :3], poses[:, :3, 3] = rotation, place
    unknown = np.full((len(t_ns), 3), np.nan)
    frame = survey.series[topic.name].frame
    return Body(t_ns, poses, frame, unknown, rates, _told_std(std), first, turn)


def _fixes(survey: Survey, topic: Topic, where: str) -> tuple[Times, Floats, dict[str, Floats]]:
    """Times, ns, of the messages that have a fix, latitude, longitude and altitude (n, 3), and the
    uncertainty of the position, where that is told.
    """
    t_ns, rows = _rows(survey, topic, where)
    good = np.isfinite(rows[:, :2]).all(axis=1) & (rows[:, 3] >= 0)
    lost = len(rows) - int(good.sum())
    if good.sum() < 2:
        raise TraceError(
            f"{where}: {lost} of {len(rows)} messages have no fix (status -1, or not finite); at "
            "least 2 are needed"
        )
    if lost:
        note(f"{where}: {lost} of {len(rows)} messages have no fix, and are left out")
    t_ns, rows = t_ns[good], rows[good]
    degrees = rows[:, :3].copy()
    if (np.abs(degrees[:, :2]) > (90.0, 180.0)).any():
        raise TraceError(f"{where}: latitude and longitude must be in degrees")
    told = np.isfinite(degrees[:, 2])
    if not told.all():
        known = float(np.median(degrees[told, 2])) if told.any() else 0.0
        note(f"{where}: the altitude is not known everywhere; {known:.2f} m is taken there")
        degrees[~told, 2] = known
    variances = rows[:, 4:6]
    known_std = bool(np.isfinite(variances).all() and (variances >= 0).all())
    std = {"position_std": np.sqrt(variances.mean(axis=1))} if known_std else {}
    return t_ns, degrees, std


def _between(t_ns: Times) -> Times:
    """Times, ns, with more of them where two are farther apart than poses should be, but not so
    far that nobody knows what was between.
    """
    steps = np.diff(t_ns) * 1e-9
    wide = (steps > 1.5 * _STEP) & (steps <= _GAP)
    parts = np.where(wide, np.ceil(steps / _STEP), 1).astype(int)
    pairs = zip(t_ns[:-1], t_ns[1:], parts, strict=True)
    found = [a + (b - a) * np.arange(n) // n for a, b, n in pairs]
    return np.concatenate([*found, t_ns[-1:]])


def _orientation(
    survey: Survey, imu: Topic, t_ns: Times, where: str
) -> tuple[NDArray[np.bool_], Matrix, Floats] | None:
    """At which times an Imu tells its orientation (east, north, up; REP 103), and there its
    rotations (n, 3, 3) and rates (n, 3), rad/s; None where it tells none.
    """
    kept = survey.kept(imu.name)
    rows = survey.series[imu.name].table()[kept.numbers]
    told = (rows[:, 7] != -1) & (np.abs(np.linalg.norm(rows[:, :4], axis=1) - 1) < 0.01)
    if told.sum() < 2:
        note(
            f"{imu.name}: tells no orientation (orientation_covariance[0] is -1, or no quaternion)"
        )
        return None
    at, rows = kept.t_ns[told], rows[told]
    inside = (t_ns >= at[0]) & (t_ns <= at[-1])
    if inside.sum() < 2:
        raise TraceError(
            f"{where}: has {int(inside.sum())} messages while {imu.name} tells an orientation; are "
            "both of one clock? --time log takes the times of recording"
        )
    values = np.hstack([np.zeros((len(rows), 3)), rows[:, :4]])
    rotation = poses_at(t_ns[inside], at, values)[:, :3, :3]
    t = (at - t_ns[0]) * 1e-9
    t_wanted = (t_ns[inside] - t_ns[0]) * 1e-9
    rates = np.stack([np.interp(t_wanted, t, rows[:, 4 + k]) for k in range(3)], axis=1)
    return inside, rotation, rates


def _by_course(t_ns: Times, place: Floats, where: str) -> Matrix:
    """Rotations (n, 3, 3) of a car that heads where it moves, on the level."""
    t = (t_ns - t_ns[0]) * 1e-9
    reach = max(SMOOTHING, 2.5 * float(np.median(np.diff(t))))
    velocity = np.stack([local_fit(t, t, place[:, k], reach, 2)[1] for k in range(2)], axis=1)
    moving = np.flatnonzero(np.hypot(*velocity.T) > _MOVING)
    if not len(moving):
        raise TraceError(
            f"{where}: the car never moves faster than {_MOVING:g} m/s, so its heading is not "
            "known; name an Imu that tells its orientation with --imu"
        )
    note(f"{where}: takes the heading from the course, and the car as level: no Imu tells them")
    yaw = np.unwrap(np.arctan2(velocity[moving, 1], velocity[moving, 0]))
    return Rotation.from_euler("z", np.interp(t, t[moving], yaw)[:, None]).as_matrix()
