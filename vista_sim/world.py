"""The world: recorded drives and the cars that drive in them, one moment at a time."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from vista_sim.arguments import check_number
from vista_sim.car import ALONE, Car
from vista_sim.dynamics.action import Action
from vista_sim.dynamics.state import Table, empty_table
from vista_sim.dynamics.surroundings import Surroundings
from vista_sim.errors import WorldError
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

    A world can be copied with `copy.deepcopy` and pickled: its cars with it, wherever they are.

    Attributes:
        traces, vehicles, sections: what is driven, trace by trace.
        dt, randomization: as given.
        task: that is asked.
        cameras: where views come from.
        sampler: draws starts.
        rng: what is drawn, is drawn from it.
        cars: in the order in which they were added.
        table: (rows, WIDTH), a row a car and room for more, see `dynamics.state`.
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
        self.cars: list[Car] = []
        self._surroundings: dict[int, Surroundings] = {}
        self.table = empty_table(1)
        self.terms = np.zeros((1, len(self.task.terms)))
        self.codes = np.zeros(1, dtype=np.int64)

    def __copy__(self) -> World:
        raise WorldError(ALONE.format(what="world"))

    def spawn_agent(self) -> Car:
        """Add a car. It has no pose until `reset`."""
        row = len(self.cars)
        if row == len(self.table):
            self.table = np.concatenate([self.table, empty_table(row)])
            self.terms = np.concatenate([self.terms, np.zeros_like(self.terms)])
            self.codes = np.concatenate([self.codes, np.zeros_like(self.codes)])
        car = Car(self, row)
        self.cars.append(car)
        return car

    @property
    def states(self) -> Table:
        """(cars, WIDTH) their state, a row a car in the order of `cars`; see `dynamics.state`.

        Until the next `spawn_agent`, which may move it.
        """
        return self.table[: len(self.cars)]

    def surroundings(self, trace: int) -> Surroundings:
        """What is needed of a trace (an index) to drive in it."""
        found = self._surroundings.get(trace)
        if found is None:
            found = self._surroundings[trace] = Surroundings(
                self.traces[trace], self.vehicles[trace]
            )
        return found

    def reset(self, seed: int | None = None) -> None:
        """Put every car at a drawn start. A seed starts the world's randomness anew."""
        if seed is not None:
            self.rng = np.random.default_rng(seed)
        for car in self.cars:
            car.reset()

    def step(self, actions: Mapping[Car, Action]) -> None:
        """Move every car that is not done by one step.

        Raises:
            WorldError: a car that is not done has no action, or one that is done has one.
        """
        for car in self.cars:
            if car not in actions and not car.done:
                raise WorldError("a car that is not done has no action; give each its own")
        for car, action in actions.items():
            car.move(action)
        for car in actions:
            car.observe()

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
