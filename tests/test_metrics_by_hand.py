"""Metrics of safety, comfort, validity, agreement and recovery against values by hand."""

import math

import numpy as np
import pytest

from vista_sim.evaluation import metrics
from vista_sim.evaluation.metrics import agreement, comfort, recovery, safety, validity
from vista_sim.evaluation.metrics.measures import RECOVERY_MEASURES, driving_measures
from vista_sim.evaluation.metrics.tables import (
    Tables,
    between,
    percentile_95,
    rate,
    root_mean_square,
    savitzky_golay,
    series,
    unwrapped,
)


def texts(*values):
    return np.array(values, dtype=object)


def episodes_table(**columns):
    """A crash at 40 m of 100, a second go to 90 m where the policy breaks; a crash elsewhere."""
    table = {
        "episode": np.array([0, 1, 2]),
        "trace": np.array([0, 0, 1]),
        "ending": texts("off_road", "", "heading"),
        "failure": texts("", "raised: ZeroDivisionError", ""),
        "distance": np.array([41.0, 40.0, 9.0]),
        "start_s": np.array([0.0, 50.0, 10.0]),
        "end_s": np.array([40.0, 90.0, 20.0]),
        "section_start_s": np.array([0.0, 0.0, 10.0]),
        "section_end_s": np.array([100.0, 100.0, 60.0]),
    }
    return table | columns


def steps_of(count=5, dt=0.1, **columns):
    """One episode at rest, but for the columns given."""
    names = ("lateral", "heading_error", "tire_angle", "speed", "curvature", "validity")
    table = {name: np.zeros(count) for name in (*names, "x", "y", "yaw", "s")}
    table |= {"episode": np.zeros(count, int), "step": np.arange(count)}
    return table | {"t": dt * np.arange(count)} | columns


def test_an_intervention_is_a_crash_or_a_policy_that_broke():
    episodes = episodes_table()
    assert safety.crashes(episodes) == 2
    assert safety.failures(episodes) == 1
    assert safety.interventions(episodes) == 3
    assert safety.distance_per_intervention(episodes) == pytest.approx(90 / 3)
    # Off the road because the policy broke: one intervention, not two.
    both = episodes_table(failure=texts("timed out: 1 s", "", ""))
    assert safety.interventions(both) == 2


def test_without_an_intervention_there_is_no_distance_between_them():
    clean = episodes_table(ending=texts("end_of_trace", "", ""), failure=texts("", "", ""))
    assert math.isnan(safety.distance_per_intervention(clean))
    assert safety.crashes_per_km(clean) == 0.0


def test_route_completion_counts_what_was_skipped_and_driving_by_itself_does_not():
    # Asked 100 + 50 m; reached 90 + 10; by itself 40 + 40 + 10.
    assert safety.route_completion(episodes_table()) == pytest.approx(100 / 150)
    assert safety.share_without_intervention(episodes_table()) == pytest.approx(90 / 150)


def test_cases_on_the_same_road_are_asked_each_for_itself():
    # Two cases start at 20 m and 60 m of the same 100 m, and reach its end and 70 m.
    episodes = episodes_table(
        episode=np.array([0, 1]),
        trace=np.array([0, 0]),
        scenario=texts("x", "x"),
        case=texts("x/a", "x/b"),
        start_s=np.array([20.0, 60.0]),
        end_s=np.array([100.5, 70.0]),
        section_start_s=np.zeros(2),
        section_end_s=np.array([100.0, 100.0]),
    )
    assert safety.share_without_intervention(episodes) == pytest.approx((80 + 10) / (80 + 40))


def drive_of(*ways, section=(0.0, 100.0)):
    """Episodes on one section from (start_s, end_s) each."""
    count = len(ways)
    return {
        "episode": np.arange(count),
        "trace": np.zeros(count, int),
        "ending": texts(*["restarted"] * count),
        "failure": texts(*[""] * count),
        "distance": np.array([end - start for start, end in ways]),
        "start_s": np.array([start for start, _ in ways]),
        "end_s": np.array([end for _, end in ways]),
        "section_start_s": np.full(count, section[0]),
        "section_end_s": np.full(count, section[1]),
    }


