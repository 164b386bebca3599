"""Baked geometry on disk: where it lies, how it is read, and whether it fits its trace.

    <trace>/geometry/<camera>/
        geometry.json       format "vista-geometry/1"; present only when all is there. `files` has
                            hashes of the trace's files that it was made from
        inverse_depth.npy   uint16 (n, h, w), or (1, h, w) where every frame has the same
        confidence.npy      uint8, of the same shape
        poses.npy           float64 (n, 4, 4), T_world_camera with refined differences
        ground.npy          float64 (n, 3), how the camera stands above the road
        exposure.npy        float32 (n, 3), optional: log brightness of R, G and B

Confidence (of 255) of multi-view geometry: 255, most neighbouring frames agree; down to about
100, one does; 51, a thing that moves, put on the ground where it stands; 1 to 127 over a whole
frame, brought from another one into a frame without parallax, half as sure as it was there; 0,
ground or a guess from what is around. Other sources, merged with it, raise or lower it.

A trace that cannot be written to keeps its geometry in the user's cache folder.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from vista_sim.arrays import map_array
from vista_sim.errors import GeometryError
from vista_sim.files import check_real, check_whole, read_json, shown
from vista_sim.identity.files import content_digest
from vista_sim.own_folder import cache_folder
from vista_sim.traces.calibration import Lens
from vista_sim.traces.trace import Trace

FORMAT = "vista-geometry/1"
INVERSE_DEPTH, CONFIDENCE, POSES, GROUND, EXPOSURE, DESCRIPTION = (
    "inverse_depth.npy",
    "confidence.npy",
    "poses.npy",
    "ground.npy",
    "exposure.npy",
    "geometry.json",
)
#: What may be beside the description.
ARRAYS = (INVERSE_DEPTH, CONFIDENCE, POSES, GROUND, EXPOSURE)
CONFIDENT = 128  # of 255: what has more is called confident in reports
_MAX_SIDE = 65_535  # px
_MIN_SCALE = 1e-9  # 1/m a step: all codes together would lie beyond 15 km
_FARTHEST = 1e8  # m
_MAX_EXPOSURE = 20.0  # log brightness
_MAX_HEIGHT = 1000.0  # m of the camera above the road
#: Numbers that a report has, by its part.
_REPORTED = {
    "motion": ("median_shift_m", "median_turn_deg", "max_shift_m", "max_turn_deg"),
    "ground": (
        *("frames_fitted", "median_height_m", "median_pitch_deg", "median_roll_deg"),
        *("max_height_m", "max_pitch_deg", "max_roll_deg"),
    ),
}
_REMEDY = "run 'vista-sim bake' on the trace to make it again"


class GeometryStore:
    """Inverse depth and confidence of every frame of one recorded camera, memory mapped.

    Made by `GeometryStore.find`. Read only; processes share the pages. Pickling keeps the path.

    Attributes:
        path: its folder.
        size: (h, w) of the geometry.
        frame_count: n, as many as the recorded camera has.
        lens: of the recorded camera at that size, with its distortion.
        inverse_depth: uint16 (n, h, w), in steps of `scale`; 0 is infinitely far. With
            `moving_bit`, the lowest bit says that the pixel is of something that moves.
        moving_bit: see `inverse_depth`; False for what an earlier version baked.
        scale: 1/m per step.
        confidence: uint8 (n, h, w); 0 is the ground plane or a guess, 255 is sure.
        poses: float64 (n, 4, 4), T_world_camera; refined so that near frames fit each other
            better than as recorded, while they may drift from the recording over long ways.
        ground: float64 (n, 3): height of the camera above the road (m), pitch and roll of the
            car against it (rad; 0 as calibrated), fitted and smoothed over time; None in
            geometry that was baked before it was kept.
        exposure: float32 (n, 3), log brightness by channel relative to the first frame of its
            gapless stretch, as the frames show the same things; larger is brighter. Multiplying
            frame j by exp(exposure[i] - exposure[j]) brings it to the exposure of frame i. Zero
            where it was not measured. It holds for near frames and may drift over many.
        settings: what it was baked with.
        report: what the bake found out.
    """

    def __init__(
        self,
        path: Path,
        lens: Lens,
        frame_count: int,
        identity: str | None,
        root: Path | None = None,
    ) -> None:
        self.path = path
        self._arguments = (path, lens, frame_count, identity, root)
        description = _read_description(path / DESCRIPTION)
        if identity is not None and description["trace"] != identity:
            raise GeometryError(
                f"{path}: was baked from other poses, another calibration or another video than "
                f"this trace has; {_REMEDY}"
            )
        if root is not None:
            _check_files(path, root, description.get("files", {}))
        self.size: tuple[int, int] = (int(description["size"][0]), int(description["size"][1]))
        self.scale = float(description["scale"])
        self.settings: dict[str, Any] = description["settings"]
        self.report: dict[str, Any] = description["report"]
        self.moving_bit = description.get("moving_bit") is True
        self.frame_count = frame_count
        self.lens = lens.resized(self.size)
        shape = (frame_count, *self.size)
        self.inverse_depth = _open_array(path / INVERSE_DEPTH, np.uint16, shape)
        self.confidence = _open_array(path / CONFIDENCE, np.uint8, shape)
        self.poses = _open_array(path / POSES, np.float64, (frame_count, 4, 4))
        self.exposure: NDArray[np.float32] = np.zeros((frame_count, 3), np.float32)
        if (path / EXPOSURE).exists():
            self.exposure = _open_array(path / EXPOSURE, np.float32, (frame_count, 3))
        self.ground: NDArray[np.float64] | None = None
        if (path / GROUND).exists():
            self.ground = _open_array(path / GROUND, np.float64, (frame_count, 3))
        _check_rigid(path / POSES, self.poses)
        _check_bounded(path / EXPOSURE, self.exposure, _MAX_EXPOSURE)
        if self.ground is not None:
            _check_bounded(path / GROUND, self.ground, _MAX_HEIGHT)

    @classmethod
    def find(cls, trace: Trace, camera: str) -> GeometryStore | None:
        """The baked geometry of a recorded camera; None if there is none, or none finished.

        Raises:
            GeometryError: there is one that is malformed or does not belong to the trace.
        """
        path = geometry_folder(trace, camera)
        if path is None:
            return None
        recorded = trace.cameras[camera]
        return cls(
            path,
            recorded.calibration.lens,
            recorded.frame_count,
            identify(trace, camera),
            trace.root,
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return GeometryStore, self._arguments

    def __repr__(self) -> str:
        return f"GeometryStore({str(self.path)!r}, {self.frame_count} frames, size {self.size})"

    def metric(self, index: int) -> NDArray[np.float32]:
        """Inverse depth of one frame, float32 (h, w), 1/m."""
        return np.asarray(self.inverse_depth[index], dtype=np.float32) * np.float32(self.scale)


def folder_in_trace(trace: Trace, camera: str) -> Path:
    """Where the geometry of a camera lies if the trace can be written to."""
    return trace.root / "geometry" / camera


def folder_in_cache(trace: Trace, camera: str) -> Path:
    """Where it lies otherwise: the same for all copies of a trace."""
    name = re.sub(r"[^A-Za-z0-9_-]", "_", trace.name)[:40]
    return cache_folder() / "geometry" / f"{name}-{identify(trace, camera)[:16]}" / camera


def geometry_folder(trace: Trace, camera: str) -> Path | None:
    """The folder of a camera's finished geometry; None if there is none."""
    for find in (folder_in_trace, folder_in_cache):
        path = find(trace, camera)
        if os.path.exists(path / DESCRIPTION):  # False also in a cache that is somebody else's
            return path
    return None


