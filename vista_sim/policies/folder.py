"""The policy folder: policy.json, and the loader that can read what is beside it.

A policy folder holds `policy.json` and weights. Which package can read it stands in its
`loader` field: the name of an entry point in the group `vista_sim.policies`, a callable
`load(folder: Path) -> Policy`. A loader reads weights and configuration, never code.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

from vista_sim.errors import PolicyError
from vista_sim.files import read_json, shown
from vista_sim.policies.policy import Policy
from vista_sim.registry import offered
from vista_sim.sensors.registry import read_camera, read_sensors
from vista_sim.sensors.spec import CameraSpec, SensorSpec

POLICY_FORMAT = "vista-policy/2"
FIRST_FORMAT = "vista-policy/1"  # says `camera` in place of `sensors`
ENTRY_POINT_GROUP = "vista_sim.policies"


def read_policy_json(folder: Path | str) -> dict[str, Any]:
    """Read and check policy.json of a policy folder, of this format or the first.

    Raises:
        PolicyError: it cannot be read, or is of another format.
    """
    path = Path(folder) / "policy.json"
    values = read_json(path, PolicyError, missing="not found; a policy folder holds policy.json")
    if not isinstance(values, dict) or values.get("format") not in (POLICY_FORMAT, FIRST_FORMAT):
        found = values.get("format") if isinstance(values, dict) else None
        raise PolicyError(f"{path}: format is {shown(found)}; this version reads {POLICY_FORMAT!r}")
    return values


def read_policy_sensors(values: Mapping[str, Any]) -> dict[str, SensorSpec]:
    """What a policy observes, of its policy.json: `sensors`, or `camera` in the first format.

    Raises:
        PolicyError: it cannot be.
    """
    if values.get("format") != FIRST_FORMAT:
        return read_sensors(values.get("sensors"), "policy.json: field 'sensors'", PolicyError)
    camera = values.get("camera")
    if camera is None:
        return {}
    if not isinstance(camera, Mapping):
        raise PolicyError("policy.json: field 'camera' must be an object or null")
    return {CameraSpec.kind: read_camera(camera, "policy.json: field 'camera'", PolicyError)}


def load_folder(folder: Path | str) -> Policy:
    """Load a policy folder with the loader that its policy.json names.

    Raises:
        PolicyError: the folder cannot be read, or no installed package has its loader.
    """
    folder = Path(folder)
    name, found = read_policy_json(folder).get("loader"), installed_loaders()
    if not isinstance(name, str) or name not in found:
        known = ", ".join(sorted(found)) or "none"
        raise PolicyError(
            f"{folder / 'policy.json'}: loader {shown(name)} is unknown; known: {known}"
        )
    policy: Policy = found[name].load()(folder)
    return policy


def installed_loaders() -> dict[str, EntryPoint]:
    """What reads policy folders, by the names that policy.json gives."""
    return offered(ENTRY_POINT_GROUP)
