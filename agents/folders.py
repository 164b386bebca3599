"""The folder that a training writes: its policy or model, checkpoints, logs and data below it."""

from __future__ import annotations

import contextlib
import fcntl
import shutil
from collections.abc import Iterator
from pathlib import Path

from vista_sim.errors import PolicyError

from .checkpoint import has_checkpoint

CHECKPOINTS = "checkpoint"
TENSORBOARD = "tensorboard"
ROUNDS = "rounds"
LOCK = ".training.lock"
_FILES = ("*.safetensors", "*.png", "curves.csv", "rates.csv", "policy.onnx*")


@contextlib.contextmanager
def claimed(out: Path) -> Iterator[None]:
    """Keep a folder to one training at a time; it is made where it is not there, and a training
    that writes nothing leaves none behind.

    Raises:
        PolicyError: it cannot be written to, is a file or a trace, or another process trains
            in it.
    """
    if out.exists() and not out.is_dir():
        raise PolicyError(f"{out}: is a file; --out names a folder")
    if (out / "trace.json").exists():
        raise PolicyError(f"{out}: is a trace; --out names a folder of its own")
    made = not out.exists()
    lock = out / LOCK
    try:
        out.mkdir(parents=True, exist_ok=True)
        file = lock.open("a")
    except OSError as error:
        raise PolicyError(f"{out}: cannot be written to ({error.strerror})") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise PolicyError(f"{out}: another training is at work there") from None
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)
            if made and not any(out.iterdir()):
                out.rmdir()


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
