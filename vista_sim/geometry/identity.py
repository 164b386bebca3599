"""What of a trace decides what is driven on it: the recording, and what was baked from it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vista_sim.errors import GeometryError, TraceError
from vista_sim.files import read_json
from vista_sim.geometry.store import ARRAYS, DESCRIPTION, geometry_folder, remedied
from vista_sim.identity.files import combined, content_digest, files_digest
from vista_sim.traces.trace import Trace

#: Tables that a trace may lack.
OPTIONAL = ("road.parquet", "tracks.parquet", "labels.parquet", "lanes.parquet")
#: What of geometry.json decides nothing that is seen: the report tells how the bake went.
_TOLD = ("report", "files", "sources")


@dataclass(frozen=True)
class TraceIdentity:
    """What decides what is driven on a trace.

    Args:
        recording: SHA-256 over tables, videos, masks and calibration.
        geometry: SHA-256 over what was baked for its cameras; None: nothing was.
    """

    recording: str
    geometry: str | None

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {"recording": self.recording, "geometry": self.geometry}


def identify_trace(trace: Trace) -> TraceIdentity:
    """What decides what is driven on a trace, by the files that are there now.

    Raises:
        TraceError, GeometryError: a file cannot be read.
    """
    return TraceIdentity(recording_digest(trace), geometry_digest(trace, trace.cameras))


def recording_digest(trace: Trace) -> str:
    """SHA-256 over the files of a recording. Raises TraceError."""
    return files_digest(recorded_files(trace), TraceError)


def is_recording(trace: Trace, told: Mapping[str, Any]) -> bool:
    """Whether a trace still is the recording that run.json tells of; also where that names none,
    as runs of earlier versions do.
    """
    return told.get("recording") in (None, recording_digest(trace))


def recorded_files(trace: Trace) -> dict[str, Path]:
    """The files of a recording by name, without what is baked from them."""
    names = ["trace.json", "ego.parquet"]
    for name, camera in trace.cameras.items():
        names += [f"{name}.parquet", camera.path.name]
        if camera.calibration.mask is not None:
            names.append(camera.calibration.mask)
    names += [lidar.path.name for lidar in trace.lidars.values()]
    names += [name for name in OPTIONAL if (trace.root / name).exists()]
    return {name: trace.root / name for name in names}


def geometry_digest(trace: Trace, cameras: Iterable[str]) -> str | None:
    """SHA-256 over what was baked for cameras; None where nothing was for any of them."""
    found = {camera: geometry_folder(trace, camera) for camera in cameras}
    folders = {camera: folder for camera, folder in found.items() if folder is not None}
    baked = remedied(lambda: {camera: _baked(folder) for camera, folder in folders.items()})
    return combined(baked) if baked else None


def _baked(folder: Path) -> dict[str, Any]:
    """What was baked for a camera: hashes of the arrays, and what says how they are read."""
    parts: dict[str, Any] = {
        name: content_digest(folder / name, GeometryError)
        for name in ARRAYS
        if (folder / name).exists()
    }
    try:
        values = read_json(folder / DESCRIPTION, GeometryError)
        described = {key: value for key, value in values.items() if key not in _TOLD}
        parts[DESCRIPTION] = json.dumps(described, sort_keys=True)
    except (GeometryError, AttributeError):  # who uses it will say what is wrong
        parts[DESCRIPTION] = content_digest(folder / DESCRIPTION, GeometryError)
    return parts


def describe_traces(traces: Iterable[Trace]) -> list[dict[str, Any]]:
    """What run.json says of the traces of a run, in their order."""
    return [
        {"path": str(trace.root), "name": trace.name, **identify_trace(trace).to_json()}
        for trace in traces
    ]
