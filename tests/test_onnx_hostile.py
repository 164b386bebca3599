"""ONNX files that ask for more than they may: refused before they take it, in one line."""

import json
import math
import os
import subprocess

import numpy as np
import pytest
from driving_models import FLOAT, MEAN, describe, save, write_mean, write_passing
from onnx import TensorProto, external_data_helper, helper, load
from onnx_models import write_map

from vista_sim import onnx_session
from vista_sim.errors import GeometryError, PolicyError, PolicyRaisedError
from vista_sim.geometry.onnx import OnnxDepth
from vista_sim.policies import OnnxPolicy

node = helper.make_node


def constant_input(path, nodes, constants):
    """A policy whose only input is a constant, and whose model has these nodes."""
    ends = {"x": (FLOAT, [1, 1])}, {"y": (FLOAT, [1, 1])}
    save(path, nodes, constants, *ends)
    values = {
        "format": "vista-onnx-policy/1",
        "camera": None,
        "inputs": [{"name": "x", "what": "constant", "value": 1.0}],
        "outputs": [{"name": "y", "what": "curvature", "unit": "1/m", "index": 0}],
    }
    return describe(path, values)


def refused(path, *words, kind=OnnxPolicy, error=PolicyError):
    with pytest.raises(error) as caught:
        kind(path)
    text = str(caught.value)
    assert "\n" not in text
    for word in (str(path.with_suffix("")), *words):
        assert word in text


def folding(path):
    """9.6 GB of zeros, made of a constant as soon as the file is opened."""
    nodes = [
        node("ConstantOfShape", ["shape"], ["zeros"]),
        node("ReduceMean", ["zeros"], ["mean"]),
        node("Add", ["x", "mean"], ["y"]),
    ]
    return constant_input(path, nodes, {"shape": np.array([40_000, 60_000])})


def test_constants_that_take_gigabytes_are_refused_in_a_process_of_their_own(tmp_path):
    refused(folding(tmp_path / "fold.onnx"), "1024 MiB of memory", "no model to be trusted")


def test_a_step_that_takes_gigabytes_is_refused_when_the_model_is_loaded(tmp_path):
    nodes = [node("Expand", ["x", "shape"], ["many"]), node("ReduceSum", ["many"], ["y"])]
    path = constant_input(tmp_path / "step.onnx", nodes, {"shape": np.array([10**6, 3000])})
    refused(path, "1024 MiB of memory")


def test_a_model_of_another_hash_is_not_opened(tmp_path, monkeypatch):
    def open_session(*_):
        raise AssertionError("it was opened")

    monkeypatch.setattr("vista_sim.policies.onnx.policy.open_session", open_session)
    path = folding(tmp_path / "fold.onnx")
    values = json.loads(path.with_suffix(".json").read_text())
    describe(path, {**values, "model": {"sha256": 64 * "0"}})
    refused(path, "model.sha256 is '0000", "it must be that of the model beside it")


def test_a_file_is_tried_once_and_again_when_it_has_changed(tmp_path, monkeypatch):
    tried = []
    run = subprocess.run
    monkeypatch.setenv(onnx_session.PASSED, "")
    monkeypatch.setattr(subprocess, "run", lambda *a, **k: tried.append(a) or run(*a, **k))
    path = write_mean(tmp_path / "model.onnx")
    for _ in range(2):
        OnnxPolicy(path)
    assert len(tried) == 1
    assert os.environ[onnx_session.PASSED]  # which the processes of a suite inherit
    changed = load(path)
    changed.doc_string = "another"
    path.write_bytes(changed.SerializeToString())
    OnnxPolicy(path)
    assert len(tried) == 2


def write_weights_apart(path, file, location):
    """Move the constant "tens" of `write_mean` to a file, which the model says is elsewhere."""
    model = load(path)
    (tensor,) = [tensor for tensor in model.graph.initializer if tensor.name == "tens"]
    file.write_bytes(tensor.raw_data)
    external_data_helper.set_external_data(tensor, location)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    path.write_bytes(model.SerializeToString())


