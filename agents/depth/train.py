"""Gradient steps from frames and their neighbours to a depth model.

Everything drawn by chance in step k is drawn from (seed, k), and nothing else is carried from
step to step but weights and optimizer: so a training that was killed and resumed ends with the
weights of one that was not (CPU, same number of threads, no limit of time).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ..checkpoint import Progress, has_checkpoint, load_checkpoint, save_checkpoint
from ..folders import CHECKPOINTS, TENSORBOARD
from ..training.errors import TrainingError
from ..training.processes import choose_device
from ..training.seeds import derived_seed
from .data import DepthBatch, DepthFrames
from .losses import photometric_loss, smoothness_loss, supervised_loss
from .model import DepthModelSpec, save_depth_model
from .network import DepthNet
from .settings import DepthTrainingConfig

_SCALES = 3


@dataclass(frozen=True)
class DepthResult:
    """How a training ended."""

    steps: int
    best_step: int
    held_out_loss: float
    untrained_loss: float  # of flat ground, on the same frames
    seconds: float  # of this run
    parameters: int


Report = Callable[[int, float], None]  # steps done, loss


def train_depth(
    spec: DepthModelSpec,
    frames: DepthFrames,
    config: DepthTrainingConfig,
    out: Path,
    seed: int,
    recipe: Mapping[str, Any],
    resume: bool = False,
    report: Report | None = None,
) -> DepthResult:
    """Train the network and leave a model folder in `out`.

    Args:
        spec: what the model is, but for its weights.
        frames: what it learns from.
        out: the model folder; checkpoints and TensorBoard logs go below it.
        seed: of weights and batches.
        recipe: all that decides the weights as JSON; a checkpoint of another is not resumed.
        resume: go on from the checkpoint in `out`, if there is one.
        report: called after each step.

    Raises:
        TrainingError: the loss is not finite, or there is no such device; `out` keeps the
            best model so far.
        PolicyError: the checkpoint to resume cannot be used.
    """
    from torch.utils.tensorboard import SummaryWriter

    started = time.monotonic()
    device = choose_device(config.device)
    torch.set_num_threads(config.threads)
    torch.manual_seed(seed)
    network = DepthNet(spec.network)
    network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
    )
    held_out = frames.held_out(config.held_out, max(config.batch_size, 4))
    untrained = evaluate(network, held_out, config, device)
    progress = Progress()
    if resume and has_checkpoint(out / CHECKPOINTS):
        progress = load_checkpoint(out / CHECKPOINTS, network, optimizer, recipe)
    out.mkdir(parents=True, exist_ok=True)

    def save() -> None:
        save_checkpoint(out / CHECKPOINTS, network, optimizer, progress, recipe)
        if progress.best is not None:
            save_depth_model(out, spec, progress.best)

    def done() -> float:
        limit = 60.0 * config.minutes if config.minutes else math.inf
        return min(1.0, max(progress.step / config.steps, (time.monotonic() - started) / limit))

    with SummaryWriter(out / TENSORBOARD, purge_step=progress.step) as log:
        over = progress.step >= config.steps
        while not over:  # at least one step, however little time there is
            step, share = progress.step, done()
            for group in optimizer.param_groups:
                group["lr"] = config.rate(step, share)
            torch.manual_seed(derived_seed(seed, 3, step))
            batch = frames.batch(step, config.batch_size).to(device)
            parts = _gradient_step(network, optimizer, batch, config)
            if not math.isfinite(parts["loss"]):
                kept = "the best model so far is kept" if progress.best else "nothing was kept"
                if progress.best is not None:
                    save_depth_model(out, spec, progress.best)
                raise TrainingError(
                    f"{out}: the loss is {parts['loss']} at step {step + 1}; {kept}; "
                    "try a lower --learning-rate"
                )
            progress.step += 1
            for name, value in parts.items():
                log.add_scalar(f"{name}/train", value, progress.step)
            over = done() >= 1.0
            if progress.step % config.evaluate_every == 0 or over:
                loss = evaluate(network, held_out, config, device)
                log.add_scalar("loss/held_out", loss, progress.step)
                if loss < progress.best_loss:
                    progress.best_loss, progress.best_step = loss, progress.step
                    state = network.state_dict()
                    progress.best = {n: t.detach().cpu().clone() for n, t in state.items()}
            if progress.step % config.checkpoint_every == 0:
                save()
            if report is not None:
                report(progress.step, parts["loss"])
    if progress.best is None:
        raise TrainingError(f"{out}: the loss on held-out frames was never finite")
    save()
    return DepthResult(
        progress.step,
        progress.best_step,
        progress.best_loss,
        untrained,
        time.monotonic() - started,
        sum(p.numel() for p in network.parameters()),
    )


def _gradient_step(
    network: DepthNet,
    optimizer: torch.optim.Optimizer,
    batch: DepthBatch,
    config: DepthTrainingConfig,
) -> dict[str, float]:
    """One step; returns the parts of the loss. Chance comes from torch's global generator."""
    network.train()
    flipped = bool(torch.rand(()) < config.flip)
    image = _jittered(batch.image, config.jitter)
    outputs = _predict(network, image, batch, flipped)
    parts = loss_parts(outputs, batch, config)
    loss = _total(parts, config)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    norm = torch.nn.utils.clip_grad_norm_(network.parameters(), config.clip)
    if torch.isfinite(loss) and torch.isfinite(norm):
        optimizer.step()
    values = {name: float(part.detach()) for name, part in parts.items()}
    return {"loss": float(loss.detach() + 0.0 * norm), **values, "gradient_norm": float(norm)}


