"""What a bake takes geometry from: several sources, each of which judges every frame by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from vista_sim.geometry.partial import Partial
from vista_sim.geometry.settings import BakeSettings
from vista_sim.traces.calibration import Lens
from vista_sim.traces.trace import Trace
from vista_sim.traces.video import RecordedCamera

if TYPE_CHECKING:
    from vista_sim.geometry.working import WorkingFrames

Floats = NDArray[np.float32]

#: How much the confidence of a source counts against that of others.
# Those that match images err together, where near things grow over their edges and thin ones
# are lost, and are sure of it; a lidar measures. Chosen in the proving ground.
MEASURED, MATCHED = 1.0, 0.6


class Estimate(NamedTuple):
    """What a source knows of one frame, on the pixels of the geometry.

    These are those of the recorded camera's lens, distortion included, at the geometry's size.

    Args:
        inverse_depth: (h, w), 1/m along the optical axis.
        confidence: (h, w), 0 (a guess) to 1 (sure).
        moving: (h, w), what moves; None where the source cannot tell.
    """

    inverse_depth: Floats
    confidence: Floats
    moving: NDArray[np.bool_] | None = None


class Source(Protocol):
    """Estimates the geometry of frames. Calls come from several threads."""

    name: str

    def estimate(self, index: int) -> Estimate:
        """Geometry of one frame. The same at each call."""


@runtime_checkable
class PreparedSource(Source, Protocol):
    """A source that works on all frames once before it can estimate any."""

    def prepare(self, index: int) -> None:
        """Do the work of one frame and keep it in the bake's folder."""


@runtime_checkable
class ReportingSource(Source, Protocol):
    """A source that has something to say when all frames are done."""

    def report(self) -> dict[str, float]:
        """Figures by name, for the bake's report."""


@dataclass(frozen=True, eq=False)
class BakeContext:
    """What sources are made from.

    Args:
        trace: the trace.
        recorded: its camera that is baked.
        settings: of the bake.
        lens: of the camera at the geometry's size, with its distortion.
        mount: (4, 4) T_vehicle_camera.
        poses: (n, 4, 4) T_world_camera, refined.
        ground: (h, w) inverse depth of flat ground at the calibrated mount, 1/m.
        scale: 1/m per step of stored inverse depth.
        stretch: (n,) number of the gapless stretch of each frame.
        neighbours: indices of the frames each frame is compared with.
        frames: images to match on, by index.
        partial: where work is kept.
    """

    trace: Trace
    recorded: RecordedCamera
    settings: BakeSettings
    lens: Lens
    mount: NDArray[np.float64]
    poses: NDArray[np.float64]
    ground: Floats
    scale: float
    stretch: NDArray[np.int64]
    neighbours: list[tuple[int, ...]]
    frames: WorkingFrames
    partial: Partial


class SourceKind:
    """What is to be known of a source before there is a bake, and how it is made for one.

    Attributes:
        trust: how much its confidence counts against that of others, 0 to 1.
        model: what can be named behind a colon, "FILE" or "FOLDER"; None: it takes no model.
        needs_model: whether one must be.
    """

    trust: float = MATCHED
    model: str | None = None
    needs_model: bool = False

    def offered(self, trace: Trace, camera: str) -> bool:
        """Whether "auto" takes it: a camera's recording has, by itself, all that it needs."""
        return False

    def usual_model(self, trace: Trace) -> Path | None:
        """The model where none is named. Raises GeometryError: there should be one."""
        return None

    def inputs(self, trace: Trace, camera: str, model: Path | None) -> str | None:
        """A hash of all but the camera that decides the outcome; None: there is nothing.

        Raises:
            GeometryError: the trace, or the model, lacks what it needs.
        """
        return None

    def files(self, trace: Trace, camera: str) -> Sequence[Path]:
        """Files of the trace that it reads besides the camera's."""
        return ()

    def make(self, context: BakeContext) -> Source:
        """The source of a bake. Raises GeometryError: it lacks what it needs."""
        raise NotImplementedError(f"{type(self).__name__} has no make()")


def encode(
    inverse_depth: Floats, scale: float, moving: NDArray[np.bool_] | None = None
) -> NDArray[np.uint16]:
    """Inverse depth (1/m) in steps of the scale; the lowest bit says what moves (h, w)."""
    halves = np.clip(inverse_depth / (2.0 * scale) + 0.5, 0, 32767).astype(np.uint16)
    return 2 * halves if moving is None else 2 * halves + moving


def decode(codes: NDArray[np.uint16], scale: float) -> Floats:
    """The inverse of `encode`."""
    return codes.astype(np.float32) * np.float32(scale)
