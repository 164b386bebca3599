"""Writes a drive as a run: an episode for each stretch that one driver drove in one go."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from vista_sim.runs.kinds import DRIVING
from vista_sim.runs.recorder import Recorder
from vista_sim.runs.writer import RunWriter

if TYPE_CHECKING:
    from vista_sim.drive.course import Course
    from vista_sim.drive.filming import Filmer

HUMAN, POLICY = "human", "policy"

# How an episode may end beside the endings of the task.
HANDED_OVER = "handed_over"  # the other one of human and policy drives on
RESTARTED, PERTURBED, SKIPPED, STOPPED = "restarted", "perturbed", "skipped", "stopped"


class DriveLog:
    """Writes the run of a drive; a context manager.

    The run begins with its first step, so that a drive that nobody drives leaves everything as it
    was. An episode begins when it is driven, not when the car is put somewhere.

    Args:
        new_run: begins the run.
        filmer: films it; None: nobody does.

    Attributes:
        run: that is written; None before the first step.
        going: whether an episode has begun and not ended.
        steps, episodes: that were recorded.
        distance, seconds: that were driven, m and s.
    """

    def __init__(self, new_run: Callable[[], RunWriter], filmer: Filmer | None = None) -> None:
        self._new_run, self._filmer = new_run, filmer
        self.run: RunWriter | None = None
        self._recorder: Recorder | None = None
        self.going = False
        self.steps = self.episodes = 0
        self.distance = self.seconds = 0.0

    def begin(self, course: Course, driver: str) -> None:
        """The car is about to be driven; to be called before each step."""
        if self.going:
            return
        if self._recorder is None:
            self.run = self._new_run()
            self._recorder = Recorder(self.run)
        self._recorder.begin(course.car, DRIVING, driver, None, **course.labels())
        self.going = True
        self.episodes += 1
        self._shoot(course, self._recorder.episode)

    def step(self, course: Course, decided: float, moved: float) -> None:
        """The car made a step; the decision and the move took so many seconds."""
        assert self._recorder is not None
        car = course.car
        self._shoot(course, self._recorder.episode)
        self._recorder.step(car, decided, moved)
        self.steps += 1
        self.distance += car.speed * car.dt
        self.seconds += car.dt

    def end(self, course: Course, ending: str | None = None, **more: Any) -> None:
        """The episode is over, if one is going on."""
        if self.going and self._recorder is not None and self.run is not None:
            self._recorder.end(course.car, ending, **more)
            self.going = False
            self.run.flush()

    def finish(self, results: Callable[[RunWriter], dict[str, Any]]) -> None:
        """The drive is over, and all was filmed; `results` makes what run.json says of it."""
        if self.run is not None:
            self._deliver(self.run)
            self.run.finish(results(self.run))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.run is None:
            return
        self.run.__exit__(kind, error, traceback)
        if not self.steps and self.run.folder is not None:
            shutil.rmtree(self.run.folder, ignore_errors=True)

    def _shoot(self, course: Course, episode: int) -> None:
        if self._filmer is not None and self.run is not None:
            self._filmer.shoot(course.car, course.case, episode)
            self._deliver(self.run)

    def _deliver(self, run: RunWriter) -> None:
        if self._filmer is not None:
            self._filmer.deliver(run.frames)
