"""Policies that are trained with sensors of any kind, and driven by them afterwards."""

import json
import math
import shutil

import cv2
import numpy as np
import pytest
import torch
from practising import EYE, HEAD
from range_sensor import RangeSpec
from safetensors.torch import load_file
from vista_agents.cli import main
from vista_agents.export import Export, export_policy
from vista_agents.imitation.behaviour_cloning import RecordedDrive
from vista_agents.imitation.dagger import DaggerConfig
from vista_agents.imitation.guided import GuidedConfig, StartConfig
from vista_agents.imitation.recipes import BehaviourCloning, Dagger, Guided, learn, plan
from vista_agents.networks.cnn import PilotNetConfig
from vista_agents.networks.inputs import random_inputs
from vista_agents.networks.mlp import ReadingMLPConfig, StateMLPConfig
from vista_agents.networks.network import NetworkConfig
from vista_agents.networks.recurrent import RecurrentConfig
from vista_agents.networks.registry import build_network, network_from_json, network_to_json
from vista_agents.networks.sensors import network_for_sensors
from vista_agents.policy import NetworkPolicy, PolicySpec, load
from vista_agents.reinforcement import curves as reward_curves
from vista_agents.reinforcement.ppo import PPO, RecurrentPPO, learn_ppo
from vista_agents.reinforcement.reinforce import Reinforce, learn_reinforce
from vista_agents.reinforcement.settings import PracticeConfig
from vista_agents.training import AugmentConfig, TrainingConfig
from vista_agents.training import curves as imitation_curves
from vista_agents.training.augment import Augmentation
from vista_agents.training.errors import TrainingError
from vista_agents.weights import WEIGHTS

import vista_sim
from vista_sim import CameraSpec
from vista_sim.envs.lane_following import lane_following_env
from vista_sim.errors import PolicyError
from vista_sim.geometry.bake import bake
from vista_sim.geometry.store import INVERSE_DEPTH
from vista_sim.policies import SocketPolicy, load_policy
from vista_sim.sensors.spec import StateSpec
from vista_sim.traces.trace import Trace

CNN = NetworkConfig(PilotNetConfig((24, 48), (8, 8), (5, 3), (2, 2), features=16))
RANGES, CAMERA = {"range": RangeSpec(farthest=8.0)}, {"camera": CameraSpec((24, 48), 1.0)}
BOTH = {**CAMERA, **RANGES}
ALL = {
    "camera": CameraSpec((16, 32), 1.0),
    "rear": CameraSpec((20, 40), 0.8),
    "state": StateSpec(),
    "range": RangeSpec(),
}
TILT = 0.3  # the road's left side is so much higher, m per m


