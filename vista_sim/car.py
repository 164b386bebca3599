"""A car in a world: its pose, its way along the recorded path, and what it observes."""

from __future__ import annotations

import math
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vista_sim.dynamics.bicycle import BicycleState, KinematicBicycle
from vista_sim.errors import OffPathError, WorldError
from vista_sim.policies import Action, CameraSpec
from vista_sim.tasks.lane_following import OFF_ROAD
from vista_sim.tasks.starts import Start
from vista_sim.transforms import wrap_angle, yaw_of

if TYPE_CHECKING:
    from vista_sim.traces.calibration import Vehicle
    from vista_sim.traces.path import TracePath
    from vista_sim.traces.sections import Section
    from vista_sim.traces.trace import Trace
    from vista_sim.world import World


class Car:
    """A car in the world. `World.spawn_agent` makes one.

    Attributes:
        trace, trace_index, section, path, vehicle: what it drives in, and as.
        x, y, yaw: pose of the rear axle in the world frame, m and rad.
        speed: m/s.
        tire_angle, curvature: rad and 1/m, as the tires stand now.
        s, lateral, heading_error: relative to the recorded path, m, m, rad.
        t: since the start of the episode, s.
        scene_time: moment of the recording that is seen, s of the trace.
        steps: since the start of the episode.
        action: the last one, None at the start.
        progress: distance gained along the path in the last step, m.
        tire_rate: mean rate of the tire angle over the last step, rad/s.
        ending: why the episode is over, None while it goes on.
        observations: by name; "camera" uint8 (height, width, 3), "speed" float32 (1,).
        validity: share of the first camera's pixels that a recorded frame saw; NaN without one.
        distance_to_recording: m from the recorded pose that the view is made from.
        view_seconds: wall time that the last step's views took, s.
    """

    trace_index: int
    section: Section
    path: TracePath
    vehicle: Vehicle

    def __init__(self, world: World) -> None:
        self.world = world
        self.dt = world.dt
        self._specs: dict[str, CameraSpec] = {}
        self.observations: dict[str, Any] = {}
        self.ending: str | None = "not_reset"

    @property
    def trace(self) -> Trace:
        """The trace it drives in."""
        return self.world.traces[self.trace_index]

    @property
    def done(self) -> bool:
        """Whether the episode is over."""
        return self.ending is not None

    def spawn_camera(
        self,
        name: str = "camera",
        size: tuple[int, int] = (66, 200),
        fov: float | None = None,
        mount: ArrayLike | None = None,
    ) -> None:
        """Add a camera; it is observed from the next reset on.

        Args:
            name: key of its images in `observations`; the first camera's is "camera".
            size: (height, width), px.
            fov: horizontal field of view, rad; None: the recorded camera's.
            mount: T_vehicle_camera; None: the recorded camera's.
        """
        if not self._specs and name != "camera":
            raise WorldError(f"the first camera is observed as 'camera', not as {name!r}")
        if name in self._specs or name == "speed":
            raise WorldError(f"there is an observation {name!r} already; choose another name")
        pose = None if mount is None else np.array(mount, dtype=np.float64).reshape(4, 4)
        self._specs[name] = CameraSpec((int(size[0]), int(size[1])), fov, pose)

    def reset(
        self,
        trace: int | None = None,
        s: float | None = None,
        lateral: float | None = None,
        heading: float | None = None,
    ) -> None:
        """Start an episode. What is not given is drawn as the world's starts say.

        Args:
            trace: index into the world's traces; 0 if only `s` is given.
            s: arc length on the trace's path, m; inside a drivable section.
            lateral: offset from the path, m, positive to the left.
            heading: relative to the path, rad, positive to the left.

        Raises:
            WorldError: a value that is not finite or not possible.
        """
        start = self._choose_start(trace, s, lateral, heading)
        world = self.world
        self.trace_index = start.trace
        trace_ = world.traces[start.trace]
        self.section = world.section_at(start.trace, start.s)
        self.path = trace_.path
        self.vehicle = trace_.vehicle
        self._dynamics = KinematicBicycle(self.vehicle)
        x, y, yaw = self.path.place(start.s, start.lateral, start.heading)
        self._state = BicycleState(
            x=x,
            y=y,
            yaw=yaw,
            speed=max(0.0, float(self.path.speed(start.s))),
            tire_angle=self._dynamics.tire_angle(self.path.curvature(start.s)),
        )
        self.t, self.steps = 0.0, 0
        self.action: Action | None = None
        self.tire_rate = self.progress = 0.0
        # What `_locate` leaves as it is where the path is out of reach.
        self.s, self.lateral, self.heading_error = start.s, start.lateral, start.heading
        self.ending = None
        self._locate()
        self.progress = 0.0
        self.ending = self.ending or world.task.ending(self)
        self.observe()

    def step(self, action: Action) -> None:
        """Move by one step and observe: the short form for a world with one car."""
        self.move(action)
        self.observe()

    def move(self, action: Action) -> None:
        """Move by one step without observing. Raises WorldError if the car is done."""
        if self.ending is not None:
            raise WorldError(f"the car is done ({self.ending}); reset it first")
        before = self._state
        acceleration = action.acceleration
        if acceleration is None:
            acceleration = (self._recorded_speed_after(self.dt) - before.speed) / self.dt
        self._state = self._dynamics.step(before, action.curvature, acceleration, self.dt)
        self.action = action
        self.steps += 1
        self.t = self.steps * self.dt
        self.tire_rate = (self._state.tire_angle - before.tire_angle) / self.dt
        self._locate()
        self.ending = self.ending or self.world.task.ending(self)

    def observe(self) -> None:
        """Renew `observations`, `validity` and `distance_to_recording`."""
        speed = np.array([self._state.speed], dtype=np.float32)
        observations: dict[str, Any] = {}
        self.validity = math.nan
        started = perf_counter()
        for name, spec in self._specs.items():
            image, valid = self.render(spec)
            observations[name] = image
            if name == "camera":
                self.validity = float(np.count_nonzero(valid)) / valid.size
        self.view_seconds = perf_counter() - started
        observations["speed"] = speed
        self.observations = observations

    def render(self, spec: CameraSpec) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """What a camera would see from here: image and valid, as `Camera.render` returns."""
        camera = self.world.cameras.camera(self.trace_index, spec)
        return camera.render(self.scene_time, self.offset)

    @property
    def x(self) -> float:
        """World frame, m."""
        return self._state.x

    @property
    def y(self) -> float:
        """World frame, m."""
        return self._state.y

    @property
    def yaw(self) -> float:
        """World frame, rad, in (-pi, pi]."""
        return self._state.yaw

    @property
    def speed(self) -> float:
        """m/s."""
        return self._state.speed

    @property
    def tire_angle(self) -> float:
        """Of the front tires, rad, positive to the left."""
        return self._state.tire_angle

    @property
    def curvature(self) -> float:
        """Of the path that the tires drive now, 1/m."""
        return self._dynamics.curvature(self._state.tire_angle)

    @property
    def recorded_speed(self) -> float:
        """Speed of the recording where the car is, m/s."""
        return float(self.path.speed(self._inside(self.s)))

    @property
    def max_curvature(self) -> float:
        """What the vehicle's tires can reach, 1/m."""
        return self._dynamics.max_curvature

    def road_edges(self) -> tuple[float, float]:
        """Distances (m) from the path to the road's left and right edge, where the car is.

        Raises:
            WorldError: the trace does not say.
        """
        road = self.trace.road
        if not road:
            raise WorldError(
                f"{self.trace.root}: has no road.parquet; give max_lateral in metres instead"
            )
        left = float(np.interp(self.s, road["s"], road["left"]))
        return left, float(np.interp(self.s, road["s"], road["right"]))

    def _choose_start(
        self, trace: int | None, s: float | None, lateral: float | None, heading: float | None
    ) -> Start:
        world = self.world
        for name, value in (("s", s), ("lateral", lateral), ("heading", heading)):
            if value is not None and not math.isfinite(value):
                raise WorldError(f"start {name} is {value}; it must be finite")
        if trace is not None and not 0 <= trace < len(world.traces):
            raise WorldError(f"trace is {trace}; there are {len(world.traces)}, counted from 0")
        if s is None:
            drawn = world.sampler.draw(world.rng, trace)
        else:
            drawn = Start(trace or 0, s, *world.sampler.draw_perturbation(world.rng))
        return Start(
            drawn.trace,
            float(drawn.s),
            drawn.lateral if lateral is None else float(lateral),
            drawn.heading if heading is None else float(heading),
        )

    def _inside(self, s: float) -> float:
        return min(max(s, self.section.start_s), self.section.end_s)

    def _recorded_speed_after(self, time: float) -> float:
        """Speed of the recording `time` (s) after it was where the car is now, m/s."""
        later = min(self.scene_time + time, self.section.end)
        return float(self.path.speed(self.path.arc_length(later)))

    def _locate(self) -> None:
        """Find the car on the recorded path, and the recorded pose that the view is made from."""
        state = self._state
        try:
            point = self.path.project(state.x, state.y, state.yaw, near=self.s)
        except OffPathError:
            # So far out that the path is out of reach: s, lateral and heading stay.
            self.ending = OFF_ROAD
        else:
            self.progress = point.s - self.s
            self.s, self.lateral = point.s, point.lateral
            self.heading_error = point.heading_error
        time = float(self.path.time(self._inside(self.s)))
        self.scene_time = min(max(time, self.section.start), self.section.end)
        recorded = self.trace.pose(self.scene_time)
        yaw = yaw_of(recorded)
        dx, dy = state.x - float(recorded[0, 3]), state.y - float(recorded[1, 3])
        c, s = math.cos(yaw), math.sin(yaw)
        #: (x, y, yaw) of the car in the recorded car's frame at `scene_time`.
        self.offset = (c * dx + s * dy, c * dy - s * dx, wrap_angle(state.yaw - yaw))
        self.distance_to_recording = math.hypot(dx, dy)
