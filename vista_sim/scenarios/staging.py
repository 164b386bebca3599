"""Makes the world of a case: its car at the start, its limits, its faults."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vista_sim.car import Car
from vista_sim.dynamics.action import Action
from vista_sim.dynamics.actuation import Controls
from vista_sim.errors import WorldError
from vista_sim.scenarios.case import Case
from vista_sim.scenarios.further import FurtherSensor, all_sensors
from vista_sim.scenarios.images import image_changes
from vista_sim.scenarios.settings import FREE, RECOVERY, RESTART, Settings
from vista_sim.sensors.faults import Faults
from vista_sim.sensors.pool import CameraPool, WorldCameras
from vista_sim.sensors.rig import Seat
from vista_sim.sensors.spec import CameraSpec, SensorSpec, check_sensors
from vista_sim.tasks import recovery
from vista_sim.tasks.endings import CRASH, Ending, Kind, kind_of
from vista_sim.tasks.recovery import RecoveryWatch
from vista_sim.traces.calibration import Vehicle
from vista_sim.traces.trace import Trace
from vista_sim.world import World

CAMERA = CameraSpec.kind
_DROPS = 1  # beside a case's seed: frames are lost alike whatever else is drawn
_CACHE_BYTES = 512 * 2**20  # of decoded frames, a trace


class Stage:
    """A case, ready to drive: `stage` makes one.

    An episode is driven by `step` until `done`; then `set_back` says whether another one of the
    same case follows. `car.move` and `car.observe` do the same in two parts; `watch` is then to
    be called after both.

    Args:
        case, world, car: see below.
        observe: whether the car observes at its starts; else who drives it has it do so.

    Attributes:
        case: what is driven.
        world: of one trace and one section.
        car: at its start; it applies delay, limits, sensor faults and image changes.
        episodes: how many were begun.
    """

    def __init__(self, case: Case, world: World, car: Car, observe: bool = True) -> None:
        self.case, self.world, self.car = case, world, car
        self._observe = observe
        self.episodes = 0
        self._watch: RecoveryWatch | None = None
        self._over = False
        self._begin(case.s, case.lateral, case.heading)

    @property
    def done(self) -> bool:
        """Whether the episode is over."""
        return self.car.done or self._over

    @property
    def ending(self) -> str | None:
        """Why it is over: an ending of the task, or "recovered" or "not_recovered"."""
        if self.car.done or self._watch is None or not self._over:
            return self.car.ending
        return self._watch.ending

    @property
    def endings(self) -> tuple[Ending, ...]:
        """Why it may be over: the endings of the task, then those of a test of recovery."""
        return (*self.world.task.endings, *recovery.ENDINGS)

    @property
    def ending_kind(self) -> Kind | None:
        """The kind of its ending; None while it goes on."""
        return kind_of(self.endings, self.ending)

    @property
    def recovered(self) -> bool | None:
        """Whether the car has recovered; None where that is not asked."""
        return None if self._watch is None else self._watch.recovered

    @property
    def recovery_time(self) -> float | None:
        """Seconds from the start to when it counted as recovered; None unless it has."""
        return self.car.t if self.recovered else None

    @property
    def observations(self) -> Mapping[str, Any]:
        """What a policy sees."""
        return self.car.observations

    def step(self, action: Action) -> None:
        """Drive one step. Raises WorldError if the episode is over."""
        self.move(action)
        self.car.observe()

    def move(self, action: Action) -> None:
        """Drive one step without observing. Raises WorldError if the episode is over."""
        if self._over:
            raise WorldError(f"the episode is over ({self.ending}); set the car back first")
        self.car.move(action)
        self.watch(self.car)

    def watch(self, car: Car) -> bool:
        """Look at the car after a step; whether the episode is over though the car is not done."""
        self._over = self._watch is not None and self._watch(car)
        return self._over

    def set_back(self) -> bool:
        """After an episode: put the car on the path further on if the case goes on there.

        It does in mode "restart", after a crash that the section's end is not too near to.
        """
        if self.case.settings.mode != RESTART or self.car.ending_kind != CRASH:
            return False
        car = self.car
        time = car.scene_time + self.case.settings.restart.setback
        if time >= car.section.end - car.dt:
            return False
        self._begin(car.path.arc_length(time), 0.0, 0.0)
        return True

    def restart(self, s: float | None = None, lateral: float = 0.0, heading: float = 0.0) -> None:
        """Begin another episode of the case.

        Args:
            s, lateral, heading: where, m, m and rad; s None: at the case's own start.

        Raises:
            WorldError: the car cannot be put there.
        """
        if s is None:
            self._begin(self.case.s, self.case.lateral, self.case.heading)
        else:
            self._begin(s, lateral, heading)

    def _begin(self, s: float, lateral: float, heading: float) -> None:
        self.car.start(trace=0, s=s, lateral=lateral, heading=heading)
        if self._observe:
            self.car.observe()
        self.episodes += 1
        settings = self.case.settings
        self._watch = RecoveryWatch(settings.recovery_rule()) if settings.mode == RECOVERY else None
        self.watch(self.car)


class Stager:
    """Stages one case after the other for the same sensors; keeps traces and frames between them.

    Args:
        sensors: of the car, by name; or the one camera that it has, or None: it needs none.
        backend, device: of the cameras.
        traces_kept: how many traces (each by its recorded camera) are kept at most.
        further: sensors that it has beside these; None: those of each case.
    """

    def __init__(
        self,
        sensors: Mapping[str, SensorSpec] | CameraSpec | None,
        backend: str = "numba",
        traces_kept: int = 2,
        device: str = "cpu",
        further: Iterable[FurtherSensor] | None = None,
    ) -> None:
        given = {} if sensors is None else sensors
        alone = {CAMERA: given} if isinstance(given, CameraSpec) else given
        self.sensors = check_sensors(alone)
        self._further = None if further is None else tuple(further)
        self.traces_kept = traces_kept
        self._backend, self._device = backend, device
        self._pools: OrderedDict[tuple[Path, str | None], tuple[Trace, WorldCameras]] = (
            OrderedDict()
        )

    def world(self, case: Case) -> World:
        """The world of a case, still without a car."""
        settings = case.settings
        recorded = settings.sensors.recorded_camera
        trace, cameras = self._cameras(case.trace, recorded)
        world = World(
            trace,
            dt=settings.dt,
            task=settings.make_task(),
            section=case.section,
            min_speed=settings.section.min_speed,
            exclude_labels=settings.section.exclude_labels,
            recorded_camera=recorded,
            randomization=image_changes(settings.image, settings.sensors),
            vehicle=vehicle_limits(trace.vehicle, settings),
            cameras=lambda *_: cameras,
        )
        world.rng = np.random.default_rng(case.seed)
        return world

    def stage(self, case: Case, observe: bool = True, seat: Seat | None = None) -> Stage:
        """A case, its car at the start and, with `observe`, observing.

        Args:
            case: what to drive.
            observe: see `Stage`.
            seat: where the car is read with others; None: by sensors of its own.

        Raises:
            ScenarioError: a further sensor is called as another one is.
            TraceError, WorldError: its trace is not what it was when the case was made.
        """
        own = case.settings.sensors.further
        sensors = all_sensors(self.sensors, own if self._further is None else self._further)
        world = self.world(case)
        car = world.spawn_agent()
        car.spawn_sensors(sensors)
        if seat is not None:
            car.join(seat)
        prepare(car, case)
        return Stage(case, world, car, observe)

    def _cameras(self, root: Path, recorded: str | None) -> tuple[Trace, WorldCameras]:
        key = (root, recorded)
        trace = Trace.open(root)
        kept = self._pools.pop(key, None)
        if kept is None or kept[0] is not trace:
            pool = CameraPool(
                (trace,),
                recorded,
                self._backend,
                cache_bytes=_CACHE_BYTES,
                device=self._device,
            )
            kept = (trace, pool)
        self._pools[key] = kept
        while len(self._pools) > self.traces_kept:
            self._pools.popitem(last=False)
        return kept


def stage(case: Case, camera: CameraSpec | None) -> Stage:
    """A case, ready to drive; the same case and actions give the same drive.

    Args:
        case: what to drive.
        camera: the policy's; the case perturbs it. None: it needs none.

    Raises:
        ScenarioError: a sensor of the case is called as the policy's camera is.
        TraceError, WorldError: its trace is not what it was when the case was made.
    """
    return Stager(camera).stage(case)


def prepare(car: Car, case: Case) -> None:
    """Give a car, before its start, the controls and the sensor faults of a case."""
    settings = case.settings
    speed, sensors = settings.speed, settings.sensors
    car.controls = Controls(
        delay=settings.vehicle.actuation_delay,
        speed_factor=speed.factor,
        speed_limit=math.inf if speed.limit is None else speed.limit,
        free_speed=speed.mode == FREE,
    )
    car.faults = Faults(
        car.world.randomization,
        sensors.dropped_frames,
        sensors.late_frames,
        (case.seed, _DROPS),
    )


def vehicle_limits(vehicle: Vehicle, settings: Settings) -> dict[str, float]:
    """Fields of a trace's vehicle that a case replaces, see `World`.

    The tire angle of a curvature is atan(wheelbase · curvature), as `dynamics.bicycle` has it.
    """
    limits = settings.vehicle
    given: dict[str, float | None] = {
        "max_tire_rate": limits.steering_rate_limit,
        "max_acceleration": limits.max_acceleration,
        "max_deceleration": limits.max_deceleration,
    }
    if limits.curvature_limit is not None:
        given["max_tire_angle"] = math.atan(vehicle.wheelbase * limits.curvature_limit)
    return {name: value for name, value in given.items() if value is not None}