@pytest.fixture(scope="module", autouse=True)
def _undrawn():
    """Pictures of curves would take most of a short training's time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(imitation_curves, "picture", lambda rows: b"")
        patch.setattr(reward_curves, "picture", lambda rows: b"")
        yield


@pytest.fixture(scope="module")
def banked(road_trace, tmp_path_factory):
    """`road_trace` on ground that rises to the left of the car: ranges tell where it is."""
    folder = tmp_path_factory.mktemp("banked") / "road"
    shutil.copytree(road_trace, folder)
    baked = bake(folder, "front", geometry="ground")
    trace = Trace.open(folder)
    calibration = trace.cameras["front"].calibration
    lens, height = calibration.lens, calibration.T_vehicle_camera[2, 3]
    codes = np.load(baked / INVERSE_DEPTH)
    scale = json.loads((baked / "geometry.json").read_text())["scale"]
    # A plane's inverse depth is linear in the pixels: it is n.ray / height, n = (0, -tilt, 1).
    aside = (np.arange(codes.shape[2]) - lens.cx) / lens.fx
    tilted = codes * scale - np.where(codes > 0, TILT * aside / height, 0.0)
    np.save(baked / INVERSE_DEPTH, np.clip(np.rint(tilted / scale), 0, 65535).astype(np.uint16))
    return folder


class Killed(Exception):  # noqa: N818  # not an error
    pass


def guided(trace, out, sensors, seed=0, steps=150, killed_at=None, resume=False):
    """Train, and tell the losses."""
    losses = []

    def report(step, loss):
        losses.append(loss)
        if step == killed_at:
            raise Killed

    recipe = Guided(
        traces=(trace,),
        out=out,
        network=CNN,
        sensors=sensors,
        seed=seed,
        training=TrainingConfig(
            steps=steps,
            batch_size=64,
            learning_rate=5e-3,
            warmup=5,
            evaluate_every=50,
            checkpoint_every=2 if steps < 10 else 1000,
            threads=1,
        ),
        resume=resume,
        augment=AugmentConfig(augment=False),
        guided=GuidedConfig(StartConfig(1.2, 0.15), frames=512, rounds=1, refresh_every=1000),
        background=False,
    )
    learn(recipe, report)
    return losses


@pytest.fixture(scope="module")
def trained(banked, tmp_path_factory):
    """Policies that know the range alone, and the camera beside it; with their losses."""
    root = tmp_path_factory.mktemp("trained")
    found = {}
    for name, sensors in (("range", RANGES), ("both", BOTH)):
        found[name] = root / name, guided(banked, root / name, sensors)
    return found


def answers(policy, trace, lateral):
    """Curvature asked for at a place of a straight, beside the path, and what was read there."""
    env = lane_following_env(trace, sensors=policy.sensors)
    seen, _ = env.reset(options={"s": 12.0, "lateral": lateral, "heading": 0.0})
    policy.reset()
    return policy.act(seen).curvature, seen


@pytest.mark.parametrize("name", ["range", "both"])
def test_a_policy_learns_the_way_back_from_what_it_reads(trained, banked, name):
    folder, losses = trained[name]
    assert np.mean(losses[-20:]) < 0.5 * np.mean(losses[:5])
    policy = load_policy(folder)
    assert policy.sensors == {"range": RANGES, "both": BOTH}[name]
    left, seen = answers(policy, banked, 0.8)
    right, other = answers(policy, banked, -0.8)
    assert seen["range"].mean() < 0.8 * other["range"].mean()  # the ground is nearer on the left
    assert left < -0.01 < 0.01 < right


def test_a_policy_answers_to_each_of_its_sensors(trained, banked):
    policy = load_policy(trained["both"][0])
    asked, seen = answers(policy, banked, 0.8)
    _, other = answers(policy, banked, -0.8)
    for name in BOTH:
        changed = policy.act({**seen, name: other[name]}).curvature
        assert abs(changed - asked) > 1e-3, name
    with pytest.raises(PolicyError, match="drives by 'range', which is not observed"):
        policy.act({"camera": seen["camera"], "speed": seen["speed"]})
    with pytest.raises(PolicyError, match=r"'range' has shape \(3,\); this policy takes \(24,\)"):
        policy.act({**seen, "range": np.zeros(3, np.float32)})


@pytest.mark.parametrize("name", ["range", "both"])
def test_a_trained_policy_is_judged_and_served(trained, banked, serving, name):
    folder = trained[name][0]
    report = vista_sim.evaluate(folder, banked, recovery=False, section=(3.0, 7.0))
    assert report.metrics["crashes"] == 0
    served, here = SocketPolicy(str(serving(load_policy(folder)))), load_policy(folder)
    assert served.sensors == here.sensors
    env = lane_following_env(banked, sensors=served.sensors)
    seen, _ = env.reset(seed=2, options={"s": 20.0, "lateral": 0.5})
    for policy in (served, here):
        policy.reset()
    for _ in range(5):
        action = served.act(seen)
        assert action == here.act(seen)
        seen, *_ = env.step(np.array([action.curvature / env.curvature_limit], np.float32))
    served.close()


def test_the_same_seed_gives_the_same_weights(banked, tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        guided(banked, tmp_path / name, RANGES, seed, steps=3)
    a, b, c = (load_file(tmp_path / name / WEIGHTS) for name in "abc")
    assert all(torch.equal(a[key], b[key]) for key in a)
    assert not all(torch.equal(a[key], c[key]) for key in a)


def test_a_training_that_was_killed_ends_with_the_weights_of_one_that_was_not(banked, tmp_path):
    guided(banked, tmp_path / "whole", BOTH, steps=6)
    with pytest.raises(Killed):
        guided(banked, tmp_path / "killed", BOTH, steps=6, killed_at=5)
    guided(banked, tmp_path / "killed", BOTH, steps=6, resume=True)
    a, b = (load_file(tmp_path / name / WEIGHTS) for name in ("whole", "killed"))
    assert all(torch.equal(a[key], b[key]) for key in a)
    with pytest.raises(PolicyError, match="was made with another encoder"):
        guided(banked, tmp_path / "killed", RANGES, steps=6, resume=True)


def test_where_a_policy_looked_is_drawn_with_all_it_observes(trained, banked, tmp_path, capsys):
    out = tmp_path / "picture.png"
    asked = ["--trace", str(banked), "--t", "3", "-o", str(out)]
    main(["saliency", "--policy", str(trained["both"][0]), *asked])
    assert cv2.imread(str(out)).shape[1] == 2 * 2 * 48
    with pytest.raises(SystemExit):
        main(["saliency", "--policy", str(trained["range"][0]), *asked])
    assert "gives no saliency maps" in capsys.readouterr().err


LEARNERS = {
    "ppo": (learn_ppo, PPO, None, {"batch_size": 30, "epochs": 2, "value_layers": (8,)}),
    "recurrent-ppo": (
        learn_ppo,
        RecurrentPPO,
        RecurrentConfig("lstm", 6),
        {"batch_size": 30, "epochs": 2, "value_layers": (8,)},
    ),
    "reinforce": (learn_reinforce, Reinforce, None, {}),
}


def by_reward(name, trace, out, sensors, seed=0):
    run, kind, memory, more = LEARNERS[name]
    practice = PracticeConfig(num_envs=3, steps=20, curvature_limit=0.1, workers=1)
    recipe = kind(
        traces=(trace,),
        out=out,
        network=NetworkConfig(EYE, memory, HEAD),
        sensors=sensors,
        seed=seed,
        iterations=2 if name == "reinforce" else 1,  # its first step moves the head alone
        practice=practice,
        section="0:3",
        **more,
    )
    run(recipe)
    return load(out)


@pytest.mark.usefixtures("_unwarned", "_own_threads")
@pytest.mark.parametrize(
    ("name", "sensors"),
    [("ppo", RANGES), ("ppo", BOTH), ("recurrent-ppo", ALL), ("reinforce", RANGES)],
)
def test_reward_teaches_a_policy_with_any_sensors(banked, tmp_path, serving, name, sensors):
    if name != "reinforce":
        pytest.importorskip("sb3_contrib")
    policy = by_reward(name, banked, tmp_path / "policy", sensors)
    assert policy.sensors == sensors
    learned = policy.network.state_dict()
    assert learned["head.output.weight"][0].any()  # zero before the first step
    first = build_first(policy, "further.sensor-range.layers.0.weight")
    assert not torch.equal(learned["further.sensor-range.layers.0.weight"], first)
    asked, seen = answers(policy, banked, 0.5)
    changed = policy.act({**seen, "range": 0.1 * seen["range"]}).curvature
    assert changed != asked
    served = SocketPolicy(str(serving(load_policy(tmp_path / "policy"))))
    served.reset()
    policy.reset()
    assert served.act(seen) == policy.act(seen)
    served.close()


def build_first(policy, key):
    """A weight as it was before the first step."""
    torch.manual_seed(0)
    return build_network(policy.spec.network).state_dict()[key]


@pytest.mark.usefixtures("_unwarned", "_own_threads")
def test_ppo_with_the_same_seed_gives_the_same_weights(banked, tmp_path):
    pytest.importorskip("sb3_contrib")
    a, b, c = (
        by_reward("ppo", banked, tmp_path / name, RANGES, seed).network.state_dict()
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    assert all(torch.equal(a[key], b[key]) for key in a)
    assert not all(torch.equal(a[key], c[key]) for key in a)


@pytest.mark.parametrize("kind", [BehaviourCloning, Dagger])
def test_every_way_of_imitating_takes_any_sensors(banked, tmp_path, kind):
    more = {}
    if kind is Dagger:
        more = {"dagger": DaggerConfig(frames=32, cars=4, every=2), "background": False}
    recipe = kind(
        traces=(banked,),
        out=tmp_path / "policy",
        network=NetworkConfig(EYE, RecurrentConfig("gru", 6)),
        sensors=ALL,
        window=4,
        training=TrainingConfig(steps=4, batch_size=6, evaluate_every=2, threads=1),
        **more,
    )
    learn(recipe)
    policy = load(tmp_path / "policy")
    assert policy.sensors == ALL
    assert math.isfinite(answers(policy, banked, 0.0)[0])


def test_a_sensor_remembers_along_a_recorded_drive(banked, tmp_path):
    found = {}
    for keep in (0.0, 0.5):
        sensors = {"range": RangeSpec(keep=keep), "camera": CAMERA["camera"], "state": StateSpec()}
        recipe = BehaviourCloning(
            traces=(banked,), out=tmp_path / "out", network=CNN, sensors=sensors
        )
        setup, _ = plan(recipe)
        (drive,) = setup.open()
        trace, along = drive.trace, RecordedDrive(setup, drive)
        times = trace.cameras["front"].t[30:36].tolist()
        found[keep] = [
            along.read(t, trace.path.arc_length(t), lateral, 0.0)
            for t, lateral in zip(times, (0.0, 0.9, 0.9, -0.9, 0.0, 0.3), strict=True)
        ]
        along.begin()
        again = along.read(times[0], trace.path.arc_length(times[0]), 0.0, 0.0)
        np.testing.assert_array_equal(again["range"], found[keep][0]["range"])
    plain = np.array([seen["range"] for seen in found[0.0]], np.float64)
    expected = plain.copy()
    for i in range(1, len(plain)):
        expected[i] = 0.5 * expected[i - 1] + 0.5 * plain[i]
    np.testing.assert_allclose([seen["range"] for seen in found[0.5]], expected, rtol=1e-5)
    lateral = [seen["state"][0] for seen in found[0.5]]
    assert lateral == pytest.approx([0.0, 0.9, 0.9, -0.9, 0.0, 0.3], abs=1e-6)


def test_readings_enter_a_network_by_the_bounds_of_their_space():
    network = network_for_sensors(CNN, {**ALL, "ones": RangeSpec(rays=2, farthest=8.0)})
    assert list(network.encoders) == ["camera", "rear", "state", "range", "ones"]
    assert network.encoder == PilotNetConfig((16, 32), (8, 8), (5, 3), (2, 2), features=16)
    assert network.further["rear"].size == (20, 40)
    assert network.further["state"] == StateMLPConfig()
    assert network.further["ones"] == ReadingMLPConfig((2,), (4.0,), (4.0,))
    assert network.further["range"] == ReadingMLPConfig((24,), (30.0,), (30.0,))
    built = build_network(network)
    assert built.features == 2 * 16 + 3 * 64 + 1
    encoder = built.further["sensor-ones"]
    first = encoder.layers[0]
    wanted = torch.relu(first(torch.tensor([[-1.0, 0.5]])))
    assert torch.allclose(encoder.layers[:2]((torch.tensor([[0.0, 6.0]]) - 4.0) / 4.0), wanted)
    assert torch.equal(encoder(torch.tensor([[0.0, 6.0]])), encoder.layers[2:](wanted))


def test_padding_of_sequences_changes_nothing_that_is_there():
    network = build_network(network_for_sensors(CNN, ALL)).eval()
    torch.nn.init.normal_(network.head.output.weight)
    inputs = random_inputs(network.config, (2, 5), torch.Generator().manual_seed(0))
    mask = torch.ones(2, 5, dtype=torch.bool)
    mask[1, 3:] = False
    whole, masked = network(inputs)[0], network(inputs, mask)[0]
    assert torch.allclose(whole[mask], masked[mask], atol=1e-5)
    assert whole.std() > 1e-3


def test_the_network_of_any_sensors_survives_its_json():
    for sensors in (RANGES, BOTH, ALL, {"values": RangeSpec(), "train": RangeSpec(rays=3)}):
        network = network_for_sensors(CNN, sensors)
        again = network_from_json(json.loads(json.dumps(network_to_json(network))))
        assert again == network
        spec = PolicySpec(sensors, network)
        assert PolicySpec.from_json(json.loads(json.dumps(spec.to_json()))).sensors == sensors
        assert network_for_sensors(network, sensors) == network


def test_a_policy_whose_file_does_not_name_the_state_is_read(tmp_path):
    network = NetworkConfig(StateMLPConfig(hidden=(8,)))
    policy = NetworkPolicy(PolicySpec({"state": StateSpec()}, network), build_network(network))
    policy.save(tmp_path)
    path = tmp_path / "policy.json"
    values = json.loads(path.read_text())
    path.write_text(json.dumps({**values, "sensors": {}}))
    assert load(tmp_path).sensors == {"state": StateSpec()}
    first = {k: v for k, v in values.items() if k != "sensors"}
    path.write_text(json.dumps({**first, "format": "vista-policy/1", "camera": None}))
    assert load(tmp_path).sensors == {"state": StateSpec()}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"further": {"range": {"kind": "radar"}}}, "further, 'range', 'radar' is unknown"),
        ({"further": {"range": 3}}, "further, 'range', 3 is unknown"),
        ({"further": []}, r"further is \[\]; it must be an object"),
        ({"further": {}}, "encoder None is unknown"),
        ({"further": {"other": {"kind": "reading-mlp", "shape": [24]}}}, "the network takes other"),
        ({"further": {"range": {"kind": "reading-mlp", "shape": [3]}}}, "'range' reads 24; the"),
        ({"further": {"range": {"kind": "reading-mlp", "shape": [-1]}}}, "shape is -1"),
        ({"further": {"range": {"kind": "reading-mlp", "shape": [10**9]}}}, "at most"),
        ({"further": {"range": {"kind": "reading-mlp", "shape": [3], "scale": [1, 2]}}}, "scale h"),
        ({"further": {"range": {"kind": "reading-mlp", "shape": [3], "scale": [0]}}}, "scale is 0"),
        ({"further": {"a.b": {"kind": "reading-mlp", "shape": [3]}}}, "name of another sensor"),
        ({"further": {"speed": {"kind": "reading-mlp", "shape": [3]}}}, "name of another sensor"),
    ],
)
def test_a_network_that_does_not_fit_is_told_in_one_line(tmp_path, change, said):
    network = network_for_sensors(CNN, RANGES)
    NetworkPolicy(PolicySpec(RANGES, network), build_network(network)).save(tmp_path)
    path = tmp_path / "policy.json"
    values = json.loads(path.read_text())
    values["network"].update(change)
    path.write_text(json.dumps(values))
    with pytest.raises(PolicyError, match=said) as caught:
        load(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_mirror_that_nobody_knows_is_refused():
    config = AugmentConfig(mirror=True)
    with pytest.raises(TrainingError, match=r"mirror: what 'range' \(range\) would read"):
        Augmentation(config, PolicySpec(BOTH, network_for_sensors(CNN, BOTH)))
    cameras = {"camera": CameraSpec((24, 48)), "other": CameraSpec((24, 48)), "state": StateSpec()}
    Augmentation(config, PolicySpec(cameras, network_for_sensors(CNN, cameras)))


SENSORS = """
[camera]
kind = "camera"
size = [24, 48]

