"""Two runs compared: pairs, chance, corrections, regressions, and the command."""

import json
import math

import numpy as np
import pytest
from made_up_runs import Drive, Start, write
from scipy import stats
from test_judging import call

from vista_sim.errors import RunError
from vista_sim.evaluation.cases import split
from vista_sim.evaluation.comparison import compare
from vista_sim.evaluation.evaluate import evaluate
from vista_sim.evaluation.judging import JudgingSettings
from vista_sim.evaluation.metrics.tables import mean
from vista_sim.policies import Action
from vista_sim.policies.reference import ReferenceDriver
from vista_sim.runs.run import columns, read_run
from vista_sim.scenarios.places import RecoveryTest

FAST = JudgingSettings(draws=200)
CRASH, CLEAN = ("off_road", "end_of_trace"), ("end_of_trace",)


def drives(laterals, scenario="lane", **options):
    return [
        Drive(lateral=lateral, scenario=scenario, case=f"{scenario}/{i}", weight=1.0, **options)
        for i, lateral in enumerate(laterals)
    ]


def found(comparison, metric, scenario="all"):
    rows = comparison.overall if scenario == "all" else comparison.scenarios
    return next(d for d in rows if (d.metric, d.scenario) == (metric, scenario))


def test_a_run_does_not_differ_from_itself(tmp_path):
    folder = write(tmp_path / "a", drives(np.linspace(0.1, 0.8, 8)))
    comparison = compare(folder, folder, FAST)
    assert comparison.pairs == 8
    assert not comparison.regressions
    for difference in (*comparison.overall, *comparison.scenarios):
        assert difference.change.value == 0 or math.isnan(difference.change.value)
        assert not difference.significant
        assert difference.direction == "same"
    tested = [d.p_value for d in comparison.overall if d.tested and not math.isnan(d.p_value)]
    assert tested
    assert set(tested) == {1.0}


def test_the_test_of_a_mean_is_scipys_permutation_test(tmp_path):
    rng = np.random.default_rng(2)
    first, second = rng.uniform(0.1, 0.5, 9), rng.uniform(0.15, 0.6, 9)
    a, b = write(tmp_path / "a", drives(first), 1), write(tmp_path / "b", drives(second), 2)
    errors = []
    for folder in (a, b):
        run = read_run(folder)
        cases = split(columns(run.steps), columns(run.episodes))
        errors.append([mean(np.abs(case.tables.steps["lateral"])) for case in cases])
    change = np.subtract(errors[1], errors[0])
    reference = stats.permutation_test(
        (change,), np.mean, permutation_type="samples", n_resamples=math.inf
    )
    difference = found(compare(a, b, FAST), "mean_cross_track_error_m")
    assert difference.change.value == pytest.approx(change.mean())
    assert difference.p_value == pytest.approx(reference.pvalue)
    assert difference.change.low < change.mean() < difference.change.high


def test_a_policy_that_is_worse_everywhere_is_found_and_one_that_is_not_is_not(tmp_path):
    rng = np.random.default_rng(0)
    base = rng.uniform(0.1, 0.3, 16)
    a = write(tmp_path / "a", drives(base), 1)
    worse = compare(a, write(tmp_path / "b", drives(base + 0.2), 2), FAST)
    difference = found(worse, "mean_cross_track_error_m")
    assert difference.significant
    assert difference.direction == "worse"
    # 1 in 10000 drawn relabellings at best, times the tests of the family that Holm allows for.
    tests = sum(not math.isnan(d.p_value) for d in worse.overall)
    assert difference.adjusted <= tests * 2e-4
    assert found(worse, "mean_cross_track_error_m", "lane").significant
    assert not found(worse, "crashes_per_km").significant
    same = compare(a, write(tmp_path / "c", drives(base), 2), FAST)
    assert not any(d.significant for d in same.overall)


def test_scenarios_are_told_apart_and_the_worst_comes_first(tmp_path):
    rng = np.random.default_rng(0)
    base = rng.uniform(0.1, 0.3, 10)
    a = write(tmp_path / "a", drives(base, "bends") + drives(base, "straight"), 1)
    b = write(tmp_path / "b", drives(base * 2, "bends") + drives(base * 0.5, "straight"), 2)
    comparison = compare(a, b, FAST)
    assert comparison.scenarios[0].scenario == "bends"
    assert comparison.scenarios[0].direction == "worse"
    assert found(comparison, "mean_cross_track_error_m", "bends").direction == "worse"
    assert found(comparison, "mean_cross_track_error_m", "straight").direction == "better"
    assert found(comparison, "mean_cross_track_error_m", "straight").significant
    directions = [d.direction for d in comparison.scenarios if d.significant]
    assert directions == sorted(directions, key=lambda d: d != "worse")


