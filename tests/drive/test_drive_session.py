"""A drive: what the driver does, what becomes of it, and what is written of it."""

import time

import cv2
import numpy as np
import pytest
import suite_files
from driving_hands import RATE, driving

from vista_sim.drive.course import read_target
from vista_sim.drive.filming import Filmer
from vista_sim.drive.protocol import COMMANDS
from vista_sim.errors import TraceError, VistaError
from vista_sim.policies import Action, CameraSpec

pytestmark = pytest.mark.usefixtures("_unwarned")


class Straight:
    """Drives straight on, and remembers what it saw."""

    def __init__(self, camera=None, curvature=0.0):
        self.camera, self.curvature = camera, curvature
        self.resets, self.seen = 0, []

    def reset(self):
        self.resets += 1

    def act(self, observation, car=None):
        self.seen.append(None if self.camera is None else observation["camera"].shape)
        return Action(self.curvature)


class Broken(Straight):
    def act(self, observation, car=None):
        raise RuntimeError("no <b>idea</b>")


def episodes(hands):
    names = ("driver", "ending", "steps", "start_lateral", "start_s", "end_s", "failure")
    return hands.run.episodes.select(names).to_pylist()


def test_a_drive_waits_for_its_driver_and_pauses_when_they_leave(road_trace, tmp_path):
    with driving(road_trace, tmp_path / "run") as hands:
        assert hands.sees["phase"] == "ready"
        assert hands.sees["steps"] == 0
        hands.command("go")
        hands.drive(0.2)
        hands.link.disconnect()
        stood = hands.until(lambda sees: sees["phase"] == "paused")
        hands.link.connect()
        later = hands.until(lambda sees: sees["phase"] == "paused")
        assert later["s"] == stood["s"]
        hands.command("toggle")
        hands.until(lambda sees: sees["s"] > stood["s"])
        hands.command("toggle")
        hands.until(lambda sees: sees["phase"] == "paused")
    (only,) = episodes(hands)
    assert (only["driver"], only["ending"]) == ("human", "stopped")


def test_steering_left_drives_to_the_left_and_the_frame_says_which_input_it_shows(
    road_trace, tmp_path
):
    with driving(road_trace, tmp_path / "run") as hands:
        hands.command("go")
        hands.drive(0.1)
        hands.steer(0.4)
        hands.until(lambda sees: sees["seq"] == hands.seq)
        seen = hands.until(lambda sees: sees["lateral"] > 0.3)
        assert seen["wheel"] == pytest.approx(0.4)
        jpeg = np.frombuffer(hands.link.frame.jpeg, np.uint8)
        assert cv2.imdecode(jpeg, cv2.IMREAD_COLOR).shape == (40, 80, 3)
    steps = hands.run.steps.to_pylist()
    assert steps[-1]["lateral"] > 0.3
    # The recorded speed, whatever the driver does.
    assert {round(step["speed"], 3) for step in steps} == {8.0}
    assert [step["step"] for step in steps] == list(range(len(steps)))
    assert steps[1]["t"] == pytest.approx(1 / RATE)


def test_off_the_road_is_a_crash_and_the_drive_goes_on_two_seconds_further(
    road_trace, tmp_path, monkeypatch
):
    monkeypatch.setattr("vista_sim.drive.session.READING", 600.0)  # however slow this machine is
    with driving(road_trace, tmp_path / "run") as hands:
        hands.command("go")
        hands.steer(1.0)
        back = hands.until(lambda sees: sees["phase"] == "set_back")
        assert back["lateral"] == pytest.approx(0.0, abs=1e-6)
        hands.steer(0.0)
        # Whatever the driver does at once, there is time to read what happened.
        hands.command("pause")
        assert "off the road" in hands.until(lambda sees: sees["phase"] == "paused")["note"]
        hands.command("go")
        assert "off the road" in hands.until(lambda sees: sees["phase"] == "driving")["note"]
        hands.drive(0.2)
    first, second = episodes(hands)
    assert first["ending"] in ("off_road", "heading")
    assert second["start_s"] - first["end_s"] == pytest.approx(2 * 8.0, abs=0.3)


def test_restart_and_perturb(road_trace, tmp_path):
    with driving(road_trace, tmp_path / "run", seed=3) as hands:
        hands.command("go")
        hands.drive(0.3)
        hands.command("perturb")
        hands.until(lambda sees: "put" in sees["note"])
        hands.drive(0.2)
        hands.command("restart")
        hands.until(lambda sees: sees["phase"] == "ready" and sees["s"] == 0)
        hands.command("go")
        hands.drive(0.1)
    first, second, third = episodes(hands)
    assert [e["ending"] for e in (first, second, third)] == ["perturbed", "restarted", "stopped"]
    assert 0 < abs(second["start_lateral"]) <= 1.0
    assert second["start_s"] == pytest.approx(first["end_s"])
    assert third["start_s"] == 0


