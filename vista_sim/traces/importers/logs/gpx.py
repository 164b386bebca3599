"""GPX tracks (topografix.com/GPX/1/1): points of latitude, longitude and time, often one a second.

Speed and course are in no place of their own: GPX 1.0 has them in the point, Garmin and others in
its extensions, in m/s and in degrees clockwise from north.
"""

from __future__ import annotations

import math
from pathlib import Path
from xml.parsers import expat

import numpy as np

from vista_sim.errors import TraceError
from vista_sim.files import one_line, read_bytes, shown
from vista_sim.traces.importers.logs.position_log import (
    DOP_STD,
    WORLD,
    PositionLog,
    checked,
    utc_ns,
)

_MAX_FILE = 2**28  # bytes
_TAGS = {"ele": "altitude", "time": "time", "speed": "speed", "course": "course", "hdop": "hdop"}
_MAX_DEPTH = 64


class _Points:
    """Collects the points of tracks while the text is read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: list[dict[str, str]] = []
        self._open: list[str] = []
        self._row: dict[str, str] | None = None
        self._text: list[str] | None = None

    def start(self, name: str, attributes: dict[str, str]) -> None:
        tag = name.rpartition(" ")[2]
        self._open.append(tag)
        if len(self._open) > _MAX_DEPTH:
            raise TraceError(f"{self.path}: elements are nested more than {_MAX_DEPTH} deep")
        if tag == "trkpt":
            self._row = {n: attributes.get(n, "") for n in ("lat", "lon")}
        elif self._row is not None and tag in _TAGS:
            self._text = []

    def end(self, name: str) -> None:
        tag = self._open.pop()
        if self._row is None:
            return
        if self._text is not None and tag in _TAGS:
            self._row.setdefault(_TAGS[tag], "".join(self._text).strip())
            self._text = None
        if tag == "trkpt":
            self.rows.append(self._row)
            self._row = None

    def text(self, data: str) -> None:
        if self._text is not None:
            self._text.append(data)

    def refuse(self, *_: object) -> None:
        raise TraceError(f"{self.path}: declares a document type; GPX needs none, remove it")


def read_gpx(path: Path) -> PositionLog:
    """Read the tracks of a GPX file, all in one. Raises TraceError."""
    points = _Points(path)
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.StartElementHandler = points.start
    parser.EndElementHandler = points.end
    parser.CharacterDataHandler = points.text
    # Entities that grow without bound, or read other files, are declared there.
    parser.StartDoctypeDeclHandler = points.refuse
    try:
        parser.Parse(read_bytes(path, TraceError, _MAX_FILE), True)
    except expat.ExpatError as error:
        raise TraceError(f"{path}: is no whole XML ({one_line(error)})") from None
    except (ValueError, LookupError) as error:  # of its encoding
        raise TraceError(f"{path}: cannot be read ({one_line(error)})") from None
    if not points.rows:
        raise TraceError(
            f"{path}: holds no track point (trkpt); routes and waypoints have no times"
        )
    t_ns = [_time_ns(path, number, row) for number, row in enumerate(points.rows)]
    numbers = {
        name: np.array([_number(path, k, name, row) for k, row in enumerate(points.rows)])
        for name in ("lat", "lon", "altitude", "speed", "course", "hdop")
    }
    return checked(
        PositionLog(
            path,
            WORLD,
            np.array(t_ns, dtype=np.int64),
            latitude=numbers["lat"],
            longitude=numbers["lon"],
            altitude=numbers["altitude"],
            speed=numbers["speed"],
            course=np.pi / 2 - np.radians(numbers["course"]),
            accuracy=DOP_STD * numbers["hdop"],
        )
    )


def _time_ns(path: Path, number: int, row: dict[str, str]) -> int:
    text = row.get("time", "")
    if not text:
        raise TraceError(
            f"{path}: point {number} has no time; export the track as it was recorded, with times"
        )
    return utc_ns(path, f"point {number}", text)


def _number(path: Path, point: int, name: str, row: dict[str, str]) -> float:
    text = row.get(name, "")
    if not text and name not in ("lat", "lon"):
        return math.nan
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise TraceError(f"{path}: point {point}: {name} is {shown(text)}; it must be a number")
    return value
