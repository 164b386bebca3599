"""Suites in several processes: identical tables, broken policies, runs that are resumed."""

import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import suite_files
from driving_models import write_mean
from suite_policies import Balance

from vista_sim.errors import PolicyDiedError, PolicyError, RunError
from vista_sim.evaluation.evaluate import evaluate
from vista_sim.evaluation.suites.driving import CaseDriver, unstarted
from vista_sim.evaluation.suites.pool import _how_it_ended
from vista_sim.evaluation.suites.rows import KILLED, CaseRows, was_killed
from vista_sim.evaluation.suites.worker import ROWS, Stream
from vista_sim.policies import PolicyServer, load_policy
from vista_sim.runs.run import read_run

STARTS = ["lateral = { from = -1.5, to = 1.5, steps = 4 }"]


def sweep(folder, trace, name="sweep"):
    """Eight cases that end at different times, some by a crash that is driven on from."""
    return suite_files.scenario(
        folder,
        trace,
        name,
        top=['mode = "restart"', "time_limit = 3.0", "seeds = 2"],
        start=[*STARTS, "heading = -0.25"],
        section=["time = [3.0, 8.0]"],
        endings=["max_lateral = 1.6"],
        image=["noise = 5.0"],
        sensors=["dropped_frames = 0.3"],
    )


@pytest.fixture(scope="module")
def swept(road_trace, tmp_path_factory):
    """A suite's file, and its run by one process."""
    folder = tmp_path_factory.mktemp("swept")
    path = sweep(folder, road_trace)
    evaluate("suite_policies:seeing", path, folder / "run", workers=1, video=False)
    return path, folder / "run"


def assert_same(a, b):
    run_a, run_b = read_run(a), read_run(b)
    assert run_a.info["status"] == run_b.info["status"] == "complete"
    assert run_a.steps.equals(run_b.steps)
    assert run_a.episodes.equals(run_b.episodes)
    assert run_a.timings.num_rows == run_b.timings.num_rows
    assert run_a.info["results"] == run_b.info["results"]
    for name in ("steps", "episodes"):  # also as files
        assert (a / f"{name}.parquet").read_bytes() == (b / f"{name}.parquet").read_bytes()


def test_one_process_and_two_and_none_write_identical_tables(swept, tmp_path):
    path, one = swept
    evaluate("suite_policies:seeing", path, tmp_path / "two", workers=2, video=False)
    evaluate("suite_policies:seeing", path, tmp_path / "none", workers=0, video=False)
    assert_same(one, tmp_path / "two")
    assert_same(one, tmp_path / "none")
    run = read_run(one)
    assert run.episodes.column("episode").to_pylist() == list(range(run.episodes.num_rows))
    cases = run.episodes.column("case").to_pylist()
    assert len(cases) > 8  # some go on after a crash
    planned = [case["case"] for case in json.loads((one / "cases.json").read_text())]
    assert list(dict.fromkeys(cases)) == planned
    assert len(planned) == 8
    assert sorted(p.name for p in one.iterdir()) == [
        "cases.json",
        "episodes.parquet",
        "frames.parquet",
        "roads.parquet",
        "run.json",
        "steps.parquet",
        "timings.parquet",
    ]


def test_a_broken_policy_costs_only_its_case_even_if_it_takes_its_process_along(
    road_trace, tmp_path
):
    path = suite_files.scenario(
        tmp_path,
        road_trace,
        "break",
        top=["time_limit = 1.0"],
        start=["lateral = { values = [-1.0, 0.0, 0.2, 0.5, 1.0, -0.2, 1.2] }"],
    )
    report = evaluate(
        "suite_policies:breaking", path, tmp_path / "run", workers=2, step_timeout=5.0, video=False
    )
    assert [case.reason for case in report.suite.cases] == [
        "raised: act: ZeroDivisionError: the network broke",
        "not finite: curvature is nan; it must be finite",
        "",
        "timed out: took longer than 5 s and could not be interrupted; its process was killed",
        "died: its process ended with exit status 3",
        "",
        "died: its process was ended by SIGSEGV",
    ]
    episodes = read_run(tmp_path / "run").episodes.to_pylist()
    assert [row["ending"] for row in episodes] == [
        "time_limit" if case.reason == "" else "policy_failed" for case in report.suite.cases
    ]
    # Whoever noticed, the process itself or its parent: half a second was driven, at 8 m/s.
    for row in episodes:
        if row["ending"] == "policy_failed":
            assert row["steps"] == 5
            assert row["duration"] == pytest.approx(0.5)
            assert row["distance"] == pytest.approx(4.0, abs=0.05)
            assert row["section_end_s"] == pytest.approx(180.0, abs=0.2)
    raised, died = episodes[0], episodes[4]
    assert set(died) == set(raised)
    assert {k for k in died if died[k] is None} == {k for k in raised if raised[k] is None}
    assert not report.passed


