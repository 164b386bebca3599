"""Where the episodes of an environment come from: a world, or the cases of a suite."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np

from vista_sim.car import Car
from vista_sim.dynamics.action import Action
from vista_sim.envs.arguments import start_options
from vista_sim.errors import WorldError
from vista_sim.scenarios.case import Case, terms_of
from vista_sim.scenarios.further import FurtherSensor, all_sensors
from vista_sim.scenarios.settings import FREE
from vista_sim.scenarios.staging import Stage, Stager
from vista_sim.scenarios.suite import Suite
from vista_sim.sensors.rig import Seat
from vista_sim.sensors.spec import SensorSpec
from vista_sim.tasks.endings import Ending
from vista_sim.traces.trace import Trace
from vista_sim.world import World

CASE = "case"


class Episodes:
    """The episodes of one environment: of a car in a scene of a world, put at drawn starts.

    Args:
        world: that is driven in.
        sensors: of the car, by name.

    Attributes:
        sensors: as given.
        car: that drives.
        shared: the world of this environment and of all beside it; None: each has its own.
        dt, terms: length of a step, s, and names of the reward terms.
        backend, device: of the cameras; None: they have none.
    """

    car: Car
    shared: World | None

    def __init__(self, world: World, sensors: Mapping[str, SensorSpec]) -> None:
        self.sensors, self.shared = sensors, world
        self.dt, self.terms = world.dt, world.task.terms
        self.backend: str | None = getattr(world.cameras, "backend", None)
        self.device: str = getattr(world.cameras, "device", "cpu")
        self.scene = world.spawn_scene()
        self.car = self.scene.spawn_agent()
        self.car.spawn_sensors(sensors)
        self._world = world

    @property
    def endings(self) -> tuple[Ending, ...]:
        """Why an episode may be over."""
        return self._world.task.endings

    @property
    def ending(self) -> str | None:
        """Why it is over; None while it goes on."""
        return self.car.ending

    def start(self, rng: np.random.Generator, options: Mapping[str, Any]) -> None:
        """Begin an episode, without observing.

        Args:
            rng: what is drawn until the next start, is drawn from it.
            options: of `reset`. Raises WorldError on some that cannot be.
        """
        self.scene.rng = rng
        self.car.start(**start_options(options))

    def move(self, action: Action) -> None:
        """Drive one step, without observing."""
        self.car.move(action)

    def spawn_another(self) -> Episodes:
        """Those of a further environment; both share what they can."""
        return Episodes(self._world, self.sensors)

    def join(self, seat: Seat) -> None:
        """Have the car read with those of other environments, from its next start on."""
        self.car.join(seat)

    def traces(self) -> list[Trace]:
        """That may be driven in."""
        return list(self._world.traces)

    def numbers(self) -> dict[str, Any]:
        """What `info` tells beside what it tells of every car."""
        return {}

    def texts(self) -> dict[str, str]:
        """The same, of texts."""
        return {}

    def labels(self) -> dict[str, Any]:
        """Columns of the episode's row in a run; "trace" is an index of `traces`."""
        return {}

    def outcome(self) -> dict[str, Any]:
        """More of them, once it is over."""
        return {}