@torch.inference_mode()
def evaluate(
    network: DepthNet,
    batches: list[DepthBatch],
    config: DepthTrainingConfig,
    device: torch.device,
) -> float:
    """Mean loss on batches, without augmentation."""
    network.eval()
    total, count = 0.0, 0
    for batch in batches:
        torch.manual_seed(0)
        here = batch.to(device)
        parts = loss_parts(_predict(network, here.image.float(), here, False), here, config)
        total += float(_total(parts, config)) * len(batch.image)
        count += len(batch.image)
    return total / count


def _predict(network: DepthNet, image: Tensor, batch: DepthBatch, flipped: bool) -> list[Tensor]:
    """Inverse depth (1/m) at each scale, from the picture or its mirror image."""
    ground = batch.ground
    if flipped:
        image, ground = image.flip(2), ground.flip(2)
    outputs = network(image, ground)
    if flipped:
        outputs = [output.flip(2) for output in outputs]
    return [output / batch.focal[:, None, None] for output in outputs]


def loss_parts(
    outputs: list[Tensor],  # (B, h, w) each, 1/m, at full, half, quarter resolution
    batch: DepthBatch,
    config: DepthTrainingConfig,
) -> dict[str, Tensor]:
    """Photometric error, smoothness, and distance to the baked inverse depth, over all scales."""
    weights = batch.image.new_tensor([0.299, 0.587, 0.114], dtype=torch.float32) / 255.0
    gray = batch.image.float() @ weights
    noise = 1e-5 * torch.rand(gray.shape).to(gray.device)
    photometric = smoothness = supervised = gray.new_zeros(())
    others, counts = batch.others, batch.scene
    rotations, translations = batch.rotations, batch.translations
    for scale, inverse_depth in enumerate(outputs[:_SCALES]):
        if scale:
            gray, others, counts, noise = (
                functional.avg_pool2d(x, 2) for x in (gray, others, counts, noise)
            )
            rotations, translations = half_resolution(rotations, translations)
        if config.photometric > 0:
            photometric = photometric + photometric_loss(
                inverse_depth, gray, others, rotations, translations, counts, noise
            )
        smoothness = smoothness + smoothness_loss(inverse_depth, gray) / 2**scale
        if config.supervision > 0 and scale == 0:
            supervised = supervised_loss(inverse_depth, batch.known, batch.sure * batch.scene)
    return {
        "photometric": photometric / len(outputs),
        "smoothness": smoothness / len(outputs),
        "supervised": supervised,
    }


def half_resolution(rotations: Tensor, translations: Tensor) -> tuple[Tensor, Tensor]:
    """K R K⁻¹ (..., 3, 3) and K t (..., 3) for pictures of half the size.

    A pixel u of the whole picture is at (u + 0.5) / 2 - 0.5 of the half one.
    """
    half = rotations.new_tensor([[0.5, 0.0, -0.25], [0.0, 0.5, -0.25], [0.0, 0.0, 1.0]])
    double = rotations.new_tensor([[2.0, 0.0, 0.5], [0.0, 2.0, 0.5], [0.0, 0.0, 1.0]])
    return half @ rotations @ double, translations @ half.T


def _total(parts: Mapping[str, Tensor], config: DepthTrainingConfig) -> Tensor:
    return (
        config.photometric * parts["photometric"]
        + config.smoothness * parts["smoothness"]
        + config.supervision * parts["supervised"]
    )


def _jittered(image: Tensor, most: float) -> Tensor:
    """Pictures (B, h, w, 3), 0..255, at other brightness, contrast and gamma."""
    if most == 0:
        return image.float()
    change = (2.0 * torch.rand(3, len(image), 1, 1, 1) - 1.0) * most
    gain, offset, gamma = (1.0 + change[0], 0.5 * change[1], 1.0 + change[2])
    gain, offset, gamma = (x.to(image.device) for x in (gain, offset, gamma))
    bright = (image.float() / 255.0).clamp(min=1e-3) ** gamma
    return 255.0 * (bright * gain + offset).clamp(0.0, 1.0)
