"""Sources of geometry by name: those that come with the simulator, and those that others add.

A source of this project is a file and a line of `OWN`. An installed package brings its own along by
an entry point of the group `vista_sim.geometry_sources`: its name is the source's, its value a
`source.SourceKind`. A program adds one with `register`.
"""

from __future__ import annotations

import re
from typing import Any

from vista_sim.errors import GeometryError
from vista_sim.files import shown
from vista_sim.registry import Registry

ENTRY_POINT_GROUP = "vista_sim.geometry_sources"
#: Modules of this package, and what in them; "auto" takes them in this order.
OWN = {
    "multiview": "multiview_source:MULTIVIEW",
    "stereo": "stereo:STEREO",
    "lidar": "lidar:LIDAR",
    "learned": "model_source:LEARNED",
    "onnx": "model_source:ONNX",
}
#: What is no source, but can be asked for in place of some.
TAKEN = ("auto", "ground")

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")  # it is part of files' names

_kinds: Registry[Any] = Registry(
    ENTRY_POINT_GROUP,
    "geometry source",
    GeometryError,
    own={name: f"{__package__}.{where}" for name, where in OWN.items()},
)


def register(name: str, kind: Any) -> None:
    """Make a source known to this process.

    Args:
        name: letters, digits, "_" and "-".
        kind: a `source.SourceKind`.

    Raises:
        GeometryError: the name cannot be, or is taken.
    """
    if not isinstance(name, str) or _NAME.fullmatch(name) is None:
        raise GeometryError(
            f"name of a geometry source is {shown(name)}; it must be 1 to 40 letters, digits, "
            "'-' or '_'"
        )
    if name in TAKEN:
        raise GeometryError(f"a geometry {name!r} is no source; choose another name")
    _kinds.add(name, kind)


def known_sources() -> tuple[str, ...]:
    """All that can be named, those of this project first."""
    return (*OWN, *(name for name in _kinds.names() if name not in OWN and name not in TAKEN))


def find_kind(name: str) -> Any:
    """What is known of a source by its name. Raises GeometryError: nobody knows it."""
    return _kinds.find(name)
