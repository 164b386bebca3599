"""Where the sample traces are: in a clone's assets folder, or inside the installed package."""

from __future__ import annotations

from pathlib import Path

from vista_sim.errors import TraceError


def sample_trace(name: str = "proving-ground") -> Path:
    """Folder of a sample trace.

    Args:
        name: "proving-ground", or "proving-ground-unseen" (another seed, for tests of what
            was trained on the first).

    Raises:
        TraceError: there is no such sample.
    """
    package = Path(__file__).resolve().parents[1]
    homes = (package / "assets", package.parent / "assets")  # a wheel, a clone
    for home in homes:
        if (home / name / "trace.json").is_file() and Path(name).name == name:
            return home / name
    found = sorted(p.parent.name for home in homes for p in home.glob("*/trace.json"))
    known = ", ".join(found) or "none is installed"
    raise TraceError(f"no sample trace is named {name!r}; known: {known}")
