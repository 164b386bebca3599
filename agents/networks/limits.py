"""Refuses networks that would take unreasonable memory, before they do."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from .layers import LARGEST
from .network import DrivingNetwork, NetworkConfig


def check_size(config: NetworkConfig) -> None:
    """Raise ValueError for a network whose weights and state hold too many numbers.

    It is built on PyTorch's meta device, which knows shapes alone.
    """
    try:
        with torch.device("meta"), _Unfilled():
            network = DrivingNetwork(config)
            state = network.initial_state(1)
    except RuntimeError as error:  # more numbers than an index can count
        raise ValueError(f"no such network can be built: {error}") from None
    tensors = [*network.state_dict().values(), *state.values()]
    count = sum(tensor.numel() for tensor in tensors)
    if count > LARGEST:
        raise ValueError(f"weights and state hold {count:,} numbers; at most {LARGEST:,} can be")


class _Unfilled(TorchFunctionMode):
    """Leaves out filling weights: for that alone, the meta device imports PyTorch's compiler,
    which takes seconds.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is Tensor.normal_:
            return args[0]
        if func is torch.eye:
            return (kwargs or {})["out"]
        if getattr(func, "__module__", None) == nn.init.__name__:
            return (kwargs or {})["tensor"]
        return func(*args, **(kwargs or {}))
