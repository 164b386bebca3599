"""Gradient steps from batches of labelled views to a policy folder.

Everything drawn by chance in step k is drawn from (seed, k), and nothing else is carried
from step to step but weights and optimizer: so a training that was killed and resumed ends
with the weights of one that was not (CPU, same number of threads).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from vista_sim.errors import VistaError

from .checkpoint import Progress, has_checkpoint, load_checkpoint, save_checkpoint
from .imitation.augment import AugmentConfig, augment
from .networks.registry import build_network
from .policy import PolicySpec, save_policy

CHECKPOINTS = "checkpoint"
EVALUATION_BATCH = 64


class TrainingError(VistaError, RuntimeError):
    """A training cannot go on."""


@dataclass(frozen=True)
class TrainingConfig:
    """How weights are fitted to batches."""

    steps: int = 1200
    """Gradient steps."""
    batch_size: int = 48
    """Views in a step."""
    learning_rate: float = 1.5e-3
    """Highest learning rate of AdamW; it rises over `warmup` steps, then falls as a cosine."""
    warmup: int = 50
    """Steps until the highest learning rate."""
    weight_decay: float = 1e-3
    """Weight decay of AdamW."""
    clip: float = 5.0
    """Largest norm of the gradient; a longer one is scaled down."""
    huber: float = 0.3
    """Error, in units of the curvature scale, beyond which the loss grows linearly."""
    evaluate_every: int = 100
    """Steps between two looks at the held-out road."""
    patience: int = 0
    """Looks without improvement after which training stops; 0: never. The best weights stay."""
    checkpoint_every: int = 200
    """Steps between two checkpoints."""
    threads: int = 2
    """Threads of PyTorch while training."""

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "evaluate_every", "checkpoint_every", "threads"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
        for name in ("learning_rate", "clip", "huber"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name} is {value}; it must be positive")
        if self.patience < 0 or self.warmup < 0:
            raise ValueError("patience and warmup must not be negative")

    def rate(self, step: int) -> float:
        """Learning rate of a step (the first is 0)."""
        warm = min(1.0, (step + 1) / max(self.warmup, 1))
        cosine = 0.5 * (1.0 + math.cos(math.pi * step / self.steps))
        return self.learning_rate * warm * cosine


@dataclass(frozen=True)
class Views:
    """Views of the road and how to steer there."""

    camera: NDArray[np.uint8]  # (n, H, W, 3)
    speed: NDArray[np.float32]  # (n,) m/s
    curvature: NDArray[np.float32]  # (n,) 1/m

    def __len__(self) -> int:
        return len(self.speed)

    def take(self, index: NDArray[np.int64] | slice) -> Views:
        return Views(self.camera[index], self.speed[index], self.curvature[index])


class ViewSource(Protocol):
    """Where batches come from; a batch depends on nothing but the seed and the step."""

    def batch(self, step: int, size: int) -> Views: ...

    def validation(self) -> Views:
        """Views of held-out road, the same at every call."""


@dataclass(frozen=True)
class TrainingResult:
    """How a training ended."""

    steps: int
    best_step: int
    validation_loss: float  # Huber, in units of the curvature scale
    validation_error: float  # mean absolute, 1/m


Report = Callable[[int, float], None]  # steps done, loss


def train(
    spec: PolicySpec,
    views: ViewSource,
    config: TrainingConfig,
    augmentation: AugmentConfig,
    out: Path,
    seed: int,
    recipe: Mapping[str, Any],
    resume: bool = False,
    report: Report | None = None,
) -> TrainingResult:
    """Train a network and leave a policy folder in `out`.

    Args:
        spec: what the policy is, but for its weights.
        views: labelled views.
        config, augmentation: how to learn from them.
        out: the policy folder; checkpoints and TensorBoard logs go below it.
        seed: of weights, batches and augmentation.
        recipe: all of the above as JSON; a checkpoint of another recipe is not resumed.
        resume: go on from the checkpoint in `out`, if there is one.
        report: called after each step.

    Raises:
        TrainingError: the loss is not finite; `out` keeps the best policy so far.
        PolicyError: the checkpoint to resume cannot be used.
    """
    from torch.utils.tensorboard import SummaryWriter

    torch.set_num_threads(config.threads)
    torch.manual_seed(seed)
    network = build_network(spec.network)
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
    )
    progress = Progress()
    if resume and has_checkpoint(out / CHECKPOINTS):
        progress = load_checkpoint(out / CHECKPOINTS, network, optimizer, recipe)
    out.mkdir(parents=True, exist_ok=True)

    def save() -> None:
        save_checkpoint(out / CHECKPOINTS, network, optimizer, progress, recipe)
        if progress.best is not None:
            save_policy(out, spec, progress.best)

    def finished() -> bool:
        out_of_patience = config.patience and progress.waited >= config.patience
        return progress.step >= config.steps or bool(out_of_patience)

    with SummaryWriter(out / "tensorboard", purge_step=progress.step) as log:
        while not finished():
            step = progress.step
            for group in optimizer.param_groups:
                group["lr"] = config.rate(step)
            torch.manual_seed(_step_seed(seed, step))  # for dropout
            batch = views.batch(step, config.batch_size)
            loss, norm = _gradient_step(network, optimizer, batch, spec, config, augmentation)
            if not math.isfinite(loss):
                kept = "the best policy so far is kept" if progress.best else "nothing was kept"
                if progress.best is not None:
                    save_policy(out, spec, progress.best)
                raise TrainingError(
                    f"{out}: the loss is {loss} at step {step + 1}; {kept}; "
                    "try a lower --learning-rate"
                )
            progress.step += 1
            log.add_scalar("loss/train", loss, progress.step)
            log.add_scalar("gradient_norm", norm, progress.step)
            log.add_scalar("learning_rate", config.rate(step), progress.step)
            if progress.step % config.evaluate_every == 0 or progress.step == config.steps:
                held_out, error = evaluate(network, views.validation(), spec, config)
                log.add_scalar("loss/validation", held_out, progress.step)
                log.add_scalar("error/validation", error, progress.step)
                progress.waited += 1
                if held_out < progress.best_loss:
                    progress.best_loss, progress.best_step = held_out, progress.step
                    progress.waited = 0
                    progress.best = {n: t.clone() for n, t in network.state_dict().items()}
            if progress.step % config.checkpoint_every == 0:
                save()
            if report is not None:
                report(progress.step, loss)
    if progress.best is None:
        raise TrainingError(f"{out}: the loss on the held-out road was never finite")
    save()
    network.load_state_dict(progress.best)
    held_out, error = evaluate(network, views.validation(), spec, config)
    return TrainingResult(progress.step, progress.best_step, held_out, error)


def _gradient_step(
    network: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    batch: Views,
    spec: PolicySpec,
    config: TrainingConfig,
    augmentation: AugmentConfig,
) -> tuple[float, float]:
    """One step; returns loss and gradient norm. Chance comes from torch's global generator."""
    network.train()
    target = torch.from_numpy(batch.curvature) / spec.curvature_scale
    camera, target = augment(
        torch.from_numpy(batch.camera), target, augmentation, torch.default_generator
    )
    output = network(camera, torch.from_numpy(batch.speed))
    loss = functional.huber_loss(output, target, delta=config.huber)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    norm = torch.nn.utils.clip_grad_norm_(network.parameters(), config.clip)
    if torch.isfinite(loss) and torch.isfinite(norm):
        optimizer.step()
    return float(loss.detach() + 0.0 * norm), float(norm)


def evaluate(
    network: torch.nn.Module, views: Views, spec: PolicySpec, config: TrainingConfig
) -> tuple[float, float]:
    """Huber loss (units of the curvature scale) and mean absolute error (1/m) on views."""
    network.eval()
    outputs = torch.cat(list(_outputs(network, views)))
    target = torch.from_numpy(views.curvature) / spec.curvature_scale
    loss = functional.huber_loss(outputs, target, delta=config.huber)
    return float(loss), float((outputs - target).abs().mean()) * spec.curvature_scale


@torch.inference_mode()
def _outputs(network: torch.nn.Module, views: Views) -> Iterator[Tensor]:
    for start in range(0, len(views), EVALUATION_BATCH):
        part = views.take(slice(start, start + EVALUATION_BATCH))
        yield network(torch.from_numpy(part.camera), torch.from_numpy(part.speed))


def _step_seed(seed: int, step: int) -> int:
    """A seed for one step, unlike those of other steps and other seeds."""
    return int(np.random.SeedSequence([seed, step]).generate_state(1, np.uint64)[0])