def identify(trace: Trace, camera: str) -> str:
    """A hash of what a bake depends on: calibration, time stamps, ego motion, and the video.

    Of the video it takes the size and both ends, which hold its index, so that it is quick to
    find geometry by; the whole content is compared where it is read (`files` of geometry.json).
    """
    recorded = trace.cameras[camera]
    digest = hashlib.sha256()
    digest.update(json.dumps(recorded.calibration.to_json(), sort_keys=True).encode())
    ego = trace.ego
    for values in (recorded.t, ego.t, ego.position, ego.quaternion):
        digest.update(np.ascontiguousarray(values, dtype=np.float64).tobytes())
    with open(recorded.path, "rb") as video:
        size = os.fstat(video.fileno()).st_size
        digest.update(size.to_bytes(8, "little"))
        digest.update(video.read(65536))
        video.seek(max(0, size - 65536))
        digest.update(video.read())
    return digest.hexdigest()


def _read_description(path: Path) -> dict[str, Any]:
    values = remedied(lambda: read_json(path, GeometryError))
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        found = values.get("format") if isinstance(values, dict) else values
        raise GeometryError(f"{path}: format is {shown(found)}; it must be {FORMAT!r}; {_REMEDY}")
    try:
        size = values.get("size")
        if not isinstance(size, list) or len(size) != 2:
            raise ValueError(f"size is {shown(size)}; it must be [height, width]")
        for side in size:
            check_whole(side, "size", 1, _MAX_SIDE)
        check_real(values.get("scale"), "scale", _MIN_SCALE, 1.0)
        for key, kind in (("trace", str), ("settings", dict), ("report", dict)):
            if not isinstance(values.get(key), kind):
                raise ValueError(f"{key} is missing or malformed")
        if not isinstance(values.get("files", {}), dict):
            raise ValueError("files is malformed")
        _check_report(values["report"])
    except ValueError as error:
        raise GeometryError(f"{path}: {error}; {_REMEDY}") from None
    return values


