"""The work of an import that computes for long before it can write: how far it is, and where it
keeps what an interrupted one can go on from.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from vista_sim.atomic import resolved, write_whole
from vista_sim.errors import TraceError, VistaError
from vista_sim.identity.files import combined
from vista_sim.locks import Lock
from vista_sim.traces.atomic import write_errors_name

Tell = Callable[[str, int, int], None]


def silent(what: str, done: int, total: int) -> None:
    """Tell nobody."""


@dataclass
class Work:
    """What an importer may know of the import that it opens a recording for.

    A context manager: its folder is removed when the import is done, or cannot be; an import that
    is interrupted or killed leaves it.

    Args:
        destination: of the trace; the folder is `.NAME.work` beside it.
        start, end: the wanted stretch, s; end None: all.
        tell: told (what is done, how much of it, all).
    """

    destination: Path
    start: float = 0.0
    end: float | None = None
    tell: Tell = silent
    _lock: Lock | None = field(default=None, init=False)

    @property
    def path(self) -> Path:
        """Where the folder is, or would be."""
        destination = resolved(self.destination)
        return destination.with_name(f".{destination.name}.work")

    def folder(self, plan: Mapping[str, Any]) -> Path:
        """A folder to keep results in; those of an import of the same plan are there still.

        Args:
            plan: all that decides the results, as JSON.

        Raises:
            TraceError: it cannot be made, or another import is at work in it.
        """
        path = self.path
        with write_errors_name(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            if self._lock is None:
                busy = f"{self.destination}: is being imported by another process"
                self._lock = Lock(path.with_name(f"{path.name}.lock"), TraceError, busy)
            identity = combined(plan)
            if _kept_identity(path) != identity:
                if path.exists():
                    shutil.rmtree(path)
                path.mkdir()
                write_whole(path / "plan.json", json.dumps({"plan": identity}).encode())
        return path

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._lock is None:
            return
        if error is None or isinstance(error, VistaError):
            shutil.rmtree(self.path, ignore_errors=True)
        self._lock.release()
        self._lock = None


def _kept_identity(path: Path) -> str | None:
    try:
        kept = json.loads((path / "plan.json").read_bytes())
    except (OSError, ValueError):
        return None
    return str(kept.get("plan")) if isinstance(kept, dict) else None
