"""From a model's numbers to an action: what each output means, in which unit and direction."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vista_sim.dynamics.action import Action
from vista_sim.errors import PolicyError, PolicyNotFiniteError
from vista_sim.policies.onnx.fields import Fields
from vista_sim.policies.onnx.tensors import MAX_ENTRIES, TensorInfo, named_tensor
from vista_sim.policies.waypoints import WaypointPursuit
from vista_sim.units import UNITS

#: SI unit of what an output can be.
KINDS = {
    "curvature": "1/m",
    "tire_angle": "rad",
    "steering_wheel_angle": "rad",
    "acceleration": "m/s²",
    "speed": "m/s",
    "waypoints": "m",
}
STEERING = ("curvature", "tire_angle", "steering_wheel_angle", "waypoints")
LONGITUDINAL = ("acceleration", "speed")
_COMMON = ("name", "what", "dtype", "shape", "unit", "scale")
_NUMBER = (*_COMMON, "index", "offset", "positive", "limit")
FIELDS = {
    **dict.fromkeys(("curvature", "tire_angle", "steering_wheel_angle"), _NUMBER),
    "acceleration": (*_COMMON, "index", "offset", "limit"),
    "speed": (*_COMMON, "index", "offset", "response_time"),
    "waypoints": (*_COMMON, "frame", "origin", "distances", "controller"),
}
#: (x forward, y left) as a matrix times the two numbers of a waypoint.
FRAMES = {
    "vehicle: x forward, y left": ((1.0, 0.0), (0.0, 1.0)),
    "vehicle: x forward, y right": ((1.0, 0.0), (0.0, -1.0)),
    "vehicle: x right, y forward": ((0.0, 1.0), (-1.0, 0.0)),
    "vehicle: x left, y forward": ((0.0, 1.0), (1.0, 0.0)),
}
MAX_TIRE_ANGLE = 1.5  # rad; no tire turns further, and beyond pi/2 the tangent changes its sign


@dataclass(frozen=True)
class NumberOutput:
    """One number of an output, in SI units, positive to the left.

    Args:
        name: of the tensor.
        what: it is.
        index: of the number among all of the tensor.
        scale, offset: applied first, in the unit of the description.
        limit: of its size after that.
        to_si: factor from that unit to SI, and to the left.
        response_time: of a speed: s in which it would be reached.
    """

    name: str
    what: str
    index: int
    scale: float
    offset: float
    limit: float
    to_si: float
    response_time: float = 1.0

    def value(self, answer: NDArray[Any]) -> float:
        """Raises PolicyNotFiniteError."""
        found = answer.reshape(-1)
        if self.index >= found.size:
            raise PolicyError(
                f"output {self.name!r} has {found.size} numbers; index is {self.index}"
            )
        number = float(found[self.index])
        if not math.isfinite(number):
            raise PolicyNotFiniteError(f"output {self.name!r} ({self.what}) is {number}")
        scaled = number * self.scale + self.offset
        return self.to_si * max(-self.limit, min(self.limit, scaled))


@dataclass(frozen=True, eq=False)
class WaypointsOutput:
    """An output of waypoints.

    Args:
        name: of the tensor.
        scale: what its numbers are multiplied by, m.
        axes: (2, 2) to x forward, y left.
        origin: of the waypoints' frame in the vehicle frame, m.
        distances: along the way, m; None: they tell themselves.
        pursuit: how they are followed.
    """

    name: str
    scale: float
    axes: NDArray[np.float64]
    origin: tuple[float, float]
    distances: tuple[float, ...] | None
    pursuit: WaypointPursuit

    def curvature(self, answer: NDArray[Any], speed: float) -> float:
        """1/m. Raises PolicyNotFiniteError."""
        numbers = answer.reshape(-1)
        count = None if self.distances is None else len(self.distances)
        if numbers.size < 2 or numbers.size % 2 or (count and numbers.size != 2 * count):
            raise PolicyError(
                f"output {self.name!r} has {numbers.size} numbers; waypoints are pairs"
                + (f", one for each of {count} distances" if count else "")
            )
        points = numbers.astype(np.float64).reshape(-1, 2)
        if not np.isfinite(points).all():
            raise PolicyNotFiniteError(f"output {self.name!r} (waypoints) holds {points.tolist()}")
        points = points * self.scale @ self.axes.T + self.origin
        return self.pursuit.curvature(points, speed, self.distances)


@dataclass(frozen=True)
class VehicleRatios:
    """What turns angles into curvature.

    Args:
        wheelbase: m.
        steering_ratio: steering-wheel angle per tire angle.
    """

    wheelbase: float | None = None
    steering_ratio: float | None = None

    def get(self, name: str, vehicle: Any) -> float:
        """A value of the description; else of the recorded car. Raises PolicyError."""
        own = getattr(self, name)
        if own is not None:
            return float(own)
        if vehicle is None:
            raise PolicyError(
                f"vehicle.{name} is missing in the policy's description, and no car is given: "
                "add it, or call act(observation, car)"
            )
        return float(getattr(vehicle, name))


@dataclass(frozen=True)
class ActionReader:
    """All outputs together.

    Args:
        steering: what the curvature comes from.
        longitudinal: what the acceleration comes from; None: the speed is as recorded.
        ratios: see `VehicleRatios`.
    """

    steering: NumberOutput | WaypointsOutput
    longitudinal: NumberOutput | None
    ratios: VehicleRatios

    @property
    def names(self) -> list[str]:
        """Tensors that are read."""
        outputs = [self.steering, self.longitudinal]
        return list(dict.fromkeys(output.name for output in outputs if output is not None))

    @property
    def needs_speed(self) -> bool:
        """Whether the car's speed decides what the outputs come to."""
        along = self.longitudinal
        return isinstance(self.steering, WaypointsOutput) or (
            along is not None and along.what == "speed"
        )

    def action(self, answers: Mapping[str, NDArray[Any]], speed: float, vehicle: Any) -> Action:
        """The action.

        Args:
            answers: of the model by name.
            speed: of the car, m/s.
            vehicle: `Vehicle` of the recorded car; None: not known.

        Raises:
            PolicyNotFiniteError: an answer is NaN or infinite.
            PolicyError: an answer has another shape than is described, or a value of the vehicle
                is not known.
        """
        acceleration = None
        if self.longitudinal is not None:
            acceleration = self.longitudinal.value(answers[self.longitudinal.name])
            if self.longitudinal.what == "speed":
                acceleration = (acceleration - speed) / self.longitudinal.response_time
        return Action(self._curvature(answers, speed, vehicle), acceleration)

    def _curvature(self, answers: Mapping[str, NDArray[Any]], speed: float, vehicle: Any) -> float:
        steering = self.steering
        if isinstance(steering, WaypointsOutput):
            return steering.curvature(answers[steering.name], speed)
        value = steering.value(answers[steering.name])
        if steering.what == "curvature":
            return value
        if steering.what == "steering_wheel_angle":
            value /= self.ratios.get("steering_ratio", vehicle)
        # Kinematic bicycle: curvature = tan(tire angle) / wheelbase.
        angle = max(-MAX_TIRE_ANGLE, min(MAX_TIRE_ANGLE, value))
        return math.tan(angle) / self.ratios.get("wheelbase", vehicle)