def _check_report(report: dict[str, Any]) -> None:
    """Raise ValueError unless what a report has of `_REPORTED`, and its sources, can be told."""
    sources = report.get("sources", [])
    if not isinstance(sources, list) or not all(isinstance(name, str) for name in sources):
        raise ValueError("sources of report is malformed")
    for name in ("confident_share", "frames_without_neighbours"):
        if report.get(name) is not None:
            check_real(report[name], f"{name} of report", 0.0, _FARTHEST)
    for name, fields in _REPORTED.items():
        part = report.get(name)
        if not part:
            continue
        if not isinstance(part, dict):
            raise ValueError(f"{name} of report is malformed")
        for field in fields:
            check_real(part.get(field), f"{field} of report", 0.0, _FARTHEST)


def _check_files(path: Path, root: Path, files: dict[str, Any]) -> None:
    """The files of a trace that geometry was baked from must hold what they held then.

    Geometry of earlier versions names none. One that is gone by now was looked at by none but
    the bake.
    """
    for name, digest in files.items():
        file = root / name
        if Path(name).name != name or not file.is_file():
            continue
        if content_digest(file, GeometryError) != digest:
            raise GeometryError(f"{path}: was baked from another {name}; {_REMEDY}")


def _check_bounded(path: Path, array: NDArray[Any], largest: float) -> None:
    bad = ~(np.abs(array) <= largest)  # NaN is not
    if bad.any():
        row = int(np.argwhere(bad)[0][0])
        raise GeometryError(
            f"{path}: row {row} has the value {array[bad][0]}; values are finite and at most "
            f"{largest:g}; {_REMEDY}"
        )


def _check_rigid(path: Path, poses: NDArray[np.float64]) -> None:
    _check_bounded(path, poses, _FARTHEST)
    turns = poses[:, :3, :3]
    error = np.abs(turns @ turns.transpose(0, 2, 1) - np.eye(3)).max(axis=(1, 2))
    wrong = (error > 1e-3) | (np.linalg.det(turns) < 0)
    wrong |= np.abs(poses[:, 3] - (0, 0, 0, 1)).max(axis=1) > 1e-9
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise GeometryError(f"{path}: row {row} is no rigid transform; {_REMEDY}")


def _open_array(path: Path, dtype: DTypeLike, shape: tuple[int, ...]) -> NDArray[Any]:
    """Map an array of the shape, or of one frame that stands for all."""
    shapes = (shape, (1, *shape[1:]))
    array = remedied(lambda: map_array(path, dtype, shapes, GeometryError))
    return np.broadcast_to(array, shape, subok=True)


def remedied(read: Callable[[], Any]) -> Any:
    """What is read, or the error of it with what to do: whatever is baked can be made again."""
    try:
        return read()
    except GeometryError as error:
        raise GeometryError(f"{error}; {_REMEDY}") from None
