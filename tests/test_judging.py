"""Runs judged from disk: cases, weights, intervals, and the command."""

import dataclasses
import json
import math

import numpy as np
import pytest
from made_up_runs import Drive, Start, write
from scipy import stats

from vista_sim.cli import main
from vista_sim.errors import RunError
from vista_sim.evaluation.cases import split
from vista_sim.evaluation.judging import JudgingSettings, judge
from vista_sim.evaluation.metrics.composite import CLOSED_LOOP_SCORE, DRIVING_SCORE
from vista_sim.runs.run import columns, read_run

FAST = JudgingSettings(draws=200)


def call(capsys, *arguments):
    with pytest.raises(SystemExit) as exit_:
        main([str(a) for a in arguments])
    printed = capsys.readouterr()
    return exit_.value.code, printed.out, printed.err


def test_cases_of_plain_traces_are_sections_and_starts(tmp_path):
    things = [
        Drive(("off_road", "end_of_trace")),
        Drive(trace=1),
        Start(5.0, -1.5),
        Start(5.0, 0.5),
        Start(9.25, 0.5),
    ]
    run = read_run(write(tmp_path / "run", things))
    cases = split(columns(run.steps), columns(run.episodes))
    assert [case.name for case in cases] == [
        "road 0 from s=0",
        "road 1 from s=0",
        "recovery road 0, s=5, lateral=-1.5, heading=0",
        "recovery road 0, s=5, lateral=0.5, heading=0",
        "recovery road 0, s=9.25, lateral=0.5, heading=0",
    ]
    assert [case.scenario for case in cases] == ["road 0", "road 1", *["recovery road 0"] * 3]
    assert [len(case.tables.episodes["episode"]) for case in cases] == [2, 1, 2, 2, 2]
    assert len(cases[0].tables.steps["t"]) == 24  # with what followed the set-back
    assert cases[2].unit == cases[3].unit != cases[4].unit  # a place is what is independent


def test_traces_of_the_same_name_are_told_apart(tmp_path):
    run = read_run(write(tmp_path / "run", [Drive(), Drive(trace=1)]))
    episodes = columns(run.episodes)
    episodes["trace_name"] = np.array(["road", "road"], dtype=object)
    names = [case.name for case in split(columns(run.steps), episodes)]
    assert names == ["road from s=0", "road#2 from s=0"]


def test_a_run_of_plain_traces_is_put_together_as_it_was_driven(tmp_path):
    things = [Drive(("off_road", "end_of_trace"), 0.4, 50), Drive(lateral=0.1, steps=10, trace=1)]
    folder = write(tmp_path / "run", things)
    found = judge(folder, FAST).overall.metrics
    steps = columns(read_run(folder).steps)
    assert found["mean_cross_track_error_m"].value == pytest.approx(np.abs(steps["lateral"]).mean())
    assert found["crashes"].value == 1
    # 35 and 55 m, and 100 m.
    assert found["crashes_per_km"].value == pytest.approx(1000 / 190)
    assert found["share_without_intervention"].value == pytest.approx(190 / 200)
    # The mean of 0.9 * 0.65 and 1.
    assert found[DRIVING_SCORE].value == pytest.approx((0.9 * 0.65 + 1) / 2)


def test_a_scenario_counts_with_its_weight_whatever_the_number_of_its_cases(tmp_path):
    crash, clean = ("off_road", "end_of_trace"), ("end_of_trace",)
    things = [
        Drive(crash, scenario="hard", case="hard/1", weight=1.0),
        Drive(clean, scenario="easy", case="easy/1", weight=3.0),
        Drive(clean, scenario="easy", case="easy/2", weight=3.0),
        Drive(crash, scenario="easy", case="easy/3", weight=3.0),
    ]
    judgement = judge(write(tmp_path / "run", things), FAST)
    overall = judgement.overall.metrics
    # Driven by itself: 90 of 100 m, and 290 of 300 m; weights 1 and 3.
    assert overall["share_without_intervention"].value == pytest.approx((0.9 + 3 * 290 / 300) / 4)
    assert overall["crashes"].value == 2  # counts are of what was driven
    assert [verdict.name for verdict in judgement.scenarios] == ["hard", "easy"]
    easy = judgement.scenarios[1]
    assert easy.cases == 3
    assert easy.metrics["share_without_intervention"].value == pytest.approx(290 / 300)
    assert set(judgement.scores) == {"hard/1", "easy/1", "easy/2", "easy/3"}


def test_the_interval_of_a_recovery_rate_is_the_binomials(tmp_path):
    things = [Start(float(i), recovered=i % 4 != 0, scenario="r", case=f"r/{i}") for i in range(80)]
    found = judge(write(tmp_path / "run", things)).overall.metrics["recovery_rate"]
    assert found.value == 0.75
    low, high = stats.binom.ppf([0.025, 0.975], 80, 0.75) / 80
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.013)


