"""Depth models: what estimates inverse depth from one picture, and how one is found.

A model is a folder that `vista-train depth` wrote, or a file in ONNX format. What reads a
folder stands in the `loader` field of its depth.json: the name of an entry point in the group
`vista_sim.depth_models`, a callable `load(folder: Path) -> DepthModel`. A loader reads weights
and configuration, never code.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vista_sim.errors import GeometryError
from vista_sim.files import read_json, shown
from vista_sim.geometry.store import folder_in_cache
from vista_sim.identity.files import digest_of_digests
from vista_sim.identity.onnx_files import weight_files
from vista_sim.registry import offered
from vista_sim.traces.calibration import Lens
from vista_sim.traces.trace import Trace

DEPTH_FORMAT = "vista-depth/1"
DEPTH_JSON = "depth.json"
ENTRY_POINT_GROUP = "vista_sim.depth_models"

_BESIDE = "depth-model"


class DepthModel(Protocol):
    """Estimates inverse depth from one picture. Calls come from several threads.

    Attributes:
        name: for messages.
        metric: whether its values are in 1/m; else only scale times value plus shift is.
        align: whether they are brought to the scale that the motion shows.
    """

    name: str
    metric: bool
    align: bool

    def input_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """(height, width) of the pictures it takes, for a camera of this size."""

    def predict(
        self,
        picture: NDArray[np.uint8],
        lens: Lens,
        T_vehicle_camera: NDArray[np.float64],
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Inverse depth of one picture.

        Args:
            picture: RGB (h, w, 3) of the size of `input_size`, without lens distortion.
            lens: of the picture, ideal.
            T_vehicle_camera: (4, 4) mount of the camera.

        Returns:
            Inverse depth, or what grows with it, (h', w') over the whole picture, at any
            resolution; and how sure it is, 0..1, of the same shape.

        Raises:
            GeometryError: the model does not give that.
        """


def load_depth_model(spec: str | Path) -> DepthModel:
    """Load a model.

    Args:
        spec: a model folder, or "onnx:FILE".

    Raises:
        GeometryError: it cannot be read, is of an unknown format, or no installed package can
            read it.
    """
    text = str(spec)
    if text.startswith("onnx:"):
        from vista_sim.geometry.onnx import OnnxDepth

        return OnnxDepth(Path(text.removeprefix("onnx:")))
    folder = Path(text)
    loader = read_depth_json(folder)["loader"]
    found = offered(ENTRY_POINT_GROUP)
    if loader not in found:
        known = ", ".join(sorted(found)) or "none"
        raise GeometryError(
            f"{folder / DEPTH_JSON}: loader {shown(loader)} is unknown; known: {known}"
        )
    try:
        load = found[loader].load()
    except ImportError as error:
        raise GeometryError(
            f"{folder}: what reads it cannot be loaded ({error}); pip install 'vista-sim[train]'"
        ) from None
    model: DepthModel = load(folder)
    return model


def read_depth_json(folder: Path) -> dict[str, Any]:
    """Read and check depth.json of a model folder. Raises GeometryError."""
    path = folder / DEPTH_JSON
    missing = "not found; 'vista-train depth' makes a model folder"
    values = read_json(path, GeometryError, missing=missing)
    if not isinstance(values, dict) or values.get("format") != DEPTH_FORMAT:
        found = values.get("format") if isinstance(values, dict) else None
        raise GeometryError(
            f"{path}: format is {shown(found)}; this version reads {DEPTH_FORMAT!r}"
        )
    if not isinstance(values.get("loader"), str):
        raise GeometryError(f"{path}: field 'loader' must be a name")
    weights = values.get("weights")
    if not isinstance(weights, dict) or not isinstance(weights.get("sha256"), str):
        raise GeometryError(f"{path}: field 'weights' must hold file and sha256")
    return values


def model_folders(trace: Trace) -> tuple[Path, Path]:
    """Where the model of a trace lies: with its geometry, or in the user's cache folder."""
    first = next(iter(trace.cameras))
    return trace.root / "geometry" / _BESIDE, folder_in_cache(trace, first).parent / _BESIDE


def model_beside(trace: Trace) -> Path:
    """The folder of the model that was trained on a trace. Raises GeometryError."""
    for folder in model_folders(trace):
        if os.path.exists(folder / DEPTH_JSON):  # False also in a cache that is somebody else's
            return folder
    raise GeometryError(
        f"{trace.root}: no depth model was learned from this trace; run 'vista-train depth "
        f"--traces {trace.root}', or name one as learned:FOLDER"
    )


def folder_hash(folder: Path) -> str:
    """What tells one model folder from another: a hash of its weights and of what it is.

    Raises:
        GeometryError: it is no model folder.
    """
    values = read_depth_json(folder)
    decisive = {key: values.get(key) for key in ("loader", "network", "weights", "focal", "size")}
    return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()


def onnx_hash(path: Path) -> str:
    """The same of an ONNX file, the JSON that says how to feed it, and the files that its tensors
    name.

    Raises:
        GeometryError: a file cannot be read.
    """
    beside = path.with_suffix(".json")
    settings = [beside] if beside.exists() else []
    return digest_of_digests([path, *settings, *weight_files(path, GeometryError)], GeometryError)
