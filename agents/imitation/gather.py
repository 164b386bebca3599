"""Cars of a vector environment that gather labelled frames."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vista_sim.envs.lane_following import lane_following_vector_env
from vista_sim.sensors.randomization import Randomization
from vista_sim.tasks.starts import Start

from .drives import SplitTrace, command_at
from .frames import Frames
from .road import Interval
from .setup import Setup

Array = NDArray[Any]


class Driver(Protocol):
    """Who drives the cars while they gather."""

    def begin(self, rows: NDArray[np.int64]) -> None:
        """Cars (their indices) begin a new episode."""

    def drive(self, observation: dict[str, Array], labels: Array, speed: Array) -> Array:
        """Curvature (1/m) and acceleration (m/s²) of every car, (n, 2).

        Args:
            observation: by name, (n, ...), as the policy's network takes it.
            labels: (n, 2) what the expert would do.
            speed: (n,) of the cars, m/s.
        """


class Gatherer:
    """Gathers frames from the road of drives, all cars in one vector environment.

    Args:
        setup: what is learned from, and for.
        drives: opened by it.
        cars: how many drive at once.
        randomization: how their cameras differ from episode to episode.
    """

    def __init__(
        self,
        setup: Setup,
        drives: Sequence[SplitTrace],
        cars: int,
        randomization: Randomization | None = None,
    ) -> None:
        self._drives = drives
        self._labeller = setup.labeller
        self._inputs = setup.network.inputs
        self._sensors = setup.sensors
        self._paced = setup.network.head.outputs == "curvature+acceleration"
        self._env = lane_following_vector_env(
            cars,
            traces=[drive.trace for drive in drives],
            recorded_camera=setup.recorded,
            control_speed=self._paced,
            autoreset_mode="disabled",
            copy=False,
            workers=1,
            sensors=setup.sensors,
            randomization=randomization,
        )
        self.cars = cars

    def close(self) -> None:
        self._env.close()

    def gather(
        self,
        starts: Iterator[Start],
        roads: Sequence[Sequence[Interval]],
        steps: int,
        driver: Driver | None = None,
        speed_factors: NDArray[np.float64] | None = None,
        rng: np.random.Generator | None = None,
    ) -> Frames:
        """Let every car drive for `steps` frames and keep what it saw, labelled.

        Args:
            starts: where episodes begin; a car whose episode ends early begins another.
            roads: of each trace, the arc lengths (m) to stay in; leaving them ends an episode.
            steps: frames of each car.
            driver: needed for more than one step.
            speed_factors: (cars,) what the speed is told and labelled as, over the car's; for
                single steps.
            rng: draws how cameras differ, where they do.

        Returns:
            cars x steps frames, car by car.
        """
        env, count = self._env, self.cars
        everyone = np.arange(count)
        number = -1
        episode = np.zeros(count, dtype=np.int64)
        intervals: list[Interval] = [(0.0, 0.0)] * count
        kept: list[list[dict[str, Any]]] = [[] for _ in range(count)]
        begin = everyone
        for step in range(steps):
            for i in begin.tolist():
                number += 1
                episode[i] = number
            if len(begin):
                self._begin(begin, starts, roads, intervals, rng)
                if driver is not None:
                    driver.begin(begin)
            observation, labels, speed = self._look(kept, episode, speed_factors)
            if step + 1 == steps:
                break
            assert driver is not None
            env.step(self._actions(driver.drive(observation, labels, speed)))
            begin = np.array(
                [i for i in range(count) if self._is_over(i, intervals[i])], dtype=np.int64
            )
        return stacked([row for rows in kept for row in rows])

    def _begin(
        self,
        rows: NDArray[np.int64],
        starts: Iterator[Start],
        roads: Sequence[Sequence[Interval]],
        intervals: list[Interval],
        rng: np.random.Generator | None,
    ) -> None:
        options: list[dict[str, Any] | None] = [None] * self.cars
        for i in rows.tolist():
            start = next(starts)
            intervals[i] = next((a, b) for a, b in roads[start.trace] if a <= start.s <= b)
            options[i] = {
                "trace": start.trace,
                "s": start.s,
                "lateral": start.lateral,
                "heading": start.heading,
            }
        # Nothing else is drawn at a start that is given, but the environment wants a seed.
        seeds = [0] * self.cars if rng is None else rng.integers(0, 2**31, self.cars).tolist()
        self._env.restart(rows.tolist(), seeds, options)

    def _look(
        self,
        kept: list[list[dict[str, Any]]],
        episode: NDArray[np.int64],
        factors: NDArray[np.float64] | None,
    ) -> tuple[dict[str, Array], Array, Array]:
        """Label what every car sees now and keep it: observation, labels and speeds."""
        labels = np.empty((self.cars, 2))
        for i, env in enumerate(self._env.envs):
            car = env.car
            drive = self._drives[car.trace_index]
            pose = (car.x, car.y, car.yaw)
            speed = car.speed * (1.0 if factors is None else float(factors[i]))
            row: dict[str, Any] = {
                "episode": episode[i],
                "speed": speed,
                "command": command_at(drive.trace, car.scene_time),
                "curvature": self._labeller.curvature(drive.path, *pose, car.s, speed),
                "acceleration": self._labeller.acceleration(drive.path, car.s, speed),
                "waypoints": self._labeller.waypoints(drive.path, *pose, car.s),
            }
            seen = car.observations
            row["readings"] = {name: seen[name].copy() for name in self._sensors}
            labels[i] = row["curvature"], row["acceleration"]
            kept[i].append(row)
        last = stacked([rows[-1] for rows in kept])
        observation = {name: last.column(name) for name in self._inputs}
        speeds = np.array([rows[-1]["speed"] for rows in kept])
        return observation, labels, speeds

    def _is_over(self, i: int, interval: Interval) -> bool:
        car = self._env.envs[i].car
        return car.done or not interval[0] <= car.s <= interval[1]

    def _actions(self, asked: Array) -> NDArray[np.float32]:
        """Physical units to the environment's -1..1."""
        cars = [env.car for env in self._env.envs]
        steer = asked[:, 0] / self._env.envs[0].curvature_limit
        if not self._paced:
            return np.clip(steer, -1, 1)[:, None].astype(np.float32)
        strongest = np.array(
            [
                car.vehicle.max_acceleration if a > 0 else car.vehicle.max_deceleration
                for car, a in zip(cars, asked[:, 1], strict=True)
            ]
        )
        return np.clip(np.stack([steer, asked[:, 1] / strongest], axis=1), -1, 1).astype(np.float32)


def stacked(rows: Sequence[dict[str, Any]]) -> Frames:
    """Frames from rows that hold every field by its name, `readings` by the sensor's."""

    def column(name: str, kind: Any) -> Array:
        return np.stack([row[name] for row in rows]).astype(kind)

    return Frames(
        episode=column("episode", np.int64),
        speed=column("speed", np.float32),
        command=column("command", np.int64),
        curvature=column("curvature", np.float32),
        acceleration=column("acceleration", np.float32),
        waypoints=column("waypoints", np.float32),
        readings={
            name: np.stack([row["readings"][name] for row in rows]) for name in rows[0]["readings"]
        },
    )
