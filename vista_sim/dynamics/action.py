"""What is asked of a car."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from vista_sim.errors import PolicyNotFiniteError
from vista_sim.files import shown


@dataclass(frozen=True)
class Action:
    """What a policy asks of the car, in physical units.

    Args:
        curvature: of the path to drive, 1/m, positive to the left.
        acceleration: m/s²; None: the speed of the recording.

    Both are kept as Python's floats; NumPy's numbers may be given, arrays and tensors may not.

    Raises:
        PolicyNotFiniteError: one of them is NaN, infinite or no number.
    """

    curvature: float
    acceleration: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "curvature", _number("curvature", self.curvature))
        if self.acceleration is not None:
            object.__setattr__(self, "acceleration", _number("acceleration", self.acceleration))


def _number(name: str, value: Any) -> float:
    """A finite number. Raises PolicyNotFiniteError: whatever else a car would do is a guess."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise PolicyNotFiniteError(f"{name} is {shown(value)}; it must be a number: float(x)")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise PolicyNotFiniteError(f"{name} is {shown(value)}; it must be finite")
    return number