def read_outputs(fields: Fields, tensors: dict[str, TensorInfo]) -> ActionReader:
    """Read `outputs` and `vehicle` of a description. Raises PolicyError."""
    found: dict[str, NumberOutput | WaypointsOutput] = {}
    for values, path in fields.listed("outputs", "a list of objects, one for each output"):
        every = tuple(dict.fromkeys(name for names in FIELDS.values() for name in names))
        what = Fields(values, fields.file, path, every).choice("what", tuple(KINDS))
        entry = Fields(values, fields.file, path, FIELDS[what])
        if what in found:
            raise PolicyError(f"{entry.where}: {what} is given twice")
        tensor = named_tensor(entry, "name", tensors, "output")
        found[what] = _waypoints(entry, tensor) if what == "waypoints" else _number(entry, tensor)
    steering = [what for what in STEERING if what in found]
    if len(steering) == 2 and "waypoints" in steering:
        steering.remove("waypoints")  # what follows them is inside the model
    longitudinal = [what for what in LONGITUDINAL if what in found]
    if not steering:
        raise PolicyError(f"{fields.place('outputs')}: none of {', '.join(STEERING)} is among them")
    if len(steering) > 1 or len(longitudinal) > 1:
        both = " and ".join(steering if len(steering) > 1 else longitudinal)
        raise PolicyError(f"{fields.place('outputs')}: {both} are both given; give one")
    along = found[longitudinal[0]] if longitudinal else None
    assert along is None or isinstance(along, NumberOutput)
    ratios = VehicleRatios()
    vehicle = fields.object("vehicle", ("wheelbase", "steering_ratio"))
    if vehicle is not None:
        given = {name: vehicle.number(name, positive=True) for name in vehicle.values}
        ratios = VehicleRatios(**given)
    return ActionReader(found[steering[0]], along, ratios)


