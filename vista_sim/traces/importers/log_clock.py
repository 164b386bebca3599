"""Which time of a position log a video begins at, before its bends are looked at."""

from __future__ import annotations

from dataclasses import dataclass

from vista_sim.traces.importers.logs.position_log import OWN, VIDEO, PositionLog
from vista_sim.traces.importers.video_file import VideoFile

_ZONE = 900.0  # s; clocks that say local time are off by quarters of an hour
_ZONES = 14 * 3600.0  # s at most
_OWN_ZERO = (-60.0, 600.0)  # s; a clock that begins so is taken as the video's
_INSIDE = 0.5  # share of the video that the log must cover


@dataclass(frozen=True)
class Start:
    """When a video begins.

    Args:
        seconds: time of the log, s after its first row, at time zero of the video's container.
        why: what it goes by, in a few words.
        reach: s by which it may be wrong.
    """

    seconds: float
    why: str
    reach: float


def nominal_start(video: VideoFile, log: PositionLog) -> Start:
    """When a video begins, by the clocks alone."""
    first = int(log.t_ns[0])
    log_seconds = (int(log.t_ns[-1]) - first) * 1e-9
    lasts = float(video.t_ns[-1]) * 1e-9
    if log.clock == VIDEO:
        return Start(-first * 1e-9, "both are of one recording", 1.0)
    anywhere = log_seconds + lasts
    if log.clock == OWN:
        zero = first * 1e-9
        if _OWN_ZERO[0] <= zero <= _OWN_ZERO[1]:
            return Start(-zero, "the log's time zero is taken as the first frame", anywhere)
    elif video.created is not None:
        created = video.created.timestamp() - first * 1e-9
        for end, what in ((0.0, "its start"), (lasts, "its end")):
            for shift in _zones():
                start = created - end + shift
                covered = min(start + lasts, log_seconds) - max(start, 0.0)
                if covered >= _INSIDE * min(lasts, log_seconds):
                    zone = f" in a zone of {-shift / 3600:+g} h" if shift else ""
                    return Start(start, f"the video's creation time is {what}{zone}", anywhere)
    return Start(-float(video.t_ns[0]) * 1e-9, "the log's first row is the first frame", anywhere)


def _zones() -> list[float]:
    """Shifts (s) that make a local time UTC, the smallest first."""
    count = int(_ZONES / _ZONE)
    return [0.0, *(k * _ZONE * sign for k in range(1, count + 1) for sign in (-1, 1))]
