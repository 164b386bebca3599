"""Position logs as CSV: a header, and a row for each time.

A column says what it is by its name, and its unit behind it: `time_s`, `speed_kmh`,
`yaw_rate_deg_s`, `Speed (km/h)`. Where it does not, the option `columns` says it: `speed=v:km/h`.

- time: ISO 8601, or a number of s, ms, us or ns since 1970 or since anything;
- latitude, longitude, altitude: degrees and m; or x, y: m in a plane, y left of x;
- speed: m/s, km/h, mph or knots; accuracy: m, one sigma of the position;
- heading (course, bearing): degrees clockwise from north; yaw: from east or x, counter-clockwise;
- yaw_rate: positive to the left, in rad/s or deg/s.
"""

from __future__ import annotations

import csv
import io
import math
import re
from pathlib import Path

import numpy as np

from vista_sim.errors import TraceError
from vista_sim.files import one_line, read_text, shown
from vista_sim.traces.importers.logs.position_log import (
    MAX_ROWS,
    OWN,
    WORLD,
    PositionLog,
    Title,
    checked,
    utc_ns,
)
from vista_sim.traces.importers.recording import Floats, Times

_MAX_FILE = 2**28  # bytes
_NAMES = {
    "time": ("time", "t", "timestamp", "utc", "datetime", "seconds_elapsed", "elapsed"),
    "latitude": ("latitude", "lat"),
    "longitude": ("longitude", "lon", "lng", "long"),
    "altitude": ("altitude", "alt", "ele", "elevation", "height"),
    "x": ("x", "east", "easting"),
    "y": ("y", "north", "northing"),
    "speed": ("speed", "velocity", "v"),
    "heading": ("heading", "course", "bearing"),
    "yaw": ("yaw",),
    "yaw_rate": ("yaw_rate", "yawrate", "yaw_speed"),
    "accuracy": ("accuracy", "horizontal_accuracy", "horizontalaccuracy", "position_std"),
}
_RAD = math.pi / 180
#: Factor of each unit of a column.
FACTORS: dict[str, dict[str, float]] = {
    "time": {"s": 1e9, "ms": 1e6, "us": 1e3, "ns": 1.0},
    "speed": {
        "m/s": 1.0, "mps": 1.0, "ms": 1.0, "m_s": 1.0,
        "km/h": 1 / 3.6, "kmh": 1 / 3.6, "kph": 1 / 3.6, "km_h": 1 / 3.6,
        "mph": 0.44704, "knots": 1852 / 3600, "kn": 1852 / 3600, "kt": 1852 / 3600,
    },
    "yaw_rate": {
        "rad/s": 1.0, "rads": 1.0, "rad_s": 1.0,
        "deg/s": _RAD, "degs": _RAD, "deg_s": _RAD, "dps": _RAD,
    },
    "heading": {"deg": _RAD, "degrees": _RAD, "rad": 1.0},
    "yaw": {"deg": _RAD, "degrees": _RAD, "rad": 1.0},
    **{name: {"deg": 1.0, "degrees": 1.0} for name in ("latitude", "longitude")},
    **{name: {"m": 1.0, "cm": 0.01, "km": 1e3} for name in ("altitude", "x", "y", "accuracy")},
}  # fmt: skip
#: What a column without a unit is in; one that is not here must say its unit.
_USUAL = {"time": "s", "speed": "m/s", "heading": "deg", "latitude": "deg", "longitude": "deg"}
_USUAL |= dict.fromkeys(("altitude", "x", "y", "accuracy"), "m")
_SINCE_1970 = 3e8  # s; a number beyond is UTC, one below began anywhere


def read_csv(path: Path, columns: str = "") -> PositionLog:
    """Read a log.

    Args:
        path: of the file: comma, semicolon or tab separated.
        columns: NAME=COLUMN[:UNIT],... for columns that do not say what they are.

    Raises TraceError: no time or no motion is told, or a value is none.
    """
    header, rows = _table(path)
    chosen = _chosen(path, header, columns)
    if "time" not in chosen:
        raise TraceError(
            f"{path}: has no column of time; its columns are {shown(', '.join(header))}; say which "
            "by --columns time=COLUMN:UNIT"
        )
    values = {
        name: _numbers(path, rows, place) * FACTORS[name][unit or _USUAL[name]]
        for name, (place, unit) in chosen.items()
        if name != "time"
    }
    t_ns, clock = _times(path, rows, *chosen["time"])
    course = values.pop("yaw", None)
    if (heading := values.pop("heading", None)) is not None:
        course = math.pi / 2 - heading
    if course is not None:
        values["course"] = course
    titles = {
        "course" if name in ("heading", "yaw") else name: Title(
            header[place], name, unit or _USUAL[name]
        )
        for name, (place, unit) in sorted(chosen.items(), reverse=True)  # a heading before a yaw
    }
    return checked(PositionLog.of(path, clock, t_ns, {**values, "titles": titles}))


def unit_of(name: str, factor: float, within: float) -> str:
    """The unit of a column whose factor is that but for a share; empty: none is."""
    near = [unit for unit, known in FACTORS[name].items() if abs(factor / known - 1.0) < within]
    return near[0] if near else ""