def test_a_killed_run_is_resumed_and_comes_out_the_same(swept, tmp_path):
    path, one = swept
    out = tmp_path / "run"
    # A script without `if __name__ == "__main__":`, which the processes must not run again.
    script = tmp_path / "script.py"
    script.write_text("import sys\nfrom vista_sim.cli import main\nmain(sys.argv[1:])\n")
    command = [sys.executable, str(script), "evaluate", "--suite", str(path), "--out", str(out)]
    command += ["--policy", "suite_policies:slow", "--workers", "2", "--no-video"]
    here = Path(__file__).parent
    environment = os.environ | {"PYTHONPATH": str(here)}
    with open(tmp_path / "log", "wb") as log:
        process = subprocess.Popen(command, cwd=here, env=environment, stderr=log, stdout=log)
        until = time.monotonic() + 600
        while not list(out.glob("episodes.parquet/*.parquet")) and process.poll() is None:
            assert time.monotonic() < until, (tmp_path / "log").read_text()
            time.sleep(0.02)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert process.returncode == -signal.SIGKILL, (tmp_path / "log").read_text()
    killed = read_run(out)
    assert killed.info["status"] == "running"
    assert 0 < killed.episodes.num_rows < read_run(one).episodes.num_rows
    whole = read_run(one).episodes
    assert killed.episodes.equals(whole.slice(0, killed.episodes.num_rows))
    _make_the_fast_policys(out)
    report = evaluate(
        "suite_policies:seeing",
        path,
        out,
        workers=0,
        resume=True,
        same_policy=True,
        video=False,
    )
    assert 0 < report.suite.resumed < 8
    assert_same(one, out)
    assert not [c for c in children if _drives(c)]  # they saw that their parent was gone


def _make_the_fast_policys(out):
    """Say that the run is of the fast one: it asks for the same, without the waiting."""
    info = json.loads((out / "run.json").read_text())
    info["policy"]["name"] = "suite_policies:seeing"
    (out / "run.json").write_text(json.dumps(info))


def _drives(pid):
    try:
        return b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


@pytest.fixture
def quick(road_trace, tmp_path):
    """A suite of four short cases for the expert, and how it is judged in this process."""
    path = suite_files.scenario(
        tmp_path, road_trace, "quick", top=["time_limit = 0.5"], start=STARTS
    )

    def judge(out=None, policy="expert", file=path, **options):
        return evaluate(policy, file, out, workers=0, video=False, **options)

    return path, judge


def stop_after(monkeypatch, count):
    """Interrupt the run after so many cases."""
    drive = CaseDriver.drive

    def driving(self, job, sink, begun):
        if job.index == count:
            raise KeyboardInterrupt
        drive(self, job, sink, begun)

    monkeypatch.setattr(CaseDriver, "drive", driving)


def test_an_interrupted_run_is_resumed(quick, tmp_path, monkeypatch):
    _, judge = quick
    judge(tmp_path / "whole")
    with monkeypatch.context() as patch:
        stop_after(patch, 2)
        with pytest.raises(KeyboardInterrupt):
            judge(tmp_path / "run")
    assert read_run(tmp_path / "run").info["status"] == "interrupted"
    assert read_run(tmp_path / "run").episodes.num_rows == 2
    scores = []
    report = judge(tmp_path / "run", resume=True, watch=scores.append)
    assert report.suite.resumed == 2
    assert [score.clean for score in scores] == [2, 3, 4]
    assert_same(tmp_path / "whole", tmp_path / "run")
    # Once it is complete, it is judged again from its tables.
    before = (tmp_path / "run" / "run.json").read_bytes()
    again = judge(tmp_path / "run", resume=True)
    assert again.suite.to_json() == report.suite.to_json()
    assert (tmp_path / "run" / "run.json").read_bytes() == before


