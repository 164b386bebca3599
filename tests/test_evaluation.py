"""Closed-loop evaluation: crashes, set-backs, reports, and the command."""

import json
import logging
import math

import av
import numpy as np
import pytest
from conftest import ROAD_PIECES, write_straight

from vista_sim.cli import main
from vista_sim.console import parse_section
from vista_sim.errors import PolicyError, RunError, VistaError
from vista_sim.evaluation import metrics
from vista_sim.evaluation.evaluate import evaluate
from vista_sim.policies import Action, CameraSpec
from vista_sim.policies.reference import ReferenceDriver
from vista_sim.runs.run import columns, read_run
from vista_sim.scenarios.places import RecoveryTest
from vista_sim.tasks.lane_following import Endings
from vista_sim.traces.calibration import Lens
from vista_sim.traces.trace import Trace


@pytest.fixture(autouse=True)
def _quiet(caplog):
    caplog.set_level(logging.ERROR)  # the ground is assumed flat where nothing was baked


class Straight:
    """Never steers."""

    camera = None

    def reset(self):
        self.resets = getattr(self, "resets", 0) + 1

    def act(self, observation, car=None):
        return Action(0.0)


class Seeing(ReferenceDriver):
    """Drives like the reference, and looks at what it is shown."""

    camera = CameraSpec((40, 100), fov=1.0)

    def __init__(self):
        self.seen = []

    def act(self, observation, car=None):
        self.seen.append((observation["camera"].shape, observation["camera"].dtype))
        assert observation["speed"].shape == (1,)
        return super().act(observation, car)


FEW = RecoveryTest(laterals=(-1.0, 0.0), headings=(0.0, 0.1), starts_per_kind=1)


def test_a_section_without_an_end_is_driven_and_stored_up_to_the_end(road_trace, tmp_path):
    out, section = tmp_path / "run", (20.0, math.inf)
    evaluate("expert", road_trace, out, recovery=False, video=False, section=section)
    run = read_run(out)
    assert run.info["section"] == [20.0, pytest.approx(22.5, abs=0.2)]
    assert run.steps["scene_time"].to_numpy().min() == pytest.approx(20.0, abs=0.1)


def test_the_reference_drives_the_whole_road_without_a_crash(road_trace):
    report = evaluate("expert", road_trace, recovery=False)
    assert report.metrics["crashes"] == 0
    assert report.metrics["crashes_per_km"] == 0
    assert report.metrics["share_without_intervention"] == 1.0
    assert report.metrics["distance_m"] == pytest.approx(180.0, abs=1.0)
    assert report.metrics["mean_cross_track_error_m"] < 0.1
    # The sharpest bend has 40 m radius: v² / r.
    assert report.metrics["peak_lateral_acceleration_m_s2"] == pytest.approx(64 / 40, rel=0.15)
    assert report.recovery is None
    assert report.out is None


def test_after_a_crash_the_car_goes_on_two_seconds_further(road_trace, tmp_path):
    policy = Straight()
    report = evaluate(policy, road_trace, tmp_path / "run", recovery=False, video=False)
    episodes = columns(read_run(tmp_path / "run").episodes)
    count = len(episodes["episode"])
    assert policy.resets == count
    assert report.metrics["crashes"] == count - 1 >= 4
    assert episodes["ending"].tolist() == ["off_road"] * (count - 1) + ["end_of_trace"]
    # The first bend begins at 40 m; a straight line is 2 m beside a 40 m circle 12.8 m on.
    assert episodes["end_s"][0] == pytest.approx(ROAD_PIECES[0][0] + 12.5, abs=1.5)
    gaps = episodes["start_s"][1:] - episodes["end_s"][:-1]
    assert gaps == pytest.approx(2.0 * 8.0, abs=0.05)
    assert episodes["start_lateral"] == pytest.approx(0.0, abs=1e-3)
    share = 1 - gaps.sum() / 180.0
    assert report.metrics["share_without_intervention"] == pytest.approx(share, abs=1e-3)
    assert report.metrics["crashes_per_km"] == pytest.approx(
        1000 * (count - 1) / episodes["distance"].sum()
    )


