"""The training commands `bc`, `guided` and `dagger`: from traces to a policy folder."""

from __future__ import annotations

import contextlib
import json
import math
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar

import tyro

from vista_sim.errors import VistaError
from vista_sim.traces.trace import Trace

from ..actions import Scales
from ..experts import ExpertName
from ..folders import RATE_ROUNDS, ROUNDS, claimed, prepare_folder
from ..networks.network import NetworkConfig
from ..policy import PolicySpec
from ..recipe import Recipe, decided_by
from ..training import (
    AugmentConfig,
    RangeConfig,
    RangeTest,
    Report,
    TrainingConfig,
    TrainingError,
    TrainingResult,
    range_test,
    train,
)
from ..training.processes import join
from .behaviour_cloning import RecordedSource, ShiftConfig
from .dagger import DaggerConfig, DaggerSource
from .drives import SplitTrace
from .frames import Source
from .guided import GuidedConfig, GuidedSource
from .road import SplitConfig
from .setup import Setup

MOST_BYTES = 4 * 2**30  # of the readings of a step
SEQUENCE = 24  # frames of a window for a network with a memory


@dataclass(frozen=True)
class Imitation(Recipe):
    """What every way of imitating an expert needs."""

    method: ClassVar[str]

    window: int | None = None
    """Frames of a window that is learned from; by default 24 for a network with a memory, else
    1."""
    minutes: float | None = None
    """Stop at a checkpoint after so many minutes, though steps are left; --resume goes on, and
    ends with the weights of a training that was not stopped."""
    training: Annotated[TrainingConfig, tyro.conf.arg(name="")] = field(
        default_factory=TrainingConfig
    )
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    split: SplitConfig = field(default_factory=SplitConfig)
    expert: ExpertName = "pure-pursuit"
    """Privileged controller that says what is right: of pure-pursuit, stanley, pid, mpc."""
    find_rate: bool = False
    """Learn nothing, but try learning rates and draw what they do to the loss: rates.png. A
    training that the folder holds stays as it is."""
    rates: RangeConfig = field(default_factory=RangeConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.window is not None and self.window < 1:
            raise ValueError(f"window is {self.window}; it must be at least 1 frame")
        if self.minutes is not None and not (math.isfinite(self.minutes) and self.minutes > 0):
            raise ValueError(f"minutes is {self.minutes}; it must be positive")
        if self.find_rate and (self.resume or self.overwrite):
            raise ValueError(
                "--find-rate leaves a training in the folder as it is: give it without --resume "
                "and --overwrite"
            )
        needed = self.training.batch_size * self.length * self.network.frame_bytes
        if needed > MOST_BYTES:
            raise ValueError(
                f"batch_size {self.training.batch_size} times window {self.length}: a step would "
                f"take {needed / 2**30:.3g} GiB of readings; at most {MOST_BYTES // 2**30} can be"
            )

    @property
    def length(self) -> int:
        """Frames of a window."""
        if self.window is not None:
            return self.window
        return 1 if self.network.memory is None else SEQUENCE

    def source(self, setup: Setup, rounds: Path) -> Source:
        """Where batches come from; data that are gathered are kept in the folder `rounds`."""
        raise NotImplementedError


@dataclass(frozen=True)
class BehaviourCloning(Imitation):
    """Behaviour cloning: learn to steer as the human did, from the recorded frames."""

    method: ClassVar[str] = "bc"

    shift: ShiftConfig = field(default_factory=ShiftConfig)

    def make_ready(self) -> None:
        moved = self.shift.lateral or self.shift.heading
        if self.bake or moved or not self.as_recorded:
            super().make_ready()

    def source(self, setup: Setup, rounds: Path) -> Source:
        return RecordedSource(setup, self.shift)


@dataclass(frozen=True)
class Gathering(Imitation):
    """What every way of imitating needs that gathers data while it learns."""

    background: bool = True
    """Gather data in a process of its own."""


@dataclass(frozen=True)
class Guided(Gathering):
    """Guided policy learning: learn the way back from views synthesized off the path."""

    method: ClassVar[str] = "guided"

    guided: GuidedConfig = field(default_factory=GuidedConfig)

    def source(self, setup: Setup, rounds: Path) -> Source:
        return GuidedSource(setup, self.guided, rounds, self.background)


@dataclass(frozen=True)
class Dagger(Gathering):
    """DAgger: the policy drives, an expert says what would have been right."""

    method: ClassVar[str] = "dagger"

    dagger: DaggerConfig = field(default_factory=DaggerConfig)

    def source(self, setup: Setup, rounds: Path) -> Source:
        return DaggerSource(setup, self.dagger, rounds, self.background)


def learn(recipe: Imitation, report: Report | None = None) -> TrainingResult:
    """Run a recipe and leave a policy folder at `recipe.out`.

    Raises:
        TraceError: a trace cannot be used.
        WorldError: a trace lacks the camera.
        PolicyError: `out` holds a training and neither --resume nor --overwrite is given, or
            its checkpoint does not fit the recipe.
        TrainingError: the loss is not finite.
    """
    with _prepared(recipe):
        setup, spec = plan(recipe)
        result = train(
            spec,
            recipe.source(setup, recipe.out / ROUNDS),
            recipe.training,
            recipe.augment,
            recipe.out,
            recipe.seed,
            spec.training,
            recipe.resume,
            report,
            recipe.minutes,
        )
        if not result.time_was_up:  # a finished training needs no data
            shutil.rmtree(recipe.out / ROUNDS, ignore_errors=True)
    return result


def find_rate(recipe: Imitation) -> RangeTest:
    """Try learning rates on a recipe; leaves rates.png and rates.csv at `recipe.out`, beside
    whatever else is there.

    Raises as `learn` does.
    """
    with _prepared(recipe):
        setup, spec = plan(recipe)
        return range_test(
            spec,
            recipe.source(setup, recipe.out / RATE_ROUNDS),
            recipe.training,
            recipe.augment,
            recipe.out,
            recipe.seed,
            recipe.rates,
        )


@contextlib.contextmanager
def _prepared(recipe: Imitation) -> Iterator[None]:
    """The folder made ready and kept to this training; once where several processes train."""
    processes = join(recipe.training.device)
    with contextlib.ExitStack() as held:
        refusal: VistaError | None = None
        if processes.first:
            try:
                held.enter_context(claimed(recipe.out))
                if recipe.find_rate:
                    shutil.rmtree(recipe.out / RATE_ROUNDS, ignore_errors=True)
                    held.callback(shutil.rmtree, recipe.out / RATE_ROUNDS, ignore_errors=True)
                else:
                    prepare_folder(recipe.out, recipe.resume, recipe.overwrite)
            except VistaError as error:
                refusal = error
        (refused,) = processes.told_by_first([float(refusal is not None)])
        if refused:
            raise refusal or TrainingError("the first process refused to train")
        yield


def plan(recipe: Imitation) -> tuple[Setup, PolicySpec]:
    """What is learned from, and the policy but for its weights. Raises as `learn` does."""
    traces = [Trace.open(path) for path in recipe.traces]
    sensors = recipe.policy_sensors(traces)
    scales = Scales()
    setup = Setup(
        traces=recipe.traces,
        sensors=sensors,
        network=recipe.network,
        scales=scales,
        recorded=recipe.camera,
        section=recipe.section,
        split=recipe.split,
        seed=recipe.seed,
        expert=recipe.expert,
        length=recipe.length,
    )
    description = describe(recipe, setup, setup.open(traces))
    return setup, PolicySpec(sensors, recipe.network, scales, recipe.method, description)


def describe(recipe: Imitation, setup: Setup, drives: Sequence[SplitTrace]) -> dict[str, Any]:
    """Everything that decides the weights, as JSON."""
    apart = (
        *("traces", "out", "resume", "overwrite", "json", "background", "minutes"),
        *("bake", "unbaked"),
        *("find_rate", "rates"),
    )
    values = {
        "method": recipe.method,
        **recipe.settings(),
        "window": setup.length,
    }
    for name in apart:
        values.pop(name, None)
    values["traces"] = [drive.trace.name for drive in drives]
    values |= decided_by([drive.trace for drive in drives])
    values["validation_road"] = [[list(i) for i in drive.validation] for drive in drives]
    decided: dict[str, Any] = json.loads(json.dumps(values))
    return decided


def defaults_for(method: str, network: NetworkConfig) -> dict[str, Any]:
    """Settings of a recipe that suit a network: a step on sequences takes many more frames, so
    that there are fewer sequences in it, and their frames are replaced sooner.
    """
    if network.memory is None:
        return {}
    settings: dict[str, Any] = {"training": TrainingConfig(steps=800, batch_size=8)}
    if method == Guided.method:
        settings["guided"] = GuidedConfig(frames=64 * SEQUENCE, refresh_every=50)
    return settings
