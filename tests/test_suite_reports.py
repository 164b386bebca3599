"""What a suite's judgement is told as: exit status, JUnit XML, Markdown."""

import itertools
import json
from xml.etree import ElementTree

import pytest
import suite_files

from vista_sim.cli import main


@pytest.fixture
def judge(road_trace, tmp_path, capsys):
    """Runs the command on a suite in this process; exit status and what it printed."""
    crashing = suite_files.scenario(
        tmp_path,
        road_trace,
        "crashing",
        section=["time = [0.0, 8.0]"],
        top=["seeds = 2"],
        **{"pass": ["crashes = { max = 0 }", "crashes_per_km = { max = 1e6 }"]},
    )
    short = suite_files.scenario(
        tmp_path, road_trace, "short", top=["time_limit = 1.0"], start=["lateral = 1.5"]
    )
    path = suite_files.suite(tmp_path, "nightly", [crashing, short])

    def run(*arguments, suite=path):
        with pytest.raises(SystemExit) as exit_:
            main(["evaluate", "--suite", str(suite), "--workers", "0", "--no-video", *arguments])
        return exit_.value.code, capsys.readouterr()

    return run


def test_the_exit_status_says_whether_the_suite_is_passed(judge):
    code, printed = judge("--policy", "expert")
    assert code == 0
    assert "expert on nightly: passed (2 of 2 criteria met; 3 cases, 0 failed)" in printed.out
    code, printed = judge("--policy", "suite_policies:straight", "--json")
    assert code == 1
    values = json.loads(printed.out)
    assert values["passed"] is False
    assert values["cases"] == {"all": 3, "clean": 1, "failed": 2, "broke": 0}
    assert [c["passed"] for c in values["criteria"]] == [False, True]
    assert values["overall"]["metrics"]["crashes"]["value"] == 2


def test_junit_names_what_failed_and_why(judge, tmp_path):
    code, _ = judge("--policy", "suite_policies:straight", "--junit", str(tmp_path / "j.xml"))
    assert code == 1
    root = ElementTree.parse(tmp_path / "j.xml").getroot()
    assert root.tag == "testsuites"
    assert [s.get("name") for s in root] == ["crashing", "short"]
    assert (root.get("tests"), root.get("failures"), root.get("errors")) == ("5", "1", "0")
    names = [case.get("name") for case in root.iter("testcase")]
    assert names == [
        "crashing/road,seed=0",
        "crashing/road,seed=1",
        "criterion crashes <= 0",
        "criterion crashes_per_km <= 1e+06",
        "short/road,seed=0",
    ]
    (failure,) = root.iter("failure")
    assert failure.get("message") == "crashes is 2; asked for: crashes <= 0"
    assert "crashing/road,seed=1: off_road at s = 53." in failure.text
    total = sum(float(case.get("time")) for case in root.iter("testcase"))
    assert float(root.get("time")) == pytest.approx(total)
    assert total > 10


def test_what_fails_without_a_criterion_fails_everywhere(judge, road_trace, tmp_path):
    name = "unasked"
    path = suite_files.scenario(tmp_path, road_trace, name, section=["time = [0.0, 8.0]"])
    files = ["--junit", str(tmp_path / "j.xml"), "--markdown", str(tmp_path / "m.md")]
    code, printed = judge("--policy", "suite_policies:straight", *files, suite=path)
    assert code == 1
    line = "straight on unasked: failed (no criteria; 1 case, 1 failed)"
    assert line in printed.out
    assert "failed cases" in printed.out
    root = ElementTree.parse(tmp_path / "j.xml").getroot()
    assert (root.get("failures"), root.get("errors")) == ("1", "0")
    (failure,) = root.iter("failure")
    assert failure.get("message").startswith("off_road at s = 53.")
    assert "1 failed" in (tmp_path / "m.md").read_text(encoding="utf-8")
    code, printed = judge("--policy", "expert", *files, suite=path)
    assert code == 0
    assert "passed (no criteria; 1 case, 0 failed)" in printed.out
    assert ElementTree.parse(tmp_path / "j.xml").getroot().get("failures") == "0"


