"""Films a drive: videos of what was seen, and the rows that say which frame shows which step."""

from __future__ import annotations

import math
import re
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from vista_sim.atomic import remove
from vista_sim.errors import RunError
from vista_sim.runs.compose import Composer
from vista_sim.sensors.spec import SENSOR_NAME, CameraSpec
from vista_sim.traces.video import VideoWriter

if TYPE_CHECKING:
    from vista_sim.runs.recorder import Rows
    from vista_sim.world import Car, World

Image = NDArray[np.uint8]

FILM = "film"  # composed for a plain player: scene, map and numbers
SCENE = "scene"  # from where the car is, through the recorded camera
CAMERA = "camera"  # what the policy saw; by further cameras: see `view_of`
RECORDED = "recorded"  # the recorded frame nearest in time
VALIDITY = "validity"  # of CAMERA, or of SCENE without one: white where it was really recorded
SALIENCY = "saliency"  # of CAMERA: bright where the policy looked
VIEWS = (FILM, SCENE, CAMERA, RECORDED, VALIDITY, SALIENCY)

PRESET = "veryfast"
KEY_EVERY = 1.0  # s of video from one key frame to the next: a player jumps there at once
#: H.264 quality: for watching, half the bytes of 18; what policies saw is kept as it was.
QUALITY = {CAMERA: 18.0}
WATCHING = 28.0


@dataclass(frozen=True)
class Filming:
    """What is filmed of a drive, and how much.

    Args:
        views: of `VIEWS`.
        rate: frames per second of driving, at most.
        width: of film's view, scene and recorded frames, px.
        max_frames: of a video; what is driven beyond is not filmed.

    Raises:
        RunError: a value that cannot be.
    """

    views: tuple[str, ...] = VIEWS
    rate: float = 10.0
    width: int = 640
    max_frames: int = 1200

    def __post_init__(self) -> None:
        for view in self.views:
            if view not in VIEWS:
                raise RunError(f"view is {view!r}; views are {', '.join(VIEWS)}")
        if not (math.isfinite(self.rate) and self.rate > 0):
            raise RunError(f"rate is {self.rate}; it must be in frames per second")
        if not 16 <= self.width <= 4096:
            raise RunError(f"width is {self.width} px; it must be from 16 to 4096")
        if self.max_frames < 1:
            raise RunError(f"max_frames is {self.max_frames}; it must be at least 1")

    def every(self, dt: float) -> int:
        """A frame is filmed every so many steps of dt (s)."""
        return max(1, math.ceil(1 / (self.rate * dt) - 1e-9))


def chosen(video: Filming | bool) -> Filming | None:
    """What is filmed where a user says so, or just whether anything is."""
    if isinstance(video, Filming):
        return video
    return Filming() if video else None


class SaliencyMaps(Protocol):
    """Says where a policy looked, such as a `policies.saliency.SaliencySource`."""

    def map(self, size: tuple[int, int], /) -> NDArray[np.float32] | None:
        """(height, width) of `size` from 0 to 1, of what it did last; None: it does not say."""


@dataclass(frozen=True)
class Films:
    """Where videos go, and what is filmed.

    Args:
        folder: of the run's views; it is made when there is something in it.
        filming: what is filmed.
    """

    folder: Path
    filming: Filming

    def of(
        self, world: World, trace: int, name: str, frames: Rows, looks: SaliencyMaps | None = None
    ) -> AbstractContextManager[ViewRecorder | None]:
        """Film a drive in a trace (an index) of a world; None where that has no camera.

        Args:
            name: what the files' names begin with; characters that are awkward there are replaced.
            frames: takes the rows of `frames.parquet`.
            looks: says where the policy looked; None: nothing does.
        """
        if not world.traces[trace].cameras:
            return nullcontext()
        stem = re.sub(r"[^A-Za-z0-9._=+-]+", "-", name).lstrip(".")[:120]
        return ViewRecorder(world, trace, self.folder / stem, self.filming, frames, looks)


