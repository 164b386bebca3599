"""Every architecture, small enough to test quickly, with weights that answer something."""

import dataclasses

import torch
from small_networks import small
from vista_agents.networks.heads import HeadConfig
from vista_agents.networks.inputs import random_inputs
from vista_agents.networks.registry import ARCHITECTURES, build_network

SMALL = {name: small(name) for name in ARCHITECTURES}
REMEMBERING = [name for name, config in SMALL.items() if config.memory is not None]


def with_head(config, **values):
    return dataclasses.replace(config, head=HeadConfig(hidden=(8,), **values))


def build(config, seed=0):
    """A network in evaluation mode whose weights are drawn anew where a fresh one has zeros."""
    torch.manual_seed(seed)
    network = build_network(config).eval()
    for name, weights in network.named_parameters():
        if name.endswith(("age", "head.output.weight")):
            torch.nn.init.normal_(weights, std=0.5)
    return network


def sequences(config, count=3, length=6, seed=1):
    """Random inputs (n, T, ...); the camera as float, so that it can hold NaN."""
    inputs = random_inputs(config, (count, length), torch.Generator().manual_seed(seed))
    if "camera" in inputs:
        inputs["camera"] = inputs["camera"].float()
    return inputs


def at(inputs, index):
    """A part of each input."""
    return {name: x[index] for name, x in inputs.items()}
