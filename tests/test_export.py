"""ONNX export: a policy answers there as here, with its memory carried; and what goes wrong."""

import dataclasses
import hashlib
import importlib.util
import json
import signal
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from architectures import REMEMBERING, SMALL, build, with_head
from vista_agents import export as exporting
from vista_agents.actions import Scales
from vista_agents.export import Export, export_policy
from vista_agents.networks.network import COMMANDS
from vista_agents.networks.sensors import own_sensors
from vista_agents.policy import NetworkPolicy, PolicySpec, load, save_policy

from vista_sim.errors import MissingDependencyError, PolicyError
from vista_sim.policies import OnnxPolicy
from vista_sim.sensors.state_vector import STATE_NAMES
from vista_sim.traces.calibration import Vehicle

HEADS = [
    ("curvature", "point"),
    ("curvature+acceleration", "mixture"),
    ("waypoints", "gaussian"),
    ("waypoints", "point"),
    ("curvature", "gaussian"),
    ("curvature+acceleration", "point"),
    ("waypoints", "mixture"),
    ("curvature", "mixture"),
    ("curvature+acceleration", "gaussian"),
]
COMMAND_INPUTS = ("none", "one-hot", "embedding")


def of_architecture(i, name):
    """Each architecture with another head and another way to take the command."""
    outputs, distribution = HEADS[i % len(HEADS)]
    config = with_head(SMALL[name], outputs=outputs, distribution=distribution)
    return dataclasses.replace(config, command=COMMAND_INPUTS[i % 3], speed=i % 2 == 0)


CONFIGS = {name: of_architecture(i, name) for i, name in enumerate(SMALL)}


def save(folder, config, **values):
    spec = PolicySpec(own_sensors(config, 1.1), config, name="x", training={}, **values)
    network = build(config)
    with torch.no_grad():
        network.head.output.weight.mul_(0.1)  # most answers within the limits
    save_policy(folder, spec, network.state_dict())
    return folder


@pytest.fixture(scope="module")
def lstm(tmp_path_factory):
    folder = save(tmp_path_factory.mktemp("lstm"), CONFIGS["lstm"])
    export_policy(Export(folder))
    return folder


class Car:
    """A car with a given state vector."""

    vehicle = Vehicle()

    def __init__(self, state):
        self.state = state

    def state_vector(self):
        return self.state


def drive_both(folder, steps=12):
    """Actions of the policy folder, and those of its ONNX file run by its JSON alone.

    The simulator's own reader of such files must answer as both.
    """
    read = OnnxPolicy(folder / "policy.onnx")
    described = json.loads((folder / "policy.onnx.json").read_text())
    session = onnxruntime.InferenceSession(str(folder / "policy.onnx"))
    policy = load(folder)
    rng = np.random.default_rng(3)
    memory = {
        s["input"]: np.full(s["shape"], s["initial"], s["dtype"])
        for s in described["recurrent_state"]
    }
    ours, theirs = [], []
    for _ in range(steps):
        given = {}
        observation = {"speed": rng.uniform(0, 20, 1).astype(np.float32)}
        car = None
        for entry in described["inputs"]:
            shape = entry["shape"]
            if entry["what"] == "camera":
                image = rng.integers(0, 256, shape, dtype=np.uint8)
                observation["camera"], given[entry["name"]] = image[0], image
            elif entry["what"] == "speed":
                given[entry["name"]] = observation["speed"]
            elif entry["what"] == "command":
                number = int(rng.integers(len(entry["values"])))
                observation["command"] = entry["values"][number]
                given[entry["name"]] = np.array([number], entry["dtype"])
            else:
                state = rng.uniform(-1, 1, shape).astype(np.float32)
                car, given[entry["name"]] = Car(state[0]), state
        ours.append(policy.act(observation, car))
        again = read.act(observation, car)
        names = [o["name"] for o in described["outputs"]]
        following = [s["output"] for s in described["recurrent_state"]]
        answer = dict(
            zip(names + following, session.run(names + following, {**given, **memory}), strict=True)
        )
        memory = {s["input"]: answer[s["output"]] for s in described["recurrent_state"]}
        theirs.append(answer)
        assert again.curvature == pytest.approx(answer["curvature"].item(), rel=1e-6)
        assert (again.acceleration is None) == ("acceleration" not in answer)
        if again.acceleration is not None:
            assert again.acceleration == pytest.approx(answer["acceleration"].item(), rel=1e-6)
    return ours, theirs


def within(found, wanted, unit):
    """Equal to 1e-4 of the unit, and of the value where that is larger."""
    return abs(found.item() - wanted) < 1e-4 * max(unit, abs(wanted))


