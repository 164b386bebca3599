"""A policy folder: what was saved drives alike, and what was damaged is refused in one line."""

import dataclasses
import hashlib
import json
import resource

import numpy as np
import pytest
import torch
from architectures import REMEMBERING, SMALL, build, with_head
from safetensors.torch import load_file, save_file
from vista_agents.actions import Scales
from vista_agents.networks.sensors import own_sensors
from vista_agents.policy import NetworkPolicy, PolicySpec, command_number, load, save_policy

from vista_sim.errors import PolicyError
from vista_sim.policies import CameraSpec, Policy, load_policy, policy_hash
from vista_sim.sensors.spec import StateSpec

CNN = SMALL["cnn"]


def policy_of(config, seed=1, **values):
    spec = PolicySpec(own_sensors(config, 1.1), config, name="x", **values)
    return NetworkPolicy(spec, build(config, seed))


@pytest.fixture
def policy():
    return policy_of(CNN)


@pytest.fixture
def folder(policy, tmp_path):
    policy.save(tmp_path)
    return tmp_path


def observation(seed, size=(24, 48), speed=8.0):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
    return {"camera": image, "speed": np.array([speed], dtype=np.float32)}


class StateCar:
    """What a policy without a camera asks of a car."""

    def __init__(self, length, seed=0):
        self.rng, self.length = np.random.default_rng(seed), length

    def state_vector(self):
        return self.rng.uniform(-1, 1, self.length).astype(np.float32)


def drive(policy, steps=4, seed=0):
    """Actions of some steps."""
    network = policy.spec.network
    car = StateCar(len(network.encoder.scale)) if network.camera_size is None else None
    size = network.camera_size or (1, 1)
    return [policy.act(observation(seed + i, size), car) for i in range(steps)]


def refuse(folder, message):
    with pytest.raises(PolicyError, match=message) as caught:
        load(folder)
    assert "\n" not in str(caught.value)
    assert str(folder) in str(caught.value)


def test_a_long_text_in_policy_json_is_no_name_of_a_file(folder):
    before = policy_hash(folder)
    edit(folder, lambda v: v.update(training={"comment": "x" * 300, "other": "a\0b"}))
    assert load_policy(folder).camera.size == (24, 48)
    assert policy_hash(folder) != before


@pytest.mark.parametrize(
    "header",
    [
        {"w": {"dtype": "F32", "shape": [0, 2**62], "data_offsets": [0, 0]}},
        {"w": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}},
        {"w": {"dtype": "F99", "shape": [1], "data_offsets": [0, 4]}},
    ],
)
def test_weights_of_impossible_shapes_are_told_in_one_line(folder, header):
    text = json.dumps(header).encode()
    data = len(text).to_bytes(8, "little") + text
    (folder / "weights.safetensors").write_bytes(data)
    edit(folder, lambda v: v["weights"].update(sha256=hashlib.sha256(data).hexdigest()))
    refuse(folder, r"weights\.safetensors: (is not a safetensors file|weights '.*' of the network)")


def test_weights_of_more_bytes_than_the_network_has_are_not_read(folder):
    with (folder / "weights.safetensors").open("ab") as file:
        file.truncate(2**27)  # of which the disk holds nothing
    refuse(folder, r"weights\.safetensors: is larger than \d+ bytes")


def edit(folder, change):
    values = json.loads((folder / "policy.json").read_text())
    change(values)
    (folder / "policy.json").write_text(json.dumps(values))


def rewrite_weights(folder, change):
    """Change the weights and give them a checksum that fits, as a careless tool would."""
    path = folder / "weights.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)
    checksum = hashlib.sha256(path.read_bytes()).hexdigest()
    edit(folder, lambda values: values["weights"].update(sha256=checksum))


@pytest.mark.parametrize("name", SMALL)
def test_a_loaded_policy_answers_as_the_saved_one(name, tmp_path):
    saved = policy_of(SMALL[name])
    saved.save(tmp_path)
    loaded = load_policy(tmp_path)
    assert isinstance(loaded, Policy)
    assert loaded.spec == saved.spec
    answers = drive(loaded)
    assert answers == drive(saved)
    assert len({action.curvature for action in answers}) > 1


@pytest.mark.parametrize("name", SMALL)
def test_a_reset_forgets(name):
    policy = policy_of(SMALL[name])
    first = drive(policy, seed=5)
    going_on = drive(policy, seed=5)
    policy.reset()
    assert drive(policy, seed=5) == first
    assert (going_on == first) == (name not in REMEMBERING)


