"""A case: one drive of a scenario with everything fixed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vista_sim.errors import ScenarioError
from vista_sim.files import one_line
from vista_sim.scenarios.reading import settings_from_json
from vista_sim.scenarios.settings import Settings
from vista_sim.tasks.task import Task


@dataclass(frozen=True)
class Case:
    """One chain of episodes to drive. Can be pickled, compared, and written as JSON.

    Args:
        scenario: its name.
        case: unique in its suite: "recovery/proving-ground,lateral=-1.5,s=40,seed=0".
        weight: of its scenario in the suite, the same for all of a scenario's cases.
        trace: folder, absolute.
        section: (start, end) of the one stretch that is driven, s of the trace.
        s: where the car starts, m along the recorded path.
        lateral, heading: how it starts, m and rad, positive to the left.
        road: "straight", "left" or "right" at the start.
        seed: of all that is drawn while it is driven: noise, dropped frames.
        settings: of the scenario, each range at one value.
    """

    scenario: str
    case: str
    weight: float
    trace: Path
    section: tuple[float, float]
    s: float
    lateral: float
    heading: float
    road: str
    seed: int
    settings: Settings

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        values = vars(self) | {"settings": self.settings.to_json()}
        values["trace"] = str(self.trace)
        values["section"] = list(self.section)
        return values

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Case:
        """The case that `to_json` wrote. Raises ScenarioError."""
        try:
            start, end = values["section"]
            return cls(
                scenario=str(values["scenario"]),
                case=str(values["case"]),
                weight=float(values["weight"]),
                trace=Path(values["trace"]),
                section=(float(start), float(end)),
                s=float(values["s"]),
                lateral=float(values["lateral"]),
                heading=float(values["heading"]),
                road=str(values["road"]),
                seed=int(values["seed"]),
                settings=settings_from_json(values["settings"]),
            )
        except ScenarioError:
            raise
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
            raise ScenarioError(f"a case cannot be read ({one_line(repr(error))})") from None


def tasks_of(cases: Iterable[Case]) -> tuple[Task, ...]:
    """What some cases ask, each task by its name and rewards once."""
    different = {case.settings.task: case.settings for case in cases}
    return tuple(settings.make_task() for settings in different.values())


def terms_of(cases: Iterable[Case]) -> tuple[str, ...]:
    """Names of all reward terms of some cases."""
    return tuple(dict.fromkeys(term for task in tasks_of(cases) for term in task.terms))
