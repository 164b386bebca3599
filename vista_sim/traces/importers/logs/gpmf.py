"""The position track of a GoPro: GPS, gyroscope and accelerometer in the data track of its video.

Samples have no times of their own. Those of a payload are spread evenly up to the next one's; from
the Hero 8 on STMP dates the first of each (µs, on a clock that the pictures' exposures share), and
before that the payload's own time in the container does.

The yaw rate is the gyroscope's about the direction that the accelerometer feels as up, so that it
does not matter how the model orders and signs its axes, which both share, nor how it is mounted.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

from vista_sim.errors import TraceError
from vista_sim.files import one_line, open_file
from vista_sim.traces.importers.logs.klv import Entry, entries, streams
from vista_sim.traces.importers.logs.position_log import DOP_STD, VIDEO, PositionLog, checked
from vista_sim.traces.importers.recording import Floats
from vista_sim.traces.video_index import boxes, reason_of

MODES = {"L": "linear", "W": "wide", "S": "superview", "H": "hyperview", "N": "narrow"}
_EXPOSED = ("SHUT", "ISOE", "CORI")  # streams of one sample a picture
_FIX = 2  # of GPSF: a position; 3: with altitude
_MAX_HEADER = 2**28  # bytes of a moov box
_MAX_PAYLOAD = 2**24  # bytes of a second
_UPRIGHT = 4.0  # m/s² that the mean of the accelerometer must have at least
_GPS5, _GPS9 = 5, 9  # columns


@dataclass(frozen=True)
class Settings:
    """What a GoPro says of how it filmed.

    Args:
        lens: "linear", "wide" and so on; "" where it does not say.
        fov: rad across the picture's diagonal; NaN where it does not say.
        stabilized: whether pictures were stabilized electronically.
    """

    lens: str = ""
    fov: float = math.nan
    stabilized: bool = False


def read_settings(path: Path) -> Settings | None:
    """The settings in a video (moov/udta/GPMF); None: it has none. Raises TraceError."""
    content = b""
    for kind, start, size in boxes(path):
        if kind == "moov" and size <= _MAX_HEADER:
            with open_file(path, TraceError) as file:
                file.seek(start + 8)
                content = file.read(size - 8)
    data = _box(_box(content, b"udta"), b"GPMF")
    if not data:
        return None
    try:
        found = {entry.key: entry for entry in _flat(data)}
        angle = float(found["ZFOV"].numbers().flat[0]) if "ZFOV" in found else math.nan
    except (ValueError, IndexError) as error:
        raise TraceError(f"{path}: its GoPro settings cannot be read ({one_line(error)})") from None
    mode = found["VFOV"].text[:1] if "VFOV" in found else ""
    stabilized = "EISE" in found and found["EISE"].text[:1] == "Y"
    if not 5 < angle < 175:
        angle = math.nan
    return Settings(MODES.get(mode, ""), math.radians(angle), stabilized)


def _box(content: bytes, kind: bytes) -> bytes:
    """What a box of a level of an MP4 holds; empty: there is none."""
    at = 0
    while at + 8 <= len(content):
        size = int.from_bytes(content[at : at + 4], "big")
        if content[at + 4 : at + 8] == kind:
            return content[at + 8 : at + max(size, 8)]
        if size < 8:
            return b""
        at += size
    return b""


def _flat(data: bytes, depth: int = 0) -> Iterator[Entry]:
    if depth > 8:
        raise ValueError("entries are nested too deeply")
    for entry in entries(data):
        if entry.type:
            yield entry
        else:
            yield from _flat(entry.data, depth + 1)


def has_gpmf(path: Path) -> bool:
    """Whether a video has such a track. Raises nothing."""
    try:
        with av.open(str(path), format="mov") as container:
            return _track(container) is not None
    except (av.FFmpegError, OSError, ValueError):
        return False


def _track(container: av.container.InputContainer) -> av.stream.Stream | None:
    for stream in container.streams:
        if stream.type == "data" and "GoPro MET" in stream.metadata.get("handler_name", ""):
            return stream
    return None


def read_gpmf(path: Path) -> PositionLog:
    """Read the track of a video, on the clock of its pictures. Raises TraceError."""
    payloads = []
    try:
        with av.open(str(path), format="mov") as container:
            track = _track(container)
            if track is None:
                raise TraceError(f"{path}: has no GoPro track (GPMF)")
            for packet in container.demux(track):
                if packet.size > _MAX_PAYLOAD:
                    raise TraceError(f"{path}: a GoPro payload has {packet.size} bytes")
                if packet.size and packet.pts is not None:
                    base = float(packet.time_base)
                    span = (packet.pts * base, (packet.duration or 0) * base)
                    payloads.append((*span, bytes(packet)))
    except (av.FFmpegError, OSError, ValueError) as error:
        raise TraceError(f"{path}: its GoPro track cannot be read ({reason_of(error)})") from None
    return parse_payloads(path, payloads)


def parse_payloads(path: Path, payloads: Sequence[tuple[float, float, bytes]]) -> PositionLog:
    """The log of payloads: start and duration, s on the container's clock, and bytes of each.

    Raises TraceError: one is malformed, or there is no position.
    """
    found: dict[str, _Stream] = {}
    fixes: list[Floats] = []
    for number, (start, duration, data) in enumerate(payloads):
        try:
            for stream in streams(data):
                named = {entry.key: entry for entry in stream}
                for key in ("GPS5", "GPS9", "GYRO", "ACCL", *_EXPOSED):
                    if key in named:
                        values = _scaled(key, named)
                        if key == "GPS5":
                            fixes.append(_fix_of(named, len(values)))
                        found.setdefault(key, _Stream()).add(start, duration, named, values)
        except (ValueError, IndexError) as error:
            raise TraceError(
                f"{path}: GoPro payload {number} is damaged ({one_line(error)})"
            ) from None
    key = "GPS9" if "GPS9" in found else "GPS5"
    if key not in found:
        raise TraceError(f"{path}: its GoPro track holds no GPS (was it switched on?)")
    exposed = next((found[name] for name in _EXPOSED if name in found), None)
    zero = exposed.stamps[0] if exposed is not None else math.nan
    t, values = found[key].samples(zero)
    fix = values[:, [7, 8]] if key == "GPS9" else np.concatenate(fixes)
    usable = fix[:, 1] >= _FIX
    if not usable.any():
        raise TraceError(f"{path}: its GoPro track never had a fix; give the motion by --log")
    gyro_t, gyro = _yaw_rate(found, zero)
    log = PositionLog(
        path,
        VIDEO,
        np.round(t * 1e9).astype(np.int64),
        latitude=values[:, 0],
        longitude=values[:, 1],
        altitude=values[:, 2],
        speed=values[:, 3],
        accuracy=DOP_STD * fix[:, 0],
        gyro_t_ns=np.round(gyro_t * 1e9).astype(np.int64),
        gyro=gyro,
    )
    return checked(log.rows(usable))


class _Stream:
    """Samples of one stream, payload by payload."""

    def __init__(self) -> None:
        self.stamps: list[float] = []  # s; NaN where it has none
        self._spans: list[tuple[float, float]] = []
        self._values: list[Floats] = []

    def add(self, start: float, duration: float, named: dict[str, Entry], values: Floats) -> None:
        stamp = float(named["STMP"].numbers().flat[0]) * 1e-6 if "STMP" in named else math.nan
        self.stamps.append(stamp)
        self._spans.append((start, duration))
        self._values.append(values)

    def samples(self, zero: float) -> tuple[Floats, Floats]:
        """Times (n,), s on the container's clock, and values (n, k); `zero`: stamp of picture 0."""
        starts = np.array([start for start, _ in self._spans])
        stamped = np.array(self.stamps) - zero + starts[0]
        # A clock that runs otherwise than the container's is no date.
        if np.isfinite(stamped).all() and np.abs(stamped - starts).max() < 1.0:
            starts = stamped
        counts = np.array([len(values) for values in self._values])
        ends = np.append(starts[1:], starts[-1] + self._spans[-1][1])
        if len(starts) > 1 and counts[:-1].sum():  # the last payload is shorter than it says
            each = (starts[-1] - starts[0]) / counts[:-1].sum()
            ends[-1] = starts[-1] + counts[-1] * each
        t = [
            start + (end - start) * np.arange(count) / max(count, 1)
            for start, end, count in zip(starts, ends, counts, strict=True)
        ]
        return np.concatenate(t), np.concatenate(self._values)