def test_the_policy_takes_over_where_the_human_was_and_steering_takes_back(road_trace, tmp_path):
    policy = Straight(CameraSpec((12, 30)))
    with driving(road_trace, tmp_path / "run", policy) as hands:
        hands.command("go")
        hands.steer(0.3)
        hands.drive(0.3)
        hands.steer(0.0)
        hands.command("hand_over")
        hands.until(lambda sees: sees["driver"] == "policy")
        hands.drive(0.5)
        hands.steer(0.5)
        hands.until(lambda sees: sees["driver"] == "human")
        hands.drive(0.1)
    assert [e["driver"] for e in episodes(hands)] == ["human", "policy", "human"]
    assert [e["ending"] for e in episodes(hands)] == ["handed_over", "handed_over", "stopped"]
    assert set(policy.seen) == {(12, 30, 3)}
    assert policy.resets == 1
    steps = hands.run.steps.to_pylist()
    of = {k: [step for step in steps if step["episode"] == k] for k in range(3)}
    assert len(policy.seen) == pytest.approx((len(of[1]) - 1) / 5, abs=1)  # at 10 Hz of 50
    for before, after in ((0, 1), (1, 2)):  # the car goes on as it was
        last, first = of[before][-1], of[after][0]
        assert first["step"] == 0
        assert first["t"] == 0
        for name in ("x", "y", "yaw", "speed", "tire_angle", "s", "lateral"):
            assert first[name] == last[name]


def test_a_policy_that_breaks_gives_the_wheel_back(road_trace, tmp_path):
    with driving(road_trace, tmp_path / "run", Broken()) as hands:
        hands.command("go")
        hands.drive(0.1)
        hands.command("hand_over")
        sees = hands.until(lambda sees: "failed" in sees["note"])
        assert (sees["phase"], sees["driver"]) == ("paused", "human")
        assert "no <b>idea</b>" in sees["note"]
        hands.command("go")
        hands.drive(0.1)
    assert [e["driver"] for e in episodes(hands)] == ["human", "human"]


class UnreadyTwice(Straight):
    """Cannot be reset a second time."""

    def reset(self):
        super().reset()
        if self.resets > 1:
            raise RuntimeError("not again")


def test_a_policy_that_cannot_begin_anew_after_a_crash_gives_the_wheel_back(road_trace, tmp_path):
    with driving(road_trace, tmp_path / "run", UnreadyTwice(curvature=0.1)) as hands:
        hands.command("go")
        hands.drive(0.1)
        hands.command("hand_over")
        sees = hands.until(lambda sees: "failed" in sees["note"])
        assert "not again" in sees["note"]
        assert (sees["phase"], sees["driver"]) == ("paused", "human")
        hands.command("go")
        hands.until(lambda sees: sees["phase"] == "driving")
    assert [e["driver"] for e in episodes(hands)][:2] == ["human", "policy"]


class AnswersNothing(Straight):
    def act(self, observation, car=None):
        return self.answer


@pytest.mark.parametrize("answer", [None, 0.1])
def test_a_policy_that_answers_nothing_gives_the_wheel_back(road_trace, tmp_path, answer):
    policy = AnswersNothing()
    policy.answer = answer
    with driving(road_trace, tmp_path / "run", policy) as hands:
        hands.command("go")
        hands.drive(0.1)
        hands.command("hand_over")
        sees = hands.until(lambda sees: "failed" in sees["note"])
        assert (sees["phase"], sees["driver"]) == ("paused", "human")


def test_commands_without_end_leave_a_drive_that_goes_on(road_trace, tmp_path):
    policy = Straight(CameraSpec((12, 30)))
    rng = np.random.default_rng(2)
    with driving(road_trace, tmp_path / "run", policy) as hands:
        for name in rng.choice([name for name in COMMANDS if name != "end"], 150):
            hands.command(str(name))
            hands.steer(float(rng.uniform(-1, 1)), throttle=1.0)
            time.sleep(0.005)
        time.sleep(0.1)
        hands.steer(0.0)
        hands.command("restart")
        hands.until(lambda sees: sees["phase"] == "ready" and sees["s"] == 0)
        hands.command("go")
        hands.until(lambda sees: sees["phase"] == "driving" and sees["s"] > 1)
    run = hands.run
    assert run.episodes["episode"].to_pylist() == list(range(run.episodes.num_rows))
    assert set(run.steps["episode"].to_pylist()) == set(run.episodes["episode"].to_pylist())


def test_without_a_policy_there_is_nobody_to_hand_over_to(road_trace, tmp_path):
    with driving(road_trace, tmp_path / "run") as hands:
        hands.command("hand_over")
        sees = hands.until(lambda sees: sees["note"])
        assert "--policy" in sees["note"]
        assert sees["driver"] == "human"


