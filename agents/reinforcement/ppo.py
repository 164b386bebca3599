"""`vista-train ppo` and `vista-train recurrent-ppo`: by Stable-Baselines3 and sb3-contrib.

Schulman et al. 2017, "Proximal Policy Optimization Algorithms". Stable-Baselines3 drives and
learns; environments, networks, evaluation, checkpoints and the policy folder are ours.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ..networks.layers import check_positive
from ..networks.network import NetworkConfig
from ..networks.recurrent import RecurrentConfig
from .settings import Reinforcement, small_recurrent_network, window_frames
from .trainer import Report, Result, learn_from_reward

MOST_BYTES = 4 * 2**30  # of an iteration's readings


@dataclass(frozen=True)
class PPO(Reinforcement):
    """Proximal policy optimization, for networks without memory or with attention over time."""

    learning_rate: float = 5e-4
    """Of Adam in the first iteration; it falls linearly to a fiftieth."""
    batch_size: int = 512
    """Steps of driving in a gradient step."""
    epochs: int = 4
    """How often an iteration's driving is learned from."""
    clip_range: float = 0.2
    """How far the probability of an action may move from what it was, as a share of it."""
    gae_lambda: float = 0.95
    """0: advantages by the learned value of the next step; 1: by what came in the end."""
    entropy: float = 0.0
    """Weight of the entropy, which keeps exploration up."""
    value_weight: float = 0.5
    """Weight of the value's error in the loss."""
    value_layers: tuple[int, ...] = (64,)
    """Widths of the dense layers of the value, on the features that the policy has too."""
    deviation: float = 0.2
    """Standard deviation of the explored action at first, in units of the curvature limit; it
    is learned."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(
            batch_size=self.batch_size,
            epochs=self.epochs,
            clip_range=self.clip_range,
            value_weight=self.value_weight,
            value_layers=min(self.value_layers, default=1),
            deviation=self.deviation,
        )
        if not 0 <= self.gae_lambda <= 1:
            raise ValueError(f"gae_lambda is {self.gae_lambda}; it must be from 0 to 1")
        if self.entropy < 0:
            raise ValueError(f"entropy is {self.entropy}; it must not be negative")
        if self.batch_size < 2:
            raise ValueError(f"batch_size is {self.batch_size}; PPO needs at least 2")
        if self.batch_size > self.practice.num_envs * self.practice.steps:
            raise ValueError(
                f"batch_size is {self.batch_size}; an iteration has num_envs times steps, "
                f"{self.practice.num_envs * self.practice.steps}, alone"
            )
        self.check_memory()
        self._check_rollout()

    def _check_rollout(self) -> None:
        """Raise ValueError where what an iteration drives would fill the memory."""
        frames = window_frames(self.network)
        steps = self.practice.num_envs * self.practice.steps
        frame = self.network.frame_bytes
        if (size := steps * frames * frame) > MOST_BYTES:
            raise ValueError(
                f"an iteration of {steps} steps with {frames} frames of {frame:,} bytes each takes "
                f"{size / 2**30:.1f} GiB; take a shorter attention window, a smaller view or fewer "
                "steps"
            )

    def check_memory(self) -> None:
        """Raise ValueError for a memory that this way of learning does not know."""
        memory = self.network.memory
        if isinstance(memory, RecurrentConfig):
            other = "recurrent-ppo" if memory.cell == "lstm" else "reinforce"
            raise ValueError(
                f"ppo learns no recurrent memory ({memory.cell}); {other} does, and ppo learns "
                "attention over time"
            )


@dataclass(frozen=True)
class RecurrentPPO(PPO):
    """PPO for networks with an LSTM; learned from whole drives, step after step."""

    network: NetworkConfig = field(default_factory=small_recurrent_network)

    def check_memory(self) -> None:
        memory = self.network.memory
        if not (isinstance(memory, RecurrentConfig) and memory.cell == "lstm"):
            kind = memory.cell if isinstance(memory, RecurrentConfig) else "no recurrent memory"
            raise ValueError(f"recurrent-ppo learns an lstm; the network has {kind}")


def learn_ppo(recipe: PPO, report: Report | None = None) -> Result:
    """Run either recipe and leave a policy folder at `recipe.out`; see `learn_from_reward`.

    Raises:
        MissingDependencyError: Stable-Baselines3 or sb3-contrib is not installed.
    """
    from .sb3_learner import PPOLearner

    method = "recurrent-ppo" if isinstance(recipe, RecurrentPPO) else "ppo"
    return learn_from_reward(recipe, method, PPOLearner, report)
