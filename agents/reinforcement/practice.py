"""Many cars that practise at once, and what is counted while they do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from vista_sim.envs.vector import DrivingVectorEnv
from vista_sim.sensors.spec import SensorSpec
from vista_sim.traces.trace import Trace

from ..training.seeds import derived_seed
from .settings import REWARDS, PracticeConfig

ENVIRONMENT = "VistaSim/LaneFollowing-v0"
DT = 0.1  # s


def make_practice(
    traces: Sequence[Trace],
    sensors: Mapping[str, SensorSpec],
    config: PracticeConfig,
    recorded_camera: str | None = None,
    section: tuple[float, float] | None = None,
) -> DrivingVectorEnv:
    """The vector environment of a practice; a car that is done starts anew in the same step.

    Args:
        traces: to drive on.
        sensors: of the policy, by name.
        config: of the practice.
        recorded_camera: that views are made from.
        section: (start, end) in s of each trace that is driven.

    Raises:
        TraceError: a trace cannot be driven.
        WorldError: a trace lacks the camera.
    """
    envs = gymnasium.make_vec(
        ENVIRONMENT,
        num_envs=config.num_envs,
        vectorization_mode="vector_entry_point",
        autoreset_mode="same_step",
        workers=config.workers,
        traces=traces,
        dt=DT,
        curvature_limit=config.curvature_limit,
        reset_mode=config.starts,
        perturb_lateral=config.perturb_lateral,
        perturb_heading=config.perturb_heading,
        endings=config.endings,
        rewards=REWARDS[config.reward],
        section=section,
        sensors=sensors,
        recorded_camera=recorded_camera,
    )
    assert isinstance(envs, DrivingVectorEnv)
    return envs


@dataclass
class Meter:
    """Counts steps, rewards and crashes of a practice."""

    steps: int = 0
    reward: float = 0.0
    crashes: int = 0

    def count(self, rewards: NDArray[Any], crashed: NDArray[np.bool_]) -> None:
        """Add one step of every car: rewards (n,) and whether it ended in a crash (n,)."""
        self.steps += len(rewards)
        self.reward += float(np.sum(rewards, dtype=np.float64))
        self.crashes += int(np.sum(crashed))

    @property
    def mean_reward(self) -> float:
        """Reward of a step."""
        return self.reward / max(self.steps, 1)

    @property
    def crash_rate(self) -> float:
        """Crashes in 100 s of driving."""
        return 100.0 * self.crashes / max(self.steps * DT, DT)


def practice_seed(seed: int, iteration: int, purpose: int = 0) -> int:
    """A seed for one iteration, of 32 bits as NumPy's old generator wants it.

    Args:
        seed: of the training.
        iteration: counted from 0.
        purpose: 0: starts; 1: exploration and batches.
    """
    return derived_seed(seed, iteration, purpose) % 2**32
