"""The recorded roads that a run was driven on, and the traces that they are from where these are
at hand.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vista_sim.errors import RunError, VistaError
from vista_sim.geometry.identity import is_recording
from vista_sim.replay.viewer.drives import ShownRun
from vista_sim.replay.viewer.recording import FAR
from vista_sim.runs.roads import road_table
from vista_sim.runs.run import columns
from vista_sim.traces.trace import Trace

Floats = NDArray[np.float64]

FIELDS = ("s", "x", "y", "z", "yaw", "curvature", "speed", "left", "right")
COLUMNS = (*FIELDS, "section")


@dataclass(frozen=True, eq=False)
class ShownRoad:
    """A recorded path and the edges of its road, (n,) each, in order of s.

    section: which of the trace's sections. s, x, y, z: m. yaw: rad. curvature: 1/m. speed: m/s.
    left, right: distances from the path to the edges, m; NaN where unknown.
    """

    section: NDArray[np.int64]
    s: Floats
    x: Floats
    y: Floats
    z: Floats
    yaw: Floats
    curvature: Floats
    speed: Floats
    left: Floats
    right: Floats

    def at(self, name: str, s: Floats) -> Floats:
        """A column at arc lengths s (n,); NaN where these are not known."""
        known = np.isfinite(s)
        values = np.interp(np.where(known, s, 0.0), self.s, getattr(self, name))
        return np.where(known, values, np.nan)

    def line(self, offset: float | Floats = 0.0, up: float = 0.0) -> list[Floats]:
        """The path (k, 3) of each section, moved to the left and up (m), where that is known."""
        offsets = np.broadcast_to(np.asarray(offset, dtype=np.float64), self.s.shape)
        points = np.column_stack(
            [
                self.x - np.sin(self.yaw) * offsets,
                self.y + np.cos(self.yaw) * offsets,
                self.z + up,
            ]
        )
        known = np.isfinite(points.sum(axis=1))
        cuts = np.flatnonzero((np.diff(self.section) != 0) | (np.diff(known) != 0)) + 1
        parts = np.split(np.arange(len(known)), cuts)
        return [points[part] for part in parts if len(part) > 1 and known[part[0]]]


def road_from(table: Mapping[str, NDArray[Any]]) -> ShownRoad | None:
    """A road from columns; None if there is nothing of it, or a column is missing or no numbers."""
    if any(name not in table or table[name].dtype.kind not in "fiu" for name in COLUMNS):
        return None
    values = {name: np.asarray(table[name], dtype=np.float64) for name in FIELDS}
    sound = np.ones(len(values["s"]), dtype=bool)
    for name in ("s", "x", "y", "z", "yaw"):
        sound &= np.abs(np.nan_to_num(values[name], nan=np.inf)) < FAR
    order = np.argsort(np.where(sound, values["s"], np.inf), kind="stable")[: int(sound.sum())]
    if len(order) < 2:
        return None
    section = np.nan_to_num(np.asarray(table["section"], dtype=np.float64), nan=-1.0)[order]
    return ShownRoad(section.astype(np.int64), **{n: v[order] for n, v in values.items()})


def road_of(trace: Trace) -> ShownRoad | None:
    """The road of an open trace."""
    return road_from(columns(road_table([trace])))


class Roads:
    """Roads and traces of the shown runs, looked up once.

    Args:
        note: takes a line for a run whose traces are not at hand.
    """

    def __init__(self, note: Callable[[str], None]) -> None:
        self._note = note
        self._roads: dict[tuple[int, int], ShownRoad | None] = {}
        self._traces: dict[tuple[int, str], Trace | None] = {}

    def trace(self, run: ShownRun, index: int) -> Trace | None:
        """The trace of a run, from where run.json says it is; None where it is not there."""
        known = run.traces
        told = known[index] if index < len(known) else {}
        place = told.get("path")
        # A run may drive a trace many times over, and name it as often.
        key = (run.index, str(place))
        if key not in self._traces:
            self._traces[key] = self._open(run, place, told)
        return self._traces[key]

    def road(self, run: ShownRun, index: int) -> ShownRoad | None:
        """The road of a trace of a run: as the run kept it, else as the trace says."""
        key = (run.index, index)
        if key not in self._roads:
            road = self._kept(run, index)
            if road is None and (trace := self.trace(run, index)) is not None:
                road = road_of(trace)
            self._roads[key] = road
        return self._roads[key]

    def _kept(self, run: ShownRun, index: int) -> ShownRoad | None:
        try:
            table = columns(run.run.roads)
        except RunError as error:
            self._note(f"{run.label}: the recorded road is left out ({error})")
            return None
        own = table.pop("trace") == index
        return road_from({name: values[own] for name, values in table.items() if own.any()})

    def _open(self, run: ShownRun, place: object, told: Mapping[str, Any]) -> Trace | None:
        left_out = "point clouds and sensor frustums are left out"
        if not isinstance(place, str) or not place or "\0" in place:
            self._note(f"{run.label}: run.json names no trace; {left_out}")
            return None
        try:
            trace = Trace.open(Path(place))
            if is_recording(trace, told):
                return trace
            self._note(
                f"{run.label}: {left_out} ({place}: the recording has changed since the run was "
                "driven on it)"
            )
            return None
        except (VistaError, OSError) as error:
            self._note(f"{run.label}: {left_out} ({error})")
            return None
