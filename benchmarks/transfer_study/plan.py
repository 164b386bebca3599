"""What the study does, as data: roads, trainings, policies that are judged, and the test.

To add a way of learning, add a line to `TRAININGS`; to add a policy whose verdicts are
compared, one to `CANDIDATES`.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Literal

from transfer_study.degradations import Degradation
from vista_sim.errors import VistaError
from vista_sim.proving_ground.record import Recording
from vista_sim.scenarios.places import RecoveryTest

Views = Literal["synthesized", "rendered"]

# What things took on one core of a busy two-core machine, s: for the estimate alone.
RECORDED_FRAME, BAKED_FRAME = 0.15, 0.1
RENDERED_STEP, SYNTHESIZED_STEP = 0.04, 0.008
STEPS_PER_START = 28  # of a recovery test, on average


@dataclass(frozen=True)
class Training:
    """One way of training a policy.

    Args:
        name: in tables and folders.
        arguments: of `vista-train`; traces, folder and seed are added.
        seeds: each gives a policy.
        deployed: whether its policies stand in the table of deployments.
        minutes: that one training takes, about.
    """

    name: str
    arguments: tuple[str, ...]
    seeds: tuple[int, ...] = (0,)
    deployed: bool = False
    minutes: float = 3.0


@dataclass(frozen=True)
class Candidate:
    """A policy that is judged: a trained one, degraded or not."""

    training: str
    seed: int = 0
    degradation: Degradation = field(default_factory=Degradation)

    @property
    def policy(self) -> str:
        """Name of the trained policy, and of its folder."""
        return policy_name(self.training, self.seed)

    @property
    def name(self) -> str:
        how = self.degradation.name
        return f"{self.policy}, {how}" if how else self.policy


@dataclass(frozen=True)
class Plan:
    """The whole study.

    Args:
        learned: worlds that policies learn from, by views synthesized from their traces.
        unseen: worlds that policies are judged in.
        trainings: policies to train.
        candidates: policies whose verdicts are compared.
        test: which starts are tried in each unseen world.
        seed: draws the places of the test and the noise of degraded policies.
    """

    learned: tuple[Recording, ...]
    unseen: tuple[Recording, ...]
    trainings: tuple[Training, ...]
    candidates: tuple[Candidate, ...]
    test: RecoveryTest
    seed: int = 0

    def __post_init__(self) -> None:
        known = {policy_name(t.name, s) for t in self.trainings for s in t.seeds}
        for candidate in self.candidates:
            if candidate.policy not in known:
                raise ValueError(f"candidate {candidate.name!r} is not among what is trained")
        names = [c.name for c in self.candidates]
        if len(set(names)) < len(names):
            raise ValueError("two candidates are the same; each must have a name of its own")

    @property
    def deployed(self) -> tuple[Candidate, ...]:
        """Policies of the table of deployments."""
        return tuple(Candidate(t.name, s) for t in self.trainings if t.deployed for s in t.seeds)

    @property
    def starts(self) -> int:
        """How many starts are tried in a world that has every kind of road."""
        test = self.test
        return 3 * test.starts_per_kind * len(test.laterals) * len(test.headings)

    def only(self, names: tuple[str, ...]) -> Plan:
        """The part of the study that needs these trainings alone. Raises VistaError."""
        known = [t.name for t in self.trainings]
        for name in names:
            if name not in known:
                raise VistaError(f"no training is called {name!r}; known: {', '.join(known)}")
        return dataclasses.replace(
            self,
            trainings=tuple(t for t in self.trainings if t.name in names),
            candidates=tuple(c for c in self.candidates if c.training in names),
        )

    def trial_seconds(self, recording: Recording, views: Views) -> float:
        """About how long one policy is judged in one world, s of one core."""
        steps = 10.0 * recording.seconds + STEPS_PER_START * self.starts
        return steps * (RENDERED_STEP if views == "rendered" else SYNTHESIZED_STEP)


def policy_name(training: str, seed: int) -> str:
    return f"{training}-seed{seed}"


def world_name(recording: Recording) -> str:
    """Name of the trace of a recording."""
    return f"world-{recording.seed}"


TRAININGS = (
    Training("bc", ("bc",), seeds=(0, 1, 2), deployed=True),
    Training(
        "bc-shifted",
        ("bc", "--shift.lateral", "-1", "1", "--shift.heading", "-0.1", "0.1"),
        seeds=(0, 1),
        deployed=True,
    ),
    Training("guided", ("guided",), seeds=(0, 1, 2), deployed=True),
    Training("dagger", ("dagger",), seeds=(0, 1), deployed=True),
    Training("guided-lstm", ("guided", "--architecture", "lstm"), deployed=True, minutes=10.0),
    Training(
        "guided-attention", ("guided", "--architecture", "attention"), deployed=True, minutes=10.0
    ),
    Training("reinforce", ("reinforce", "--iterations", "60"), deployed=True, minutes=4.0),
    Training("ppo", ("ppo", "--iterations", "40"), deployed=True, minutes=6.0),
    # Stopped early, and taught from little road.
    Training("guided-60-steps", ("guided", "--steps", "60"), minutes=0.7),
    Training("guided-120-steps", ("guided", "--steps", "120"), minutes=0.8),
    Training("guided-4-s", ("guided", "--steps", "600", "--section", "0:4"), minutes=2.0),
    Training("bc-10-s", ("bc", "--steps", "600", "--section", "0:10"), minutes=2.0),
)

# How strong each degradation is was chosen by a pilot in synthesized views, so that recovery
# spreads from nothing to all, and many policies recover in 20 to 90 % of the tests.
CANDIDATES = (
    *(Candidate(t.name, seed) for t in TRAININGS for seed in t.seeds),
    Candidate("guided", 0, Degradation(noise=0.01)),
    Candidate("guided", 0, Degradation(gain=0.4)),
    Candidate("guided", 0, Degradation(bias=0.008)),
    Candidate("guided", 0, Degradation(noise=0.03)),
    Candidate("guided", 0, Degradation(delay=6)),
    Candidate("bc", 0, Degradation(delay=3)),
)

FULL = Plan(
    learned=tuple(Recording(seed=seed, seconds=30.0) for seed in (301, 302, 303, 304)),
    unseen=tuple(Recording(seed=seed, seconds=45.0) for seed in (311, 312)),
    trainings=TRAININGS,
    candidates=CANDIDATES,
    test=RecoveryTest(
        laterals=(-1.5, -0.75, 0.75, 1.5),
        headings=tuple(math.radians(d) for d in (-10, 0, 10)),
        starts_per_kind=1,
    ),
)

_TAUGHT = ("--steps", "3", "--batch-size", "8", "--evaluate-every", "3")


def _small(seed: int) -> Recording:
    # As long as a road of 100 m allows: a longer one takes a scene twice as large.
    return Recording(seed=seed, seconds=3.5, size=(66, 100), rate=4.0, supersample=1)


QUICK = Plan(
    learned=(_small(301),),
    unseen=(_small(311),),
    trainings=(Training("bc", ("bc", *_TAUGHT), deployed=True, minutes=0.1),),
    candidates=(
        Candidate("bc"),
        Candidate("bc", 0, Degradation(bias=0.05)),
        Candidate("bc", 0, Degradation(noise=0.1, delay=2, yaw=5.0, fov=0.8)),
    ),
    test=RecoveryTest((0.1,), (0.0,), starts_per_kind=1, within_time=1.5, held=0.5),
)
