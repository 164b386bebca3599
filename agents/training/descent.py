"""One gradient step: augmentation, loss, back-propagation, clipping, optimizer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ..imitation.frames import Batch
from ..networks.recurrent import State
from ..networks.registry import build_network
from ..policy import PolicySpec
from .augment import Augmentation, AugmentConfig
from .batches import padding, summed_loss
from .config import TrainingConfig
from .processes import Processes
from .seeds import derived_seed

_AUGMENTATION, _DROPOUT = 4, 5  # purposes that seeds are drawn for


def build_optimizer(network: nn.Module, config: TrainingConfig) -> torch.optim.Optimizer:
    """The optimizer of a configuration."""
    weights, rate, decay = network.parameters(), config.learning_rate, config.weight_decay
    if config.optimizer == "adamw":
        return torch.optim.AdamW(weights, rate, weight_decay=decay)
    if config.optimizer == "adam":
        return torch.optim.Adam(weights, rate, weight_decay=decay)
    momentum = config.momentum if config.optimizer == "momentum" else 0.0
    return torch.optim.SGD(weights, rate, momentum=momentum, weight_decay=decay)


class Descent:
    """A new network and its way down the loss.

    Everything drawn by chance in step k is drawn from (seed, k), whatever came before.
    """

    def __init__(
        self,
        spec: PolicySpec,
        config: TrainingConfig,
        augmentation: AugmentConfig,
        processes: Processes,
        seed: int,
    ) -> None:
        torch.manual_seed(seed)
        self.network = build_network(spec.network).to(processes.device)
        if config.compile:
            self.network.compile()
        self.optimizer = build_optimizer(self.network, config)
        self._shared = processes.share(self.network)
        self._config, self._processes, self._seed = config, processes, seed
        self._augmentation = Augmentation(augmentation, spec)

    def gradients(self, batch: Batch, step: int) -> tuple[float, float]:
        """Leave the clipped gradients of a batch with the weights.

        Args:
            batch: of all processes.
            step: the first is 0.

        Returns:
            Mean loss over the batch's valid frames, and norm of the gradient before clipping.
        """
        processes, config = self._processes, self._config
        if not bool(batch.mask.any(dim=1).all()):
            raise ValueError("a sequence of the batch has no valid frame")
        valid = int(batch.mask.sum())
        chance = torch.Generator().manual_seed(derived_seed(self._seed, _AUGMENTATION, step))
        rows = processes.rows(len(batch))
        here = self._augmentation(batch, rows, processes.device, chance)
        torch.manual_seed(derived_seed(self._seed, _DROPOUT, step, processes.rank))

        self.network.train()
        self.optimizer.zero_grad(set_to_none=True)
        # DistributedDataParallel averages gradients over the processes, whose rows hold unequal
        # numbers of valid frames: so each divides its sum by its share of those of all.
        loss = self._accumulate(here, valid / processes.count)
        most = config.clip if config.clip > 0 else float("inf")
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), most)
        return processes.mean(loss), float(norm)

    def update(self, rate: float) -> None:
        """Move the weights along the gradients."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        self._processes.follow_first(self.network)

    def _accumulate(self, batch: Batch, frames: float) -> Tensor:
        """Back-propagate piece by piece; the sum of the losses of valid frames over `frames`.

        The state goes on from piece to piece, the gradient does not: truncated back-propagation
        through time (Williams and Peng 1990). Processes exchange gradients once, at their last
        piece.
        """
        config, head = self._config, self.network.config.head
        spans = list(self._pieces(batch))
        state: State | None = None
        total = torch.zeros((), device=batch.target.device)
        for span in spans:
            inputs = {name: x[:, span] for name, x in batch.inputs.items()}
            mask, target = batch.mask[:, span], batch.target[:, span]
            with self._exchange(span is spans[-1]):
                with torch.autocast(mask.device.type, torch.bfloat16, enabled=config.bf16):
                    parameters, state = self._shared(inputs, padding(mask), state)
                loss = summed_loss(parameters, target, mask, head, config.huber) / frames
                loss.backward()  # type: ignore[no-untyped-call]
            state = {name: x.detach() for name, x in state.items()}
            total += loss.detach()
        return total

    def _pieces(self, batch: Batch) -> Iterator[slice]:
        """Frames to run at a time, but those where no sequence has any."""
        length = batch.mask.shape[1]
        piece = self._config.tbptt if self.network.memory is not None else 0
        for start in range(0, length, piece or length):
            span = slice(start, start + (piece or length))
            if bool(batch.mask[:, span].any()):
                yield span

    def _exchange(self, last: bool) -> AbstractContextManager[None]:
        if last or not isinstance(self._shared, DistributedDataParallel):
            return nullcontext()
        return self._shared.no_sync()
