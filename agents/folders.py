"""The folder that a training writes: its policy or model, checkpoints, logs and data below it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from vista_sim.errors import PolicyError
from vista_sim.locks import Lock

from .checkpoint import JSON as CHECKPOINT_JSON
from .checkpoint import has_checkpoint
from .weights import WEIGHTS

CHECKPOINTS = "checkpoint"
TENSORBOARD = "tensorboard"
ROUNDS = "rounds"
RATE_ROUNDS = "rounds-of-rates"  # of a learning-rate range test
LOCK = ".training.lock"
#: What a training that was killed in the middle of writing leaves.
_LEFT = tuple(f"{folder}/.*.part-*" for folder in (".", CHECKPOINTS, ROUNDS))
#: What a training writes on its way: nothing of it is of use without a checkpoint.
_ON_ITS_WAY = (
    f"{CHECKPOINTS}/{CHECKPOINT_JSON}",
    f"{CHECKPOINTS}/step-*.safetensors",
    f"{TENSORBOARD}/events.out.tfevents.*",
    f"{ROUNDS}/*.safetensors",
    *_LEFT,
    "curves.csv",
    "curves.png",
)
#: What a finished one leaves, beside its description.
_RESULTS = (WEIGHTS, f".{WEIGHTS}.old-*", "held-out.png", "policy.onnx*", ".policy.onnx*")


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
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PolicyError(f"{out}: cannot be written to ({error.strerror})") from None
    try:
        with Lock(out / LOCK, PolicyError, f"{out}: another training is at work there"):
            yield
    finally:
        if made and not any(out.iterdir()):
            out.rmdir()


def prepare_folder(
    out: Path, resume: bool, overwrite: bool, description: str = "policy.json"
) -> None:
    """Refuse to mix two trainings in one folder; with `overwrite`, remove the older one.

    One that broke off before its first checkpoint left nothing to go on from: it is removed
    without being asked to. What no training wrote, stays.

    Args:
        out: the folder.
        resume, overwrite: what to do where it holds a training already.
        description: the JSON file that says what a finished training left there.
    """
    if resume and overwrite:
        raise PolicyError("--resume and --overwrite exclude each other")
    if not has_checkpoint(out / CHECKPOINTS) and not (out / description).exists():
        _remove(out, _ON_ITS_WAY)
    elif overwrite:
        _remove(out, (*_ON_ITS_WAY, *_RESULTS, description))
    elif resume:
        _remove(out, _LEFT)
    else:
        raise PolicyError(f"{out}: holds a training already; give --resume or --overwrite")


def _remove(out: Path, patterns: Sequence[str]) -> None:
    """Remove files of a training, and its folders unless there is something else in them."""
    for pattern in patterns:
        for path in sorted(out.glob(pattern)):
            path.unlink()
    for folder in (CHECKPOINTS, TENSORBOARD, ROUNDS):
        with contextlib.suppress(OSError):
            (out / folder).rmdir()
