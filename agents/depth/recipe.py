"""The training command `depth`: from traces to a depth model, top to bottom."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import tyro

from vista_sim.errors import PolicyError, TraceError
from vista_sim.geometry.models import DEPTH_JSON, model_folders
from vista_sim.geometry.partial import writable_folder
from vista_sim.traces.trace import Trace

from ..folders import claimed, prepare_folder
from ..recipe import check_seed, decided_by
from .data import DepthDrive, DepthFrames
from .model import DepthModelSpec, load
from .network import DepthNetConfig
from .picture import write_picture
from .settings import DepthTrainingConfig
from .train import DepthResult, Report, train_depth


@dataclass(frozen=True)
class Depth:
    """Learn depth from one picture, by how neighbouring frames of traces fit each other.

    Traces that were baked give refined poses, and inverse depth where it is sure; others are
    learned from by their recorded poses and pictures alone. The model is what
    `vista-sim bake --geometry learned` looks for.
    """

    traces: tuple[Path, ...]
    """Trace folders to learn from."""
    out: Path | None = None
    """Model folder to write; checkpoints and TensorBoard logs go below it. With one trace it is
    by default the place beside its geometry where `vista-sim bake` finds it."""
    camera: str | None = None
    """Recorded camera to learn from; by default the first of each trace."""
    seed: int = 0
    """Of weights, held-out frames and batches."""
    resume: bool = False
    """Go on from the checkpoint in the folder, if there is one."""
    overwrite: bool = False
    """Start anew where the folder holds a training already."""
    json: bool = False
    """Print the result as JSON."""
    training: Annotated[DepthTrainingConfig, tyro.conf.arg(name="")] = field(
        default_factory=DepthTrainingConfig
    )
    network: DepthNetConfig = field(default_factory=DepthNetConfig)

    def __post_init__(self) -> None:
        if not self.traces:
            raise ValueError("traces is empty; give at least one trace folder")
        if self.out is None and len(self.traces) > 1:
            raise ValueError("out is missing; with several traces, name the model folder")
        check_seed(self.seed)


@dataclass(frozen=True)
class Learned:
    """A finished training and where its model is."""

    folder: Path
    result: DepthResult
    supervised: tuple[str, ...]  # traces whose baked inverse depth was learned from


def learn_depth(recipe: Depth, report: Report | None = None) -> Learned:
    """Run a recipe and leave a model folder.

    Raises:
        TraceError: a trace cannot be used.
        GeometryError: what was baked for a trace does not belong to it.
        PolicyError: the folder holds a training and neither --resume nor --overwrite is given,
            or its checkpoint does not fit the recipe.
        TrainingError: the loss is not finite, or there is no such device.
    """
    traces = [Trace.open(path) for path in recipe.traces]
    drives = [open_drive(trace, recipe) for trace in traces]
    out = recipe.out if recipe.out is not None else default_folder(traces[0])
    with claimed(out):
        prepare_folder(out, recipe.resume, recipe.overwrite, DEPTH_JSON)
        config = recipe.training
        frames = DepthFrames(drives, recipe.seed, config.neighbours, config.cache_mib)
        description = describe(recipe, drives)
        lens = drives[0].lens
        spec = DepthModelSpec(recipe.network, lens.size, lens.fx, description)
        result = train_depth(
            spec, frames, config, out, recipe.seed, description, recipe.resume, report
        )
        write_picture(out / "held-out.png", load(out), drives[0], frames.held_out_indices(0))
        supervised = tuple(drive.trace.name for drive in drives if drive.supervised)
        return Learned(out, result, supervised)


def open_drive(trace: Trace, recipe: Depth) -> DepthDrive:
    """The camera of a trace that is learned from. Raises TraceError."""
    names = list(trace.cameras)
    if not names or recipe.camera not in (None, *names):
        wanted = f"no camera {recipe.camera!r}" if recipe.camera else "no camera"
        raise TraceError(f"{trace.root}: {wanted}; cameras: {', '.join(names) or 'none'}")
    camera = recipe.camera or names[0]
    return DepthDrive(trace, camera, recipe.network, recipe.training.supervision > 0)


def default_folder(trace: Trace) -> Path:
    """Beside the trace's geometry, or in the user's cache folder."""
    for folder in model_folders(trace):
        if writable_folder(folder.parent):
            return folder
    raise PolicyError(f"{folder.parent}: cannot be written to; name a folder with --out")


def describe(recipe: Depth, drives: list[DepthDrive]) -> dict[str, Any]:
    """Everything that decides the weights, as JSON."""
    training = dataclasses.asdict(recipe.training)
    for name in ("threads", "cache_mib", "minutes", "device"):  # they decide how fast
        del training[name]
    values = {
        "method": "depth",
        "traces": [drive.trace.name for drive in drives],
        **decided_by([drive.trace for drive in drives]),
        "cameras": [drive.camera for drive in drives],
        "baked": [drive.baked for drive in drives],
        "supervised": [drive.supervised for drive in drives],
        "seed": recipe.seed,
        "training": training,
        "network": dataclasses.asdict(recipe.network),
    }
    decided: dict[str, Any] = json.loads(json.dumps(values))
    return decided
