"""The state of cars as one table of float64: a row a car, the columns named here.

One car is a table of one row, so that one car and many are moved by the same compiled code
and agree to the last bit.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Table = NDArray[np.float64]

# Pose of the rear axle in the world frame and motion: m, rad, m/s.
X, Y, YAW, SPEED = 0, 1, 2, 3
# Of the front tires: rad, rad/s over the last step, 1/m of the curve they drive now.
TIRE_ANGLE, TIRE_RATE, CURVATURE = 4, 5, 6
# Relative to the recorded path: m, m, rad; PROGRESS: m gained along it in the last step.
S, LATERAL, HEADING_ERROR, PROGRESS = 7, 8, 9, 10
# The moment of the recording that is seen, s of the trace; the car's pose in the recorded
# car's frame then, m and rad; the distance between the two, m.
SCENE_TIME, OFFSET_X, OFFSET_Y, OFFSET_YAW, DISTANCE = 11, 12, 13, 14, 15
# Speed of the recording where the car is, m/s; distances from the path to the road's edges
# there, m (NaN where the trace does not say); 1 while the path is within reach, else 0.
RECORDED_SPEED, ROAD_LEFT, ROAD_RIGHT, IN_REACH = 16, 17, 18, 19
# Since the start of the episode: steps, and s.
STEPS, TIME = 20, 21
# The last action: 1/m, and m/s² (NaN: the recorded speed). NaN before the first step.
TARGET_CURVATURE, TARGET_ACCELERATION = 22, 23
# Of the section that is driven: s of the trace, and m along the path.
START, END, START_S, END_S = 24, 25, 26, 27
# Index of the trace; limits of its vehicle, rad/s and m/s².
TRACE, MAX_TIRE_RATE, MAX_ACCELERATION, MAX_DECELERATION = 28, 29, 30, 31
# Share of the first camera's pixels that a recorded frame saw; wall time the views took, s.
VALIDITY, VIEW_SECONDS = 32, 33
# What is driven of the recorded speed, and the speed not to exceed, m/s (1 and inf: as it is).
SPEED_FACTOR, SPEED_LIMIT = 34, 35
# Of a car whose actions are delayed: for HELD s of the coming step it follows HELD_*, and then
# LATER_*, both as TARGET_*. HELD is NaN where nothing is delayed.
HELD, HELD_CURVATURE, HELD_ACCELERATION, LATER_CURVATURE, LATER_ACCELERATION = 36, 37, 38, 39, 40
# The scene that the body is in (an index), who moves it, and its box (an index of the world's).
SCENE, ROLE, BOX = 41, 42, 43
# Of a body that does not stand on the recorded road: height of its origin in the world frame, m,
# and how it is inclined, rad; NaN: it stands on the road, as it was recorded at SCENE_TIME.
Z, PITCH, ROLL = 44, 45, 46
WIDTH = 47

#: Who moves a body: what is told from outside, a policy, a script, or what was recorded of it.
LEARNER, POLICY, SCRIPT, REPLAY = range(4)

#: The rows of a table of one car.
FIRST = np.zeros(1, dtype=np.int64)


def empty_table(rows: int) -> Table:
    """A table (rows, WIDTH) of cars without a pose."""
    return np.full((rows, WIDTH), np.nan)
