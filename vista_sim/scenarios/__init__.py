"""Scenarios: situations in files, turned into cases that are ready to drive.

`load_suite` reads a suite or scenario file, `Suite.cases` gives its cases, each one drive with
everything fixed, and `stage` makes the world of a case (a `Stager` of many, one after the other).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vista_sim.scenarios.case import Case
    from vista_sim.scenarios.criteria import Criterion, Requirement
    from vista_sim.scenarios.scenario import Scenario
    from vista_sim.scenarios.staging import Stage, Stager, stage
    from vista_sim.scenarios.suite import Suite, load_suite

_HOMES = {
    "Case": "case",
    "Criterion": "criteria",
    "Requirement": "criteria",
    "Scenario": "scenario",
    "Stage": "staging",
    "Stager": "staging",
    "Suite": "suite",
    "load_suite": "suite",
    "stage": "staging",
}

__all__ = [
    "Case",
    "Criterion",
    "Requirement",
    "Scenario",
    "Stage",
    "Stager",
    "Suite",
    "load_suite",
    "stage",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
