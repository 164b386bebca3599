"""Gradient steps from batches of labelled sequences to a policy folder.

Everything drawn by chance in step k is drawn from (seed, k), and nothing else is carried from
step to step but weights, optimizer and what `Progress` holds: so a training that was killed and
resumed ends with the weights of one that was not (CPU, same number of threads and processes).
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..checkpoint import Progress, has_checkpoint, load_checkpoint, save_checkpoint
from ..folders import CHECKPOINTS
from ..imitation.frames import Source
from ..policy import PolicySpec, save_policy
from .augment import AugmentConfig
from .config import TrainingConfig
from .curves import Curves, Row
from .descent import Descent
from .errors import TrainingError
from .evaluation import Evaluation, evaluate
from .processes import join

_ADVICE = "try a lower --learning-rate"

Report = Callable[[int, float], None]  # steps done, loss


@dataclass(frozen=True)
class TrainingResult:
    """How a training ended."""

    steps: int
    best_step: int
    validation_loss: float
    validation_error: float  # mean absolute: of curvature, 1/m; of waypoints, m
    time_was_up: bool = False  # before all steps were done; it can be resumed


def train(
    spec: PolicySpec,
    source: Source,
    config: TrainingConfig,
    augmentation: AugmentConfig,
    out: Path,
    seed: int,
    recipe: Mapping[str, Any],
    resume: bool = False,
    report: Report | None = None,
    minutes: float | None = None,
) -> TrainingResult:
    """Train a network and leave a policy folder in `out`.

    Started by torchrun, each process computes the gradients of its share of every batch; the
    first one alone writes and reports.

    Args:
        spec: what the policy is, but for its weights.
        source: labelled sequences; it is closed at the end, however that comes.
        config, augmentation: how to learn from them.
        out: the policy folder; checkpoints, TensorBoard logs and curves go into it.
        seed: of weights, dropout and augmentation.
        recipe: all of the above as JSON; a checkpoint of another recipe is not resumed.
        resume: go on from the checkpoint in `out`, if there is one.
        report: called after each step.
        minutes: stop at a checkpoint after so long, though steps are left; at least one step is
            done. None: never. What is learned does not depend on it: resumed, it goes on as if it
            had never stopped.

    Raises:
        TrainingError: the loss is not finite (`out` keeps the best policy so far), there is no
            such device, or images cannot be mirrored for this policy.
        PolicyError: the checkpoint to resume cannot be used.
    """
    with contextlib.closing(source):
        processes = join(config.device)
        torch.set_num_threads(config.threads)
        descent = Descent(spec, config, augmentation, processes, seed)
        network, progress = descent.network, Progress()
        deadline = math.inf if minutes is None else time.monotonic() + 60.0 * minutes
        time_is_up = False
        if resume and has_checkpoint(out / CHECKPOINTS):
            progress = load_checkpoint(out / CHECKPOINTS, network, descent.optimizer, recipe)

        def look() -> Evaluation:
            """Judge the network on held-out road; what the first process finds holds for all."""
            found = (math.nan, math.nan)
            if processes.first:
                judged = evaluate(
                    network, source.validation(), spec, config.huber, processes.device
                )
                found = (judged.loss, judged.error)
            return Evaluation(*processes.told_by_first(found))

        with Curves(out if processes.first else None, progress.step) as curves:
            while not (time_is_up or finished(progress, config)):
                step = progress.step
                rate = config.rate(step, progress.rate_factor)
                source.prepare(step, network)
                batch = source.batch(step, config.batch_size)
                loss, norm = descent.gradients(batch, step)
                row = Row(step + 1, loss, norm, rate)
                if not (math.isfinite(loss) and math.isfinite(norm)):
                    curves.add(row)
                    what = f"the loss is {loss}"
                    if math.isfinite(loss):
                        what = f"the norm of the gradient is {norm}"
                    kept = keep(out, spec, progress, processes.first)
                    raise TrainingError(f"{out}: {what} at step {step + 1}; {kept}; {_ADVICE}")
                descent.update(rate)
                progress.step += 1
                if progress.step % config.evaluate_every == 0 or progress.step == config.steps:
                    judged = look()
                    row.validation_loss, row.validation_error = judged.loss, judged.error
                    take_note(progress, config, judged.loss, network)
                curves.add(row)
                if minutes is not None:  # all processes stop at one step
                    late = float(time.monotonic() >= deadline)
                    time_is_up = bool(processes.told_by_first([late])[0])
                over = time_is_up or finished(progress, config)
                if over or progress.step % config.checkpoint_every == 0:
                    if not all_finite(network):
                        what = f"a weight is not finite after step {progress.step}"
                        kept = keep(out, spec, progress, processes.first)
                        raise TrainingError(f"{out}: {what}; {kept}; {_ADVICE}")
                    if processes.first:
                        curves.save()
                        save_checkpoint(
                            out / CHECKPOINTS, network, descent.optimizer, progress, recipe
                        )
                        save_policy(out, spec, progress.best or network.state_dict())
                if report is not None and processes.first:
                    report(progress.step, loss)
        stopped = not finished(progress, config)
        if progress.best is None and stopped:  # the held-out road was not looked at yet
            judged = look()
            return TrainingResult(progress.step, progress.step, judged.loss, judged.error, True)
        if progress.best is None:
            raise TrainingError(f"{out}: the loss on the held-out road was never finite")
        network.load_state_dict(progress.best)
        if resume and processes.first:  # a kill may have come after the last checkpoint
            save_policy(out, spec, progress.best)
        judged = look()
        return TrainingResult(progress.step, progress.best_step, judged.loss, judged.error, stopped)


def finished(progress: Progress, config: TrainingConfig) -> bool:
    """Whether all steps are done, or patience with the held-out loss is at its end."""
    impatient = config.patience > 0 and progress.waited >= config.patience
    return progress.step >= config.steps or impatient


def take_note(progress: Progress, config: TrainingConfig, loss: float, network: nn.Module) -> None:
    """Keep the weights if the held-out loss is the best so far, else count how long it was not;
    schedule plateau lowers the learning rate when that is too long.
    """
    progress.waited += 1
    progress.stale += 1
    if loss < progress.best_loss:
        progress.best_loss, progress.best_step = loss, progress.step
        progress.waited = progress.stale = 0
        state = network.state_dict()
        progress.best = {name: t.detach().cpu().clone() for name, t in state.items()}
    if config.schedule == "plateau" and progress.stale > config.plateau_patience:
        progress.rate_factor *= config.plateau_factor
        progress.stale = 0


def all_finite(network: nn.Module) -> bool:
    """Whether weights and running statistics are numbers."""
    return all(bool(torch.isfinite(tensor).all()) for tensor in network.state_dict().values())


def keep(out: Path, spec: PolicySpec, progress: Progress, write: bool) -> str:
    """See to it that `out` holds the best policy of a training that broke off; say which that is.

    Where the held-out road was not looked at yet, that of the last checkpoint is there already.
    """
    if progress.best is not None:
        if write:
            save_policy(out, spec, progress.best)
        return f"the best policy so far, of step {progress.best_step}, is kept"
    if has_checkpoint(out / CHECKPOINTS):
        return "the policy of the last checkpoint is kept"
    return "there was no checkpoint yet, so nothing is kept"