@pytest.mark.parametrize(
    ("ways", "share", "completion"),
    [
        # Restarted after 50 m, then driven to the end: 50 + 100 m of 50 + 100 m.
        ([(0, 50), (0, 100.5)], 1.0, 1.0),
        # The second try crashed at 40 m and was set back to 60 m; restarted at 70 m, then driven
        # to the end: 50 + (40 + 10) + 100 m of 50 + 70 + 100 m.
        ([(0, 50), (0, 40), (60, 70), (0, 100)], 200 / 220, 1.0),
        # The last try was left at 20 m: it was asked for all. 50 + 20 m of 50 + 100 m.
        ([(0, 50), (0, 20)], 70 / 150, 0.5),
        # Perturbed at 50 m and put down a little behind it: one try, nothing counts twice.
        ([(0, 50), (49.5, 100)], 1.0, 1.0),
        # Ten restarts at once are no more than the last try.
        ([(0, 0)] * 10 + [(0, 80)], 0.8, 0.8),
    ],
)
def test_tries_of_a_drive_with_restarts_count_each_for_itself(ways, share, completion):
    assert safety.share_without_intervention(drive_of(*ways)) == pytest.approx(share)
    assert safety.route_completion(drive_of(*ways)) == pytest.approx(completion)


def test_percentile_and_root_mean_square():
    values = np.array([*np.arange(1.0, 101.0), math.nan])
    assert percentile_95(values) == 95.0  # 95 of 100 do not exceed it
    assert percentile_95(np.array([3.0, 1.0])) == 3.0
    assert root_mean_square(np.array([3.0, 4.0, math.nan])) == pytest.approx(math.sqrt(12.5))
    lateral = np.array([0.0, 1.0, -2.0, 0.0])
    found = metrics.summarize(steps_of(4, lateral=lateral), episodes_table())
    assert found["rms_cross_track_error_m"] == pytest.approx(math.sqrt(5 / 4))
    assert found["p95_cross_track_error_m"] == 2.0
    found = metrics.summarize(steps_of(4, heading_error=lateral / 10), episodes_table())
    assert found["rms_heading_error_rad"] == pytest.approx(math.sqrt(5 / 4) / 10)
    assert found["p95_heading_error_rad"] == pytest.approx(0.2)


def test_rates_are_differences_within_an_episode():
    table = {"episode": np.array([0, 0, 0, 1, 1]), "t": np.array([0.0, 0.1, 0.3, 0.0, 0.2])}
    found = rate(series(table, np.array([0.0, 1.0, 5.0, 100.0, 101.0])))
    assert found.values == pytest.approx([10, 20, 5])
    assert found.t == pytest.approx([0.05, 0.2, 0.1])
    assert found.episode.tolist() == [0, 0, 1]
    assert between(series(table, np.array([0.0, 1.0, 5.0, 2.0, 4.0]))).values.tolist() == [
        0.5,
        3.0,
        3.0,
    ]
    turn = rate(unwrapped(series(table, np.array([3.1, -3.1, -3.0, 0.0, 0.0]))))
    assert turn.values[0] == pytest.approx((2 * math.pi - 6.2) / 0.1)


def test_accelerations_and_jerks_by_hand():
    # Speeds 10, 10.2, 10.6, 10.6: 2, 4, 0 m/s², through which a parabola goes; it changes by
    # -10 m/s³ in its middle, and by 2 - 2 * 4 + 0 over 0.1 s in each 0.1 s.
    steps = steps_of(4, speed=np.array([10.0, 10.2, 10.6, 10.6]))
    assert comfort.longitudinal_acceleration(steps).values == pytest.approx([2, 4, 0])
    assert comfort.longitudinal_jerk(steps).values == pytest.approx([50, -10, -70])
    assert comfort.acceleration_jerk(steps).values == pytest.approx([50, -10, -70])
    # The second of three is above 2.40 m/s²; all jerks are beyond 4.13 and 8.37 m/s³.
    assert comfort.comfortable(steps, "longitudinal_acceleration") == pytest.approx(2 / 3)
    assert comfort.comfortable(steps, "longitudinal_jerk") == 0.0
    assert comfort.comfortable(steps, "jerk") == 0.0
    assert comfort.comfortable(steps, "lateral_acceleration") == 1.0
    assert comfort.comfortable_episodes(steps).tolist() == [0.0]


