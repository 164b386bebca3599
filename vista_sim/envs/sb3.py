"""The vector environment as Stable-Baselines3 wants it.

    envs = gymnasium.make_vec("VistaSim/LaneFollowing-v0", num_envs=8, traces=["my-drive"])
    PPO("MultiInputPolicy", as_vec_env(envs)).learn(100_000)

Importing this module loads Stable-Baselines3 (and PyTorch).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import deepcopy
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from vista_sim.envs.driving import DrivingEnv
from vista_sim.envs.interface import Observation
from vista_sim.envs.vector import DrivingVectorEnv
from vista_sim.errors import MissingDependencyError, WorldError

try:
    from stable_baselines3.common.env_util import is_wrapped
    from stable_baselines3.common.vec_env import VecEnv
except ImportError:
    raise MissingDependencyError(
        "the adapter needs Stable-Baselines3; install it: pip install 'vista-sim[train]'"
    ) from None

Indices = None | int | Iterable[int]


class SB3VecEnv(VecEnv):  # type: ignore[misc]
    """Gives the same observations, rewards, dones and infos as SB3's `DummyVecEnv` over single
    environments with the same seeds.

    The step that ends an episode resets: its last observation is "terminal_observation" of its
    info, and "TimeLimit.truncated" says whether it was cut, not lost; infos of resets are in
    `reset_infos`.

    Args:
        envs: a vector environment; from now on it resets in the same step.
    """

    def __init__(self, envs: DrivingVectorEnv) -> None:
        if not isinstance(envs, DrivingVectorEnv):
            raise WorldError(
                f"envs is {type(envs).__name__}; the adapter takes one of vista_sim's own, "
                "as gymnasium.make_vec(..., vectorization_mode='vector_entry_point') makes it"
            )
        envs.autoreset_mode = AutoresetMode.SAME_STEP
        self.envs = envs
        # Copies: `VecNormalize` writes into the spaces of what it wraps.
        spaces = deepcopy((envs.single_observation_space, envs.single_action_space))
        super().__init__(envs.num_envs, *spaces)
        self.metadata = envs.metadata
        self._actions: NDArray[np.float32] | None = None

    def reset(self) -> Observation:
        """Start all episodes, with what `seed` and `set_options` were given, once."""
        observations, infos = self.envs.restart(range(self.num_envs), self._seeds, self._options)
        self._reset_seeds()
        self._reset_options()
        self.reset_infos = self._told(infos)
        return self._own(observations)

    def step_async(self, actions: NDArray[np.float32]) -> None:
        self._actions = actions

    def step_wait(
        self,
    ) -> tuple[Observation, NDArray[np.float32], NDArray[np.bool_], list[dict[str, Any]]]:
        """Drive with the actions of `step_async`: observations, rewards, dones, infos."""
        if self._actions is None:
            raise WorldError("step_wait has no actions; call step_async first")
        observations, rewards, terminated, truncated, infos = self.envs.step(self._actions)
        self._actions = None
        dones = terminated | truncated
        last = infos.pop("final_obs", None)
        last_infos = infos.pop("final_info", {})
        for name in ("_final_obs", "_final_info"):
            infos.pop(name, None)
        told = self._told(infos)
        if last is not None:
            ended = _each(last_infos, self.num_envs)
            for i in np.flatnonzero(dones).tolist():
                self.reset_infos[i] = told[i]
                told[i] = ended[i] | {"terminal_observation": last[i]}
        for info, cut in zip(told, (truncated & ~terminated).tolist(), strict=True):
            info["TimeLimit.truncated"] = cut
        return self._own(observations), rewards.astype(np.float32), dones, told

    def close(self) -> None:
        self.envs.close()

    def get_images(self) -> Sequence[NDArray[np.uint8] | None]:
        """A picture of each environment; needs render_mode="rgb_array"."""
        return self.envs.render()

    def get_attr(self, attr_name: str, indices: Indices = None) -> list[Any]:
        """An attribute of the single environments."""
        return [env.get_wrapper_attr(attr_name) for env in self._chosen(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Indices = None) -> None:
        """Set an attribute of the single environments to one value."""
        for env in self._chosen(indices):
            env.set_wrapper_attr(attr_name, value)

    def env_method(
        self, method_name: str, *args: Any, indices: Indices = None, **kwargs: Any
    ) -> list[Any]:
        """Call a method of the single environments."""
        return [env.get_wrapper_attr(method_name)(*args, **kwargs) for env in self._chosen(indices)]

    def env_is_wrapped(
        self, wrapper_class: type[gymnasium.Wrapper[Any, Any, Any, Any]], indices: Indices = None
    ) -> list[bool]:
        return [is_wrapped(env, wrapper_class) for env in self._chosen(indices)]

    def _chosen(self, indices: Indices) -> list[DrivingEnv]:
        return [self.envs.envs[i] for i in self._get_indices(indices)]

    def _told(self, infos: dict[str, Any]) -> list[dict[str, Any]]:
        """Infos of each environment, with the texts that vector environments leave out."""
        pairs = zip(_each(infos, self.num_envs), self.envs.envs, strict=True)
        return [info | (env.texts() if env.text_infos else {}) for info, env in pairs]

    def _own(self, observations: Observation) -> Observation:
        """Arrays that later steps leave alone: SB3 keeps the last observation."""
        if self.envs.copy:
            return observations
        return {name: array.copy() for name, array in observations.items()}


def as_vec_env(envs: DrivingVectorEnv) -> SB3VecEnv:
    """A vector environment as a Stable-Baselines3 `VecEnv`; see `SB3VecEnv`."""
    return SB3VecEnv(envs)


def _each(infos: dict[str, Any], count: int) -> list[dict[str, Any]]:
    """The infos of each environment from those of a vector environment."""
    found: list[dict[str, Any]] = [{} for _ in range(count)]
    for name, values in infos.items():
        mask = infos.get(f"_{name}")
        if mask is None:  # a mask itself
            continue
        listed = _each(values, count) if isinstance(values, dict) else values.tolist()
        for info, value, told in zip(found, listed, mask.tolist(), strict=True):
            if told:
                info[name] = value
    return found