@pytest.mark.parametrize(
    ("endings", "after"),
    [
        (None, math.sqrt(42**2 - 40**2)),  # m beyond a circle's tangent point: 2 m beside it
        (Endings(max_lateral=0.5), math.sqrt(40.5**2 - 40**2)),
        (Endings(max_heading=math.radians(8)), 40 * math.radians(8)),
    ],
)
def test_what_a_crash_is_follows_the_endings(road_trace, tmp_path, endings, after):
    evaluate(Straight(), road_trace, tmp_path / "run", recovery=False, video=False, endings=endings)
    end_s = columns(read_run(tmp_path / "run").episodes)["end_s"][0]
    assert end_s == pytest.approx(ROAD_PIECES[0][0] + after, abs=1.2)


def test_a_section_limits_what_is_driven(road_trace):
    report = evaluate(Straight(), road_trace, recovery=False, section=(0.0, 4.9))
    assert report.metrics["crashes"] == 0
    assert report.metrics["distance_m"] == pytest.approx(39.2, abs=0.9)


def test_every_section_is_driven(tmp_path):
    write_straight(tmp_path / "t", lambda t: max(0.0, min(6.0, 2 * abs(t - 15.0) - 8.0)))
    sections = Trace.open(tmp_path / "t").sections
    report = evaluate("expert", tmp_path / "t", tmp_path / "run", recovery=False, video=False)
    episodes = columns(read_run(tmp_path / "run").episodes)
    assert episodes["start_s"] == pytest.approx([section.start_s for section in sections])
    assert len(sections) == 2
    assert report.metrics["share_without_intervention"] == 1.0


def test_the_policys_camera_is_what_it_sees(road_trace):
    policy = Seeing()
    evaluate(policy, road_trace, recovery=FEW, section=(0.0, 8.0))
    assert set(policy.seen) == {((40, 100, 3), np.dtype(np.uint8))}


def test_a_policys_lens_is_what_it_sees_through(road_trace):
    class Fisheye(Seeing):
        camera = CameraSpec((40, 100), lens=Lens("fisheye", 30.0, 30.0, 49.5, 19.5, (40, 100)))

        def act(self, observation, car=None):
            assert car.specs["camera"].lens == self.camera.lens
            return super().act(observation, car)

    policy = Fisheye()
    evaluate(policy, road_trace, recovery=False, section=(0.0, 3.0))
    assert policy.seen


def test_the_report_is_json_and_says_it_trace_by_trace(road_trace):
    report = evaluate("expert", [road_trace, road_trace], recovery=FEW)
    values = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert len(values["traces"]) == 2
    assert values["traces"][0]["name"] == "road"
    total = values["traces"][0]["distance_m"] + values["traces"][1]["distance_m"]
    assert values["metrics"]["distance_m"] == pytest.approx(total)
    assert values["recovery"]["rate"] == 1.0
    assert np.sum(values["recovery"]["tried"]) == 3 * 4


def test_progress_goes_up_to_its_total(road_trace):
    calls = []
    evaluate("expert", road_trace, recovery=FEW, progress=lambda *call: calls.append(call))
    done = [call[0] for call in calls]
    assert done == sorted(done)
    assert calls[-1][0] == calls[-1][1]
    assert len(calls) > 10


def test_the_run_holds_every_step_and_its_metrics_can_be_computed_again(road_trace, tmp_path):
    report = evaluate("expert", road_trace, tmp_path / "run", recovery=FEW, video=False)
    run = read_run(tmp_path / "run")
    assert run.info["status"] == "complete"
    assert run.info["seed"] == 0
    (told,) = run.info["traces"]
    assert (told["path"], told["name"]) == (str(road_trace), "road")
    assert run.info["results"]["metrics"]["crashes"] == 0
    steps, episodes = columns(run.steps), columns(run.episodes)
    looped = metrics.select(episodes, episodes["kind"] == "closed_loop")
    own = metrics.select(steps, np.isin(steps["episode"], looped["episode"]))
    assert metrics.summarize(own, looped) == pytest.approx(dict(report.metrics), nan_ok=True)
    for name in ("t", "s", "lateral", "heading_error", "x", "y", "yaw", "speed"):
        assert np.isfinite(steps[name]).all(), name
    assert np.isnan(steps["validity"]).all()  # who needs no camera sees nothing
    terms = sum(steps[name] for name in steps if name.startswith("reward_"))
    moved = steps["step"] > 0
    assert terms[moved] == pytest.approx(steps["reward"][moved])
    assert set(episodes["driver"]) == {"policy", "expert"}
    assert len(run.timings) == moved.sum()
    assert not (tmp_path / "run" / "views").exists()


