"""One entry for policies from anywhere."""

from __future__ import annotations

import os
import re
from pathlib import Path

from vista_sim.errors import PolicyError
from vista_sim.policies.folder import folder_hash, load_folder
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
    kind = _kind(what)
    if kind == "expert":
        from vista_sim.evaluation.reference import ReferenceDriver

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
        Of a folder: over policy.json and the files that it names. Of an ONNX file: over it, its
        weights where they are apart, and the JSON file. None for all others: what decides how
        code or another process drives cannot be seen from here.

    Raises:
        PolicyError: the files cannot be read.
    """
    if not isinstance(what, str | os.PathLike):
        return None
    kind = _kind(what)
    if kind == "onnx":
        from vista_sim.policies.onnx.files import onnx_hash

        return onnx_hash(Path(what))
    return folder_hash(Path(what)) if kind == "folder" else None


def _kind(what: str | os.PathLike[str]) -> str:
    """Which of the ways to load a policy is meant. Raises PolicyError."""
    if isinstance(what, str):
        if what == EXPERT:
            return "expert"
        if what.startswith(SOCKET):
            return "socket"
        if _FACTORY.fullmatch(what) and not Path(what).exists():
            return "factory"
    if Path(what).suffix == ".onnx":
        return "onnx"
    if not Path(what).exists():
        raise PolicyError(
            f"{os.fspath(what)}: no such policy; give a folder with policy.json, an .onnx file, "
            "module:factory, socket:HOST:PORT, socket:PATH, or expert"
        )
    if Path(what).is_file():
        raise PolicyError(f"{os.fspath(what)}: {advice(Path(what))}")
    return "folder"