def test_many_metrics_that_differ_by_chance_are_not_found(tmp_path):
    alarms = 0
    for seed in range(10):
        rng = np.random.default_rng(seed)
        runs = [
            write(tmp_path / f"{seed}{name}", drives(rng.uniform(0.1, 0.5, 8)), 2 * seed + i)
            for i, name in enumerate("ab")
        ]
        comparison = compare(*runs, JudgingSettings(draws=10))
        alarms += any(d.significant for d in comparison.overall)
    assert alarms <= 2  # at 5 %: three or more of ten with probability 1 %


def test_too_few_pairs_are_not_tested(tmp_path):
    a = write(tmp_path / "a", drives([0.1] * 5))
    b = write(tmp_path / "b", drives([0.9] * 5))
    comparison = compare(a, b, FAST)
    assert comparison.units == 5
    assert all(math.isnan(d.p_value) for d in comparison.overall)
    # With six, two of 64 relabellings are as extreme.
    a = write(tmp_path / "c", drives([0.1] * 6))
    b = write(tmp_path / "d", drives([0.9] * 6))
    difference = found(compare(a, b, FAST), "mean_cross_track_error_m")
    assert difference.p_value == pytest.approx(2 / 64)


def test_starts_of_one_place_are_one_piece_of_evidence(tmp_path):
    def starts(recovered):
        return [Start(float(s), 0.1 * i, recovered) for s in range(6) for i in range(5)]

    a, b = write(tmp_path / "a", starts(True)), write(tmp_path / "b", starts(False))
    difference = found(compare(a, b, FAST), "recovery_rate")
    assert (difference.a, difference.b) == (1.0, 0.0)
    assert difference.p_value == pytest.approx(2 / 2**6)


def test_the_worst_regressions_come_first_by_their_outcome(tmp_path):
    def run(name, changes):
        cases = {f"c{i}": {"lateral": 0.2, "endings": CLEAN} for i in range(6)}
        for case, change in changes.items():
            cases[case] |= change
        things = [Drive(scenario="s", case=case, **values) for case, values in cases.items()]
        return write(tmp_path / name, things)

    a = run("a", {"c5": {"endings": CRASH}})
    b = run(
        "b",
        {
            "c1": {"lateral": 0.9},
            "c2": {"endings": CRASH},
            "c3": {"endings": CRASH, "failure": "raised: ValueError"},
            "c4": {"endings": ("off_road", "heading", "end_of_trace")},
            "c5": {"lateral": 0.9},  # no longer crashes, so it is no regression
        },
    )
    comparison = compare(a, b, FAST)
    worst = [r.case for r in comparison.regressions]
    assert worst == ["c3", "c4", "c2", "c1"]
    assert [r.grave for r in comparison.regressions] == [True, True, True, False]
    changes = {name: (x, y) for name, x, y in comparison.regressions[1].changes}
    assert changes["crashes"] == (0.0, 2.0)
    assert changes["share_without_intervention"][0] == 1.0


def test_only_cases_of_both_runs_are_compared(tmp_path):
    a = write(tmp_path / "a", drives([0.1] * 8))
    b = write(tmp_path / "b", drives([0.1] * 6) + drives([0.1] * 3, "new"))
    comparison = compare(a, b, FAST)
    assert comparison.pairs == 6
    assert comparison.only_a == ("lane/6", "lane/7")
    assert comparison.only_b == ("new/0", "new/1", "new/2")


def test_runs_without_a_common_case_are_refused(tmp_path):
    a = write(tmp_path / "a", drives([0.1], "old"))
    b = write(tmp_path / "b", drives([0.1], "new"))
    with pytest.raises(RunError, match=r"no case in common \(such as 'old/0' and 'new/0'\)"):
        compare(a, b)


def test_an_interrupted_run_is_compared_only_where_asked(tmp_path):
    a = write(tmp_path / "a", drives([0.1] * 8))
    b = write(tmp_path / "b", drives([0.1] * 5), finish=False)
    with pytest.raises(RunError, match=r"did not end \(status 'running'\).*--partial"):
        compare(a, b)
    # The case that was being driven may not have come to its end.
    assert compare(a, b, FAST, partial=True).pairs == 4
    with pytest.raises(RunError, match="no finished episode"):
        compare(a, write(tmp_path / "c", [], finish=False), partial=True)


