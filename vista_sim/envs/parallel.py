"""Several learners in one scene, as a PettingZoo parallel environment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from pettingzoo import ParallelEnv

from vista_sim.arguments import check_count, check_number
from vista_sim.car import ALONE, Car, Place
from vista_sim.envs import interface
from vista_sim.envs.arguments import CAMERA, START_OPTIONS
from vista_sim.envs.driving import DrivingEnv
from vista_sim.envs.interface import Observation
from vista_sim.errors import WorldError
from vista_sim.files import shown
from vista_sim.tasks.endings import CUT, code_of, kind_of

MOST_AGENTS = 64

Observations = dict[str, Observation]
Flags = dict[str, bool]
Infos = dict[str, dict[str, Any]]


class DrivingParallelEnv(ParallelEnv[str, Observation, NDArray[np.float32]]):  # type: ignore[misc]
    """Cars that drive in one scene, each told what to do, and see each other as boxes.

    Actions, observations, rewards and infos are, car by car, those of `DrivingEnv`. A car whose
    episode is over is taken out of the scene; the others drive on.

    Args:
        first: whose car is the first, and whose settings are those of all.
        agents: how many.
        gap: m along the path from each car to the next behind it, at the start.

    Attributes:
        possible_agents: "car_0", the foremost, "car_1", ...
        agents: those whose episode goes on.
        cars: by agent.

    Raises:
        WorldError: an argument that cannot be.
    """

    def __init__(self, first: DrivingEnv, agents: int = 2, gap: float = 20.0) -> None:
        count = check_count("agents", agents)
        if count > MOST_AGENTS:
            raise WorldError(f"agents is {count}; at most {MOST_AGENTS} drive in one scene")
        if not 0 < check_number("gap", gap, "m") < 1000:
            raise WorldError(f"gap is {gap} m; it must be above 0, and below 1000")
        self._first, self._scene, self._gap = first, first.episodes.scene, gap
        self.metadata = {**first.metadata, "name": "vista_sim", "is_parallelizable": True}
        self.render_mode = first.render_mode
        self.possible_agents = [f"car_{i}" for i in range(count)]
        self.agents: list[str] = []
        for i in range(1, count):
            car = self._scene.spawn_agent(place=Place(-gap * i))
            car.spawn_sensors(first.sensors)
        self.cars: dict[str, Car] = dict(zip(self.possible_agents, self._scene.cars, strict=True))
        # One object each, as PettingZoo asks for, and their own generators.
        self._spaces = {
            agent: (
                interface.observation_space(first.sensors),
                interface.action_space(first.control_speed),
            )
            for agent in self.possible_agents
        }

    def __copy__(self) -> Self:
        raise WorldError(ALONE.format(what="environment"))

    def observation_space(self, agent: str) -> spaces.Dict:
        """Of an agent."""
        return self._spaces[agent][0]

    def action_space(self, agent: str) -> spaces.Box:
        """Of an agent."""
        return self._spaces[agent][1]

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observations, Infos]:
        """Start an episode of all cars.

        Args:
            seed: of what is drawn; None: it goes on with its randomness.
            options: where the first car starts, as `DrivingEnv.reset` takes them; of others there
                is a warning, for PettingZoo hands one on to all environments.

        Raises:
            WorldError: options that cannot be, or there is no room for all cars.
        """
        start = {}
        for name, value in (options or {}).items():
            if name in START_OPTIONS:
                start[name] = value
            else:
                known = ", ".join(START_OPTIONS)
                gymnasium.logger.warn(f"reset option {name!r} is not used; known: {known}")
        self._first.start(seed, start)
        for i, (agent, car) in enumerate(self.cars.items()):
            if car.done:
                raise WorldError(
                    f"there is no room for {agent} {i * self._gap:g} m behind the first car; give "
                    "a smaller gap, fewer agents, or a start further on"
                )
            car.observe()
        self.agents = list(self.possible_agents)
        return self._observations(self.agents), {a: self._info(a) for a in self.agents}

    def step(
        self, actions: Mapping[str, NDArray[np.float32]]
    ) -> tuple[Observations, dict[str, float], Flags, Flags, Infos]:
        """Drive one step.

        Args:
            actions: of each agent whose episode goes on, as `DrivingEnv.step` takes them.

        Returns:
            Observations, rewards, terminations, truncations and infos of these agents.

        Raises:
            WorldError: an action is missing, or cannot be.
        """
        moving = list(self.agents)
        if set(actions) != set(moving):
            raise WorldError(
                f"actions are given to {shown(sorted(actions))}; those who drive are {moving}"
            )
        limit, speed = self._first.curvature_limit, self._first.control_speed
        self._scene.step(
            {
                self.cars[agent]: interface.to_action(
                    actions[agent], self.cars[agent], limit, speed, f"action of {agent}"
                )
                for agent in moving
            }
        )
        self._first.follow()
        kinds = {agent: kind_of(self._endings, self.cars[agent].ending) for agent in moving}
        self.agents = [agent for agent in moving if kinds[agent] is None]
        return (
            self._observations(moving),
            {agent: self.cars[agent].reward for agent in moving},
            {agent: kind not in (None, CUT) for agent, kind in kinds.items()},
            {agent: kind == CUT for agent, kind in kinds.items()},
            {agent: self._info(agent) for agent in moving},
        )

    def render(self) -> NDArray[np.uint8] | None:
        """A picture of the first car, see `DrivingEnv.render`."""
        return self._first.render()

    def close(self) -> None:
        self._first.close()

    @property
    def _endings(self) -> Any:
        return self._first.endings

    def _observations(self, agents: list[str]) -> Observations:
        sensors = self._first.sensors
        return {agent: interface.observation_of(self.cars[agent], sensors) for agent in agents}

    def _info(self, agent: str) -> dict[str, Any]:
        car = self.cars[agent]
        code = code_of(self._endings, car.ending)
        told = interface.numbers_of(car, code, CAMERA in self._first.sensors)
        return told if car.ending is None else told | {"ending": car.ending}
