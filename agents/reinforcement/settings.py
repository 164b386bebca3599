"""What the ways of learning from reward share: where they practise, and their common fields."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any, Literal

from vista_sim.tasks.lane_following import Endings, Rewards
from vista_sim.tasks.starts import MODES, StartMode

from ..actions import Scales
from ..networks.cnn import PilotNetConfig, ResNetConfig
from ..networks.heads import HeadConfig
from ..networks.layers import check_choice, check_positive
from ..networks.network import NetworkConfig
from ..networks.recurrent import RecurrentConfig
from ..networks.spatial import SpatialAttentionConfig
from ..networks.temporal import TemporalAttentionConfig
from ..recipe import Recipe

#: Reward terms (see `vista_sim.tasks.lane_following.Rewards`) by name.
REWARDS = {
    "sparse": Rewards(survive=1.0, progress=0.0, lateral=0.0, heading=0.0, comfort=0.0),
    "dense": Rewards(),
}

#: Learning rates fall linearly to this share of the first.
LAST_RATE = 0.02

#: A small eye: reward tells little, so that many views are needed, and they must be cheap.
SMALL_EYE = PilotNetConfig(
    size=(33, 100),
    channels=(16, 24, 32),
    kernels=(5, 5, 3),
    strides=(2, 2, 2),
    features=64,
    norm="none",
    dropout=0.0,
)
SMALL_STAGES = (16, 32)  # channels of a residual network for the same view
SHORT_WINDOW = 4  # frames; PPO looks at all of them anew for each step


def small_network() -> NetworkConfig:
    """A small CNN with a Gaussian over curvature."""
    return NetworkConfig(SMALL_EYE, head=HeadConfig(distribution="gaussian", hidden=(64,)))


def small_recurrent_network() -> NetworkConfig:
    """As `small_network`, with an LSTM."""
    return dataclasses.replace(small_network(), memory=RecurrentConfig("lstm"))


def network_for(network: NetworkConfig) -> NetworkConfig:
    """An architecture as reward teaches it: with a small eye, and a short attention over time."""
    encoder, memory = network.encoder, network.memory
    if isinstance(encoder, PilotNetConfig):
        encoder = SMALL_EYE
    elif isinstance(encoder, ResNetConfig):
        encoder = dataclasses.replace(encoder, size=SMALL_EYE.size, channels=SMALL_STAGES)
    elif isinstance(encoder, SpatialAttentionConfig):
        encoder = dataclasses.replace(encoder, size=SMALL_EYE.size)
    if isinstance(memory, TemporalAttentionConfig):
        memory = dataclasses.replace(memory, window=SHORT_WINDOW, layers=1)
    head = dataclasses.replace(network.head, distribution="gaussian", hidden=(64,))
    return for_reward(dataclasses.replace(network, encoder=encoder, memory=memory, head=head))


def window_frames(network: NetworkConfig) -> int:
    """How many frames decide an answer: all that attention over time reaches back to."""
    memory = network.memory
    if isinstance(memory, TemporalAttentionConfig):
        return memory.layers * (memory.window - 1) + 1
    return 1


@dataclass(frozen=True)
class PracticeConfig:
    """How the car practises: many at once, each from a start of its own."""

    num_envs: int = 64
    """Cars that drive at once."""
    steps: int = 64
    """Steps of 0.1 s that each drives in an iteration; then all start anew."""
    reward: Literal["sparse", "dense"] = "sparse"
    """sparse: 1 for each step without a crash, and nothing else; dense: the environment's own
    sum of progress, closeness to the path and comfort."""
    curvature_limit: float = 0.15
    """Sharpest curvature that can be asked for, 1/m; the network's unit is this limit."""
    perturb_lateral: float = 0.8
    """Starts lie up to so far beside the path, m."""
    perturb_heading: float = 0.1
    """Starts are turned from the path by up to so much, rad."""
    starts: StartMode = "uniform"
    """Where along the road cars start: uniform, curvature (bends as often as straights), or
    start."""
    max_lateral: float = 1.5
    """A practising car has crashed so far beside the path, m. Evaluation allows 2 m."""
    max_heading: float = math.pi / 10
    """A practising car has crashed when turned from the path by more than this, rad."""
    workers: int | None = None
    """Threads that make views; by default as many as there are cores, at most 8. The result
    does not depend on it."""

    def __post_init__(self) -> None:
        check_positive(
            num_envs=self.num_envs,
            steps=self.steps,
            curvature_limit=self.curvature_limit,
            max_lateral=self.max_lateral,
            max_heading=self.max_heading,
            workers=1 if self.workers is None else self.workers,
        )
        check_choice("reward", self.reward, tuple(REWARDS))
        check_choice("starts", self.starts, MODES)
        for name, limit in (("lateral", self.max_lateral), ("heading", self.max_heading)):
            value = getattr(self, f"perturb_{name}")
            if not 0 <= value < limit:
                raise ValueError(
                    f"perturb_{name} is {value}; it must be from 0 to below max_{name} ({limit:g})"
                )

    @property
    def endings(self) -> Endings:
        return Endings(self.max_lateral, self.max_heading)

    @property
    def scales(self) -> Scales:
        """Those of a policy whose number 1 is the environments' action 1."""
        return Scales(curvature_scale=self.curvature_limit, curvature_limit=self.curvature_limit)


