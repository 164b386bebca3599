"""Policies judged on suites: what is driven, verdicts, and policies that break."""

import json
import logging
import math

import numpy as np
import pytest
import suite_files
from suite_policies import Breaking, Seeing, Straight

from vista_sim.errors import PolicyError, RunError, ScenarioError
from vista_sim.evaluation.evaluate import evaluate
from vista_sim.policies.reference import ReferenceDriver
from vista_sim.runs.run import columns, read_run
from vista_sim.scenarios import load_suite
from vista_sim.scenarios.places import RecoveryTest


@pytest.fixture(autouse=True)
def _quiet(caplog):
    caplog.set_level(logging.ERROR)  # the ground is assumed flat where nothing was baked


def episodes_of(folder):
    return columns(read_run(folder).episodes)


def test_restarts_drive_what_plain_traces_drive(road_trace, tmp_path):
    path = suite_files.scenario(tmp_path, road_trace, "again", top=['mode = "restart"'])
    report = evaluate(Straight(), path, tmp_path / "suite", video=False)
    plain = evaluate(Straight(), [road_trace], tmp_path / "plain", recovery=False, video=False)
    mine, theirs = read_run(tmp_path / "suite"), read_run(tmp_path / "plain")
    assert mine.steps.equals(theirs.steps)
    same = [name for name in mine.episodes.column_names if name not in ("scenario", "case")]
    same = [name for name in same if name not in ("seed", "weight", "road")]
    assert mine.episodes.select(same).equals(theirs.episodes.select(same))
    assert report.metrics["crashes"] == plain.metrics["crashes"] >= 4
    assert not report.passed  # no criterion says that it may crash
    assert report.suite.cases[0].outcome == "failed"
    assert report.suite.cases[0].crashes == plain.metrics["crashes"]


def test_recovery_is_tried_by_the_reference_too(road_trace, tmp_path):
    path = suite_files.scenario(
        tmp_path,
        road_trace,
        "back",
        top=['mode = "recovery"'],
        start=["places = 1", "lateral = { values = [-1.0, 0.0] }", "heading = 0.1"],
        **{"pass": ["recovery_rate_of_expert = { min = 0.9 }"]},
    )
    report = evaluate(Straight(), path, tmp_path / "run", video=False)
    test = RecoveryTest(laterals=(-1.0, 0.0), headings=(0.1,), starts_per_kind=1)
    plain = evaluate(Straight(), [road_trace], recovery=test).recovery
    episodes = episodes_of(tmp_path / "run")
    assert set(episodes["kind"]) == {"recovery"}
    assert len(episodes["episode"]) == 2 * plain.tried.sum() == 12
    for driver, recovered in (("policy", plain.policy), ("expert", plain.expert)):
        own = episodes["driver"] == driver
        assert episodes["recovered"][own].sum() == recovered.sum()
    assert plain.expert.sum() == 6 > plain.policy.sum()
    assert report.metrics["recovery_rate_of_expert"] == plain.rate < 0.9
    assert not report.passed
    assert report.suite.count("failed") == 6 - plain.policy.sum()


def test_an_episode_ends_with_the_crash(road_trace, tmp_path):
    path = suite_files.scenario(
        tmp_path, road_trace, "once", top=["seeds = 2"], **{"pass": ["crashes = { max = 2 }"]}
    )
    report = evaluate(Straight(), path, tmp_path / "run", video=False)
    episodes = episodes_of(tmp_path / "run")
    assert episodes["ending"].tolist() == ["off_road"] * 2
    assert episodes["seed"].tolist() == [0, 1]
    # A straight line is 2 m beside a 40 m circle 12.8 m after it begins, 40 m from the start.
    way = 40 + math.sqrt(42**2 - 40**2)
    assert report.metrics["share_without_intervention"] == pytest.approx(way / 180, abs=0.01)
    assert report.passed


def test_a_suite_is_judged_by_scenario_and_weight(road_trace, tmp_path):
    one = suite_files.scenario(tmp_path, road_trace, "one", **{"pass": ["crashes = { max = 0 }"]})
    two = suite_files.scenario(
        tmp_path, road_trace, "two", section=["time = [0.0, 4.9]"], top=["time_limit = 3.0"]
    )
    path = suite_files.suite(
        tmp_path, "both", [one, two], "weight = 3.0", "[pass]", "crashes = { max = 1 }"
    )
    report = evaluate(Straight(), path, tmp_path / "run", video=False)
    assert not report.passed
    assert [(r.requirement.of, r.passed) for r in report.suite.rulings] == [
        ("one", False),
        ("both", True),
    ]
    shares = {
        v.name: v.metrics["share_without_intervention"].value
        for v in report.suite.judgement.scenarios
    }
    assert shares["two"] == 1.0  # what its time limit cuts off was not asked for
    info = read_run(tmp_path / "run").info
    assert info["suite"]["scenarios"] == [
        {"name": "one", "weight": 1.0, "cases": 1},
        {"name": "two", "weight": 3.0, "cases": 1},
    ]
    assert info["results"]["passed"] is False
    assert info["results"]["criteria"][0]["value"] == 1.0
    assert info["cost"]["simulated_s"] == pytest.approx(
        sum(episodes_of(tmp_path / "run")["duration"])
    )
    json.dumps(report.to_json(), allow_nan=False)
    assert len(json.loads((tmp_path / "run" / "cases.json").read_text())) == 2


