"""`VistaSim/LaneFollowing-v0`: one car follows the recorded path, or does what a task asks."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, Self

from numpy.typing import ArrayLike

from vista_sim.arguments import check_flag
from vista_sim.envs.arguments import (
    DEFAULT_SIZE,
    chosen_sensors,
    refuse_without_camera,
    start_options,
)
from vista_sim.envs.driving import DrivingEnv, Observation, Observed
from vista_sim.errors import WorldError
from vista_sim.files import shown
from vista_sim.sensors.randomization import Randomization
from vista_sim.sensors.spec import SensorSpec
from vista_sim.tasks.registry import make_task
from vista_sim.tasks.starts import StartMode, Starts
from vista_sim.tasks.task import GivenEndings, GivenRewards, Task
from vista_sim.traces.calibration import Lens
from vista_sim.world import TracePaths, World

__all__ = ["LaneFollowingEnv", "Observation"]


class LaneFollowingEnv(DrivingEnv):
    """Follow a recorded path and see what the camera would see.

    Actions and observations are those of `DrivingEnv`.

    `info` holds reward_terms (weighted; they add up to the reward), ending_code (0 while the
    episode goes on; code k stands for the k-th of the environment's `endings`, which are those of
    the task), trace, s, lateral, heading_error, speed, validity (share of the camera's pixels that
    a recorded frame saw; only where a camera is observed) and distance_to_recording (m); and in
    the step that ends the episode, ending: its name.

    Args:
        traces: one or several trace folders, or open traces.
        sensors: what is observed, by name, such as {"camera": CameraSpec((66, 200)), "rear":
            CameraSpec((40, 80), mount=...), "state": StateSpec()}; None: as the following say it,
            which are short forms for one camera, or the state alone.
        observe: "camera" (None), or "state": the privileged state vector. Where no camera is
            observed nothing is rendered but the pictures of `render`, by the recorded camera.
        size: (height, width) of the camera, or of pictures without one, px.
        fov: horizontal, rad; None: that of the first trace's recorded camera.
        mount: T_vehicle_camera; None: that of the recorded camera.
        recorded_camera: the recorded camera that views are made from, or several that feed one
            view (see `Camera`); None: each trace's "front", "left", or first one.
        lens: in place of `fov`, of a camera with distortion (Brown-Conrady, fisheye).
        dt: s.
        curvature_limit: 1/m, that an action of 1 stands for.
        control_speed: whether the speed is driven, or as recorded; None: as the task needs it.
        reset_mode: "uniform", "start", or "curvature" (see `Starts`).
        perturb_lateral, perturb_heading: largest perturbation of a start, m and rad.
        section: (start, end) in s of each trace that may be driven.
        task: what is asked: the name of a task (see `tasks.registry`), or one; None: lane
            following.
        endings, rewards: of a task that is named; see `World`.
        render_mode: None, "rgb_array", or "human".
        randomization: how the camera differs from episode to episode: exposure, white balance,
            blur, noise, mount (see `sensors.randomization`); None: it does not.
        world_options: further arguments of `World`.
        text_infos: whether `info` has texts (ending) beside numbers; without, what a vector
            environment over this one tells can be made tensors of.

    `reset(options={"trace": 0, "s": 40.0, "lateral": 0.5, "heading": -0.05})` sets a start
    exactly; what is left out is drawn.
    """

    def __init__(
        self,
        traces: TracePaths,
        size: Sequence[int] = DEFAULT_SIZE,
        fov: float | None = None,
        mount: ArrayLike | None = None,
        recorded_camera: str | Sequence[str] | None = None,
        lens: Lens | None = None,
        dt: float = 0.1,
        curvature_limit: float = 0.2,
        control_speed: bool | None = None,
        reset_mode: StartMode = "uniform",
        perturb_lateral: float = 0.0,
        perturb_heading: float = 0.0,
        section: tuple[float, float] | None = None,
        endings: GivenEndings | None = None,
        rewards: GivenRewards | None = None,
        render_mode: str | None = None,
        randomization: Randomization | None = None,
        world_options: Mapping[str, Any] | None = None,
        observe: Observed | None = None,
        text_infos: bool = True,
        sensors: Mapping[str, SensorSpec] | None = None,
        task: Task | str | None = None,
    ) -> None:
        specs = chosen_sensors(sensors, observe, size, fov, mount, lens)
        if all(spec.privileged for spec in specs.values()):
            refuse_without_camera("randomization", randomization)
        asked = make_task(task, endings, rewards)
        super().__init__(
            specs,
            size,
            dt,
            curvature_limit,
            speed_controlled(asked, control_speed),
            asked.terms,
            render_mode,
            text_infos,
        )
        self.world = World(
            traces,
            dt=dt,
            task=asked,
            starts=Starts(reset_mode, perturb_lateral, perturb_heading),
            section=section,
            recorded_camera=recorded_camera,
            randomization=randomization,
            **_world_options(world_options),
        )
        self.car = self.world.spawn_agent()
        for name, spec in self.sensors.items():
            self.car.spawn_sensor(name, spec)

    def beside(self) -> Self:
        """A further environment in the same world: another car, with randomness of its own."""
        other = super().beside()
        other.car = self.world.spawn_agent()
        for name, spec in self.sensors.items():
            other.car.spawn_sensor(name, spec)
        return other

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start an episode. Raises WorldError on options that cannot be."""
        self.start(seed, options)
        self.car.observe()
        return self._first()

    def start(self, seed: int | None = None, options: Mapping[str, Any] | None = None) -> None:
        """Start an episode as `reset` does, without observing."""
        super().reset(seed=seed)
        self.world.rng = self.np_random
        self.car.start(**start_options(options))
        self._check_start()


def speed_controlled(task: Task, control_speed: bool | None) -> bool:
    """Whether cars of a task choose their speed. Raises WorldError: they must, and shall not."""
    if control_speed is None:
        return task.needs_speed
    if task.needs_speed and not check_flag("control_speed", control_speed):
        raise WorldError(
            f"control_speed is {control_speed}, but cars must choose their speed for "
            f"{type(task).__name__}; leave it out, or give True"
        )
    return control_speed


def _world_options(options: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Arguments of `World` that the environment itself does not set. Raises WorldError."""
    if options is None:
        return {}
    known = {
        name
        for name, argument in inspect.signature(World).parameters.items()
        if argument.kind is inspect.Parameter.KEYWORD_ONLY
    }
    known -= set(inspect.signature(LaneFollowingEnv).parameters) | {"starts"}
    if not isinstance(options, Mapping):
        raise WorldError(f"world_options is {shown(options)}; give them by name, in a dict")
    for name in options:
        if name not in known:
            raise WorldError(f"world_options has {name!r}; known are {', '.join(sorted(known))}")
    return options
