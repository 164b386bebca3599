"""What a trace holds, in numbers: for `vista-sim info`."""

from __future__ import annotations

from typing import Any

import numpy as np

from vista_sim.geometry.doubts import doubts
from vista_sim.geometry.store import GeometryStore
from vista_sim.traces.findings import find_all
from vista_sim.traces.sections import MIN_SPEED, slow_intervals, subtract
from vista_sim.traces.trace import Trace

REVERSE = 0.5  # m/s; slower is standing


def summarize(trace: Trace, min_speed: float = MIN_SPEED) -> dict[str, Any]:
    """Numbers and names of a trace, ready for JSON.

    Args:
        trace: an open trace.
        min_speed: m/s, for the sections.

    Returns:
        duration (s), length (m), frames (by camera), sensors, speed and curvature ranges,
        gaps and sections (s, and m of arc length), undriven (s of what is in no section:
        "gaps", in "reverse", "slow", and what between those is too "short"), findings (what in
        the recording contradicts itself, see `traces.checks`), geometry (cameras with a baked
        one), baked (of each of them: sources, size, share of confident pixels, how much poses
        were moved and the ground drifts; see `geometry.store.GeometryStore.report`).
    """
    path = trace.path
    baked = _baked(trace)
    sections = trace.find_sections(min_speed=min_speed)
    inside = np.zeros(len(path.s), dtype=bool)
    for section in sections:
        inside |= (path.s >= section.start_s) & (path.s <= section.end_s)
    curvature = np.array([path.curvature(s) for s in path.s[inside]])
    return {
        "name": trace.name,
        "path": str(trace.root),
        "licence": trace.licence,
        "source": trace.source,
        "duration": trace.duration,
        "length": path.length,
        "frames": {name: camera.frame_count for name, camera in trace.cameras.items()},
        "sweeps": {name: lidar.sweep_count for name, lidar in trace.lidars.items()},
        "sensors": {name: _sensor(trace, name) for name in [*trace.cameras, *trace.lidars]},
        "ego_rows": len(trace.ego.t),
        "ego_rate": trace.ego.rate,
        "speed": _range(trace.ego.speed),
        "curvature": _range(curvature),
        "gaps": [list(gap) for gap in trace.gaps],
        "findings": [finding.to_json() for finding in find_all(trace)],
        "sections": [
            {"start": s.start, "end": s.end, "start_s": s.start_s, "end_s": s.end_s}
            for s in sections
        ],
        "undriven": _undriven(trace, min_speed),
        "usable_duration": sum(s.duration for s in sections),
        "usable_length": sum(s.length for s in sections),
        "labels": [
            {"start": x.start, "end": x.end, "key": x.key, "value": x.value} for x in trace.labels
        ],
        "geometry": list(baked),
        "baked": baked,
        "vehicle_assumed": list(trace.vehicle.assumed),
    }


def _undriven(trace: Trace, min_speed: float) -> dict[str, float]:
    """Seconds of what cannot be driven, by why; a moment counts once, for the first that fits."""
    whole = (0.0, trace.duration)
    t, speed = trace.ego.t, trace.ego.speed
    left, found = trace.duration, {}
    cuts: list[tuple[float, float]] = []
    for why, more in (
        ("gaps", list(trace.gaps)),
        ("reverse", slow_intervals(t, speed, -REVERSE)),
        ("slow", slow_intervals(t, speed, min_speed)),
    ):
        cuts += more
        rest = sum(b - a for a, b in subtract(whole, cuts))
        found[why], left = left - rest, rest
    driven = sum(section.duration for section in trace.find_sections(min_speed=min_speed))
    return found | {"short": max(left - driven, 0.0)}


def _range(values: Any) -> dict[str, float] | None:
    if not len(values):
        return None
    return {"min": float(np.min(values)), "max": float(np.max(values))}


def _sensor(trace: Trace, name: str) -> dict[str, Any]:
    if name in trace.lidars:
        lidar = trace.lidars[name]
        return {"type": "lidar", "rate": _rate(lidar.t)}
    camera = trace.cameras[name]
    lens = camera.calibration.lens
    return {
        "type": "camera",
        "model": lens.model,
        "size": list(lens.size),
        "fov": lens.fov,
        "rate": _rate(camera.t),
        "mount": [round(float(v), 4) for v in camera.calibration.T_vehicle_camera[:3, 3]],
    }


def _rate(t: Any) -> float | None:
    return 1.0 / float(np.median(np.diff(t))) if len(t) > 1 else None


def _baked(trace: Trace) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for name, camera in trace.cameras.items():
        store = GeometryStore.find(trace, name)
        if store is not None:
            report = store.report
            found[name] = {
                "path": str(store.path),
                "size": list(store.size),
                "sources": report.get("sources", []),
                "confident_share": report.get("confident_share"),
                "frames_without_neighbours": report.get("frames_without_neighbours"),
                "motion": report.get("motion"),
                "ground": report.get("ground"),
                "doubts": doubts(report, float(camera.calibration.T_vehicle_camera[2, 3])),
            }
    return found
