"""What a world asks of a task."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vista_sim.dynamics.state import Table


class Task(Protocol):
    """What is asked of cars: named reward terms and named endings."""

    @property
    def terms(self) -> Sequence[str]:
        """Names of the reward terms."""

    @property
    def ending_names(self) -> Sequence[str | None]:
        """By their codes; code 0 is None: the episode goes on."""

    @property
    def truncations(self) -> frozenset[str]:
        """Endings that are no failure of the car: the episode is cut, not lost."""

    def judge(
        self,
        table: Table,
        rows: NDArray[np.int64],
        dt: float,
        terms: NDArray[np.float64],
        codes: NDArray[np.int64],
    ) -> None:
        """Judge the last step of some cars, once.

        Args:
            table: (n, WIDTH) of all cars, see `dynamics.state`.
            rows: (k,) which of them.
            dt: length of a step, s.
            terms: (n, K), filled with the weighted terms in the order of `terms`; their sum is
                the reward.
            codes: (n,), filled with indices into `ending_names`.
        """
