"""Which time of a position log a video begins at: by the clocks, and whether bends tell better."""

from __future__ import annotations

from dataclasses import dataclass

from vista_sim.traces.importers.logs.position_log import OWN, VIDEO, PositionLog
from vista_sim.traces.importers.video_file import VideoFile
from vista_sim.traces.time_offset import TimeOffset

_ZONE = 900.0  # s; clocks that say local time are off by quarters of an hour
_ZONES = 14 * 3600.0  # s at most
_OWN_ZERO = (-60.0, 600.0)  # s; a clock that begins so is taken as the video's
_CREATED_ERR, _ZERO_ERR = 3.0, 1.0  # s that clocks usually err by
_INSIDE = 0.5  # share of the video that the log must cover

_TELLS = 0.15  # sigma, s, of an offset that counts as found
_FOCAL = (0.6, 1.6)  # factors that a focal length that is assumed may be wrong by
_FOCAL_KNOWN = (0.85, 1.18)  # and one that is known, by rates of positions once a second
_TOGETHER = 0.75  # share of the shorter of video and log that they must have in common


@dataclass(frozen=True)
class Start:
    """When a video begins.

    Args:
        seconds: time of the log, s after its first row, at time zero of the video's container.
        why: what it goes by, in a few words.
        reach: s by which it may be wrong.
        usual: s by which it usually is wrong at most; zero: it is a mere guess.
    """

    seconds: float
    why: str
    reach: float
    usual: float = 0.0

    @property
    def counted(self) -> str:
        """What offsets are counted from, in words."""
        return f"counted from where {self.why}"


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
            return Start(
                -zero, "the log's time zero is taken as the first frame", anywhere, _ZERO_ERR
            )
    elif video.created is not None:
        created = video.created.timestamp() - first * 1e-9
        for end, what in ((0.0, "its start"), (lasts, "its end")):
            for shift in _zones():
                start = created - end + shift
                covered = min(start + lasts, log_seconds) - max(start, 0.0)
                if covered >= _INSIDE * min(lasts, log_seconds):
                    zone = f" in a zone of {-shift / 3600:+g} h" if shift else ""
                    why = f"the video's creation time is {what}{zone}"
                    return Start(start, why, anywhere, _CREATED_ERR)
    return Start(-float(video.t_ns[0]) * 1e-9, "the log's first row is the first frame", anywhere)


def doubt_of(found: TimeOffset, nominal: Start, known: bool) -> str:
    """Why an offset may be that of another bend, or of another drive; empty: it is told.

    known: whether the focal length is, which pictures' yaw rates go by.
    """
    if not found.sure:
        return found.why
    low, high = _FOCAL_KNOWN if known else _FOCAL
    expected = abs(found.seconds) <= nominal.usual
    if found.std > _TELLS:
        but = f"but only to +-{found.std:.2f} s"
    elif not low <= found.scale <= high:
        but = f"but turn {found.scale:.2f} times as much as the log"
    elif found.bends < 2 and not expected:
        but = "but by a single bend, and no clock says so"
    elif found.share < _TOGETHER and not expected:
        but = f"but have only {100 * found.share:.0f} % of the time in common"
    else:
        return ""
    return f"at {found.seconds:+.2f} s the pictures fit it best, {but}"


def _zones() -> list[float]:
    """Shifts (s) that make a local time UTC, the smallest first."""
    count = int(_ZONES / _ZONE)
    return [0.0, *(k * _ZONE * sign for k in range(1, count + 1) for sign in (-1, 1))]
