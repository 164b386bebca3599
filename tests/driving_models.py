"""Small ONNX models that drive, whose answers are known, and descriptions of them."""

import copy
import json

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper

FLOAT = TensorProto.FLOAT


def save(path, nodes, constants, inputs, outputs):
    """Write a graph; inputs and outputs are name to (type, shape)."""
    graph = helper.make_graph(
        nodes,
        "drive",
        [helper.make_tensor_value_info(name, *value) for name, value in inputs.items()],
        [helper.make_tensor_value_info(name, *value) for name, value in outputs.items()],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return path


def describe(path, description):
    """Write the JSON file beside a model."""
    path.with_suffix(".json").write_text(json.dumps(description), encoding="utf-8")
    return path


def write_passing(path, shape, dtype=FLOAT, name="value"):
    """A model whose output "answer" is its input."""
    node = helper.make_node("Identity", [name], ["answer"])
    return save(path, [node], {}, {name: (dtype, shape)}, {"answer": (dtype, shape)})


#: What `write_mean` wants.
MEAN = {
    "format": "vista-onnx-policy/1",
    "camera": {"size": [40, 100], "fov": 1.0},
    "inputs": [
        {"name": "image", "what": "camera", "layout": "NCHW", "scale": 1 / 255},
        {"name": "speed", "what": "speed", "unit": "m/s"},
    ],
    "recurrent_state": [{"input": "memory", "output": "next_memory"}],
    "outputs": [
        {"name": "steering", "what": "curvature", "unit": "1/m", "index": 0},
        {"name": "steering", "what": "acceleration", "unit": "m/s²", "index": 1},
    ],
}


def write_mean(path, **changes):
    """A model of image (1, 3, 40, 100), speed (1, 1) and memory (1, 2).

    Its answer "steering" (1, 2) is the image's mean and the speed, each with its memory added,
    and the next memory; "points" (1, 3, 2) is ten times the mean everywhere.
    """
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["mean4"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Reshape", ["mean4", "one_one"], ["mean"]),
        helper.make_node("Concat", ["mean", "speed"], ["both"], axis=1),
        helper.make_node("Add", ["both", "memory"], ["steering"]),
        helper.make_node("Identity", ["steering"], ["next_memory"]),
        helper.make_node("Mul", ["mean4", "tens"], ["points"]),
    ]
    constants = {
        "one_one": np.array([1, 1], np.int64),
        "tens": np.full((1, 3, 2), 10.0, np.float32),
    }
    inputs = {
        "image": (FLOAT, [1, 3, 40, 100]),
        "speed": (FLOAT, [1, 1]),
        "memory": (FLOAT, [1, 2]),
    }
    outputs = {
        "steering": (FLOAT, [1, 2]),
        "next_memory": (FLOAT, [1, 2]),
        "points": (FLOAT, [1, 3, 2]),
    }
    save(path, nodes, constants, inputs, outputs)
    return describe(path, {**copy.deepcopy(MEAN), **changes})
