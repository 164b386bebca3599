"""Films a car while it drives: the view, the scene from above, and the numbers."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from vista_sim.policies import CameraSpec
from vista_sim.replay.compose import Composer
from vista_sim.traces.video import VideoWriter

if TYPE_CHECKING:
    from vista_sim.world import Car, World

CRF = 26.0  # for watching: half the bytes of 18
PRESET = "veryfast"


class Film:
    """An MP4 of a car; a context manager.

    It is readable up to the last second if the program is killed.

    Args:
        path: the file; its folder is made.
        view: the camera that is filmed; None: what the car observes as "camera".
        rate: frames per second at which the film plays.
        every: shoot every so many steps only.
        max_frames: shoot no more than this.
    """

    def __init__(
        self,
        path: Path,
        view: CameraSpec | None = None,
        rate: float = 10.0,
        every: int = 1,
        max_frames: int = 1200,
    ) -> None:
        self.path = path
        self.view = view
        self.rate = rate
        self.every = every
        self.max_frames = max_frames
        self._composer = Composer()
        self._writer: VideoWriter | None = None
        self._frames = 0

    def shoot(self, car: Car) -> None:
        """Add a picture of the car as it is now; a car at its start starts a new track."""
        if self._frames >= self.max_frames:
            return
        if car.steps == 0:
            self._composer.restart(car)
        else:
            self._composer.follow(car)
        if car.steps % self.every and not car.done:
            return
        image = car.observations["camera"] if self.view is None else car.render(self.view)[0]
        picture = self._composer.compose(car, image)
        if self._writer is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            size = (picture.shape[0], picture.shape[1])
            self._writer = VideoWriter(
                self.path,
                size,
                self.rate / self.every,
                crf=CRF,
                preset=PRESET,
                fragmented=True,
            )
        self._writer.write(picture)
        self._frames += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._writer is not None:
            self._writer.close()


def film_of(world: World, trace: int, path: Path, max_frames: int) -> Film:
    """A film of a car in a trace (an index) of a world, through the recorded camera."""
    recorded = world.traces[trace].cameras[world.cameras.recorded_name(trace)]
    view = film_view(recorded.calibration.lens.size)
    return Film(path, view, 1 / world.dt, max_frames=max_frames)


def film_view(recorded: tuple[int, int], width: int = 640) -> CameraSpec:
    """The recorded camera at a size for filming, from its (height, width)."""
    height = round(width * recorded[0] / recorded[1])
    return CameraSpec((height, width))
