"""Scenarios: situations in files, turned into cases that are ready to drive.

`load_suite` reads a suite or scenario file, `Suite.cases` gives its cases, each one drive with
everything fixed, and `stage` makes the world of a case (a `Stager` of many, one after the other).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vista_sim.lazy import names_from

if TYPE_CHECKING:
    from vista_sim.scenarios.case import Case
    from vista_sim.scenarios.criteria import Criterion, Requirement
    from vista_sim.scenarios.scenario import Scenario
    from vista_sim.scenarios.staging import Stage, Stager, stage
    from vista_sim.scenarios.suite import Suite, load_suite

_HOMES = {
    "Case": "vista_sim.scenarios.case",
    "Criterion": "vista_sim.scenarios.criteria",
    "Requirement": "vista_sim.scenarios.criteria",
    "Scenario": "vista_sim.scenarios.scenario",
    "Stage": "vista_sim.scenarios.staging",
    "Stager": "vista_sim.scenarios.staging",
    "Suite": "vista_sim.scenarios.suite",
    "load_suite": "vista_sim.scenarios.suite",
    "stage": "vista_sim.scenarios.staging",
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


__getattr__ = names_from(__name__, _HOMES)