@dataclass(frozen=True)
class Reinforcement(Recipe):
    """What every way of learning from reward needs."""

    iterations: int = 100
    """Iterations of driving and learning; each is `num_envs` times `steps` steps."""
    minutes: float | None = None
    """Stop at the first end of an iteration after so many minutes."""
    evaluate_every: int = 10
    """Iterations between two drives over all traces without exploration; the policy of the
    fewest crashes is kept."""
    checkpoint_every: int = 5
    """Iterations between two checkpoints."""
    threads: int = 1
    """Threads of PyTorch; the last bits of the result depend on it."""
    learning_rate: float = 1e-3
    """Of Adam in the first iteration; it falls linearly to a fiftieth."""
    gamma: float = 0.95
    """Discount of the reward a step later."""
    clip: float = 1.0
    """Largest norm of the gradient; a longer one is scaled down."""
    practice: PracticeConfig = field(default_factory=PracticeConfig)
    network: NetworkConfig = field(default_factory=small_network)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.gamma < 1:
            raise ValueError(f"gamma is {self.gamma}; it must be from 0 to below 1")
        check_positive(
            iterations=self.iterations,
            evaluate_every=self.evaluate_every,
            checkpoint_every=self.checkpoint_every,
            threads=self.threads,
            learning_rate=self.learning_rate,
            clip=self.clip,
            minutes=1.0 if self.minutes is None else self.minutes,
        )
        for_reward(self.network)

    def done(self, iteration: int) -> float:
        """Share of the training before an iteration (the first is 0), from 0 to 1."""
        return iteration / max(self.iterations - 1, 1)

    def rate(self, iteration: int) -> float:
        """Learning rate of an iteration."""
        return self.learning_rate * max(1.0 - self.done(iteration), LAST_RATE)


def for_reward(network: NetworkConfig) -> NetworkConfig:
    """The network as it learns from reward: without batch norm and dropout, head Gaussian.

    The probability of an action must be the same when it is driven and when it is learned
    from; so batch norm becomes group norm, and nothing is dropped.

    Raises:
        ValueError: a network that asks or answers what reward does not teach.
    """
    if network.command != "none":
        raise ValueError(
            f"network command is {network.command!r}; the environments give no command: none"
        )
    if network.head.outputs != "curvature":
        raise ValueError(
            f"network head outputs is {network.head.outputs!r}; reward teaches curvature alone"
        )
    if network.head.distribution == "mixture":
        raise ValueError("network head distribution is 'mixture'; reward needs gaussian")
    return dataclasses.replace(
        network,
        encoder=_steady(network.encoder),
        further={name: _steady(one) for name, one in network.further.items()},
        memory=_steady(network.memory),
        head=dataclasses.replace(network.head, distribution="gaussian"),
    )


def _steady(config: Any) -> Any:
    """A part without batch norm and dropout."""
    changed: dict[str, Any] = {}
    if getattr(config, "norm", None) == "batch":
        changed["norm"] = "group"
    if hasattr(config, "dropout"):
        changed["dropout"] = 0.0
    return dataclasses.replace(config, **changed) if changed else config