def test_braking_may_be_harder_than_pulling_away():
    braking = steps_of(5, speed=10 - 0.4 * np.arange(5))  # -4 m/s²
    assert comfort.comfortable(braking, "longitudinal_acceleration") == 1.0
    assert comfort.comfortable_episodes(braking).tolist() == [1.0]
    harder = steps_of(5, speed=10 - 0.41 * np.arange(5))  # -4.1 m/s²
    assert comfort.comfortable(harder, "longitudinal_acceleration") == 0.0
    pulling = steps_of(5, speed=10 + 0.25 * np.arange(5))  # 2.5 m/s²
    assert comfort.comfortable(pulling, "longitudinal_acceleration") == 0.0


def test_a_value_on_a_bound_is_beyond_it():
    values = np.array([-2.0, -1.5, 3.0, 4.0, math.nan])
    bound = comfort.Bound(-2.0, 4.0, "m", lambda steps: series(steps, values))
    assert bound.within(steps_of(5)).values[:4].tolist() == [0.0, 1.0, 1.0, 0.0]
    assert math.isnan(bound.within(steps_of(5)).values[4])


def test_lateral_acceleration_and_the_jerk_of_both_directions():
    # 10 m/s: 0, 3, 6, 6 m/s²; between the rows 1.5, 4.5, 6: a parabola of 22.5 m/s³ in the
    # middle and -150 m/s⁴.
    steps = steps_of(4, speed=np.full(4, 10.0), curvature=np.array([0.0, 0.03, 0.06, 0.06]))
    assert comfort.comfortable(steps, "lateral_acceleration") == pytest.approx(2 / 3)
    assert comfort.acceleration_jerk(steps).values == pytest.approx([37.5, 22.5, 7.5])
    # Along 3 m/s² all the time, across 0 and then 4: sizes 3, 5, 5, which change by 10 m/s³ in
    # the middle, and by 3 - 2 * 5 + 5 over 0.1 s in each 0.1 s.
    speed = 10 + 0.3 * np.arange(4)
    across = np.array([0.0, 0.0, 8.0, 0.0])
    steps = steps_of(4, speed=speed, curvature=across / speed**2)
    assert comfort.longitudinal_jerk(steps).values == pytest.approx([0, 0, 0], abs=1e-9)
    assert comfort.acceleration_jerk(steps).values == pytest.approx([30, 10, -10], abs=1e-9)


def test_yaw_rate_and_yaw_acceleration_across_the_turn_of_the_circle():
    t = 0.1 * np.arange(5)
    yaw = (3.1 + 0.8 * t + 0.4 * t**2 + math.pi) % (2 * math.pi) - math.pi
    steps = steps_of(5, yaw=yaw)
    assert comfort.yaw_rate(steps).values == pytest.approx([0.8, 0.88, 0.96, 1.04, 1.12])
    assert comfort.yaw_acceleration(steps).values == pytest.approx([0.8] * 5)
    assert comfort.comfortable(steps, "yaw_rate") == pytest.approx(2 / 5)
    assert comfort.comfortable(steps, "yaw_acceleration") == 1.0
    turning_in = steps_of(5, yaw=t**3)
    assert comfort.yaw_acceleration(turning_in).values == pytest.approx([0, 0.6, 1.2, 1.8, 2.4])
    assert comfort.comfortable(turning_in, "yaw_acceleration") == pytest.approx(4 / 5)


