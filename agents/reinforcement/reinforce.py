"""`vista-train reinforce`: REINFORCE with sparse reward, as VISTA 1.0 learned to drive.

Williams 1992, "Simple Statistical Gradient-Following Algorithms"; Amini et al. 2020, "Learning
Robust Control Policies for End-to-End Autonomous Driving from Data-Driven Simulation". The
policy is a Gaussian over curvature; every step until a crash is rewarded by 1; no human label
is looked at.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vista_sim.envs.vector import DrivingVectorEnv

from ..networks.heads import Distribution
from ..networks.layers import check_positive
from ..networks.network import DrivingNetwork
from ..networks.registry import build_network
from .practice import Meter, practice_seed
from .settings import Reinforcement
from .trainer import Iteration, Report, Result, learn_from_reward

FRAMES = 1024  # that a piece of the gradient is made of, so that memory stays bounded
FLOOR = 0.1  # of the return of a drive without end; below, returns are not scaled up


@dataclass(frozen=True)
class Reinforce(Reinforcement):
    """REINFORCE: do more often what was followed by a long drive."""

    deviation: float = 0.2
    """Standard deviation of the explored action in the first iteration, in units of the
    curvature limit."""
    final_deviation: float = 0.1
    """The same in the last iteration; it falls linearly."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(deviation=self.deviation, final_deviation=self.final_deviation)


def learn_reinforce(recipe: Reinforce, report: Report | None = None) -> Result:
    """Run the recipe and leave a policy folder at `recipe.out`; see `learn_from_reward`."""
    return learn_from_reward(recipe, "reinforce", ReinforceLearner, report)


class ReinforceLearner:
    """Drives with a Gaussian around the network's answer, and shifts it towards what paid."""

    def __init__(self, recipe: Reinforce, envs: DrivingVectorEnv) -> None:
        self._recipe = recipe
        self.envs = envs
        self._network = build_network(recipe.network)
        self._explore(recipe.deviation)
        self.module: nn.Module = self._network
        self.optimizer: torch.optim.Optimizer = torch.optim.Adam(
            self._network.parameters(), lr=recipe.learning_rate
        )

    def policy_network(self) -> DrivingNetwork:
        return self._network

    def iterate(self, iteration: int) -> Iteration:
        recipe = self._recipe
        for group in self.optimizer.param_groups:
            group["lr"] = recipe.rate(iteration)
        change = recipe.final_deviation - recipe.deviation
        deviation = recipe.deviation + recipe.done(iteration) * change
        self._explore(deviation)
        rollout, meter = self._drive(iteration)
        weights = rollout.weights(recipe.gamma)
        loss, norm = self._learn(rollout, weights)
        return Iteration(
            meter, {"loss/policy": loss, "gradient_norm": norm, "deviation": deviation}
        )

    def _explore(self, deviation: float) -> None:
        """Fix the head's deviation to one number, whatever is seen."""
        output = self._network.head.output
        with torch.no_grad():
            output.weight[1:] = 0.0
            output.bias[1:] = math.log(deviation)

    @torch.inference_mode()
    def _drive(self, iteration: int) -> tuple[Rollout, Meter]:
        network, meter = self._network.eval(), Meter()
        generator = torch.Generator().manual_seed(practice_seed(self._recipe.seed, iteration, 1))
        seen, _ = self.envs.reset(seed=practice_seed(self._recipe.seed, iteration))
        fresh = network.initial_state(self.envs.num_envs)
        state = fresh
        names = network.config.inputs
        frames: dict[str, list[NDArray[np.generic]]] = {name: [] for name in names}
        actions, rewards, crashed, over = [], [], [], []
        for _ in range(self._recipe.practice.steps):
            inputs = {}
            for name in names:
                frames[name].append(seen[name][:, 0] if name == "speed" else seen[name])
                inputs[name] = torch.from_numpy(frames[name][-1])[:, None]
            parameters, state = network(inputs, None, state)
            drawn = Distribution.of(parameters[:, 0], network.config.head).sample(generator)
            seen, reward, terminated, truncated, _ = self.envs.step(drawn.numpy())
            ended = terminated | truncated
            state = {
                name: torch.where(
                    torch.from_numpy(ended).view(-1, *[1] * (kept.dim() - 1)), fresh[name], kept
                )
                for name, kept in state.items()
            }
            meter.count(reward, terminated)
            actions.append(drawn.numpy())
            rewards.append(reward)
            crashed.append(terminated)
            over.append(ended)
        seen_by_all = {name: np.stack(values, axis=1) for name, values in frames.items()}
        columns = (np.stack(x, axis=1) for x in (actions, rewards, crashed, over))
        return Rollout(seen_by_all, *columns), meter

    def _learn(self, rollout: Rollout, weights: NDArray[np.float32]) -> tuple[float, float]:
        """One step along the policy gradient; returns the loss and the gradient's norm."""
        network, head = self._network.train(), self._network.config.head
        self.optimizer.zero_grad(set_to_none=True)
        judged = max(int(np.count_nonzero(~np.isnan(weights))), 1)
        total = 0.0
        drives = rollout.drives(split=network.memory is not None)
        for piece in _pieces(drives, FRAMES):
            inputs, mask = rollout.sequences(piece)
            parameters, _ = network(inputs, None if mask.all() else mask)
            answers = _padded(rollout.actions, piece)
            weight = torch.nan_to_num(_padded(weights, piece)) * mask
            log_probability = Distribution.of(parameters, head).log_probability(answers)
            loss = -(torch.where(mask, log_probability, 0.0) * weight).sum() / judged
            loss.backward()  # type: ignore[no-untyped-call]
            total += float(loss.detach())
        for part in (network.head.output.weight, network.head.output.bias):
            if part.grad is not None:
                part.grad[1:] = 0.0  # the deviation follows its schedule
        norm = float(nn.utils.clip_grad_norm_(network.parameters(), self._recipe.clip))
        if math.isfinite(total) and math.isfinite(norm):
            self.optimizer.step()
        return total + 0.0 * norm, norm


