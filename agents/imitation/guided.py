"""Guided policy learning: views from beside the path, labelled by an expert with the way back.

After Levine and Koltun, "Guided Policy Search" (2013), as Amini et al. train policies in VISTA
2.0 ("VISTA 2.0: An Open, Data-driven Simulator...", 2022, section on guided policy learning): the
car is put off the path, a privileged controller knows the way back, and the policy learns to
do the same from what a camera would see there. For networks with a memory the expert then
drives on, disturbed, and the policy learns from the sequence.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vista_sim.sensors.randomization import Randomization
from vista_sim.tasks.starts import Start

from ..networks.network import DrivingNetwork
from .drives import SplitTrace
from .frames import Frames
from .gather import Array, Gatherer
from .road import balanced_weights, places_along
from .round_source import RoundSource
from .rounds import Rounds
from .setup import Setup

MOST_CARS = 1024
VALIDATION = -1  # number of the round that is validated on


@dataclass(frozen=True)
class StartConfig:
    """Where cars are put beside the path."""

    lateral: float = 1.8
    """Largest distance from the path, m."""
    heading: float = math.radians(14)
    """Largest angle to the path, rad."""
    near: float = 0.3
    """Share of starts near the path, where a policy spends most of its time."""
    near_lateral: float = 0.3
    """Standard deviation of the distance of those, m."""
    near_heading: float = math.radians(2.5)
    """Standard deviation of their angle, rad."""
    balance: float = 0.0
    """0: a drive gives as many starts as its road is long and bent; 1: each drive as many."""

    def __post_init__(self) -> None:
        for name in ("near", "balance"):
            if not 0 <= getattr(self, name) <= 1:
                found = getattr(self, name)
                raise ValueError(f"{name} is {found}; it must be a share from 0 to 1")
        for name in ("lateral", "heading", "near_lateral", "near_heading"):
            if not 0 <= getattr(self, name) < math.inf:
                found = getattr(self, name)
                raise ValueError(f"{name} is {found}; it must be finite and not negative")

    def draw(self, places: Places, rng: np.random.Generator) -> Iterator[Start]:
        """Starts without end."""
        while True:
            place = int(rng.choice(len(places.s), p=places.weights))
            if rng.random() < self.near:
                # Within what is drawn far from the path: beyond it an episode is over at once.
                lateral, heading = (
                    float(np.clip(deviation * rng.normal(), -limit, limit))
                    for deviation, limit in (
                        (self.near_lateral, self.lateral),
                        (self.near_heading, self.heading),
                    )
                )
            else:
                lateral = self.lateral * float(rng.uniform(-1, 1))
                heading = self.heading * float(rng.uniform(-1, 1))
            yield Start(int(places.drive[place]), float(places.s[place]), lateral, heading)


@dataclass(frozen=True)
class GuidedConfig:
    """How views beside the path are made, and how many are kept."""

    starts: StartConfig = field(default_factory=StartConfig)
    speed: float = 0.15
    """Speed told to networks without a memory: that of the recording times 1 ± this."""
    noise: float = 0.02
    """Deviation of the expert's curvature by which it is disturbed along a sequence, 1/m."""
    frames: int = 1024
    """Frames in a round."""
    rounds: int = 6
    """Rounds held in memory; a new one replaces the oldest."""
    refresh_every: int = 100
    """Steps after which a round is replaced."""
    cars: int = 32
    """Cars that gather at once."""
    mount_shift: float = 0.0
    """How far the camera may be off its mount along each axis, m, drawn per start: other rigs
    carry it elsewhere."""
    mount_turn: float = 0.0
    """The same of its roll, pitch and yaw, rad."""

    def __post_init__(self) -> None:
        for name in ("frames", "rounds", "refresh_every", "cars"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if self.cars > MOST_CARS:
            raise ValueError(f"cars is {self.cars}; at most {MOST_CARS} can drive at once")
        if not 0 <= self.speed < 1:
            raise ValueError(f"speed is {self.speed}; it must be a share from 0 to below 1")
        if not (0 <= self.mount_shift <= 1 and 0 <= self.mount_turn <= 0.5):
            raise ValueError(
                f"mount_shift is {self.mount_shift} m and mount_turn {self.mount_turn} rad; they "
                "must be from 0 to 1 m and from 0 to 0.5 rad"
            )
        if not 0 <= self.noise <= 1:
            raise ValueError(f"noise is {self.noise} 1/m; it must be from 0 to 1")

    @property
    def jitters(self) -> bool:
        """Whether the camera's mount differs from start to start."""
        return self.mount_shift > 0 or self.mount_turn > 0

    def rounds_at(self, step: int) -> range:
        """Numbers of the rounds that step draws from."""
        first = step // self.refresh_every
        return range(first, first + self.rounds)


class GuidedMaker:
    """Makes rounds of guided frames; each is drawn from (seed, number) alone."""

    def __init__(self, setup: Setup, config: GuidedConfig) -> None:
        self._setup, self._config = setup, config
        self._drives = setup.open()
        self._randomized = Randomization(mount_jitter=(config.mount_shift, config.mount_turn))
        sees = any(spec.cameras for spec in setup.sensors.values())
        jitters = self._randomized if config.jitters and sees else None
        self._gatherer = Gatherer(setup, self._drives, config.cars, jitters)

    def make(self, number: int, weights: object = None) -> Frames:
        """The round of a number; VALIDATION: of held-out road."""
        rng = np.random.default_rng([self._setup.seed, 2, number + 1])
        held_out = number == VALIDATION
        roads = [d.validation if held_out else d.train for d in self._drives]
        places = Places(self._drives, roads, self._config.starts.balance)
        starts = self._config.starts.draw(places, rng)
        count, length = self._gatherer.cars, self._setup.length
        wanted = self._config.frames // 2 if held_out else self._config.frames
        groups = max(1, round(wanted / (count * length)))
        # In order of time, frames of the recording are decoded once, not once a view.
        drawn = sorted((next(starts) for _ in range(groups * count)), key=lambda x: (x.trace, x.s))
        parts = []
        jitter = rng.spawn(1)[0] if self._config.jitters else None  # the rest is as without
        for group in range(groups):
            first = iter(drawn[group * count : (group + 1) * count])
            driver = DisturbedExpert(count, self._config.noise, rng)
            factors = None
            if length == 1:
                factors = rng.uniform(1 - self._config.speed, 1 + self._config.speed, count)
            parts.append(
                self._gatherer.gather(chain(first, starts), roads, length, driver, factors, jitter)
            )
        return Frames.joined(parts)


class DisturbedExpert:
    """Does what the labels say, but for a slow disturbance of the curvature.

    The disturbance is an Ornstein-Uhlenbeck process in discrete time: it forgets a fifth a step.
    """

    def __init__(self, cars: int, noise: float, rng: np.random.Generator) -> None:
        self._noise, self._rng = noise, rng
        self._value = np.zeros(cars)

    def begin(self, rows: NDArray[np.int64]) -> None:
        self._value[rows] = self._noise * self._rng.normal(size=len(rows))

    def drive(self, observation: dict[str, Array], labels: Array, speed: Array) -> Array:
        forgotten = 0.8
        self._value *= forgotten
        self._value += (
            self._noise * math.sqrt(1 - forgotten**2) * self._rng.normal(size=len(labels))
        )
        return labels + np.stack([self._value, np.zeros(len(labels))], axis=1)


class Places:
    """Places along roads, and how likely each is drawn: bends of every curvature equally, and
    drives by their share of these, or each alike (`balance` 0 to 1).
    """

    def __init__(
        self,
        drives: Sequence[SplitTrace],
        roads: Sequence[Sequence[tuple[float, float]]],
        balance: float = 0.0,
    ) -> None:
        along = [places_along(road) for road in roads]
        self.s = np.concatenate(along)
        self.drive = np.repeat(np.arange(len(drives)), [len(road) for road in along])
        curvature = [
            d.path.curvature(float(s)) for d, road in zip(drives, along, strict=True) for s in road
        ]
        weights = balanced_weights(np.array(curvature))
        shares = np.bincount(self.drive, weights)
        weights *= shares[self.drive] ** -balance
        self.weights = weights / weights.sum()


class GuidedSource(RoundSource):
    """Windows of the rounds that are in turn; a round is replaced now and then."""

    def __init__(self, setup: Setup, config: GuidedConfig, folder: Path, background: bool) -> None:
        self._config = config
        rounds = Rounds(folder, partial(GuidedMaker, setup, config), background)
        super().__init__(setup, rounds, GuidedMaker(setup, config).make(VALIDATION))

    def rounds_at(self, step: int) -> range:
        return self._config.rounds_at(step)

    def prepare(self, step: int, network: DrivingNetwork) -> None:
        """Begin the rounds of this step and the one that comes next."""
        numbers = self.rounds_at(step)
        for number in range(numbers.start, numbers.stop + 1):
            self._rounds.request(number)
