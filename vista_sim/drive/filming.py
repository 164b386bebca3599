"""Films a drive beside it: in a thread of its own that yields to the one that drives."""

from __future__ import annotations

import contextlib
import os
import queue
import threading
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from numpy.typing import NDArray

from vista_sim.car import Car
from vista_sim.drive.course import POLICY_CAMERA
from vista_sim.runs.filming import CAMERA, RECORDED, SCENE, VALIDITY, Filming, Films
from vista_sim.runs.recorder import Rows
from vista_sim.scenarios.case import Case
from vista_sim.scenarios.staging import Stager
from vista_sim.world import World

#: What of a drive is kept to look at; half an hour of a case.
FILMING = Filming((SCENE, CAMERA, RECORDED, VALIDITY), rate=10.0, max_frames=18_000)
WAITING = 4  # moments; more are not filmed
NICENESS = 10  # of the thread, where the system has that


@dataclass(frozen=True)
class _Moment:
    """A car as it was, with the images of its cameras by name; `valid` is of CAMERA."""

    case: Case
    episode: int
    state: NDArray[Any]
    ending: str | None
    images: dict[str, NDArray[Any]]
    valid: NDArray[Any] | None


class Filmer:
    """Films moments of a car when there is time for it; a context manager.

    A drive never waits for it: moments that come too fast are not filmed.

    Args:
        folder: for the videos.
    """

    def __init__(self, folder: Path) -> None:
        self._films = Films(folder, FILMING)
        self._moments: queue.Queue[_Moment | None] = queue.Queue(WAITING)
        self._rows: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._film, name="drive-filming", daemon=True)
        self._error: BaseException | None = None

    def shoot(self, car: Car, case: Case, episode: int) -> None:
        """Film a moment; to be called at the start of an episode and after each step."""
        if car.steps % FILMING.every(car.dt) and not car.done:
            return
        seen = car.observations
        images = {name: seen[name] for name in car.cameras if name != POLICY_CAMERA}
        moment = _Moment(case, episode, car.state.copy(), car.ending, images, car.valid)
        with contextlib.suppress(queue.Full):
            self._moments.put_nowait(moment)

    def deliver(self, frames: Rows) -> None:
        """Hand over the rows of what was filmed since the last call."""
        with contextlib.suppress(queue.Empty):
            while True:
                frames.append(self._rows.get_nowait())

    def close(self) -> None:
        """Film what waits, and end the videos. What went wrong while filming is raised here."""
        if self._thread.is_alive():
            self._moments.put(None)
            self._thread.join()
        if self._error is not None:
            raise self._error

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def append(self, row: dict[str, Any], /) -> None:
        """Take a row of a frame from the videos."""
        self._rows.put(row)

    def _film(self) -> None:
        with contextlib.suppress(OSError, AttributeError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
        stager, reels = Stager(None), 0
        try:
            moment = self._moments.get()
            while moment is not None:
                case = moment.case
                world = stager.world(case)
                name = f"{reels:02d}-{world.traces[0].name}"
                reels += 1
                with self._films.of(world, 0, name, self) as recorder:
                    while moment is not None and moment.case is case:
                        if recorder is not None:
                            recorder.shoot(_shadow(world, moment), moment.episode)
                        moment = self._moments.get()
        except BaseException as error:
            self._error = error
            while self._moments.get() is not None:
                pass


def _shadow(world: World, moment: _Moment) -> Car:
    """A car that looks as the driven one did."""
    if not world.cars:
        car = world.spawn_agent()
        for name, image in moment.images.items():
            car.spawn_camera(name, (image.shape[0], image.shape[1]))
        car.trace_index = 0
    (car,) = world.cars
    car.state[:] = moment.state
    car.ending = moment.ending
    car.recall(dict(moment.images), moment.valid)
    return car
