"""A human-like expert: it slows for curves, steers within limits and wanders in its lane."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import gaussian_filter1d

from vista_sim.proving_ground.road import Road
from vista_sim.traces.calibration import Vehicle

Array = NDArray[np.float64]

TIME_STEP = 0.01  # s


@dataclass(frozen=True)
class Manners:
    """How the expert drives."""

    top_speed: float = 13.0  # m/s
    lateral_acceleration: float = 1.55  # m/s², aimed at in curves; at most 2 is reached
    acceleration: float = 1.1  # m/s²
    deceleration: float = 1.5  # m/s²
    wander: float = 0.08  # m from the lane's centre, at most
    stiffness: float = 0.16  # 1/m: errors vanish with exp(-stiffness * distance)
    lag: float = 0.12  # s of the steering


def manners_on(road: Road) -> Manners:
    """How one drives on a road: slower in a city."""
    return Manners(top_speed=9.5) if road.shape.street else Manners()


@dataclass(frozen=True, eq=False)
class Trajectory:
    """What the expert drove, every 10 ms: plan view of the rear axle over the terrain.

    Attributes:
        t: (n,) s from 0.
        s, lateral: (n,) m in the road's coordinates.
        xy: (n, 2) m; yaw: (n,) rad, continuous; speed: (n,) m/s along the vehicle's x axis.
        tire_angle: (n,) rad; acceleration: (n,) m/s².
    """

    road: Road
    vehicle: Vehicle
    t: Array
    s: Array
    lateral: Array
    xy: Array
    yaw: Array
    speed: Array
    tire_angle: Array
    acceleration: Array

    @property
    def curvature(self) -> Array:
        """(n,) 1/m of the rear axle's path."""
        return np.tan(self.tire_angle) / self.vehicle.wheelbase

    def at(self, name: str, t: ArrayLike) -> Array:
        """A column interpolated at times t (s)."""
        return np.interp(np.asarray(t, dtype=np.float64), self.t, getattr(self, name))

    def poses(self, t: ArrayLike) -> Array:
        """T_world_vehicle (n, 4, 4) at times t (n,): on the ground, z along its normal."""
        t = np.atleast_1d(np.asarray(t, dtype=np.float64))
        x, y = np.interp(t, self.t, self.xy[:, 0]), np.interp(t, self.t, self.xy[:, 1])
        return ground_poses(self.road, x, y, self.at("yaw", t))


def ground_poses(road: Road, x: ArrayLike, y: ArrayLike, yaw: ArrayLike) -> Array:
    """Poses (n, 4, 4) of vehicles standing on the terrain at x, y (m) with heading yaw (rad)."""
    x, y, yaw = (np.atleast_1d(np.asarray(a, dtype=np.float64)) for a in (x, y, yaw))
    up = road.terrain.normal(x, y)
    forward = np.stack([np.cos(yaw), np.sin(yaw), np.zeros_like(yaw)], -1)
    # Straight ahead on the slope keeps the heading seen from above.
    forward[:, 2] = -(forward * up).sum(-1) / up[:, 2]
    forward /= np.linalg.norm(forward, axis=-1, keepdims=True)
    poses = np.tile(np.eye(4), (len(x), 1, 1))
    poses[:, :3, 0], poses[:, :3, 1], poses[:, :3, 2] = forward, np.cross(up, forward), up
    poses[:, 0, 3], poses[:, 1, 3], poses[:, 2, 3] = x, y, road.terrain.height(x, y)
    return poses


def speed_profile(s: Array, curvature: Array, manners: Manners, seed: int) -> Array:
    """Speeds (n,), m/s, slow enough for every curve ahead.

    Args:
        s: (n,) arc length of the road every metre, m.
        curvature: (n,) of the line to be driven, 1/m.
    """
    rng = np.random.default_rng([seed, 7])
    curvature = np.abs(curvature)
    mood = gaussian_filter1d(rng.standard_normal(len(s)), 60.0)
    mood = np.clip(mood / max(float(mood.std()), 1e-9), -2.0, 1.0)
    top = manners.top_speed * (1.0 + 0.05 * mood)
    limit = np.minimum(top, np.sqrt(manners.lateral_acceleration / np.maximum(curvature, 1e-6)))
    speed = limit.copy()
    for i in range(len(s) - 2, -1, -1):
        speed[i] = min(speed[i], math.sqrt(speed[i + 1] ** 2 + 2 * manners.deceleration))
    for i in range(1, len(s)):
        speed[i] = min(speed[i], math.sqrt(speed[i - 1] ** 2 + 2 * manners.acceleration))
    # Rounding the corners of the profile must not raise it above what curves allow.
    return np.minimum(gaussian_filter1d(speed, 5.0), limit)


