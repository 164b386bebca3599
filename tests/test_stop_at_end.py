"""Stopping at the end of the section: a task in one file, in all that there is for tasks."""

import json
import logging
import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from stopping import LEFT, Stopping

import vista_sim
from vista_sim import Action
from vista_sim.cli import main
from vista_sim.dynamics import state as c
from vista_sim.envs.lane_following import lane_following_env
from vista_sim.policies.reference import ReferenceDriver
from vista_sim.replay.viewer.drives import ending_of, open_runs, went_wrong
from vista_sim.report.sheet import read_sheet
from vista_sim.runs.run import read_run
from vista_sim.tasks.stop_at_end import StopAtEnd, StopEndings

LENGTH = 180.0  # m, of the road


class Standing(ReferenceDriver):
    """Brakes at once, and stands there."""

    def act(self, observation, car=None):
        return Action(super().act(observation, car).curvature, -car.speed / car.dt)


@pytest.fixture(autouse=True)
def _quiet(caplog):
    caplog.set_level(logging.ERROR)  # the ground is assumed flat where nothing was baked


@pytest.mark.parametrize(
    ("left", "speed", "lateral", "time", "ending"),
    [
        (4.9, 0.05, 0.0, 1.0, "stopped"),
        (5.1, 0.05, 0.0, 1.0, None),
        (4.9, 0.15, 0.0, 1.0, None),
        (0.1, 0.0, 0.0, 1.0, "stopped"),
        (-0.1, 0.0, 0.0, 1.0, "overrun"),
        (-0.5, 6.0, 0.0, 1.0, "overrun"),
        (4.0, 0.0, 2.5, 1.0, "off_road"),
        (50.0, 0.0, 0.0, 300.0, "time_limit"),
        (4.0, 0.0, 0.0, 300.0, "stopped"),
    ],
)
def test_a_car_has_stopped_where_it_stands_near_the_end(left, speed, lateral, time, ending):
    task, table = StopAtEnd(), np.zeros((1, c.WIDTH))
    table[0, [c.IN_REACH, c.MAX_TIRE_RATE, c.RECORDED_SPEED]] = 1.0
    table[0, [c.END_S, c.S, c.SPEED, c.LATERAL, c.TIME]] = 100, 100 - left, speed, lateral, time
    terms, codes = np.zeros((1, 6)), np.zeros(1, np.int64)
    task.judge(table, c.FIRST, 0.1, terms, codes)
    assert (task.endings[codes[0] - 1].name if codes[0] else None) == ending
    assert terms[0, 5] == (10.0 if ending == "stopped" else 0.0)


def test_who_stops_in_time_is_rewarded_and_terminated(road_trace):
    env = lane_following_env(road_trace, observe="state", task="stop-at-end", reset_mode="start")
    seen, _ = env.reset(seed=0)
    driver, over = Stopping(), False
    while not over:
        action = driver.act(seen, env.car)
        vehicle = env.car.vehicle
        most = vehicle.max_acceleration if action.acceleration > 0 else vehicle.max_deceleration
        asked = np.array([action.curvature / env.curvature_limit, action.acceleration / most])
        seen, _, terminated, truncated, info = env.step(asked.astype(np.float32))
        over = terminated or truncated
    assert (terminated, truncated, info["ending"]) == (True, False, "stopped")
    assert info["s"] == pytest.approx(LENGTH - LEFT, abs=0.1)
    assert info["reward_terms"]["stop"] == 10.0


@pytest.mark.parametrize(
    ("driver", "ending", "crashes", "share"),
    [
        (Stopping(), "stopped", 0, 1.0),  # nobody asks for the last two metres
        (ReferenceDriver(), "overrun", 1, 1.0),
        (Standing(), "time_limit", 0, None),
    ],
)
def test_whole_drives_are_judged_by_it(road_trace, tmp_path, driver, ending, crashes, share):
    report = vista_sim.evaluate(
        driver,
        road_trace,
        tmp_path / "run",
        recovery=False,
        video=False,
        task="stop-at-end",
        endings={"time_limit": 60.0},
    )
    (row,) = read_run(tmp_path / "run").episodes.to_pylist()
    assert (row["ending"], report.metrics["crashes"]) == (ending, crashes)
    if share is not None:
        assert report.metrics["share_without_intervention"] == pytest.approx(share)


