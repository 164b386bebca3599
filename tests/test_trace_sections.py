import numpy as np
import pytest
from tiny import SPEED, write_tiny_trace

from vista_sim.errors import TraceError
from vista_sim.traces.sections import gaps, slow_intervals, subtract
from vista_sim.traces.trace import Trace


def frames_inside(trace):
    t = trace.cameras["front"].t
    return [int(((t >= s.start) & (t <= s.end)).sum()) for s in trace.sections]


def test_a_drive_without_flaws_is_one_section(tiny_trace):
    trace = Trace.open(tiny_trace)
    (section,) = trace.sections
    assert (section.start, section.end) == (0.0, trace.duration)
    assert (section.start_s, section.end_s) == (0.0, trace.path.length)
    assert trace.path.length == pytest.approx(SPEED * 3.0, rel=1e-3)
    assert frames_inside(trace) == [31]
    assert trace.gaps == ()


@pytest.mark.parametrize(
    ("interval", "pause", "is_gap"),
    [
        (0.02, 0.19, False),  # 2.5 times the median is less than 0.2 s
        (0.02, 0.21, True),
        (0.1, 0.24, False),  # 2.5 times the median is more than 0.2 s
        (0.1, 0.26, True),
    ],
)
def test_a_gap_is_longer_than_both_limits(interval, pause, is_gap):
    t = np.arange(100) * interval
    t[50:] += pause - interval
    found = gaps(t)
    assert len(found) == is_gap
    if is_gap:
        assert found[0] == pytest.approx((t[49], t[50]))


def test_missing_frames_split_a_section_and_no_frame_is_lost(tmp_path):
    frame_t = np.delete(np.arange(0, 3.0001, 0.1), [11, 12, 13, 14])
    trace = Trace.open(write_tiny_trace(tmp_path / "t", frame_t=frame_t))
    np.testing.assert_allclose(trace.gaps, [(1.0, 1.5)])
    first, second = trace.sections
    assert (first.start, first.end) == pytest.approx((0.0, 1.0))
    assert (second.start, second.end) == pytest.approx((1.5, 3.0))
    assert first.end_s == pytest.approx(SPEED * 1.0, rel=2e-3)
    assert second.start_s == pytest.approx(SPEED * 1.5, rel=2e-3)
    assert frames_inside(trace) == [11, 16]


def test_one_missing_frame_is_no_gap(tmp_path):
    trace = Trace.open(
        write_tiny_trace(tmp_path / "t", frame_t=np.delete(np.arange(0, 3.0001, 0.1), 12))
    )
    assert len(trace.sections) == 1
    assert frames_inside(trace) == [30]


def test_missing_ego_rows_split_a_section(tmp_path):
    ego_t = np.arange(0, 3.0001, 0.02)
    ego_t = ego_t[(ego_t < 1.01) | (ego_t > 1.49)]
    trace = Trace.open(write_tiny_trace(tmp_path / "t", ego_t=ego_t))
    np.testing.assert_allclose(trace.gaps, [(1.0, 1.5)])
    np.testing.assert_allclose([(s.start, s.end) for s in trace.sections], [(0, 1.0), (1.5, 3.0)])
    assert trace.path.length == pytest.approx(SPEED * 3.0, rel=3e-3)


def test_a_camera_that_starts_late_or_stops_early_bounds_the_section(tmp_path):
    trace = Trace.open(write_tiny_trace(tmp_path / "t", frame_t=np.arange(0.6, 2.41, 0.1)))
    (section,) = trace.sections
    assert (section.start, section.end) == pytest.approx((0.6, 2.4))
    assert frames_inside(trace) == [19]
    np.testing.assert_allclose(trace.gaps, [(0.0, 0.6), (2.4, 3.0)], atol=1e-9)


