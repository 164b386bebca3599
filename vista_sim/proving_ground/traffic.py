"""Other cars on the road: leading ones in the recorder's lane, oncoming ones in the other.

Where nobody may come the other way, all lead.

Cars of one lane follow one profile of speed over the road, each at its own moment, so none
runs into another; the moment wanders, so a car is now slower, now faster than the one behind.
The recorder drives as it does on an empty road.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import gaussian_filter1d

from vista_sim.proving_ground.driver import (
    Trajectory,
    ground_poses,
    lane_curvature,
    manners_on,
    speed_profile,
)
from vista_sim.proving_ground.road import Road
from vista_sim.transforms import quaternion_from_matrix

Array = NDArray[np.float64]

TRACK_INTERVAL = 0.1  # s between rows of a track
STEP = 0.05  # s between stored rows of a car's motion
MOST_LEADING = 3  # cars in the recorder's lane; more would only hide each other
SHORTEST_INTERVAL = 2.0  # s of drive per car, at least
HALF_CAR = 2.35  # m, half of the longest model
MOOD = 6.0  # s over which a car's speed and place in its lane wander
WANDER = 0.12  # m from the middle of the lane, at most
ROAD_END = 5.0  # m before the road's ends where cars come and go


@dataclass(frozen=True, eq=False)
class TrafficCar:
    """The motion of one car; its origin is on the ground below its middle.

    Attributes:
        track_id: its number, from 0; leading cars first, the nearest first.
        model: which of the layout's cars it looks like (any number; counted round).
        oncoming: whether it drives against the recorder.
        t: (n,) s, every `STEP`; s, lateral: (n,) m in the road's coordinates; yaw: (n,) rad,
            continuous while it is on the road.
    """

    road: Road
    track_id: int
    model: int
    oncoming: bool
    t: Array
    s: Array
    lateral: Array
    yaw: Array

    def on_road(self, t: float) -> bool:
        """Whether the car is there at t; it comes and goes at the far ends of the road."""
        s = float(np.interp(t, self.t, self.s))
        return self.road.start + ROAD_END < s < self.road.end - ROAD_END

    def poses(self, t: ArrayLike) -> Array:
        """T_scene_car (n, 4, 4) at times t (n,) s: x ahead, z along the ground's normal."""
        t = np.atleast_1d(np.asarray(t, dtype=np.float64))
        s, lateral, yaw = (np.interp(t, self.t, a) for a in (self.s, self.lateral, self.yaw))
        xy = self.road.point(s, lateral)
        return ground_poses(self.road, xy[:, 0], xy[:, 1], yaw)


def track_rows(
    cars: Sequence[TrafficCar],
    sizes: Sequence[tuple[float, float, float]],
    seconds: float,
    T_trace_scene: Array,
) -> dict[str, Any]:
    """The cars as a trace's tracks, ten rows a second (see `TraceWriter.write_tracks`).

    Args:
        cars: of one drive.
        sizes: length, width, height of each, m.
        seconds: length of the drive.
        T_trace_scene: 4x4 pose of the road's frame in the trace's world frame.
    """
    t = np.append(np.arange(0.0, seconds - 1e-6, TRACK_INTERVAL), seconds)
    rows: list[tuple[float, int, Array, tuple[float, float, float]]] = []
    for car, size in zip(cars, sizes, strict=True):
        there = np.array([car.on_road(v) for v in t], dtype=bool)
        poses = T_trace_scene @ car.poses(t)
        rows += [(float(t[i]), car.track_id, poses[i], size) for i in np.flatnonzero(there)]
    rows.sort(key=lambda row: row[:2])
    poses = np.array([row[2] for row in rows]).reshape(-1, 4, 4)
    quaternion = quaternion_from_matrix(poses[:, :3, :3]).reshape(-1, 4)
    return {
        "t_ns": [round(row[0] * 1e9) for row in rows],
        "track_id": [row[1] for row in rows],
        "category": ["car"] * len(rows),
        "pose": np.column_stack([poses[:, :3, 3], quaternion]),
        "size": [row[3] for row in rows],
    }


