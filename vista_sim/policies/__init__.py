"""What can drive, and where it comes from: see README.md beside this file.

`load_policy` takes a policy folder, an ONNX file, `module:factory`, `socket:ADDRESS` or "expert".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vista_sim.dynamics.action import Action
from vista_sim.lazy import names_from
from vista_sim.policies.folder import (
    ENTRY_POINT_GROUP,
    POLICY_FORMAT,
    read_policy_json,
    read_policy_sensors,
)
from vista_sim.policies.kind import EXPERT
from vista_sim.policies.policy import Policy, SalientPolicy
from vista_sim.sensors.spec import CameraSpec
from vista_sim.traces.sections import COMMAND

if TYPE_CHECKING:
    from vista_sim.policies.guard import GuardedPolicy
    from vista_sim.policies.identity import policy_hash
    from vista_sim.policies.loading import load_policy
    from vista_sim.policies.onnx.policy import OnnxPolicy
    from vista_sim.policies.remote.client import SocketPolicy
    from vista_sim.policies.remote.server import PolicyServer, serve
    from vista_sim.policies.watchdog import StepClock, Watchdog

#: Where the names are that load when first used.
_HOMES = {
    "GuardedPolicy": "vista_sim.policies.guard",
    "OnnxPolicy": "vista_sim.policies.onnx.policy",
    "PolicyServer": "vista_sim.policies.remote.server",
    "SocketPolicy": "vista_sim.policies.remote.client",
    "StepClock": "vista_sim.policies.watchdog",
    "Watchdog": "vista_sim.policies.watchdog",
    "load_policy": "vista_sim.policies.loading",
    "policy_hash": "vista_sim.policies.identity",
    "serve": "vista_sim.policies.remote.server",
}

__all__ = [
    "COMMAND",
    "ENTRY_POINT_GROUP",
    "EXPERT",
    "POLICY_FORMAT",
    "Action",
    "CameraSpec",
    "GuardedPolicy",
    "OnnxPolicy",
    "Policy",
    "PolicyServer",
    "SalientPolicy",
    "SocketPolicy",
    "StepClock",
    "Watchdog",
    "load_policy",
    "policy_hash",
    "read_policy_json",
    "read_policy_sensors",
    "serve",
]


__getattr__ = names_from(__name__, _HOMES)
