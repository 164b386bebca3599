"""The policy folder: policy.json, and the loader that can read what is beside it.

A policy folder holds `policy.json` and weights. Which package can read it stands in its
`loader` field: the name of an entry point in the group `vista_sim.policies`, a callable
`load(folder: Path) -> Policy`. A loader reads weights and configuration, never code.
"""

from __future__ import annotations

import hashlib
import os
from importlib.metadata import entry_points
from os.path import isfile
from pathlib import Path
from typing import Any

from vista_sim.errors import PolicyError
from vista_sim.files import open_file, read_json, shown
from vista_sim.policies.policy import Policy

POLICY_FORMAT = "vista-policy/1"
ENTRY_POINT_GROUP = "vista_sim.policies"


def read_policy_json(folder: Path | str) -> dict[str, Any]:
    """Read and check policy.json of a policy folder. Raises PolicyError."""
    path = Path(folder) / "policy.json"
    values = read_json(path, PolicyError, missing="not found; a policy folder holds policy.json")
    if not isinstance(values, dict) or values.get("format") != POLICY_FORMAT:
        found = values.get("format") if isinstance(values, dict) else None
        raise PolicyError(f"{path}: format is {shown(found)}; this version reads {POLICY_FORMAT!r}")
    return values


def load_folder(folder: Path | str) -> Policy:
    """Load a policy folder with the loader that its policy.json names.

    Raises:
        PolicyError: the folder cannot be read, or no installed package has its loader.
    """
    folder = Path(folder)
    name = read_policy_json(folder).get("loader")
    found = {entry.name: entry for entry in entry_points(group=ENTRY_POINT_GROUP)}
    if not isinstance(name, str) or name not in found:
        known = ", ".join(sorted(found)) or "none"
        raise PolicyError(
            f"{folder / 'policy.json'}: loader {shown(name)} is unknown; known: {known}"
        )
    policy: Policy = found[name].load()(folder)
    return policy


def folder_hash(folder: Path) -> str:
    """SHA-256 over policy.json and the files of its folder that it names. Raises PolicyError."""
    names = {"policy.json"}
    pending: list[Any] = [read_policy_json(folder)]
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            pending += value.values()
        elif isinstance(value, list):
            pending += value
        # Of most texts no file could bear the name: isfile says no to those.
        elif isinstance(value, str) and Path(value).name == value and isfile(folder / value):
            names.add(value)
    digest = hashlib.sha256()
    for name in sorted(names):
        digest.update(os.fsencode(name) + b"\0")
        with open_file(folder / name, PolicyError) as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
