"""Networks small enough to learn from reward within a test."""

from vista_agents.networks.cnn import PilotNetConfig
from vista_agents.networks.heads import HeadConfig
from vista_agents.networks.mlp import StateMLPConfig
from vista_agents.networks.network import NetworkConfig
from vista_agents.networks.recurrent import RecurrentConfig
from vista_agents.networks.temporal import TemporalAttentionConfig

EYE = PilotNetConfig(
    size=(16, 32),
    channels=(4, 8),
    kernels=(5, 3),
    strides=(2, 2),
    features=8,
    norm="none",
    dropout=0.0,
)
HEAD = HeadConfig(distribution="gaussian", hidden=(8,))
CNN = NetworkConfig(EYE, head=HEAD)
LSTM = NetworkConfig(EYE, RecurrentConfig("lstm", 6), head=HEAD)
GRU = NetworkConfig(EYE, RecurrentConfig("gru", 6), head=HEAD)
ATTENTION = NetworkConfig(
    EYE, TemporalAttentionConfig(window=3, width=8, heads=2, layers=2), head=HEAD
)
MLP = NetworkConfig(StateMLPConfig(hidden=(8,)), head=HEAD)
