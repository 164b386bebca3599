"""An episode: a policy drives a car until it is done, and each step is written into a run."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import TYPE_CHECKING

from vista_sim.dynamics.action import Action
from vista_sim.errors import PolicyError
from vista_sim.policies import Policy
from vista_sim.runs.recorder import Recorder

if TYPE_CHECKING:
    from vista_sim.world import Car

#: Called with the car after its start and after each step; returning True ends the episode.
Watcher = Callable[["Car"], bool | None]


def drive(policy: Policy, car: Car, recorder: Recorder, watch: Watcher | None = None) -> None:
    """Let a policy drive a car that was just reset, until it is done or `watch` says so.

    Raises:
        PolicyError: the policy returns no `Action`.
    """
    policy.reset()
    stop = watch(car) if watch is not None else False
    while not (car.done or stop):
        started = perf_counter()
        action = act(policy, car)
        decided = perf_counter()
        car.move(action)
        moved = perf_counter()
        car.observe()
        recorder.step(car, decided - started, moved - decided)
        stop = watch(car) if watch is not None else False


def act(policy: Policy, car: Car) -> Action:
    """Ask a policy for an action and check that it is one."""
    action = policy.act(car.observations, car)
    if not isinstance(action, Action):
        raise PolicyError(f"{type(policy).__name__} returned {action!r}; it must return an Action")
    return action