def test_two_policies_of_one_folder_remember_apart(tmp_path):
    policy_of(SMALL["lstm"]).save(tmp_path)
    one, other = load(tmp_path), load(tmp_path)
    first = drive(one)
    assert drive(other) == first


@pytest.mark.parametrize("distribution", ["point", "gaussian", "mixture"])
@pytest.mark.parametrize("outputs", ["curvature", "curvature+acceleration", "waypoints"])
def test_every_head_drives(outputs, distribution, tmp_path):
    saved = policy_of(with_head(SMALL["gru"], outputs=outputs, distribution=distribution))
    saved.save(tmp_path)
    actions = drive(load(tmp_path))
    assert actions == drive(saved)
    for action in actions:
        assert abs(action.curvature) <= 0.2
        assert (action.acceleration is not None) == (outputs == "curvature+acceleration")


def test_an_action_keeps_the_limits():
    policy = policy_of(with_head(CNN, outputs="curvature+acceleration"))
    with torch.no_grad():
        policy.network.head.output.bias[:] = torch.tensor([1000.0, -1000.0])
    action = policy.act(observation(0))
    assert (action.curvature, action.acceleration) == (0.2, -6.0)


def test_policy_json_says_what_the_simulator_must_provide(folder):
    values = json.loads((folder / "policy.json").read_text())
    assert values["format"] == "vista-policy/2"
    assert values["loader"] == "vista-agents"
    camera = {"kind": "camera", "size": [24, 48], "fov": 1.1, "mount": None}
    assert values["sensors"] == {"camera": camera}
    assert values["history"] == 1
    assert [state["name"] for state in values["state"]] == ["speed"]
    assert values["action"]["curvature_scale"] == 0.05
    assert values["action"]["outputs"] == "curvature"
    data = (folder / "weights.safetensors").read_bytes()
    assert values["weights"]["sha256"] == hashlib.sha256(data).hexdigest()


def test_a_policy_json_of_the_first_format_is_read(folder):
    def as_it_was(values):
        camera = values.pop("sensors")["camera"]
        del camera["kind"]
        values.update(format="vista-policy/1", camera=camera)

    edit(folder, as_it_was)
    assert load_policy(folder).camera == CameraSpec((24, 48), 1.1)
    edit(folder, lambda values: values.update(camera=3))
    refuse(folder, "'camera' must be an object or null")
    edit(folder, lambda values: values.update(camera={"size": 3}))
    refuse(folder, "'camera' is not usable")


def test_commands_are_known_by_name_and_number():
    assert [command_number(c) for c in (None, "left", "straight", 2)] == [0, 1, 3, 2]
    assert command_number(np.array([3])) == 3
    for unknown in ("back", 4, -1, float("nan"), object()):
        with pytest.raises(PolicyError, match=r"command .* is unknown; known: follow, left"):
            command_number(unknown)


def test_the_command_of_an_observation_changes_the_action():
    policy = policy_of(dataclasses.replace(CNN, command="embedding"))
    answers = {policy.act({**observation(0), "command": c}).curvature for c in ("left", "right")}
    assert len(answers) == 2
    follow = policy.act({**observation(0), "command": "follow"})
    assert policy.act(observation(0)) == follow


def test_missing_weights_are_reported(folder):
    (folder / "weights.safetensors").unlink()
    refuse(folder, r"weights\.safetensors: cannot be read")


@pytest.mark.parametrize("kept", [0, 7, -100])
def test_truncated_weights_are_reported(folder, kept):
    path = folder / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:kept])
    refuse(folder, "does not match its checksum")


def test_weights_that_a_kill_parted_from_their_description_are_still_found(folder, policy):
    """The weights have been replaced, their description has not: the old ones lie beside them."""
    old = (folder / "weights.safetensors").read_bytes()
    with (folder / "weights.safetensors").open("r+b") as file:
        file.truncate(100)
    (folder / ".weights.safetensors.old-0123abcd").write_bytes(old)
    assert drive(load(folder)) == drive(policy)


def test_tampered_weights_are_reported(folder):
    path = folder / "weights.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    refuse(folder, "does not match its checksum")


def test_what_is_no_safetensors_file_is_reported(folder):
    data = b"\x80\x04pickle"
    (folder / "weights.safetensors").write_bytes(data)
    checksum = hashlib.sha256(data).hexdigest()
    edit(folder, lambda values: values["weights"].update(sha256=checksum))
    refuse(folder, "is not a safetensors file")


