"""What an environment asks of a car, and tells of it: actions, observations and infos."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import ArrayLike

from vista_sim.car import Car
from vista_sim.dynamics import state as c
from vista_sim.dynamics.action import Action
from vista_sim.envs.arguments import numbers
from vista_sim.errors import WorldError
from vista_sim.sensors.spec import SensorSpec
from vista_sim.sensors.state_vector import MAX_SPEED

_TOP_SPEED = np.float32(MAX_SPEED)

Observation = dict[str, Any]


def action_space(control_speed: bool) -> spaces.Box:
    """Of one car: the target curvature and, with `control_speed`, the acceleration."""
    return spaces.Box(-1.0, 1.0, (2 if control_speed else 1,), np.float32)


def observation_space(sensors: Mapping[str, SensorSpec]) -> spaces.Dict:
    """Of one car."""
    seen = {name: spec.space() for name, spec in sensors.items()}
    return spaces.Dict({**seen, "speed": spaces.Box(0.0, MAX_SPEED, (1,), np.float32)})


def to_action(
    given: ArrayLike, car: Car, curvature_limit: float, control_speed: bool, what: str = "action"
) -> Action:
    """The action of a car that numbers of the action space stand for.

    Args:
        given: (1,), or (2,) with `control_speed`; clipped to [-1, 1].
        curvature_limit: 1/m, that 1 stands for.
        what: it is, for messages.

    Raises:
        WorldError: of another shape, or NaN.
    """
    values, expected = numbers(what, given).reshape(-1), (2,) if control_speed else (1,)
    if values.shape != expected:
        raise WorldError(f"{what} has shape {np.shape(given)}; it must be {expected}")
    listed = values.tolist()
    for number in listed:
        if math.isnan(number):
            raise WorldError(f"{what} is {listed}; it must hold numbers from -1 to 1")
    steer = max(-1.0, min(1.0, listed[0]))
    acceleration = None
    if control_speed:
        pedal = max(-1.0, min(1.0, listed[1]))
        vehicle = car.vehicle
        strongest = vehicle.max_acceleration if pedal > 0 else vehicle.max_deceleration
        acceleration = pedal * strongest
    return Action(steer * curvature_limit, acceleration)


def observation_of(car: Car, sensors: Iterable[str]) -> Observation:
    """What a car has observed, as the observation space has it; the caller's own."""
    seen = car.observations
    read = {name: seen[name].copy() for name in sensors}
    return {**read, "speed": np.minimum(seen["speed"], _TOP_SPEED)}


def numbers_of(car: Car, ending_code: int, with_validity: bool) -> dict[str, Any]:
    """What is told of a car beside its observation: numbers, and dicts of them."""
    row = car.state[0].tolist()  # in one go: each by its name takes longer
    told = {
        "reward_terms": car.reward_terms,
        "ending_code": ending_code,
        "trace": car.trace_index,
        "s": row[c.S],
        "lateral": row[c.LATERAL],
        "heading_error": row[c.HEADING_ERROR],
        "speed": row[c.SPEED],
        "distance_to_recording": row[c.DISTANCE],
    }
    if with_validity:
        told["validity"] = row[c.VALIDITY]
    return told
