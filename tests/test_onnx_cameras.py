"""An ONNX model that takes the images of two cameras, each with a lens and mount of its own."""

import json

import pytest
from onnx import TensorProto, helper

import vista_sim
from vista_sim import CameraSpec
from vista_sim.errors import PolicyError
from vista_sim.policies import OnnxPolicy
from vista_sim.transforms import camera_mount

SIDE = camera_mount(0.5, 0.5, 1.2, yaw=0.5)
SENSORS = {
    "camera": {"kind": "camera", "size": [24, 48]},
    "left": {"kind": "camera", "size": [20, 30], "fov": 1.0, "mount": SIDE.tolist()},
}
DESCRIPTION = {
    "format": "vista-onnx-policy/1",
    "sensors": SENSORS,
    "inputs": [
        {"name": "ahead", "what": "camera", "layout": "NHWC", "scale": 0.001},
        {
            "name": "aside",
            "what": "camera",
            "sensor": "left",
            "crop": {"top": 4, "bottom": 6, "left": 0, "right": 10},
            "layout": "NHWC",
            "scale": 0.001,
        },
    ],
    "outputs": [{"name": "answer", "what": "curvature", "unit": "1/m", "positive": "left"}],
}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """It answers with how much brighter the first image is than the second."""
    nodes = [
        helper.make_node("ReduceMean", ["ahead"], ["first"], keepdims=0),
        helper.make_node("ReduceMean", ["aside"], ["second"], keepdims=0),
        helper.make_node("Sub", ["first", "second"], ["difference"]),
        helper.make_node("Unsqueeze", ["difference", "axis"], ["answer"]),
    ]
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in (("ahead", [1, 24, 48, 3]), ("aside", [1, 10, 20, 3]))
    ]
    answer = helper.make_tensor_value_info("answer", TensorProto.FLOAT, [1])
    axis = helper.make_tensor("axis", TensorProto.INT64, [1], [0])
    graph = helper.make_graph(nodes, "two", inputs, [answer], [axis])
    opset = [helper.make_opsetid("", 17)]
    path = tmp_path_factory.mktemp("two") / "two.onnx"
    path.write_bytes(
        helper.make_model(graph, opset_imports=opset, ir_version=9).SerializeToString()
    )
    return path


def described(model, description):
    model.with_suffix(".json").write_text(json.dumps(description))
    return OnnxPolicy(model)


def test_each_input_takes_the_image_of_its_camera(model, road_trace):
    policy = described(model, DESCRIPTION)
    assert policy.sensors == {
        "camera": CameraSpec((24, 48)),
        "left": CameraSpec((20, 30), 1.0, SIDE, used=(4, 14, 0, 20)),
    }
    assert policy.camera == CameraSpec((24, 48))
    world = vista_sim.World([road_trace])
    car = world.spawn_agent()
    for name, spec in policy.sensors.items():
        car.spawn_sensor(name, spec)
    car.reset(s=50.0, lateral=0.3, heading=0.0)
    seen = car.observations
    expected = 0.001 * (seen["camera"].mean() - seen["left"][4:14, :20].mean())
    assert policy.act(seen, car).curvature == pytest.approx(expected, abs=1e-6)
    assert expected != 0
    with pytest.raises(PolicyError, match="takes 'left', which is not observed"):
        policy.act({"camera": seen["camera"]}, car)
    report = vista_sim.evaluate(policy, road_trace, recovery=False, section=(0.0, 1.0))
    assert report.metrics["crashes"] >= 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"camera": {"size": [24, 48]}}, "camera is .* left out where there is a field sensors"),
        ({"sensors": {"left": SENSORS["left"]}}, "first camera is observed as 'camera'"),
        ({"sensors": {"camera": SENSORS["camera"]}}, r"inputs\[1\].sensor is 'left'; .* camera"),
        ({"sensors": {**SENSORS, "state": {"kind": "state"}}}, "sensors.state is read by no input"),
        (
            {"sensors": {**SENSORS, "left": {**SENSORS["left"], "mount": [[0.0] * 4] * 4}}},
            "sensors.left.mount: .* rigid",
        ),
    ],
)
def test_cameras_that_cannot_be_are_named(model, change, said):
    with pytest.raises(PolicyError, match=said):
        described(model, DESCRIPTION | change)
