"""DAgger: the policy drives, the expert says what would have been right, all data are kept.

Ross, Gordon and Bagnell, "A Reduction of Imitation Learning and Structured Prediction to
No-Regret Online Learning" (2011), algorithm 3.1. Round i is driven by a mixture of the expert
(share beta_i) and the policy as it stands, and joins what was gathered before.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save

from vista_sim.atomic import write_whole
from vista_sim.errors import PolicyError
from vista_sim.files import read_bytes

from ..actions import in_units
from ..networks.network import DrivingNetwork
from ..networks.registry import build_network
from ..threads import one_thread
from ..weights import check_fit, largest_file, tensors_of
from .frames import Frames
from .gather import Array, Gatherer
from .guided import MOST_CARS, VALIDATION, GuidedConfig, GuidedMaker, Places, StartConfig
from .round_source import RoundSource
from .rounds import Rounds
from .setup import Setup

_BYTES = 2**20


@dataclass(frozen=True)
class DaggerConfig:
    """How data are gathered, mixed and kept."""

    starts: StartConfig = field(default_factory=lambda: StartConfig(lateral=1.5, near=0.5))
    """Where the gathering cars start."""
    cars: int = 32
    """Cars that gather at once."""
    frames: int = 2048
    """Frames in a round."""
    every: int = 100
    """Gradient steps between two rounds."""
    beta: float = 0.6
    """Share of steps that the expert drives in round i: this to the power of i."""
    keep_mib: int = 1024
    """Aggregated data on disk and in memory, MiB at most; the oldest rounds are dropped."""

    def __post_init__(self) -> None:
        for name in ("cars", "frames", "keep_mib"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if self.cars > MOST_CARS:
            raise ValueError(f"cars is {self.cars}; at most {MOST_CARS} can drive at once")
        if self.every < 2:
            raise ValueError(f"every is {self.every}; it must be at least 2 steps")
        if not 0 <= self.beta <= 1:
            raise ValueError(f"beta is {self.beta}; it must be a share from 0 to 1")


class DaggerMaker:
    """Makes rounds of DAgger; each is drawn from (seed, number) and the policy's weights."""

    def __init__(self, setup: Setup, config: DaggerConfig) -> None:
        self._setup, self._config = setup, config
        self._drives = setup.open()
        self._gatherer = Gatherer(setup, self._drives, config.cars)
        self._network = build_network(setup.network)

    def make(self, number: int, weights: Path | None = None) -> Frames:
        rng = np.random.default_rng([self._setup.seed, 4, number])
        if weights is not None:
            wanted = self._network.state_dict()
            data = read_bytes(weights, PolicyError, largest_file(wanted))
            tensors = tensors_of(data, weights, PolicyError)
            check_fit(tensors, wanted, weights, "this recipe", PolicyError)
            self._network.load_state_dict(tensors)
        share = 1.0 if weights is None else self._config.beta**number
        driver = Mixture(self._setup, self._network.eval(), self._config.cars, share, rng)
        roads = [drive.train for drive in self._drives]
        starts = self._config.starts.draw(Places(self._drives, roads), rng)
        steps = max(1, self._config.frames // self._config.cars)
        return self._gatherer.gather(starts, roads, steps, driver)


class Mixture:
    """The expert and the policy take turns, step by step and car by car."""

    def __init__(
        self,
        setup: Setup,
        network: DrivingNetwork,
        cars: int,
        share: float,
        rng: np.random.Generator,
    ) -> None:
        self._network, self._share, self._rng = network, share, rng
        self._head, self._scales = setup.network.head, setup.scales
        self._state = network.initial_state(cars)

    def begin(self, rows: NDArray[np.int64]) -> None:
        for memory in self._state.values():
            memory[torch.from_numpy(rows)] = 0.0

    def drive(self, observation: dict[str, Array], labels: Array, speed: Array) -> Array:
        if self._share == 1.0:
            return labels
        inputs = {name: torch.from_numpy(x) for name, x in observation.items()}
        with torch.no_grad(), one_thread():
            output, self._state = self._network.step(inputs, self._state)
            asked = in_units(output, self._head, self._scales, torch.from_numpy(speed))
        by_policy = labels.copy()
        for i, name in enumerate(("curvature", "acceleration")):
            if name in asked:
                by_policy[:, i] = asked[name].numpy()
        by_expert = self._rng.random(len(labels)) < self._share
        return np.where(by_expert[:, None], labels, by_policy)


class DaggerSource(RoundSource):
    """Windows of all rounds so far.

    Round 0 is the expert's. Round r is begun half a round ahead of the step at which it is first
    used, r x every, by the weights of that moment, so that training goes on meanwhile.
    """

    def __init__(self, setup: Setup, config: DaggerConfig, folder: Path, background: bool) -> None:
        self._config, self._folder = config, folder
        rounds = Rounds(folder, partial(DaggerMaker, setup, config), background)
        held_out = GuidedMaker(setup, GuidedConfig(starts=config.starts, cars=config.cars))
        super().__init__(setup, rounds, held_out.make(VALIDATION))
        needed = config.frames * setup.network.frame_bytes
        self._kept = max(1, config.keep_mib * _BYTES // needed)

    def rounds_at(self, step: int) -> range:
        newest = step // self._config.every
        return range(max(0, newest + 1 - self._kept), newest + 1)

    def prepare(self, step: int, network: DrivingNetwork) -> None:
        """Begin the next round, by the policy as it stands, when it is time to."""
        every = self._config.every
        self._rounds.request(0)
        number, rest = divmod(step, every)
        if rest == every // 2:
            weights = self._folder / f"behaviour-{number + 1:05d}.safetensors"
            self._folder.mkdir(parents=True, exist_ok=True)
            write_whole(weights, save(_tensors(network)))
            self._rounds.request(number + 1, weights)

    def round(self, number: int) -> Frames:
        # After a resume, the weights that a round needs were written before the checkpoint.
        weights = self._folder / f"behaviour-{number:05d}.safetensors"
        self._rounds.request(number, weights if number else None)
        return super().round(number)


def _tensors(network: DrivingNetwork) -> dict[str, torch.Tensor]:
    return {name: x.detach().cpu().contiguous() for name, x in network.state_dict().items()}