def _table(path: Path) -> tuple[list[str], list[list[str]]]:
    text = read_text(path, TraceError, _MAX_FILE)
    lines = text.split("\n", 1)
    separator = max(",;\t", key=lines[0].count)
    try:
        rows = list(csv.reader(io.StringIO(text), delimiter=separator))
    except csv.Error as error:
        raise TraceError(f"{path}: cannot be read as CSV ({one_line(error)})") from None
    rows = [row for row in rows if any(cell.strip() for cell in row)]
    if len(rows) < 3:
        raise TraceError(f"{path}: holds {max(len(rows) - 1, 0)} rows below a header; 2 are needed")
    if len(rows) > MAX_ROWS:
        raise TraceError(f"{path}: has {len(rows)} rows; at most {MAX_ROWS} are read")
    header = [cell.strip() for cell in rows[0]]
    for number, row in enumerate(rows[1:], 2):
        if len(row) != len(header):
            raise TraceError(
                f"{path}: row {number} has {len(row)} cells, the header has {len(header)}"
            )
    return header, rows[1:]


def _chosen(path: Path, header: list[str], columns: str) -> dict[str, tuple[int, str]]:
    """Place and unit of the column of each name."""
    found: dict[str, tuple[int, str]] = {}
    for place, cell in enumerate(header):
        for name, unit in _meant(cell):
            found.setdefault(name, (place, unit))
    for part in filter(None, columns.split(",")):
        name, _, rest = part.partition("=")
        column, _, unit = rest.partition(":")
        name, column = name.strip(), column.strip()
        if name not in _NAMES or column not in header:
            what = f"there is no column {column!r}" if name in _NAMES else f"no name {name!r}"
            raise TraceError(
                f"columns is {shown(columns)}: {what}; it must be NAME=COLUMN[:UNIT] of the names "
                f"{', '.join(_NAMES)}"
            )
        place = header.index(column)  # it is no longer what its title says
        found = {other: value for other, value in found.items() if value[0] != place}
        found[name] = (place, unit.strip().lower())
    for name, (place, unit) in found.items():
        known = FACTORS[name]
        if not unit and name not in _USUAL:
            raise TraceError(
                f"{path}: column {header[place]!r} has no unit; say it: --columns "
                f"{name}={header[place]}:{next(iter(known))}"
            )
        if unit and unit not in known:
            raise TraceError(
                f"{path}: column {header[place]!r} is in {unit!r}; known are {', '.join(known)}"
            )
    return found


def _meant(cell: str) -> list[tuple[str, str]]:
    """The name and unit that a column's title stands for: none or one."""
    title = re.sub(r"\s*[(\[](.*?)[)\]]\s*$", r"|\1", cell.strip().lower())
    title, _, unit = title.partition("|")
    title = re.sub(r"[\s\-.]+", "_", title)
    for name, words in _NAMES.items():
        for word in words:
            if title == word:
                return [(name, unit)]
            if (
                not unit
                and title.startswith(word + "_")
                and title[len(word) + 1 :] in FACTORS[name]
            ):
                return [(name, title[len(word) + 1 :])]
    return []


def _numbers(path: Path, rows: list[list[str]], place: int) -> Floats:
    """The numbers of a column; NaN where a cell is empty."""
    values = np.full(len(rows), np.nan)
    for number, row in enumerate(rows):
        text = row[place].strip()
        if not text or text.lower() in ("nan", "null", "none", "na"):
            continue
        try:
            values[number] = float(text)
        except ValueError:
            values[number] = math.inf
        if not math.isfinite(values[number]):
            raise TraceError(f"{path}: row {number + 2}: {shown(text)} must be a number")
    return values


def _times(path: Path, rows: list[list[str]], place: int, unit: str) -> tuple[Times, str]:
    first = rows[0][place].strip()
    if re.match(r"\d{4}-\d\d-\d\d", first):
        stamps = [utc_ns(path, f"row {k}", row[place]) for k, row in enumerate(rows, 2)]
        return np.array(stamps, dtype=np.int64), WORLD
    factor = FACTORS["time"][unit or _USUAL["time"]]
    exact = all(re.fullmatch(r"\s*-?\d{1,19}\s*", row[place]) for row in rows)
    if exact:  # floats hold 53 bits, which nanoseconds since 1970 do not fit into
        whole = [int(row[place]) * int(factor) for row in rows]
        if max(map(abs, whole)) >= 2**62:
            raise TraceError(f"{path}: times are beyond what nanoseconds can say; say their unit")
        t_ns = np.array(whole, dtype=np.int64)
    else:
        seconds = _numbers(path, rows, place)
        if not np.isfinite(seconds).all():
            row = int(np.flatnonzero(~np.isfinite(seconds))[0])
            raise TraceError(f"{path}: row {row + 2} has no time")
        if np.abs(seconds).max() * factor >= 2**62:
            raise TraceError(f"{path}: times are beyond what nanoseconds can say; say their unit")
        t_ns = np.round(seconds * factor).astype(np.int64)
    step = float(np.median(np.abs(np.diff(t_ns)))) * 1e-9
    if not 5e-4 <= step <= 30:
        raise TraceError(
            f"{path}: rows are {step:g} s from each other, if their times are in "
            f"{unit or _USUAL['time']}; say the unit: --columns time=COLUMN:ms"
        )
    return t_ns, WORLD if t_ns[0] * 1e-9 > _SINCE_1970 else OWN