def test_what_criteria_allow_is_not_failed(judge, road_trace, tmp_path):
    allowed = {"pass": ["crashes = { max = 1 }"]}
    path = suite_files.scenario(
        tmp_path, road_trace, "asked", section=["time = [0.0, 8.0]"], **allowed
    )
    files = ["--junit", str(tmp_path / "j.xml")]
    code, printed = judge("--policy", "suite_policies:straight", *files, suite=path)
    assert code == 0
    assert "1 of 1 criteria met; 1 case, 0 failed, 1 not clean, as criteria judge" in printed.out
    root = ElementTree.parse(tmp_path / "j.xml").getroot()
    assert (root.get("failures"), root.get("errors")) == ("0", "0")


def test_a_broken_policy_is_an_error_and_fails_the_suite(judge, tmp_path):
    files = ["--junit", str(tmp_path / "j.xml"), "--markdown", str(tmp_path / "m.md")]
    code, _ = judge("--policy", "suite_policies:breaking", *files)
    assert code == 1
    root = ElementTree.parse(tmp_path / "j.xml").getroot()
    errors = [(e.get("type"), e.get("message")) for e in root.iter("error")]
    assert errors == [
        ("not finite", "not finite: curvature is nan; it must be finite"),
        ("not finite", "not finite: curvature is nan; it must be finite"),
        ("not finite", "not finite: act returned 0.1; it must return an Action"),
    ]
    assert not list(root.iter("failure"))
    text = (tmp_path / "m.md").read_text()
    assert text.startswith("# ❌ nightly\n")
    assert "the policy broke in 3" in text
    assert "| short/road,seed=0 | not finite: act returned 0.1; it must return an Action |" in text
    tables = [line for line in text.splitlines() if line.startswith("|")]
    assert "| crashes <= 0 | crashing | 0 | met |" in text.replace("\\", "")
    for head, rule in itertools.pairwise(tables):
        if set(rule) <= set("|-: "):
            assert head.count("|") == rule.count("|")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--section", "0:3"], "--section is given, which goes with --traces"),
        (["--no-recovery"], "--no-recovery is given"),
        (["--resume"], "--resume goes on with the run at --out"),
        (["--step-timeout", "0"], "--step-timeout is 0"),
        (["--junit", "nowhere/j.xml"], "--junit is nowhere/j.xml; there is no folder"),
        (["--markdown", "."], "--markdown is ., which is a folder; name a file"),
        (["--traces", "somewhere"], "--suite and traces (somewhere) are both given"),
        (["--policy", "nowhere"], "nowhere: no such policy"),
        (["--workers", "1000"], "--workers is 1000"),
    ],
)
def test_a_mistake_is_one_line_and_status_two(judge, arguments, message):
    code, printed = judge("--policy", "expert", *arguments)
    assert code == 2
    assert message in printed.err
    assert printed.err.count("\n") == 1


def test_a_suite_or_traces_must_be_given(capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["evaluate", "--policy", "expert"])
    assert exit_.value.code == 2
    assert "give --suite NAME or FILE, or --traces FOLDER" in capsys.readouterr().err
    with pytest.raises(SystemExit) as exit_:
        main(["evaluate", "--policy", "expert", "--traces", "x", "--junit", "j.xml"])
    assert exit_.value.code == 2
    assert "--junit is given, which goes with --suite" in capsys.readouterr().err


def test_two_runs_of_a_suite_are_compared(judge, tmp_path, capsys):
    for policy in ("expert", "suite_policies:straight"):
        judge("--policy", policy, "--out", str(tmp_path / policy))
    with pytest.raises(SystemExit) as exit_:
        main(
            [
                "compare",
                *(str(tmp_path / p) for p in ("expert", "suite_policies:straight")),
                "--json",
            ]
        )
    assert exit_.value.code == 0
    values = json.loads(capsys.readouterr().out)
    assert values["pairs"] == 3
    worst = [r["case"] for r in values["regressions"]]
    assert worst[:2] == ["crashing/road,seed=0", "crashing/road,seed=1"]
    assert values["warnings"] == []
