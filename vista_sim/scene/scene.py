"""A moment of one recording, and the bodies that share it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vista_sim.car import Car, Driver, Place
from vista_sim.dynamics import state as c
from vista_sim.dynamics.action import Action
from vista_sim.dynamics.state import Table
from vista_sim.errors import WorldError
from vista_sim.scene.behaviour import Behaviour, Rows
from vista_sim.scene.box import PAINTS, Box
from vista_sim.scene.company import overlaps
from vista_sim.traces.calibration import Vehicle
from vista_sim.traces.trace import Trace

#: Between a car that is put at a drawn start and other bodies, m.
CLEARANCE = 1.0


class SceneWorld(Protocol):
    """What a scene asks of the world that it is in; see `vista_sim.world.World`, which is one."""

    traces: tuple[Trace, ...]
    vehicles: tuple[Vehicle, ...]
    dt: float
    table: Table
    rng: np.random.Generator
    boxes: list[Box]
    crowded: bool

    begun: NDArray[np.float64]
    ticks: NDArray[np.int64]

    def add_car(self, scene: Scene) -> Car: ...

    def take_rows(self, count: int) -> Rows: ...

    def free_rows(self, rows: Rows) -> None: ...

    def box_number(self, box: Box) -> int: ...

    def present(self, scene: int) -> Rows: ...


class Scene:
    """Cars and other bodies at one moment of one recording. `World.spawn_scene` makes one.

    A scene begins when its first car is put at a start: its clock then says the moment of the
    recording that this car sees, and goes on by `dt` with each step. Its other bodies are placed
    for that moment. A car whose episode is over is there no longer.

    Attributes:
        index: of the scene in its world.
        cars: in the order in which they were added; the first one begins the scene.
        alone: whether one car is all that is in it.
    """

    def __init__(
        self, world: SceneWorld, index: int, rng: np.random.Generator | None = None
    ) -> None:
        self._world = world
        self.index = index
        self.cars: list[Car] = []
        self._rng = rng
        self._actors: list[tuple[Behaviour, Rows]] = []
        self.alone = True

    @property
    def rng(self) -> np.random.Generator:
        """What is drawn in it, is drawn from this: its own, or that of the world."""
        return self._world.rng if self._rng is None else self._rng

    @rng.setter
    def rng(self, rng: np.random.Generator | None) -> None:
        self._rng = rng

    @property
    def time(self) -> float:
        """The moment that it is at, s of the recording; NaN before it begins."""
        world = self._world
        return float(world.begun[self.index] + world.ticks[self.index] * world.dt)

    def spawn_agent(
        self,
        driver: Driver | None = None,
        role: int | None = None,
        place: Place | None = None,
    ) -> Car:
        """Add a car. It has no pose until it is put at a start.

        Args:
            driver: says at each step what the car does, from where it is and what it has observed;
                None: its actions are given to `step`.
            role: of the car, see `dynamics.state`; None: LEARNER, or SCRIPT with a driver.
            place: where it is put whenever the first car is put at a start, in place of by
                `Car.start`. Where it cannot be put there, it is not there.
        """
        if place is not None and not self.cars:
            raise WorldError("the first car of a scene has no other to be placed from")
        car = self._world.add_car(self)
        car.driver, car.place = driver, place
        car.state[0, c.SCENE] = self.index
        car.state[0, c.ROLE] = (c.SCRIPT if driver else c.LEARNER) if role is None else role
        self.cars.append(car)
        if len(self.cars) > 1:
            self._crowd()
        return car

    def add(self, behaviour: Behaviour) -> None:
        """Add bodies that nobody drives; they come along from the next start on."""
        self._actors.append((behaviour, np.empty(0, dtype=np.int64)))
        self._crowd()

    def reset(self) -> None:
        """Put every car at a start, and have it observe."""
        for car in self.cars:
            if car.place is None:
                car.start()
        for car in self.cars:
            if car.ending is None:
                car.observe()

    def begin(self, car: Car) -> bool:
        """A car of it was put at a start; whether there is room for it, and all that comes along.

        Raises:
            VistaError: the recording's road users cannot be read.
        """
        self._dress(car)
        if car is self.cars[0]:
            self._world.begun[self.index] = car.scene_time
            self._world.ticks[self.index] = 0
        if self.alone:
            return True
        if car is self.cars[0]:
            self._gather(car.trace)
        room = self._has_room(car)
        if car is self.cars[0]:
            placed = [self._put(other, car) for other in self.cars if other.place is not None]
            room = room and all(placed)
        return room

    def step(self, actions: Mapping[Car, Action]) -> None:
        """Move all that is in it by one step; the cars of `actions` observe. Raises as `move`."""
        self.move(actions)
        for car in actions:
            car.observe()

    def move(self, actions: Mapping[Car, Action]) -> None:
        """Move all that is in it by one step, without observing.

        Args:
            actions: of the cars without a driver that are not done; that of a car which has one
                is followed in place of what it says.

        Raises:
            WorldError: an action is missing, or is that of a car which is done, or not in here.
        """
        if not actions.keys() <= set(self.cars):
            raise WorldError("an action is given to a car of another scene")
        asked = {**self.decide(), **actions}
        if any(not car.done and car not in asked for car in self.cars):
            raise WorldError("a car that is not done has no action; give each its own")
        for car, action in asked.items():
            car.go(action)
        self._world.ticks[self.index] += 1
        self.act()

    def decide(self) -> dict[Car, Action]:
        """Have each car that has a driver, and is not done, observe: what its driver does."""
        asked: dict[Car, Action] = {}
        for car in self.cars:
            if car.driver is not None and not car.done:
                car.observe()
                asked[car] = car.driver(car)
        return asked

    def act(self) -> None:
        """Bring bodies that nobody drives to where they are now."""
        for behaviour, rows in self._actors:
            behaviour.act(self.cars[0].trace, self._world.table, rows, self.time)

    def _crowd(self) -> None:
        """There is more in it than one car."""
        self.alone, self._world.crowded = False, True

    def _gather(self, recording: Trace) -> None:
        """Take the bodies that come along in a recording, and bring them to where they are."""
        world = self._world
        for number, (behaviour, rows) in enumerate(self._actors):
            boxes = behaviour.bodies(recording)
            world.free_rows(rows)
            rows = world.take_rows(len(boxes))
            table = world.table
            table[rows, c.SCENE], table[rows, c.ROLE] = self.index, c.REPLAY
            table[rows, c.BOX] = [world.box_number(box) for box in boxes]
            self._actors[number] = behaviour, rows
        self.act()

    def _dress(self, car: Car) -> None:
        """Give a car the box of what it drives as."""
        box = Box.of_vehicle(car.vehicle, PAINTS[self.cars.index(car) % len(PAINTS)])
        car.state[0, c.BOX] = self._world.box_number(box)

    def _put(self, car: Car, first: Car) -> bool:
        """Put a car at its place beside the first one; whether it is possible."""
        place = car.place
        assert place is not None
        try:
            car.start(first.trace_index, first.s + place.ahead, place.lateral, place.heading)
        except WorldError:  # the road ends before
            car.leave()
        else:
            if car.ending is None and self._has_room(car):
                return True
            car.leave()
        return False

    def _has_room(self, car: Car) -> bool:
        """Whether no other body is where a car is."""
        world = self._world
        there = world.present(self.index)
        return not overlaps(world.table, car.row, there[there != car.row], world.boxes, CLEARANCE)
