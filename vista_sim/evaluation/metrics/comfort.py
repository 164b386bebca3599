"""How smooth the drive is: steering, accelerations, and the comfort bounds of nuPlan.

Steering and the peaks are finite differences of the steps table within each episode, at the
table's own rate, not smoothed. What is held against nuPlan's bounds is smoothed as nuPlan does it
(github.com/motional/nuplan-devkit, nuplan/planning/metrics/utils/state_extractors.py), by
Savitzky-Golay filters: an acceleration by a parabola over 8 values, a jerk as the slope of
a parabola over 15 accelerations, the yaw rate as that over 5 headings, the yaw acceleration as the
second derivative of a cubic over 5 headings. nuPlan's steps are 0.1 s; here the windows are of the
same time, 0.8, 1.5 and 0.5 s, at whatever step. Bounds: the files `ego_*_statistics.yaml` in
nuplan/planning/script/config/common/simulation_metric/low_level; a value on a bound is beyond it
(evaluation_metrics/base/within_bound_metric_base.py).

nuPlan takes accelerations from the state of its car, in the centre. A steps table has none: along
the car they are differences of the speed, across it speed squared times curvature, both of the
rear axle and between two rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np

from vista_sim.evaluation.metrics.tables import (
    Floats,
    Series,
    Table,
    Tables,
    between,
    floats,
    largest,
    mean,
    rate,
    root_mean_square,
    savitzky_golay,
    series,
    unwrapped,
)

#: What polynomials are fitted to, s: of accelerations, for their slope, of headings.
ACCELERATION_WINDOW, JERK_WINDOW, YAW_WINDOW = 0.8, 1.5, 0.5


def steering_rate(steps: Table) -> Floats:
    """Rate of the tire angle from each row to the next of its episode, (m,). Unit: rad/s."""
    return rate(series(steps, floats(steps, "tire_angle"))).values


def steering_whiteness(steps: Table) -> float:
    """Root mean square of the tire angle's rate between steps. Unit: rad/s.

    Small is smooth. The measure that Eraqi et al. 2017 (arXiv:1710.03804) and Balesni et al.
    2023 (arXiv:2301.12264) call whiteness, of the tires instead of the steering wheel.
    """
    return root_mean_square(steering_rate(steps))


def lateral_acceleration(steps: Table) -> Floats:
    """Speed squared times the curvature driven, (n,), positive to the left. Unit: m/s²."""
    return floats(steps, "speed") ** 2 * floats(steps, "curvature")


def lateral_jerk(steps: Table) -> Floats:
    """Change of the lateral acceleration between two steps over their time, (m,). Unit: m/s³."""
    return rate(series(steps, lateral_acceleration(steps))).values


def peak_lateral_acceleration(steps: Table) -> float:
    """Largest size of the lateral acceleration. Unit: m/s²."""
    return largest(lateral_acceleration(steps))


def peak_lateral_jerk(steps: Table) -> float:
    """Largest change of the lateral acceleration between two steps over their time. Unit: m/s³."""
    return largest(lateral_jerk(steps))


def longitudinal_acceleration(steps: Table) -> Series:
    """Smoothed rate of the speed, positive forward. Unit: m/s²."""
    return savitzky_golay(_along(steps), ACCELERATION_WINDOW)


def smooth_lateral_acceleration(steps: Table) -> Series:
    """Smoothed lateral acceleration between the rows, positive to the left. Unit: m/s²."""
    return savitzky_golay(_across(steps), ACCELERATION_WINDOW)


def longitudinal_jerk(steps: Table) -> Series:
    """Rate of the smoothed longitudinal acceleration. Unit: m/s³."""
    return _slope(longitudinal_acceleration(steps))


def acceleration_jerk(steps: Table) -> Series:
    """Rate of the smoothed size of the acceleration in the plane. Unit: m/s³.

    What nuPlan calls the magnitude of jerk: it differs the size of the acceleration, so turning
    its direction alone is no jerk.
    """
    along, across = _along(steps), _across(steps)
    size = along._replace(values=np.hypot(along.values, across.values))
    return _slope(savitzky_golay(size, ACCELERATION_WINDOW))


def yaw_rate(steps: Table) -> Series:
    """Rate of the heading, positive to the left. Unit: rad/s."""
    return savitzky_golay(_heading(steps), YAW_WINDOW, derivative=1)


def yaw_acceleration(steps: Table) -> Series:
    """Rate of the yaw rate. Unit: rad/s²."""
    return savitzky_golay(_heading(steps), YAW_WINDOW, order=3, derivative=2)


def _along(steps: Table) -> Series:
    return rate(series(steps, floats(steps, "speed")))


def _across(steps: Table) -> Series:
    return between(series(steps, lateral_acceleration(steps)))


def _slope(accelerations: Series) -> Series:
    return savitzky_golay(accelerations, JERK_WINDOW, derivative=1)


def _heading(steps: Table) -> Series:
    return unwrapped(series(steps, floats(steps, "yaw")))


@dataclass(frozen=True)
class Bound:
    """Between what a quantity is comfortable.

    Args:
        low, high: limits; what lies between them, without them, is comfortable.
        unit: theirs.
        quantity: of a steps table.
    """

    low: float
    high: float
    unit: str
    quantity: Callable[[Table], Series]

    def within(self, steps: Table) -> Series:
        """1 where the quantity is within the bound, 0 where not, NaN where it is unknown."""
        found = self.quantity(steps)
        inside = (found.values > self.low) & (found.values < self.high)
        return found._replace(values=np.where(np.isnan(found.values), math.nan, inside))


#: nuPlan's comfort metric (Karnchanachari et al., "Towards learning-based planning: The nuPlan
#: benchmark", 2024), from expert drives of its data.
BOUNDS: Mapping[str, Bound] = {
    "longitudinal_acceleration": Bound(-4.05, 2.40, "m/s²", longitudinal_acceleration),
    "lateral_acceleration": Bound(-4.89, 4.89, "m/s²", smooth_lateral_acceleration),
    "jerk": Bound(-8.37, 8.37, "m/s³", acceleration_jerk),
    "longitudinal_jerk": Bound(-4.13, 4.13, "m/s³", longitudinal_jerk),
    "yaw_rate": Bound(-0.95, 0.95, "rad/s", yaw_rate),
    "yaw_acceleration": Bound(-1.93, 1.93, "rad/s²", yaw_acceleration),
}


def comfortable(steps: Table, name: str) -> float:
    """Share of the time in which a quantity (a key of `BOUNDS`) is within its bound. Unit: 1."""
    return mean(BOUNDS[name].within(steps).values)


_verdicts: WeakKeyDictionary[Tables, Floats] = WeakKeyDictionary()


def comfortable_episodes_of(drive: Tables) -> Floats:
    """`comfortable_episodes` of the steps; found once, for all metrics and scores that ask."""
    verdict = _verdicts.get(drive)
    if verdict is None:
        verdict = _verdicts[drive] = comfortable_episodes(drive.steps)
    return verdict


def comfortable_episodes(steps: Table) -> Floats:
    """Whether each episode keeps within all bounds throughout, (episodes,): 1 or 0. Unit: 1.

    nuPlan's ego_is_comfortable (nuplan/planning/metrics/evaluation_metrics/common), an episode
    each in the order in which they come. What an episode is too short for does not count; NaN for
    one of a single row.
    """
    names, first = np.unique(np.asarray(steps["episode"]), return_index=True)
    verdict = np.full(len(names), math.inf)
    for bound in BOUNDS.values():
        found = bound.within(steps)
        usable = ~np.isnan(found.values)
        own = np.searchsorted(names, found.episode[usable])
        np.minimum.at(verdict, own, np.floor(found.values[usable]))
    verdict[np.isinf(verdict)] = math.nan
    return verdict[np.argsort(first, kind="stable")]
