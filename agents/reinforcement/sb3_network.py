"""Our networks inside the policies of Stable-Baselines3, and out of them again.

A policy there has a features extractor, layers for action and value, and one deviation that
does not depend on what is seen; recurrent policies have an LSTM after the extractor. These hold
the same weights as a `DrivingNetwork`: encoder (and attention over time) in the extractor,
`memory.cell` in the LSTM, the head in the layers for the action.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch
from gymnasium import spaces
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor, nn

from ..networks.network import DrivingNetwork, NetworkConfig
from ..networks.recurrent import RecurrentConfig
from ..networks.registry import build_network
from .window import THERE

_EXTRACTOR = "features_extractor.network."
_HIDDEN = "mlp_extractor.policy_net."
_LSTM = "lstm_actor."
_CELL = "memory.cell."
_OUTPUT = ("head.output.weight", "head.output.bias")


class DrivingFeatures(BaseFeaturesExtractor):  # type: ignore[misc]
    """Features (n, F) of windows of frames (n, W, ...), up to the head or the LSTM.

    Args:
        space: as `FrameWindow` makes it.
        network: of the policy.
    """

    def __init__(self, space: spaces.Dict, network: NetworkConfig) -> None:
        if isinstance(network.memory, RecurrentConfig):  # it comes after the extractor
            network = dataclasses.replace(network, memory=None)
        built = build_network(network)
        super().__init__(space, built.features)
        del built.head  # the policy has one of its own
        self.network = built
        self.names = network.inputs

    def forward(self, observations: Mapping[str, Tensor]) -> Tensor:
        inputs = {name: observations[name] for name in self.names}
        there = observations[THERE]
        mask = there > 0 if there.shape[1] > 1 else None
        features, _ = self.network.encode(inputs, mask)
        return features[:, -1]


def policy_arguments(
    network: NetworkConfig, value_layers: tuple[int, ...], log_deviation: float
) -> dict[str, Any]:
    """`policy_kwargs` of an algorithm, such that its policy holds the weights of `network`."""
    arguments: dict[str, Any] = {
        "features_extractor_class": DrivingFeatures,
        "features_extractor_kwargs": {"network": network},
        "net_arch": {"pi": list(network.head.hidden), "vf": list(value_layers)},
        "activation_fn": nn.ReLU,
        "log_std_init": log_deviation,
        "ortho_init": False,
        "normalize_images": False,  # the encoders do
    }
    if isinstance(network.memory, RecurrentConfig):
        arguments["lstm_hidden_size"] = network.memory.size
    return arguments


def parts(policy: ActorCriticPolicy) -> nn.Module:
    """What a policy learns, each part once: its own state has the extractor three times."""
    found = nn.ModuleDict(
        {
            name: module
            for name, module in policy.named_children()
            if isinstance(module, nn.Module)
            and name not in ("pi_features_extractor", "vf_features_extractor")
        }
    )
    found.register_parameter("log_std", policy.log_std)
    return found


@torch.no_grad()
def install(network: DrivingNetwork, policy: ActorCriticPolicy) -> None:
    """Put the weights of a network into a policy, but for the deviation."""
    own = policy.state_dict()
    for name, tensor in network.state_dict().items():
        if name in _OUTPUT:
            own[name.replace("head.output", "action_net")].copy_(tensor[: policy.log_std.numel()])
        else:
            own[_place(name)].copy_(tensor)


@torch.no_grad()
def extract(policy: ActorCriticPolicy, config: NetworkConfig) -> DrivingNetwork:
    """The network that drives as the policy does."""
    network = build_network(config)
    own = policy.state_dict()
    weights = {n: own[_place(n)] for n in network.state_dict() if n not in _OUTPUT}
    weight, bias = own["action_net.weight"], own["action_net.bias"]
    weights[_OUTPUT[0]] = torch.cat([weight, torch.zeros_like(weight)])
    weights[_OUTPUT[1]] = torch.cat([bias, own["log_std"]])
    network.load_state_dict(weights)
    return network


def _place(name: str) -> str:
    """Where a policy has the weights that a driving network calls `name`."""
    if name.startswith("head.hidden."):
        return _HIDDEN + name.removeprefix("head.hidden.")
    if name.startswith(_CELL):
        return _LSTM + name.removeprefix(_CELL) + "_l0"
    return _EXTRACTOR + name
