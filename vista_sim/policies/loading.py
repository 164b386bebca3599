"""One entry for policies from anywhere."""

from __future__ import annotations

import os
import re
from pathlib import Path

from vista_sim.errors import PolicyError
from vista_sim.files import one_line
from vista_sim.policies.folder import load_folder
from vista_sim.policies.foreign import advice
from vista_sim.policies.policy import Policy

EXPERT = "expert"
SOCKET = "socket:"
_FACTORY = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")


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
        from vista_sim.policies.reference import ReferenceDriver

        return ReferenceDriver()
    if kind == "socket":
        from vista_sim.policies.remote.client import SocketPolicy

        return SocketPolicy(str(what).removeprefix(SOCKET))
    if kind == "factory":
        from vista_sim.policies.factory import make_policy

        return make_policy(str(what))
    if kind == "onnx":
        from vista_sim.policies.onnx.policy import OnnxPolicy

        return OnnxPolicy(Path(what))
    return load_folder(Path(what))


def policy_hash(what: object) -> str | None:
    """SHA-256 of the files that decide how a policy drives, for a run's record.

    Returns:
        Of a folder: over policy.json and the files that it names (all, where another package than
        this one reads it). Of an ONNX file: over it, the JSON file, and the files that its tensors
        name. Of a factory: over its module's file, or all of the package that it is in. None for
        all others; `vista_sim.identity.policies` says what else is known of them.

    Raises:
        PolicyError: the files cannot be read.
    """
    from vista_sim.identity.policies import identify_policy

    return identify_policy(what).sha256 if isinstance(what, str | os.PathLike) else None


def policy_kind(what: str | os.PathLike[str]) -> str:
    """Which way to load a policy is meant: expert, socket, factory, onnx or folder.

    Raises:
        PolicyError: there is no such policy.
    """
    if isinstance(what, str):
        if what == EXPERT:
            return "expert"
        if what.startswith(SOCKET):
            return "socket"
        if _FACTORY.fullmatch(what) and not os.path.exists(what):
            return "factory"
    if Path(what).suffix == ".onnx":
        return "onnx"
    if not os.path.exists(what):  # nor can a text that is no name, such as one with a null byte
        raise PolicyError(
            f"{one_line(os.fspath(what))}: no such policy; give a folder with policy.json, an "
            ".onnx file, module:factory, socket:HOST:PORT, socket:PATH, or expert"
        )
    if Path(what).is_file():
        raise PolicyError(f"{os.fspath(what)}: {advice(Path(what))}")
    return "folder"
