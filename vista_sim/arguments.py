"""Checks of what a caller gives: one line names the argument, what it is and what it must be."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from vista_sim.errors import WorldError
from vista_sim.files import shown

LARGEST_SIDE = 16384  # px of an image


def check_number(name: str, value: Any, unit: str = "") -> float:
    """A number, which may be infinite. Raises WorldError: nothing else is one, nor is NaN."""
    number = math.nan
    if isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf if value > 0 else -math.inf
    if math.isnan(number):
        raise WorldError(f"{name} is {shown(value)}; it must be a number{unit and f' ({unit})'}")
    return number


def check_flag(name: str, value: Any) -> bool:
    """Either True or False. Raises WorldError: "no" would count as true."""
    if not isinstance(value, bool | np.bool_):
        raise WorldError(f"{name} is {shown(value)}; it must be True or False")
    return bool(value)


def check_count(name: str, value: Any, least: int = 1) -> int:
    """A whole number of at least `least`. Raises WorldError."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise WorldError(f"{name} is {shown(value)}; it must be a whole number of at least {least}")
    return int(value)


def check_size(size: Any) -> tuple[int, int]:
    """(height, width), px. Raises WorldError."""
    wanted = "it must be (height, width) in pixels"
    try:
        height, width = size
    except (TypeError, ValueError):
        raise WorldError(f"size is {shown(size)}; {wanted}") from None
    for n in (height, width):
        if isinstance(n, bool) or not isinstance(n, int | np.integer):
            raise WorldError(f"size is {shown(size)}; {wanted}")
        if not 1 <= n <= LARGEST_SIDE:
            raise WorldError(f"size is {shown(size)}; {wanted}, each from 1 to {LARGEST_SIDE}")
    return int(height), int(width)
