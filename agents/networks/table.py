"""What each network costs: parameters, FLOPs, and milliseconds a step on one CPU core."""

from __future__ import annotations

import dataclasses
import json
import time
from dataclasses import dataclass

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from vista_sim.errors import PolicyError

from ..threads import one_thread
from .heads import HeadConfig
from .inputs import random_inputs
from .network import DrivingNetwork, NetworkConfig
from .registry import ARCHITECTURES, build_network

_WARM_UP = 10  # steps before the clock starts

#: The architectures as they are, and what heads and commands add to one of them.
VARIANTS: dict[str, NetworkConfig] = {
    **ARCHITECTURES,
    "cnn-acceleration": NetworkConfig(head=HeadConfig("curvature+acceleration")),
    "cnn-waypoints": NetworkConfig(head=HeadConfig("waypoints")),
    "cnn-gaussian": NetworkConfig(head=HeadConfig(distribution="gaussian")),
    "cnn-mixture": NetworkConfig(head=HeadConfig(distribution="mixture")),
    "cnn-command-one-hot": NetworkConfig(command="one-hot"),
    "cnn-command-embedding": NetworkConfig(command="embedding"),
}


@dataclass(frozen=True)
class Networks:
    """Print what each network costs: parameters, FLOPs, milliseconds a step on one CPU core."""

    names: tuple[str, ...] = ()
    """Networks to measure; by default all architectures, and variants of the head of one."""
    repeats: int = 100
    """Steps that are timed; the median is told."""
    json: bool = False
    """Print the table as JSON."""

    def __post_init__(self) -> None:
        if self.repeats < 1:
            raise ValueError(f"repeats is {self.repeats}; it must be at least 1")
        for name in self.names:
            if name not in VARIANTS:
                raise PolicyError(f"network {name!r} is unknown; known: {', '.join(VARIANTS)}")


@dataclass(frozen=True)
class Cost:
    """Of one step of one car with a network."""

    name: str
    parameters: int
    flops: int  # a multiplication and an addition are two; of matrix products and convolutions
    milliseconds: float  # median, on one thread of the CPU


def run_networks(recipe: Networks) -> list[Cost]:
    """Measure the networks of a recipe and print them as a table or JSON."""
    costs = [cost(name, VARIANTS[name], recipe.repeats) for name in recipe.names or VARIANTS]
    if recipe.json:
        print(json.dumps({"networks": [dataclasses.asdict(c) for c in costs]}))
    else:
        _print_table(costs)
    return costs


def cost(name: str, config: NetworkConfig, repeats: int = 100) -> Cost:
    """Measure one network."""
    network = build_network(config).eval()
    parameters = sum(p.numel() for p in network.parameters())
    return Cost(name, parameters, count_flops(network), time_step(network, repeats))


def count_flops(network: DrivingNetwork) -> int:
    """FLOPs of one step of one car: those of matrix products and convolutions, which are nearly
    all; a multiplication and an addition are two.
    """
    inputs, state = random_inputs(network.config), network.initial_state(1)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network.step(inputs, state)
    return int(counter.get_total_flops())


def time_step(network: DrivingNetwork, repeats: int) -> float:
    """Median time of a step of one car, ms, on one thread of the CPU, the state carried."""
    inputs, state = random_inputs(network.config), network.initial_state(1)
    times = []
    with torch.inference_mode(), one_thread():
        for _ in range(_WARM_UP + repeats):
            start = time.perf_counter()
            _, state = network.step(inputs, state)
            times.append(time.perf_counter() - start)
    return 1e3 * float(np.median(times[_WARM_UP:]))


def _print_table(costs: list[Cost]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("network")
    for column in ("parameters", "MFLOPs a step", "ms a step, one core"):
        table.add_column(column, justify="right")
    for c in costs:
        table.add_row(c.name, f"{c.parameters:,}", f"{c.flops / 1e6:.3f}", f"{c.milliseconds:.2f}")
    Console().print(table)
