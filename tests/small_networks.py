"""Every architecture, small enough to train a few steps in a test."""

import dataclasses

from vista_agents.networks.cnn import PilotNetConfig, ResNetConfig
from vista_agents.networks.heads import HeadConfig
from vista_agents.networks.mlp import StateMLPConfig
from vista_agents.networks.recurrent import RecurrentConfig
from vista_agents.networks.registry import ARCHITECTURES
from vista_agents.networks.spatial import SpatialAttentionConfig
from vista_agents.networks.temporal import TemporalAttentionConfig

VIEW = (24, 48)


def small(architecture):
    """The configuration of an architecture for views of 24 x 48."""
    whole = ARCHITECTURES[architecture]
    encoder, memory = whole.encoder, whole.memory
    if isinstance(encoder, PilotNetConfig):
        encoder = PilotNetConfig(VIEW, (8, 8), (5, 3), (2, 2), features=16)
    elif isinstance(encoder, ResNetConfig):
        encoder = ResNetConfig(VIEW, (8,), features=16)
    elif isinstance(encoder, SpatialAttentionConfig):
        encoder = SpatialAttentionConfig(
            VIEW, encoder.tokens, (8, 12), width=16, heads=2, layers=1, features=16
        )
    elif isinstance(encoder, StateMLPConfig):
        encoder = dataclasses.replace(encoder, hidden=(16,))
    if isinstance(memory, RecurrentConfig):
        memory = dataclasses.replace(memory, size=8)
    elif isinstance(memory, TemporalAttentionConfig):
        memory = TemporalAttentionConfig(window=4, width=8, heads=2, layers=1)
    return dataclasses.replace(whole, encoder=encoder, memory=memory, head=HeadConfig(hidden=(8,)))
