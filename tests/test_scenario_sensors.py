"""Sensors that a scenario gives the car beside the policy's: `[sensors.rear]`."""

import json
import logging
import math
import pickle

import av
import gymnasium
import numpy as np
import pytest
import suite_files
from conftest import write_road
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import SyncVectorEnv
from range_sensor import RangeSpec
from same_bytes import assert_same
from suite_policies import Seeing, Straight

import vista_sim
from vista_sim import CameraSpec
from vista_sim.cli import main
from vista_sim.drive.course import Course, Target
from vista_sim.envs.scenario import scenario_env
from vista_sim.errors import RunError, ScenarioError
from vista_sim.policies import Action
from vista_sim.runs.run import read_run
from vista_sim.scenarios import load_suite, stage
from vista_sim.scenarios.case import Case
from vista_sim.sensors.camera import Camera
from vista_sim.sensors.spec import StateSpec
from vista_sim.transforms import camera_mount

ID = "VistaSim/Scenario-v0"
REAR = [
    'kind = "camera"',
    "size = [20, 30]",
    'fov = "60 deg"',
    'mount = { x = "-50 cm", y = 0.0, z = 1.2, yaw = "30 deg" }',
]
AHEAD = ['kind = "range"', "rays = 12"]
SPEC = CameraSpec((20, 30), math.pi / 3, camera_mount(-0.5, 0.0, 1.2, yaw=math.pi / 6))

pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture(autouse=True)
def _quiet(caplog):
    caplog.set_level(logging.ERROR)  # the ground is assumed flat where nothing was baked


@pytest.fixture
def rear(tmp_path, road_trace):
    """A scenario with a camera to the left and a sensor of another kind."""
    tables = {"start": ["s = 20", "lateral = 0.5"]}
    return suite_files.scenario(
        tmp_path, road_trace, "rear", **tables, sensors__rear=REAR, sensors__ahead=AHEAD
    )


def test_a_file_says_what_a_spec_does(rear):
    further = load_suite(rear).cases()[0].settings.sensors.further
    assert [one.name for one in further] == ["rear", "ahead"]
    found = further[0].spec
    assert (found.size, found.lens, found.used) == (SPEC.size, None, None)
    assert found.fov == pytest.approx(SPEC.fov)
    np.testing.assert_allclose(found.mount, SPEC.mount, atol=1e-15)
    assert further[1].spec == RangeSpec(rays=12)


def test_a_case_holds_them_wherever_it_is_sent(rear):
    (case,) = load_suite(rear).cases()
    sent = json.loads(json.dumps(case.to_json()))
    assert sent["settings"]["sensors"]["rear"]["kind"] == "camera"
    assert Case.from_json(sent) == pickle.loads(pickle.dumps(case)) == case
    rear.write_text(rear.read_text().replace("60 deg", "61 deg"))
    assert load_suite(rear).cases()[0] != case


def test_a_car_has_them_beside_the_camera_of_its_policy(rear, road_trace):
    (case,) = load_suite(rear).cases()
    for own in (CameraSpec((24, 48)), None):
        staged = stage(case, own)
        staged.step(Action(0.01))
        car = staged.car
        expected = {"rear", "ahead", "speed"} | ({"camera"} if own else set())
        assert set(staged.observations) == expected
        view = Camera(road_trace, "front", SPEC.size, SPEC.fov, SPEC.mount)
        seen, _ = view.render(car.scene_time, car.offset)
        np.testing.assert_array_equal(staged.observations["rear"], seen)


def test_a_file_goes_over_the_sensors_of_the_one_it_includes(rear, tmp_path):
    top = tmp_path / "top.toml"
    head = f'format = "vista-scenario/1"\nname = "top"\ninclude = "{rear.name}"\n'
    top.write_text(head + "[sensors.rear]\nsize = [10, 12]\n[sensors.ahead]\nrays = 5\n")
    cameras = [one.spec for one in load_suite(top).cases()[0].settings.sensors.further]
    assert (cameras[0].size, cameras[1].rays) == ((10, 12), 5)
    assert cameras[0].fov == pytest.approx(SPEC.fov)
    top.write_text(
        head + '[sensors.ahead]\nkind = "camera"\nsize = [8, 9]\n'
    )  # no ray of the other stays
    assert load_suite(top).cases()[0].settings.sensors.further[1].spec == CameraSpec((8, 9))


def test_an_environment_observes_them_unless_it_is_told_what(rear):
    env = gymnasium.make(ID, scenario=rear, size=(24, 48))
    check_env(env.unwrapped, skip_render_check=True)
    assert set(env.observation_space) == {"camera", "rear", "ahead", "speed"}
    assert env.observation_space["rear"].shape == (20, 30, 3)
    blind = gymnasium.make(ID, scenario=rear, observe="state")
    seen, info = blind.reset(seed=0)
    assert set(seen) == {"state", "rear", "ahead", "speed"}
    assert "validity" not in info
    told = gymnasium.make(ID, scenario=rear, sensors={"state": StateSpec()})
    assert set(told.reset(seed=0)[0]) == {"state", "speed"}


