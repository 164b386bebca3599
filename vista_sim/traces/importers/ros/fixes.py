"""Poses of a bag by places on earth: `NavSatFix` beside the orientation of an `Imu`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.spatial.transform import Rotation

from vista_sim.errors import TraceError
from vista_sim.traces.geodesy import local_of_geodetic
from vista_sim.traces.importers.motion import SMOOTHING
from vista_sim.traces.importers.notes import note
from vista_sim.traces.importers.recording import Floats, Times
from vista_sim.traces.importers.ros.bag import Topic
from vista_sim.traces.importers.ros.body import Body, rows_of, told_std
from vista_sim.traces.importers.ros.frames import poses_at
from vista_sim.traces.importers.ros.survey import Survey
from vista_sim.traces.smoothing import local_fit
from vista_sim.transforms import Matrix

_STEP, _GAP = 0.1, 2.5  # s between poses; longest time that a curve is laid through
_MOVING = 1.0  # m/s from which a course is told


def body_of_fixes(survey: Survey, topic: Topic, imu: Topic | None, where: str) -> Body:
    """The antenna's motion in a frame east, north and up of the first place. Raises TraceError."""
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
    return Body(t_ns, poses, frame, unknown, rates, told_std(std), first, turn)


def _fixes(survey: Survey, topic: Topic, where: str) -> tuple[Times, Floats, dict[str, Floats]]:
    """Times, ns, of the messages that have a fix, latitude, longitude and altitude (n, 3), and the
    uncertainty of the position, where that is told.
    """
    t_ns, rows = rows_of(survey, topic, where)
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
