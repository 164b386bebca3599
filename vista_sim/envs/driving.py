"""One car on recorded roads, as a Gymnasium environment."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any, Literal, Self, cast

import gymnasium
import numpy as np
from numpy.typing import NDArray

from vista_sim.arguments import check_flag, check_number, check_size
from vista_sim.car import ALONE, Car
from vista_sim.envs import interface
from vista_sim.envs.arguments import CAMERA
from vista_sim.envs.episodes import Episodes
from vista_sim.envs.interface import Observation
from vista_sim.errors import WorldError
from vista_sim.replay.display import Display
from vista_sim.sensors.sensor import on_host
from vista_sim.sensors.spec import CameraSpec
from vista_sim.tasks.endings import CUT, Ending, Kind, code_of, kind_of
from vista_sim.world import World

Observed = Literal["camera", "state"]


class DrivingEnv(gymnasium.Env[Observation, NDArray[np.float32]]):
    """Drive a car along recorded paths, and see what its sensors would see.

    Actions: Box(-1, 1, (1,)), scaled to the target curvature; with `control_speed` a second
    one, scaled to the vehicle's strongest acceleration (positive) and braking (negative).
    Observations: what the sensors read, such as "camera" uint8 (height, width, 3) RGB, and "state"
    float32 (K,) as `sensors.state_vector` describes it; "speed" float32 (1,), m/s.

    `info` holds reward_terms (weighted; they add up to the reward), ending_code (0 while the
    episode goes on; code k stands for the k-th of the environment's `endings`), trace, s, lateral,
    heading_error, speed, validity (share of the camera's pixels that a recorded frame saw; only
    where a camera is observed) and distance_to_recording (m); in the step that ends the episode
    ending: its name; and what its episodes tell besides.

    Args:
        episodes: that are driven.
        control_speed: whether there is a second action.
        size: (height, width) of pictures where no camera is observed, px.
        curvature_limit: 1/m, that an action of 1 stands for.
        render_mode: None, "rgb_array", or "human".
        text_infos: whether `info` has texts beside its numbers; without, what a vector
            environment over this one tells can be made tensors of.

    Attributes:
        episodes, control_speed, curvature_limit, text_infos: as given.
        sensors, dt, terms: of the episodes.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012  # as Gymnasium declares it
        "render_modes": ["rgb_array", "human"],
        "render_fps": 10,
    }

    def __init__(
        self,
        episodes: Episodes,
        control_speed: bool,
        size: Sequence[int],
        curvature_limit: float,
        render_mode: str | None,
        text_infos: bool = True,
    ) -> None:
        curvature_limit = check_number("curvature_limit", curvature_limit, "1/m")
        if not 0 < curvature_limit < math.inf:
            raise WorldError(f"curvature_limit is {curvature_limit} 1/m; it must be positive")
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise WorldError(f"render_mode is {render_mode!r}; known are rgb_array and human")
        self.episodes = episodes
        self.sensors, self.dt, self.terms = episodes.sensors, episodes.dt, episodes.terms
        # By the recorded camera, where none is observed.
        self._pictured = CameraSpec(check_size(size))
        self.curvature_limit = float(curvature_limit)
        self.control_speed = check_flag("control_speed", control_speed)
        self.render_mode = render_mode
        self.metadata = {**type(self).metadata, "render_fps": round(1 / self.dt)}
        self.action_space: Any = interface.action_space(control_speed)
        self.observation_space = interface.observation_space(self.sensors)
        self.text_infos = check_flag("text_infos", text_infos)
        self._display: Any = None
        self._composer: Any = None

    def spawn_another(self) -> Self:
        """A further environment that shares what it can, with randomness of its own.

        Spaces are its own too: wrappers of vector environments write into them.
        """
        other: Self = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        other.episodes = self.episodes.spawn_another()
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
    def car(self) -> Car:
        """That drives."""
        return self.episodes.car

    @property
    def world(self) -> World:
        """That it drives in."""
        return cast(World, self.car.world)

    @property
    def ending(self) -> str | None:
        """Why the episode is over; None while it goes on."""
        return self.episodes.ending

    @property
    def endings(self) -> tuple[Ending, ...]:
        """What the codes of `info["ending_code"]` stand for: code k the k-th, counted from 1."""
        return self.episodes.endings

    @property
    def ending_kind(self) -> Kind | None:
        """Of what kind its ending is; None while the episode goes on."""
        ending = self.ending
        return None if ending is None else kind_of(self.endings, ending)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start an episode. Raises WorldError on options that cannot be."""
        self.start(seed, options)
        self.car.observe()
        if self.render_mode == "human":
            self.render()
        return self.observation(), self.info()

    def start(self, seed: int | None = None, options: Mapping[str, Any] | None = None) -> None:
        """Start an episode as `reset` does, without observing."""
        super().reset(seed=seed)
        self.episodes.start(self.np_random, options or {})
        car = self.car
        if car.ending is not None:
            raise WorldError(
                f"the start (lateral {car.lateral:.2f} m, heading {car.heading_error:.3f} rad, "
                f"s {car.s:.1f} m) is over at once ({car.ending}); choose one within the endings"
            )
        if self.render_mode is not None:
            self._restart_picture()

    def step(
        self, action: NDArray[np.float32]
    ) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Drive one step. Values outside [-1, 1] are clipped; NaN raises WorldError."""
        self.move(action)
        car = self.car
        car.observe()
        kind = self.ending_kind
        if self.render_mode == "human":
            self.render()
        cut = kind == CUT
        return self.observation(), car.reward, kind is not None and not cut, cut, self.info()

    def move(self, action: NDArray[Any]) -> None:
        """Drive one step as `step` does, without observing."""
        episodes = self.episodes
        episodes.move(
            interface.to_action(action, episodes.car, self.curvature_limit, self.control_speed)
        )
        self.follow()

    def render(self) -> NDArray[np.uint8] | None:
        """The view, the scene from above and the numbers: uint8 RGB, or None for "human"."""
        if self.render_mode is None:
            gymnasium.logger.warn("render() needs render_mode='rgb_array' or 'human'")
            return None
        if self._composer is None:
            raise WorldError("render() needs a start: call reset first")
        view = self.car.observations.get(CAMERA)
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

    def follow(self) -> None:
        """Remember where the car is now, for the picture."""
        if self._composer is not None:
            self._composer.follow(self.car)

    def observation(self) -> Observation:
        """What the car has observed, as the observation space has it; the caller's own."""
        return interface.observation_of(self.car, self.sensors)

    def info(self) -> dict[str, Any]:
        """What `step` tells beside the observation."""
        return self.numbers() | (self.texts() if self.text_infos else {})

    def numbers(self) -> dict[str, Any]:
        """What of `info` is numbers, and dicts of them."""
        ending = self.ending
        # Endings are asked for only where there is one: a step has none but the last.
        code = 0 if ending is None else code_of(self.endings, ending)
        told = interface.numbers_of(self.car, code, CAMERA in self.sensors)
        return told | self.episodes.numbers()

    def texts(self) -> dict[str, str]:
        """What of `info` is text: the name of the ending, once there is one, and more."""
        ending = self.ending
        return ({} if ending is None else {"ending": ending}) | self.episodes.texts()

    def _restart_picture(self) -> None:
        if self._composer is None:
            from vista_sim.runs.compose import Composer

            self._composer = Composer()
        self._composer.restart(self.car)
