"""What lies between what is asked of a car and what it does: a delay, and who holds the speed."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

from vista_sim.arguments import check_number
from vista_sim.dynamics import state as c
from vista_sim.dynamics.state import Table
from vista_sim.errors import WorldError

LONGEST_DELAY = 60.0  # s; every step of it is kept
_ROUNDING = 1e-9  # of a step


@dataclass(frozen=True)
class Controls:
    """How a car follows its actions.

    Args:
        delay: s from an action to when the car begins to follow it. Until the first one has
            come through, the tires stay as they stand and the speed is as recorded.
        speed_factor: of the recorded speed, where that is driven.
        speed_limit: m/s, that the car does not exceed by its own doing.
        free_speed: whether an action's acceleration counts; else the speed is as recorded.

    Raises:
        WorldError: a value that cannot be.
    """

    delay: float = 0.0
    speed_factor: float = 1.0
    speed_limit: float = math.inf
    free_speed: bool = True

    def __post_init__(self) -> None:
        for name in ("delay", "speed_factor", "speed_limit"):
            check_number(name, getattr(self, name))
        if not 0 <= self.delay <= LONGEST_DELAY:
            raise WorldError(
                f"delay is {self.delay} s; it must be finite and not negative, at most "
                f"{LONGEST_DELAY:g} s"
            )
        if not (math.isfinite(self.speed_factor) and self.speed_factor > 0):
            raise WorldError(f"speed_factor is {self.speed_factor}; it must be positive")
        if not self.speed_limit > 0:
            raise WorldError(f"speed_limit is {self.speed_limit} m/s; it must be positive")


class ActuationDelay:
    """A pure dead time (delay line) on the way from the actions to one car.

    An action that is asked for at the start of a step acts from `delay` seconds later on. Where
    that falls into a step, the car follows the older action up to that moment and the newer
    one from then on, so that any delay is exact, not only multiples of a step.

    Args:
        delay: s.
        dt: length of a step, s.
    """

    def __init__(self, delay: float, dt: float) -> None:
        self._whole = math.floor(delay / dt + _ROUNDING)
        within = delay - self._whole * dt
        self._held = within if within > _ROUNDING * dt else 0.0
        self._sent: deque[tuple[float, float]] = deque()

    def reset(self, state: Table) -> None:
        """A car (its row (1, WIDTH) of the table) was put at a start."""
        self._sent.clear()
        self._sent.extend([(float(state[0, c.CURVATURE]), math.nan)] * (self._whole + 1))

    def send(self, state: Table) -> None:
        """Send the row's TARGET_* on its way, and write what arrives in the coming step."""
        targets = state[0, c.TARGET_CURVATURE], state[0, c.TARGET_ACCELERATION]
        self._sent.append((float(targets[0]), float(targets[1])))
        state[0, c.HELD] = self._held
        state[0, c.HELD_CURVATURE], state[0, c.HELD_ACCELERATION] = self._sent.popleft()
        state[0, c.LATER_CURVATURE], state[0, c.LATER_ACCELERATION] = self._sent[0]
