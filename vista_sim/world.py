"""The world: recorded drives and the cars that drive in them, one moment at a time."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vista_sim.arguments import check_flag, check_number
from vista_sim.car import ALONE, Car
from vista_sim.dynamics import state as c
from vista_sim.dynamics.action import Action
from vista_sim.dynamics.state import empty_table
from vista_sim.dynamics.trace_dynamics import TraceDynamics
from vista_sim.errors import WorldError
from vista_sim.scene.behaviour import RecordedTracks, Rows
from vista_sim.scene.box import Box
from vista_sim.scene.company import company_of
from vista_sim.scene.scene import Scene
from vista_sim.sensors.bodies import Bodies
from vista_sim.sensors.pool import CameraMaker, CameraPool, WorldCameras
from vista_sim.sensors.randomization import Randomization
from vista_sim.tasks.registry import make_task
from vista_sim.tasks.starts import Starts, StartSampler
from vista_sim.tasks.task import GivenEndings, GivenRewards, Task
from vista_sim.traces.calibration import Vehicle, vehicle_values
from vista_sim.traces.sections import Section
from vista_sim.traces.trace import Trace

__all__ = ["Car", "TracePaths", "World"]

TracePaths = str | os.PathLike[str] | Trace | Sequence[str | os.PathLike[str] | Trace]


class World:
    """Traces, the cars in them, and time in steps of `dt`.

    Args:
        traces: one or several traces, open or by their folders. They are opened once.
        dt: length of a step, s.
        task: what is asked of the cars: the name of a task (see `tasks.registry`), or one; None:
            lane following.
        endings, rewards: of a task that is named, such as `Endings` and `Rewards` of lane
            following, or mappings of some of their fields; None: as they are by default.
        starts: how `reset` draws starts.
        section: (start, end) in s of each trace that may be driven; None: all of it.
        min_speed: recorded speed (m/s) below which a trace is not driven.
        exclude_labels: labels whose stretches are not driven.
        recorded_camera: name of the recorded camera that views are made from, or several that
            feed one view; None: each trace's "front", "left", or first one.
        backend: of the cameras.
        device: where backend "torch" makes their views: "cpu", "cuda", "cuda:1", ...
        cameras_kept, cache_bytes: how many cameras (one a trace and kind) are kept, and the
            memory that their decoded frames may take together.
        randomization: how cameras differ from episode to episode; None: they do not.
        vehicle: fields of the vehicle, by name, in place of each trace's own (see
            `traces.calibration.Vehicle`).
        cameras: makes what views come from, in place of synthesizing them from the traces (and
            of the backend and what it keeps); all else of the world stays the same.
        tracks: whether other road users that were recorded (tracks.parquet) are there as boxes.
            They are not taken out of the recorded images.

    A world can be copied with `copy.deepcopy` and pickled: its cars with it, wherever they are.

    Attributes:
        traces, vehicles, sections: what is driven, trace by trace.
        dt, randomization: as given.
        task: that is asked.
        cameras: where views come from.
        sampler: draws starts.
        rng: what is drawn in scenes without a generator of their own, is drawn from it.
        scenes, cars: in the order in which they were added.
        crowded: whether a scene has more in it than one car.
        boxes: what bodies look like; the table's column BOX counts them.
        table: (rows, WIDTH), a row a body and room for more, see `dynamics.state`; a row is that
            of a car for good, but adding bodies makes a new table.
        begun, ticks: (m,) of each scene: the moment at which it began, s of its recording, and
            the steps since.
        terms, codes: (rows, K) and (rows,), what the task said of each car's last step: weighted
            reward terms, and the ending's code; see `Task`.

    Raises:
        TraceError: a trace cannot be opened.
        WorldError: no trace has anything to drive.
    """

    def __init__(
        self,
        traces: TracePaths,
        dt: float = 0.1,
        task: Task | str | None = None,
        *,
        endings: GivenEndings | None = None,
        rewards: GivenRewards | None = None,
        starts: Starts | None = None,
        section: tuple[float, float] | None = None,
        min_speed: float = 2.5,
        exclude_labels: Sequence[str] = (),
        recorded_camera: str | Sequence[str] | None = None,
        backend: str = "numba",
        cameras_kept: int = 16,
        cache_bytes: int = 1024 * 2**20,
        randomization: Randomization | None = None,
        vehicle: Mapping[str, float] | None = None,
        cameras: CameraMaker | None = None,
        device: str = "cpu",
        tracks: bool = False,
    ) -> None:
        dt = check_number("dt", dt, "s")
        if not 0 < dt <= 1:
            raise WorldError(f"dt is {dt} s; it must be above 0 and at most 1")
        if randomization is not None and not isinstance(randomization, Randomization):
            raise WorldError(f"randomization is {randomization!r}; give a Randomization")
        if isinstance(exclude_labels, str):
            raise WorldError(f"exclude_labels is {exclude_labels!r}; give a list of labels")
        min_speed = check_number("min_speed", min_speed, "m/s")
        if section is not None:
            section = _span(section)
        every: Any = traces  # whatever else is given, opening it says what it is
        single = not isinstance(every, Iterable) or isinstance(every, str | os.PathLike | Trace)
        given: list[Any] = [every] if single else list(every)
        if not given:
            raise WorldError("traces is empty; give at least one trace")
        self.traces = tuple(Trace.open(trace) for trace in given)
        self.vehicles = tuple(_with(trace.vehicle, vehicle or {}) for trace in self.traces)
        self.dt = dt
        self.task = make_task(task, endings, rewards)
        self.sections = tuple(
            trace.find_sections(min_speed, exclude_labels, section) for trace in self.traces
        )
        if not any(self.sections):
            roots = ", ".join(str(trace.root) for trace in self.traces)
            within = "" if section is None else f" between {section[0]} and {section[1]} s"
            raise WorldError(f"{roots}: nothing to drive at {min_speed} m/s or faster{within}")
        self.cameras: WorldCameras
        if cameras is not None:
            self.cameras = cameras(self.traces, recorded_camera)
        else:
            self.cameras = CameraPool(
                self.traces, recorded_camera, backend, cameras_kept, cache_bytes, device
            )
        if recorded_camera is not None:
            for index, sections in enumerate(self.sections):
                if sections:
                    self.cameras.recorded_name(index)
        starts = Starts() if starts is None else starts
        if not isinstance(starts, Starts):
            raise WorldError(f"starts is {starts!r}; give a Starts")
        driven = zip(self.traces, self.sections, strict=True)
        self.task.check_starts(starts, (trace for trace, sections in driven if sections))
        self.sampler = StartSampler(self.traces, self.sections, starts)
        self.randomization = randomization
        self.rng = np.random.default_rng()
        self._behaviours = (RecordedTracks(),) if check_flag("tracks", tracks) else ()
        self.scenes: list[Scene] = []
        self.cars: list[Car] = []
        self.boxes: list[Box] = []
        self._box_numbers: dict[Box, int] = {}
        self._dynamics: dict[int, TraceDynamics] = {}
        self.table = empty_table(1)
        self._used = 0  # rows of the table that are or were a body's
        self._left: list[int] = []  # of these, those that no body has now
        self.crowded = False
        self.begun, self.ticks = np.zeros(1), np.zeros(1, dtype=np.int64)
        self.terms = np.zeros((1, len(self.task.terms)))
        self.codes = np.zeros(1, dtype=np.int64)

    def __copy__(self) -> World:
        raise WorldError(ALONE.format(what="world"))

    def spawn_scene(self, rng: np.random.Generator | None = None) -> Scene:
        """Add a scene, still without a car.

        Args:
            rng: what is drawn in it, is drawn from this; None: from that of the world.
        """
        index = len(self.scenes)
        if index == len(self.begun):
            self.begun, self.ticks = _doubled(self.begun), _doubled(self.ticks)
        self.begun[index] = np.nan
        scene = Scene(self, index, rng)
        for behaviour in self._behaviours:
            scene.add(behaviour)
        self.scenes.append(scene)
        return scene

    def spawn_agent(self) -> Car:
        """Add a car in a scene of its own. It has no pose until `reset`."""
        return self.spawn_scene().spawn_agent()

    def add_car(self, scene: Scene) -> Car:
        """A new car for a scene, which adds it: `Scene.spawn_agent`."""
        (row,) = self.take_rows(1).tolist()
        car = Car(self, scene, row)
        self.cars.append(car)
        return car

    def take_rows(self, count: int) -> Rows:
        """Empty rows of the table for so many bodies."""
        rows = self._left[:count]
        del self._left[:count]
        more = count - len(rows)
        rows.extend(range(self._used, self._used + more))
        self._used += more
        while self._used > len(self.table):
            self.table = np.concatenate([self.table, empty_table(len(self.table))])
            self.terms, self.codes = _doubled(self.terms), _doubled(self.codes)
        return np.array(rows, dtype=np.int64)

    def free_rows(self, rows: Rows) -> None:
        """Bodies of these rows are gone."""
        self.table[rows] = np.nan
        self._left.extend(rows.tolist())

    def box_number(self, box: Box) -> int:
        """Its place among `boxes`, where it comes if it is new."""
        if box not in self._box_numbers:
            self._box_numbers[box] = len(self.boxes)
            self.boxes.append(box)
        return self._box_numbers[box]

    def present(self, scene: int) -> Rows:
        """The rows of the bodies that are there in a scene (an index)."""
        return np.flatnonzero(self._present & (self.table[:, c.SCENE] == scene))

    @property
    def _present(self) -> NDArray[np.bool_]:
        """(rows,) which bodies are there: none whose episode is over."""
        return ~np.isnan(self.table[:, c.X]) & (self.codes == 0)

    def company(self, trace: int, rows: Rows) -> Bodies | None:
        """The other bodies in the scenes of some cars of a trace (an index); None: there are none.

        Args:
            rows: (n,) of the table; the bodies are those of n views.
        """
        if not self.crowded:
            return None
        return company_of(self.table, self._present, rows, self.traces[trace], self.boxes)

    def dynamics(self, trace: int) -> TraceDynamics:
        """What is needed of a trace (an index) to drive in it."""
        found = self._dynamics.get(trace)
        if found is None:
            found = self._dynamics[trace] = TraceDynamics(self.traces[trace], self.vehicles[trace])
        return found

    def reset(self, seed: int | None = None) -> None:
        """Put every car at a drawn start. A seed starts the world's randomness anew."""
        if seed is not None:
            self.rng = np.random.default_rng(seed)
        for scene in self.scenes:
            scene.reset()

    def step(self, actions: Mapping[Car, Action]) -> None:
        """Move every car that is not done by one step.

        Raises:
            WorldError: a car that is not done has no action, or one that is done has one.
        """
        known = set(self.cars)
        if not actions.keys() <= known:
            raise WorldError("an action is given to a car of another world")
        for scene in self.scenes:
            own = {car: actions[car] for car in scene.cars if car in actions}
            if own or not all(car.done for car in scene.cars):
                scene.move(own)
        for car in actions:
            car.observe()

    def drive(self, rows: Rows) -> None:
        """Move the cars of some rows by one step, each as its TARGET_* say, and their scenes.

        Fills `terms` and `codes`; whether an episode is over is for the caller to tell the car.

        Args:
            rows: (n,) of the table, of scenes whose other cars have drivers.
        """
        scenes = self.table[rows, c.SCENE].astype(np.int64)
        crowd = []
        if self.crowded:
            crowd = [self.scenes[i] for i in scenes.tolist() if not self.scenes[i].alone]
        asked = [scene.decide() for scene in crowd]
        for trace, some in self.by_trace(rows):
            self.dynamics(trace).step(self.table, some, self.dt)
        self.task.judge(self.table, rows, self.dt, self.terms, self.codes)
        for actions in asked:
            for car, action in actions.items():
                car.go(action)
        self.ticks[scenes] += 1
        for scene in crowd:
            scene.act()

    def by_trace(self, rows: Rows) -> list[tuple[int, Rows]]:
        """The same rows, by the trace (an index) that the cars drive in."""
        if len(rows) == 0:
            return []
        traces = self.table[rows, c.TRACE].astype(np.int64)
        if (traces == traces[0]).all():
            return [(int(traces[0]), rows)]
        return [(trace, rows[traces == trace]) for trace in np.unique(traces).tolist()]

    def section_at(self, trace: int, s: float) -> Section:
        """The drivable section that holds arc length s (m) of a trace (an index).

        Raises:
            WorldError: there is none.
        """
        sections = self.sections[trace]
        # A car that stops between two sections leaves both with the same s: the later counts.
        for section in reversed(sections):
            if section.start_s <= s <= section.end_s:
                return section
        spans = ", ".join(f"{x.start_s:.1f} to {x.end_s:.1f}" for x in sections) or "none"
        raise WorldError(
            f"s is {s} m; what can be driven of {self.traces[trace].root} is (m): {spans}"
        )


def _doubled(array: NDArray[Any]) -> NDArray[Any]:
    """An array with as much room again, which holds zeros."""
    return np.concatenate([array, np.zeros_like(array)])


def _span(section: Sequence[float]) -> tuple[float, float]:
    """(start, end), s. Raises WorldError."""
    try:
        start, end = section
    except (TypeError, ValueError):
        raise WorldError(f"section is {section!r}; it must be (start, end) in s") from None
    first, last = check_number("section start", start, "s"), check_number("section end", end, "s")
    if not first < last:
        raise WorldError(f"section is {first:g} to {last:g} s; its start must be before its end")
    return first, last


def _with(vehicle: Vehicle, values: Mapping[str, float]) -> Vehicle:
    """A vehicle with some fields replaced. Raises WorldError or TraceError."""
    known = vehicle_values(vehicle)
    for name in values:
        if name not in known:
            raise WorldError(f"vehicle has no field {name!r}; known: {', '.join(known)}")
    changes: dict[str, Any] = {n: check_number(f"vehicle {n}", v) for n, v in values.items()}
    return dataclasses.replace(vehicle, **changes)
