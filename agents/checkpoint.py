"""Where a training stands, on disk: safetensors for tensors, JSON for the rest, never pickle.

A checkpoint is `checkpoint.json`, which names a tensor file and its checksum. The tensor file
is written first under a name of its own, then the JSON replaces the old one: a kill at any
moment leaves a whole checkpoint, the new or the old.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from vista_sim.atomic import write_whole
from vista_sim.errors import PolicyError
from vista_sim.files import one_line, read_bytes, read_json, shown

from .weights import check_fit, largest_file, tensors_of

FORMAT = "vista-checkpoint/2"
JSON = "checkpoint.json"


@dataclass
class Progress:
    """What a training knows of itself after `step` gradient steps."""

    step: int = 0
    best_step: int = 0
    best_loss: float = float("inf")  # validation loss of the weights kept as best
    waited: int = 0  # looks at the held-out road since then
    rate_factor: float = 1.0  # what plateaus have left of the learning rate
    stale: int = 0  # looks since then, or since the learning rate was last lowered
    best: dict[str, Tensor] | None = None


def save_checkpoint(
    folder: Path,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    progress: Progress,
    recipe: Mapping[str, Any],
) -> None:
    """Write a checkpoint and remove the tensor file of the one before."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {f"network.{name}": t.contiguous() for name, t in network.state_dict().items()}
    for name, tensor in (progress.best or {}).items():
        tensors[f"best.{name}"] = tensor.contiguous()
    for index, state in optimizer.state_dict()["state"].items():
        for name, tensor in state.items():
            tensors[f"optimizer.{index}.{name}"] = tensor.contiguous()
    data = save_tensors(tensors)
    file = tensor_file(progress.step)
    write_whole(folder / file, data)
    values = {
        "format": FORMAT,
        "step": progress.step,
        "best_step": progress.best_step,
        "best_loss": progress.best_loss if progress.best is not None else None,
        "waited": progress.waited,
        "rate_factor": progress.rate_factor,
        "stale": progress.stale,
        "recipe": recipe,
        "tensors": {"file": file, "sha256": hashlib.sha256(data).hexdigest()},
    }
    write_whole(folder / JSON, (json.dumps(values, indent=2) + "\n").encode())
    for old in folder.glob("step-*.safetensors"):
        if old.name != file:
            old.unlink()


def tensor_file(step: int) -> str:
    """Name of the tensor file after so many steps."""
    return f"step-{step:07d}.safetensors"


def check_progress(progress: Progress) -> None:
    """Raise ValueError for numbers that no training gets to."""
    counts = (progress.step, progress.best_step, progress.waited, progress.stale)
    if min(counts) < 0 or max(counts) > progress.step or not 0 < progress.rate_factor <= 1:
        raise ValueError(f"no training stands at {progress}")


def has_checkpoint(folder: Path) -> bool:
    """Whether there is something to resume."""
    return (folder / JSON).is_file()


