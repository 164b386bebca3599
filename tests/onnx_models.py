"""Small ONNX depth models whose answer is known."""

import json

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper


def save(path, nodes, constants, shape, output_shape, dtype=TensorProto.FLOAT, settings=None):
    """Write a model from "picture" to "answer", and the JSON beside it if there are settings."""
    graph = helper.make_graph(
        nodes,
        "depth",
        [helper.make_tensor_value_info("picture", dtype, shape)],
        [helper.make_tensor_value_info("answer", TensorProto.FLOAT, output_shape)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    if settings is not None:
        path.with_suffix(".json").write_text(json.dumps(settings), encoding="utf-8")
    return path


def write_map(path, answer, settings=None):
    """A model that answers every picture (any number of pixels like `answer`) with this map."""
    height, width = answer.shape
    nodes = [
        helper.make_node("ReduceMean", ["picture"], ["mean"], axes=[1], keepdims=1),
        helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
        helper.make_node("Add", ["nothing", "map"], ["answer"]),
    ]
    constants = {"zero": np.float32(0), "map": answer[None, None].astype(np.float32)}
    shape = [1, 3, height, width]
    return save(path, nodes, constants, shape, [1, 1, height, width], settings=settings)


def write_weighted(path, weights, size, layout="NCHW", settings=None):
    """A model that answers with the weighted sum of its three input channels."""
    weights = np.asarray(weights, np.float32)
    axis = 1 if layout == "NCHW" else 3
    shape = [1, 1, 1, 1]
    shape[axis] = 3
    nodes = [
        helper.make_node("Mul", ["picture", "weights"], ["weighted"]),
        helper.make_node("ReduceSum", ["weighted", "axes"], ["answer"], keepdims=0),
    ]
    constants = {"weights": weights.reshape(shape), "axes": np.array([axis], np.int64)}
    height, width = size
    given = [1, 3, height, width] if layout == "NCHW" else [1, height, width, 3]
    return save(path, nodes, constants, given, [1, height, width], settings=settings)
