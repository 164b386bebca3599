"""Finds the position log of a video: the one that is named, in the video, or beside it."""

from __future__ import annotations

from pathlib import Path

from vista_sim.errors import TraceError
from vista_sim.files import shown
from vista_sim.traces.importers.logs.csv_log import read_csv
from vista_sim.traces.importers.logs.gpmf import has_gpmf, read_gpmf
from vista_sim.traces.importers.logs.gpx import read_gpx
from vista_sim.traces.importers.logs.nmea import read_nmea
from vista_sim.traces.importers.logs.position_log import PositionLog

_SUFFIXES = (".gpx", ".nmea", ".nma", ".csv", ".tsv", ".txt", ".log")

_CSV = (".csv", ".tsv")


def find_log(video: Path, named: str) -> tuple[Path, str]:
    """The file of the log, and how it was found. Raises TraceError: there is none."""
    if named:
        return Path(named), "given"
    if has_gpmf(video):
        return video, "in the video"
    beside = [p for p in sorted(video.parent.iterdir()) if p.stem == video.stem and p.is_file()]
    found = [p for p in beside if p.suffix.lower() in _SUFFIXES]
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise TraceError(f"{video}: {names} are beside it; name one by --log")
    if not found:
        raise TraceError(
            f"{video}: has no position log, neither in it (GoPro) nor beside it "
            f"({video.stem}.gpx, .nmea, .csv); give one by --log, or take --odometry visual"
        )
    return found[0], "beside the video"


def read_log(path: Path, columns: str = "") -> PositionLog:
    """Read a log by the format that its name says. Raises TraceError."""
    suffix = path.suffix.lower()
    if columns and suffix not in _CSV:
        raise TraceError(
            f"columns is {shown(columns)}; {path} has none, as CSV logs alone have: leave it out"
        )
    if suffix == ".gpx":
        return read_gpx(path)
    if suffix in (".nmea", ".nma", ".log", ".txt"):
        return read_nmea(path)
    if suffix in _CSV:
        return read_csv(path, columns)
    if suffix in (".mp4", ".mov", ".360", ".lrv"):
        return read_gpmf(path)
    raise TraceError(f"{path}: is no log by its name (.gpx, .nmea, .csv, or a GoPro's .mp4)")
