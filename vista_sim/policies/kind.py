"""Which kind of policy a name or path means."""

from __future__ import annotations

import os
import re
from pathlib import Path

from vista_sim.errors import PolicyError
from vista_sim.files import one_line
from vista_sim.policies.foreign import advice

EXPERT = "expert"
SOCKET = "socket:"
_FACTORY = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")


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
