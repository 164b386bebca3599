"""Where the values of a calibration come from: what a trace says of each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vista_sim.errors import TraceError
from vista_sim.files import shown

RECORDED, GIVEN, ESTIMATED, ASSUMED = SOURCES = ("recorded", "given", "estimated", "assumed")


def read_known(values: Any) -> dict[str, dict[str, str]]:
    """The `known` object of trace.json: by sensor, by value of its calibration, its source.

    Raises TraceError: it is not made so, or a source is none of `SOURCES`.
    """
    known: dict[str, dict[str, str]] = {}
    for sensor, about in _object(values, "known").items():
        for name, source in _object(about, f"known of {sensor}").items():
            if source not in SOURCES:
                raise TraceError(
                    f"known of {shown(sensor)}: {shown(name)} is {shown(source)}; it must be "
                    f"{', '.join(SOURCES[:-1])} or {SOURCES[-1]}"
                )
            known.setdefault(sensor, {})[name] = source
    return known


def _object(values: Any, name: str) -> Mapping[str, Any]:
    if not isinstance(values, Mapping):
        raise TraceError(f"{shown(name)} is {shown(values)}; it must be a JSON object")
    return values