def test_what_there_is_nothing_of_yet_is_begun(quick, tmp_path):
    _, judge = quick
    assert judge(tmp_path / "run", resume=True).suite.resumed == 0


def test_cases_that_were_driven_ahead_of_a_slower_one_are_not_lost(quick, tmp_path, monkeypatch):
    _, judge = quick
    judge(tmp_path / "whole")
    with monkeypatch.context() as patch:
        stop_after(patch, 3)
        with pytest.raises(KeyboardInterrupt):
            judge(tmp_path / "run")
    # As if the first two cases had taken longer than the third.
    run = tmp_path / "run"
    rows = {
        name: pq.read_table(run / f"{name}.parquet").to_pylist() for name in CaseRows().to_json()
    }
    third = {
        name: [row | {"episode": 0} for row in own if row["episode"] == 2]
        for name, own in rows.items()
    }
    (run / ".waiting").mkdir()
    (run / ".waiting" / "000002.json").write_text(json.dumps(third))
    for name in ("steps", "timings", "episodes"):
        table = pq.read_table(run / f"{name}.parquet")
        shutil.rmtree(run / f"{name}.parquet")
        (run / f"{name}.parquet").mkdir()
        # A kill can leave steps of episodes that are not there.
        count = 1 if name == "episodes" else 2
        kept = table.filter([row["episode"] < count for row in rows[name]])
        pq.write_table(kept, run / f"{name}.parquet" / "000000.parquet")
    report = judge(run, resume=True)
    assert report.suite.resumed == 2
    assert_same(tmp_path / "whole", run)


@pytest.mark.parametrize("killed", [(0,), (1, 2), (3,)])
def test_cases_whose_process_was_killed_are_driven_again(
    quick, tmp_path, monkeypatch, caplog, killed
):
    _, judge = quick
    judge(tmp_path / "whole")
    drive = CaseDriver.drive
    with monkeypatch.context() as patch:

        def or_be_killed(self, job, sink, begun):
            if job.index in killed:
                sink.break_off(unstarted(job), PolicyDiedError(KILLED).reason)
            else:
                drive(self, job, sink, begun)

        patch.setattr(CaseDriver, "drive", or_be_killed)
        assert judge(tmp_path / "run").suite.count("broke") == len(killed)
    names = [case.case for case in judge(tmp_path / "whole", resume=True).suite.cases]
    with monkeypatch.context() as patch:  # nothing is lost if that is broken off in turn
        patch.setattr(CaseDriver, "drive", interrupted)
        with pytest.raises(KeyboardInterrupt):
            judge(tmp_path / "run", resume=True)
    report = judge(tmp_path / "run", resume=True)
    assert report.suite.resumed == 4 - len(killed)
    assert f"the process of {names[killed[0]]}" in caplog.text
    assert "was killed before (out of memory?); driven again" in caplog.text
    assert report.suite.count("broke") == 0
    assert_same(tmp_path / "whole", tmp_path / "run")


def interrupted(*_):
    raise KeyboardInterrupt


def test_a_killed_case_that_waits_for_an_earlier_one_is_driven_again(quick, tmp_path, monkeypatch):
    _, judge = quick
    cases = judge(tmp_path / "whole").suite.cases
    with monkeypatch.context() as patch:
        stop_after(patch, 2)
        with pytest.raises(KeyboardInterrupt):
            judge(tmp_path / "run")
    last = pq.read_table(tmp_path / "whole" / "episodes.parquet").to_pylist()[3]
    rows = CaseRows()
    rows.break_off(last, PolicyDiedError(KILLED).reason)
    (tmp_path / "run" / ".waiting").mkdir(exist_ok=True)
    (tmp_path / "run" / ".waiting" / "000003.json").write_text(json.dumps(rows.to_json()))
    assert judge(tmp_path / "run", resume=True).suite.resumed == 2
    assert read_run(tmp_path / "run").info["retried_cases"] == [cases[3].case]
    assert_same(tmp_path / "whole", tmp_path / "run")


def test_a_process_that_was_killed_is_told_from_one_that_broke():
    assert _how_it_ended(-signal.SIGKILL) == KILLED
    assert was_killed([{"failure": None}, {"failure": PolicyDiedError(KILLED).reason}])
    for failure in (None, "timed out: 10 s", PolicyDiedError(_how_it_ended(-11)).reason):
        assert not was_killed([{"failure": failure}])


