"""Scenarios: situations in files, turned into cases that are ready to drive.

`load_suite` reads a suite or scenario file, `Suite.cases` gives its cases, each one drive with
everything fixed, and `stage` makes the world of a case.
"""

from vista_sim.scenarios.case import Case
from vista_sim.scenarios.criteria import Criterion, Requirement
from vista_sim.scenarios.scenario import Scenario
from vista_sim.scenarios.staging import Stage, Stager, stage
from vista_sim.scenarios.suite import Suite, load_suite

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