[ranges]
kind = "range"
rays = 8
"""
SMALL = [
    *("--steps", "2", "--batch-size", "8", "--threads", "1", "--no-background"),
    *("--network.encoder.channels", "8", "8", "--network.encoder.kernels", "5", "3"),
    *("--network.encoder.strides", "2", "2", "--guided.frames", "16", "--guided.rounds", "1"),
]


@pytest.mark.parametrize("form", ["toml", "json"])
def test_sensors_are_asked_for_in_a_file(banked, tmp_path, capsys, form):
    path = tmp_path / f"sensors.{form}"
    ranges = {"kind": "range", "rays": 8}
    as_json = {"camera": {"kind": "camera", "size": [24, 48]}, "ranges": ranges}
    path.write_text(SENSORS if form == "toml" else json.dumps(as_json))
    out = tmp_path / "policy"
    main(["guided", "--trace", str(banked), "-o", str(out), "--sensors", str(path), *SMALL])
    capsys.readouterr()
    policy = load(out)
    assert policy.sensors["ranges"] == RangeSpec(rays=8)
    assert policy.camera.size == (24, 48)
    assert policy.camera.fov == pytest.approx(1.2)  # as recorded
    training = json.loads((out / "policy.json").read_text())["training"]
    assert training["sensors"]["ranges"]["rays"] == 8


@pytest.mark.parametrize(
    ("text", "more", "said"),
    [
        ("[camera\n", [], "is not TOML"),
        ("", [], "has no sensors"),
        ("camera = 3\n", [], "it must be an object"),
        ("[x]\nkind = 'sonar'\n", [], "kind is 'sonar'; known are camera, range"),
        ("[x]\nkind = 'range'\nbeams = 3\n", [], "is not usable"),
        ("[rear]\nkind = 'camera'\nsize = [66, 200]\n", [], "first camera is observed as 'camera'"),
        ("[camera]\nkind = 'camera'\nsize = [8, 8]\n", [], "sensor 'camera': no network takes it"),
        (SENSORS, ["--fov", "1"], "fov is given beside sensors"),
        (SENSORS, ["--mount", "1", "1.5", "0"], "mount is given beside sensors"),
    ],
)
def test_a_mistake_in_a_file_of_sensors_is_one_line(banked, tmp_path, capsys, text, more, said):
    path = tmp_path / "sensors.toml"
    path.write_text(text)
    out = tmp_path / "policy"
    with pytest.raises(SystemExit) as stop:
        main(["guided", "--trace", str(banked), "-o", str(out), "--sensors", str(path), *more])
    assert stop.value.code == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert said in line
    assert not out.exists()


def test_an_exported_policy_observes_the_same_sensors(banked, tmp_path):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    sensors = {**ALL, "curvature": RangeSpec(rays=5)}
    network = network_for_sensors(NetworkConfig(EYE, RecurrentConfig("gru", 6), HEAD), sensors)
    torch.manual_seed(0)
    built = build_network(network)
    torch.nn.init.normal_(built.head.output.weight, std=0.1)
    policy = NetworkPolicy(PolicySpec(sensors, network, name="x"), built)
    policy.save(tmp_path)
    path = export_policy(Export(tmp_path)).path
    described = json.loads(path.with_name(path.name + ".json").read_text())
    assert [entry["what"] for entry in described["inputs"]] == [
        *("camera", "camera", "state_vector", "reading", "reading", "speed"),
    ]
    read = load_policy(path)
    assert read.sensors == policy.sensors
    env = lane_following_env(banked, sensors=read.sensors)
    seen, _ = env.reset(seed=0, options={"s": 20.0, "lateral": 0.4})
    asked = []
    for _ in range(4):
        asked.append(read.act(seen).curvature)
        assert asked[-1] == pytest.approx(policy.act(seen).curvature, abs=1e-6)
        seen, *_ = env.step(np.array([0.2], np.float32))
    assert np.std(asked) > 1e-5
    for name in sensors:
        read.reset()
        changed = {**seen, name: np.zeros_like(seen[name])}
        first = read.act(seen).curvature
        read.reset()
        assert read.act(changed).curvature != first, name
