"""How weights are fitted to batches, and the learning rate of each step."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class TrainingConfig:
    """How weights are fitted to batches."""

    steps: int = 1200
    """Gradient steps."""
    batch_size: int = 48
    """Sequences in a step, over all processes."""
    optimizer: Literal["sgd", "momentum", "adam", "adamw"] = "adamw"
    """sgd: plain gradient descent; momentum: with a running mean of gradients (Polyak 1964);
    adam: a rate for each weight (Kingma and Ba 2015); adamw: with decoupled weight decay
    (Loshchilov and Hutter 2019)."""
    learning_rate: float = 1.5e-3
    """Highest learning rate. What suits one optimizer does not suit another: plain sgd wants a
    higher one than adamw."""
    schedule: Literal["constant", "cosine", "plateau"] = "cosine"
    """Of the learning rate after the warm-up. cosine: falls to zero (Loshchilov and Hutter 2017);
    plateau: falls by `plateau_factor` when the held-out loss stops falling."""
    warmup: int = 50
    """Steps in which the learning rate rises to its highest."""
    plateau_factor: float = 0.3
    """Schedule plateau: what the rate is multiplied by."""
    plateau_patience: int = 2
    """Schedule plateau: looks at the held-out road without improvement that are put up with."""
    momentum: float = 0.9
    """Optimizer momentum: share of the running mean that is kept each step."""
    weight_decay: float = 1e-3
    """Pull of the weights to zero (with sgd, momentum and adam as a term of the gradient)."""
    clip: float = 5.0
    """Largest norm of the gradient; a longer one is scaled down (Pascanu et al. 2013). 0: never.
    The norm before clipping is logged."""
    tbptt: int = 0
    """Truncated back-propagation through time: frames that a gradient reaches back through a
    memory; windows are run in pieces of so many. 0: through the whole window."""
    huber: float = 0.3
    """Error, in units of the policy's scales, beyond which the loss grows linearly."""
    evaluate_every: int = 100
    """Steps between two looks at the held-out road."""
    patience: int = 0
    """Looks without improvement after which training stops; 0: never. The best weights stay."""
    checkpoint_every: int = 200
    """Steps between two checkpoints."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to train; auto takes a GPU if there is one."""
    bf16: bool = False
    """Run the network in bfloat16 where its precision is enough (autocast); faster on a GPU."""
    compile: bool = False
    """Compile the network with torch.compile; pays off in long trainings on a GPU."""
    threads: int = 2
    """Threads of PyTorch while training on a CPU."""

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "evaluate_every", "checkpoint_every", "threads"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
        for name in ("patience", "plateau_patience", "warmup", "tbptt"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must not be negative")
        for name in ("learning_rate", "huber"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name} is {value}; it must be positive")
        if self.threads > 1024:
            raise ValueError(f"threads is {self.threads}; it must be at most 1024")
        for name in ("weight_decay", "clip"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{name} is {value}; it must not be negative")
        if not 0 < self.plateau_factor < 1:
            found = self.plateau_factor
            raise ValueError(f"plateau_factor is {found}; it must be between 0 and 1")
        if not 0 <= self.momentum < 1:
            raise ValueError(f"momentum is {self.momentum}; it must be from 0 to below 1")

    def rate(self, step: int, factor: float = 1.0) -> float:
        """Learning rate of a step.

        Args:
            step: the first is 0.
            factor: what plateaus have left of the highest rate.
        """
        warm = min(1.0, (step + 1) / max(self.warmup, 1))
        if self.schedule == "cosine":
            factor *= 0.5 * (1.0 + math.cos(math.pi * step / self.steps))
        return self.learning_rate * warm * factor