@pytest.mark.parametrize("name", CONFIGS)
def test_an_exported_policy_answers_as_the_policy_does_with_its_memory_carried(
    name, tmp_path, capfd
):
    wide = Scales(curvature_limit=1e3, acceleration_limit=1e3)  # hides no difference
    folder = save(tmp_path, CONFIGS[name], scales=wide)
    result = export_policy(Export(folder))
    assert capfd.readouterr() == ("", "")  # the exporter's own words are of no use
    assert result.path == folder / "policy.onnx"
    assert result.largest_difference < 1e-4
    ours, theirs = drive_both(folder)
    for action, answer in zip(ours, theirs, strict=True):
        assert within(answer["curvature"], action.curvature, wide.curvature_scale)
        if action.acceleration is not None:
            assert within(answer["acceleration"], action.acceleration, wide.acceleration_scale)
        assert ("acceleration" in answer) == (action.acceleration is not None)
    assert len({a.curvature for a in ours}) > 3
    described = json.loads(result.description.read_text())
    assert bool(described["recurrent_state"]) == (name in REMEMBERING)


def test_waypoints_are_in_metres_where_the_network_puts_them(tmp_path):
    folder = save(tmp_path, with_head(SMALL["mlp"], outputs="waypoints", waypoints=(3.0, 6.0)))
    export_policy(Export(folder))
    described = json.loads((folder / "policy.onnx.json").read_text())
    session = onnxruntime.InferenceSession(str(folder / "policy.onnx"))
    state = np.linspace(-1, 1, described["inputs"][0]["shape"][1], dtype=np.float32)[None]
    given = {"state": state, "speed": np.array([4.0], np.float32)}
    found = session.run(["waypoints"], given)[0]
    network = load(folder).network
    with torch.no_grad():
        numbers = network.step({k: torch.from_numpy(v) for k, v in given.items()}, {})[0]
    assert np.allclose(found, 10.0 * numbers.reshape(1, 2, 2).numpy(), atol=1e-4)
    assert [e["name"] for e in described["inputs"][0]["entries"]] == list(STATE_NAMES)
    waypoints = described["outputs"][1]
    assert waypoints["distances"] == [3.0, 6.0]
    assert waypoints["unit"] == "m"


def test_answers_keep_the_limits_inside_the_file(tmp_path):
    config = with_head(SMALL["mlp"], outputs="curvature+acceleration")
    folder = save(tmp_path, config, scales=Scales(curvature_limit=0.01, acceleration_limit=0.02))
    export_policy(Export(folder))
    _, theirs = drive_both(folder)
    assert max(abs(a["curvature"].item()) for a in theirs) == pytest.approx(0.01)
    assert max(abs(a["acceleration"].item()) for a in theirs) == pytest.approx(0.02)


def test_the_json_describes_the_file(lstm):
    described = json.loads((lstm / "policy.onnx.json").read_text())
    data = (lstm / "policy.onnx").read_bytes()
    assert described["format"] == "vista-onnx-policy/1"
    assert described["model"]["sha256"] == hashlib.sha256(data).hexdigest()
    model = onnx.load(lstm / "policy.onnx")
    onnx.checker.check_model(model)
    assert described["model"]["opset"] == model.opset_import[0].version
    session = onnxruntime.InferenceSession(data)
    types = {"tensor(float)": "float32", "tensor(uint8)": "uint8", "tensor(int64)": "int64"}
    inputs = {i.name: (i.shape, types[i.type]) for i in session.get_inputs()}
    outputs = {o.name: (o.shape, types[o.type]) for o in session.get_outputs()}
    memory = described["recurrent_state"]
    assert inputs == {
        **{i["name"]: (i["shape"], i["dtype"]) for i in described["inputs"]},
        **{s["input"]: (s["shape"], s["dtype"]) for s in memory},
    }
    assert outputs == {
        **{o["name"]: (o["shape"], o["dtype"]) for o in described["outputs"]},
        **{s["output"]: (s["shape"], s["dtype"]) for s in memory},
    }
    assert [s["input"] for s in memory] == ["state_hidden", "state_cell"]
    camera = described["inputs"][0]
    assert (camera["layout"], camera["colour"]) == ("NHWC", "RGB")
    assert described["sensors"]["camera"]["fov"] == 1.1
    commands = [i for i in described["inputs"] if i["what"] == "command"]
    assert [c["values"] for c in commands] in ([], [list(COMMANDS)])


