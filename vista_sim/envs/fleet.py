"""The cars of many environments, moved and told of together as far as they can be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vista_sim.dynamics import state as c
from vista_sim.dynamics.state import Table
from vista_sim.envs.arguments import CAMERA
from vista_sim.envs.driving import DrivingEnv
from vista_sim.sensors.bodies import joined
from vista_sim.sensors.rig import Group
from vista_sim.sensors.view import SceneView
from vista_sim.tasks.endings import CUT, name_of
from vista_sim.world import World

Rows = NDArray[np.int64]

#: What `info` tells straight from the cars' states.
_INFO = {
    "s": c.S,
    "lateral": c.LATERAL,
    "heading_error": c.HEADING_ERROR,
    "speed": c.SPEED,
    "distance_to_recording": c.DISTANCE,
}


class Outcome(NamedTuple):
    """What a step came to: rewards (n,), which episodes are over (n,), and which of them cut."""

    rewards: NDArray[np.float64]
    ended: NDArray[np.bool_]
    cut: NDArray[np.bool_]


def fleet_of(envs: Sequence[DrivingEnv], add_info: Any) -> Fleet:
    """The fleet of environments that were made beside each other; see `Fleet`."""
    world = envs[0].episodes.shared
    return Fleet(envs, add_info) if world is None else _OneWorld(envs, world)


class Fleet:
    """The cars of environments, which `rows` (n,) are indices of: moved one after the other.

    Only what costs most, the sensors, are read for all together, trace by trace.

    Args:
        envs: of the cars.
        add_info: Gymnasium's way to put the info of one environment into those of all.
    """

    def __init__(self, envs: Sequence[DrivingEnv], add_info: Any) -> None:
        self._envs, self._add_info = envs, add_info

    def drive(self, rows: Rows, actions: NDArray[np.float64]) -> Outcome:
        """Move cars by one step; actions (n, 1 or 2) are within [-1, 1]."""
        envs = [self._envs[i] for i in rows.tolist()]
        for env, action in zip(envs, actions, strict=True):
            env.move(action)
        kinds = [env.ending_kind for env in envs]
        return Outcome(
            np.array([env.car.reward for env in envs], dtype=np.float64),
            np.array([kind is not None for kind in kinds], dtype=np.bool_),
            np.array([kind == CUT for kind in kinds], dtype=np.bool_),
        )

    def groups(self, rows: Rows) -> list[Group]:
        """The cars of some environments, those whose views come from the same cameras together."""
        found: dict[tuple[int, int], list[int]] = {}
        for i in rows.tolist():
            car = self._envs[i].car
            found.setdefault((id(car.world.cameras), car.trace_index), []).append(i)
        groups: list[Group] = []
        for own in found.values():
            views = [self._envs[i].car.view() for i in own]
            groups.append((merged(views), np.array(own)))
        return groups

    def note(self, rows: Rows, shares: NDArray[np.float64], seconds: float) -> NDArray[np.float64]:
        """Note in the states of some cars what was read; their speeds (n,), m/s.

        Args:
            rows: (n,) of the environments.
            shares: (n,) of what they saw, see `Car.share_seen`.
            seconds: that reading one took.
        """
        states = [self._envs[i].car.state for i in rows.tolist()]
        for state, share in zip(states, shares.tolist(), strict=True):
            state[0, c.VALIDITY], state[0, c.VIEW_SECONDS] = share, seconds
        return np.array([state[0, c.SPEED] for state in states])

    def infos(self, told: NDArray[np.bool_]) -> dict[str, Any]:
        """Infos of the environments in the mask `told`, numbers alone, with Gymnasium's masks."""
        infos: dict[str, Any] = {}
        for i in np.flatnonzero(told).tolist():
            infos = self._add_info(infos, self._envs[i].numbers(), i)
        return infos


class _OneWorld(Fleet):
    """Cars that are all in one world: moved, judged and told of as arrays."""

    def __init__(self, envs: Sequence[DrivingEnv], world: World) -> None:
        self._envs, self._world = envs, world
        self._cars = np.array([env.car.row for env in envs])  # rows of the table
        self._env_of = np.zeros(self._cars.max() + 1, dtype=np.int64)
        self._env_of[self._cars] = np.arange(len(envs))
        self._columns = dict(_INFO)
        if CAMERA in envs[0].sensors:
            self._columns["validity"] = c.VALIDITY
        # By the codes of endings; 0: none.
        self._cuts = np.array([False, *(one.kind == CUT for one in world.task.endings)])

    def drive(self, rows: Rows, actions: NDArray[np.float64]) -> Outcome:
        world, own = self._world, self._cars[rows]
        table = world.table
        limits = np.array([self._envs[i].curvature_limit for i in rows.tolist()])
        table[own, c.TARGET_CURVATURE] = actions[:, 0] * limits
        if actions.shape[1] > 1:
            pedal = actions[:, 1]
            strongest = table[own, np.where(pedal > 0, c.MAX_ACCELERATION, c.MAX_DECELERATION)]
            table[own, c.TARGET_ACCELERATION] = pedal * strongest
        world.drive(own)
        rewards = np.zeros(len(rows))
        for term in world.terms[own].T:  # one after the other, as a single one does
            rewards += term
        codes = world.codes[own]
        for i, code in zip(rows[codes != 0].tolist(), codes[codes != 0].tolist(), strict=True):
            self._envs[i].car.ending = name_of(world.task.endings, code)
        return Outcome(rewards, codes != 0, self._cuts[codes])

    def groups(self, rows: Rows) -> list[Group]:
        world = self._world
        groups: list[Group] = []
        for trace, own in world.by_trace(self._cars[rows]):
            recording, bodies = world.traces[trace], world.company(trace, own)
            view = SceneView(world.table, own, world.cameras, trace, recording, bodies=bodies)
            groups.append((view, self._env_of[own]))
        return groups

    def note(self, rows: Rows, shares: NDArray[np.float64], seconds: float) -> NDArray[np.float64]:
        table, own = self._world.table, self._cars[rows]
        table[own, c.VALIDITY], table[own, c.VIEW_SECONDS] = shares, seconds
        return table[own, c.SPEED]

    def infos(self, told: NDArray[np.bool_]) -> dict[str, Any]:
        world, cars = self._world, self._cars
        infos: dict[str, Any] = {
            name: np.where(told, world.table[cars, column], 0.0)
            for name, column in self._columns.items()
        }
        infos["trace"] = np.where(told, world.table[cars, c.TRACE], 0.0).astype(np.int64)
        infos["ending_code"] = np.where(told, world.codes[cars], 0)
        terms = {
            name: np.where(told, values, 0.0)
            for name, values in zip(world.task.terms, world.terms[cars].T, strict=True)
        }
        infos["reward_terms"] = terms | {f"_{name}": told.copy() for name in terms}
        return infos | {f"_{name}": told.copy() for name in infos}


def merged(views: Sequence[SceneView]) -> SceneView:
    """One view of the rows of several, which are of the same cameras and trace, each of a car."""
    table: Table = np.concatenate([view.table for view in views])
    bodies = joined([view.bodies for view in views])
    return replace(views[0], table=table, rows=np.arange(len(views)), bodies=bodies)
