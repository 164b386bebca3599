"""Many cars on recorded roads in one process, as a Gymnasium vector environment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from time import perf_counter
from typing import Any, Self

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import ArrayLike, NDArray

from vista_sim.arguments import check_count, check_flag
from vista_sim.car import ALONE
from vista_sim.envs import arguments
from vista_sim.envs.driving import DrivingEnv
from vista_sim.envs.fleet import fleet_of
from vista_sim.envs.interface import Observation
from vista_sim.errors import WorldError
from vista_sim.sensors.rig import Rig, Seat
from vista_sim.sensors.sensor import copied
from vista_sim.sensors.spec import CameraSpec
from vista_sim.sensors.state_vector import MAX_SPEED

Step = tuple[Observation, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]


#: What a vector environment takes beside what each of its environments does.
VECTOR_OPTIONS = ("autoreset_mode", "copy", "workers", "max_episode_steps", "tensors")


def take_vector_options(settings: dict[str, Any]) -> dict[str, Any]:
    """Those that are among some settings, which are then those of each environment alone."""
    return {name: settings.pop(name) for name in VECTOR_OPTIONS if name in settings}


class DrivingVectorEnv(VectorEnv[Observation, NDArray[np.float32], NDArray[Any]]):
    """Many `DrivingEnv` whose cars are moved together, where they are in one world, and observed
    together in any case.

    Environment i seeded with seed + i gives the same bytes as a single one with that seed, through
    resets too. Observations, actions and infos are those of `DrivingEnv` in Gymnasium's vector
    format; infos hold numbers alone, so that tensors can be made of them, but for final_info,
    which has all.

    Args:
        first: the first of them; the others are made beside it and share what they can.
        num_envs: how many.
        autoreset_mode: what happens after an episode: "next_step": the next step resets and
            ignores the action; "same_step": the step that ends it resets, its last
            observation and info are infos["final_obs"] and ["final_info"]; "disabled": it
            must be reset with `reset(options={"reset_mask": ...})`. Also as Gymnasium's
            `AutoresetMode`.
        copy: whether every step returns new arrays; False: the same ones, overwritten.
        workers: threads that read sensors; None: as many as there are cores, at most 8. What
            is read does not depend on it.
        max_episode_steps: steps after which an episode is cut, as Gymnasium's `TimeLimit` does;
            None: only the task ends it.
        tensors: whether observations are PyTorch tensors on the device that makes the views, where
            images stay, for a learner that reads them there; the cameras' backend is then "torch".

    Attributes:
        envs: one environment a car.
        copy: as given.

    Raises:
        WorldError: an argument that cannot be.
    """

    def __init__(
        self,
        first: DrivingEnv,
        num_envs: int = 1,
        *,
        autoreset_mode: str | AutoresetMode = AutoresetMode.NEXT_STEP,
        copy: bool = True,
        workers: int | None = None,
        max_episode_steps: int | None = None,
        tensors: bool = False,
    ) -> None:
        n = self.num_envs = check_count("num_envs", num_envs)
        self.render_mode = arguments.check_pictures(first.render_mode)
        self.copy = check_flag("copy", copy)
        self.metadata = {**first.metadata, "render_modes": ["rgb_array"]}
        self.autoreset_mode = arguments.autoreset_mode(autoreset_mode)
        self.envs = [first, *(first.spawn_another() for _ in range(n - 1))]
        # Its own objects: some wrappers write into the spaces that they are given.
        self.single_observation_space = deepcopy(first.observation_space)
        self.single_action_space = deepcopy(first.action_space)
        self.observation_space = batch_space(first.observation_space, n)
        self.action_space = batch_space(first.action_space, n)
        episodes = first.episodes
        self._tensors = arguments.tensor_device(tensors, episodes.backend, episodes.device)
        self._rig = Rig(n, arguments.check_workers(workers))
        for name, spec in first.sensors.items():
            self._rig.add(name, spec)
        self._readings = self._rig.empty(self._tensors)
        read = {name: one.value for name, one in self._readings.items()}
        self._seen: Observation = {**read, "speed": np.zeros((n, 1), dtype=np.float32)}
        for row, env in enumerate(self.envs):
            env.episodes.join(Seat(self._rig, row, self._readings))
        self._fleet = fleet_of(self.envs, self._add_info)
        self._everyone = np.arange(n)
        self._begun, self._ended, self._cut = np.zeros(
            (3, n), dtype=np.bool_
        )  # the latter: by tasks
        self._most: int | None = None
        if max_episode_steps is not None:
            self._most = check_count("max_episode_steps", max_episode_steps)
        self._steps = np.zeros(n, dtype=np.int64)

    def __copy__(self) -> Self:
        raise WorldError(ALONE.format(what="vector environment"))

    def close_extras(self, **_: Any) -> None:
        """End the threads that read sensors."""
        self._rig.close()

    def _observe(self, rows: NDArray[np.int64]) -> None:
        """Fill the rows of _seen, from where the cars are."""
        started = perf_counter()
        self._rig.read(self._fleet.groups(rows), self._readings)
        shares = np.full(len(rows), np.nan)
        camera = self._rig.specs.get(arguments.CAMERA)
        if isinstance(camera, CameraSpec):
            shares = camera.shares_seen(self._readings[arguments.CAMERA].valid, rows)
        seconds = (perf_counter() - started) / max(1, len(rows))
        speeds = self._fleet.note(rows, shares, seconds)
        self._seen["speed"][rows, 0] = np.minimum(speeds, MAX_SPEED)

    @property
    def autoreset_mode(self) -> AutoresetMode:
        """What happens after an episode; also `metadata["autoreset_mode"]`."""
        mode: AutoresetMode = self.metadata["autoreset_mode"]
        return mode

    @autoreset_mode.setter
    def autoreset_mode(self, mode: str | AutoresetMode) -> None:
        self.metadata["autoreset_mode"] = arguments.autoreset_mode(mode)

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> tuple[Observation, dict[str, Any]]:
        """Start episodes.

        Args:
            seed: environment i gets seed + i; or one seed each. None: each goes on with its
                own randomness.
            options: as the single environment's `reset` takes them, the same for all; "reset_mask",
                bool (num_envs,), names the environments to reset, else all are.

        Raises:
            WorldError: seeds or options that cannot be.
        """
        start = dict(options or {})
        rows = self._everyone
        if "reset_mask" in start:
            mask = arguments.check_mask(start.pop("reset_mask"), self.num_envs)
            if (~self._begun & ~mask).any():
                raise WorldError("reset_mask leaves out environments that were never reset")
            rows = np.flatnonzero(mask)
        return self.restart(
            rows.tolist(), arguments.seeds_of(seed, self.num_envs), [start] * self.num_envs
        )

    def restart(
        self,
        rows: Sequence[int],
        seeds: Sequence[int | None],
        options: Sequence[Mapping[str, Any] | None],
    ) -> tuple[Observation, dict[str, Any]]:
        """Start episodes of some environments, each with its own seed and options.

        Args:
            rows: indices of the environments.
            seeds, options: (num_envs,) those of others are not used.
        """
        chosen = np.asarray(rows, dtype=np.int64)
        self._begin(chosen, seeds, options)
        self._observe(chosen)
        told = np.zeros(self.num_envs, dtype=np.bool_)
        told[chosen] = True
        return self._observation(), self._fleet.infos(told)

    def step(self, actions: ArrayLike) -> Step:
        """Drive every car by one step; see `autoreset_mode` for what follows an episode.

        Args:
            actions: (num_envs, 1 or 2) as the single environment's `step` takes them.

        Returns:
            Observations, rewards (num_envs,), terminations, truncations, infos.

        Raises:
            WorldError: actions that cannot be, or an environment that must be reset first.
        """
        over = self._over
        mode = self.autoreset_mode
        if not self._begun.all():
            raise WorldError("call reset before the first step")
        if mode is not AutoresetMode.NEXT_STEP and over.any():
            i = int(over.argmax())
            raise WorldError(
                f"environment {i} is over ({self.envs[i].ending or 'max_episode_steps'}); "
                "reset it first: reset(options={'reset_mask': ...})"
            )
        driven = np.flatnonzero(~over)
        rewards = np.zeros(self.num_envs)
        given = arguments.check_actions(actions, self.action_space.shape, driven)
        outcome = self._fleet.drive(driven, given)
        rewards[driven] = outcome.rewards
        self._ended[driven], self._cut[driven] = outcome.ended, outcome.cut
        if self.render_mode is not None:
            for i in driven.tolist():
                self.envs[i].follow()
        self._steps[driven] += 1
        if over.any():
            self._begin(np.flatnonzero(over))
        ended, terminated = self._over, self._ended & ~self._cut
        truncated = self._cut | self._timed_out
        self._observe(self._everyone)
        infos: dict[str, Any] = {}
        if mode is AutoresetMode.SAME_STEP and ended.any():
            again = np.flatnonzero(ended)
            for i in again.tolist():
                last = {name: copied(array[i]) for name, array in self._seen.items()}
                env = self.envs[i]
                final = {"final_obs": last, "final_info": env.info()}
                infos = self._add_info(infos, final, i)
            self._begin(again)
            self._observe(again)
        infos |= self._fleet.infos(np.ones(self.num_envs, dtype=np.bool_))
        return self._observation(), rewards, terminated, truncated, infos

    @property
    def _timed_out(self) -> NDArray[np.bool_]:
        """Which episodes have had all the steps that they may have."""
        if self._most is None:
            return np.zeros(self.num_envs, dtype=np.bool_)
        return self._steps >= self._most

    @property
    def _over(self) -> NDArray[np.bool_]:
        """Which episodes are over."""
        return self._ended | self._timed_out

    def render(self) -> tuple[Any, ...]:
        """A picture of each environment: uint8 RGB (height, width, 3)."""
        return tuple(env.render() for env in self.envs)

    def call(self, name: str, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        """Call a method of every environment of `envs`, or read an attribute."""
        found = [env.get_wrapper_attr(name) for env in self.envs]
        return tuple(f(*args, **kwargs) if callable(f) else f for f in found)

    def get_attr(self, name: str) -> tuple[Any, ...]:
        """An attribute of every environment of `envs`."""
        return tuple(env.get_wrapper_attr(name) for env in self.envs)

    def set_attr(self, name: str, values: Any) -> None:
        """Set an attribute of every environment of `envs`: one value each (list or tuple)."""
        each = values if isinstance(values, list | tuple) else [values] * self.num_envs
        if len(each) != self.num_envs:
            raise WorldError(f"{name}: {len(each)} values for {self.num_envs} environments")
        for env, value in zip(self.envs, each, strict=True):
            env.set_wrapper_attr(name, value)

    @property  # type: ignore[misc]
    def np_random(self) -> tuple[np.random.Generator, ...]:  # type: ignore[override]
        """The generator of every environment."""
        return self.get_attr("np_random")

    @property
    def np_random_seed(self) -> tuple[int | None, ...]:  # type: ignore[override]
        """What each of them was seeded with."""
        return self.get_attr("np_random_seed")

    def _begin(
        self,
        rows: NDArray[np.int64],
        seeds: Sequence[int | None] | None = None,
        options: Sequence[Mapping[str, Any] | None] | None = None,
    ) -> None:
        """Start episodes without observing."""
        for i in rows.tolist():
            self.envs[i].start(seeds[i] if seeds else None, options[i] if options else None)
        self._begun[rows] = True
        self._ended[rows] = self._cut[rows] = False
        self._steps[rows] = 0

    def _observation(self) -> Observation:
        """What is handed out; with `copy`, whoever keeps it or writes into it changes nothing."""
        seen = {name: copied(array) if self.copy else array for name, array in self._seen.items()}
        return seen if self._tensors is None else _as_tensors(seen, self._tensors)


def _as_tensors(seen: Observation, device: str) -> Observation:
    """What is observed as tensors on a device; those that are there already stay as they are."""
    import torch

    return {name: torch.as_tensor(value, device=device) for name, value in seen.items()}
