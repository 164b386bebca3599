"""Privileged experts: they read the path and the car's true pose, and need no camera."""

from .expert import Expert
from .mpc import MPC, MPCConfig
from .pid import PID, PIDConfig
from .pure_pursuit import PurePursuit, PurePursuitConfig
from .registry import EXPERTS, ExpertConfig, ExpertName, expert_from, expert_name
from .speed import SpeedConfig
from .stanley import Stanley, StanleyConfig

__all__ = [
    "EXPERTS",
    "MPC",
    "PID",
    "Expert",
    "ExpertConfig",
    "ExpertName",
    "MPCConfig",
    "PIDConfig",
    "PurePursuit",
    "PurePursuitConfig",
    "SpeedConfig",
    "Stanley",
    "StanleyConfig",
    "expert_from",
    "expert_name",
]
