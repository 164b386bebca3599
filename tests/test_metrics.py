"""Every metric against values computed by hand."""

import math

import numpy as np
import pytest

from vista_sim.evaluation import metrics


def episodes_table(**columns):
    """Two traces: in the first a crash at 40 m of 100 and a second go from 50 m to the end."""
    table = {
        "episode": np.array([0, 1, 2]),
        "trace": np.array([0, 0, 1]),
        "ending": np.array(["off_road", "end_of_trace", "heading"], dtype=object),
        "distance": np.array([41.0, 50.0, 9.0]),
        "start_s": np.array([0.0, 50.0, 10.0]),
        "end_s": np.array([40.0, 100.0, 20.0]),
        "section_start_s": np.array([0.0, 0.0, 10.0]),
        "section_end_s": np.array([100.0, 100.0, 60.0]),
    }
    return table | columns


def steps_table(**columns):
    """Two episodes of three and two rows, a tenth of a second apart."""
    table = {
        "episode": np.array([0, 0, 0, 1, 1]),
        "t": np.array([0.0, 0.1, 0.2, 0.0, 0.1]),
        "lateral": np.array([0.0, -0.3, 0.6, 0.1, -0.5]),
        "heading_error": np.array([0.0, 0.02, -0.06, 0.01, 0.01]),
        "tire_angle": np.array([0.0, 0.03, 0.01, 0.5, 0.5]),
        "speed": np.array([10.0, 10.0, 10.0, 5.0, 4.0]),
        "curvature": np.array([0.0, 0.01, -0.03, 0.1, 0.1]),
        "validity": np.array([1.0, 0.9, 0.8, 1.0, 0.8]),
    }
    return table | columns


def test_crashes_are_the_endings_off_the_road():
    assert metrics.crashes(episodes_table()) == 2
    endings = np.array(["end_of_trace", "time_limit", "end_of_trace"], dtype=object)
    assert metrics.crashes(episodes_table(ending=endings)) == 0


def test_crashes_per_km_counts_driven_distance():
    assert metrics.distance_driven(episodes_table()) == 100.0
    assert metrics.crashes_per_km(episodes_table()) == pytest.approx(20.0)


def test_share_without_intervention_is_covered_path_over_asked_path():
    # Covered 40 + 50 + 10 of (100 - 0) + (60 - 10) m.
    assert metrics.share_without_intervention(episodes_table()) == pytest.approx(100 / 150)


def test_a_clean_drive_has_no_intervention():
    whole = {name: column[1:2] for name, column in episodes_table().items()}
    whole["start_s"] = np.array([0.0])
    whole["end_s"] = np.array([100.4])  # the last step reaches beyond the section's end
    assert metrics.share_without_intervention(whole) == 1.0


def test_cross_track_and_heading_errors():
    result = metrics.summarize(steps_table(), episodes_table())
    assert result["mean_cross_track_error_m"] == pytest.approx((0 + 0.3 + 0.6 + 0.1 + 0.5) / 5)
    assert result["max_cross_track_error_m"] == pytest.approx(0.6)
    assert result["mean_heading_error_rad"] == pytest.approx(0.02)
    assert result["max_heading_error_rad"] == pytest.approx(0.06)
    assert result["mean_validity"] == pytest.approx(0.9)


def test_whiteness_is_the_rms_rate_within_episodes():
    # Rates 0.3, -0.2 and 0 rad/s; the jump to 0.5 between episodes does not count.
    expected = math.sqrt((0.3**2 + 0.2**2 + 0.0) / 3)
    assert metrics.steering_whiteness(steps_table()) == pytest.approx(expected)


def test_whiteness_of_a_sine_is_its_amplitude_times_frequency_over_root_two():
    t = np.arange(0, 20, 0.01)
    table = {"episode": np.zeros(len(t), int), "t": t, "tire_angle": 0.05 * np.sin(2 * t)}
    assert metrics.steering_whiteness(table) == pytest.approx(0.05 * 2 / math.sqrt(2), rel=1e-2)


def test_comfort_is_lateral_acceleration_and_its_change():
    # v² k: 0, 1, -3 | 2.5, 1.6 m/s².
    assert metrics.lateral_acceleration(steps_table()) == pytest.approx([0, 1, -3, 2.5, 1.6])
    assert metrics.peak_lateral_acceleration(steps_table()) == pytest.approx(3.0)
    assert metrics.peak_lateral_jerk(steps_table()) == pytest.approx(40.0)


def test_metrics_of_a_mirrored_drive_are_the_same():
    mirrored = steps_table()
    for name in ("lateral", "heading_error", "tire_angle", "curvature"):
        mirrored[name] = -mirrored[name]
    episodes = episodes_table()
    assert metrics.summarize(mirrored, episodes) == metrics.summarize(steps_table(), episodes)


def test_nothing_measured_is_nan():
    nothing = {name: column[:0] for name, column in steps_table().items()}
    no_episodes = {name: column[:0] for name, column in episodes_table().items()}
    result = metrics.summarize(nothing, no_episodes)
    assert result["crashes"] == 0
    assert math.isnan(result["crashes_per_km"])
    assert math.isnan(result["share_without_intervention"])
    assert math.isnan(result["steering_whiteness_rad_s"])
    assert math.isnan(result["peak_lateral_jerk_m_s3"])


def test_select_keeps_the_chosen_rows():
    rows = metrics.select(episodes_table(), np.array([False, True, False]))
    assert rows["distance"].tolist() == [50.0]
