"""What Stable-Baselines3 sees of the environments: the last frames, in sequences."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper

Observation = dict[str, NDArray[Any]]
Step = tuple[Observation, NDArray[np.float32], NDArray[np.bool_], list[dict[str, Any]]]

#: Name of the observation that says which frames of the window are there, uint8 (frames,).
THERE = "there"


class FrameWindow(VecEnvWrapper):  # type: ignore[misc]
    """Observations become the last `frames` of them, the newest last; a reset clears them.

    Readings such as "camera" (H, W, 3) become (frames, H, W, 3), "speed" (1,) becomes (frames,):
    sequences as `DrivingNetwork` takes them. Frames from before the episode are
    zero, and "there" is 0 for them.

    Args:
        venv: with a Dict of observations.
        frames: in the window.
        reward_scale: what rewards are multiplied by.
    """

    def __init__(self, venv: VecEnv, frames: int, reward_scale: float = 1.0) -> None:
        inner = venv.observation_space
        assert isinstance(inner, spaces.Dict)
        found: dict[str, spaces.Space[Any]] = {}
        for name, space in inner.spaces.items():
            assert isinstance(space, spaces.Box)
            low, high = (_own(name, bound)[None].repeat(frames, 0) for bound in _bounds(space))
            found[name] = spaces.Box(np.minimum(low, 0), high, dtype=space.dtype.type)
        found[THERE] = spaces.Box(0, 1, (frames,), np.uint8)
        super().__init__(venv, observation_space=spaces.Dict(found))
        self.reward_scale = reward_scale
        self._window: Observation = {}

    def reset(self) -> Observation:
        self._window = {
            name: np.zeros((self.num_envs, *space.shape), space.dtype)
            for name, space in self.observation_space.spaces.items()
        }
        self._window = self._after(self.venv.reset())
        return self._window

    def step_wait(self) -> Step:
        seen, rewards, dones, infos = self.venv.step_wait()
        window = self._after(seen)
        for i in np.flatnonzero(dones).tolist():
            last = {name: x[None] for name, x in infos[i]["terminal_observation"].items()}
            ended = self._after(last, slice(i, i + 1))
            infos[i]["terminal_observation"] = {name: x[0] for name, x in ended.items()}
            for values in window.values():
                values[i, :-1] = 0
        self._window = window
        return window, rewards * np.float32(self.reward_scale), dones, infos

    def _after(self, seen: Observation, rows: slice = slice(None)) -> Observation:
        """The windows of some cars once a new frame (n, ...) of them is seen."""
        new = {name: _own(name, values, 1) for name, values in seen.items()}
        new[THERE] = np.ones(len(next(iter(seen.values()))), np.uint8)
        return {
            name: np.concatenate([self._window[name][rows, 1:], values[:, None]], axis=1)
            for name, values in new.items()
        }


def _own(name: str, values: NDArray[Any], axis: int = 0) -> NDArray[Any]:
    """The speed is one number a frame, not a vector of one."""
    return values.squeeze(axis) if name == "speed" else values


def _bounds(space: spaces.Box) -> tuple[NDArray[Any], NDArray[Any]]:
    return space.low, space.high
