"""One virtual camera over many traces: resolved to a recorded camera trace by trace.

A world takes its views from a `WorldCameras`: a `CameraPool`, which synthesizes them, unless
another is given, such as `proving_ground.deployment`, which renders what really was there.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import astuple
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vista_sim.arguments import check_count, check_size
from vista_sim.errors import WorldError
from vista_sim.sensors.backends import BACKENDS
from vista_sim.sensors.blocks import FrameBudget
from vista_sim.sensors.bodies import Bodies
from vista_sim.sensors.spec import CameraSpec
from vista_sim.traces.calibration import Lens
from vista_sim.transforms import Matrix

if TYPE_CHECKING:
    from vista_sim.sensors.camera import Camera
    from vista_sim.traces.trace import Trace

#: Which recorded camera is used where none is named: the first of these, else the trace's first.
PREFERRED = ("front", "left")


class WorldCamera(Protocol):
    """What a world asks of a camera; see `Camera`, which is one, for the arguments."""

    lens: Lens

    def render(
        self, t: float, offset: ArrayLike = (0.0, 0.0, 0.0), bodies: Bodies | None = None
    ) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """One image, uint8 (height, width, 3), and which of its pixels were really seen."""

    def render_batch(
        self,
        ts: Sequence[float] | NDArray[np.float64],
        offsets: Sequence[ArrayLike] | NDArray[np.float64],
        out: tuple[NDArray[np.uint8], NDArray[np.bool_]] | None = None,
        rows: Sequence[int] | NDArray[np.integer] | None = None,
        workers: int = 1,
        inverse_depth: NDArray[np.float32] | None = None,
        bodies: Bodies | None = None,
    ) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Many of them."""

    def render_tensors(
        self,
        ts: Sequence[float] | NDArray[np.float64],
        offsets: Sequence[ArrayLike] | NDArray[np.float64],
        bodies: Bodies | None = None,
    ) -> Any:
        """Many of them, as a `torch_backend.TorchViews` on the device that makes them.

        Raises:
            ValueError: this camera makes none there.
        """


class WorldCameras(Protocol):
    """Where the views of a world come from. Traces are counted as the world counts them."""

    views: str  # how they come about: "synthesized" or "rendered"

    def recorded_name(self, trace: int) -> str:
        """The recorded camera of a trace that lens and mount are by default those of."""

    def mount(self, trace: int, spec: CameraSpec) -> Matrix:
        """T_vehicle_camera (4, 4) of `spec` in a trace."""

    def check(self, trace: int, spec: CameraSpec) -> None:
        """Raise WorldError unless there can be a camera of `spec` in a trace."""

    def camera(self, trace: int, spec: CameraSpec) -> WorldCamera:
        """The camera of `spec` in a trace."""


#: Makes the cameras of a world from its open traces and the recorded camera(s) that were named.
CameraMaker = Callable[["Sequence[Trace]", "str | Sequence[str] | None"], WorldCameras]


