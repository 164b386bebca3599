"""From traces to a policy folder by reward: iterations, evaluation, checkpoints, curves.

Everything drawn by chance in iteration k is drawn from (seed, k), all cars start anew in it,
and nothing else is carried on but weights and optimizer: so a training that was killed and
resumed ends with the weights of one that was not (CPU, same number of threads).
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any, Protocol, TypeVar

import torch
from torch import nn

from vista_sim.envs.vector import DrivingVectorEnv
from vista_sim.errors import PolicyError
from vista_sim.traces.trace import Trace

from ..checkpoint import Progress, has_checkpoint, load_checkpoint, save_checkpoint
from ..folders import CHECKPOINTS, claimed, prepare_folder
from ..imitation.drives import parse_span
from ..networks.inputs import random_inputs
from ..networks.network import DrivingNetwork
from ..networks.registry import build_network
from ..policy import NetworkPolicy, PolicySpec, save_policy
from ..recipe import decided_by
from ..training.errors import TrainingError
from ..training.loop import all_finite
from .curves import Curves
from .practice import Meter, make_practice
from .settings import Reinforcement, for_reward

#: Fields of a recipe that do not decide what an iteration does.
NOT_DECISIVE = (
    *("traces", "out", "resume", "overwrite", "json", "minutes", "checkpoint_every"),
    *("bake", "unbaked"),
)
#: Metrics that are drawn as curves.
SHOWN = ("crashes", "mean_cross_track_error_m", "max_cross_track_error_m")
#: Largest answer, in curvature limits, that can be learned from: beyond it, float32 rounds the
#: explored deviation of about a tenth away, so that every gradient is zero though all is finite.
LARGEST_ANSWER = 1e6
REWARD_SHARE = 0.1  # of a mean reward in the loss by which policies are chosen

Report = Callable[[int, float], None]  # iterations done, crashes in 100 s of practice


@dataclass(frozen=True)
class Iteration:
    """What an iteration came to: counts of its practice, and numbers for the curves by name."""

    meter: Meter
    numbers: Mapping[str, float]


class Learner(Protocol):
    """A way of learning from reward."""

    module: nn.Module  # everything that is learned, also what the policy does not need
    optimizer: torch.optim.Optimizer

    def iterate(self, iteration: int) -> Iteration:
        """Drive and learn once, by chance drawn from (seed, iteration) alone."""

    def policy_network(self) -> DrivingNetwork:
        """The network that drives, with the weights of now."""


@dataclass(frozen=True)
class Result:
    """How a training ended."""

    iterations: int
    steps: int  # of all cars
    minutes: float  # of this call
    best_iteration: int
    crashes: int  # of the kept policy, driving all traces without exploration
    crashes_per_km: float
    mean_cross_track_error: float  # m


AnyRecipe = TypeVar("AnyRecipe", bound=Reinforcement)


def learn_from_reward(
    recipe: AnyRecipe,
    method: str,
    make_learner: Callable[[AnyRecipe, DrivingVectorEnv], Learner],
    report: Report | None = None,
) -> Result:
    """Run a recipe and leave a policy folder at `recipe.out`.

    Args:
        recipe: what is learned, and where.
        method: its name.
        make_learner: builds what learns, with weights drawn by torch's global generator.
        report: called after each iteration.

    Raises:
        TraceError, WorldError: a trace cannot be used, or lacks the camera.
        PolicyError: `out` holds a training and neither --resume nor --overwrite is given, or
            its checkpoint does not fit the recipe.
        TrainingError: a loss, weight or answer is not finite, or an answer is too large to be
            learned from; `out` keeps the best policy and the last checkpoint.
    """
    if os.environ.get("WORLD_SIZE", "1") != "1":
        raise TrainingError(f"{method}: is learned by one process; start it without torchrun")
    with claimed(recipe.out):
        prepare_folder(recipe.out, recipe.resume, recipe.overwrite)
        network = for_reward(recipe.network)
        recipe = dataclasses.replace(recipe, network=network)
        traces = [Trace.open(path) for path in recipe.traces]
        span = parse_span(recipe.section)
        sensors = recipe.policy_sensors(traces)
        description = describe(recipe, method, traces)
        spec = PolicySpec(sensors, network, recipe.practice.scales, method, description)
        envs = make_practice(traces, sensors, recipe.practice, recipe.camera, span)
        try:
            torch.set_num_threads(recipe.threads)
            torch.manual_seed(recipe.seed)
            learner = make_learner(recipe, envs)
            examine = Examination(spec, traces, recipe.camera, span)
            return Training(recipe, learner, spec, examine, description).run(report)
        finally:
            envs.close()


def describe(recipe: Reinforcement, method: str, traces: Sequence[Trace]) -> dict[str, Any]:
    """Everything that decides the weights, as JSON."""
    values = recipe.settings()
    for name in NOT_DECISIVE:
        del values[name]
    del values["practice"]["workers"]
    values |= {
        "method": method,
        "traces": [trace.name for trace in traces],
        **decided_by(traces),
    }
    decided: dict[str, Any] = json.loads(json.dumps(values))
    return decided


@dataclass(frozen=True)
class Examination:
    """A drive over all traces without exploration, judged as `vista-sim evaluate` judges."""

    spec: PolicySpec
    traces: Sequence[Trace]
    camera: str | None  # recorded
    section: tuple[float, float] | None

    def __call__(self, network: DrivingNetwork) -> Mapping[str, float]:
        """Metrics by name."""
        from vista_sim.evaluation.evaluate import evaluate

        copy = build_network(self.spec.network)
        copy.load_state_dict(network.state_dict())
        return evaluate(
            NetworkPolicy(self.spec, copy),
            self.traces,
            recovery=False,
            video=False,
            section=self.section,
            recorded_camera=self.camera,
        ).metrics


class Training:
    """Iterations of a learner, with what is kept of them in `recipe.out`."""

    def __init__(
        self,
        recipe: Reinforcement,
        learner: Learner,
        spec: PolicySpec,
        examine: Examination,
        description: Mapping[str, Any],
    ) -> None:
        self._recipe = recipe
        self._learner = learner
        self._spec = spec
        self._examine = examine
        self._description = description
        self._checkpoints = recipe.out / CHECKPOINTS
        self._progress = Progress()
        if recipe.resume and has_checkpoint(self._checkpoints):
            self._progress = load_checkpoint(
                self._checkpoints, learner.module, learner.optimizer, description
            )

    def run(self, report: Report | None) -> Result:
        """Go on to the last iteration, or until time is up."""
        recipe, progress, started = self._recipe, self._progress, monotonic()
        recipe.out.mkdir(parents=True, exist_ok=True)
        deadline = math.inf if recipe.minutes is None else started + 60.0 * recipe.minutes
        last = progress.step >= recipe.iterations
        with Curves(recipe.out, progress.step) as curves:
            while not last:
                iteration = self._learner.iterate(progress.step)
                progress.step += 1
                self._check(iteration)
                last = progress.step >= recipe.iterations or monotonic() >= deadline
                curves.add(progress.step, self._steps, _numbers(iteration))
                if last or progress.step % recipe.evaluate_every == 0:
                    reward = curves.mean("practice/reward", recipe.evaluate_every)
                    curves.add(progress.step, self._steps, self._evaluate(reward))
                if last or progress.step % recipe.checkpoint_every == 0:
                    self._save()
                if report is not None:
                    report(progress.step, iteration.meter.crash_rate)
        return self._result((monotonic() - started) / 60.0)

    @property
    def _steps(self) -> int:
        practice = self._recipe.practice
        return self._progress.step * practice.num_envs * practice.steps

    def _evaluate(self, reward: float) -> dict[str, float]:
        """Judge the policy, and keep it if it has the fewest crashes; of as many, if it got the
        most reward a step in practice.
        """
        progress, network = self._progress, self._learner.policy_network()
        try:
            metrics = self._examine(network)
        except PolicyError as error:
            raise self._broken(str(error)) from None
        loss = metrics["crashes"] - REWARD_SHARE * reward
        progress.waited += 1
        if loss < progress.best_loss:
            weights = self._learner.module.state_dict()
            progress.best = {name: tensor.clone() for name, tensor in weights.items()}
            progress.best_loss, progress.best_step, progress.waited = loss, progress.step, 0
            save_policy(self._recipe.out, self._spec, network.state_dict())
        return {f"evaluation/{name}": metrics[name] for name in SHOWN}

    def _save(self) -> None:
        save_checkpoint(
            self._checkpoints,
            self._learner.module,
            self._learner.optimizer,
            self._progress,
            self._description,
        )

    def _check(self, iteration: Iteration) -> None:
        """Stop before anything is kept that is not finite, or can learn nothing any more."""
        wrong = [name for name, value in iteration.numbers.items() if not math.isfinite(value)]
        if wrong:
            what = f"{wrong[0]} is {iteration.numbers[wrong[0]]}"
        elif not all_finite(self._learner.module):
            what = "weights are not finite"
        elif not (largest := largest_answer(self._learner.policy_network())) <= LARGEST_ANSWER:
            what = f"the network answers {largest:.1e} times the curvature limit"
        else:
            return
        raise self._broken(what)

    def _broken(self, what: str) -> TrainingError:
        step = self._progress.best_step
        kept = f"the policy of iteration {step} is kept" if step else "no policy was kept"
        return TrainingError(
            f"{self._recipe.out}: {what} in iteration {self._progress.step}; {kept}; "
            "try a lower --learning-rate"
        )

    def _result(self, minutes: float) -> Result:
        progress = self._progress
        assert progress.best is not None
        self._learner.module.load_state_dict(progress.best)
        best = self._learner.policy_network()
        metrics = self._examine(best)
        save_policy(self._recipe.out, self._spec, best.state_dict())
        return Result(
            iterations=progress.step,
            steps=self._steps,
            minutes=minutes,
            best_iteration=progress.best_step,
            crashes=int(metrics["crashes"]),
            crashes_per_km=metrics["crashes_per_km"],
            mean_cross_track_error=metrics["mean_cross_track_error_m"],
        )


@torch.inference_mode()
def largest_answer(network: DrivingNetwork) -> float:
    """Size of the largest curvature, in curvature limits, that a network answers to noise; NaN
    where an answer is not finite.
    """
    frames = 4
    seen = random_inputs(network.config, (frames,), torch.Generator().manual_seed(0))
    answers, _ = network.step(seen, network.initial_state(frames))
    return float(answers.abs().max()) if torch.isfinite(answers).all() else math.nan


def _numbers(iteration: Iteration) -> dict[str, float]:
    return {
        "practice/reward": iteration.meter.mean_reward,
        "practice/crashes_per_100s": iteration.meter.crash_rate,
        **iteration.numbers,
    }
