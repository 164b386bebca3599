"""Ranges: a number of a scenario that stands for several.

    { from = -1.5, to = 1.5, steps = 7 }        evenly spaced, both ends included
    { values = [0.0, 0.1, 0.3] }                as listed
    { low = -1.0, high = 1.0, samples = 20 }    drawn uniformly; "seed" (0) draws others

Several ranges of a scenario are swept as a product.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from vista_sim.scenarios.fields import FieldError, Number, shown

MOST_CASES = 100_000  # of a suite
_FORMS = (("from", "to", "steps"), ("values",), ("low", "high", "samples", "seed"))
_KEYS = frozenset(key for form in _FORMS for key in form)
_DIGITS = 12  # that evenly spaced values are rounded to


def is_range(value: Any) -> bool:
    """Whether a value is written as a range, be it a wrong one."""
    return isinstance(value, dict) and not _KEYS.isdisjoint(value)


def read_range(spec: Number, value: Mapping[str, Any], name: str) -> tuple[float, ...]:
    """The values of a range, each one that its field may hold.

    Args:
        spec: of the field.
        value: as in the file.
        name: of the field; two fields with like ranges are drawn differently.

    Raises:
        FieldError: the range is empty, too long, or no range.
    """
    if "values" in value:
        _only(value, _FORMS[1])
        return _listed(spec, value["values"])
    if "samples" in value or "low" in value or "high" in value:
        _only(value, _FORMS[2], optional=("seed",))
        low, high = _end(spec, value, "low"), _end(spec, value, "high")
        count = _count(value, "samples")
        if not low < high:
            raise FieldError(f"is an empty range: low is {low:g}, high {high:g}")
        seed = value.get("seed", 0)
        if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**63:
            raise FieldError(f"has seed {shown(seed)}; it must be a whole number, not negative")
        rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
        return tuple(rng.uniform(low, high, count).tolist())
    _only(value, _FORMS[0])
    first, last = _end(spec, value, "from"), _end(spec, value, "to")
    count = _count(value, "steps")
    if first == last or count == 1:
        raise FieldError(
            f"is an empty range: from {first:g} to {last:g} in {count} steps; "
            "give two ends and at least 2 steps, or one number"
        )
    between = [first + (last - first) * i / (count - 1) for i in range(count - 1)]
    return (*(round(v, _DIGITS) + 0.0 for v in between), last)


def _listed(spec: Number, values: Any) -> tuple[float, ...]:
    if not isinstance(values, list) or not values:
        raise FieldError(f"has values {shown(values)}; it must be a list of at least one number")
    if len(values) > MOST_CASES:
        raise FieldError(f"has {len(values)} values; at most {MOST_CASES} are swept")
    read: dict[float, None] = {}
    for one in values:
        number = spec.read(one)
        if not isinstance(number, float):
            raise FieldError(f"has {number!r} among its values; they must be numbers")
        if number in read:
            raise FieldError(f"has {number:g} twice among its values")
        read[number] = None
    return tuple(read)


def _end(spec: Number, value: Mapping[str, Any], key: str) -> float:
    try:
        number = spec.read(value[key])
    except FieldError as error:
        raise FieldError(f"{key} {error}") from None
    if not isinstance(number, float):
        raise FieldError(f"{key} is {number!r}; it must be a number")
    return number


def _count(value: Mapping[str, Any], key: str) -> int:
    count = value[key]
    if isinstance(count, bool) or not isinstance(count, int):
        raise FieldError(f"has {key} {shown(count)}; it must be a whole number")
    if count < 1:
        raise FieldError(f"is an empty range: {key} is {shown(count)}; it must be at least 1")
    if count > MOST_CASES:
        raise FieldError(f"has {key} {shown(count)}; at most {MOST_CASES} are swept")
    return count


def _only(value: Mapping[str, Any], form: tuple[str, ...], optional: tuple[str, ...] = ()) -> None:
    wrong = [key for key in value if key not in form]
    missing = [key for key in form if key not in value and key not in optional]
    if wrong or missing:
        said = f"has no {missing[0]!r}" if missing else f"has {wrong[0]!r}, which is unknown"
        raise FieldError(
            f"{said}; a range is {{ from, to, steps }}, {{ values }} or {{ low, high, samples }}"
        )
