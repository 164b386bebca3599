"""Experts by name, as recipes choose them."""

from __future__ import annotations

from typing import Any, Literal, get_args

from vista_sim.errors import PolicyError

from .expert import Expert
from .mpc import MPC, MPCConfig
from .pid import PID, PIDConfig
from .pure_pursuit import PurePursuit, PurePursuitConfig
from .stanley import Stanley, StanleyConfig

ExpertName = Literal["pure-pursuit", "stanley", "pid", "mpc"]
ExpertConfig = PurePursuitConfig | StanleyConfig | PIDConfig | MPCConfig

#: Name -> (frozen configuration, expert made from it).
EXPERTS: dict[ExpertName, tuple[type[Any], type[Any]]] = {
    "pure-pursuit": (PurePursuitConfig, PurePursuit),
    "stanley": (StanleyConfig, Stanley),
    "pid": (PIDConfig, PID),
    "mpc": (MPCConfig, MPC),
}
assert set(EXPERTS) == set(get_args(ExpertName))


def expert_from(choice: str | ExpertConfig) -> Expert:
    """The expert of a name, as it is by default, or of a configuration.

    Raises:
        PolicyError: there is no such expert.
    """
    for name, (config_type, expert_type) in EXPERTS.items():
        if choice == name:
            expert: Expert = expert_type()
            return expert
        if type(choice) is config_type:
            expert = expert_type(choice)
            return expert
    said = repr(choice) if isinstance(choice, str) else type(choice).__name__
    raise PolicyError(f"expert {said} is unknown; known: {', '.join(EXPERTS)}")


def expert_name(config: ExpertConfig) -> ExpertName:
    """The name of the expert that a configuration is of. Raises PolicyError if there is none."""
    for name, (config_type, _) in EXPERTS.items():
        if type(config) is config_type:
            return name
    raise PolicyError(f"no expert is made from a {type(config).__name__}")
