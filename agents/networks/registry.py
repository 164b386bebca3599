"""Networks by name: from what stands in policy.json to a module, and back."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from torch import nn

from vista_sim.errors import PolicyError

from .pilotnet import PilotNet, PilotNetConfig

#: Name in policy.json -> (frozen configuration, module built from it).
NETWORKS: dict[str, tuple[type[Any], type[nn.Module]]] = {
    "pilotnet": (PilotNetConfig, PilotNet),
}


def build_network(config: Any) -> nn.Module:
    """The module of a configuration. Raises PolicyError if no network has this configuration."""
    for config_type, module in NETWORKS.values():
        if type(config) is config_type:
            return module(config)
    raise PolicyError(f"no network is built from a {type(config).__name__}")


def network_to_json(config: Any) -> dict[str, Any]:
    """What policy.json says of a network: {"name": ..., "config": {...}}."""
    for name, (config_type, _) in NETWORKS.items():
        if type(config) is config_type:
            return {"name": name, "config": dataclasses.asdict(config)}
    raise PolicyError(f"no network is built from a {type(config).__name__}")


def network_from_json(values: Any) -> Any:
    """The configuration that `network_to_json` wrote. Raises PolicyError naming what is wrong."""
    if not isinstance(values, Mapping) or values.get("name") not in NETWORKS:
        name = values.get("name") if isinstance(values, Mapping) else values
        known = ", ".join(sorted(NETWORKS))
        raise PolicyError(f"policy.json: network {name!r} is unknown; known: {known}")
    config_type, _ = NETWORKS[values["name"]]
    given = values.get("config", {})
    if not isinstance(given, Mapping):
        raise PolicyError("policy.json: network field 'config' must be an object")
    given = {k: tuple(v) if isinstance(v, list) else v for k, v in given.items()}
    try:
        return config_type(**given)
    except (TypeError, ValueError, ZeroDivisionError) as error:
        raise PolicyError(f"policy.json: network configuration is not usable ({error})") from None
