"""How a depth network is trained."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class DepthTrainingConfig:
    """How the network is fitted."""

    steps: int = 2400
    """Gradient steps."""
    minutes: float | None = None
    """Stop after this many minutes of this run, even if steps are left; the learning rate falls
    accordingly."""
    batch_size: int = 4
    """Frames in a step."""
    neighbours: int = 2
    """Frames before and after that each is compared with in a step, drawn from those at useful
    distances."""
    learning_rate: float = 1e-3
    """Highest learning rate of AdamW; it rises over `warmup` steps, then falls as a cosine."""
    warmup: int = 50
    """Steps until the highest learning rate."""
    weight_decay: float = 1e-3
    """Weight decay of AdamW."""
    clip: float = 2.0
    """Largest norm of the gradient; a longer one is scaled down."""
    photometric: float = 1.0
    """Weight of how well neighbouring frames fit after the warp."""
    smoothness: float = 0.004
    """Weight of smoothness where the picture shows no edge."""
    supervision: float = 0.5
    """Weight of the baked inverse depth where it is sure, for traces that were baked; 0: learn
    from the pictures alone."""
    flip: float = 0.5
    """Share of batches that are mirrored."""
    jitter: float = 0.2
    """Largest change of brightness, contrast and gamma of what the network sees."""
    evaluate_every: int = 200
    """Steps between two looks at the held-out frames."""
    held_out: int = 24
    """Held-out frames of each trace that are looked at."""
    checkpoint_every: int = 200
    """Steps between two checkpoints."""
    threads: int = 2
    """Threads of PyTorch while training on a CPU."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to train; auto takes a GPU if there is one."""
    cache_mib: int = 1024
    """Memory for decoded pictures, MiB."""

    def __post_init__(self) -> None:
        least = {"warmup": 0, "cache_mib": 16}
        for name in (
            *("steps", "batch_size", "neighbours", "evaluate_every", "held_out"),
            *("checkpoint_every", "threads", "warmup", "cache_mib"),
        ):
            if getattr(self, name) < least.get(name, 1):
                found = getattr(self, name)
                raise ValueError(f"{name} is {found}; it must be at least {least.get(name, 1)}")
        for name in ("learning_rate", "clip"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name} is {value}; it must be positive")
        for name in ("photometric", "smoothness", "supervision", "weight_decay"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{name} is {value}; it must not be negative")
        if self.photometric == 0 and self.supervision == 0:
            raise ValueError("photometric and supervision are both 0; nothing would be learned")
        if self.minutes is not None and not (math.isfinite(self.minutes) and self.minutes > 0):
            raise ValueError(f"minutes is {self.minutes}; it must be positive")
        for name in ("flip", "jitter"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be from 0 to below 1")

    def rate(self, step: int, done: float) -> float:
        """Learning rate of a step (the first is 0) when this share of the training is done."""
        warm = min(1.0, (step + 1) / max(self.warmup, 1))
        return self.learning_rate * warm * (0.02 + 0.98 * 0.5 * (1.0 + math.cos(math.pi * done)))