class CaseEpisodes(Episodes):
    """The cases of a suite, each in a world of its own.

    Args:
        suite: whose cases are driven.
        sensors: of the cars, by name.
        backend, device: of the cameras.
        further: sensors that scenarios give the cars beside these.

    Attributes:
        suite, cases: that are driven.
    """

    shared = None

    def __init__(
        self,
        suite: Suite,
        sensors: Mapping[str, SensorSpec],
        backend: str,
        device: str,
        further: Sequence[FurtherSensor] = (),
    ) -> None:
        self.suite, self.cases = suite, suite.cases()
        self.backend, self.device = backend, device
        self.sensors = all_sensors(sensors, further)
        self.dt, self.terms = self.cases[0].settings.dt, terms_of(self.cases)
        self._stager = Stager(sensors, backend, device=device, further=further)
        self._places = {case.case: index for index, case in enumerate(self.cases)}
        self._stage: Stage | None = None
        self._seat: Seat | None = None

    @property
    def stage(self) -> Stage:
        """The case that is driven. Raises WorldError before the first start."""
        if self._stage is None:
            raise WorldError("there is no case before the first reset: call reset first")
        return self._stage

    @property
    def case(self) -> Case:
        """The same, as it was made. Raises WorldError before the first start."""
        return self.stage.case

    @property
    def choosing_speed(self) -> bool:
        """Whether cars choose their speed in any case."""
        return any(case.settings.speed.mode == FREE for case in self.cases)

    @property
    def car(self) -> Car:  # type: ignore[override]  # made anew for each case
        """See `Episodes`."""
        return self.stage.car

    @property
    def endings(self) -> tuple[Ending, ...]:
        """See `Episodes`: those of the case's task, then those of a test of recovery."""
        return self.stage.endings

    @property
    def ending(self) -> str | None:
        """See `Episodes`."""
        return None if self._stage is None else self._stage.ending

    def start(self, rng: np.random.Generator, options: Mapping[str, Any]) -> None:
        """See `Episodes`: the case that is named, by name or index, or one that is drawn."""
        case = self._chosen(rng, options)
        self._stage = self._stager.stage(case, observe=False, seat=self._seat)

    def move(self, action: Action) -> None:
        """See `Episodes`."""
        self.stage.move(action)

    def numbers(self) -> dict[str, Any]:
        """See `Episodes`."""
        return {"case_index": self._places[self.case.case]}

    def texts(self) -> dict[str, str]:
        """See `Episodes`."""
        return {"scenario": self.case.scenario, CASE: self.case.case}

    def spawn_another(self) -> Self:
        """See `Episodes`: of the same cases, frames and traces."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__ | {"_stage": None, "_seat": None})
        return other

    def join(self, seat: Seat) -> None:
        """See `Episodes`."""
        self._seat = seat

    def keep(self, environments: int) -> None:
        """Keep the traces of so many environments beside each other."""
        ways = {(case.trace, case.settings.sensors.recorded_camera) for case in self.cases}
        kept = self._stager.traces_kept
        self._stager.traces_kept = max(kept, min(environments, len(ways)))

    def traces(self) -> list[Trace]:
        """See `Episodes`."""
        return [Trace.open(root) for root in self._roots]

    def labels(self) -> dict[str, Any]:
        """See `Episodes`."""
        case = self.case
        return {
            "trace": self._roots.index(case.trace),
            "road": case.road,
            "scenario": case.scenario,
            "case": case.case,
            "seed": case.seed,
            "weight": case.weight,
        }

    def outcome(self) -> dict[str, Any]:
        """See `Episodes`."""
        return {"recovered": self.stage.recovered}

    @property
    def _roots(self) -> Sequence[Any]:
        return list(dict.fromkeys(case.trace for case in self.cases))

    def _chosen(self, rng: np.random.Generator, options: Mapping[str, Any]) -> Case:
        for name in options:
            if name != CASE:
                raise WorldError(f"reset option {name!r} is unknown; known: {CASE}")
        wanted = options.get(CASE)
        if wanted is None:
            return self.cases[int(rng.integers(len(self.cases)))]
        if isinstance(wanted, str):
            if wanted not in self._places:
                raise WorldError(
                    f"case {wanted!r} is not one of {self.suite.file}; "
                    f"the first of {len(self.cases)} is {self.cases[0].case!r}"
                )
            return self.cases[self._places[wanted]]
        whole = isinstance(wanted, int | np.integer) and not isinstance(wanted, bool)
        if not whole or not 0 <= wanted < len(self.cases):
            raise WorldError(
                f"case is {wanted!r}; give a name, or an index below {len(self.cases)}"
            )
        return self.cases[int(wanted)]
