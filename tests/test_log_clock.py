"""When a video begins on the clock of its log, before its bends are looked at."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from vista_sim.traces.importers.log_clock import nominal_start
from vista_sim.traces.importers.logs.position_log import OWN, VIDEO, WORLD, PositionLog
from vista_sim.traces.importers.video_file import VideoFile

BEGIN = datetime(2025, 3, 14, 7, 0, 20, tzinfo=UTC)  # of the video; the log begins 20 s before


def video(created=None, lasts=60):
    t_ns = np.arange(0, lasts * 10**9, 10**8)
    return VideoFile(Path("a.mp4"), (48, 64), t_ns, 0, created, {})


def log(clock=WORLD, first=None, lasts=120):
    first = round(BEGIN.timestamp() - 20) if first is None else first
    seconds = np.arange(first, first + lasts)
    return PositionLog(Path("a.gpx"), clock, seconds * 10**9, x=seconds * 1.0, y=seconds * 0.0)


@pytest.mark.parametrize("hours", [0, 1, -8, 5.75])
def test_a_creation_time_is_that_of_the_start_in_whatever_zone(hours):
    found = nominal_start(video(BEGIN + timedelta(hours=hours)), log())
    assert found.seconds == pytest.approx(20)
    assert "its start" in found.why
    assert (f"in a zone of {hours:+g} h" in found.why) == (hours != 0)


def test_a_creation_time_behind_the_log_is_that_of_the_end():
    """A clip of 60 s in a log of 70 s that begins 20 s before it."""
    found = nominal_start(video(BEGIN + timedelta(seconds=59.9)), log(lasts=80))
    assert found.seconds == pytest.approx(20)
    assert "its end" in found.why


def test_a_creation_time_of_another_day_is_not_believed():
    found = nominal_start(video(BEGIN + timedelta(days=3)), log())
    assert (found.seconds, found.why) == (0.0, "the log's first row is the first frame")


def test_a_clock_that_begins_near_zero_is_the_video_s():
    assert nominal_start(video(), log(OWN, 2)).seconds == -2
    boot = nominal_start(video(), log(OWN, 40_000))
    assert (boot.seconds, boot.why) == (0.0, "the log's first row is the first frame")


def test_a_log_in_the_video_has_its_clock():
    found = nominal_start(video(), log(VIDEO, 3))
    assert found.seconds == -3
    assert found.reach <= 1
