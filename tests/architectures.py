"""Every architecture, small enough to test quickly, with weights that answer something."""

import dataclasses

import torch
from vista_agents.networks.cnn import PilotNetConfig, ResNetConfig
from vista_agents.networks.heads import HeadConfig
from vista_agents.networks.inputs import random_inputs
from vista_agents.networks.mlp import StateMLPConfig
from vista_agents.networks.recurrent import RecurrentConfig
from vista_agents.networks.registry import ARCHITECTURES, build_network
from vista_agents.networks.spatial import SpatialAttentionConfig
from vista_agents.networks.temporal import TemporalAttentionConfig

SMALLER = {
    StateMLPConfig: {"hidden": (16, 12)},
    PilotNetConfig: {
        "size": (24, 48),
        "channels": (8, 8),
        "kernels": (5, 3),
        "strides": (2, 2),
        "features": 12,
    },
    ResNetConfig: {"size": (32, 48), "channels": (8, 16), "features": 12},
    SpatialAttentionConfig: {
        "size": (24, 48),
        "patch": (8, 12),
        "width": 16,
        "heads": 2,
        "layers": 1,
        "features": 12,
    },
    RecurrentConfig: {"size": 10},
    TemporalAttentionConfig: {"window": 4, "width": 16, "heads": 2, "layers": 2},
}


def smaller(config):
    """The same kind of network, smaller."""
    encoder = dataclasses.replace(config.encoder, **SMALLER[type(config.encoder)])
    memory = config.memory
    if memory is not None:
        memory = dataclasses.replace(memory, **SMALLER[type(memory)])
    head = dataclasses.replace(config.head, hidden=(8,))
    return dataclasses.replace(config, encoder=encoder, memory=memory, head=head)


SMALL = {name: smaller(config) for name, config in ARCHITECTURES.items()}
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
