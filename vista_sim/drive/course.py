"""What is driven: the stretches of a trace, or the cases of a scenario, one after the other."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vista_sim.car import Car
from vista_sim.dynamics.action import Action
from vista_sim.errors import TraceError, VistaError
from vista_sim.scenarios.case import Case
from vista_sim.scenarios.further import all_sensors
from vista_sim.scenarios.library import find_drive
from vista_sim.scenarios.settings import FREE, RECORDED, RESTART, Settings, SpeedSettings
from vista_sim.scenarios.staging import Stage, Stager, prepare
from vista_sim.scenarios.suite import load_suite
from vista_sim.sensors.spec import CameraSpec, SensorSpec
from vista_sim.traces.trace import Trace

WIDEST_VIEW = 2.0  # rad; a fisheye recording is looked at through no wider pinhole
POLICY_CAMERA = "policy"  # name of the policy's camera beside the driver's
MAX_ROAD_POINTS = 4000


@dataclass(frozen=True)
class Target:
    """What somebody wants to drive.

    Args:
        name: of the trace, or of the scenario or suite.
        cases: what is driven in it, in order.
        of_suite: whether it is a scenario or suite.
    """

    name: str
    cases: tuple[Case, ...]
    of_suite: bool

    @property
    def traces(self) -> tuple[Path, ...]:
        """Folders of the traces, each once."""
        return tuple(dict.fromkeys(case.trace for case in self.cases))


def read_target(what: str, dt: float, speed: str | None, seed: int = 0) -> Target:
    """Find and read what is to be driven.

    Args:
        what: a trace folder; a scenario or suite file, or the name of one that is installed;
            "sample:NAME", or the name of a sample trace.
        dt: length of a step, s, in place of a scenario's own.
        speed: "recorded" or "free" in place of a scenario's own; None: its own.
        seed: of what is drawn on a trace.

    Raises:
        VistaError: there is no such thing, or it cannot be driven.
    """
    if speed not in (None, RECORDED, FREE):
        raise VistaError(f"--speed is {speed!r}; choose recorded or free")
    folder = find_drive(what)
    if folder is not None:
        return _of_trace(Trace.open(folder), dt, speed or RECORDED, seed)

    suite = load_suite(what)
    cases = []
    for case in suite.cases():
        settings = dataclasses.replace(case.settings, dt=dt)
        if speed is not None and speed != settings.speed.mode:
            held = SpeedSettings(speed, limit=settings.speed.limit)
            settings = dataclasses.replace(settings, speed=held)
        cases.append(dataclasses.replace(case, settings=settings))
    return Target(suite.name, tuple(cases), True)


def _of_trace(trace: Trace, dt: float, speed: str, seed: int) -> Target:
    settings = Settings(mode=RESTART, dt=dt, speed=SpeedSettings(speed))
    sections = trace.find_sections(settings.section.min_speed)
    if not sections:
        raise TraceError(
            f"{trace.root}: nothing to drive at {settings.section.min_speed} m/s or faster"
        )
    cases = tuple(
        Case(
            scenario=trace.name,
            case=trace.name if len(sections) == 1 else f"{trace.name}, section {i}",
            weight=1.0,
            trace=trace.root,
            section=(section.start, section.end),
            s=section.start_s,
            lateral=0.0,
            heading=0.0,
            road="",
            seed=seed,
            settings=settings,
        )
        for i, section in enumerate(sections)
    )
    return Target(trace.name, cases, False)


class Course:
    """Stages what is driven, for a driver who sees it at a size.

    Args:
        target: what is driven.
        size: (height, width) of what the driver sees, px.
        policy_sensors: of a policy that may drive too, by name; its camera is POLICY_CAMERA.
        start: index of the case to begin with.

    Raises:
        ScenarioError: a sensor of a case is called as one of the policy's, and is another one.

    Attributes:
        index: of the case that is driven.
        stage: of that case.
    """

    def __init__(
        self,
        target: Target,
        size: tuple[int, int],
        policy_sensors: Mapping[str, SensorSpec] | None = None,
        start: int = 0,
    ) -> None:
        self.target, self.size = target, size
        self.policy_sensors = dict(policy_sensors or {})
        for case in target.cases:  # now, not in the middle of a drive
            all_sensors(self.policy_sensors, case.settings.sensors.further)
        self._stager = Stager(None)
        self.index = start
        self.stage = self._open(start)

    @property
    def case(self) -> Case:
        """What is driven."""
        return self.stage.case

    @property
    def car(self) -> Car:
        """That is driven."""
        return self.stage.car

    @property
    def free(self) -> bool:
        """Whether its speed is the driver's."""
        return self.case.settings.speed.mode == FREE

    def next(self, step: int = 1) -> bool:
        """Go to the next case; False if there is none."""
        index = self.index + step
        if not 0 <= index < len(self.target.cases):
            return False
        self.stage = self._open(index)
        self.index = index
        return True

    def warm_up(self) -> None:
        """Make a step, which compiles what a drive needs: it takes seconds the first time."""
        for _ in range(2):
            if not self.car.done:
                self.car.step(Action(self.car.curvature))
        self.stage = self._open(self.index)

    def limits(self) -> tuple[float, float]:
        """How far from the path (m) and how turned (rad) the car may be here."""
        endings = self.case.settings.endings
        lateral = endings.max_lateral
        if isinstance(lateral, str):
            lateral = min(self.car.road_edges())
        return float(lateral), endings.max_heading

    def labels(self) -> dict[str, Any]:
        """Columns of an episode that say of which trace and case it is."""
        case = self.case
        labels: dict[str, Any] = {"trace": self.target.traces.index(case.trace)}
        if self.target.of_suite:
            labels |= {
                "scenario": case.scenario,
                "case": case.case,
                "seed": case.seed,
                "weight": case.weight,
            }
        return labels

    def place(self) -> dict[str, Any]:
        """What the page shows of where the drive is: names, and the road from above."""
        car, case = self.car, self.case
        return {
            "type": "place",
            "trace": car.trace.name,
            "case": case.case,
            "index": self.index,
            "count": len(self.target.cases),
            "free": self.free,
            "max_lateral": round(self.limits()[0], 3),
            "car": [car.vehicle.length, car.vehicle.width, car.vehicle.rear_overhang],
            "start_s": round(car.section.start_s, 1),
            "end_s": round(car.section.end_s, 1),
            "road": road_from_above(car),
        }

    def _open(self, index: int) -> Stage:
        case = self.target.cases[index]
        world = self._stager.world(case)
        car = world.spawn_agent()
        trace = world.traces[0]
        lens = trace.cameras[world.cameras.recorded_name(0)].calibration.lens
        car.spawn_camera("camera", self.size, WIDEST_VIEW if lens.fov > WIDEST_VIEW else None)
        for name, spec in all_sensors(self.policy_sensors, case.settings.sensors.further).items():
            car.spawn_sensor(POLICY_CAMERA if name == CameraSpec.kind else name, spec)
        prepare(car, case)
        return Stage(case, world, car)


def road_from_above(car: Car) -> dict[str, list[float]]:
    """The road of a car's section: s, x, y of the path, and its edges' distances, m.

    Where the trace does not say how wide the road is, the edges are what the task allows.
    """
    section, path = car.section, car.path
    count = int(min(MAX_ROAD_POINTS, max(2, math.ceil(section.length / 1.0) + 1)))
    s = np.linspace(section.start_s, section.end_s, count)
    points = np.array([path.place(float(at))[:3] for at in s])
    road = car.trace.road
    if road:
        left, right = (np.interp(s, road["s"], road[name]) for name in ("left", "right"))
    else:
        limit = car.world.task.limits.max_lateral
        left = right = np.full(count, 2.0 if isinstance(limit, str) else float(limit))
    return {
        name: [round(float(value), 2) for value in values]
        for name, values in (
            ("s", s),
            ("x", points[:, 0]),
            ("y", points[:, 1]),
            ("left", left),
            ("right", right),
        )
    }
