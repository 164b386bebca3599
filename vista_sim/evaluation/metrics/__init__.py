"""Metrics: pure functions of a run's tables, so that an old run can be judged anew.

A table is a mapping from column name to array, one entry a row, as `runs.columns` gives the
tables of a `runs.Run`. In a steps table the rows of an episode follow each other in time, the
first being its start. A column that a run does not have counts as one of nulls; a value that
nothing was measured for is NaN.

    tables      what a table is, and differences over time within its episodes
    safety      crashes, distances, interventions, route completion
    tracking    cross-track and heading error
    comfort     steering whiteness, peaks, the bounds of nuPlan
    validity    how much of what the policy saw was really recorded
    agreement   steering against that of the human, in closed and in open loop
    recovery    how often and how fast the car came back from beside the path
    composite   scores with published formulas
    measures    all of them by name, and how they are put together over many cases
"""

from vista_sim.evaluation.metrics.comfort import (
    lateral_acceleration,
    peak_lateral_acceleration,
    peak_lateral_jerk,
    steering_whiteness,
)
from vista_sim.evaluation.metrics.measures import METRIC_NAMES, summarize
from vista_sim.evaluation.metrics.safety import (
    crashes,
    crashes_per_km,
    distance_driven,
    distance_per_intervention,
    route_completion,
    share_without_intervention,
)
from vista_sim.evaluation.metrics.tables import Floats, Table, Tables, select
from vista_sim.evaluation.metrics.tracking import cross_track_error, heading_error
from vista_sim.evaluation.metrics.validity import mean_validity

__all__ = [
    "METRIC_NAMES",
    "Floats",
    "Table",
    "Tables",
    "crashes",
    "crashes_per_km",
    "cross_track_error",
    "distance_driven",
    "distance_per_intervention",
    "heading_error",
    "lateral_acceleration",
    "mean_validity",
    "peak_lateral_acceleration",
    "peak_lateral_jerk",
    "route_completion",
    "select",
    "share_without_intervention",
    "steering_whiteness",
    "summarize",
]
