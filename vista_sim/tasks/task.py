"""What a world asks of a task, and a task of a car."""

from __future__ import annotations

from typing import Protocol, TypeVar

from vista_sim.dynamics.state import Table

CarT = TypeVar("CarT", contravariant=True)


class Task(Protocol[CarT]):
    """What is asked of a car: named reward terms and named endings."""

    @property
    def truncations(self) -> frozenset[str]:
        """Endings that are no failure of the car: the episode is cut, not lost."""

    def reward_terms(self, car: CarT) -> dict[str, float]:
        """Weighted reward terms of the car's last step; their sum is the reward."""

    def ending(self, car: CarT) -> str | None:
        """Why the car's episode is over, or None while it goes on."""


class JudgedCar(Protocol):
    """What the tasks of this package read of a car; see `vista_sim.car.Car`, which is one."""

    dt: float

    @property
    def state(self) -> Table: ...

    @property
    def steps(self) -> int: ...

    @property
    def t(self) -> float: ...

    @property
    def lateral(self) -> float: ...

    @property
    def heading_error(self) -> float: ...

    @property
    def done(self) -> bool: ...

    def road_edges(self) -> tuple[float, float]: ...
