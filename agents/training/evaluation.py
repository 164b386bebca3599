"""How far a network is from the labels of held-out road."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ..imitation.frames import Batch
from ..networks.heads import answer
from ..networks.network import DrivingNetwork
from ..policy import PolicySpec
from .batches import moved, padding, summed_loss

_FRAMES = 256  # that a network is given at a time


@dataclass(frozen=True)
class Evaluation:
    """Means over valid frames."""

    loss: float
    error: float  # of what the policy would do: of curvature, 1/m; of waypoints, m


@torch.inference_mode()
def evaluate(
    network: DrivingNetwork, batch: Batch, spec: PolicySpec, huber: float, device: torch.device
) -> Evaluation:
    """Loss and error of a network on sequences, each from an empty memory to its end."""
    network.eval()
    head = spec.network.head
    scales = torch.tensor(spec.scales.of(head), device=device)
    loss = error = 0.0
    rows = max(1, _FRAMES // batch.mask.shape[1])
    for start in range(0, len(batch), rows):
        part = moved(batch.take(slice(start, start + rows)), device)
        parameters, _ = network(part.inputs, padding(part.mask))
        loss += float(summed_loss(parameters, part.target, part.mask, head, huber))
        off = (answer(parameters, head) - part.target) * scales
        if head.outputs == "waypoints":
            each = off.reshape(*off.shape[:-1], -1, 2).norm(dim=-1).mean(dim=-1)
        else:
            each = off[..., 0].abs()
        error += float(torch.where(part.mask, each, 0.0).sum())
    frames = int(batch.mask.sum())
    return Evaluation(loss / frames, error / frames)
