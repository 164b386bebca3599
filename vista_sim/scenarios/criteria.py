"""What a run must reach to pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vista_sim.scenarios.document import FieldPath
from vista_sim.scenarios.fields import FieldError, Number, shown
from vista_sim.scenarios.reading import Reader

_BOUND = Number(-1e12, 1e12)


@dataclass(frozen=True)
class Criterion:
    """A metric within bounds, both included.

    Args:
        metric: its name, as a report has it.
        min, max: None: no such bound.
    """

    metric: str
    min: float | None = None
    max: float | None = None

    def passes(self, value: float | None) -> bool:
        """Whether a value is within the bounds. What was not measured (None, NaN) is not."""
        if value is None or value != value:
            return False
        return not (
            (self.min is not None and value < self.min)
            or (self.max is not None and value > self.max)
        )

    def __str__(self) -> str:
        low = "" if self.min is None else f"{self.min:g} <= "
        high = "" if self.max is None else f" <= {self.max:g}"
        return f"{low}{self.metric}{high}"


@dataclass(frozen=True)
class Requirement:
    """A criterion and the scenarios whose cases it is judged over, all together.

    Args:
        of: name of the scenario or suite that asks for it.
        scenarios: names.
    """

    of: str
    scenarios: tuple[str, ...]
    criterion: Criterion


def read_criteria(reader: Reader, values: Any, path: FieldPath) -> tuple[Criterion, ...]:
    """Criteria of a table { metric = { min = ..., max = ... } }; wrong ones are noted."""
    if not isinstance(values, dict):
        reader.note(path, f"is {shown(values)}; it must be a table {{ metric = {{ max = 0 }} }}")
        return ()
    criteria = []
    for metric, bounds in values.items():
        here = (*path, metric)
        if not isinstance(bounds, dict) or not bounds:
            reader.note(here, f"is {shown(bounds)}; it must be a table with min, max, or both")
            continue
        reader.refuse_unknown(bounds, here, ("min", "max"))
        read: dict[str, float] = {}
        for name in ("min", "max"):
            if name in bounds:
                try:
                    read[name] = float(_BOUND.read(bounds[name]))
                except FieldError as error:
                    reader.note((*here, name), str(error))
        if read.get("min", -1e12) > read.get("max", 1e12):
            reader.note(here, f"has min {read['min']:g} above max {read['max']:g}")
        elif read:
            criteria.append(Criterion(metric, **read))
    return tuple(criteria)