def test_a_file_that_is_there_is_kept_unless_told_otherwise(lstm):
    before = (lstm / "policy.onnx").read_bytes()
    with pytest.raises(PolicyError, match=r"policy\.onnx: exists already; give --overwrite"):
        export_policy(Export(lstm))
    assert (lstm / "policy.onnx").read_bytes() == before


def test_the_file_can_go_elsewhere_and_the_same_policy_gives_the_same_bytes(lstm, tmp_path):
    result = export_policy(Export(lstm, tmp_path / "new" / "car.onnx"))
    assert result.path.read_bytes() == (lstm / "policy.onnx").read_bytes()
    assert sorted(p.name for p in result.path.parent.iterdir()) == ["car.onnx", "car.onnx.json"]


#: Writes what stands in files, two together, and ends by SIGKILL where the second gets its name.
KILLED_BETWEEN = """
import os, signal, sys
from pathlib import Path
from vista_sim.atomic import write_together
rename, named = os.replace, []
def die_at_second(part, path):
    named.append(rename(part, path) if not named else os.kill(os.getpid(), signal.SIGKILL))
os.replace = die_at_second
contents, paths = map(Path, sys.argv[1::2]), map(Path, sys.argv[2::2])
write_together([(path, content.read_bytes()) for content, path in zip(contents, paths)])
"""


def killed_between(files):
    """Write files as `write_together` does, by a process that is killed between their names."""
    given = []
    for path, data in files:
        content = path.with_name(f"content of {path.name}")
        content.write_bytes(data)
        given += [content, path]
    ended = subprocess.run([sys.executable, "-c", KILLED_BETWEEN, *given])
    assert ended.returncode == -signal.SIGKILL


def test_an_export_that_is_killed_between_its_two_files_is_not_taken_as_whole(
    lstm, tmp_path, monkeypatch
):
    other = save(tmp_path / "other", CONFIGS["cnn"])
    path, hand_made = tmp_path / "out" / "car.onnx", tmp_path / "out" / "car.json"
    with monkeypatch.context() as patch:
        patch.setattr(exporting, "write_together", killed_between)
        export_policy(Export(lstm, path))  # where nothing was
    with pytest.raises(PolicyError, match=r"car\.onnx: no such file$"):
        OnnxPolicy(path)
    export_policy(Export(lstm, path, overwrite=True))
    described = json.loads((tmp_path / "out" / "car.onnx.json").read_text())
    # In the place of a model with a description that names no hash, under the other name.
    path.with_name("car.onnx.json").unlink()
    hand_made.write_text(json.dumps({k: v for k, v in described.items() if k != "model"}))
    OnnxPolicy(path)
    with monkeypatch.context() as patch:
        patch.setattr(exporting, "write_together", killed_between)
        export_policy(Export(other, path, overwrite=True))
    with pytest.raises(PolicyError, match=r"must be that of the model .*; export both again$"):
        OnnxPolicy(path)
    export_policy(Export(other, path, overwrite=True))
    assert OnnxPolicy(path).description.name == "x"
    assert not list(path.parent.glob(".*"))


def test_a_file_that_answers_otherwise_is_refused(lstm, tmp_path, monkeypatch):
    other = NetworkPolicy(load(lstm).spec, build(CONFIGS["lstm"], seed=9))
    wrong = exporting.to_onnx(other.network, other.spec)
    monkeypatch.setattr(exporting, "to_onnx", lambda network, spec: wrong)
    with pytest.raises(PolicyError, match=r"answers otherwise, by .* nothing was written"):
        export_policy(Export(lstm, tmp_path / "x.onnx"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("package", ["onnx", "onnxruntime", "onnxscript"])
def test_a_missing_package_is_told_with_the_extra_that_brings_it(
    lstm, tmp_path, monkeypatch, package
):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == package else find(name)
    )
    with pytest.raises(MissingDependencyError, match=rf"^{package} is not .*'vista-sim\[onnx\]'"):
        export_policy(Export(lstm, tmp_path / "x.onnx"))


@pytest.mark.parametrize(
    ("out", "message"),
    [("x.pt", "must end in .onnx"), ("file/x.onnx", "cannot be written")],
)
def test_a_place_that_cannot_be_written_is_told_in_one_line(lstm, tmp_path, out, message):
    (tmp_path / "file").touch()
    with pytest.raises(PolicyError, match=message) as caught:
        export_policy(Export(lstm, tmp_path / out))
    assert "\n" not in str(caught.value)


def test_a_folder_without_a_policy_is_told_in_one_line(tmp_path):
    with pytest.raises(PolicyError, match=r"policy\.json: not found"):
        export_policy(Export(tmp_path))