def test_other_settings_are_warned_of(tmp_path):
    a = write(tmp_path / "a", drives([0.1]))
    b = write(tmp_path / "b", drives([0.1]), dt=0.05, views="rendered", section=[0, 5])
    warnings = compare(a, b, FAST).warnings
    assert warnings == (
        "the runs differ in step: 0.1 and 0.05",
        "the runs differ in views: synthesized and rendered",
        "the runs differ in section: none and [0, 5]",
    )
    assert compare(a, a, FAST).warnings == ()


def test_what_no_shown_digit_tells_is_no_regression(tmp_path):
    base = np.full(8, 0.2)
    a = write(tmp_path / "a", drives(base))
    assert not compare(a, write(tmp_path / "b", drives(base + 0.0005)), FAST).regressions
    assert len(compare(a, write(tmp_path / "c", drives(base + 0.002)), FAST).regressions) == 8


def test_on_a_terminal_of_80_columns_every_number_is_whole(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    base = np.random.default_rng(0).uniform(0.1, 0.3, 16)
    a = write(tmp_path / "a", drives(base, "bends-in-rain"), 1)
    b = write(tmp_path / "b", drives(base + 0.2, "bends-in-rain"), 2)
    code, out, err = call(capsys, "compare", a, b, "--draws", 200)
    assert (code, err) == (0, "")
    overall, of_scenarios = out.split("scenarios that differ by more than chance")
    assert "…" not in out
    for text, d in (
        (overall, found(compare(a, b, FAST), "mean_cross_track_error_m")),
        (of_scenarios, found(compare(a, b, FAST), "mean_cross_track_error_m", "bends-in-rain")),
    ):
        interval = f"({d.change.low:.3f} to {d.change.high:.3f})"
        wanted = f"{d.a:.3f} {d.b:.3f} +{d.change.value:.3f} {interval} < 0.001 worse"
        (line,) = (line for line in text.splitlines() if f"{d.a:.3f}" in line)
        assert wanted in " ".join(line.split())
        assert len(line) <= 80


class Hesitant(ReferenceDriver):
    """Steers two thirds as much as it should."""

    def act(self, observation, car=None):
        return Action(2 / 3 * super().act(observation, car).curvature)


def test_runs_of_plain_traces_are_compared_as_they_are_written(road_trace, tmp_path, capsys):
    test = RecoveryTest(laterals=(-1.0, 1.0), headings=(0.0, 0.1), starts_per_kind=2)
    for name, policy in (("a", "expert"), ("b", Hesitant())):
        evaluate(policy, road_trace, tmp_path / name, recovery=test, video=False)
    page = tmp_path / "page.md"
    code, out, err = call(
        capsys, "compare", tmp_path / "a", tmp_path / "b", "--markdown", page, "--limit", 3
    )
    assert (code, err) == (0, "")
    assert "both have 25 cases" in out
    assert "went worse in b" in out
    text = page.read_text()
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert len({line.count(" | ") for line in rows[:10]}) == 1
    assert "cross-track error, mean, m" in text
    code, out, err = call(capsys, "compare", tmp_path / "a", tmp_path / "b", "--json")
    values = json.loads(out)
    assert (code, err) == (0, "")
    assert values["units"] == 6
    by_name = {d["metric"]: d for d in values["overall"]}
    assert by_name["mean_cross_track_error_m"]["direction"] == "worse"
    assert by_name["recovery_rate"]["a"] == 1.0
    assert by_name["mean_validity"]["a"] is None
    assert values["regressions"][0]["case"].startswith(("recovery road", "road from"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["A", "nowhere"], "run.json: not found"),
        (["A", "HALF"], "did not end"),
        (["A", "OTHER"], "no case in common"),
        (["A", "A", "--limit", "-1"], "--limit is -1"),
        (["A", "A", "--markdown", "/nowhere/page.md"], "cannot be written"),
    ],
)
def test_a_mistake_is_one_line(tmp_path, capsys, arguments, message):
    runs = {
        "A": write(tmp_path / "a", drives([0.1])),
        "HALF": write(tmp_path / "b", drives([0.1]), finish=False),
        "OTHER": write(tmp_path / "c", drives([0.1], "other")),
    }
    code, out, err = call(capsys, "compare", *(runs.get(a, a) for a in arguments))
    assert (code, out) == (2, "")
    assert message in err
    assert err.strip().count("\n") == 0
