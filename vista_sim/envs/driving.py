"""What every environment with one car on a recorded path has in common."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import TYPE_CHECKING, Any, Literal, Self

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import ArrayLike, NDArray

from vista_sim.arguments import check_flag, check_number, check_size
from vista_sim.car import ALONE
from vista_sim.dynamics.action import Action
from vista_sim.envs.arguments import CAMERA, numbers
from vista_sim.errors import WorldError
from vista_sim.replay.display import Display
from vista_sim.sensors.sensor import on_host
from vista_sim.sensors.spec import CameraSpec, SensorSpec
from vista_sim.sensors.state_vector import MAX_SPEED
from vista_sim.tasks.endings import CUT, Ending, Kind, code_of, kind_of

if TYPE_CHECKING:
    from vista_sim.world import Car, World

_TOP_SPEED = np.float32(MAX_SPEED)

Observation = dict[str, Any]
Observed = Literal["camera", "state"]


class DrivingEnv(gymnasium.Env[Observation, NDArray[np.float32]]):
    """Spaces, actions, observations, infos and pictures.

    Actions: Box(-1, 1, (1,)), scaled to the target curvature; with `control_speed` a second
    one, scaled to the vehicle's strongest acceleration (positive) and braking (negative).
    Observations: what the sensors read, such as "camera" uint8 (height, width, 3) RGB, and "state"
    float32 (K,) as `sensors.state_vector` describes it; "speed" float32 (1,), m/s.

    Args:
        sensors: that are observed, by name.
        size: (height, width) of pictures where no camera is observed, px.
        dt: s.
        curvature_limit: 1/m, that an action of 1 stands for.
        control_speed: whether there is a second action.
        terms: names of the reward terms.
        render_mode: None, "rgb_array", or "human".
        text_infos: whether `info` has texts beside its numbers.

    Attributes:
        world, car: that are driven; the class that derives from this one sets them.
        sensors, dt, terms, text_infos: as given.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012  # as Gymnasium declares it
        "render_modes": ["rgb_array", "human"],
        "render_fps": 10,
    }

    world: World
    car: Car

    @abstractmethod
    def start(self, seed: int | None = None, options: Mapping[str, Any] | None = None) -> None:
        """Start an episode as `reset` does, without observing."""

    def __init__(
        self,
        sensors: Mapping[str, SensorSpec],
        size: Sequence[int],
        dt: float,
        curvature_limit: float,
        control_speed: bool,
        terms: Sequence[str],
        render_mode: str | None,
        text_infos: bool = True,
    ) -> None:
        curvature_limit = check_number("curvature_limit", curvature_limit, "1/m")
        if not 0 < curvature_limit < math.inf:
            raise WorldError(f"curvature_limit is {curvature_limit} 1/m; it must be positive")
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise WorldError(f"render_mode is {render_mode!r}; known are rgb_array and human")
        self.sensors = dict(sensors)
        # By the recorded camera, where none is observed.
        self._pictured = CameraSpec(check_size(size))
        self.dt = dt = check_number("dt", dt, "s")
        self.curvature_limit = float(curvature_limit)
        self.control_speed = check_flag("control_speed", control_speed)
        self.render_mode = render_mode
        self.metadata = {**type(self).metadata, "render_fps": round(1 / dt) if dt > 0 else 10}
        self.action_space = spaces.Box(-1.0, 1.0, (2 if control_speed else 1,), np.float32)
        speed = spaces.Box(0.0, MAX_SPEED, (1,), np.float32)
        seen = {name: spec.space() for name, spec in self.sensors.items()}
        self.observation_space = spaces.Dict({**seen, "speed": speed})
        self.terms = tuple(terms)
        self.text_infos = check_flag("text_infos", text_infos)
        self._display: Any = None
        self._composer: Any = None

    def beside(self) -> Self:
        """A further environment that shares what it can, with randomness of its own.

        Spaces are its own too: wrappers of vector environments write into them.
        """
        other: Self = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        other.observation_space = deepcopy(self.observation_space)
        other.action_space = deepcopy(self.action_space)
        other.metadata = dict(self.metadata)
        other._np_random = other._np_random_seed = None
        other._composer = other._display = None
        return other

    def __copy__(self) -> Self:
        raise WorldError(ALONE.format(what="environment"))

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_display": None}  # a copy opens a window of its own

    @property
    def ending(self) -> str | None:
        """Why the episode is over; None while it goes on."""
        return self.car.ending

    @property
    def endings(self) -> tuple[Ending, ...]:
        """What the codes of `info["ending_code"]` stand for: code k the k-th, counted from 1."""
        return self.world.task.endings

    @property
    def ending_kind(self) -> Kind | None:
        """Of what kind its ending is; None while the episode goes on."""
        ending = self.ending
        return None if ending is None else kind_of(self.endings, ending)

    def step(
        self, action: NDArray[np.float32]
    ) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Drive one step. Values outside [-1, 1] are clipped; NaN raises WorldError."""
        self._drive(self._action(action))
        car = self.car
        terms, reward = car.reward_terms, car.reward
        ending = self.ending
        truncated = ending is not None and kind_of(self.endings, ending) == CUT
        terminated = ending is not None and not truncated
        self.follow()
        if self.render_mode == "human":
            self.render()
        return self.observation(), reward, terminated, truncated, self.info(terms)

    def _drive(self, action: Action) -> None:
        """Drive one step and observe."""
        self.car.step(action)

    def _first(self) -> tuple[Observation, dict[str, Any]]:
        """What `reset` returns, once the car is at its start and has observed."""
        if self.render_mode == "human":
            self.render()
        return self.observation(), self.info(self.car.reward_terms)

    def _check_start(self) -> None:
        """Refuse a start that is over at once; begin a new picture."""
        car = self.car
        if car.ending is not None:
            raise WorldError(
                f"the start (lateral {car.lateral:.2f} m, heading {car.heading_error:.3f} rad, "
                f"s {car.s:.1f} m) is over at once ({car.ending}); choose one within the endings"
            )
        if self.render_mode is not None:
            self._restart_picture()

    def render(self) -> NDArray[np.uint8] | None:
        """The view, the scene from above and the numbers: uint8 RGB, or None for "human"."""
        if self.render_mode is None:
            gymnasium.logger.warn("render() needs render_mode='rgb_array' or 'human'")
            return None
        if self._composer is None:
            raise WorldError("render() needs a start: call reset first")
        view = self.car.observations.get("camera")
        if view is None:
            view = self.car.render(self._pictured)[0]
        image: NDArray[np.uint8] = self._composer.compose(self.car, on_host(view))
        if self.render_mode == "rgb_array":
            return image
        if self._display is None:
            self._display = Display("vista_sim", self.metadata["render_fps"])
        self._display.show(image)
        return None

    def close(self) -> None:
        if self._display is not None:
            self._display.close()
            self._display = None

    def _restart_picture(self) -> None:
        if self._composer is None:
            from vista_sim.runs.compose import Composer

            self._composer = Composer()
        self._composer.restart(self.car)

    def _action(self, action: ArrayLike) -> Action:
        values = numbers("action", action).reshape(-1)
        if values.shape != self.action_space.shape:
            raise WorldError(
                f"action has shape {np.shape(action)}; it must be {self.action_space.shape}"
            )
        given = values.tolist()
        for number in given:
            if math.isnan(number):
                raise WorldError(f"action is {given}; it must hold numbers from -1 to 1")
        steer = max(-1.0, min(1.0, given[0]))
        acceleration = None
        if self.control_speed:
            pedal = max(-1.0, min(1.0, given[1]))
            vehicle = self.car.vehicle
            strongest = vehicle.max_acceleration if pedal > 0 else vehicle.max_deceleration
            acceleration = pedal * strongest
        return Action(steer * self.curvature_limit, acceleration)

    def follow(self) -> None:
        """Remember where the car is now, for the picture."""
        if self._composer is not None:
            self._composer.follow(self.car)

    def observation(self) -> Observation:
        """What the car has observed, as the observation space has it; the caller's own."""
        seen = self.car.observations
        read = {name: seen[name].copy() for name in self.sensors}
        return {**read, "speed": np.minimum(seen["speed"], _TOP_SPEED)}

    def info(self, terms: dict[str, float]) -> dict[str, Any]:
        """What `step` tells beside the observation, with the reward terms of the last step."""
        return self.numbers(terms) | (self.texts() if self.text_infos else {})

    def numbers(self, terms: dict[str, float]) -> dict[str, Any]:
        """What of `info` is numbers, and dicts of them."""
        car, ending = self.car, self.ending
        told = {
            "reward_terms": terms,
            "ending_code": 0 if ending is None else code_of(self.endings, ending),
            "trace": car.trace_index,
            "s": car.s,
            "lateral": car.lateral,
            "heading_error": car.heading_error,
            "speed": car.speed,
            "distance_to_recording": car.distance_to_recording,
        }
        if CAMERA in self.sensors:
            told["validity"] = car.validity
        return told

    def texts(self) -> dict[str, str]:
        """What of `info` is text: the name of the ending, once there is one."""
        return {} if self.ending is None else {"ending": self.ending}
