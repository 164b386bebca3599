"""Where traces are that are meant by a name: the samples, in a clone's assets folder or inside the
installed package.
"""

from __future__ import annotations

import difflib
import os
from pathlib import Path

from vista_sim.atomic import left_beside
from vista_sim.errors import TraceError
from vista_sim.files import shown

SAMPLE = "sample:"  # before a name that is of a sample trace, whatever folders there are


def sample_trace(name: str = "proving-ground") -> Path:
    """Folder of a sample trace.

    Args:
        name: "proving-ground", or "proving-ground-unseen" (another seed, for tests of what
            was trained on the first).

    Raises:
        TraceError: there is no such sample.
    """
    folder = samples().get(name)
    if folder is None:
        known = ", ".join(samples()) or "none is installed"
        raise TraceError(f"no sample trace is named {shown(name)}; known: {known}")
    return folder


def samples() -> dict[str, Path]:
    """Folders of the sample traces by name."""
    package = Path(__file__).resolve().parents[1]
    homes = (package.parent / "assets", package / "assets")  # a clone, a wheel
    found = {p.parent.name: p.parent for home in homes for p in home.glob("*/trace.json")}
    return dict(sorted(found.items()))


def find_trace(what: str | os.PathLike[str]) -> Path:
    """The folder of a trace that is named in any way: every command and call takes these.

    Args:
        what: a folder; the name of a sample trace, unless there is a file or folder of that name
            here; or "sample:NAME".

    Returns:
        The folder, which may be no trace.

    Raises:
        TraceError: there is neither such a folder nor such a sample.
    """
    try:
        name = os.fsdecode(what)
    except TypeError:
        raise TraceError(f"{shown(what)}: is no path; give the name of a folder") from None
    if name.startswith(SAMPLE):
        return sample_trace(name.removeprefix(SAMPLE))
    if os.path.lexists(name):
        return Path(name)
    known = samples()
    if name in known:
        return known[name]
    if not is_plain_name(name):
        kept = left_beside(Path(name))
        raise TraceError(f"{name}: no such folder; a trace is a folder with trace.json{kept}")
    near = difflib.get_close_matches(name, known, 1, 0.6)
    hint = f"; did you mean {near[0]}?" if near else ""
    listed = ", ".join(known) or "none is installed"
    raise TraceError(
        f"{name}: no such folder, and no sample trace of that name{hint} (sample traces: {listed})"
    )


def is_plain_name(text: str) -> bool:
    """Whether a text may be a sample's name: no path, but one word."""
    return bool(text) and Path(text).name == text and text not in (".", "..")


def named_alike(folder: Path) -> str:
    """What to add where a folder is no trace, but a sample trace has its name; else nothing."""
    if folder.name not in samples():
        return ""
    return f"; the sample trace of that name is {SAMPLE}{folder.name}"