def test_smoothed_values_and_derivatives_are_those_of_fitted_polynomials():
    noisy = 10 + 0.1 * np.random.default_rng(0).standard_normal(40)
    episode = np.repeat([4, 2], [32, 8])
    t = 0.1 * np.concatenate([np.arange(32), np.arange(8)])
    given = series(steps_of(40, episode=episode, t=t), noisy)

    def fitted(first, count, order):
        rows = np.arange(first, first + count)
        return np.poly1d(np.polyfit(0.1 * rows, noisy[rows], order))

    # 15 values: at their middle; at the ends; and in the short episode all of its 8.
    found = savitzky_golay(given, 1.5).values
    slope = savitzky_golay(given, 1.5, derivative=1).values
    for at, first, count in ((7, 0, 15), (20, 13, 15), (2, 0, 15), (31, 17, 15), (35, 32, 8)):
        assert found[at] == pytest.approx(fitted(first, count, 2)(0.1 * at))
        assert slope[at] == pytest.approx(fitted(first, count, 2).deriv()(0.1 * at))
    # 8 values have their middle between two.
    assert savitzky_golay(given, 0.8).values[16] == pytest.approx(fitted(13, 8, 2)(1.65))
    bend = savitzky_golay(given, 0.5, order=3, derivative=2).values
    assert bend[10] == pytest.approx(fitted(8, 5, 3).deriv(2)(1.0))


def test_windows_are_of_the_time_that_those_of_nuplan_have_at_its_rate():
    noisy = 10 + 0.1 * np.random.default_rng(1).standard_normal(60)
    # Steps of 0.1 s as with nuPlan, and half and double of it: values over 1.5 s.
    for dt, count in ((0.1, 15), (0.05, 30), (0.2, 8)):
        found = savitzky_golay(series(steps_of(60, dt=dt), noisy), 1.5, derivative=1)
        of_first = np.polyfit(dt * np.arange(count), noisy[:count], 2)
        assert found.values[0] == pytest.approx(of_first[1])


def test_what_is_too_short_or_unknown_says_nothing():
    short = series(steps_of(2), np.array([1.0, 2.0]))
    assert savitzky_golay(short, 0.8).values.tolist() == [1.0, 2.0]
    assert np.isnan(savitzky_golay(short, 0.8, derivative=1).values).all()
    hole = series(steps_of(5), np.array([1.0, 2.0, math.nan, 4.0, 5.0]))
    assert np.isnan(savitzky_golay(hole, 0.8).values).all()


def test_noise_of_the_recorded_speed_is_no_discomfort():
    speed = 10 + 0.02 * (-1.0) ** np.arange(60)  # by differences 0.4 m/s² and 8 m/s³
    steps = steps_of(60, speed=speed)
    assert comfort.comfortable(steps, "longitudinal_jerk") == 1.0
    assert comfort.comfortable_episodes(steps).tolist() == [1.0]


def test_an_episode_is_comfortable_if_all_of_it_is():
    episode = np.repeat([7, 3, 5], [3, 3, 1])
    speed = np.array([10.0, 10.0, 10.0, 10.0, 10.5, 10.5, 10.0])  # the second pulls away at 5
    steps = steps_of(7, episode=episode, speed=speed, t=np.array([0, 0.1, 0.2, 0, 0.1, 0.2, 0]))
    found = comfort.comfortable_episodes(steps)
    assert found[:2].tolist() == [1.0, 0.0]
    assert math.isnan(found[2])  # one row shows nothing
    assert metrics.summarize(steps, episodes_table())["comfortable_episodes"] == 0.5


def test_the_way_counts_to_the_view_on_which_it_was_decided():
    # 1 m, 2 m and 3 m on views of 0.95, 0.9 and 0.5; the last view decides nothing.
    steps = steps_of(
        4,
        x=np.array([0.0, 1.0, 3.0, 3.0]),
        y=np.array([0.0, 0.0, 0.0, 3.0]),
        validity=np.array([0.95, 0.9, 0.5, 0.1]),
    )
    assert validity.distance_valid(steps) == pytest.approx(3.0)
    assert validity.distance_beyond_validity(steps) == pytest.approx(3.0)
    assert validity.distance_beyond_validity(steps, 0.92) == pytest.approx(5.0)
    assert metrics.summarize(steps, episodes_table(), 0.92)["distance_valid_m"] == pytest.approx(1)
    assert validity.mean_validity(steps) == pytest.approx((0.95 + 0.9 + 0.5 + 0.1) / 4)
    blind = steps_of(4, validity=np.full(4, math.nan))
    assert math.isnan(validity.distance_valid(blind))
    assert math.isnan(validity.distance_beyond_validity(blind))


