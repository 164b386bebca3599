"""`VistaSim/Scenario-v0`: drive the cases of a scenario or suite file."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vista_sim.dynamics.action import Action
from vista_sim.envs.arguments import DEFAULT_SIZE, chosen_sensors
from vista_sim.envs.driving import DrivingEnv, Observation, Observed
from vista_sim.errors import WorldError
from vista_sim.scenarios.case import Case, terms_of
from vista_sim.scenarios.settings import FREE
from vista_sim.scenarios.staging import Stage, Stager
from vista_sim.scenarios.suite import Suite, load_suite
from vista_sim.sensors.backends import BACKENDS
from vista_sim.sensors.rig import Seat
from vista_sim.sensors.spec import SensorSpec
from vista_sim.tasks.endings import Ending
from vista_sim.traces.calibration import Lens

CASE = "case"


class ScenarioEnv(DrivingEnv):
    """What is judged, to be trained on: each episode is a case of a scenario or suite.

    Actions and observations are those of `VistaSim/LaneFollowing-v0`; with a case whose speed is
    "free" there are two actions, of which other cases ignore the second. Delay, limits, faults
    and image changes are those of the case: the same case and actions give the same bytes.
    An episode ends at a crash also where an evaluation would set the car back; in mode
    "recovery", being recovered, or not in time, cuts it.

    `info` has "case_index", and the texts "scenario" and "case", beside what
    `VistaSim/LaneFollowing-v0` tells.

    Args:
        scenario: a file, the name of an installed one, or a `Suite`.
        sensors, observe, size, fov, mount, lens, render_mode, text_infos: as `LaneFollowingEnv`
            takes them.
        curvature_limit: 1/m, that an action of 1 stands for, in all cases.
        backend, device: of the cameras, see `World`.

    `reset` draws a case; `reset(options={"case": ...})` takes one by its name or index.

    Attributes:
        suite, cases: what is driven.
        backend, device: as given.
        case: of the episode.
    """

    def __init__(
        self,
        scenario: str | os.PathLike[str] | Suite,
        size: Sequence[int] = DEFAULT_SIZE,
        fov: float | None = None,
        mount: ArrayLike | None = None,
        lens: Lens | None = None,
        curvature_limit: float = 0.2,
        render_mode: str | None = None,
        observe: Observed | None = None,
        backend: str = "numba",
        text_infos: bool = True,
        sensors: Mapping[str, SensorSpec] | None = None,
        device: str = "cpu",
    ) -> None:
        specs = chosen_sensors(sensors, observe, size, fov, mount, lens)
        if backend not in BACKENDS:
            raise WorldError(f"backend is {backend!r}; known are {', '.join(BACKENDS)}")
        self.suite = scenario if isinstance(scenario, Suite) else load_suite(scenario)
        self.cases = self.suite.cases()
        first = self.cases[0].settings
        super().__init__(
            specs,
            size,
            first.dt,
            curvature_limit,
            any(case.settings.speed.mode == FREE for case in self.cases),
            terms_of(self.cases),
            render_mode,
            text_infos,
        )
        self.backend, self.device = backend, device
        self._stager = Stager(self.sensors, backend, device=device)
        self._stage: Stage | None = None
        self._seat: Seat | None = None
        self._by_name = {case.case: index for index, case in enumerate(self.cases)}

    @property
    def case(self) -> Case:
        """The case of the episode. Raises WorldError before the first reset."""
        if self._stage is None:
            raise WorldError("there is no case before the first reset")
        return self._stage.case

    @property
    def ending(self) -> str | None:
        return None if self._stage is None else self._stage.ending

    @property
    def recovered(self) -> bool | None:
        """Whether the car has recovered; None where the case does not ask that."""
        return None if self._stage is None else self._stage.recovered

    @property
    def endings(self) -> tuple[Ending, ...]:
        """As of every environment; those of the case's task, then those of a test of recovery."""
        return self._staged().endings

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start a case. Raises WorldError on options that cannot be."""
        self.start(seed, options)
        self.car.observe()
        return self._first()

    def start(self, seed: int | None = None, options: Mapping[str, Any] | None = None) -> None:
        """Start a case as `reset` does, without observing."""
        super().reset(seed=seed)
        case = self._chosen(options or {})
        self._stage = stage = self._stager.stage(case, observe=False, seat=self._seat)
        self.world, self.car = stage.world, stage.car
        self._check_start()

    def beside(self) -> Self:
        """A further environment of the same cases, frames and traces, with its own randomness."""
        other = super().beside()
        other._stage = None
        return other

    def join(self, seat: Seat) -> None:
        """Have its cars read with those of other environments, from its next start on."""
        self._seat = seat

    def keep(self, environments: int) -> None:
        """Keep the traces of so many environments beside each other."""
        ways = {(case.trace, case.settings.sensors.recorded_camera) for case in self.cases}
        kept = self._stager.traces_kept
        self._stager.traces_kept = max(kept, min(environments, len(ways)))

    @property
    def started(self) -> bool:
        """Whether it was ever reset."""
        return self._stage is not None

    def move(self, action: NDArray[np.float64]) -> None:
        """Drive one step as `step` does, without observing."""
        self._staged().move(self._action(action))
        self.follow()

    def numbers(self, terms: dict[str, float]) -> dict[str, Any]:
        return super().numbers(terms) | {"case_index": self._by_name[self.case.case]}

    def texts(self) -> dict[str, str]:
        return super().texts() | {"scenario": self.case.scenario, CASE: self.case.case}

    def _drive(self, action: Action) -> None:
        self._staged().step(action)

    def _staged(self) -> Stage:
        if self._stage is None:
            raise WorldError("there is no case yet: call reset first")
        return self._stage

    def _chosen(self, options: Mapping[str, Any]) -> Case:
        for name in options:
            if name != CASE:
                raise WorldError(f"reset option {name!r} is unknown; known: {CASE}")
        wanted = options.get(CASE)
        if wanted is None:
            return self.cases[int(self.np_random.integers(len(self.cases)))]
        if isinstance(wanted, str):
            if wanted not in self._by_name:
                raise WorldError(
                    f"case {wanted!r} is not one of {self.suite.file}; "
                    f"the first of {len(self.cases)} is {self.cases[0].case!r}"
                )
            return self.cases[self._by_name[wanted]]
        whole = isinstance(wanted, int | np.integer) and not isinstance(wanted, bool)
        if not whole or not 0 <= wanted < len(self.cases):
            raise WorldError(
                f"case is {wanted!r}; give a name, or an index below {len(self.cases)}"
            )
        return self.cases[int(wanted)]