def test_starts_at_one_place_are_not_taken_for_independent(tmp_path):
    # At each of eight places all ten starts end alike: eight facts, not eighty.
    things = [
        Start(float(place), 0.1 * i, recovered=place % 2 == 0)
        for place in range(8)
        for i in range(10)
    ]
    found = judge(write(tmp_path / "run", things)).overall.metrics["recovery_rate"]
    low, high = stats.binom.ppf([0.025, 0.975], 8, 0.5) / 8
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-9)
    for i, thing in enumerate(things):
        things[i] = dataclasses.replace(thing, scenario="recovery", case=f"recovery/{i}")
    found = judge(write(tmp_path / "suite", things)).overall.metrics["recovery_rate"]
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-9)


def test_no_crash_is_not_no_chance_of_one(tmp_path):
    things = [Drive(trace=i) for i in range(3)]  # 300 m
    found = judge(write(tmp_path / "run", things), FAST).overall.metrics
    per_km, gap = found["crashes_per_km"], found["distance_per_intervention_m"]
    assert (per_km.value, per_km.low) == (0.0, 0.0)
    assert per_km.high == pytest.approx(-math.log(0.05) / 0.3)  # the rule of three: 3 / 0.3 km
    assert gap.low == pytest.approx(300 / -math.log(0.05))
    assert math.isnan(gap.value)
    assert math.isnan(gap.high)
    for name in ("crashes", "policy_failures"):  # the same three, not over a distance
        assert (found[name].value, found[name].low) == (0.0, 0.0)
        assert found[name].high == pytest.approx(-math.log(0.05))


def test_few_drives_have_an_interval_of_crashes_alone(tmp_path):
    # Three crashes in five drives of 490 m: Poisson.
    things = [Drive(("off_road",) * i + ("end_of_trace",), trace=i) for i in (0, 1, 2)]
    things += [Drive(trace=i) for i in (3, 4)]
    few = judge(write(tmp_path / "few", things), FAST).overall.metrics
    per_km, gap = few["crashes_per_km"], few["distance_per_intervention_m"]
    km = few["distance_m"].value / 1000
    assert few["crashes"].value == 3
    limits = few["crashes"].low, few["crashes"].high
    assert limits == pytest.approx((stats.chi2.ppf(0.025, 6) / 2, stats.chi2.ppf(0.975, 8) / 2))
    assert (per_km.low, per_km.high) == pytest.approx(
        (stats.chi2.ppf(0.025, 6) / 2 / km, stats.chi2.ppf(0.975, 8) / 2 / km)
    )
    assert (gap.low, gap.high) == pytest.approx((1000 / per_km.high, 1000 / per_km.low))
    assert math.isnan(few["mean_cross_track_error_m"].low)
    six = judge(write(tmp_path / "six", [*things, Drive(trace=5)]), FAST).overall.metrics
    assert six["mean_cross_track_error_m"].low < six["mean_cross_track_error_m"].value


def test_the_same_seed_gives_the_same_intervals(tmp_path):
    folder = write(tmp_path / "run", [Drive(trace=i, lateral=0.1 * i) for i in range(8)])
    first, again = (judge(folder, FAST).to_json() for _ in range(2))
    assert first == again
    assert judge(folder, JudgingSettings(draws=200, seed=1)).to_json() != first


def test_what_a_judgement_cannot_be_made_of_is_refused(tmp_path):
    with pytest.raises(RunError, match="no finished episode"):
        judge(write(tmp_path / "run", []))
    for wrong in ({"valid": 1.5}, {"level": 1.0}, {"draws": 0}):
        with pytest.raises(RunError, match=next(iter(wrong))):
            JudgingSettings(**wrong)


def test_the_command_prints_a_table_and_what_is_not_applicable(tmp_path, capsys):
    things = [Drive(("off_road", "end_of_trace")), Drive(trace=1), Start(5.0)]
    folder = write(tmp_path / "run", things)
    code, out, err = call(capsys, "metrics", folder, "--draws", 50)
    assert (code, err) == (0, "")
    assert "crashes per km" in out
    assert "not applicable" in out
    assert "there are no other road users" in out
    assert "by scenario" in out


def test_the_command_prints_json_also_of_a_run_that_did_not_end(tmp_path, capsys):
    folder = write(tmp_path / "run", [Drive(validity=0.5)], finish=False)
    code, out, err = call(capsys, "metrics", folder, "--json", "--valid", 0.4)
    values = json.loads(out)
    assert code == 0
    assert "did not end" in err
    metrics = values["overall"]["metrics"]
    assert metrics["distance_valid_m"]["value"] == pytest.approx(100.0, abs=1.0)
    assert metrics["distance_beyond_validity_m"]["value"] == 0.0
    assert metrics["mean_cross_track_error_m"]["low"] is None
    score = values["scores"]["road 0 from s=0"][1]
    assert score["name"] == CLOSED_LOOP_SCORE
    assert {t["name"]: t["value"] for t in score["terms"]}["time to collision"] is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "run.json: not found"),
        (["RUN", "--valid", "2"], "--valid is 2"),
        (["RUN", "--draws", "0"], "--draws is 0"),
    ],
)
def test_a_mistake_is_one_line(tmp_path, capsys, arguments, message):
    folder = write(tmp_path / "run", [Drive()])
    code, out, err = call(capsys, "metrics", *(folder if a == "RUN" else a for a in arguments))
    assert (code, out) == (2, "")
    assert message in err
    assert err.strip().count("\n") == 0
