"""What a network answers: curvature, curvature and acceleration, or waypoints; with or without
a distribution over it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from .layers import MAX_DEPTH, check_choice, check_positive, initialize, mlp

OUTPUTS = ("curvature", "curvature+acceleration", "waypoints")
DISTRIBUTIONS = ("point", "gaussian", "mixture")
_MOST = 64  # components, and waypoints
_SPREAD = 0.5  # of a fresh mixture's means, and their deviation, in units of the policy's scales
_LOG_STD = (-5.0, 1.0)  # bounds of a predicted log standard deviation


@dataclass(frozen=True)
class HeadConfig:
    """The last layers, and what their numbers mean. All are in units of the policy's scales."""

    outputs: Literal["curvature", "curvature+acceleration", "waypoints"] = "curvature"
    """curvature (1/m); curvature+acceleration (m/s², positive ahead); waypoints: points of the
    way ahead in the vehicle frame (m), which a pure pursuit controller follows."""
    distribution: Literal["point", "gaussian", "mixture"] = "point"
    """point: the answer alone; gaussian: mean and deviation; mixture: several Gaussians (Bishop,
    "Mixture Density Networks", 1994). The policy drives by the mean of the likeliest one."""
    components: int = 3
    """Gaussians of a mixture."""
    hidden: tuple[int, ...] = (50, 10)
    """Widths of the dense layers before the output."""
    waypoints: tuple[float, ...] = (2.0, 4.0, 6.0, 8.0, 11.0, 14.0)
    """How far ahead along the way the points lie, m."""

    def __post_init__(self) -> None:
        check_choice("outputs", self.outputs, OUTPUTS)
        check_choice("distribution", self.distribution, DISTRIBUTIONS)
        check_positive(waypoints=min(self.waypoints, default=0.0))
        for name, count in (("components", self.components), ("waypoints", len(self.waypoints))):
            if not 1 <= count <= _MOST:
                raise ValueError(f"{name} are {count}; there must be from 1 to {_MOST}")
        if any(b <= a for a, b in zip(self.waypoints, self.waypoints[1:], strict=False)):
            raise ValueError(f"waypoints is {self.waypoints}; distances must rise")
        if self.hidden and min(self.hidden) < 1:
            raise ValueError(f"hidden is {self.hidden}; widths must be at least 1")
        if len(self.hidden) > MAX_DEPTH:
            raise ValueError(f"hidden has {len(self.hidden)} layers; at most {MAX_DEPTH} can be")

    @property
    def size(self) -> int:
        """Numbers in an answer."""
        if self.outputs == "waypoints":
            return 2 * len(self.waypoints)
        return 2 if self.outputs == "curvature+acceleration" else 1

    @property
    def parameters(self) -> int:
        """Numbers that the head gives: those of the distribution over an answer."""
        each = {"point": self.size, "gaussian": 2 * self.size}
        return each.get(self.distribution, self.components * (1 + 2 * self.size))


class Head(nn.Module):
    """Parameters (..., P) of the answer's distribution from features (..., F)."""

    def __init__(self, config: HeadConfig, inputs: int) -> None:
        super().__init__()
        self.config = config
        self.hidden = mlp(inputs, config.hidden, "relu")
        width = config.hidden[-1] if config.hidden else inputs
        self.output = nn.Linear(width, config.parameters)
        initialize(self)
        # Starting at straight ahead keeps the first steps from undoing a random guess.
        nn.init.zeros_(self.output.weight)
        if config.distribution == "mixture":
            self._spread_components()

    def _spread_components(self) -> None:
        """Start the means apart from each other, the first nearest to straight ahead.

        Components that start alike stay alike: what pulls them apart is as small as what they
        differ by, while all of them soon widen over all of the answers.
        """
        config = self.config
        count, size = config.components, config.size
        step = 2.0 * _SPREAD / max(count - 1, 1)
        means = sorted(((i - 0.5 * (count - 1)) * step for i in range(count)), key=abs)
        deviations = [math.log(_SPREAD)] * count
        rows = [value for value in means + deviations for _ in range(size)]
        with torch.no_grad():
            self.output.bias[count:] = torch.tensor(rows)

    def forward(self, features: Tensor) -> Tensor:
        return self.output(self.hidden(features))


@dataclass(frozen=True)
class Distribution:
    """A mixture of Gaussians over answers; one component of weight 1 where it is no mixture."""

    log_weights: Tensor  # (..., M)
    means: Tensor  # (..., M, K)
    log_std: Tensor  # (..., M, K)

    @classmethod
    def of(cls, parameters: Tensor, config: HeadConfig) -> Distribution:
        """Read what a head gave. Raises ValueError for a head without a distribution."""
        if config.distribution == "point":
            raise ValueError("a head that gives points has no distribution")
        count = config.components if config.distribution == "mixture" else 1
        spread = (*parameters.shape[:-1], count, config.size)
        if config.distribution == "gaussian":
            log_weights = torch.zeros_like(parameters[..., :1])
        else:
            log_weights = parameters[..., :count].log_softmax(dim=-1)
            parameters = parameters[..., count:]
        means, log_std = parameters.chunk(2, dim=-1)
        return cls(
            log_weights,
            means.reshape(spread),
            log_std.reshape(spread).clamp(*_LOG_STD),
        )

    def log_probability(self, answer: Tensor) -> Tensor:
        """Log density (...,) of answers (..., K)."""
        error = (answer[..., None, :] - self.means) / self.log_std.exp()
        each = -0.5 * error**2 - self.log_std - 0.5 * math.log(2 * math.pi)
        return (self.log_weights + each.sum(dim=-1)).logsumexp(dim=-1)

    def mode(self) -> Tensor:
        """Mean (..., K) of the likeliest component."""
        best = self.log_weights.argmax(dim=-1)[..., None, None]
        chosen = self.means.gather(-2, best.expand(*best.shape[:-1], self.means.shape[-1]))
        return chosen.squeeze(-2)

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """Draw answers (..., K)."""
        flat = self.log_weights.exp().reshape(-1, self.log_weights.shape[-1])
        drawn = torch.multinomial(flat, 1, generator=generator)
        drawn = drawn.reshape(*self.log_weights.shape[:-1], 1, 1)
        drawn = drawn.expand(*drawn.shape[:-1], self.means.shape[-1])
        mean = self.means.gather(-2, drawn).squeeze(-2)
        deviation = self.log_std.gather(-2, drawn).squeeze(-2).exp()
        noise = torch.randn(mean.shape, generator=generator, device=mean.device)
        return mean + deviation * noise


def answer(parameters: Tensor, config: HeadConfig) -> Tensor:
    """What to do, (..., K), by the parameters (..., P) that a head gave."""
    if config.distribution == "point":
        return parameters
    return Distribution.of(parameters, config).mode()


def loss(parameters: Tensor, target: Tensor, config: HeadConfig, huber: float) -> Tensor:
    """Loss (...,) of each frame: Huber's for points, the negative log likelihood otherwise.

    Args:
        parameters: (..., P) of the head.
        target: (..., K) in units of the policy's scales.
        huber: error beyond which Huber's loss grows linearly.
    """
    if config.distribution == "point":
        each = functional.huber_loss(parameters, target, delta=huber, reduction="none")
        return each.mean(dim=-1)
    return -Distribution.of(parameters, config).log_probability(target)
