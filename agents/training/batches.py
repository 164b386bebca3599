"""What is done with every batch, learned from or judged on."""

from __future__ import annotations

import torch
from torch import Tensor

from ..imitation.frames import Batch
from ..networks.heads import HeadConfig, loss


def moved(batch: Batch, device: torch.device) -> Batch:
    """The batch on a device."""
    inputs = {name: x.to(device) for name, x in batch.inputs.items()}
    return Batch(inputs, batch.target.to(device), batch.mask.to(device))


def padding(mask: Tensor) -> Tensor | None:
    """The mask (n, T) as a network takes it: None where nothing is padded, which is faster."""
    return None if bool(mask.all()) else mask


def summed_loss(
    parameters: Tensor,  # (n, T, P) of the head
    target: Tensor,  # (n, T, K)
    mask: Tensor,  # (n, T)
    head: HeadConfig,
    huber: float,
) -> Tensor:
    """Sum of the losses of valid frames."""
    each = loss(parameters.float(), target, head, huber)
    return torch.where(mask, each, 0.0).sum()
