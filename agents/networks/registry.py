"""Architectures by name, and their configuration as JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from vista_sim.errors import PolicyError

from .cnn import PilotNetConfig, ResNetConfig
from .encoders import ENCODER_KINDS, EncoderConfig
from .fields import config_from_json
from .heads import HeadConfig
from .limits import check_size
from .mlp import StateMLPConfig
from .network import DrivingNetwork, NetworkConfig
from .recurrent import RecurrentConfig
from .spatial import SpatialAttentionConfig
from .temporal import TemporalAttentionConfig

#: What `--architecture` knows; every part can be changed beside it.
ARCHITECTURES: dict[str, NetworkConfig] = {
    "mlp": NetworkConfig(StateMLPConfig()),
    "cnn": NetworkConfig(PilotNetConfig()),
    "resnet": NetworkConfig(ResNetConfig()),
    "rnn": NetworkConfig(PilotNetConfig(), RecurrentConfig("rnn")),
    "gru": NetworkConfig(PilotNetConfig(), RecurrentConfig("gru")),
    "lstm": NetworkConfig(PilotNetConfig(), RecurrentConfig("lstm")),
    "cfc": NetworkConfig(PilotNetConfig(), RecurrentConfig("cfc")),
    "patches": NetworkConfig(SpatialAttentionConfig(tokens="patches")),
    "cells": NetworkConfig(SpatialAttentionConfig(tokens="cells")),
    "attention": NetworkConfig(SpatialAttentionConfig(tokens="cells"), TemporalAttentionConfig()),
}

_MEMORIES: dict[str, type[Any]] = {
    "recurrent": RecurrentConfig,
    "temporal-attention": TemporalAttentionConfig,
}


def build_network(config: NetworkConfig) -> DrivingNetwork:
    """The module of a configuration, with weights drawn by torch's global generator."""
    return DrivingNetwork(config)


def network_to_json(config: NetworkConfig) -> dict[str, Any]:
    """What policy.json says of a network; encoders and memory say their kind."""
    values = dataclasses.asdict(config)
    if config.encoder is not None:
        values["encoder"] = {"kind": _name(ENCODER_KINDS, config.encoder), **values["encoder"]}
    further = {
        name: {"kind": _name(ENCODER_KINDS, one), **dataclasses.asdict(one)}
        for name, one in config.further.items()
    }
    values["further"] = further
    if not further:  # as earlier versions know it
        del values["further"]
    if config.memory is not None:
        values["memory"] = {"kind": _name(_MEMORIES, config.memory), **values["memory"]}
    return values


def network_from_json(values: Any) -> NetworkConfig:
    """The configuration that `network_to_json` wrote. Raises PolicyError naming what is wrong."""
    if not isinstance(values, Mapping):
        raise PolicyError("policy.json: field 'network' must be an object")
    given = dict(values)
    try:
        if given.get("further") is not None:
            given["further"] = _further(given["further"])
        given.setdefault("encoder", None)
        if given["encoder"] is not None or not given.get("further"):
            given["encoder"] = _part(ENCODER_KINDS, given["encoder"], "encoder")
        if given.get("memory") is not None:
            given["memory"] = _part(_MEMORIES, given["memory"], "memory")
        given["head"] = config_from_json(HeadConfig, given.get("head", {}), "head")
        config = config_from_json(NetworkConfig, given, "network")
        check_size(config)
    except (TypeError, ValueError, OverflowError) as error:
        raise PolicyError(f"policy.json: network configuration is not usable ({error})") from None
    return config


def _further(values: Any) -> dict[str, EncoderConfig]:
    if not isinstance(values, Mapping):
        raise ValueError(f"further is {values!r}; it must be an object")
    return {name: _part(ENCODER_KINDS, one, f"further, {name!r},") for name, one in values.items()}


def _name(kinds: Mapping[str, type[Any]], config: Any) -> str:
    for name, kind in kinds.items():
        if type(config) is kind:
            return name
    raise PolicyError(f"no network is built from a {type(config).__name__}")


def _part(kinds: Mapping[str, type[Any]], values: Any, field: str) -> Any:
    kind = values.get("kind") if isinstance(values, Mapping) else values
    if not isinstance(values, Mapping) or not isinstance(kind, str) or kind not in kinds:
        known = ", ".join(sorted(kinds))
        raise ValueError(f"{field} {kind!r} is unknown; known: {known}")
    return config_from_json(kinds[kind], {k: v for k, v in values.items() if k != "kind"}, field)
