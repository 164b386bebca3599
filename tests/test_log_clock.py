"""When a video begins on the clock of its log, before its bends are looked at."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from vista_sim.traces.importers.log_clock import Start, doubt_of, nominal_start
from vista_sim.traces.importers.logs.position_log import OWN, VIDEO, WORLD, PositionLog
from vista_sim.traces.importers.video_file import VideoFile
from vista_sim.traces.time_offset import find_offset

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


GUESS = Start(0.0, "the log's first row is the first frame", 60.0)
T = np.arange(0.0, 40.0, 0.1)


def bends(t, *middles):
    """Yaw rates of bends of about 6 s, to the left and to the right by turns."""
    return sum(0.3 * (-1) ** k * np.exp(-((t - m) ** 2) / 4) for k, m in enumerate(middles))


def offset(a, b, late=0.0):
    return find_offset(T + late, a, T, b, 30.0)


def test_two_bends_tell_an_offset_and_one_does_not():
    two = bends(T, 12, 24)
    assert doubt_of(offset(two, two, 5.0), GUESS, known=True) == ""
    one = bends(T, 20)
    found = offset(one, one, 5.0)
    assert found.sure
    assert found.bends == 1
    assert "by a single bend, and no clock says so" in doubt_of(found, GUESS, known=True)


def test_one_bend_does_where_the_clocks_agree_within_their_error():
    created = Start(0.0, "the video's creation time is its start", 60.0, 3.0)
    one = bends(T, 20)
    assert doubt_of(offset(one, one, 1.0), created, known=True) == ""
    assert doubt_of(offset(one, one, 5.0), created, known=True) != ""


def test_bends_of_another_drive_tell_no_offset():
    """One bend each, of other sizes, as everywhere: they fit, and half of the time is lost."""
    other = 1.0 * bends(T, 30) + 0.04 * np.sin(T * 1.3)
    found = offset(other, bends(T, 12))
    assert found.sure
    assert found.seconds == pytest.approx(18, abs=0.5)
    assert doubt_of(found, GUESS, known=False) != ""


def test_what_turns_twice_as_much_is_another_bend_unless_the_lens_explains_it():
    two = bends(T, 12, 24)
    for factor, known, told in (
        (1.3, False, True),
        (1.3, True, False),
        (1.8, False, False),
        (0.5, False, False),
        (1.1, True, True),
    ):
        doubt = doubt_of(offset(factor * two, two, 5.0), GUESS, known)
        assert (doubt == "") == told, factor
        assert told or f"turn {factor:.2f} times as much as the log" in doubt


def test_what_has_little_time_in_common_is_another_bend():
    a = np.where(T < 20, bends(T, 6, 14), 0.0)
    b = np.where(T > 20, bends(T, 26, 34), 0.0)
    found = offset(a, b)
    assert found.share == pytest.approx(0.5, abs=0.02)
    assert "have only 50 % of the time in common" in doubt_of(found, GUESS, known=True)


def test_an_offset_of_a_wide_spread_is_not_told():
    rng = np.random.default_rng(0)
    slow = 0.1 * np.sin(T / 6) * (T < 38)
    found = offset(slow + 0.3 * rng.normal(0, 1, len(T)), slow)
    assert found.std > 0.15
    assert doubt_of(found, GUESS, known=False) != ""
