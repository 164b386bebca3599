"""How far the steering is from that of the human who drove the recording.

In closed loop the car is somewhere else than the human was, and what it has to do there is
something else too: the error says how alike two drives are, not how wrong one of them is. In
open loop the policy sees what the human saw (`vista_sim.evaluation.open_loop` asks it), and its
answer has no consequence: a small error there does not promise a good drive (Codevilla et al.,
"On Offline Evaluation of Vision-based Driving Models", ECCV 2018).
"""

from __future__ import annotations

import math

import numpy as np

from vista_sim.evaluation.metrics.tables import Floats, Table, between, floats, mean, series

SHORTEST = 0.05  # m along the path; over less, its bend cannot be told


def curvature_error(steps: Table) -> Floats:
    """Size of curvature driven minus curvature recorded at the same place, (m,). Unit: 1/m.

    One for each step: the driven one is the mean of that before and after it; the recorded one
    is the turn of the path's direction (yaw less heading error) over the arc length that the
    step made, so the table alone says it. NaN where the step made less than 5 cm of the path.
    """
    driven = between(series(steps, floats(steps, "curvature"))).values
    episode = np.asarray(steps["episode"])
    same = episode[1:] == episode[:-1]
    turn = np.diff(floats(steps, "yaw") - floats(steps, "heading_error"))[same]
    turn = (turn + math.pi) % (2 * math.pi) - math.pi
    way = np.diff(floats(steps, "s"))[same]
    recorded = turn / np.where(np.abs(way) >= SHORTEST, way, math.nan)
    error: Floats = np.abs(driven - recorded)
    return error


def steering_mae(steps: Table) -> float:
    """Mean of `curvature_error`: steering in closed loop against the human's. Unit: 1/m."""
    return mean(curvature_error(steps))


def open_loop_curvature_mae(answers: Table) -> float:
    """Mean size of curvature asked for minus curvature recorded, in open loop. Unit: 1/m.

    Args:
        answers: as `open_loop.open_loop` returns them.
    """
    return mean(np.abs(floats(answers, "action_curvature") - floats(answers, "curvature")))


def open_loop_tire_angle_mae(answers: Table) -> float:
    """As `open_loop_curvature_mae`, of the tire angles that drive those curvatures. Unit: rad."""
    return mean(np.abs(floats(answers, "action_tire_angle") - floats(answers, "tire_angle")))