def test_what_killed_writers_left_beside_a_whole_run_is_taken_back(quick, tmp_path):
    """--overwrite that was killed before its run took the place of the old one."""
    _, judge = quick
    judge(tmp_path / "run")
    (tmp_path / ".run.part-0123abcd").mkdir()
    (tmp_path / ".run.lock").touch()
    assert judge(tmp_path / "run", resume=True).suite.resumed == 4
    assert sorted(p.name for p in tmp_path.glob(".*")) == []


def test_another_run_is_not_resumed(quick, road_trace, tmp_path):
    path, judge = quick
    out = tmp_path / "run"
    judge(out)
    again = "start anew with another --out, or with --overwrite"
    with pytest.raises(
        RunError, match=f"the policy was expert, is suite_policies:straight; {again}"
    ):
        judge(out, "suite_policies:straight", resume=True)
    with pytest.raises(RunError, match=r"the time limit of a step was 10\.0, is 3\.0"):
        judge(out, resume=True, step_timeout=3.0)
    other = sweep(tmp_path, road_trace)
    with pytest.raises(RunError, match="the suite was quick, is sweep"):
        judge(out, file=other, resume=True)
    text = path.read_text()
    path.write_text(text.replace("time_limit = 0.5", "time_limit = 0.6"))
    with pytest.raises(RunError, match=r"settings of case quick/road,lateral=-1.5,seed=0 differs"):
        judge(out, resume=True)
    path.write_text(text.replace("steps = 4", "steps = 3"))
    with pytest.raises(RunError, match="the suite had 4 cases, has 3"):
        judge(out, resume=True)
    evaluate(
        "expert", [road_trace], tmp_path / "plain", recovery=False, video=False, section=(0, 2)
    )
    with pytest.raises(RunError, match="is a run of plain traces"):
        judge(tmp_path / "plain", resume=True)


def test_a_policy_that_cannot_be_loaded_is_a_mistake_of_the_user(quick, tmp_path):
    path, _ = quick
    with pytest.raises(PolicyError, match="has no 'nothing'"):
        evaluate("suite_policies:nothing", path, tmp_path / "a", workers=1, video=False)
    with pytest.raises(PolicyError, match=r"ended while it was being loaded .*SIGSEGV"):
        evaluate("suite_policies:crashes_on_load", path, tmp_path / "b", workers=1, video=False)
    assert not (tmp_path / "a").exists()
    assert not (tmp_path / "b").exists()


def test_an_onnx_model_and_a_policy_behind_a_socket_are_judged(road_trace, tmp_path):
    path = suite_files.scenario(tmp_path, road_trace, "short", top=["time_limit = 1.0"])
    model = write_mean(tmp_path / "mean.onnx")
    patient = {"workers": 1, "step_timeout": 60.0}  # on a machine that is busy with other things
    with PolicyServer(Balance, str(tmp_path / "policy.sock")) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        evaluate(f"socket:{tmp_path / 'policy.sock'}", path, tmp_path / "socket", **patient)
    evaluate(Balance(), path, tmp_path / "object", video=False)
    evaluate(str(model), path, tmp_path / "onnx", video=False, **patient)
    evaluate(load_policy(model), path, tmp_path / "loaded", video=False)
    for there, here in (("socket", "object"), ("onnx", "loaded")):
        a, b = read_run(tmp_path / there), read_run(tmp_path / here)
        assert a.episodes.column("failure").to_pylist() == [None]
        assert a.steps.equals(b.steps)
        assert a.episodes.equals(b.episodes)
        assert max(abs(v) for v in a.steps.column("action_curvature").to_pylist()[1:]) > 1e-4
    assert (tmp_path / "socket" / "views").is_dir()
    assert len(read_run(tmp_path / "onnx").info["policy"]["sha256"]) == 64


def test_rows_are_sent_on_also_to_who_holds_on_to_a_table():
    ours, theirs = multiprocessing.Pipe()
    stream = Stream(theirs)
    frames = stream.frames  # as a film does for all of a case
    for number in range(3):
        frames.append({"frame": number})
        stream.steps.append({"step": number})
        stream.flush_now_and_then()
        assert ours.recv() == (ROWS, [{"step": number}], [], [], [{"frame": number}])
