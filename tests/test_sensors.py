"""Several sensors, and one of a kind that is made in these tests alone."""

import copy
import json
import math
from dataclasses import dataclass

import av
import gymnasium
import numpy as np
import pytest
import torch
from conftest import write_road
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import SyncVectorEnv
from range_sensor import RangeSensor, RangeSpec
from same_bytes import assert_same

import vista_sim
from vista_sim import CameraSpec
from vista_sim.envs.lane_following import lane_following_env, lane_following_vector_env
from vista_sim.errors import PolicyError, WorldError
from vista_sim.policies import Action, SocketPolicy, load_policy
from vista_sim.policies.policy import check_policy
from vista_sim.runs.run import read_run
from vista_sim.sensors import registry
from vista_sim.sensors.camera import Camera
from vista_sim.sensors.randomization import Randomization
from vista_sim.sensors.registry import make_sensor, read_spec, register, spec_to_json
from vista_sim.sensors.spec import SensorSpec, StateSpec
from vista_sim.transforms import camera_mount

ID, SCENARIO = "VistaSim/LaneFollowing-v0", "VistaSim/Scenario-v0"
NEEDS_CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
BACK = camera_mount(0.0, 0.0, 1.2, yaw=0.6)
ALL = {
    "camera": CameraSpec((24, 48)),
    "rear": CameraSpec((20, 30), fov=1.0, mount=BACK),
    "state": StateSpec(),
    "range": RangeSpec(),
}
CASES = """format = "vista-scenario/1"
name = "faulty"
traces = {traces}
seeds = 3
time_limit = 1.2
[image]
noise = 5
[sensors]
dropped_frames = 0.4
late_frames = 0.1
mount_yaw = 0.03
"""

pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture(scope="module")
def traces(road_trace, tmp_path_factory):
    other = tmp_path_factory.mktemp("traces") / "other"
    return [road_trace, write_road(other, fov=0.9, size=(40, 60), camera="dash", length=60.0)]


@pytest.fixture(scope="module")
def scenario(traces, tmp_path_factory):
    path = tmp_path_factory.mktemp("scenario") / "faulty.toml"
    path.write_text(CASES.format(traces=[str(trace) for trace in traces]))
    return path


def test_all_sensors_are_observed_beside_each_other(road_trace):
    env = gymnasium.make(ID, traces=[road_trace], sensors=ALL)
    check_env(env.unwrapped, skip_render_check=True)
    seen, _ = env.reset(seed=3, options={"s": 20.0, "lateral": 0.5})
    car = env.unwrapped.car
    assert seen in env.observation_space
    wide, looking_back = Camera(road_trace, "front", (24, 48)), ALL["rear"]
    back = Camera(road_trace, "front", looking_back.size, looking_back.fov, looking_back.mount)
    where = car.scene_time, car.offset
    np.testing.assert_array_equal(seen["camera"], wide.render(*where)[0])
    np.testing.assert_array_equal(seen["rear"], back.render(*where)[0])
    np.testing.assert_array_equal(seen["state"], car.state_vector())
    assert seen["state"][0] == pytest.approx(0.5, abs=1e-3)


def test_a_range_is_that_of_the_ground_before_the_car(road_trace):
    """On even ground the depth of a ray follows from how steeply it goes down."""
    sensors = {"range": RangeSpec(keep=0.0)}
    env = gymnasium.make(ID, traces=[road_trace], sensors=sensors).unwrapped
    seen, _ = env.reset(options={"s": 20.0, "lateral": 0.0, "heading": 0.0})
    spec = RangeSpec().cameras[0]
    focal = 0.5 * spec.size[1] / math.tan(0.5 * spec.fov)
    height, pitch = 1.4, 0.08  # of `write_road`'s camera
    below = spec.size[0] / 2 - np.array([0.0, 1.0])  # px below the centre: the last row's edges
    down = below / focal  # y / z of the rays
    nearest, farthest = height / (down * math.cos(pitch) + math.sin(pitch))
    assert (seen["range"] > 0.99 * nearest).all()
    assert (seen["range"] < 1.01 * farthest).all()


