"""`VistaSim/LaneFollowing-v0`: one car, one camera, follow the recorded path."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from copy import copy
from typing import Any, Literal, Self

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import ArrayLike, NDArray

from vista_sim.envs.arguments import check_observe, check_size, start_options
from vista_sim.errors import WorldError
from vista_sim.policies import Action, CameraSpec
from vista_sim.sensors.randomization import Randomization
from vista_sim.tasks.lane_following import Endings, LaneFollowing, Rewards
from vista_sim.tasks.starts import StartMode, Starts
from vista_sim.tasks.state_vector import MAX_SPEED, STATE_LIMITS
from vista_sim.traces.calibration import Lens
from vista_sim.world import TracePaths, World

_TOP_SPEED = np.float32(MAX_SPEED)

Observation = dict[str, Any]


class LaneFollowingEnv(gymnasium.Env[Observation, NDArray[np.float32]]):
    """Follow a recorded path and see what the camera would see.

    Actions: Box(-1, 1, (1,)), scaled to the target curvature; with `control_speed` a second
    one, scaled to the vehicle's strongest acceleration (positive) and braking (negative).
    Observations: "camera" uint8 (height, width, 3) RGB, or "state" float32 (K,) as
    `tasks.state_vector` describes it; "speed" float32 (1,), m/s.

    `info` holds reward_terms (weighted; they add up to the reward), ending (a name or None),
    trace, s, lateral, heading_error, speed, validity (share of the camera's pixels that a
    recorded frame saw; only where a camera is observed) and distance_to_recording (m).

    Args:
        traces: one or several trace folders, or open traces.
        observe: "camera", or "state": the privileged state vector. Nothing is rendered then but
            the pictures of `render`, by the recorded camera at `size`.
        size: (height, width) of the camera, px.
        fov: horizontal, rad; None: that of the first trace's recorded camera.
        mount: T_vehicle_camera; None: that of the recorded camera.
        recorded_camera: the recorded camera that views are made from, or several that feed one
            view (see `Camera`); None: each trace's "front", "left", or first one.
        lens: in place of `fov`, of a camera with distortion (Brown-Conrady, fisheye).
        dt: s.
        curvature_limit: 1/m, that an action of 1 stands for.
        control_speed: whether the speed is driven, or as recorded.
        reset_mode: "uniform", "start", or "curvature" (see `Starts`).
        perturb_lateral, perturb_heading: largest perturbation of a start, m and rad.
        section: (start, end) in s of each trace that may be driven.
        endings, rewards: of the task.
        render_mode: None, "rgb_array", or "human".
        randomization: how the camera differs from episode to episode: exposure, white balance,
            blur, noise, mount (see `sensors.randomization`); None: it does not.
        world_options: further arguments of `World`.

    `reset(options={"trace": 0, "s": 40.0, "lateral": 0.5, "heading": -0.05})` sets a start
    exactly; what is left out is drawn.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012  # as Gymnasium declares it
        "render_modes": ["rgb_array", "human"],
        "render_fps": 10,
    }

    def __init__(
        self,
        traces: TracePaths,
        size: Sequence[int] = (66, 200),
        fov: float | None = None,
        mount: ArrayLike | None = None,
        recorded_camera: str | Sequence[str] | None = None,
        lens: Lens | None = None,
        dt: float = 0.1,
        curvature_limit: float = 0.2,
        control_speed: bool = False,
        reset_mode: StartMode = "uniform",
        perturb_lateral: float = 0.0,
        perturb_heading: float = 0.0,
        section: tuple[float, float] | None = None,
        endings: Endings | None = None,
        rewards: Rewards | None = None,
        render_mode: str | None = None,
        randomization: Randomization | None = None,
        world_options: Mapping[str, Any] | None = None,
        observe: Literal["camera", "state"] = "camera",
    ) -> None:
        if not (math.isfinite(curvature_limit) and curvature_limit > 0):
            raise WorldError(f"curvature_limit is {curvature_limit} 1/m; it must be positive")
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise WorldError(f"render_mode is {render_mode!r}; known are rgb_array and human")
        check_observe(observe, fov=fov, mount=mount, lens=lens, randomization=randomization)
        height, width = check_size(size)
        self.curvature_limit = float(curvature_limit)
        self.control_speed = bool(control_speed)
        self.render_mode = render_mode
        self.metadata = {**type(self).metadata, "render_fps": round(1 / dt) if dt > 0 else 10}
        task = LaneFollowing(endings or Endings(), rewards or Rewards())
        self.world = World(
            traces,
            dt=dt,
            task=task,
            starts=Starts(reset_mode, perturb_lateral, perturb_heading),
            section=section,
            recorded_camera=recorded_camera,
            randomization=randomization,
            **(world_options or {}),
        )
        self.observe = observe
        self.car = self.world.spawn_agent()
        seen: spaces.Space[Any]
        if observe == "state":
            self.car.observes_state = True
            seen = spaces.Box(*STATE_LIMITS, dtype=np.float32)
        else:
            self.car.spawn_camera("camera", (height, width), fov, mount, lens)
            seen = spaces.Box(0, 255, (height, width, 3), np.uint8)
        self._pictured = CameraSpec((height, width))  # where none is observed
        self.action_space = spaces.Box(-1.0, 1.0, (2 if control_speed else 1,), np.float32)
        speed = spaces.Box(0.0, MAX_SPEED, (1,), np.float32)
        self.observation_space = spaces.Dict({observe: seen, "speed": speed})
        self._terms = task.terms
        self._display: Any = None
        self._composer: Any = None

    def beside(self) -> Self:
        """A further environment in the same world: another car, with randomness of its own."""
        other = copy(self)
        other.car = self.world.spawn_agent()
        other.car.observes_state = self.car.observes_state
        for name, spec in self.car.specs.items():
            other.car.spawn_camera(name, spec.size, spec.fov, spec.mount, spec.lens)
        other._np_random = other._np_random_seed = None
        other._composer = other._display = None
        return other

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start an episode. Raises WorldError on options that cannot be."""
        self.start(seed, options)
        self.car.observe()
        if self.render_mode == "human":
            self.render()
        return self._observation(), self.info(dict.fromkeys(self._terms, 0.0))

    def start(self, seed: int | None = None, options: Mapping[str, Any] | None = None) -> None:
        """Start an episode as `reset` does, without observing."""
        super().reset(seed=seed)
        self.world.rng = self.np_random
        car = self.car
        car.start(**start_options(options))
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
        car = self.car
        car.step(self._action(action))
        terms = self.world.task.reward_terms(car)
        reward = 0.0
        for term in terms.values():  # not sum(): since Python 3.12 it compensates for rounding
            reward += term
        truncated = car.ending in self.world.task.truncations
        terminated = car.done and not truncated
        self.follow()
        if self.render_mode == "human":
            self.render()
        return self._observation(), reward, terminated, truncated, self.info(terms)

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
        image: NDArray[np.uint8] = self._composer.compose(self.car, view)
        if self.render_mode == "rgb_array":
            return image
        if self._display is None:
            from vista_sim.replay.display import Display

            self._display = Display("vista_sim", self.metadata["render_fps"])
        self._display.show(image)
        return None

    def close(self) -> None:
        if self._display is not None:
            self._display.close()
            self._display = None

    def _restart_picture(self) -> None:
        if self._composer is None:
            from vista_sim.replay.compose import Composer

            self._composer = Composer()
        self._composer.restart(self.car)

    def _action(self, action: ArrayLike) -> Action:
        values = np.asarray(action, dtype=np.float64).reshape(-1)
        if values.shape != self.action_space.shape:
            raise WorldError(
                f"action has shape {np.shape(action)}; it must be {self.action_space.shape}"
            )
        numbers = values.tolist()
        for number in numbers:
            if math.isnan(number):
                raise WorldError(f"action is {numbers}; it must hold numbers from -1 to 1")
        steer = max(-1.0, min(1.0, numbers[0]))
        acceleration = None
        if self.control_speed:
            pedal = max(-1.0, min(1.0, numbers[1]))
            vehicle = self.car.vehicle
            strongest = vehicle.max_acceleration if pedal > 0 else vehicle.max_deceleration
            acceleration = pedal * strongest
        return Action(steer * self.curvature_limit, acceleration)

    def follow(self) -> None:
        """Remember where the car is now, for the picture."""
        if self._composer is not None:
            self._composer.follow(self.car)

    def _observation(self) -> Observation:
        seen = self.car.observations
        return {
            self.observe: seen[self.observe],
            "speed": np.minimum(seen["speed"], _TOP_SPEED),
        }

    def info(self, terms: dict[str, float]) -> dict[str, Any]:
        """What `step` tells beside the observation, with the reward terms of the last step."""
        car = self.car
        told = {
            "reward_terms": terms,
            "ending": car.ending,
            "trace": car.trace_index,
            "s": car.s,
            "lateral": car.lateral,
            "heading_error": car.heading_error,
            "speed": car.speed,
            "distance_to_recording": car.distance_to_recording,
        }
        if self.observe == "camera":
            told["validity"] = car.validity
        return told
