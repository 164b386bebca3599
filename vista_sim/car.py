"""A car in a world: its pose, its way along the recorded path, and what it observes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vista_sim.arguments import check_number, check_size
from vista_sim.dynamics import state as c
from vista_sim.dynamics.action import Action
from vista_sim.dynamics.actuation import ActuationDelay, Controls
from vista_sim.dynamics.state import Table
from vista_sim.dynamics.trace_dynamics import TraceDynamics
from vista_sim.errors import WorldError
from vista_sim.sensors.bodies import Bodies
from vista_sim.sensors.faults import Faults
from vista_sim.sensors.pool import WorldCameras
from vista_sim.sensors.randomization import Randomization
from vista_sim.sensors.rig import Rig, Seat
from vista_sim.sensors.sensor import Readings
from vista_sim.sensors.spec import CameraSpec, SensorSpec, StateSpec, cameras_of, check_sensor
from vista_sim.sensors.state import state_vectors
from vista_sim.sensors.view import SceneView
from vista_sim.tasks.endings import Kind, kind_of
from vista_sim.tasks.starts import Start, StartSampler
from vista_sim.tasks.task import Task
from vista_sim.traces.calibration import Lens, Vehicle
from vista_sim.traces.sections import COMMAND, Section

if TYPE_CHECKING:
    from vista_sim.traces.path import TracePath
    from vista_sim.traces.trace import Trace


class CarScene(Protocol):
    """What a car asks of its scene; see `vista_sim.scene.scene.Scene`, which is one."""

    index: int
    alone: bool

    @property
    def rng(self) -> np.random.Generator: ...

    def begin(self, car: Car) -> bool: ...

    def move(self, actions: Mapping[Car, Action]) -> Any: ...


class CarWorld(Protocol):
    """What a car asks of the world that it is in; see `vista_sim.world.World`, which is one."""

    traces: tuple[Trace, ...]
    vehicles: tuple[Vehicle, ...]
    sections: tuple[tuple[Section, ...], ...]
    dt: float
    task: Task
    cameras: WorldCameras
    sampler: StartSampler
    randomization: Randomization | None
    table: Table
    ticks: NDArray[np.int64]
    terms: NDArray[np.float64]
    codes: NDArray[np.int64]

    def dynamics(self, trace: int) -> TraceDynamics: ...

    def section_at(self, trace: int, s: float) -> Section: ...

    def company(self, trace: int, rows: NDArray[np.int64]) -> Bodies | None: ...


#: Says what a car does, from where it is and what it has observed.
Driver = Callable[["Car"], Action]


@dataclass(frozen=True)
class Place:
    """Where a car starts, told from the first car of its scene.

    Args:
        ahead: m along the path, negative: behind.
        lateral, heading: from the path, m and rad, positive to the left.

    Raises:
        WorldError: one of them is no finite number.
    """

    ahead: float
    lateral: float = 0.0
    heading: float = 0.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not math.isfinite(check_number(f"place {name}", value)):
                raise WorldError(f"place {name} is {value}; it must be finite")


#: Of copies that would go on to drive, or draw from, what the original drives and draws from.
ALONE = "a shallow copy of a {what} would share its state; copy it with copy.deepcopy"


def camera_spec(
    size: Sequence[int],
    fov: float | None,
    mount: ArrayLike | None,
    lens: Lens | None,
    used: tuple[int, int, int, int] | None = None,
) -> CameraSpec:
    """The camera of these settings; see `Car.spawn_camera`. Raises WorldError."""
    if lens is not None and not isinstance(lens, Lens):
        raise WorldError(f"lens is {lens!r}; give a vista_sim.traces.calibration.Lens")
    from vista_sim.sensors.camera import check_mount

    angle = None if fov is None else check_number("fov", fov, "rad")
    try:
        pose = None if mount is None else check_mount(mount)
        return CameraSpec(check_size(size), angle, pose, lens, used)
    except (TypeError, ValueError) as error:
        raise error if isinstance(error, WorldError) else WorldError(str(error)) from None


MOST_DRAWN = 1000  # starts that are drawn for one episode, until one is possible


class _Column:
    """An attribute of a car that is a column of its state."""

    def __init__(self, index: int) -> None:
        self._index = index

    def __get__(self, car: Car, _: type[Car]) -> float:
        return car.number(self._index)

    def __set__(self, car: Car, value: float) -> None:
        raise AttributeError("the state of a car is moved by its world, not set")


class Car:
    """A car in the world. `World.spawn_agent` and `Scene.spawn_agent` make one.

    Attributes:
        scene: that it is in.
        driver: that drives it; None: whoever steps the world.
        place: where it starts, told from the first car of its scene; None: where it is put.
        row: of the world's table, that it is.
        trace, trace_index, section, path, vehicle: what it drives in, and as.
        x, y, yaw: pose of the rear axle in the world frame, m and rad.
        speed: m/s.
        tire_angle, curvature: rad and 1/m, as the tires stand now.
        tire_rate: mean rate of the tire angle over the last step, rad/s.
        s, lateral, heading_error: relative to the recorded path, m, m, rad.
        progress: distance gained along the path in the last step, m.
        t, steps: since the start of the episode, s and steps.
        action: the last one, None at the start.
        ending: why the episode is over, None while it goes on.
        reward_terms: of the last step, weighted, by name; zeros at a start.
        reward: their sum.
        scene_time: moment of the recording that is seen, s of the trace.
        offset: (x, y, yaw) of the car in the recorded car's frame at that moment, m and rad.
        distance_to_recording: m from the recorded pose that the view is made from.
        validity: share of the pixels of the camera "camera", of those that its policy uses, that a
            recorded frame saw; NaN without one.
        controls: how it follows its actions; from the next start on.
        view_seconds: wall time that the last step's sensors took, s.
        state: (1, WIDTH) its row of the world's table as it is now, see `dynamics.state`.
    """

    x = _Column(c.X)
    y = _Column(c.Y)
    yaw = _Column(c.YAW)
    speed = _Column(c.SPEED)
    tire_angle = _Column(c.TIRE_ANGLE)
    tire_rate = _Column(c.TIRE_RATE)
    curvature = _Column(c.CURVATURE)
    s = _Column(c.S)
    lateral = _Column(c.LATERAL)
    heading_error = _Column(c.HEADING_ERROR)
    progress = _Column(c.PROGRESS)
    t = _Column(c.TIME)
    scene_time = _Column(c.SCENE_TIME)
    distance_to_recording = _Column(c.DISTANCE)
    recorded_speed = _Column(c.RECORDED_SPEED)
    validity = _Column(c.VALIDITY)
    view_seconds = _Column(c.VIEW_SECONDS)

    trace_index: int
    section: Section

    def __init__(self, world: CarWorld, scene: CarScene, row: int) -> None:
        self.world, self.scene = world, scene
        self.driver: Driver | None = None
        self.place: Place | None = None
        self.row = row
        self.dt = world.dt
        self.controls = Controls()
        self._delay: ActuationDelay | None = None
        self._rig, self._seat = Rig(), c.FIRST
        self.faults = Faults(world.randomization)
        self._shared: Mapping[str, Readings] | None = None
        self._observations: dict[str, Any] = {}
        self._valid: NDArray[np.bool_] | None = None
        self.ending: str | None = "not_reset"

    # A car keeps no array of its own: what it says is what the world's table holds, also after
    # the table was made larger and in copies of the world.
    @property
    def state(self) -> Table:
        """(1, WIDTH) its row of the world's table."""
        return self.world.table[self.row : self.row + 1]

    def number(self, column: int) -> float:
        """A column of its state."""
        return self.world.table.item(self.row, column)

    def __copy__(self) -> Car:
        raise WorldError(ALONE.format(what="car"))

    @property
    def trace(self) -> Trace:
        """The trace it drives in."""
        return self.world.traces[self.trace_index]

    @property
    def path(self) -> TracePath:
        """Of the trace."""
        return self.trace.path

    @property
    def vehicle(self) -> Vehicle:
        """What it drives as."""
        return self.world.vehicles[self.trace_index]

    @property
    def dynamics(self) -> TraceDynamics:
        """What moves it."""
        return self.world.dynamics(self.trace_index)

    @property
    def reward_terms(self) -> dict[str, float]:
        """Weighted reward terms of the last step by name; zeros at a start."""
        world = self.world
        return dict(zip(world.task.terms, world.terms[self.row].tolist(), strict=True))

    @property
    def reward(self) -> float:
        """Of the last step: the sum of its terms."""
        reward = 0.0
        for term in self.world.terms[self.row].tolist():  # sum() compensates since Python 3.12
            reward += term
        return reward

    @property
    def done(self) -> bool:
        """Whether the episode is over."""
        return self.ending is not None

    @property
    def ending_kind(self) -> Kind | None:
        """The kind of its ending: "crash", "cut" or "success"; None while the episode goes on."""
        return kind_of(self.world.task.endings, self.ending)

    def spawn_camera(
        self,
        name: str = "camera",
        size: Sequence[int] = (66, 200),
        fov: float | None = None,
        mount: ArrayLike | None = None,
        lens: Lens | None = None,
        used: tuple[int, int, int, int] | None = None,
    ) -> None:
        """Add a camera; it is observed from the next reset on.

        Args:
            name: key of its images in `observations`; a policy's first camera is "camera".
            size: (height, width), px.
            fov: horizontal field of view, rad; None: the recorded camera's.
            mount: T_vehicle_camera; None: the recorded camera's.
            lens: in place of `fov`, of a camera with distortion.
            used: what of the image counts for `validity`, see `CameraSpec`; None: all of it.

        Raises:
            WorldError: a value that cannot be, or a trace without a camera to make views from.
        """
        self.spawn_sensor(name, camera_spec(size, fov, mount, lens, used))

    def spawn_sensor(self, name: str, spec: SensorSpec) -> None:
        """Add a sensor; it is observed from the next reset on.

        Args:
            name: key of its readings in `observations`; a policy's first camera is "camera", and
                the state vector is "state".
            spec: what it is like.

        Raises:
            WorldError: a name that is taken, or a trace without a camera to make its views from.
        """
        if name in self.specs:
            raise WorldError(f"there is an observation {name!r} already; choose another name")
        check_sensor(name, spec)
        for trace, sections in enumerate(self.world.sections):
            for camera in spec.cameras if sections else ():
                self.world.cameras.check(trace, camera)
        self._rig.add(name, spec)

    def spawn_sensors(self, sensors: Mapping[str, SensorSpec]) -> None:
        """Add several, by name; see `spawn_sensor`."""
        for name, spec in sensors.items():
            self.spawn_sensor(name, spec)

    def join(self, seat: Seat) -> None:
        """Be read with others, in place of by sensors of its own."""
        self._rig, self._seat, self._shared = seat.rig, np.array([seat.row]), seat.readings
        seat.rig.fit(seat.row, self._faults)

    @property
    def faults(self) -> Faults:
        """Of its sensors, from its next start on."""
        return self._faults

    @faults.setter
    def faults(self, faults: Faults) -> None:
        self._rig.fit(int(self._seat[0]), faults)
        self._faults = faults

    @property
    def observes_state(self) -> bool:
        """Whether it has the sensor "state": a short form to add it, or take it away."""
        return StateSpec.kind in self.specs

    @observes_state.setter
    def observes_state(self, wanted: bool) -> None:
        if not wanted:
            self._rig.remove(StateSpec.kind)
        elif not self.observes_state:
            self.spawn_sensor(StateSpec.kind, StateSpec())

    def reset(
        self,
        trace: int | None = None,
        s: float | None = None,
        lateral: float | None = None,
        heading: float | None = None,
    ) -> None:
        """Start an episode and observe: `start` and `observe`."""
        self.start(trace, s, lateral, heading)
        self.observe()

    def start(
        self,
        trace: int | None = None,
        s: float | None = None,
        lateral: float | None = None,
        heading: float | None = None,
    ) -> None:
        """Start an episode without observing. What is not given is drawn as the world's starts say.

        What is drawn is drawn again while the episode would be over at once: on a narrow stretch
        of road, or beside a bend.

        Args:
            trace: index into the world's traces; 0 if only `s` is given.
            s: arc length on the trace's path, m; inside a drivable section.
            lateral: offset from the path, m, positive to the left.
            heading: relative to the path, rad, positive to the left.

        Raises:
            WorldError: a value that is not finite or not possible.
        """
        drawn = None in (s, lateral, heading)
        for _ in range(MOST_DRAWN if drawn else 1):
            self._place(self._choose_start(trace, s, lateral, heading))
            if self.scene.begin(self) and self.ending is None:
                break
        world, controls = self.world, self.controls
        self._delay = None
        if controls.delay > 0:
            self._delay = ActuationDelay(controls.delay, self.dt)
            self._delay.reset(self.state)
        world.terms[self.row] = 0.0
        self._rig.reset(self.view(), self._seat, (self.scene.rng,))

    def _place(self, start: Start) -> None:
        """Put it at a start."""
        world = self.world
        section = world.section_at(start.trace, start.s)
        self.trace_index, self.section = start.trace, section
        bounds = (section.start, section.end, section.start_s, section.end_s)
        state = self.state
        state[0, c.START : c.END_S + 1] = bounds
        state[0, c.TRACE] = start.trace
        state[0, c.SPEED_FACTOR] = self.controls.speed_factor
        state[0, c.SPEED_LIMIT] = self.controls.speed_limit
        self.dynamics.begin(state, 0, start.s, start.lateral, start.heading)
        self._conclude()

    def carry_on(self) -> None:
        """Begin a new episode where the car is and as it moves: somebody else drives it.

        Raises:
            WorldError: the episode is over, so that there is nothing to carry on.
        """
        if self.ending is not None:
            raise WorldError(f"the car is done ({self.ending}); reset it first")
        self.state[0, c.STEPS] = self.state[0, c.TIME] = 0.0
        self.world.terms[self.row] = 0.0
        self.state[0, c.TARGET_CURVATURE] = self.state[0, c.TARGET_ACCELERATION] = math.nan
        self._rig.forget(int(self._seat[0]))

    def leave(self) -> None:
        """Be no longer there, until the next start."""
        self.state[0, c.X] = math.nan
        self.ending = "not_reset"

    def step(self, action: Action) -> None:
        """Move by one step and observe: the short form for a scene without other learners."""
        self.move(action)
        self.observe()

    def move(self, action: Action) -> None:
        """Move by one step, and its scene with it, without observing.

        Raises:
            WorldError: the car is done, or its scene has others that are told what to do.
        """
        if self.scene.alone:
            self.go(action)
            self.world.ticks[self.scene.index] += 1
        else:
            self.scene.move({self: action})

    def go(self, action: Action) -> None:
        """Move by one step, alone. Raises WorldError if the car is done."""
        if self.ending is not None:
            raise WorldError(f"the car is done ({self.ending}); reset it first")
        self.ask(action)
        if self._delay is not None:
            self._delay.send(self.state)
        self.dynamics.step(self.state, c.FIRST, self.dt)
        self._conclude()

    def ask(self, action: Action) -> None:
        """Write an action into the state, for the compiled code to drive."""
        state = self.state
        state[0, c.TARGET_CURVATURE] = action.curvature
        acceleration = action.acceleration if self.controls.free_speed else None
        state[0, c.TARGET_ACCELERATION] = math.nan if acceleration is None else acceleration

    def view(self) -> SceneView:
        """What its sensors are given to read."""
        world, trace = self.world, self.trace_index
        bodies, recording = self._company(), world.traces[trace]
        return SceneView(self.state, c.FIRST, world.cameras, trace, recording, bodies=bodies)

    def _company(self) -> Bodies | None:
        """The other bodies of its scene."""
        if self.scene.alone:
            return None
        return self.world.company(self.trace_index, np.array([self.row]))

    def observe(self) -> None:
        """Renew `observations`, `valid`, `validity` and `view_seconds`."""
        started = perf_counter()
        readings = self._shared or self._rig.empty()
        view = self.view()
        self._rig.read([(view, self._seat)], readings)
        self._observations, self._valid = self._told(readings), self._mask(readings)
        own = view.table[0]
        own[c.VALIDITY] = self.share_seen(self._valid)
        own[c.VIEW_SECONDS] = perf_counter() - started

    @property
    def observations(self) -> dict[str, Any]:
        """What it observed last, by name; where its sensors are shared, what they hold now.

        Of each sensor what it read, such as "camera": uint8 (height, width, 3); "speed": float32
        (1,), m/s; where the trace has labels "command", "command": their value.
        """
        return self._observations if self._shared is None else self._told(self._shared)

    @property
    def valid(self) -> NDArray[np.bool_] | None:
        """(height, width), which pixels of the camera "camera" a recorded frame saw, or None."""
        return self._valid if self._shared is None else self._mask(self._shared)

    def recall(self, observations: dict[str, Any], valid: NDArray[np.bool_] | None) -> None:
        """Have observed what a car like it did; until the next `observe`."""
        self._observations, self._valid = observations, valid

    def share_seen(self, valid: NDArray[np.bool_] | None) -> float:
        """Share of the pixels of "camera", of those that its policy uses; NaN without one."""
        camera = None if valid is None else self.specs.get(CameraSpec.kind)
        if valid is None or not isinstance(camera, CameraSpec):
            return math.nan
        return camera.share_seen(valid)

    def _told(self, readings: Mapping[str, Readings]) -> dict[str, Any]:
        """Observations, of what was read of its sensors; its arrays are not copied."""
        told: dict[str, Any] = {}
        row = self._seat.item()
        for name, one in readings.items():
            told[name] = one.value[row]
        told["speed"] = np.array([self.speed], dtype=np.float32)
        command = self.trace.label(COMMAND, self.scene_time)
        if command is not None:
            told[COMMAND] = command
        return told

    def _mask(self, readings: Mapping[str, Readings]) -> NDArray[np.bool_] | None:
        camera = readings.get(CameraSpec.kind)
        return None if camera is None or camera.valid is None else camera.valid[self._seat.item()]

    def state_vector(self) -> NDArray[np.float32]:
        """What a network without a camera is told, (K,); see `sensors.state_vector`."""
        return state_vectors(self.view())[0]

    @property
    def specs(self) -> Mapping[str, SensorSpec]:
        """Its sensors by name."""
        return self._rig.specs

    @property
    def cameras(self) -> Mapping[str, CameraSpec]:
        """Its cameras by name."""
        return cameras_of(self.specs)

    def render(self, spec: CameraSpec) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """What a camera would see from here: image and valid, as `Camera.render` returns."""
        camera = self.world.cameras.camera(self.trace_index, spec)
        return camera.render(self.scene_time, self.offset, self._company())

    @property
    def steps(self) -> int:
        """Since the start of the episode."""
        return int(self.number(c.STEPS))

    @property
    def action(self) -> Action | None:
        """The last one; None at the start."""
        curvature, acceleration = (
            self.number(c.TARGET_CURVATURE),
            self.number(c.TARGET_ACCELERATION),
        )
        if math.isnan(curvature):
            return None
        return Action(curvature, None if math.isnan(acceleration) else acceleration)

    @property
    def offset(self) -> tuple[float, float, float]:
        """(x, y, yaw) in the recorded car's frame at `scene_time`, m and rad."""
        return self.number(c.OFFSET_X), self.number(c.OFFSET_Y), self.number(c.OFFSET_YAW)

    @property
    def max_curvature(self) -> float:
        """What the vehicle's tires can reach, 1/m."""
        return self.dynamics.bicycle.max_curvature

    def road_edges(self) -> tuple[float, float]:
        """Distances (m) from the path to the road's left and right edge, where the car is.

        Raises:
            WorldError: the trace does not say.
        """
        left, right = self.number(c.ROAD_LEFT), self.number(c.ROAD_RIGHT)
        if math.isnan(left):
            raise WorldError(
                f"{self.trace.root}: has no road.parquet; give max_lateral in metres instead"
            )
        return left, right

    def _choose_start(
        self, trace: int | None, s: float | None, lateral: float | None, heading: float | None
    ) -> Start:
        world = self.world
        for name, value in (("s", s), ("lateral", lateral), ("heading", heading)):
            if value is None:
                continue
            nan = isinstance(value, float) and math.isnan(value)
            if nan or not math.isfinite(check_number(f"start {name}", value)):
                raise WorldError(f"start {name} is {value}; it must be finite")
        if trace is not None and not 0 <= trace < len(world.traces):
            raise WorldError(f"trace is {trace}; there are {len(world.traces)}, counted from 0")
        if s is None:
            drawn = world.sampler.draw(self.scene.rng, trace)
        else:
            drawn = Start(trace or 0, s, *world.sampler.draw_perturbation(self.scene.rng))
        return Start(
            drawn.trace,
            float(drawn.s),
            drawn.lateral if lateral is None else float(lateral),
            drawn.heading if heading is None else float(heading),
        )

    def _conclude(self) -> None:
        """Have the last step judged: its reward terms, and whether the episode is over."""
        world, row = self.world, self.row
        own = slice(row, row + 1)
        task = world.task
        task.judge(world.table[own], c.FIRST, self.dt, world.terms[own], world.codes[own])
        code = world.codes.item(row)
        self.ending = task.endings[code - 1].name if code else None
