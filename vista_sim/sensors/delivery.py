"""How readings get from the sensors to a policy: some are lost, and all may be late."""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

import numpy as np

from vista_sim.arguments import check_number
from vista_sim.errors import WorldError

T = TypeVar("T")

_ROUNDING = 1e-9  # s


class FrameDelivery(Generic[T]):
    """Hands a policy the newest reading that has arrived.

    Args:
        dropped: probability of each one after an episode's first to be lost.
        late: s from when one is taken to when it arrives; until the first one could have
            arrived, that one is seen nonetheless.
        rng: draws which are lost.

    Raises:
        WorldError: a value that cannot be.
    """

    def __init__(self, dropped: float, late: float, rng: np.random.Generator) -> None:
        if not 0 <= check_number("dropped", dropped) < 1:
            raise WorldError(f"dropped is {dropped}; it must be from 0 up to less than 1")
        if not 0 <= check_number("late", late, "s") < float("inf"):
            raise WorldError(f"late is {late} s; it must be finite and not negative")
        self._dropped, self._late, self._rng = dropped, late, rng
        self._under_way: deque[tuple[float, T]] = deque()

    def reset(self) -> None:
        """Forget all readings: an episode begins."""
        self._under_way.clear()

    def deliver(self, t: float, reading: T) -> T:
        """Send a reading on its way.

        Args:
            t: now, when it is taken, s.
            reading: whatever is delivered together.

        Returns:
            What a policy sees now.
        """
        lost = self._dropped > 0 and self._rng.random() < self._dropped
        if not (lost and self._under_way):
            self._under_way.append((t, reading))
        while len(self._under_way) > 1 and self._under_way[1][0] + self._late <= t + _ROUNDING:
            self._under_way.popleft()
        return self._under_way[0][1]
