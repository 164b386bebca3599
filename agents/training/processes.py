"""The processes and devices that a training runs on: one, or several that torchrun started.

torchrun --standalone --nproc-per-node 4 --no-python vista-train guided ...
"""

from __future__ import annotations

import atexit
import gc
import importlib
import os
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from .errors import TrainingError


@dataclass(frozen=True)
class Processes:
    """Those that train one network together; each computes gradients of its rows of a batch.

    Args:
        rank: number of this one; the first alone writes files and reports.
        count: how many there are.
        device: of this one.
    """

    rank: int
    count: int
    device: torch.device

    @property
    def first(self) -> bool:
        return self.rank == 0

    def rows(self, size: int) -> slice:
        """Rows that this process has of a batch of `size` sequences. Raises TrainingError."""
        if size < self.count:
            raise TrainingError(
                f"a batch of {size} sequences cannot be shared by {self.count} processes; "
                "give a larger --batch-size"
            )
        return slice(self.rank * size // self.count, (self.rank + 1) * size // self.count)

    def share(self, network: nn.Module) -> nn.Module:
        """The network in the form whose gradients are averaged over all processes."""
        if self.count == 1:
            return network
        ids = [self.device.index] if self.device.type == "cuda" else None
        return DistributedDataParallel(network, device_ids=ids)

    def follow_first(self, network: nn.Module) -> None:
        """Make running statistics those of the first process: each has seen its own rows alone,
        and the network that is evaluated, or gathers data, is to be the same in all.
        """
        if self.count > 1:
            for buffer in network.buffers():
                distributed.broadcast(buffer, 0)

    def mean(self, value: Tensor) -> float:
        """Mean over the processes."""
        if self.count > 1:
            value = value.clone()
            distributed.all_reduce(value)
        return float(value) / self.count

    def told_by_first(self, values: Sequence[float]) -> list[float]:
        """What the first process says, so that all decide alike."""
        told = torch.tensor(values, dtype=torch.float64, device=self.device)
        if self.count > 1:
            distributed.broadcast(told, 0)
        return told.tolist()


def join(device: str) -> Processes:
    """The processes that torchrun started, by its environment variables, or this one alone.

    Args:
        device: "auto", "cpu" or "cuda"; with several GPUs each process takes its own.

    Raises:
        TrainingError: there is no such device, or not one for each process.
    """
    place = choose_device(device)
    count, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    if count == 1:
        return Processes(0, 1, place)
    if place.type == "cuda":
        local, found = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        if local >= found:
            raise TrainingError(f"there are {found} GPUs; start at most as many processes")
        place = torch.device("cuda", local)
        torch.cuda.set_device(place)
    if not distributed.is_initialized():  # once a process: a second group would not find the first
        # Its functions have the group of the moment of their import as a default: imported later,
        # as optimizers do, they would hold it until the interpreter is gone.
        importlib.import_module("torch.distributed.nn")
        distributed.init_process_group("nccl" if place.type == "cuda" else "gloo")
        atexit.register(_leave)
    return Processes(rank, count, place)


def _leave() -> None:
    """Leave the group, whose threads end with the last that knows it. One that let go of a tensor
    while the interpreter ends would abort the process.
    """
    gc.collect()  # networks that know it
    distributed.destroy_process_group()


def choose_device(name: str) -> torch.device:
    """The device of a name; "auto": a GPU where there is one. Raises TrainingError."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise TrainingError("device is 'cuda', and PyTorch finds no GPU; take --device cpu")
    return torch.device(name)
