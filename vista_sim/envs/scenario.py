"""`VistaSim/Scenario-v0`: drive the cases of a scenario or suite file."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import ArrayLike

from vista_sim.arguments import check_count
from vista_sim.envs.arguments import DEFAULT_SIZE, chosen_sensors
from vista_sim.envs.driving import DrivingEnv, Observed
from vista_sim.envs.episodes import CaseEpisodes
from vista_sim.envs.vector import DrivingVectorEnv, take_vector_options
from vista_sim.errors import WorldError
from vista_sim.scenarios.suite import Suite, load_suite
from vista_sim.sensors.backends import BACKENDS
from vista_sim.sensors.spec import SensorSpec
from vista_sim.traces.calibration import Lens


def scenario_env(
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
) -> DrivingEnv:
    """What is judged, to be trained on: each episode is a case of a scenario or suite.

    With a case whose speed is "free" there are two actions, of which other cases ignore the
    second. Delay, limits, faults and image changes are those of the case: the same case and
    actions give the same bytes. An episode ends at a crash also where an evaluation would set the
    car back; in mode "recovery", being recovered, or not in time, cuts it. `info` has "case_index",
    and the texts "scenario" and "case", beside what it has of every car.

    Args:
        scenario: a file, the name of an installed one, or a `Suite`. Unless `sensors` are given,
            the sensors of all its scenarios are observed too, in every case.
        sensors, observe, size, fov, mount, lens, render_mode, text_infos: as
            `lane_following_env` takes them.
        curvature_limit: 1/m, that an action of 1 stands for, in all cases.
        backend, device: of the cameras, see `World`.

    `reset` draws a case; `reset(options={"case": ...})` takes one by its name or index.

    Raises:
        ScenarioError, WorldError: an argument that cannot be.
    """
    specs = chosen_sensors(sensors, observe, size, fov, mount, lens)
    if backend not in BACKENDS:
        raise WorldError(f"backend is {backend!r}; known are {', '.join(BACKENDS)}")
    suite = scenario if isinstance(scenario, Suite) else load_suite(scenario)
    further = suite.further if sensors is None else ()
    episodes = CaseEpisodes(suite, specs, backend, device, further)
    free = episodes.choosing_speed
    return DrivingEnv(episodes, free, size, curvature_limit, render_mode, text_infos)


def scenario_vector_env(num_envs: int = 1, **settings: Any) -> DrivingVectorEnv:
    """Many of them, which drive a case each; they share cases, traces and frames.

    Traces, delay, limits, faults, image changes and modes differ from car to car.

    Args:
        num_envs: how many.
        settings: of `DrivingVectorEnv` and of `scenario_env`.
    """
    many = take_vector_options(settings)
    first = scenario_env(**settings)
    assert isinstance(first.episodes, CaseEpisodes)
    first.episodes.keep(check_count("num_envs", num_envs))
    return DrivingVectorEnv(first, num_envs, **many)
