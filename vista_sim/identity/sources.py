"""The code that decides a result: a version number stands still in an editable install."""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path

from vista_sim.errors import VistaError
from vista_sim.identity.files import combined, content_digest

SIMULATOR = "vista_sim"
#: Parts of the simulator that show what was driven and decide nothing of it.
SHOWING = ("checking", "drive", "info", "replay", "report")
#: Parts whose code is named on its own: how it is measured, and what scenarios mean.
PARTS = {"metrics": "evaluation", "scenarios": "scenarios"}


@cache
def sources_digest(package: str, part: str = "") -> str | None:
    """SHA-256 over the Python files of an installed package, or of a part of it.

    They are read once a process. None where the package has no files to be seen.
    """
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError, AttributeError):
        return None
    if spec is None:
        return None
    if spec.submodule_search_locations is None:
        files = [] if not spec.has_location or spec.origin is None else [Path(spec.origin)]
        return combined({path.name: content_digest(path, VistaError) for path in files} or {})
    parts: dict[str, str] = {}
    for root in map(Path, spec.submodule_search_locations):
        for path in sorted((root / part).rglob("*.py")):
            inside = path.relative_to(root)
            if package != SIMULATOR or inside.parts[0] not in SHOWING:
                parts[inside.as_posix()] = content_digest(path, VistaError)
    return combined(parts) if parts else None


def simulator_sources() -> dict[str, str | None]:
    """Hashes of the simulator's code by name: all that decides, and its parts."""
    own = {name: sources_digest(SIMULATOR, part) for name, part in PARTS.items()}
    return {"simulator": sources_digest(SIMULATOR), **own}