def test_in_this_process_a_broken_policy_costs_only_its_case(road_trace, tmp_path):
    path = suite_files.scenario(
        tmp_path,
        road_trace,
        "break",
        top=["time_limit = 1.0"],
        start=["lateral = { values = [-1.0, -0.5, 0.0, 1.5, 0.2] }"],
    )
    report = evaluate(Breaking(), path, tmp_path / "run", step_timeout=5.0, video=False)
    assert [case.reason for case in report.suite.cases] == [
        "raised: act: ZeroDivisionError: the network broke",
        "timed out: act took longer than 5 s",
        "not finite: curvature is nan; it must be finite",
        "not finite: act returned 0.1; it must return an Action",
        "",
    ]
    episodes = episodes_of(tmp_path / "run")
    assert episodes["ending"].tolist() == ["policy_failed"] * 4 + ["time_limit"]
    assert episodes["steps"].tolist() == [5, 5, 5, 5, 10]
    assert episodes["distance"] == pytest.approx([4.0] * 4 + [8.0], abs=0.05)
    assert not report.passed
    assert report.metrics["policy_failures"] == 4
    assert report.metrics["crashes"] == 0


def test_what_a_policy_draws_depends_on_the_case_alone(road_trace, tmp_path):
    class Random(ReferenceDriver):
        def act(self, observation, car=None):
            asked = super().act(observation, car)
            return type(asked)(asked.curvature + 0.01 * np.random.random())  # noqa: NPY002

    both = suite_files.scenario(
        tmp_path, road_trace, "two-seeds", top=["time_limit = 1.0", "seeds = [4, 7]"]
    )
    last = suite_files.scenario(
        tmp_path, road_trace, "one-seed", top=["time_limit = 1.0", "seeds = [7]"]
    )
    for path in (both, last):
        evaluate(Random(), path, tmp_path / path.stem, video=False)
    two, one = (columns(read_run(tmp_path / path.stem).steps) for path in (both, last))
    second = two["episode"] == 1
    assert np.array_equal(two["curvature"][second], one["curvature"])
    assert not np.array_equal(two["curvature"][~second], one["curvature"])


def test_cases_are_filmed_where_that_is_asked(road_trace, tmp_path):
    path = suite_files.scenario(tmp_path, road_trace, "film", top=["time_limit = 0.5", "seeds = 9"])
    evaluate("expert", path, tmp_path / "many", workers=0)
    assert not (tmp_path / "many" / "views").exists()
    few = suite_files.scenario(tmp_path, road_trace, "few", top=["time_limit = 0.5"])
    evaluate("expert", few, tmp_path / "few", workers=0)
    names = {path.name for path in (tmp_path / "few" / "views").iterdir()}
    stem = "00000-few-road-seed=0"
    assert names == {f"{stem}.{view}.mp4" for view in ("film", "scene", "recorded", "validity")}


def test_what_goes_with_traces_alone_is_refused_for_a_suite(road_trace, tmp_path):
    path = suite_files.scenario(tmp_path, road_trace)
    with pytest.raises(RunError, match="section is given, which goes with plain traces"):
        evaluate("expert", path, section=(0, 3))
    with pytest.raises(RunError, match="workers is given, which goes with a suite"):
        evaluate("expert", [road_trace], workers=2)
    with pytest.raises(RunError, match="workers is 2, but the policy is an object"):
        evaluate(Straight(), path, workers=2)
    with pytest.raises(RunError, match="workers is -1"):
        evaluate("expert", path, workers=-1)
    with pytest.raises(RunError, match="step_timeout is 0"):
        evaluate("expert", path, step_timeout=0)
    with pytest.raises(RunError, match="resume is given with no out"):
        evaluate("expert", path, resume=True)
    with pytest.raises(PolicyError, match="is no policy"):
        evaluate(42, path)
    with pytest.raises(ScenarioError, match="no such file or folder; installed scenarios:"):
        evaluate("expert", "nowhere")


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        ("crashs", "pass criterion of wrong: there is no metric 'crashs'; did you mean 'crashes'?"),
        ("recovery_rate", "recovery_rate is not measured; it takes a scenario of mode 'recovery'"),
    ],
)
def test_criteria_on_what_is_not_measured_are_refused(road_trace, tmp_path, metric, message):
    path = suite_files.scenario(
        tmp_path, road_trace, "wrong", **{"pass": [f"{metric} = {{ max = 0 }}"]}
    )
    with pytest.raises(ScenarioError, match=message.replace("?", r"\?")):
        evaluate("expert", path, tmp_path / "run", workers=0)
    assert not (tmp_path / "run").exists()


def test_the_running_score_counts_what_is_over(road_trace, tmp_path):
    path = suite_files.scenario(
        tmp_path,
        road_trace,
        "score",
        section=["time = [0.0, 9.0]"],
        start=["lateral = { values = [0.0, 1.9] }"],
    )
    scores, calls = [], []
    evaluate(Straight(), load_suite(path), watch=scores.append, progress=lambda *c: calls.append(c))
    assert [(s.clean, s.failed, s.broke) for s in scores] == [(0, 0, 0), (0, 1, 0), (0, 2, 0)]
    assert str(scores[-1]) == "2/2 cases: 0 clean, 2 not clean; 2 crashes"
    assert calls[-1] == (18, 18)


def test_views_and_speed_are_what_the_policy_sees(road_trace, tmp_path):
    seen = []

    class Looking(Seeing):
        def act(self, observation, car=None):
            seen.append((observation["camera"].shape, observation["speed"].shape))
            return super().act(observation, car)

    path = suite_files.scenario(tmp_path, road_trace, "look", top=["time_limit = 0.3"])
    evaluate(Looking(), path)
    assert seen == [((12, 32, 3), (1,))] * 3
