"""The recorded roads of a run, kept in it so that it can be looked at without its traces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vista_sim.runs.run import ROAD_FIELDS

if TYPE_CHECKING:
    from vista_sim.traces.trace import Trace

SPACING = 0.5  # m
MOST_POINTS = 200_000  # of a trace; a longer one is kept more coarsely


def road_table(traces: Sequence[Trace]) -> pa.Table:
    """Path, curvature, speed and edges of each trace along its arc length: `roads.parquet`."""
    schema = pa.schema(list(ROAD_FIELDS.items()))
    parts = [_road(index, trace, schema) for index, trace in enumerate(traces)]
    return pa.concat_tables([schema.empty_table(), *parts]).combine_chunks()


def _road(index: int, trace: Trace, schema: pa.Schema) -> pa.Table:
    path = trace.path
    count = min(MOST_POINTS, max(2, round(path.length / SPACING) + 1))
    s = np.linspace(0.0, path.length, count)
    t = np.array([path.time(at) for at in s])
    points = np.array([path.place(at) for at in s])
    edges = {name: np.full(count, np.nan) for name in ("left", "right")}
    if trace.road:
        known = (s >= trace.road["s"][0]) & (s <= trace.road["s"][-1])
        for name, values in edges.items():
            values[known] = np.interp(s[known], trace.road["s"], trace.road[name])
    columns: dict[str, NDArray[np.float64]] = {
        "s": s,
        "t": t,
        "x": points[:, 0],
        "y": points[:, 1],
        "z": np.interp(t, trace.ego.t, trace.ego.position[:, 2]),
        "yaw": points[:, 2],
        "curvature": np.array([path.curvature(at) for at in s]),
        "speed": np.array([path.speed(at) for at in s]),
        **edges,
    }
    section = np.full(count, -1, dtype=np.int32)
    for number, one in enumerate(trace.sections):
        section[(s >= one.start_s - SPACING) & (s <= one.end_s + SPACING)] = number
    arrays = {name: pa.array(values, from_pandas=True) for name, values in columns.items()}
    arrays["trace"] = pa.array(np.full(count, index, dtype=np.int32))
    arrays["section"] = pa.array(section, mask=section < 0)
    return pa.table([arrays[name] for name in schema.names], schema=schema)