class ViewRecorder:
    """Videos of a drive in one trace; a context manager.

    They are readable up to the last second if the program is killed.

    Args:
        world: that is driven in.
        trace: index into its traces.
        path: of the videos, without the ending `.VIEW.mp4`.
        filming: what is filmed.
        frames: takes a row for each frame.
        looks: says where the policy looked; None: nothing does.
    """

    def __init__(
        self,
        world: World,
        trace: int,
        path: Path,
        filming: Filming,
        frames: Rows,
        looks: SaliencyMaps | None = None,
    ) -> None:
        recorded = world.traces[trace].cameras[world.cameras.recorded_name(trace)]
        self._recorded = recorded
        self._scene = film_view(recorded.calibration.lens.size, filming.width)
        self._path, self._filming, self._rows = path, filming, frames
        self._every = filming.every(world.dt)
        self._rate = 1 / (world.dt * self._every)
        self._looks = looks if SALIENCY in filming.views else None
        self._composer = Composer()
        self._videos = ExitStack()
        self._writers: dict[str, VideoWriter] = {}
        self._shots = 0
        self._shown: tuple[int, Image] | None = None  # the recorded frame shown last
        self._unanswered: tuple[int, int] | None = None  # filmed before the policy acted on it

    def shoot(self, car: Car, episode: int) -> None:
        """Film a moment; to be called at the start of an episode and after each step.

        What the policy looked at is filmed at the next call, when it has acted on what it saw.
        """
        if car.steps == 0:
            self._composer.restart(car)
            self._unanswered = None
        else:
            self._composer.follow(car)
            self._answer(car)
        if self._shots >= self._filming.max_frames or (car.steps % self._every and not car.done):
            return
        self._shots += 1
        at = (episode, car.steps)
        wanted, spec = self._filming.views, car.cameras.get(CAMERA)
        valid = car.valid if spec is not None else None
        if FILM in wanted or SCENE in wanted or (VALIDITY in wanted and spec is None):
            scene, scene_valid = car.render(self._scene)
            valid = scene_valid if spec is None else valid
            if FILM in wanted:
                self._write(FILM, at, self._composer.compose(car, scene))
            if SCENE in wanted:
                self._write(SCENE, at, scene)
        for name in car.cameras if CAMERA in wanted else ():
            self._write(view_of(name), at, car.observations[name])
        if RECORDED in wanted:
            self._write(RECORDED, at, self._recorded_frame(car.scene_time))
        if VALIDITY in wanted and valid is not None:
            self._write(VALIDITY, at, _gray(valid.astype(np.uint8) * 255))
        if self._looks is not None and spec is not None:
            self._unanswered = at

    def _answer(self, car: Car) -> None:
        """Film what the policy looked at when it acted on what was filmed last."""
        at, self._unanswered = self._unanswered, None
        if at is None or self._looks is None:
            return
        looked = self._looks.map(car.cameras[CAMERA].size)
        if looked is not None:
            self._write(SALIENCY, at, _gray(np.rint(looked * 255).astype(np.uint8)))

    def _recorded_frame(self, t: float) -> Image:
        index = self._recorded.nearest(t)
        if self._shown is None or self._shown[0] != index:
            height, width = self._scene.size
            frame = self._recorded.frame(index)
            shrinks = frame.shape[1] > width
            how = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
            small: Image = cv2.resize(frame, (width, height), interpolation=how)
            self._shown = (index, small)
        return self._shown[1]

    def _write(self, view: str, at: tuple[int, int], image: Image) -> None:
        writer = self._writers.get(view)
        if writer is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            path = self._path.with_name(f"{self._path.name}.{view}.mp4")
            remove(path)  # of a case that was broken off; a link there would lead out of the run
            writer = self._writers[view] = self._videos.enter_context(
                VideoWriter(
                    path,
                    (image.shape[0], image.shape[1]),
                    self._rate,
                    crf=QUALITY.get(view.split(".")[0], WATCHING),
                    preset=PRESET,
                    fragmented=True,
                    key_every=max(1, round(KEY_EVERY * self._rate)),
                )
            )
        place = {"view": view, "file": writer.path.name, "frame": writer.frame_count}
        writer.write(image)
        self._rows.append({"episode": at[0], "step": at[1], **place})

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._videos.close()  # also after an error: what was filmed can be watched


def view_of(camera: str) -> str:
    """The view that shows what a camera of the car saw, by the camera's name."""
    return CAMERA if camera == CAMERA else f"{CAMERA}.{camera}"


def is_view(name: str) -> bool:
    """Whether something of this name is filmed."""
    kind, dot, camera = name.partition(".")
    further = kind == CAMERA and dot and SENSOR_NAME.fullmatch(camera) is not None
    return name in VIEWS or bool(further)


def film_view(recorded: tuple[int, int], width: int = 640) -> CameraSpec:
    """The recorded camera at a size for filming, from its (height, width)."""
    height = round(width * recorded[0] / recorded[1])
    return CameraSpec((height, width))


def _gray(levels: Image) -> Image:
    """(h, w) as an RGB image."""
    return np.repeat(levels[..., None], 3, axis=2)
