"""Units that files may give a number in, beside SI."""

from __future__ import annotations

import math
from collections.abc import Mapping

#: By the SI unit of the same kind: units with their size in it.
UNITS: Mapping[str, Mapping[str, float]] = {
    "m": {"m": 1.0, "cm": 0.01, "km": 1000.0},
    "s": {"s": 1.0, "ms": 0.001, "min": 60.0},
    "rad": {"rad": 1.0, "deg": math.pi / 180},
    "m/s": {"m/s": 1.0, "km/h": 1 / 3.6, "mph": 1609.344 / 3600},
    "m/s²": {"m/s²": 1.0, "m/s^2": 1.0, "m/s2": 1.0, "g": 9.80665},
    "rad/s": {"rad/s": 1.0, "deg/s": math.pi / 180},
    "1/m": {"1/m": 1.0},
}