def test_slow_stretches_are_not_driven():
    t = np.arange(0, 20, 0.02)
    speed = np.interp(t, [0, 5, 7, 9, 11, 20], [8, 8, 0, 0, 8, 8])
    ((start, end),) = slow_intervals(t, speed, 2.5)
    fast = speed >= 2.5
    # The speed falls below 2.5 m/s at 6.375 s and rises above at 9.625 s.
    assert (start, end) == pytest.approx((6.375, 9.625), abs=0.021)
    assert fast[(t <= start) | (t >= end)].all()
    assert not fast[(t > start) & (t < end)].any()


def test_steps_of_speed_are_cut_exactly():
    t = np.arange(0, 9, 0.02)
    speed = np.where((t > 2.99) & (t < 5.01), 1.0, 9.0)
    assert slow_intervals(t, speed, 2.5) == [pytest.approx((2.98, 5.02))]


def test_noise_does_not_shatter_sections():
    rng = np.random.default_rng(0)
    t = np.arange(0, 60, 0.02)
    speed = np.interp(t, [0, 20, 30, 60], [8, 2.6, 8, 8]) + rng.normal(0, 0.3, len(t))
    speed[rng.integers(0, len(t), 20)] = 0.0  # lost readings
    assert slow_intervals(t, speed, 2.5) == []
    standing = np.abs(rng.normal(0, 0.5, len(t)))
    standing[rng.integers(0, len(t), 20)] = 9.0
    assert slow_intervals(t, standing, 2.5) == [(-np.inf, np.inf)]


def test_min_speed_can_be_set(tmp_path):
    ego_t = np.arange(0, 3.0001, 0.02)
    speed = np.where(ego_t < 1.5, SPEED * 0.8, SPEED * 1.2)
    trace = Trace.open(write_tiny_trace(tmp_path / "t", speed=speed))
    assert len(trace.find_sections()) == 1
    (section,) = trace.find_sections(min_speed=SPEED)
    assert section.start == pytest.approx(1.5, abs=0.021)
    assert trace.find_sections(min_speed=50) == ()
    with pytest.raises(TraceError, match="min_speed"):
        trace.find_sections(min_speed=-1)


@pytest.mark.parametrize("exclude", ["weather", "weather=rain", ("weather", "rain")])
def test_labels_can_be_excluded(tmp_path, exclude):
    labels = [(1.0, 1.6, "weather", "rain"), (0.0, 3.0, "maneuver", "stable")]
    trace = Trace.open(write_tiny_trace(tmp_path / "t", labels=labels))
    assert len(trace.sections) == 1
    first, second = trace.find_sections(exclude_labels=[exclude])
    assert (first.start, first.end) == pytest.approx((0.0, 0.98))
    assert (second.start, second.end) == pytest.approx((1.62, 3.0))
    assert len(trace.find_sections(exclude_labels=["weather=sun", "tunnel"])) == 1
    assert trace.find_sections(exclude_labels=["maneuver=stable"]) == ()


def test_a_span_of_seconds_limits_sections(tiny_trace):
    trace = Trace.open(tiny_trace)
    (section,) = trace.find_sections(span=(0.5, 2.0))
    assert (section.start, section.end) == (0.5, 2.0)
    assert section.start_s == pytest.approx(SPEED * 0.5, rel=2e-3)
    assert trace.find_sections(span=(0.5, 99.0))[0].end == trace.duration
    assert trace.find_sections(span=(50.0, 99.0)) == ()
    with pytest.raises(TraceError, match=r"span is 2\.0:1\.0 s"):
        trace.find_sections(span=(2.0, 1.0))


def test_intervals_are_taken_out_of_a_span():
    cuts = [(3.0, 4.0), (-np.inf, 1.0), (3.5, 5.0), (3.6, 3.7), (9.0, np.inf)]
    assert subtract((0.0, 10.0), cuts) == [(1.0, 3.0), (5.0, 9.0)]
    assert subtract((0.0, 10.0), []) == [(0.0, 10.0)]
    assert subtract((0.0, 10.0), [(-np.inf, np.inf)]) == []