def test_all_cases_of_a_suite_are_observed_alike(tmp_path, road_trace):
    one = suite_files.scenario(tmp_path, road_trace, "one", sensors__rear=REAR)
    two = suite_files.scenario(tmp_path, road_trace, "two", sensors__ahead=AHEAD)
    env = scenario_env(suite_files.suite(tmp_path, "both", [one, two]), size=(24, 48))
    for case in range(2):
        seen, _ = env.reset(options={"case": case})
        assert seen in env.observation_space
        assert set(seen) == {"camera", "rear", "ahead", "speed"}
    three = suite_files.scenario(tmp_path, road_trace, "three", sensors__rear=AHEAD)
    with pytest.raises(ScenarioError, match=r"three\.toml:4: sensors\.rear: is another sensor"):
        scenario_env(suite_files.suite(tmp_path, "all", [one, two, three]))


def test_many_cases_read_what_each_would_alone(tmp_path, road_trace):
    other = write_road(tmp_path / "other", fov=0.9, size=(40, 60), camera="dash", length=60.0)
    faults = ["dropped_frames = 0.4", "late_frames = 0.1", "mount_yaw = 0.03"]
    top = ["time_limit = 1.2", "seeds = 3"]
    one = suite_files.scenario(
        tmp_path, road_trace, "one", top=top, sensors=faults, image=["noise = 5"],
        sensors__rear=REAR,
    )  # fmt: skip
    two = suite_files.scenario(tmp_path, other, "two", top=top, sensors__ahead=AHEAD)
    suite = suite_files.suite(tmp_path, "both", [one, two])
    settings = {"scenario": suite, "size": (24, 48)}
    many = gymnasium.make_vec(
        ID, num_envs=3, vectorization_mode="vector_entry_point", workers=2, **settings
    )
    single = SyncVectorEnv([lambda: gymnasium.make(ID, **settings)] * 3)
    rng = np.random.default_rng(5)
    assert_same(many.reset(seed=7)[0], single.reset(seed=7)[0])
    for _ in range(20):
        actions = rng.uniform(-1, 1, many.action_space.shape).astype(np.float32)
        ours, theirs = many.step(actions), single.step(actions)
        assert_same(ours[0], theirs[0])
        np.testing.assert_array_equal(ours[1], theirs[1])
    many.close()
    single.close()


class Looking(Straight):
    """Notes what it sees."""

    def __init__(self):
        self.seen = []

    def act(self, observation, car=None):
        self.seen.append(observation["rear"].copy())
        return super().act(observation, car)


def test_what_they_saw_is_filmed_and_shown_to_the_policy(tmp_path, road_trace):
    path = suite_files.scenario(
        tmp_path, road_trace, "rear", top=["time_limit = 0.5"], sensors__rear=REAR
    )
    policy = Looking()
    vista_sim.evaluate(policy, path, tmp_path / "run")
    run = read_run(tmp_path / "run")
    frames = [row for row in run.frames.to_pylist() if row["view"] == "camera.rear"]
    (file,) = {row["file"] for row in frames}
    with av.open(str(run.video(file))) as container:
        images = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert [row["step"] for row in frames] == list(range(6))
    for image, seen in zip(images, policy.seen, strict=False):
        assert np.abs(image.astype(float) - seen).mean() < 6  # as H.264 keeps it


class Rearward(Seeing):
    """Has a rear camera itself."""

    def __init__(self, spec):
        self.sensors = {"camera": self.camera, "rear": spec}


def test_a_policy_may_ask_for_the_same_sensor_but_not_for_another(tmp_path, rear):
    (case,) = load_suite(rear).cases()
    same = Rearward(case.settings.sensors.further[0].spec)
    assert vista_sim.evaluate(same, rear).suite.count("broke") == 0
    said = r"rear\.toml:7: sensors\.rear: is another sensor than the one that the policy"
    with pytest.raises(ScenarioError, match=said):
        vista_sim.evaluate(Rearward(CameraSpec((20, 30))), rear, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    target = Target("rear", (case,), True)
    with pytest.raises(ScenarioError, match=said):
        Course(target, (36, 64), Rearward(CameraSpec((20, 30))).sensors)
    assert set(Course(target, (36, 64), same.sensors).car.observations) == {
        "camera", "policy", "rear", "ahead", "speed",
    }  # fmt: skip


def test_a_command_says_in_one_line_what_clashes(tmp_path, road_trace, capsys):
    camera = ['kind = "camera"', "size = [20, 30]"]
    path = suite_files.scenario(tmp_path, road_trace, "own", sensors__camera=camera)
    out = tmp_path / "run"
    arguments = ["--suite", str(path), "--policy", "suite_policies:seeing", "--out", str(out)]
    with pytest.raises(SystemExit) as ended:
        main(["evaluate", *arguments, "--unbaked"])
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert f"{path}:4: sensors.camera: is another sensor than the one that the policy" in line
    assert (ended.value.code, out.exists()) == (2, False)


def test_a_run_goes_on_with_the_same_sensors_alone(tmp_path, road_trace):
    def write(rear):
        return suite_files.scenario(
            tmp_path, road_trace, "rear", top=["time_limit = 0.3"], sensors__rear=rear
        )

    policy = "suite_policies:straight"
    options = {"video": False, "workers": 0, "same_policy": True}
    vista_sim.evaluate(policy, write(REAR), tmp_path / "run", **options)
    again = vista_sim.evaluate(policy, write(REAR), tmp_path / "run", resume=True, **options)
    assert again.suite.resumed == 1
    changed = [line.replace("[20, 30]", "[20, 32]") for line in REAR]
    with pytest.raises(RunError, match="cannot be resumed: settings of case rear/road"):
        vista_sim.evaluate(policy, write(changed), tmp_path / "run", resume=True, **options)
