"""The files of an ONNX policy: the model and its description."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from vista_sim.errors import PolicyError

FORMAT = "vista-onnx-policy/1"


def description_path(model: Path) -> Path:
    """The JSON file beside a model: NAME.onnx.json, or NAME.json.

    Raises:
        PolicyError: the model or its description is not there.
    """
    if not model.is_file():
        raise PolicyError(f"{model}: no such file")
    candidates = (model.with_name(model.name + ".json"), model.with_suffix(".json"))
    for path in candidates:
        if path.is_file():
            return path
    raise PolicyError(
        f"{model}: has no description beside it; write {candidates[1].name} or "
        f"{candidates[0].name} (format in vista_sim/policies/README.md)"
    )


def read_description(path: Path) -> dict[str, Any]:
    """Read the JSON file beside a model. Raises PolicyError."""
    try:
        text = path.read_text(encoding="utf-8")
        values = json.loads(text, object_pairs_hook=_without_repetition)
    except (OSError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise PolicyError(f"{path}: cannot be read as JSON ({reason})") from None
    found = values.get("format") if isinstance(values, dict) else None
    if not isinstance(values, dict) or found != FORMAT:
        raise PolicyError(f"{path}: format is {found!r}; it must be {FORMAT!r}")
    return values


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"field {twice!r} is given twice")
    return values
