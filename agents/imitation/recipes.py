"""The training commands `bc` and `guided`: from traces to a policy folder, top to bottom."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import tyro

from vista_sim.errors import PolicyError
from vista_sim.policies import CameraSpec
from vista_sim.traces.trace import Trace

from ..checkpoint import has_checkpoint
from ..experts import PurePursuit, PurePursuitConfig
from ..networks.pilotnet import PilotNetConfig
from ..networks.registry import network_to_json
from ..policy import PolicySpec
from ..training import CHECKPOINTS, Report, TrainingConfig, TrainingResult, ViewSource, train
from .augment import AugmentConfig
from .behaviour_cloning import RecordedViews
from .drives import Drive, open_drives, resolve_camera
from .guided import GuidedConfig, GuidedViews
from .road import SplitConfig


@dataclass(frozen=True)
class Recipe:
    """What every way of learning from traces needs."""

    traces: tuple[Path, ...]
    """Trace folders to learn from."""
    out: Path
    """Policy folder to write; checkpoints and TensorBoard logs go below it."""
    section: str | None = None
    """Use this part of each trace alone: START:END in seconds, such as 0:7.2."""
    camera: str | None = None
    """Recorded camera to learn from; by default "front", "left" or the first."""
    fov: float | None = None
    """Horizontal field of view of the policy's camera, rad; by default that of the first trace's
    camera. It is written to policy.json, so that other rigs show the policy the same."""
    seed: int = 0
    """Of weights, held-out road, batches, augmentation and starts."""
    resume: bool = False
    """Go on from the checkpoint in the folder, if there is one."""
    overwrite: bool = False
    """Start anew where the folder holds a training already."""
    json: bool = False
    """Print the result as JSON."""
    training: Annotated[TrainingConfig, tyro.conf.arg(name="")] = field(
        default_factory=TrainingConfig
    )
    network: PilotNetConfig = field(default_factory=PilotNetConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    split: SplitConfig = field(default_factory=SplitConfig)

    def __post_init__(self) -> None:
        if not self.traces:
            raise ValueError("traces is empty; give at least one trace folder")
        if self.seed < 0:
            raise ValueError(f"seed is {self.seed}; it must not be negative")
        if self.fov is not None and not 0 < self.fov < math.pi:
            raise ValueError(f"fov is {self.fov} rad; it must be between 0 and pi")


@dataclass(frozen=True)
class BehaviourCloning(Recipe):
    """Behaviour cloning: learn to steer as the human did, from the recorded frames."""


@dataclass(frozen=True)
class Guided(Recipe):
    """Guided policy learning: learn the way back from views synthesized off the path."""

    starts: GuidedConfig = field(default_factory=GuidedConfig)
    expert: PurePursuitConfig = field(default_factory=PurePursuitConfig)


def learn(recipe: Recipe, report: Report | None = None) -> TrainingResult:
    """Run a recipe and leave a policy folder at `recipe.out`.

    Raises:
        TraceError: a trace cannot be used.
        PolicyError: `out` holds a training and neither --resume nor --overwrite is given, or
            its checkpoint does not fit the recipe.
        TrainingError: the loss is not finite.
    """
    prepare_folder(recipe.out, recipe.resume, recipe.overwrite)
    traces = [Trace.open(path) for path in recipe.traces]
    wanted = CameraSpec(size=recipe.network.size, fov=recipe.fov)
    wanted = resolve_camera(traces, wanted, recipe.camera)
    drives = open_drives(traces, wanted, recipe.split, recipe.seed, recipe.camera, recipe.section)
    method, views = _views(recipe, drives)
    description = describe(recipe, method, drives)
    spec = PolicySpec(camera=wanted, network=recipe.network, name=method, training=description)
    return train(
        spec,
        views,
        recipe.training,
        recipe.augment,
        recipe.out,
        recipe.seed,
        description,
        recipe.resume,
        report,
    )


def _views(recipe: Recipe, drives: list[Drive]) -> tuple[str, ViewSource]:
    if isinstance(recipe, Guided):
        return "guided", GuidedViews(drives, recipe.starts, PurePursuit(recipe.expert), recipe.seed)
    return "bc", RecordedViews(drives, recipe.seed)


def describe(recipe: Recipe, method: str, drives: list[Drive]) -> dict[str, Any]:
    """Everything that decides the weights, as JSON."""
    values: dict[str, Any] = {
        "method": method,
        "traces": [drive.trace.name for drive in drives],
        "section": recipe.section,
        "camera": recipe.camera,
        "fov": recipe.fov,
        "seed": recipe.seed,
        "training": dataclasses.asdict(recipe.training),
        "network": network_to_json(recipe.network),
        "augment": dataclasses.asdict(recipe.augment),
        "split": dataclasses.asdict(recipe.split),
        "validation_road": [[list(i) for i in drive.validation] for drive in drives],
    }
    if isinstance(recipe, Guided):
        values["starts"] = dataclasses.asdict(recipe.starts)
        values["expert"] = dataclasses.asdict(recipe.expert)
    decided: dict[str, Any] = json.loads(json.dumps(values))
    return decided


def prepare_folder(out: Path, resume: bool, overwrite: bool) -> None:
    """Refuse to mix two trainings in one folder; with `overwrite`, remove the older one."""
    if resume and overwrite:
        raise PolicyError("--resume and --overwrite exclude each other")
    if out.exists() and not out.is_dir():
        raise PolicyError(f"{out}: is a file; --out names a folder")
    if (out / "trace.json").exists():
        raise PolicyError(f"{out}: is a trace; --out names a folder of its own")
    checkpoints = out / CHECKPOINTS
    if not has_checkpoint(checkpoints) and not (out / "policy.json").exists():
        return
    if overwrite:
        for pattern in ("checkpoint/*", "tensorboard/events.*", "policy.json", "*.safetensors"):
            for path in out.glob(pattern):
                path.unlink()
    elif not resume:
        raise PolicyError(f"{out}: holds a training already; give --resume or --overwrite")