def test_the_same_seed_gives_the_same_tables(road_trace, tmp_path):
    for name in ("a", "b"):
        evaluate(Seeing(), road_trace, tmp_path / name, seed=3, recovery=FEW, video=False)
    a, b = read_run(tmp_path / "a"), read_run(tmp_path / "b")
    assert a.steps.equals(b.steps)
    assert a.episodes.equals(b.episodes)


def test_the_drive_is_filmed(road_trace, tmp_path):
    report = evaluate("expert", road_trace, tmp_path / "run", recovery=False, section=(0, 3))
    (film,) = (report.out / "views").glob("*.film.mp4")
    with av.open(str(film)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    steps = columns(read_run(report.out).steps)
    assert len(frames) == len(steps["step"])
    assert frames[0].shape[1] == 960
    assert np.abs(frames[0].astype(int) - frames[-1]).mean() > 2  # something moves


def test_what_is_no_policy_is_refused(road_trace, tmp_path):
    with pytest.raises(PolicyError, match="is no policy"):
        evaluate(42, road_trace)
    with pytest.raises(PolicyError, match=r"policy\.json"):
        evaluate(tmp_path, road_trace)

    class Wrong(Straight):
        def act(self, observation, car=None):
            return 0.1

    with pytest.raises(PolicyError, match="must return an Action"):
        evaluate(Wrong(), road_trace)


def test_a_run_that_is_there_is_kept_unless_told_otherwise(road_trace, tmp_path):
    evaluate("expert", road_trace, tmp_path, recovery=False, video=False, section=(0, 2))
    with pytest.raises(RunError, match="is there already"):
        evaluate("expert", road_trace, tmp_path, recovery=False, video=False)
    evaluate(
        "expert", road_trace, tmp_path, recovery=False, video=False, section=(0, 2), overwrite=True
    )


def test_a_failing_policy_leaves_a_readable_run(road_trace, tmp_path):
    class Failing(Straight):
        def act(self, observation, car=None):
            if car.s > 20:
                raise ZeroDivisionError("the network broke")
            return Action(0.0)

    with pytest.raises(ZeroDivisionError):
        evaluate(Failing(), road_trace, tmp_path / "run", video=True)
    run = read_run(tmp_path / "run")
    assert run.info["status"] == "failed"
    assert run.steps.num_rows == 26
    with av.open(str(next((tmp_path / "run" / "views").glob("*.mp4")))) as container:
        assert len(list(container.decode(video=0))) == 26


def test_the_command_prints_json(road_trace, tmp_path, capsys):
    arguments = ["evaluate", "--policy", "expert", "--traces", str(road_trace), "--section", "0:8"]
    arguments += ["--out", str(tmp_path / "run"), "--no-video", "--starts", "1", "--json"]
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert exit_.value.code == 0
    values = json.loads(capsys.readouterr().out)
    assert values["metrics"]["crashes"] == 0
    assert values["out"] == str(tmp_path / "run")
    assert read_run(tmp_path / "run").info["section"] == [0.0, 8.0]


def test_the_command_prints_tables(road_trace, capsys):
    arguments = ["evaluate", "--policy", "expert", "--traces", str(road_trace), "--starts", "1"]
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert exit_.value.code == 0
    printed = capsys.readouterr().out
    assert "closed loop: expert" in printed
    assert "recovers from 100.0 % of what the expert recovers from" in printed


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"--policy": "nowhere"}, "policy.json"),
        ({"--traces": "nowhere"}, "no such folder"),
        ({"--section": "7"}, "START:END"),
        ({"--section": "8:7"}, "START must be before END"),
        ({"--section": "100:200"}, "nothing to drive"),
        ({"--starts": "0"}, "--starts is 0"),
    ],
)
def test_a_mistake_is_one_line_and_status_two(road_trace, capsys, changed, message):
    options = {"--policy": "expert", "--traces": str(road_trace)} | changed
    with pytest.raises(SystemExit) as exit_:
        main(["evaluate", *(part for option in options.items() for part in option)])
    assert exit_.value.code == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.strip().count("\n") == 0


def test_sections_are_read_as_seconds():
    assert parse_section("0:7.2") == (0.0, 7.2)
    for text in ("", "1", "a:b", "1:2:3", "5:5", "-1:3", "0:inf", "nan:2"):
        with pytest.raises(VistaError, match="section"):
            parse_section(text)
