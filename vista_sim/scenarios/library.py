"""Where scenario files are: as named, or among those that installed packages bring along.

A package offers the TOML files in its folder by an entry point of the group
`vista_sim.scenarios`, whose value is the package's name; nothing of it is imported but the
package itself.
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

from vista_sim.errors import ScenarioError
from vista_sim.registry import offered
from vista_sim.traces.samples import SAMPLE, find_trace, is_plain_name, samples

ENTRY_POINT_GROUP = "vista_sim.scenarios"
SUFFIX = ".toml"
_CLONE = "scenarios"  # the folder in a clone, next to this package


def folders() -> tuple[Path, ...]:
    """Folders with scenario files that are installed, or in the clone that this is run from."""
    root = Path(__file__).resolve().parents[2]
    found = [root / _CLONE] if (root / "pyproject.toml").is_file() else []
    for entry in offered(ENTRY_POINT_GROUP).values():
        spec = find_spec(entry.value)
        places = None if spec is None else spec.submodule_search_locations
        found += [Path(place) for place in places or ()]
    existing = [folder for folder in found if next(folder.glob(f"*{SUFFIX}"), None) is not None]
    return tuple(dict.fromkeys(folder.resolve() for folder in existing))


def installed() -> tuple[Path, ...]:
    """Scenario and suite files that are installed, by name."""
    files = {file.name: file for folder in reversed(folders()) for file in folder.glob("*.toml")}
    return tuple(files[name] for name in sorted(files))


def find_beside(name: str, file: Path) -> Path | None:
    """The file that another one names: relative to it, or installed; None if there is none."""
    near = Path(os.path.normpath(file.parent / name))
    return near if _is_file(near) else _shipped(Path(name))


def find(path: str | os.PathLike[str]) -> Path:
    """The file of a path or name.

    Args:
        path: of a file; or "recovery", "recovery.toml" or "scenarios/recovery.toml" for one that
            is installed.

    Raises:
        ScenarioError: there is none.
    """
    file = Path(path)
    if _is_file(file):
        return file
    shipped = _shipped(file)
    if shipped is not None:
        return shipped
    if os.path.isdir(file):
        raise ScenarioError(f"{file}: is a folder; name a file in it")
    known = ", ".join(one.stem for one in installed()) or "none"
    raise ScenarioError(f"{file}: no such file; installed scenarios: {known}")


def find_drive(what: str | os.PathLike[str]) -> Path | None:
    """The folder of the trace that is meant where a scenario or suite could be meant too.

    Args:
        what: a folder, "sample:NAME", or a name: of an installed scenario before that of a sample
            trace.

    Returns:
        The folder; None where a scenario or suite is meant.

    Raises:
        TraceError: there is no such sample.
        ScenarioError: there is neither a scenario nor a sample of that name.
    """
    name = os.fsdecode(what)
    if name.startswith(SAMPLE) or os.path.isdir(name):
        return find_trace(name)
    if not is_plain_name(name) or _is_file(Path(name)) or _shipped(Path(name)) is not None:
        return None
    known = samples()
    if name in known:
        return known[name]
    if Path(name).suffix:
        return None
    scenarios = ", ".join(one.stem for one in installed()) or "none"
    raise ScenarioError(
        f"{name}: no such file or folder; installed scenarios: {scenarios}; "
        f"sample traces: {', '.join(known) or 'none'}"
    )


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name too long, or a folder that may not be looked into
        return False


def _shipped(name: Path) -> Path | None:
    if name.parent not in (Path(), Path(_CLONE)) or name.suffix not in ("", SUFFIX):
        return None
    for folder in folders():
        shipped = folder / f"{name.stem}{SUFFIX}"
        if _is_file(shipped):
            return shipped
    return None