@pytest.mark.parametrize("location", ["../secret.bin", "/etc/hostname", "a/../../secret.bin"])
def test_weights_outside_the_folder_of_a_model_are_refused(tmp_path, location):
    folder = tmp_path / "model"
    folder.mkdir()
    path = write_mean(folder / "model.onnx")
    write_weights_apart(path, tmp_path / "secret.bin", location)
    refused(path, "takes weights from", "which does not lie in its folder")


def test_weights_in_the_folder_of_a_model_are_read(tmp_path):
    path = write_mean(tmp_path / "model.onnx")
    write_weights_apart(path, tmp_path / "weights.bin", "weights.bin")
    policy = OnnxPolicy(path)
    policy.reset()
    image = np.full((40, 100, 3), 51, np.uint8)
    action = policy.act({"camera": image, "speed": np.array([2.0], np.float32)})
    assert math.isclose(action.curvature, 0.2, rel_tol=1e-5)
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(PolicyError, match=r"weights\.bin: not found"):
        OnnxPolicy(path)


@pytest.mark.parametrize("name", ["model.onnx", "model.json"])
def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(tmp_path, name):
    path = write_mean(tmp_path / "model.onnx")
    (tmp_path / name).unlink()
    os.mkfifo(tmp_path / name)
    with pytest.raises(PolicyError, match=r"no such file|has no description"):
        OnnxPolicy(path)


def test_a_history_that_would_take_gigabytes_is_refused(tmp_path):
    path = write_passing(tmp_path / "model.onnx", [1, 300, 2000, 1000], name="image")
    values = {**MEAN, "recurrent_state": [], "camera": {"size": [2000, 1000]}}
    values["inputs"] = [{"name": "image", "what": "camera", "layout": "NCHW"}]
    values["history"] = {"frames": 100, "stride": 1000}
    describe(path, values)
    refused(path, "inputs[0]: 100 frames with a stride of 1000 keep 2265953 MiB")


def test_a_state_that_grows_with_every_step_is_refused(tmp_path):
    path = write_mean(tmp_path / "model.onnx")
    nodes = [
        node("Concat", ["memory", "memory"], ["next_memory"], axis=0),
        node("ReduceMean", ["memory"], ["steering"], keepdims=1),
    ]
    inputs = {"memory": (FLOAT, [None, 2])}
    save(path, nodes, {}, inputs, {"steering": (FLOAT, [1, 1]), "next_memory": (FLOAT, [None, 2])})
    values = {**MEAN, "camera": None, "inputs": [], "outputs": [MEAN["outputs"][0]]}
    values["recurrent_state"] = [{"input": "memory", "output": "next_memory", "shape": [1, 2]}]
    describe(path, values)
    policy = OnnxPolicy(path)
    policy.reset()
    with pytest.raises(PolicyRaisedError, match=r"has the shape \(2, 2\); the state .* \(1, 2\)"):
        policy.act({})


def test_a_depth_model_of_absurd_size_is_refused(tmp_path):
    path = tmp_path / "depth.onnx"
    shape = [1, 3, 200_000, 100_000]
    save(path, [node("Identity", ["x"], ["y"])], {}, {"x": (FLOAT, shape)}, {"y": (FLOAT, shape)})
    refused(path, "at most 67108864 pixels", kind=OnnxDepth, error=GeometryError)


def test_a_depth_model_is_opened_alone_first(tmp_path):
    write_map(tmp_path / "fine.onnx", np.ones((8, 8)))
    OnnxDepth(tmp_path / "fine.onnx")
    path = folding(tmp_path / "fold.onnx")
    path.with_suffix(".json").unlink()
    refused(path, "1024 MiB of memory", kind=OnnxDepth, error=GeometryError)