def simulate_traffic(count: int, seed: int, drive: Trajectory) -> tuple[TrafficCar, ...]:
    """`count` cars around the recorder's drive: a quarter, at most three, lead; the rest come.

    Leading cars keep a time gap of 0.9 to 2.3 s from the recorder's front to the first one's
    tail, and 1.4 to 2.4 s between each other. Oncoming cars pass at moments spread over the
    drive.

    Raises:
        ValueError: more cars than one in two seconds, which would not all have room.
    """
    seconds = float(drive.t[-1])
    if count * SHORTEST_INTERVAL > seconds:
        raise ValueError(f"{count} cars in {seconds:g} s are more than one in two seconds")
    rng = np.random.default_rng([seed, 12])
    road = drive.road
    t: Array = STEP * np.arange(math.ceil(seconds / STEP - 1e-9) + 2, dtype=np.float64)
    street = road.shape.street
    share = 1 if street and not street.oncoming else 4
    leading = min(math.ceil(count / share), MOST_LEADING)
    first_model = int(rng.integers(1000))
    along = [
        *_leading(rng, drive, t, leading),
        *_oncoming(rng, drive, t, count - leading, seed),
    ]
    cars = []
    for i, s in enumerate(along):
        lane = road.lane if i < leading else road.shape.lane_width / 2
        lateral = lane + WANDER * _mood(rng, t)
        scale = 1.0 - lateral * road.curvature_at(s)
        course = np.arctan2(np.gradient(lateral, t), np.gradient(s, t) * scale)
        yaw = np.unwrap(course + road.heading_at(s))
        cars.append(TrafficCar(road, i, first_model + i, i >= leading, t, s, lateral, yaw))
    return tuple(cars)


def _leading(rng: np.random.Generator, drive: Trajectory, t: Array, count: int) -> list[Array]:
    """Arc lengths (n,) of cars ahead in the recorder's lane, the nearest first."""
    road = drive.road
    # What the recorder would go on to drive after its last row.
    grid = np.arange(float(drive.s[-1]), road.end, 1.0)
    whole = np.arange(road.start, road.end, 1.0)
    speed = speed_profile(
        whole, lane_curvature(road, whole, road.lane), manners_on(road), road.seed
    )
    speed = np.interp(grid, whole, speed)
    speed *= (drive.speed[-1] / speed[0]) ** np.exp((grid[0] - grid) / 20.0)
    later = float(drive.t[-1]) + _travel_time(speed)
    moment = np.concatenate([drive.t, later[1:]])
    position = np.concatenate([drive.s, grid[1:]])
    front = drive.vehicle.length - drive.vehicle.rear_overhang
    headway = np.zeros_like(t)
    result = []
    for i in range(count):
        shortest, longest = (0.9, 2.3) if i == 0 else (1.4, 2.4)
        headway = headway + shortest + (longest - shortest) * (0.5 + 0.5 * _mood(rng, t))
        room = front + HALF_CAR + 2 * HALF_CAR * i
        result.append(np.interp(t + headway, moment, position) + room)
    return result


def _oncoming(
    rng: np.random.Generator, drive: Trajectory, t: Array, count: int, seed: int
) -> list[Array]:
    """Arc lengths (n,) of cars in the other lane, in the order in which they pass."""
    if count == 0:
        return []
    road = drive.road
    s = np.arange(road.end, road.start, -1.0)
    curvature = -lane_curvature(road, s, road.shape.lane_width / 2)
    hurry = float(rng.uniform(0.75, 1.05))
    moment = _travel_time(hurry * speed_profile(s, curvature, manners_on(road), seed + 1))
    share = (np.arange(count) + rng.uniform(0.3, 0.7, count)) / count
    result = []
    for passing in share * float(drive.t[-1]):
        shift = 0.4 * _mood(rng, t)
        here = float(np.interp(-drive.at("s", passing), -s, moment))
        phase = here - passing - float(np.interp(passing, t, shift))
        result.append(np.interp(t + phase + shift, moment, s))
    return result


def _travel_time(speed: Array) -> Array:
    """Times (n,) s at which points one metre apart are reached at these speeds (n,), m/s."""
    slowness = 1.0 / speed
    return np.concatenate([[0.0], np.cumsum(0.5 * (slowness[1:] + slowness[:-1]))])


def _mood(rng: np.random.Generator, t: Array) -> Array:
    """A smooth random curve (n,) between -1 and 1 over times t every `STEP`."""
    sigma = MOOD / STEP
    pad = math.ceil(4 * sigma)
    field = gaussian_filter1d(rng.standard_normal(len(t) + 2 * pad), sigma)[pad : pad + len(t)]
    return np.asarray(np.tanh(field * math.sqrt(2.0 * sigma * math.sqrt(math.pi))))