FILE = """format = "vista-scenario/1"
name = "stop"
traces = {trace}
task = "stop-at-end"
time_limit = 40
[section]
pieces = 2
[speed]
mode = "free"
[endings]
within = {{ values = ["400 cm", 1.0] }}
"""


@pytest.fixture
def file(road_trace, tmp_path):
    path = tmp_path / "stop.toml"
    path.write_text(FILE.format(trace=json.dumps(str(road_trace))))
    return path


def test_a_scenario_of_it_is_passed_by_who_stops_where_it_says(file, tmp_path):
    result = vista_sim.evaluate(Stopping(), file, tmp_path / "run", video=False).suite
    reasons = {case.case: (case.outcome, case.reason) for case in result.cases}
    assert len(reasons) == 4
    for name, (outcome, reason) in reasons.items():
        if "within=4" in name:  # it stands two metres before
            assert (outcome, reason) == ("clean", "")
        else:
            assert outcome == "failed"
            assert reason.startswith("time_limit at s = ")
    kinds = read_run(tmp_path / "run").episodes.select(["ending_kind", "missed"]).to_pylist()
    assert kinds.count({"ending_kind": "success", "missed": False}) == 2
    assert kinds.count({"ending_kind": "cut", "missed": True}) == 2


def test_its_runs_are_read_by_page_and_viewer(file, tmp_path):
    runs = tmp_path / "driver", tmp_path / "expert"
    vista_sim.evaluate(Stopping(), file, runs[0], video=False)
    vista_sim.evaluate("expert", file, runs[1], video=False, workers=0)
    assert sorted(read_sheet(runs[0]).outcomes) == ["clean", "clean", "missed", "missed"]
    assert set(read_sheet(runs[1]).outcomes) == {"crashed"}
    own, overrun = open_runs(runs)
    assert {ending_of(drive) for drive in own.drives} == {"stopped", "time limit"}
    assert not any(went_wrong(drive) for drive in own.drives)
    assert {ending_of(drive) for drive in overrun.drives} == {"crash: overrun"}
    with pytest.raises(SystemExit) as caught:
        main(["report", *map(str, runs), "-o", str(tmp_path / "page.html")])
    assert caught.value.code == 0
    assert "overrun" in (tmp_path / "page.html").read_text()


def test_what_of_a_drive_shows_nothing_good_is_left_out_of_demonstrations(file, tmp_path):
    from vista_sim.drive.demonstrations import Rules, _episodes

    vista_sim.evaluate("expert", file, tmp_path / "run", video=False, workers=0)
    run = read_run(tmp_path / "run")
    for episode, steps in _episodes(run, Rules(driver="policy", before_crash=1.0)):
        assert steps["t"][-1] == pytest.approx(episode["duration"] - 1.0, abs=0.11)


def test_a_run_of_before_kinds_were_told_is_read_by_names(road_trace, tmp_path):
    report = vista_sim.evaluate(
        ReferenceDriver(), road_trace, tmp_path / "run", video=False, endings={"max_lateral": 0.3}
    )
    path = tmp_path / "run" / "episodes.parquet"
    told = pq.read_table(path)
    pq.write_table(told.drop_columns(["ending_kind", "missed"]), path)
    again = read_run(tmp_path / "run").episodes
    assert again.column("ending_kind").to_pylist() == told.column("ending_kind").to_pylist()
    assert again.column("missed") == pa.chunked_array([pa.nulls(len(told), pa.bool_())])
    assert {"crash", "cut"} <= set(told.column("ending_kind").to_pylist())
    assert report.recovery is not None


def test_limits_of_stopping_must_be_positive():
    for wrong in ({"within": 0.0}, {"standing": math.nan}, {"within": "near"}):
        with pytest.raises(vista_sim.errors.WorldError):
            StopEndings(**wrong)
