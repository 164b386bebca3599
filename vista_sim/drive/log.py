"""Writes a drive as a run: an episode for each stretch that one driver drove in one go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vista_sim.evaluation import closed_loop
from vista_sim.evaluation.recorder import Recorder

if TYPE_CHECKING:
    from vista_sim.drive.course import Course
    from vista_sim.drive.filming import Filmer
    from vista_sim.evaluation.run_writer import RunWriter

HUMAN, POLICY = "human", "policy"

# How an episode may end beside the endings of the task.
HANDED_OVER = "handed_over"  # the other one of human and policy drives on
RESTARTED, PERTURBED, SKIPPED, STOPPED = "restarted", "perturbed", "skipped", "stopped"


class DriveLog:
    """Begins an episode when it is driven, not when the car is put somewhere.

    Args:
        writer: of the run.
        filmer: films it; None: nobody does.

    Attributes:
        going: whether an episode has begun and not ended.
        steps, episodes: that were recorded.
        distance, seconds: that were driven, m and s.
    """

    def __init__(self, writer: RunWriter, filmer: Filmer | None = None) -> None:
        self._writer, self._filmer = writer, filmer
        self._recorder = Recorder(writer)
        self.going = False
        self.steps = self.episodes = 0
        self.distance = self.seconds = 0.0

    def begin(self, course: Course, driver: str) -> None:
        """The car is about to be driven; to be called before each step."""
        if self.going:
            return
        self._recorder.begin(course.car, closed_loop.KIND, driver, None, **course.labels())
        self.going = True
        self.episodes += 1
        self._shoot(course)

    def step(self, course: Course, decided: float, moved: float) -> None:
        """The car made a step; the decision and the move took so many seconds."""
        car = course.car
        self._shoot(course)
        self._recorder.step(car, decided, moved)
        self.steps += 1
        self.distance += car.speed * car.dt
        self.seconds += car.dt

    def end(self, course: Course, ending: str | None = None, **more: Any) -> None:
        """The episode is over, if one is going on."""
        if self.going:
            self._recorder.end(course.car, ending, **more)
            self.going = False
            self._writer.flush()

    def _shoot(self, course: Course) -> None:
        if self._filmer is not None:
            self._filmer.shoot(course.car, course.case, self._recorder.episode)
            self._filmer.deliver(self._writer.frames)
