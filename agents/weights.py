"""The weights of a model folder, and the JSON file that describes them: written and read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from vista_sim.atomic import kept_beside, write_together
from vista_sim.errors import VistaError
from vista_sim.files import one_line, read_bytes, shown

WEIGHTS = "weights.safetensors"
MISSING = "cannot be read (there is no such file); train again"


def save_model(
    folder: Path | str,
    description: str,
    values: Mapping[str, Any],
    weights: Mapping[str, Tensor],
) -> None:
    """Write weights, then the JSON file `description` with `values` and a checksum of them."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    data = save_tensors({name: tensor.contiguous() for name, tensor in weights.items()})
    checksum = {"file": WEIGHTS, "sha256": hashlib.sha256(data).hexdigest()}
    text = json.dumps({**values, "weights": checksum}, indent=2) + "\n"
    write_together([(folder / WEIGHTS, data), (folder / description, text.encode())])


def load_weights(
    network: nn.Module, folder: Path, description: str, written: object, error: type[VistaError]
) -> None:
    """Put the weights of a folder into the network that its `description` describes.

    Args:
        network: of that description.
        folder, description: name of the JSON file in the folder.
        written: what its field 'weights' holds.
        error: what is raised.

    Raises:
        error: the field is not what `save_model` writes; the weights are missing, cut short,
            changed, not finite, or do not fit; the first that is wrong is named.
    """
    if not isinstance(written, Mapping) or not isinstance(written.get("sha256"), str):
        raise error(f"{folder / description}: field 'weights' must hold file and sha256")
    if written.get("file") != WEIGHTS:
        raise error(
            f"{folder / description}: field 'weights' names file {shown(written.get('file'))}; "
            f"weights are read from {WEIGHTS!r} alone"
        )
    path = folder / WEIGHTS
    wanted = network.state_dict()
    missing = "cannot be read (there is none); train again"
    for file in (path, *kept_beside(path)):  # those of before, where a kill parted the two
        data = read_bytes(file, error, largest_file(wanted), missing)
        if hashlib.sha256(data).hexdigest() == written["sha256"]:
            break
    else:
        raise error(
            f"{path}: does not match its checksum in {description}; it was changed or cut short"
        )
    tensors = tensors_of(data, path, error)
    check_fit(tensors, wanted, path, description, error)
    network.load_state_dict(tensors)


def largest_file(wanted: Mapping[str, Tensor], times: int = 1) -> int:
    """Bytes that a safetensors file of tensors like these may have; `times`: so many of each."""
    numbers = sum(tensor.numel() for tensor in wanted.values())
    return times * (8 * numbers + 1024 * len(wanted)) + 2**20


def tensors_of(data: bytes, path: Path, error: type[VistaError]) -> dict[str, Tensor]:
    """Tensors by name of a safetensors file's content. Raises `error`, which names the file."""
    try:
        return load_tensors(data)
    except (
        SafetensorError,
        RuntimeError,
        ValueError,
        TypeError,
        KeyError,
        OverflowError,
    ) as reason:
        # The library's class is raised of the format alone, not of shapes that cannot be.
        raise error(f"{path}: is not a safetensors file ({one_line(reason)})") from None


def check_fit(
    tensors: Mapping[str, Tensor],
    wanted: Mapping[str, Tensor],
    path: Path,
    description: str,
    error: type[VistaError],
) -> None:
    """Whether tensors read from `path` can be the weights of a network.

    Args:
        tensors, wanted: by name; the second are those of the network.
        path, description: where they were read, and what describes the network, for messages.

    Raises:
        error: some are missing, of another shape, not finite, or too many.
    """
    for name, tensor in wanted.items():
        if name not in tensors:
            raise error(f"{path}: weights {name!r} of the network in {description} are missing")
        if tensors[name].shape != tensor.shape:
            raise error(
                f"{path}: weights {name!r} have shape {tuple(tensors[name].shape)}; the network "
                f"in {description} wants {tuple(tensor.shape)}"
            )
        if not torch.isfinite(tensors[name]).all():
            raise error(f"{path}: weights {name!r} are not finite")
    unknown = sorted(set(tensors) - set(wanted))
    if unknown:
        raise error(f"{path}: the network in {description} has no weights {unknown[0]!r}")
