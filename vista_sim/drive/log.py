"""Writes a drive as a run: an episode for each stretch that one driver drove in one go."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from vista_sim.evaluation import closed_loop
from vista_sim.evaluation.recorder import Recorder

if TYPE_CHECKING:
    from vista_sim.car import Car
    from vista_sim.evaluation.runs import RunWriter

HUMAN, POLICY = "human", "policy"

# How an episode may end beside the endings of the task.
HANDED_OVER = "handed_over"  # the other one of human and policy drives on
RESTARTED, PERTURBED, SKIPPED, STOPPED = "restarted", "perturbed", "skipped", "stopped"


class DriveLog:
    """Begins an episode when it is driven, not when the car is put somewhere.

    Args:
        writer: of the run.
        shoot: called with the car after each start and step that is recorded; None: nothing is.

    Attributes:
        steps, episodes, distance: that were recorded, and m.
    """

    def __init__(self, writer: RunWriter, shoot: Callable[[Car, int], None] | None = None) -> None:
        self._writer = writer
        self._recorder = Recorder(writer)
        self._shoot = shoot
        self._going = False
        self.steps = self.episodes = 0
        self.distance = self.seconds = 0.0

    @property
    def going(self) -> bool:
        """Whether an episode has begun and not ended."""
        return self._going

    def begin(self, car: Car, driver: str, labels: dict[str, Any]) -> None:
        """The car is about to be driven; call it before the step, at each."""
        if self._going:
            return
        self._recorder.begin(car, closed_loop.KIND, driver, None, **labels)
        self._going = True
        self.episodes += 1
        self._shot(car)

    def step(self, car: Car, decided: float, moved: float) -> None:
        """The car made a step; the decision and the move took so many seconds."""
        self._recorder.step(car, decided, moved)
        self.steps += 1
        self.distance += car.speed * car.dt
        self.seconds += car.dt
        self._shot(car)

    def end(self, car: Car, ending: str | None = None, **more: Any) -> None:
        """The episode is over, if one is going on."""
        if self._going:
            self._recorder.end(car, ending, **more)
            self._going = False
            self._writer.flush()

    def _shot(self, car: Car) -> None:
        if self._shoot is not None:
            self._shoot(car, self._recorder.episode)