def test_a_sensor_remembers_until_the_next_reset(road_trace):
    worlds = {}
    for keep in (0.0, 0.5):
        world = vista_sim.World([road_trace])
        car = world.spawn_agent()
        car.spawn_sensor("range", RangeSpec(keep=keep))
        found = worlds[keep] = []
        for _ in range(2):
            car.reset(s=35.0, lateral=0.0, heading=0.0)
            found.append(car.observations["range"])
            for step in range(3):
                car.step(Action(0.1 if step else 0.0))
                found.append(car.observations["range"])
    plain, smooth = np.array(worlds[0.0]), np.array(worlds[0.5])
    expected = plain[:4].astype(np.float64)
    for i in range(1, 4):
        expected[i] = 0.5 * expected[i - 1] + 0.5 * plain[i]
    np.testing.assert_allclose(smooth[:4], expected, rtol=1e-5)
    np.testing.assert_array_equal(smooth[:4], smooth[4:])


@pytest.mark.parametrize(
    "randomization", [None, Randomization(0.5, noise=4.0, mount_jitter=(0.1, 0.02))]
)
def test_many_cars_read_what_each_would_alone(traces, randomization):
    settings = {
        "traces": traces,
        "sensors": ALL,
        "perturb_lateral": 1.5,
        "section": (0.0, 4.0),
        "randomization": randomization,
    }
    compare_with_single_ones(ID, settings, 25)


def test_many_cases_read_what_each_would_alone(scenario):
    compare_with_single_ones(SCENARIO, {"scenario": scenario, "sensors": ALL}, 20)


def compare_with_single_ones(name, settings, steps, count=3):
    """A vector environment and Gymnasium's own, of single ones, through resets."""
    many = gymnasium.make_vec(
        name, num_envs=count, vectorization_mode="vector_entry_point", workers=2, **settings
    )
    single = SyncVectorEnv([lambda: gymnasium.make(name, **settings)] * count)
    rng = np.random.default_rng(5)
    assert_same(many.reset(seed=7)[0], single.reset(seed=7)[0])
    for step in range(steps):
        if step == steps // 2:
            many = copy.deepcopy(many)
        actions = rng.uniform(-1, 1, many.action_space.shape).astype(np.float32)
        ours, theirs = many.step(actions), single.step(actions)
        assert_same(ours[0], theirs[0])
        for a, b in zip(ours[1:4], theirs[1:4], strict=True):
            np.testing.assert_array_equal(a, b)
    many.close()
    single.close()


def test_a_spec_survives_its_json():
    for spec in ALL.values():
        assert read_spec(spec_to_json(spec), "it", PolicyError) == spec
    assert spec_to_json(RangeSpec(rays=3))["kind"] == "range"
    with pytest.raises(PolicyError, match=r"it: kind is 'sonar'; known are camera, range, state"):
        read_spec({"kind": "sonar"}, "it", PolicyError)
    with pytest.raises(PolicyError, match=r"it is not usable \(.*'beams'"):
        read_spec({"kind": "range", "beams": 3}, "it", PolicyError)


def test_a_spec_of_tuples_survives_its_json():
    @dataclass(frozen=True)
    class BeamsSpec(SensorSpec):
        kind = "beams"
        heights: tuple[tuple[float, ...], ...] = ((0.1,),)

    spec = BeamsSpec(((0.5,), (1.0, 2.0)))
    assert BeamsSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec


def test_a_kind_is_registered_once():
    class OtherSpec(SensorSpec):
        kind = "range"

    with pytest.raises(WorldError, match="a sensor of the kind 'range' already"):
        register(OtherSpec, type(None))
    OtherSpec.kind = "sonar"
    with pytest.raises(WorldError, match="no sensor of the kind 'sonar'"):
        make_sensor(OtherSpec(), 1)