def load_checkpoint(
    folder: Path,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    recipe: Mapping[str, Any],
) -> Progress:
    """Put network and optimizer back to where `save_checkpoint` left them.

    Raises:
        PolicyError: the checkpoint cannot be read, was changed or cut short, or was made by
            another recipe (the message names the first field that differs).
    """
    path = folder / JSON
    try:
        values = read_json(path, PolicyError)
        if values["format"] != FORMAT:
            raise PolicyError(f"{path}: format is {shown(values['format'])}; this reads {FORMAT!r}")
        tensor_path = folder / str(values["tensors"]["file"])
        checksum = values["tensors"]["sha256"]
        progress = Progress(
            step=int(values["step"]),
            best_step=int(values["best_step"]),
            waited=int(values["waited"]),
            rate_factor=float(values["rate_factor"]),
            stale=int(values["stale"]),
        )
        best_loss = math.inf if values["best_loss"] is None else float(values["best_loss"])
        made_by = values["recipe"]
        check_progress(progress)
        if tensor_path.name != tensor_file(progress.step):
            raise ValueError(f"step {progress.step} is not that of {tensor_path.name!r}")
    except PolicyError:
        raise
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        reason = f"{type(error).__name__}: {one_line(error)}"
        raise PolicyError(f"{path}: is not a readable checkpoint ({reason})") from None
    _check_same(path, made_by, json.loads(json.dumps(recipe)))
    # Of each weight: itself, the best so far, and what the optimizer keeps beside it.
    data = read_bytes(tensor_path, PolicyError, largest_file(network.state_dict(), times=6))
    if hashlib.sha256(data).hexdigest() != checksum:
        raise PolicyError(f"{tensor_path}: was changed or cut short; start anew with --overwrite")
    tensors = tensors_of(data, tensor_path, PolicyError)
    parts: dict[str, dict[str, Tensor]] = {"network": {}, "best": {}, "optimizer": {}}
    for name, tensor in tensors.items():
        part, _, rest = name.partition(".")
        parts.setdefault(part, {})[rest] = tensor
    check_fit(parts["network"], network.state_dict(), tensor_path, "this recipe", PolicyError)
    network.load_state_dict(parts["network"])
    state = _optimizer_state(parts["optimizer"], optimizer, tensor_path)
    optimizer.load_state_dict(
        {"state": state, "param_groups": optimizer.state_dict()["param_groups"]}
    )
    if parts["best"]:
        check_fit(parts["best"], network.state_dict(), tensor_path, "this recipe", PolicyError)
        progress.best, progress.best_loss = parts["best"], best_loss
    return progress


#: Fields of a recipe that nobody gives: hashes of what a training goes on with.
_CONTENT = {
    "recordings": "the recordings have",
    "geometry": "the baked geometry of the traces has",
    "code": "the code that learns has",
}


def _check_same(path: Path, made_by: Any, wanted: Mapping[str, Any]) -> None:
    """Raise PolicyError unless a checkpoint was made by the same recipe, recordings and code."""
    if not isinstance(made_by, dict):
        raise PolicyError(f"{path}: is not a readable checkpoint (recipe is no object)")
    before, now = (
        {name: value for name, value in recipe.items() if name not in _CONTENT}
        for recipe in (made_by, wanted)
    )
    difference = first_difference(before, now)
    if difference:
        raise PolicyError(
            f"{path}: was made with another {difference}; give the same or start anew with "
            "--overwrite"
        )
    for field, what in _CONTENT.items():
        if field in wanted and field not in made_by:
            raise PolicyError(
                f"{path}: was made before checkpoints said which recordings and code decide them; "
                "start anew with --overwrite"
            )
        if made_by.get(field) != wanted.get(field):
            raise PolicyError(
                f"{path}: {what} changed since the training began; put back what there was, or "
                "start anew with --overwrite"
            )


def _optimizer_state(
    tensors: Mapping[str, Tensor], optimizer: torch.optim.Optimizer, path: Path
) -> dict[int, dict[str, Tensor]]:
    """What an optimizer keeps, by number of the parameter. Raises PolicyError."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        index, _, key = name.partition(".")
        known = index.isascii() and index.isdigit() and int(index[:9]) < len(parameters)
        if not known or tensor.numel() not in (1, parameters[int(index)].numel()):
            raise PolicyError(f"{path}: {name!r} fits no weights of this recipe's optimizer")
        state.setdefault(int(index), {})[key] = tensor
    return state


def first_difference(made_by: Any, wanted: Any, name: str = "recipe") -> str | None:
    """Name of the first field in which two recipes differ, with both values."""
    if isinstance(made_by, dict) and isinstance(wanted, dict):
        for key in sorted({*made_by, *wanted}, key=lambda k: (k != "method", k)):
            found = first_difference(made_by.get(key), wanted.get(key), key)
            if found:
                return found
        return None
    return None if made_by == wanted else f"{name} ({shown(made_by)}, not {shown(wanted)})"