Drive = tuple[int, int, int]  # car, first step, step after the last


@dataclass(frozen=True)
class Rollout:
    """What n cars saw, did and got in T steps."""

    inputs: dict[str, NDArray[np.generic]]  # (n, T, ...)
    actions: NDArray[np.float32]  # (n, T, 1)
    rewards: NDArray[np.float64]  # (n, T)
    crashed: NDArray[np.bool_]  # (n, T)
    over: NDArray[np.bool_]  # (n, T), crashed or cut

    def returns(self, gamma: float) -> NDArray[np.float64]:
        """Discounted sum (n, T) of the rewards from each step on; NaN where it is not known.

        A drive that was cut short, by the end of the road or of the iteration, is taken to go
        on as steps without a crash do on average. That is known too little in the last
        1 / (1 - gamma) steps of an iteration.
        """
        usual = self.rewards[~self.crashed]
        forever = float(usual.mean() if usual.size else 0.0) / (1.0 - gamma)
        count, steps = self.rewards.shape
        result = np.empty((count, steps))
        later = np.full(count, forever)
        known = np.zeros(count, dtype=np.bool_)
        tail = steps - math.ceil(1.0 / (1.0 - gamma))
        for t in range(steps - 1, -1, -1):
            later = np.where(self.over[:, t], forever, later)
            later = np.where(self.crashed[:, t], 0.0, later)
            later = self.rewards[:, t] + gamma * later
            known |= self.over[:, t] | (t < tail)
            result[:, t] = np.where(known, later, np.nan)
        return result

    def weights(self, gamma: float) -> NDArray[np.float32]:
        """Returns (n, T), normalized to zero mean and unit deviation; NaN where not known."""
        returns = self.returns(gamma)
        known = returns[~np.isnan(returns)]
        if known.size == 0:
            return np.full(returns.shape, np.nan, dtype=np.float32)
        # Where hardly any drive fails, the few that do must not be blown up.
        least = FLOOR / (1.0 - gamma)
        normal = (returns - known.mean()) / max(float(known.std()), least)
        return normal.astype(np.float32)

    def drives(self, split: bool) -> list[Drive]:
        """Each car's steps, in one piece or, with `split`, cut where a drive was over."""
        count, steps = self.over.shape
        found: list[Drive] = []
        for car in range(count):
            ends = (np.flatnonzero(self.over[car]) + 1).tolist() if split else []
            cuts = [0, *(e for e in ends if e < steps), steps]
            found += [(car, a, b) for a, b in pairwise(cuts)]
        return found

    def sequences(self, drives: Sequence[Drive]) -> tuple[dict[str, Tensor], Tensor]:
        """Inputs (k, L, ...) of k drives, zero after their end, and the mask (k, L)."""
        inputs = {name: _padded(values, drives) for name, values in self.inputs.items()}
        lengths = torch.tensor([stop - start for _, start, stop in drives])
        return inputs, torch.arange(int(lengths.max()))[None] < lengths[:, None]


def _padded(values: NDArray[np.generic], drives: Sequence[Drive]) -> Tensor:
    """The steps of k drives, (k, L, ...), of (n, T, ...); zero after their end."""
    length = max(stop - start for _, start, stop in drives)
    result = np.zeros((len(drives), length, *values.shape[2:]), dtype=values.dtype)
    for row, (car, start, stop) in enumerate(drives):
        result[row, : stop - start] = values[car, start:stop]
    return torch.from_numpy(result)


def _pieces(drives: Sequence[Drive], frames: int) -> Iterator[list[Drive]]:
    """Groups of drives of similar length, each of about so many frames with its padding."""
    piece: list[Drive] = []
    for drive in sorted(drives, key=lambda d: (d[2] - d[1], d)):
        if piece and (len(piece) + 1) * (drive[2] - drive[1]) > frames:
            yield piece
            piece = []
        piece.append(drive)
    if piece:
        yield piece
