"""The files of an ONNX policy: the model and its description."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from vista_sim.errors import PolicyError
from vista_sim.files import read_json, shown

FORMAT = "vista-onnx-policy/1"


def description_path(model: Path) -> Path:
    """The JSON file beside a model: NAME.onnx.json, or NAME.json.

    Raises:
        PolicyError: the model or its description is not there.
    """
    if not os.path.isfile(model):
        raise PolicyError(f"{model}: no such file")
    candidates = (model.with_name(model.name + ".json"), model.with_suffix(".json"))
    for path in candidates:
        if os.path.isfile(path):
            return path
    raise PolicyError(
        f"{model}: has no description beside it; write {candidates[1].name} or "
        f"{candidates[0].name} (format in vista_sim/policies/README.md)"
    )


def read_description(path: Path) -> dict[str, Any]:
    """Read the JSON file beside a model. Raises PolicyError."""
    values = read_json(path, PolicyError)
    found = values.get("format") if isinstance(values, dict) else None
    if not isinstance(values, dict) or found != FORMAT:
        raise PolicyError(f"{path}: format is {shown(found)}; it must be {FORMAT!r}")
    return values