def test_pedals_where_the_speed_is_free(road_trace, tmp_path):
    with driving(road_trace, tmp_path / "run", speed="free") as hands:
        hands.command("go")
        hands.steer(0.0, brake=1.0)
        hands.until(lambda sees: sees["speed"] == 0.0)
        stood = hands.sees["s"]
        hands.drive(0.1)
        assert hands.sees["s"] == pytest.approx(stood, abs=0.01)
        hands.steer(0.0, throttle=1.0)
        hands.until(lambda sees: sees["speed"] > 2.0)
    speeds = np.array(hands.run.steps["speed"].to_pylist())
    # The vehicle's own limits: 8 m/s² and 3 m/s².
    assert np.diff(speeds).min() == pytest.approx(-8.0 / RATE)
    assert np.diff(speeds).max() == pytest.approx(3.0 / RATE)


def test_the_end_of_the_road_is_the_end_until_it_is_driven_again(road_trace, tmp_path):
    with driving(road_trace, tmp_path / "run", Straight()) as hands:
        hands.session.policy = None
        target = hands.session.course
        hands.command("go")
        target.stage.restart(target.car.section.end_s - 1.0)
        sees = hands.until(lambda sees: sees["phase"] == "finished")
        assert sees["note"] == "end of trace"
        hands.command("restart")
        hands.until(lambda sees: sees["phase"] == "ready" and sees["s"] == 0)


def test_scenarios_are_driven_case_by_case(road_trace, tmp_path):
    file = tmp_path / "two.toml"
    file.write_text(
        'format = "vista-scenario/1"\nname = "two"\nmode = "recovery"\n'
        f'traces = "{road_trace}"\nstart.s = 20.0\n'
        "start.lateral = { values = [-0.5, 0.5] }\nrecovery.within_time = 1.5\n",
        encoding="utf-8",
    )
    with driving(file, tmp_path / "run") as hands:
        assert hands.sees["lateral"] == pytest.approx(-0.5)
        hands.command("next")
        hands.until(lambda sees: sees["lateral"] == pytest.approx(0.5))
        hands.command("go")
        hands.until(lambda sees: sees["phase"] == "finished")
    (row,) = hands.run.episodes.to_pylist()
    assert row["scenario"] == "two"
    assert row["ending"] in ("recovered", "not_recovered")
    assert row["recovered"] == (row["ending"] == "recovered")


def test_what_was_seen_is_filmed_with_its_steps(road_trace, tmp_path):
    filmer = Filmer(tmp_path / "run" / "views")
    filmer.__enter__()
    with driving(road_trace, tmp_path / "run", filmer=filmer) as hands:
        hands.command("go")
        hands.drive(1.0)
    run = hands.run
    frames = run.frames.to_pylist()
    assert {f["view"] for f in frames} == {"scene", "camera", "recorded", "validity"}
    steps = {(s["episode"], s["step"]) for s in run.steps.to_pylist()}
    for f in frames:
        assert (f["episode"], f["step"]) in steps
        assert f["step"] % 5 == 0
        assert (tmp_path / "run" / "views" / f["file"]).is_file()


def test_what_a_scenarios_camera_saw_is_filmed_beside_it(road_trace, tmp_path):
    rear = ['kind = "camera"', "size = [20, 30]", 'fov = "60 deg"']
    path = suite_files.scenario(tmp_path, road_trace, "rear", sensors__rear=rear)
    filmer = Filmer(tmp_path / "run" / "views")
    filmer.__enter__()
    with driving(path, tmp_path / "run", filmer=filmer) as hands:
        hands.command("go")
        hands.drive(0.5)
    frames = hands.run.frames.to_pylist()
    seen = [f["step"] for f in frames if f["view"] == "camera"]
    assert [f["step"] for f in frames if f["view"] == "camera.rear"] == seen != []


def test_targets(road_trace, tmp_path):
    target = read_target(str(road_trace), 0.05, None)
    assert [case.trace for case in target.cases] == [road_trace]
    assert target.cases[0].settings.dt == 0.05
    assert read_target("proving-ground-unseen", 0.05, "free").name == "proving-ground-unseen"
    assert read_target("sample:proving-ground", 0.05, None).name == "proving-ground"
    assert len(read_target("recovery", 0.05, None).cases) > 1
    with pytest.raises(VistaError, match="no-such-thing"):
        read_target("no-such-thing", 0.05, None)
    with pytest.raises(VistaError, match="choose recorded or free"):
        read_target(str(road_trace), 0.05, "fast")
    with pytest.raises(TraceError, match="no sample"):
        read_target("sample:nowhere", 0.05, None)


def test_a_step_that_takes_too_long_is_not_caught_up_with(road_trace, tmp_path):
    with driving(road_trace, tmp_path / "run") as hands:
        car = hands.session.course.car
        calls = []
        observe = car.observe

        def slow():
            calls.append(True)
            time.sleep(0.05)  # more than a step of 0.02 s
            observe()

        car.observe = slow
        hands.command("go")
        sees = hands.until(lambda sees: sees["pace"] < 0.7)
        assert sees["steps"] == pytest.approx(len(calls), abs=1)
