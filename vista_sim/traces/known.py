"""Where the values of a calibration come from: what a trace says of each."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from vista_sim.errors import TraceError
from vista_sim.files import require_object, shown

RECORDED, GIVEN, ESTIMATED, ASSUMED = SOURCES = ("recorded", "given", "estimated", "assumed")


def read_known(values: Any) -> Mapping[str, Mapping[str, str]]:
    """The `known` object of trace.json: by sensor, by value of its calibration, its source.

    Raises TraceError: it is not made so, or a source is none of `SOURCES`.
    """
    known: dict[str, dict[str, str]] = {}
    for sensor, about in require_object(values, "known", TraceError).items():
        for name, source in require_object(about, f"known of {sensor}", TraceError).items():
            if source not in SOURCES:
                raise TraceError(
                    f"known of {shown(sensor)}: {shown(name)} is {shown(source)}; it must be "
                    f"{', '.join(SOURCES[:-1])} or {SOURCES[-1]}"
                )
            known.setdefault(sensor, {})[name] = source
    return MappingProxyType({name: MappingProxyType(about) for name, about in known.items()})
