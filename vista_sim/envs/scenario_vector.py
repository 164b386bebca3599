"""`VistaSim/Scenario-v0` as a vector environment: many cases in one process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import ArrayLike, NDArray

from vista_sim.arguments import check_count
from vista_sim.dynamics import state as c
from vista_sim.envs import arguments
from vista_sim.envs.scenario import ScenarioEnv
from vista_sim.envs.vector_driving import DrivingVectorEnv
from vista_sim.sensors.rig import Group
from vista_sim.tasks.endings import CUT


class ScenarioVectorEnv(DrivingVectorEnv):
    """Cars that each drive a case of their own, their views made together, on several threads.

    Environment i seeded with seed + i draws the same cases and gives the same bytes as a
    `ScenarioEnv` with that seed, through resets too, whatever its cases are: traces, delay,
    limits, faults, image changes and modes differ from car to car. Each car is moved and judged on
    its own, as a single environment does it; only what costs most, the sensors, are read for all
    together, trace by trace.

    Args:
        num_envs: how many.
        autoreset_mode, copy, workers, render_mode, max_episode_steps, tensors: see
            `LaneFollowingVectorEnv`; backend and device of the views are arguments.
        settings: arguments of `ScenarioEnv`.

    Attributes:
        envs: one environment a car; they share cases, traces and frames.

    Raises:
        ScenarioError, WorldError: an argument that cannot be.
    """

    envs: Sequence[ScenarioEnv]

    def __init__(
        self,
        num_envs: int = 1,
        *,
        autoreset_mode: str | AutoresetMode = AutoresetMode.NEXT_STEP,
        copy: bool = True,
        workers: int | None = None,
        render_mode: str | None = None,
        max_episode_steps: int | None = None,
        tensors: bool = False,
        **settings: Any,
    ) -> None:
        count = check_count("num_envs", num_envs)
        arguments.check_pictures(render_mode)
        first = ScenarioEnv(render_mode=render_mode, **settings)
        first.keep(count)
        envs = [first, *(first.beside() for _ in range(count - 1))]
        device = arguments.tensor_device(tensors, first.backend, first.device)
        super().__init__(envs, autoreset_mode, copy, workers, max_episode_steps, device)
        for env, seat in zip(envs, self.seats(), strict=True):
            env.join(seat)

    def _drive(self, rows: NDArray[np.int64], actions: ArrayLike) -> NDArray[np.float64]:
        values = arguments.check_actions(actions, self.action_space.shape, rows)
        for i, action in zip(rows.tolist(), values, strict=True):
            env = self.envs[i]
            env.move(action)
            kind = env.ending_kind
            self._ended[i], self._cut[i] = kind is not None, kind == CUT
        return np.array([self.envs[i].car.reward for i in rows.tolist()])

    def _unset(self) -> NDArray[np.bool_]:
        return np.array([not env.started for env in self.envs])

    def _groups(self, rows: NDArray[np.int64]) -> list[Group]:
        """Cars whose views come from the same cameras are read together."""
        found: dict[tuple[int, int], list[int]] = {}
        for i in rows.tolist():
            car = self.envs[i].car
            found.setdefault((id(car.world.cameras), car.trace_index), []).append(i)
        groups: list[Group] = []
        for own in found.values():
            states = np.concatenate([self.envs[i].car.state for i in own])
            view = self.envs[own[0]].car.view()
            everyone = np.arange(len(own))
            groups.append((replace(view, table=states, rows=everyone), np.array(own)))
        return groups

    def _note(
        self, rows: NDArray[np.int64], shares: NDArray[np.float64], seconds: float
    ) -> NDArray[np.float64]:
        states = [self.envs[i].car.state for i in rows.tolist()]
        for state, share in zip(states, shares.tolist(), strict=True):
            state[0, c.VALIDITY], state[0, c.VIEW_SECONDS] = share, seconds
        return np.array([state[0, c.SPEED] for state in states])

    def _infos(self, told: NDArray[np.bool_]) -> dict[str, Any]:
        infos: dict[str, Any] = {}
        for i in np.flatnonzero(told).tolist():
            env = self.envs[i]
            infos = self._add_info(infos, env.numbers(env.car.reward_terms), i)
        return infos
