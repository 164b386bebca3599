"""What a position log says, whatever its format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vista_sim.errors import TraceError
from vista_sim.files import shown
from vista_sim.traces.importers.recording import Floats, Times

#: Whose clock the times of a log are: coordinated universal time; the container's of the video that
#: the log is in; or one that begins anywhere.
WORLD, VIDEO, OWN = "world", "video", "own"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MAX_ROWS = 2**22
DOP_STD = (
    2.0  # m of a position for each of dilution of precision; receivers of phones and dash cams
)


def utc_ns(path: Path, what: str, text: str) -> int:
    """Nanoseconds since 1970 of an ISO 8601 time; one without a zone is UTC. Raises TraceError."""
    try:
        time = datetime.fromisoformat(text.strip())
    except ValueError:
        time = datetime.min
    if not 1980 <= time.year < 2200:  # what it cannot be, and what 64 bits do not hold
        raise TraceError(
            f"{path}: {what}: time is {shown(text)}; it must be such as 2025-03-14T07:00:00Z"
        )
    time = time if time.tzinfo else time.replace(tzinfo=UTC)
    return round((time - _EPOCH) / timedelta(microseconds=1)) * 1000


def _none() -> Floats:
    return np.zeros(0)


@dataclass(frozen=True)
class Title:
    """The column of a file that values are of: what it was read as, and in which unit."""

    column: str
    name: str
    unit: str


@dataclass(frozen=True, eq=False)
class PositionLog:
    """Rows of a log; NaN is what a row does not say.

    Args:
        path: of the file, named in errors.
        clock: one of `WORLD`, `VIDEO`, `OWN`.
        t_ns: (n,) ns, increasing.
        latitude, longitude: (n,) degrees. altitude: (n,) m.
        x, y: (n,) m, in place of latitude and longitude.
        speed: (n,) m/s. course: (n,) rad from east or x, counter-clockwise.
        yaw_rate: (n,) rad/s, positive to the left.
        accuracy: (n,) m, one sigma of the position.
        gyro_t_ns, gyro: (k,) yaw rates that have times of their own.
        titles: where a user names the columns, that of each of these.
    """

    path: Path
    clock: str
    t_ns: Times
    latitude: Floats = field(default_factory=_none)
    longitude: Floats = field(default_factory=_none)
    altitude: Floats = field(default_factory=_none)
    x: Floats = field(default_factory=_none)
    y: Floats = field(default_factory=_none)
    speed: Floats = field(default_factory=_none)
    course: Floats = field(default_factory=_none)
    yaw_rate: Floats = field(default_factory=_none)
    accuracy: Floats = field(default_factory=_none)
    gyro_t_ns: Times = field(default_factory=lambda: np.zeros(0, np.int64))
    gyro: Floats = field(default_factory=_none)
    titles: Mapping[str, Title] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in COLUMNS:
            if not len(getattr(self, name)):
                object.__setattr__(self, name, np.full(len(self.t_ns), np.nan))

    @classmethod
    def of(cls, path: Path, clock: str, t_ns: Times, columns: Mapping[str, Any]) -> PositionLog:
        """A log of columns by their names."""
        return cls(path, clock, t_ns, **columns)

    def rows(self, keep: NDArray[np.bool_]) -> PositionLog:
        """Some of the rows."""
        return replace(self, t_ns=self.t_ns[keep], **{n: getattr(self, n)[keep] for n in COLUMNS})


COLUMNS = ("latitude", "longitude", "altitude", "x", "y", "speed", "course", "yaw_rate", "accuracy")
_BOUNDS = {
    "latitude": (90.0, "degrees"),
    "longitude": (180.0, "degrees"),
    "altitude": (1e5, "m"),
    "x": (1e7, "m"),
    "y": (1e7, "m"),
    "speed": (150.0, "m/s"),
    "yaw_rate": (10.0, "rad/s"),
    "accuracy": (1e6, "m"),
}


def checked(log: PositionLog) -> PositionLog:
    """A log in order of time, with values that a drive can have. Raises TraceError.

    Rows of the same time as the one before are left out: loggers write the same fix twice.
    """
    if len(log.t_ns) > MAX_ROWS:
        raise TraceError(f"{log.path}: has {len(log.t_ns)} rows; at most {MAX_ROWS} are read")
    for name, (bound, unit) in _BOUNDS.items():
        values = getattr(log, name)
        bad = np.flatnonzero(np.abs(values) > bound)
        if len(bad):
            raise TraceError(
                f"{log.path}: row {bad[0]}: {name} is {values[bad[0]]:.6g}; it must be in {unit}"
            )
    order = np.argsort(log.t_ns, kind="stable")
    if np.count_nonzero(np.diff(log.t_ns) < 0) > 0.1 * len(log.t_ns):
        raise TraceError(f"{log.path}: times run backwards in many rows; are they in one unit?")
    later = np.concatenate([[True], np.diff(log.t_ns[order]) > 0])
    keep = np.zeros(len(order), dtype=bool)
    keep[order[later]] = True
    sorted_log = replace(
        log, t_ns=log.t_ns[order], **{name: getattr(log, name)[order] for name in COLUMNS}
    )
    log = sorted_log.rows(later)
    placed = np.isfinite(log.latitude) & np.isfinite(log.longitude)
    placed |= np.isfinite(log.x) & np.isfinite(log.y)
    if placed.sum() < 2 and not (np.isfinite(log.speed).sum() > 1 and _turns(log)):
        raise TraceError(
            f"{log.path}: {placed.sum()} rows hold a position; at least 2 are needed, or a speed "
            "with a yaw rate or a heading"
        )
    return log


def _turns(log: PositionLog) -> bool:
    told = (np.isfinite(log.yaw_rate), np.isfinite(log.course), np.isfinite(log.gyro))
    return any(values.sum() > 1 for values in told)
