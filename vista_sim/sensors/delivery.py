"""How images get from the cameras to a policy: some are lost, and all may be late."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from vista_sim.arguments import check_number
from vista_sim.errors import WorldError

Images = Mapping[str, NDArray[np.uint8]]
T = TypeVar("T")

_ROUNDING = 1e-9  # s


class FrameDelivery(Generic[T]):
    """Hands a policy the newest images that have arrived.

    Args:
        dropped: probability of each image after an episode's first to be lost.
        late: s from when an image is taken to when it arrives; until the first one could have
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
        self._under_way: deque[tuple[float, Images, T]] = deque()

    def reset(self) -> None:
        """Forget all images: an episode begins."""
        self._under_way.clear()

    def deliver(self, t: float, images: Images, beside: T) -> tuple[Images, T]:
        """Send images on their way.

        Args:
            t: now, when they are taken, s.
            images: by the name of their camera, taken at the same moment.
            beside: what goes with them.

        Returns:
            What a policy sees now, and what goes with it.
        """
        lost = self._dropped > 0 and self._rng.random() < self._dropped
        if not (lost and self._under_way):
            self._under_way.append((t, images, beside))
        while len(self._under_way) > 1 and self._under_way[1][0] + self._late <= t + _ROUNDING:
            self._under_way.popleft()
        _, seen, with_it = self._under_way[0]
        return seen, with_it