def test_an_installed_package_brings_its_kind_along(tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "_kinds", registry._kinds.copy())
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "radar_kind.py").write_text(
        "from range_sensor import RangeSensor, RangeSpec\n"
        "class RadarSpec(RangeSpec):\n"
        "    kind = 'radar'\n"
        "def radar():\n"
        "    return RadarSpec, RangeSensor\n"
    )
    about = tmp_path / "radar_kind-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: radar-kind\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[vista_sim.sensors]\nradar = radar_kind:radar\n")
    spec = read_spec({"kind": "radar", "rays": 5}, "it", PolicyError)
    assert (type(spec).__name__, spec.rays) == ("RadarSpec", 5)
    assert isinstance(make_sensor(spec, 1), RangeSensor)


@pytest.mark.parametrize(
    ("sensors", "said"),
    [
        ([CameraSpec()], "give specs by name"),
        ({"rear": CameraSpec()}, "first camera is observed as 'camera', not as 'rear'"),
        ({"to the rear": StateSpec()}, "sensor name is 'to the rear'; it must be 1 to 40 letters"),
        ({"speed": StateSpec()}, "there is an observation 'speed' already"),
        ({"camera": StateSpec()}, "sensor 'camera' is StateSpec"),
        ({"state": RangeSpec()}, "sensor 'state' is RangeSpec"),
        ({"range": {"rays": 3}}, "sensor 'range' is {'rays': 3}; give a spec"),
    ],
)
def test_sensors_that_cannot_be_are_named(road_trace, sensors, said):
    with pytest.raises(WorldError, match=said):
        gymnasium.make(ID, traces=[road_trace], sensors=sensors)


def test_sensors_and_their_short_forms_are_not_given_together(road_trace):
    for name, value in (("size", (24, 48)), ("fov", 1.0), ("observe", "state")):
        with pytest.raises(WorldError, match=f"{name} is given beside sensors"):
            gymnasium.make(ID, traces=[road_trace], sensors=ALL, **{name: value})


def test_what_every_camera_saw_is_filmed(road_trace, tmp_path):
    env = lane_following_env(road_trace, sensors=ALL)
    env = vista_sim.RecordRun(env, tmp_path / "run", views=("camera", "validity"))
    seen = [env.reset(seed=1, options={"s": 20.0, "lateral": 0.3, "heading": 0.0})[0]]
    seen += [env.step(np.zeros(1, np.float32))[0] for _ in range(3)]
    env.close()
    run = read_run(tmp_path / "run")
    frames = run.frames.to_pylist()
    assert {row["view"] for row in frames} == {"camera", "camera.rear", "validity"}
    for name, view in (("camera", "camera"), ("rear", "camera.rear")):
        (file,) = {row["file"] for row in frames if row["view"] == view}
        with av.open(str(run.video(file))) as container:
            images = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        assert len(images) == len(seen)
        for image, step in zip(images, seen, strict=True):
            assert np.abs(image.astype(float) - step[name]).mean() < 6  # as H.264 keeps it


class Steering:
    """Steers by weights for the readings of two sensors, and notes what it saw."""

    sensors = {"range": RangeSpec(), "state": StateSpec()}  # noqa: RUF012

    def __init__(self, weights):
        self.weights, self.seen = weights, []

    def reset(self):
        pass

    def act(self, observation, car=None):
        seen = np.concatenate([observation[name] for name in self.sensors])
        self.seen.append(seen)
        return Action(float(seen @ self.weights))