def _number(entry: Fields, tensor: TensorInfo) -> NumberOutput:
    what = entry.values["what"]
    units = UNITS[KINDS[what]]
    to_si = units[entry.choice("unit", tuple(units))]
    size = math.prod(side or 1 for side in tensor.shape)
    if "index" not in entry.values and size != 1:
        raise PolicyError(
            f"{entry.place('index')} is missing; output {tensor.name!r} of the model is "
            f"{tensor.shown}, so it must say which of its numbers is meant"
        )
    index = entry.whole("index", 0, (MAX_ENTRIES if None in tensor.shape else size) - 1, 0)
    if "positive" in FIELDS[what] and entry.choice("positive", ("left", "right"), "left") != "left":
        to_si = -to_si
    limit = entry.number("limit", positive=True) if entry.given("limit") else math.inf
    response = 1.0
    if what == "speed":
        response = entry.number("response_time", 1.0, positive=True)
    scale, offset = entry.number("scale", 1.0), entry.number("offset", 0.0)
    return NumberOutput(tensor.name, what, index, scale, offset, limit, to_si, response)


def _waypoints(entry: Fields, tensor: TensorInfo) -> WaypointsOutput:
    entry.choice("unit", ("m",))
    frame = entry.choice("frame", tuple(FRAMES))
    distances = None
    if entry.given("distances"):
        wanted = "a list of distances in m, each larger than the one before"
        distances = entry.numbers("distances", wanted)
        if any(b <= a for a, b in zip((0.0, *distances), distances, strict=False)):
            raise entry.wrong("distances", wanted)
    size = math.prod(side or 1 for side in tensor.shape)
    fits = tensor.shape_for(2 * len(distances)) is not None if distances else size % 2 == 0
    if not fits and None not in tensor.shape:
        pairs = "pairs of numbers" if distances is None else f"{len(distances)} pairs of numbers"
        raise PolicyError(
            f"{entry.where}: output {tensor.name!r} of the model is {tensor.shown}; waypoints are "
            f"{pairs}"
        )
    origin = entry.numbers("origin", "[x, y] in m in the vehicle frame", (0.0, 0.0))
    if len(origin) != 2:
        raise entry.wrong("origin", "[x, y] in m in the vehicle frame")
    pursuit = WaypointPursuit()
    controller = entry.object("controller", ("kind", "lookahead", "lookahead_time"))
    if controller is not None:
        controller.choice("kind", ("pure-pursuit",))
        time = controller.number("lookahead_time", pursuit.lookahead_time)
        if time < 0:
            raise controller.wrong("lookahead_time", "a number of seconds that is not negative")
        ahead = controller.number("lookahead", pursuit.lookahead, positive=True)
        pursuit = WaypointPursuit(ahead, time)
    axes = np.array(FRAMES[frame])
    scale = entry.number("scale", 1.0)
    return WaypointsOutput(tensor.name, scale, axes, (origin[0], origin[1]), distances, pursuit)