@pytest.mark.parametrize("other", [name for name in SMALL if name != "cnn"])
def test_weights_of_another_architecture_are_reported(folder, other, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("other")
    policy_of(SMALL[other]).save(elsewhere)
    data = (elsewhere / "weights.safetensors").read_bytes()
    (folder / "weights.safetensors").write_bytes(data)
    checksum = hashlib.sha256(data).hexdigest()
    edit(folder, lambda values: values["weights"].update(sha256=checksum))
    refuse(folder, r"weights '.*' (of the network in policy.json are missing|have shape)|has no w")


def test_weights_of_another_width_are_reported(folder):
    edit(folder, lambda values: values["network"]["head"].update(hidden=[9]))
    refuse(folder, r"weights 'head.hidden.0.weight' have shape \(8, .*wants \(9, ")


def test_weights_that_lack_a_layer_are_reported(folder):
    rewrite_weights(folder, lambda tensors: tensors.pop("head.output.bias"))
    refuse(folder, "weights 'head.output.bias' .* are missing")


def test_weights_that_nobody_asked_for_are_reported(folder):
    rewrite_weights(folder, lambda tensors: tensors.update(extra=torch.zeros(1)))
    refuse(folder, "has no weights 'extra'")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_reported(folder, value):
    rewrite_weights(folder, lambda tensors: tensors["head.output.bias"].fill_(value))
    refuse(folder, "weights 'head.output.bias' are not finite")


def test_an_answer_that_is_not_finite_stops_the_drive():
    policy = policy_of(CNN)
    with torch.no_grad():
        policy.network.head.output.bias.fill_(float("nan"))
    with pytest.raises(PolicyError, match=r"answered \[nan\]; its weights are broken"):
        policy.act(observation(0))


def camera_of(values):
    return values["sensors"]["camera"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v["sensors"].pop("camera"), "observes nothing; the network takes camera"),
        (lambda v: v.pop("sensors"), "'sensors' is None; it must be an object"),
        (lambda v: v["sensors"].update(camera=3), "'camera' is 3; it must be an object"),
        (lambda v: v["sensors"]["camera"].pop("kind"), "kind is None; known are camera"),
        (
            lambda v: v["sensors"].update(state={"kind": "state"}),
            "observes camera, state; the network takes camera",
        ),
        (lambda v: camera_of(v).update(size=3), "'camera' is not usable"),
        (lambda v: camera_of(v).update(fov=-1.0), "'camera' is not usable"),
        (lambda v: camera_of(v).update(fov=float("nan")), "NaN is no number of JSON"),
        (lambda v: camera_of(v).update(fov=10**400), "has 401 digits"),
        (
            lambda v: camera_of(v).update(size=[float("inf"), 48]),
            "Infinity is no number of JSON",
        ),
        (lambda v: v["action"].update(curvature_scale=10**400), "has 401 digits"),
        (lambda v: v["network"].update(speed_scale=10**400), "has 401 digits"),
        (lambda v: camera_of(v).update(size=[24]), "'camera' is not usable"),
        (
            lambda v: camera_of(v).update(size=[2**40, 48]),
            "size is 1099511627776; it must be",
        ),
        (lambda v: camera_of(v).update(fov="wide"), "'camera' is not usable"),
        (lambda v: camera_of(v).update(mount=[1, 2]), "'camera' is not usable"),
        (
            lambda v: camera_of(v).update(size=[66, 200]),
            "'camera' reads 66 x 200 x 3; the network takes 24 x 48 x 3",
        ),
        (lambda v: v.update(history=4), "history is 4"),
        (lambda v: v.pop("history"), "history is None"),
        (lambda v: v["action"].clear(), "'action'"),
        (lambda v: v.update(action=[]), "'action'"),
        (lambda v: v["action"].update(curvature_scale=0), "curvature_scale is 0.0"),
        (lambda v: v["action"].update(curvature_limit=None), "'action'"),
        (lambda v: v["action"].update(waypoint_scale=float("nan")), "NaN is no number of JSON"),
        (lambda v: v.pop("weights"), "'weights'"),
        (lambda v: v.update(weights="weights.safetensors"), "'weights'"),
        (lambda v: v["weights"].update(sha256=5), "'weights'"),
        (lambda v: v["weights"].update(file="other.safetensors"), "names file 'other.safe"),
        (lambda v: v["weights"].update(file="../weights.safetensors"), r"names file '\.\./weig"),
        (lambda v: v["weights"].pop("file"), "names file None"),
        (lambda v: v.pop("state"), "'state' must be a list"),
        (lambda v: v.update(state=["speed"]), "'state' must be a list of objects"),
        (lambda v: v["state"].append({"name": "radar", "unit": "m"}), r"\['speed', 'radar'\]; the"),
        (lambda v: v.update(state=[]), r"state names \[\]; the network takes \['speed'\]"),
        (lambda v: v["state"][0].update(name=["speed"]), r"state names \[\['speed'\]\]"),
        (lambda v: v["state"][0].update(unit="km/h"), "unit 'km/h'; the network takes 'm/s'"),
        (lambda v: v.pop("normalization"), "normalization is None"),
        (lambda v: v.update(normalization={"mean": 127.5}), "normalization is {'mean': 127.5}"),
        (lambda v: v.pop("network"), "'network' must be an object"),
        (lambda v: v["network"].update(encoder={"kind": "vgg"}), "'vgg' is unknown"),
        (lambda v: v["network"].update(memory={"kind": "tape"}), "'tape' is unknown"),
        (lambda v: v["network"]["encoder"].update(features="12"), "features is '12'"),
        (lambda v: v["network"].update(command="loud"), "command is 'loud'"),
        (lambda v: v["network"]["head"].update(hidden=8), "hidden is 8; it must be a list"),
        (lambda v: v.update(format="vista-policy/3"), "format is 'vista-policy/3'"),
    ],
)
def test_a_wrong_policy_json_is_reported(folder, change, message):
    edit(folder, change)
    refuse(folder, message)