def drive(
    road: Road,
    seed: int,
    seconds: float,
    vehicle: Vehicle | None = None,
    manners: Manners | None = None,
) -> Trajectory:
    """Drive along the recorder's lane of the road from s = 0.

    Raises:
        ValueError: the road is too short for so many seconds.
    """
    vehicle, manners = vehicle or Vehicle(), manners or manners_on(road)
    grid = np.arange(road.start, road.end, 1.0)
    wander = _wander(grid, manners.wander, seed)
    lane = road.lane
    slope = np.gradient(wander, grid)
    bend = np.gradient(slope, grid)
    feed = lane_curvature(road, grid, lane) + bend
    target = speed_profile(grid, feed, manners, seed)

    count = math.ceil(seconds / TIME_STEP - 1e-9) + 1
    rows = np.zeros((count, 8))
    s, lateral = 0.0, lane + float(np.interp(0.0, grid, wander))
    xy = road.point(s, lateral)
    yaw = float(road.heading_at(s)) + float(np.interp(0.0, grid, slope))
    speed = float(np.interp(s, grid, target))
    tire = math.atan(vehicle.wheelbase * float(np.interp(s, grid, feed)))
    x, y = float(xy[0]), float(xy[1])
    for row in range(count):
        heading = float(np.interp(s, road.s, road.heading))
        curvature = float(np.interp(s, road.s, road.curvature))
        error = lateral - lane - float(np.interp(s, grid, wander))
        drift = math.sin(yaw - heading) - float(np.interp(s, grid, slope))
        ahead = float(np.interp(s + speed * manners.lag, grid, feed))
        k = manners.stiffness
        wanted = math.atan(vehicle.wheelbase * (ahead - 2 * k * drift - k * k * error))
        wanted = min(max(wanted, -vehicle.max_tire_angle), vehicle.max_tire_angle)
        rate = (wanted - tire) / manners.lag
        rate = min(max(rate, -vehicle.max_tire_rate), vehicle.max_tire_rate)
        preview = float(np.interp(s + 0.4 * speed, grid, target))
        acceleration = (preview - speed) / 0.8
        rows[row] = (s, lateral, x, y, yaw, speed, tire, acceleration)

        gx, gy = road.terrain.gradient(x, y)
        climb = float(gx) * math.cos(yaw) + float(gy) * math.sin(yaw)
        step = (speed + 0.5 * acceleration * TIME_STEP) * TIME_STEP / math.hypot(1.0, climb)
        turn = step * math.tan(tire + 0.5 * rate * TIME_STEP) / vehicle.wheelbase
        x += step * math.cos(yaw + 0.5 * turn)
        y += step * math.sin(yaw + 0.5 * turn)
        relative = yaw + 0.5 * turn - heading
        s += step * math.cos(relative) / (1.0 - lateral * curvature)
        lateral += step * math.sin(relative)
        yaw += turn
        speed += acceleration * TIME_STEP
        tire += rate * TIME_STEP
        if s > road.end - 50.0:
            raise ValueError(f"the road of {road.end:.0f} m ends before {seconds} s are driven")
    columns = rows.T
    t = TIME_STEP * np.arange(count, dtype=np.float64)
    positions = np.column_stack([columns[2], columns[3]])
    along, side = road.project(positions)
    return Trajectory(
        road, vehicle, t, along, side, positions, columns[4], columns[5], columns[6], columns[7]
    )


def lane_curvature(road: Road, s: Array, lateral: float) -> Array:
    """Curvature of a line beside the centre line, over the centre line's arc length."""
    curvature = road.curvature_at(s)
    return np.asarray(curvature / (1.0 - lateral * curvature))


def _wander(s: Array, reach: float, seed: int) -> Array:
    """Smooth offsets (m), at most `reach`; zero at first."""
    rng = np.random.default_rng([seed, 8])
    field = gaussian_filter1d(rng.standard_normal(len(s)), 22.0)
    field = reach * np.tanh(0.8 * field / max(float(field.std()), 1e-9))
    return np.asarray(field * np.clip((s - 5.0) / 30.0, 0.0, 1.0))