@pytest.fixture(scope="module")
def trained(road_trace):
    """Weights for what the reference driver does, by least squares over a few of its drives."""
    env = lane_following_env(road_trace, sensors=Steering.sensors)
    expert, rows, answers = load_policy("expert"), [], []
    for lateral in (-0.6, 0.0, 0.6):
        seen, _ = env.reset(seed=0, options={"s": 30.0, "lateral": lateral, "heading": 0.0})
        for _ in range(25):
            answer = expert.act(seen, env.car).curvature
            rows.append(np.concatenate([seen[name] for name in Steering.sensors]))
            answers.append(answer)
            seen, *_ = env.step(np.array([answer / env.curvature_limit], np.float32))
    gram = np.array(rows).T @ np.array(rows) + 1e-3 * np.eye(len(rows[0]))
    return np.linalg.solve(gram, np.array(rows).T @ np.array(answers))


def test_a_trained_policy_drives_by_sensors_of_its_own(road_trace, trained):
    policy = Steering(trained)
    report = vista_sim.evaluate(policy, road_trace, recovery=False, section=(3.0, 6.0))
    assert report.metrics["crashes"] == 0
    world = vista_sim.World([road_trace])
    car = world.spawn_agent()
    for name, spec in Steering.sensors.items():
        car.spawn_sensor(name, spec)
    car.reset(s=24.0, lateral=0.0, heading=0.0)
    there = np.concatenate([car.observations[name] for name in Steering.sensors])
    np.testing.assert_allclose(policy.seen[0], there, rtol=1e-6)


def test_a_served_policy_says_what_it_observes(road_trace, serving, trained):
    served = Steering(trained)
    policy = SocketPolicy(str(serving(served)))
    assert policy.sensors == Steering.sensors
    assert policy.camera is None
    env = lane_following_env(road_trace, sensors=policy.sensors)
    seen, _ = env.reset(seed=2)
    policy.reset()
    action = policy.act(seen, env.car)
    np.testing.assert_array_equal(served.seen[0], np.concatenate([seen["range"], seen["state"]]))
    assert action == Steering(trained).act(seen)
    policy.close()


def test_a_policy_whose_sensors_cannot_be_is_refused():
    class Blind(Steering):
        sensors = {"rear": CameraSpec()}  # noqa: RUF012

    with pytest.raises(
        PolicyError, match="a policy whose sensors cannot be used: the first camera is observed as"
    ):
        check_policy(Blind(None), "it returned")


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=NEEDS_CUDA)])
@pytest.mark.parametrize("randomization", [None, Randomization(0.5, noise=4.0)])
def test_a_learner_reads_tensors_where_the_views_are_made(traces, device, randomization):
    settings = {
        "traces": traces,
        "sensors": {"camera": CameraSpec((24, 48)), "state": StateSpec(), "range": RangeSpec()},
        "world_options": {"backend": "torch", "device": device},
        "randomization": randomization,
        "perturb_lateral": 1.5,
        "section": (0.0, 4.0),
    }
    plain, kept = (lane_following_vector_env(3, tensors=on, **settings) for on in (False, True))
    steering = torch.nn.Linear(24 * 48 * 3, 1, device=device)
    wanted, seen = plain.reset(seed=4)[0], kept.reset(seed=4)[0]
    for _ in range(12):
        assert {value.device.type for value in seen.values()} == {device}
        assert_same({name: value.cpu().numpy() for name, value in seen.items()}, wanted)
        with torch.no_grad():
            actions = steering(seen["camera"].flatten(1) / 255.0).tanh().cpu().numpy()
        ours, theirs = kept.step(actions), plain.step(actions)
        np.testing.assert_array_equal(ours[4]["validity"], theirs[4]["validity"])
        seen, wanted = ours[0], theirs[0]


def test_tensors_are_made_by_the_torch_backend_alone(road_trace):
    with pytest.raises(WorldError, match="tensors are asked for of backend 'numba'"):
        lane_following_vector_env(2, traces=[road_trace], tensors=True)
    with pytest.raises(WorldError, match="backend 'numba' runs on the cpu only"):
        lane_following_vector_env(2, traces=[road_trace], world_options={"device": "cuda"})