@pytest.mark.parametrize("text", ["", "[1, 2]", "{", "\x00", "[" * 200_000])
def test_a_policy_json_that_is_none_is_reported(folder, text):
    (folder / "policy.json").write_text(text)
    refuse(folder, r"policy\.json: (cannot be read as JSON|format is None)")


@pytest.mark.parametrize(
    "change",
    [
        lambda v: v["network"]["encoder"].update(features=10**10),
        lambda v: v["network"]["encoder"].update(channels=[10**6, 10**6]),
        lambda v: v["network"].update(memory={"kind": "recurrent", "cell": "gru", "size": 10**6}),
        lambda v: v["network"].update(memory={"kind": "temporal-attention", "window": 10**9}),
        lambda v: v["network"].update(command="embedding", command_size=10**11),
        lambda v: v["network"]["head"].update(hidden=[10**9, 10**9]),
        lambda v: (
            v["network"]["encoder"].update(size=[10**5, 10**5])
            or camera_of(v).update(size=[10**5, 10**5])
        ),
    ],
)
def test_absurd_sizes_are_refused_without_taking_memory(folder, change):
    edit(folder, change)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refuse(folder, "numbers; at most 100,000,000")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # KiB


def test_an_image_of_another_size_is_refused(policy):
    with pytest.raises(PolicyError, match=r"shape \(66, 200, 3\); this policy takes \(24, 48, 3\)"):
        policy.act(observation(0, (66, 200)))


def test_a_policy_on_the_state_vector_asks_for_the_car():
    with pytest.raises(PolicyError, match=r"call act\(observation, car\)"):
        policy_of(SMALL["mlp"]).act(observation(0))


def test_a_spec_whose_camera_and_network_differ_is_refused():
    camera = {"camera": CameraSpec((66, 200))}
    with pytest.raises(PolicyError, match="reads 66 x 200 x 3; the network takes 24 x 48 x 3"):
        PolicySpec(camera, CNN)
    with pytest.raises(PolicyError, match="observes camera; the network takes state"):
        PolicySpec(camera, SMALL["mlp"])


def test_a_network_of_another_state_vector_is_refused():
    encoder = dataclasses.replace(SMALL["mlp"].encoder, scale=(1.0, 1.0))
    with pytest.raises(PolicyError, match="'state' reads 8; the network takes 2"):
        PolicySpec({"state": StateSpec()}, dataclasses.replace(SMALL["mlp"], encoder=encoder))


def test_scales_are_read_back(tmp_path):
    scales = Scales(0.1, 0.15, 3.0, 4.0, 20.0)
    spec = dataclasses.replace(policy_of(CNN).spec, scales=scales)
    save_policy(tmp_path, spec, build(CNN).state_dict())
    assert load(tmp_path).spec.scales == scales