def _scaled(key: str, named: dict[str, Entry]) -> Floats:
    """Rows of a stream in its units, by its own TYPE and SCAL. Raises ValueError."""
    type = named["TYPE"].text if "TYPE" in named else ""
    values = named[key].numbers(type)
    if "SCAL" in named:
        scale = named["SCAL"].numbers().ravel()
        if not (scale != 0).all() or len(scale) not in (1, values.shape[1]):
            raise ValueError(f"SCAL of {key} is {scale.tolist()}")
        values = values / scale
    columns = {"GPS5": _GPS5, "GPS9": _GPS9, "GYRO": 3, "ACCL": 3}.get(key)
    if columns is not None and values.shape[1] != columns:
        raise ValueError(f"{key} has {values.shape[1]} columns, not {columns}")
    return np.asarray(values, dtype=np.float64)


def _fix_of(named: dict[str, Entry], count: int) -> Floats:
    """Dilution of precision and kind of fix, (count, 2), of a payload of GPS5."""
    fix = float(named["GPSF"].numbers().flat[0]) if "GPSF" in named else 3.0
    dop = float(named["GPSP"].numbers().flat[0]) / 100 if "GPSP" in named else math.nan
    return np.tile([dop, fix], (count, 1))


def _yaw_rate(found: dict[str, _Stream], zero: float) -> tuple[Floats, Floats]:
    nothing = np.zeros(0), np.zeros(0)
    if "GYRO" not in found or "ACCL" not in found:
        return nothing
    t, turning = found["GYRO"].samples(zero)
    felt = np.median(found["ACCL"].samples(zero)[1], axis=0)
    size = float(np.linalg.norm(felt))
    if not size > _UPRIGHT or not (np.diff(t) > 0).all():
        return nothing
    return t, turning @ (felt / size)
