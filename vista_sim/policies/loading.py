"""One entry for policies from anywhere."""

from __future__ import annotations

import os
from pathlib import Path

from vista_sim.policies.factory import make_policy
from vista_sim.policies.folder import load_folder
from vista_sim.policies.kind import SOCKET, policy_kind
from vista_sim.policies.policy import Policy
from vista_sim.policies.reference import ReferenceDriver
from vista_sim.policies.remote.client import SocketPolicy


def load_policy(what: str | os.PathLike[str]) -> Policy:
    """Load a policy.

    Args:
        what: a folder with policy.json, read by the loader that it names; an ONNX file with a
            JSON file beside it (`vista_sim.policies.onnx`); "package.module:factory", a callable
            that makes a policy: it is imported and called, so that this runs its author's code;
            "socket:HOST:PORT" or "socket:PATH", a policy that another process serves
            (`vista_sim.policies.remote`); "expert", the privileged reference.

    Raises:
        PolicyError: there is no such policy, or it cannot be used.
        MissingDependencyError: an optional package is needed and not installed.
    """
    kind = policy_kind(what)
    if kind == "expert":
        return ReferenceDriver()
    if kind == "socket":
        return SocketPolicy(str(what).removeprefix(SOCKET))
    if kind == "factory":
        return make_policy(str(what))
    if kind == "onnx":
        from vista_sim.policies.onnx.policy import OnnxPolicy

        return OnnxPolicy(Path(what))
    return load_folder(Path(what))
