"""What a world asks of a task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from vista_sim.world import Car


class Task(Protocol):
    """What is asked of a car: named reward terms and named endings."""

    @property
    def truncations(self) -> frozenset[str]:
        """Endings that are no failure of the car: the episode is cut, not lost."""

    def reward_terms(self, car: Car) -> dict[str, float]:
        """Weighted reward terms of the car's last step; their sum is the reward."""

    def ending(self, car: Car) -> str | None:
        """Why the car's episode is over, or None while it goes on."""
