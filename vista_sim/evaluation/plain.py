"""Numbers as JSON has them."""

from __future__ import annotations

import math


def or_null(value: float) -> float | None:
    """A number, or None where it is not known: NaN is not JSON."""
    return None if math.isnan(value) else value
