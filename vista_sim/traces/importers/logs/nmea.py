"""NMEA 0183 sentences of a receiver: RMC (date, position, speed, course) and GGA (altitude, HDOP).

Coordinates are degrees and minutes in one number (ddmm.mmmm); speed is in knots, course in degrees
clockwise from north. GGA has no date: it belongs to the RMC of its second. Dash cams put a time of
their own before the sentence, which is passed over.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from functools import reduce
from operator import xor
from pathlib import Path

import numpy as np

from vista_sim.errors import TraceError
from vista_sim.files import read_bytes
from vista_sim.traces.importers.logs.position_log import DOP_STD, WORLD, PositionLog, checked

KNOT = 1852 / 3600  # m/s
_MAX_FILE = 2**28  # bytes
_SENTENCE = re.compile(r"\$([A-Z]{2})(RMC|GGA),([^*$]*)(?:\*([0-9A-Fa-f]{2}))?")
_CLOCK = re.compile(r"(\d\d)(\d\d)(\d\d)(\.\d+)?")


def read_nmea(path: Path) -> PositionLog:
    """Read the positions of a log. Raises TraceError: none is there, or most lines are damaged."""
    text = read_bytes(path, TraceError, _MAX_FILE).decode("latin-1")
    fixes: dict[str, dict[str, float]] = {}  # by the time of day that its sentences share
    rows: list[tuple[int, dict[str, float]]] = []
    damaged = void = 0
    for match in _SENTENCE.finditer(text):
        kind, body, check = match[2], match[3], match[4]
        if check is None or _checksum(match[1] + kind + "," + body) != int(check, 16):
            damaged += 1
            continue
        fields = body.split(",")
        try:
            values = _rmc(fields) if kind == "RMC" else _gga(fields)
        except (ValueError, IndexError):
            damaged += 1
            continue
        if values is None:
            void += 1
            continue
        if kind == "GGA":
            fixes[fields[0]] = values
            if rows and rows[-1][1]["day"] == _seconds(fields[0]):
                rows[-1][1].update(values)
        else:
            rows.append((_time_ns(fields[0], fields[8]), values | fixes.pop(fields[0], {})))
            fixes.clear()
    if damaged > len(rows):
        raise TraceError(f"{path}: {damaged} sentences are damaged (their checksum is wrong)")
    if not rows:
        told = f" ({void} sentences say that there is no fix)" if void else ""
        raise TraceError(
            f"{path}: holds no position of an RMC sentence{told}; GGA alone has no date"
        )
    names = ("latitude", "longitude", "altitude", "speed", "course", "accuracy")
    columns = {n: np.array([row.get(n, math.nan) for _, row in rows]) for n in names}
    t_ns = np.array([time for time, _ in rows], dtype=np.int64)
    return checked(PositionLog.of(path, WORLD, t_ns, columns))


def _checksum(text: str) -> int:
    return reduce(xor, text.encode("latin-1"), 0)


def _rmc(fields: list[str]) -> dict[str, float] | None:
    """Values of an RMC sentence; None without a fix. Raises ValueError, IndexError."""
    if fields[1] != "A":
        return None
    values = _place(fields[2:6]) | {"day": _seconds(fields[0])}
    _time_ns(fields[0], fields[8])
    if fields[6]:
        values["speed"] = KNOT * float(fields[6])
    if fields[7]:
        values["course"] = math.pi / 2 - math.radians(float(fields[7]))
    return values


def _gga(fields: list[str]) -> dict[str, float] | None:
    if int(fields[5] or 0) == 0:
        return None
    values = _place(fields[1:5])
    _seconds(fields[0])
    if fields[7]:
        values["accuracy"] = DOP_STD * float(fields[7])
    if fields[8]:
        values["altitude"] = float(fields[8])
    return values


def _place(fields: list[str]) -> dict[str, float]:
    """Latitude and longitude of ddmm.mmmm,N,dddmm.mmmm,E."""
    found = {}
    for name, text, side, sides in (
        ("latitude", fields[0], fields[1], "NS"),
        ("longitude", fields[2], fields[3], "EW"),
    ):
        degrees, minutes = divmod(float(text), 100.0)
        if side not in sides or not side or minutes >= 60:
            raise ValueError(text)
        found[name] = (degrees + minutes / 60) * (1 if side == sides[0] else -1)
    return found


def _seconds(clock: str) -> float:
    """Seconds of the day of hhmmss.sss."""
    match = _CLOCK.fullmatch(clock)
    if match is None:
        raise ValueError(clock)
    hours, minutes, seconds = (int(match[k]) for k in (1, 2, 3))
    return 3600.0 * hours + 60.0 * minutes + seconds + float(match[4] or 0)


def _time_ns(clock: str, date: str) -> int:
    """Time of hhmmss.sss and ddmmyy, ns since 1970."""
    if len(date) != 6:
        raise ValueError(date)
    year = int(date[4:])
    year += 1900 if year >= 80 else 2000
    day = datetime(year, int(date[2:4]), int(date[:2]), tzinfo=UTC)
    return round(day.timestamp()) * 10**9 + round(_seconds(clock) * 1e6) * 1000
