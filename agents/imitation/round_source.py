"""Batches from rounds of gathered frames: which rounds a step draws from, and their windows."""

from __future__ import annotations

import numpy as np

from ..networks.network import DrivingNetwork
from .frames import Batch, Frames
from .rounds import Rounds
from .sampling import Sampler
from .setup import Setup


class RoundSource:
    """Windows of some rounds in turn; what came before them is dropped.

    Args:
        setup: what is learned from, and for.
        rounds: files of the rounds.
        held_out: frames that are validated on.
    """

    def __init__(self, setup: Setup, rounds: Rounds, held_out: Frames) -> None:
        self._setup, self._rounds = setup, rounds
        self._validation = setup.windows.of_all(held_out)
        self._sampler: tuple[range, Sampler] | None = None

    def rounds_at(self, step: int) -> range:
        """Numbers of the rounds that a step draws from; they never go back."""
        raise NotImplementedError

    def prepare(self, step: int, network: DrivingNetwork) -> None:
        """Begin to gather what is next, with the network as it stands before a step."""
        raise NotImplementedError

    def round(self, number: int) -> Frames:
        """The frames of a round; waits for them."""
        return self._rounds.get(number)

    def batch(self, step: int, size: int) -> Batch:
        numbers = self.rounds_at(step)
        if self._sampler is None or self._sampler[0] != numbers:
            for old in range(numbers.start):
                self._rounds.drop(old)
            parts = [self.round(number) for number in numbers]
            self._sampler = numbers, Sampler(self._setup.windows, parts)
        rng = np.random.default_rng([self._setup.seed, 1, step])
        return self._sampler[1].batch(size, rng)

    def validation(self) -> Batch:
        return self._validation

    def close(self) -> None:
        self._rounds.close()