def test_steering_against_the_human_needs_no_recording():
    # The path turns by 0.02 rad a metre; the car drives 0.03 1/m, its heading error grows.
    s = np.arange(5.0)
    path = 3.0 + 0.02 * s
    error = 0.01 * s
    yaw = (path + error + math.pi) % (2 * math.pi) - math.pi
    steps = steps_of(5, s=s, heading_error=error, yaw=yaw, curvature=np.full(5, 0.03))
    assert agreement.curvature_error(steps) == pytest.approx([0.01] * 4)
    assert agreement.steering_mae(steps) == pytest.approx(0.01)
    assert metrics.summarize(steps, episodes_table())["steering_mae_1_m"] == pytest.approx(0.01)
    standing = steps_of(5, s=0.01 * s)
    assert math.isnan(agreement.steering_mae(standing))


def test_open_loop_errors_are_of_the_answers():
    answers = {
        "curvature": np.array([0.0, 0.1]),
        "action_curvature": np.array([0.02, 0.06]),
        "tire_angle": np.array([0.0, 0.3]),
        "action_tire_angle": np.array([-0.1, 0.1]),
    }
    assert agreement.open_loop_curvature_mae(answers) == pytest.approx(0.03)
    assert agreement.open_loop_tire_angle_mae(answers) == pytest.approx(0.15)


def recovery_table():
    """Three starts: the expert comes back from two, the policy from one of these and the other."""
    return {
        "episode": np.arange(6),
        "driver": texts("expert", "policy", "expert", "policy", "expert", "policy"),
        "trace": np.zeros(6, int),
        "start_s": np.repeat([5.0, 5.0, 9.0], 2),
        "start_lateral": np.repeat([0.0, 1.0, 1.0], 2),
        "start_heading": np.zeros(6),
        "recovered": np.array([True, True, True, False, False, True]),
        "recovery_time": np.array([1.5, 2.0, 1.5, math.nan, math.nan, 4.0]),
    }


def test_recovery_rate_and_time():
    table = recovery_table()
    assert recovery.recovery_rate(table) == pytest.approx(2 / 3)
    assert recovery.recovery_rate_of_expert(table) == pytest.approx(1 / 2)
    assert recovery.mean_recovery_time(table) == pytest.approx(3.0)
    alone = metrics.select(table, table["driver"] == "policy")
    assert recovery.recovery_rate(alone) == pytest.approx(2 / 3)
    assert math.isnan(recovery.recovery_rate_of_expert(alone))


def test_measures_are_the_metrics_of_their_names():
    steps, episodes = (
        steps_of(6, lateral=np.arange(6.0), tire_angle=np.arange(6.0) ** 2),
        (episodes_table()),
    )
    found = metrics.summarize(steps, episodes)
    assert found["crashes_per_km"] == pytest.approx(safety.crashes_per_km(episodes))
    assert found["crashes"] == safety.crashes(episodes)
    assert found["policy_failures"] == 1
    assert found["distance_per_intervention_m"] == safety.distance_per_intervention(episodes)
    assert found["route_completion"] == safety.route_completion(episodes)
    assert found["share_without_intervention"] == safety.share_without_intervention(episodes)
    assert found["steering_whiteness_rad_s"] == pytest.approx(comfort.steering_whiteness(steps))
    for name in comfort.BOUNDS:
        assert found[f"comfortable_{name}"] == comfort.comfortable(steps, name)
    tables = Tables(steps, recovery_table())
    values = {measure.name: measure.of(tables) for measure in RECOVERY_MEASURES}
    assert values["recovery_starts"] == 3
    assert values["recovery_rate"] == recovery.recovery_rate(tables.episodes)
    assert values["recovery_rate_of_expert"] == recovery.recovery_rate_of_expert(tables.episodes)
    assert values["mean_recovery_time_s"] == recovery.mean_recovery_time(tables.episodes)
    assert len({measure.name for measure in driving_measures()}) == len(found)
