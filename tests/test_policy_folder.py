"""A policy folder: what was saved drives alike, and what was damaged is refused in one line."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from vista_agents.networks.pilotnet import PilotNet, PilotNetConfig
from vista_agents.policy import NetworkPolicy, PolicySpec, load

from vista_sim.errors import PolicyError
from vista_sim.policies import CameraSpec, Policy, load_policy

CONFIG = PilotNetConfig(
    size=(24, 48), channels=(8, 8), kernels=(5, 3), strides=(2, 2), hidden=(16,)
)


@pytest.fixture
def policy():
    torch.manual_seed(1)
    network = PilotNet(CONFIG)
    torch.nn.init.normal_(network.head[-1].weight, std=0.1)
    return NetworkPolicy(PolicySpec(CameraSpec((24, 48), 1.1), CONFIG, name="x"), network)


@pytest.fixture
def folder(policy, tmp_path):
    policy.save(tmp_path)
    return tmp_path


def observation(seed):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (24, 48, 3), dtype=np.uint8)
    return {"camera": image, "speed": np.array([8.0], dtype=np.float32)}


def refuse(folder, message):
    with pytest.raises(PolicyError, match=message) as caught:
        load(folder)
    assert "\n" not in str(caught.value)
    assert str(folder) in str(caught.value)


def edit(folder, change):
    values = json.loads((folder / "policy.json").read_text())
    change(values)
    (folder / "policy.json").write_text(json.dumps(values))


def rewrite_weights(folder, change):
    """Change the weights and give them a checksum that fits, as a careless tool would."""
    import hashlib

    path = folder / "weights.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)
    checksum = hashlib.sha256(path.read_bytes()).hexdigest()
    edit(folder, lambda values: values["weights"].update(sha256=checksum))


def test_a_loaded_policy_answers_as_the_saved_one(policy, folder):
    loaded = load_policy(folder)
    assert isinstance(loaded, Policy)
    assert loaded.camera.size == (24, 48)
    assert loaded.camera.fov == 1.1
    answers = [loaded.act(observation(i)).curvature for i in range(5)]
    assert answers == [policy.act(observation(i)).curvature for i in range(5)]
    assert len(set(answers)) == 5


def test_the_same_observation_gives_the_same_action(policy):
    assert len({policy.act(observation(3)).curvature for _ in range(5)}) == 1


def test_an_action_keeps_the_curvature_limit(policy):
    with torch.no_grad():
        policy.network.head[-1].bias.fill_(1000.0)
    assert policy.act(observation(0)).curvature == 0.2


def test_policy_json_says_what_the_simulator_must_provide(folder):
    values = json.loads((folder / "policy.json").read_text())
    assert values["format"] == "vista-policy/1"
    assert values["loader"] == "vista-agents"
    assert values["camera"] == {"size": [24, 48], "fov": 1.1, "mount": None}
    assert values["history"] == 1
    assert [state["name"] for state in values["state"]] == ["speed"]
    assert values["action"]["curvature"] == {"scale": 0.05, "limit": 0.2}


def test_missing_weights_are_reported(folder):
    (folder / "weights.safetensors").unlink()
    refuse(folder, r"weights\.safetensors: cannot be read")


def test_truncated_weights_are_reported(folder):
    path = folder / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    refuse(folder, "does not match its checksum")


def test_tampered_weights_are_reported(folder):
    path = folder / "weights.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    refuse(folder, "does not match its checksum")


def test_weights_of_another_architecture_are_reported(folder):
    edit(folder, lambda values: values["network"]["config"].update(hidden=[32]))
    refuse(folder, r"weights 'head.0.weight' have shape \(16, .*wants \(32, ")


def test_weights_that_lack_a_layer_are_reported(folder):
    rewrite_weights(folder, lambda tensors: tensors.pop("convolutions.0.bias"))
    refuse(folder, "weights 'convolutions.0.bias' .* are missing")


def test_weights_that_are_not_finite_are_reported(folder):
    rewrite_weights(folder, lambda tensors: tensors["head.0.bias"].fill_(float("nan")))
    refuse(folder, "weights 'head.0.bias' are not finite")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v.pop("camera"), "'camera'"),
        (lambda v: v.update(history=4), "history is 4"),
        (lambda v: v["action"].clear(), "'action'"),
        (lambda v: v["camera"].update(size=[66, 200]), "camera size .* does not fit its network"),
        (lambda v: v.pop("weights"), "'weights'"),
        (lambda v: v["network"].update(name="lstm"), "'lstm' is unknown"),
    ],
)
def test_a_wrong_policy_json_is_reported(folder, change, message):
    edit(folder, change)
    refuse(folder, message)


def test_an_image_of_another_size_is_refused(policy):
    wrong = {"camera": np.zeros((66, 200, 3), np.uint8), "speed": np.zeros(1, np.float32)}
    with pytest.raises(PolicyError, match=r"shape \(66, 200, 3\); this policy takes \(24, 48, 3\)"):
        policy.act(wrong)


def test_a_spec_whose_camera_and_network_differ_is_refused():
    with pytest.raises(PolicyError, match="does not fit"):
        PolicySpec(CameraSpec((66, 200)), dataclasses.replace(CONFIG))
