"""The folder that a training writes: its policy or model, checkpoints, logs and data below it."""

from __future__ import annotations

import shutil
from pathlib import Path

from vista_sim.errors import PolicyError

from .checkpoint import has_checkpoint

CHECKPOINTS = "checkpoint"
TENSORBOARD = "tensorboard"
ROUNDS = "rounds"
_FILES = ("*.safetensors", "*.png", "curves.csv", "rates.csv", "policy.onnx*")


def prepare_folder(
    out: Path, resume: bool, overwrite: bool, description: str = "policy.json"
) -> None:
    """Refuse to mix two trainings in one folder; with `overwrite`, remove the older one.

    Args:
        out: the folder.
        resume, overwrite: what to do where it holds a training already.
        description: the JSON file that says what a finished training left there.
    """
    if resume and overwrite:
        raise PolicyError("--resume and --overwrite exclude each other")
    if out.exists() and not out.is_dir():
        raise PolicyError(f"{out}: is a file; --out names a folder")
    if (out / "trace.json").exists():
        raise PolicyError(f"{out}: is a trace; --out names a folder of its own")
    if not has_checkpoint(out / CHECKPOINTS) and not (out / description).exists():
        return
    if overwrite:
        for folder in (CHECKPOINTS, TENSORBOARD, ROUNDS):
            if (out / folder).is_dir():
                shutil.rmtree(out / folder)
        for pattern in (description, *_FILES):
            for path in out.glob(pattern):
                path.unlink()
    elif not resume:
        raise PolicyError(f"{out}: holds a training already; give --resume or --overwrite")