class CameraChoice:
    """Resolves what a policy's camera leaves open to a recorded camera, trace by trace.

    Args:
        traces: open traces.
        recorded: name of the recorded camera, the same in all traces, or several that feed one
            view (see `Camera`); None: each trace's "front", "left", or first camera.
    """

    def __init__(
        self, traces: Sequence[Trace], recorded: str | Sequence[str] | None = None
    ) -> None:
        self.traces = traces
        self.recorded = (recorded,) if isinstance(recorded, str) else recorded
        if self.recorded is not None and not self.recorded:
            raise WorldError("recorded_camera is empty; name at least one recorded camera")

    def recorded_names(self, trace: int) -> tuple[str, ...]:
        """Names of the recorded cameras used in a trace. Raises WorldError if one is missing."""
        cameras = self.traces[trace].cameras
        root = self.traces[trace].root
        if self.recorded is not None:
            for name in self.recorded:
                if name not in cameras:
                    known = ", ".join(cameras) or "none"
                    raise WorldError(f"{root}: no camera {name!r}; cameras: {known}")
            return tuple(self.recorded)
        if not cameras:
            raise WorldError(f"{root}: has no camera to synthesize views from")
        return (next((name for name in PREFERRED if name in cameras), next(iter(cameras))),)

    def recorded_name(self, trace: int) -> str:
        """The first of `recorded_names`, that lens and mount are by default those of."""
        return self.recorded_names(trace)[0]

    def mount(self, trace: int, spec: CameraSpec) -> Matrix:
        """T_vehicle_camera (4, 4) of `spec` in a trace (an index)."""
        if spec.mount is not None:
            return spec.mount
        recorded = self.traces[trace].cameras[self.recorded_name(trace)]
        return recorded.calibration.T_vehicle_camera

    def check(self, trace: int, spec: CameraSpec) -> None:
        """Raise WorldError unless there can be a camera of `spec` in a trace (an index)."""
        from vista_sim.sensors.camera import check_mount

        check_size(spec.size)
        try:
            if spec.mount is not None:
                check_mount(spec.mount)
            self.recorded_names(trace)
            self.lens(trace, spec)
        except WorldError:
            raise
        except ValueError as error:
            raise WorldError(f"{self.traces[trace].root}: {error}") from None

    def lens(self, trace: int, spec: CameraSpec) -> Lens:
        """The lens of `spec` in a trace (an index), of its size.

        Where a `CameraSpec` has no field of view, it is the recorded lens at the new size, and
        the field of view is that of the first trace: a trace recorded through another lens
        gets an ideal pinhole camera with it, so that all traces share one observation.
        """
        from vista_sim.sensors.camera import ideal_lens, virtual_lens

        if spec.lens is not None:
            return spec.lens.resized(spec.size)
        own = virtual_lens(self._recorded_lens(trace), spec.size, spec.fov)
        if spec.fov is None and trace != 0:
            shared = virtual_lens(self._recorded_lens(0), spec.size, None)
            if not _alike(shared, own):
                return ideal_lens(spec.size, self._recorded_lens(0))
        return own

    def _recorded_lens(self, trace: int) -> Lens:
        return self.traces[trace].cameras[self.recorded_name(trace)].calibration.lens


class CameraPool(CameraChoice):
    """Cameras that synthesize, made when first used; the least recently used is dropped.

    Args:
        traces, recorded: see `CameraChoice`.
        backend: of the cameras.
        kept: how many cameras are kept at most.
        cache_bytes: memory that the decoded frames of all cameras together may take.
        device: where backend "torch" makes views, see `Camera`.
    """

    views = "synthesized"

    def __init__(
        self,
        traces: Sequence[Trace],
        recorded: str | Sequence[str] | None = None,
        backend: str = "numba",
        kept: int = 16,
        cache_bytes: int = 1024 * 2**20,
        device: str = "cpu",
    ) -> None:
        super().__init__(traces, recorded)
        if backend not in BACKENDS:
            raise WorldError(f"backend is {backend!r}; known are {', '.join(BACKENDS)}")
        if device != "cpu" and backend != "torch":
            raise WorldError(f"device is {device!r}; backend {backend!r} runs on the cpu only")
        self.backend, self.device = backend, device
        self.kept = check_count("cameras_kept", kept)
        self.cache_bytes = check_count("cache_bytes", cache_bytes, least=0)
        self._budget: FrameBudget | None = None
        self._cameras: OrderedDict[tuple[object, ...], Camera] = OrderedDict()

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_cameras": OrderedDict()}

    def camera(self, trace: int, spec: CameraSpec) -> Camera:
        """The camera of `spec` in a trace (an index)."""
        mount = None if spec.mount is None else spec.mount.tobytes()
        lens = None if spec.lens is None else astuple(spec.lens)
        key = (trace, spec.size, spec.fov, mount, lens)
        camera = self._cameras.get(key)
        if camera is None:
            camera = self._cameras[key] = self._make(trace, spec)
            while len(self._cameras) > self.kept:
                self._cameras.popitem(last=False)
        else:
            self._cameras.move_to_end(key)
        return camera

    def _make(self, trace: int, spec: CameraSpec) -> Camera:
        from vista_sim.sensors.camera import Camera

        # One for all: frames stay while a trace's camera is dropped and made again.
        self._budget = self._budget or FrameBudget(self.cache_bytes)
        return Camera(
            self.traces[trace],
            self.recorded_names(trace),
            lens=self.lens(trace, spec),
            mount=spec.mount,
            backend=self.backend,
            cache_bytes=self._budget,
            device=self.device,
        )


def _alike(a: Lens, b: Lens) -> bool:
    """Whether two lenses of one size map rays to the same pixels, to a hundredth of a pixel."""
    if a.model != b.model or a.size != b.size:
        return False
    pixels = np.array([[a.fx, a.fy, a.cx, a.cy], [b.fx, b.fy, b.cx, b.cy]])
    return bool(
        np.abs(pixels[0] - pixels[1]).max() < 0.01
        and np.abs(np.subtract(a.distortion, b.distortion)).max() < 1e-5
    )
