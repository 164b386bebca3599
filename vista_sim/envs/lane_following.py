"""`VistaSim/LaneFollowing-v0`: cars on recorded paths, whatever is asked of them."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from numpy.typing import ArrayLike

from vista_sim.arguments import check_count, check_flag
from vista_sim.envs.arguments import DEFAULT_SIZE, chosen_sensors, refuse_without_camera
from vista_sim.envs.driving import DrivingEnv, Observed
from vista_sim.envs.episodes import Episodes
from vista_sim.envs.vector import DrivingVectorEnv, take_vector_options
from vista_sim.errors import MissingDependencyError, WorldError
from vista_sim.files import shown
from vista_sim.sensors.randomization import Randomization
from vista_sim.sensors.spec import SensorSpec
from vista_sim.tasks.registry import make_task
from vista_sim.tasks.starts import StartMode, Starts
from vista_sim.tasks.task import GivenEndings, GivenRewards, Task
from vista_sim.traces.calibration import Lens
from vista_sim.world import TracePaths, World

if TYPE_CHECKING:
    from vista_sim.envs.parallel import DrivingParallelEnv

_CAMERAS_TO_SPARE = 16


def lane_following_env(
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
) -> DrivingEnv:
    """A car on recorded paths, put at drawn starts.

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

    Raises:
        WorldError, TraceError: an argument that cannot be.
    """
    specs = chosen_sensors(sensors, observe, size, fov, mount, lens)
    if all(spec.privileged for spec in specs.values()):
        refuse_without_camera("randomization", randomization)
    asked = make_task(task, endings, rewards)
    speed = speed_controlled(asked, control_speed)
    world = World(
        traces,
        dt=dt,
        task=asked,
        starts=Starts(reset_mode, perturb_lateral, perturb_heading),
        section=section,
        recorded_camera=recorded_camera,
        randomization=randomization,
        **_world_options(world_options),
    )
    episodes = Episodes(world, specs)
    return DrivingEnv(episodes, speed, size, curvature_limit, render_mode, text_infos)


def lane_following_vector_env(num_envs: int = 1, **settings: Any) -> DrivingVectorEnv:
    """Many of them, all in one world; they share its traces and frames.

    Args:
        num_envs: how many.
        settings: of `DrivingVectorEnv` and of `lane_following_env`.
    """
    many = take_vector_options(settings)
    # Cars in as many traces must not throw each other's cameras out.
    kept = {"cameras_kept": check_count("num_envs", num_envs) + _CAMERAS_TO_SPARE}
    options = settings.get("world_options")
    if options is None or isinstance(options, Mapping):
        settings["world_options"] = kept | dict(options or {})
    return DrivingVectorEnv(lane_following_env(**settings), num_envs, **many)


def parallel_env(
    traces: TracePaths, agents: int = 2, gap: float = 20.0, **settings: Any
) -> DrivingParallelEnv:
    """Several learners in one scene, who see each other: a PettingZoo `ParallelEnv`.

    Args:
        traces: as `lane_following_env` takes them.
        agents: how many, "car_0", "car_1", ..., one behind the other at the start.
        gap: m along the path from each to the next.
        settings: further ones of `lane_following_env`, the same for all.

    Raises:
        WorldError, TraceError: an argument that cannot be.
        MissingDependencyError: PettingZoo is not installed.
    """
    try:
        from vista_sim.envs.parallel import DrivingParallelEnv
    except ImportError:
        raise MissingDependencyError(
            "several learners need PettingZoo; install it: pip install 'vista-sim[multi]'"
        ) from None
    return DrivingParallelEnv(lane_following_env(traces, **settings), agents, gap)


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
    known -= set(inspect.signature(lane_following_env).parameters) | {"starts"}
    if not isinstance(options, Mapping):
        raise WorldError(f"world_options is {shown(options)}; give them by name, in a dict")
    for name in options:
        if name not in known:
            raise WorldError(f"world_options has {name!r}; known are {', '.join(sorted(known))}")
    return options
