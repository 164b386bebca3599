"""A driver that stops two metres before the end of its section."""

import math

from vista_sim.policies import Action
from vista_sim.policies.reference import ReferenceDriver

BRAKING = 2.0  # m/s²
LEFT = 2.0  # m


class Stopping(ReferenceDriver):
    def __init__(self, left=LEFT):
        self.left = left

    def act(self, observation, car=None):
        left = max(0.0, car.section.end_s - self.left - car.s)
        speed = min(8.0, math.sqrt(2.0 * BRAKING * left))
        steer = super().act(observation, car).curvature
        return Action(steer, (speed - car.speed) / car.dt)
