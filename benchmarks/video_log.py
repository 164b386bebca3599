"""How well a video with a position log becomes a trace: a drive of the proving ground filmed again.

The sample drive's frames become an MP4 without a clock; its true poses become the log of a
receiver: once a second, 1.5 m off in each direction, four fixes tens of metres off. It is imported
without a word about lens, mount or time offset, and compared with the truth.

    python benchmarks/video_log.py
"""

from __future__ import annotations

import math
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

import vista_sim
from vista_sim.traces.geodesy import geodetic_of_local
from vista_sim.traces.importers.write import import_recording
from vista_sim.traces.trace import Trace
from vista_sim.traces.video import VideoWriter

CLOCK = datetime(2025, 3, 14, 7, tzinfo=UTC)
PLACE = 48.0, 11.0, 500.0
AHEAD = 1.6  # m that the receiver is ahead of the rear axle
NOISE, FAR, WRONG = 1.5, 40.0, 4  # m, m, fixes
FIRST = 0.37  # s from the video's first frame to the log's first row
SEEDS = range(2)


def film(path: Path, drive: Trace) -> None:
    camera = drive.cameras["front"]
    with VideoWriter(path, camera.calibration.lens.size, 10.0, key_every=30) as video:
        for row in range(camera.frame_count):
            video.write(camera.frame(row))


def receiver(drive: Trace, seed: int) -> list[tuple[float, ...]]:
    """Rows of time (s), latitude, longitude, altitude, speed (m/s) and heading (rad)."""
    rng = np.random.default_rng(seed)
    t = np.arange(FIRST, drive.duration, 1.0)
    yaw, speed = (
        np.interp(t, drive.ego.t, drive.ego.yaw),
        np.interp(t, drive.ego.t, drive.ego.speed),
    )
    place = np.stack(
        [np.interp(t, drive.ego.t, drive.ego.position[:, k]) for k in range(3)], axis=1
    )
    place[:, :2] += AHEAD * np.stack([np.cos(yaw), np.sin(yaw)], axis=1)
    place[:, :2] += rng.normal(0, NOISE, (len(t), 2))
    wrong = rng.choice(len(t), WRONG, replace=False)
    place[wrong, :2] += rng.normal(0, FAR, (WRONG, 2))
    speed, yaw = speed + rng.normal(0, 0.15, len(t)), yaw + rng.normal(0, 0.02, len(t))
    return [
        tuple(row) for row in zip(t, *geodetic_of_local(place, *PLACE), speed, yaw, strict=True)
    ]


def as_gpx(rows: list[tuple[float, ...]]) -> str:
    points = [
        f'<trkpt lat="{latitude:.8f}" lon="{longitude:.8f}"><ele>{altitude:.1f}</ele>'
        f"<time>{(CLOCK + timedelta(seconds=t)).isoformat()}</time></trkpt>"
        for t, latitude, longitude, altitude, _, _ in rows
    ]
    return f"<gpx version='1.1'><trk><trkseg>{''.join(points)}</trkseg></trk></gpx>"


def as_nmea(rows: list[tuple[float, ...]]) -> str:
    lines = []
    for t, latitude, longitude, altitude, speed, yaw in rows:
        when = CLOCK + timedelta(seconds=t)
        clock = f"{when:%H%M%S}.{when.microsecond // 10000:02d}"
        place = f"{_minutes(latitude):010.5f},N,{_minutes(longitude):011.5f},E"
        course = math.degrees(math.pi / 2 - yaw) % 360
        lines.append(_sentence(f"GPGGA,{clock},{place},1,09,0.9,{altitude:.1f},M,46,M,,"))
        knots = speed * 3600 / 1852
        lines.append(
            _sentence(f"GPRMC,{clock},A,{place},{knots:.2f},{course:.2f},{when:%d%m%y},,,A")
        )
    return "\r\n".join(lines)


def _minutes(degrees: float) -> float:
    whole = math.floor(degrees)
    return 100 * whole + 60 * (degrees - whole)


def _sentence(body: str) -> str:
    check = 0
    for letter in body:
        check ^= ord(letter)
    return f"${body}*{check:02X}"


def as_csv(rows: list[tuple[float, ...]]) -> str:
    lines = [f"{CLOCK.timestamp() + r[0]:.3f},{r[1]:.8f},{r[2]:.8f},{3.6 * r[4]:.2f}" for r in rows]
    return "\n".join(["time_s,lat,lon,speed_kmh", *lines])


FORMATS = {"gpx": as_gpx, "nmea": as_nmea, "csv": as_csv}


def judged(drive: Trace, made: Trace) -> list[str]:
    """Errors of a trace against the drive, both brought onto each other."""
    t = made.ego.t + made.start_ns * 1e-9 - CLOCK.timestamp()
    true = np.stack([np.interp(t, drive.ego.t, drive.ego.position[:, k]) for k in range(2)], axis=1)
    a = made.ego.position[:, :2] - made.ego.position[:, :2].mean(axis=0)
    u, _, v = np.linalg.svd(a.T @ (true - true.mean(axis=0)))
    turn = (u @ v).T
    off = np.linalg.norm(a @ turn.T - true + true.mean(axis=0), axis=1)
    yaw = made.ego.yaw + math.atan2(turn[1, 0], turn[0, 0])
    wrong = np.angle(np.exp(1j * (yaw - np.interp(t, drive.ego.t, drive.ego.yaw))))
    camera, real = made.cameras["front"], drive.cameras["front"].calibration
    # Frames before the log's first row are left out: which one is the first is seen.
    first = made.start_ns * 1e-9 + float(camera.t[0]) - CLOCK.timestamp()
    shown = camera.frame(0).astype(np.int64)
    unlike = [np.abs(drive.cameras["front"].frame(i) - shown).mean() for i in range(20)]
    late = first - float(drive.cameras["front"].t[int(np.argmin(unlike))])
    pitch = math.degrees(math.asin(camera.calibration.T_vehicle_camera[2, 2]))
    pitch -= math.degrees(math.asin(real.T_vehicle_camera[2, 2]))
    return [
        f"{_rms(off):.2f}",
        f"{off.max():.2f}",
        f"{math.degrees(_rms(wrong)):.2f}",
        f"{math.degrees(np.abs(wrong).max()):.2f}",
        f"{late:+.3f}",
        f"{100 * (camera.calibration.lens.fx / real.lens.fx - 1):+.1f}",
        f"{pitch:+.2f}",
    ]


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(values**2)))


def main() -> None:
    drive = Trace.open(vista_sim.sample_trace())
    table = Table(
        "log", "seed", "m rms", "most", "deg rms", "most", "late s", "focal %", "pitch deg"
    )
    with tempfile.TemporaryDirectory() as folder:
        for seed in SEEDS:
            rows = receiver(drive, seed)
            for name, text in FORMATS.items():
                place = Path(folder) / f"{name}{seed}"
                place.mkdir()
                film(place / "drive.mp4", drive)
                (place / f"drive.{name}").write_text(text(rows))
                made = import_recording(place / "drive.mp4", place / "trace")
                with Trace.open(made) as trace:
                    table.add_row(name, str(seed), *judged(drive, trace))
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
