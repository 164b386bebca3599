"""Folders of the user's own: for what is kept, and for temporary files that nobody else writes."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path


def cache_folder() -> Path:
    """Where what can be made again is kept for this user; it may not be there, nor be usable."""
    import platformdirs

    return Path(platformdirs.user_cache_dir("vista_sim", appauthor=False))


def temporary_folder(base: str | os.PathLike[str] | None = None) -> Path | None:
    """A folder of the user's own in `base`, made if need be; None where there can be none.

    Args:
        base: where; None: the temporary folder, if there is one that can be written to.
    """
    try:
        return own_folder(Path(base or tempfile.gettempdir()) / f"vista_sim-{os.getuid()}")
    except OSError:  # neither a temporary folder, nor a working one
        return None


def own_folder(path: Path) -> Path | None:
    """A folder that only this user can write to, made if need be; else None."""
    try:
        path.mkdir(mode=0o700, exist_ok=True)
        found = path.lstat()
    except OSError:
        return None
    own = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
    usable = own and not found.st_mode & 0o022 and os.access(path, os.W_OK | os.X_OK)
    return path if usable else None
