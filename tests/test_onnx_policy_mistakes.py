"""Every field of an ONNX policy's description that is missing or wrong is named in one line."""

import json

import pytest
from driving_models import MEAN, describe, write_mean, write_passing
from onnx import TensorProto

from vista_sim.errors import PolicyError
from vista_sim.policies import OnnxPolicy


@pytest.fixture
def path(tmp_path):
    return write_mean(tmp_path / "model.onnx")


def edit(path, change):
    values = json.loads(json.dumps(MEAN))
    change(values)
    describe(path, values)


def refuse(path, message):
    with pytest.raises(PolicyError) as caught:
        OnnxPolicy(path)
    text = str(caught.value)
    assert "\n" not in text
    assert message in text
    assert str(path.with_suffix("")) in text


def image(**changes):
    return lambda v: v["inputs"][0].update(changes)


def speed(**changes):
    return lambda v: v["inputs"][1].update(changes)


def output(**changes):
    return lambda v: v["outputs"][0].update(changes)


def whole(**changes):
    return lambda v: v.update(changes)


def without(*keys):
    def change(values):
        for key in keys[:-1]:
            values = values[key]
        del values[keys[-1]]

    return change


COMMAND = {"name": "speed", "what": "command", "values": ["follow", "left"]}
STATE = {"name": "speed", "what": "state_vector", "entries": [{"name": "speed", "unit": "m/s"}]}
POINTS = {
    "name": "points",
    "what": "waypoints",
    "unit": "m",
    "frame": "vehicle: x forward, y left",
}


def second(entry, **changes):
    return lambda v: v["inputs"].__setitem__(1, {**entry, **changes})


def only(*outputs):
    return lambda v: v.update(outputs=list(outputs))


MISTAKES = [
    # The whole.
    (without("format"), "format is None; it must be 'vista-onnx-policy/1'"),
    (whole(format="vista-onnx-policy/2"), "format is 'vista-onnx-policy/2'"),
    (whole(colour="RGB"), "field 'colour' is unknown; allowed: format, name"),
    (whole(input=[]), "field 'input' is unknown (did you mean 'inputs'?)"),
    (whole(name=3), "name is 3; it must be text"),
    (without("camera"), 'camera is missing; it must be an object such as {"size": [66, 200]}'),
    (whole(camera=7), "camera is 7; it must be an object"),
    (without("inputs"), "inputs is missing; it must be a list of objects"),
    (whole(inputs={}), "inputs is {}; it must be a list of objects"),
    (without("outputs"), "outputs is missing"),
    (whole(outputs=[]), "outputs is []; it must be a list of objects, one for each output"),
    (whole(model={"sha256": "0" * 64}), "model.sha256 is '0000"),
    # The camera.
    (without("camera", "size"), "camera.size is missing; it must be [height, width] in pixels"),
    (whole(camera={"size": [40]}), "camera.size is [40]; it must be [height, width]"),
    (whole(camera={"size": [40, 1e9]}), "camera.size is [40, 1000000000.0]"),
    (whole(camera={"size": [40, 100], "fov": 4.0}), "fov is 4.0 rad; it must be between 0 and pi"),
    (whole(camera={"size": [40, 100], "fov": "1"}), "camera.fov is '1'; it must be the horizontal"),
    (whole(camera={"size": [40, 100], "width": 3}), "camera: field 'width' is unknown"),
    (whole(camera={"size": [40, 100], "mount": [[0] * 4] * 4}), "camera.mount: "),
    (whole(camera={"size": [40, 100], "lens": {}}), "field 'camera' is not usable"),
    (whole(camera=None), "inputs[0] takes the camera, but"),
    (whole(camera={"size": [66, 200]}), "make the shape (1, 3, 66, 200); input 'image' of the mod"),
    # An image.
    (image(what="picture"), "inputs[0].what is 'picture'; it must be one of camera, speed, state_"),
    (without("inputs", 0, "what"), "inputs[0].what is missing; it must be one of camera, speed"),
    (image(name="img"), "inputs[0].name is 'img'; it must be the name of an input of the model: i"),
    (without("inputs", 0, "name"), "inputs[0].name is missing"),
    (image(colr="BGR"), "inputs[0]: field 'colr' is unknown (did you mean 'colour'?)"),
    (image(unit="m/s"), "inputs[0]: field 'unit' is unknown"),
    (image(colour="GRB"), "inputs[0].colour is 'GRB'; it must be one of RGB, BGR, gray, YUV"),
    (image(colour=["RGB"]), "inputs[0].colour is ['RGB']"),
    (image(colour="gray"), "make the shape (1, 1, 40, 100)"),
    (without("inputs", 0, "layout"), "inputs[0].layout is missing; it must be one of NCHW, NHWC"),
    (image(layout="NWHC"), "inputs[0].layout is 'NWHC'; it must be one of NCHW"),
    (image(layout="NHWC"), "layout NHWC make the shape (1, 40, 100, 3); input 'image' of the mod"),
    (image(layout="HW"), "inputs[0].layout is 'HW'; it must be one with C, since colour is 'RGB'"),
    (image(scale="1/255"), "inputs[0].scale is '1/255'; it must be a number"),
    (image(scale=True), "inputs[0].scale is True; it must be a number"),
    (image(scale=10**400), "model.json: cannot be read as JSON (the number 1000"),
    (image(mean=float("nan")), "model.json: cannot be read as JSON (NaN is no number"),
    (
        image(mean=[1, 2]),
        "inputs[0].mean is [1, 2]; it must be a number, or a list of 3, one per c",
    ),
    (
        image(std=0),
        "inputs[0].std is 0; it must be a number, or a list of 3, one per channel, posi",
    ),
    (image(dtype="uint8"), "inputs[0].dtype is 'uint8'; it must be that of the model: float32"),
    (image(shape=[1, 3, 66, 200]), "inputs[0].shape is [1, 3, 66, 200]; it must be that of the mo"),
    (image(crop=[0, 0]), "inputs[0].crop is [0, 0]; it must be an object"),
    (image(crop={"top": -1}), "inputs[0].crop.top is -1; it must be a whole number from 0"),
    (image(crop={"top": 0.5}), "inputs[0].crop.top is 0.5; it must be a whole number"),
    (image(crop={"up": 3}), "inputs[0].crop: field 'up' is unknown"),
    (image(crop={"x": 0, "top": 3}), "inputs[0].crop has 'top' beside a box"),
    (image(crop={"x": 0, "y": 0, "width": 3}), "inputs[0].crop.height is missing"),
    (image(crop={"left": 60, "right": 60}), "keeps columns 60 to 40"),
    (image(crop={"x": 0, "y": 0, "width": 101, "height": 40}), "the camera has 100 columns and 40"),
    (image(crop={"top": 10}), "make the shape (1, 3, 30, 100)"),
    (image(resize=[40, 100]), "inputs[0].resize is [40, 100]; it must be an object"),
    (image(resize={"size": [40]}), "inputs[0].resize.size is [40]"),
    (image(resize={"size": [0, 100]}), "inputs[0].resize.size is [0, 100]; it must be [height, wi"),
    (
        image(resize={"size": [40, 100], "interpolation": "lanczos"}),
        "inputs[0].resize.interpolation is 'lanczos'; it must be one of nearest, linear, cubic, a",
    ),
    (image(history=0), "inputs[0].history is 0; it must be a whole number from 1 to 256"),
    (image(history="2"), "inputs[0].history is '2'"),
    (image(history={"stride": 2}), "inputs[0].history.frames is missing"),
    (image(history={"frames": 1, "order": "back"}), "history.order is 'back'; it must be one of o"),
    (image(history={"frames": 1, "padding": "x"}), "history.padding is 'x'; it must be one of rep"),
    (image(history=2), "make the shape (1, 6, 40, 100)"),
    (image(colour="gray", layout="NHW", history=2), "one with T or C, to stack 2 frames along"),
    (whole(history={"frames": 3}), "make the shape (1, 9, 40, 100)"),
    # Numbers.
    (
        without("inputs", 1),
        "input 'speed' of the model is not described; add it to inputs, or to r",
    ),
    (lambda v: v["inputs"].append(v["inputs"][1]), "input 'speed' of the model is described twice"),
    (without("inputs", 1, "unit"), "inputs[1].unit is missing; it must be one of m/s, km/h, mph"),
    (speed(unit="knots"), "inputs[1].unit is 'knots'; it must be one of m/s, km/h, mph"),
    (
        speed(history=3),
        "makes 3 numbers (1 a frame, 3 frames); input 'speed' of the model takes (1",
    ),
    (second(STATE, entries=[]), "inputs[1].entries is []"),
    (second(STATE, entries=["speed"]), "inputs[1].entries[0] is 'speed'; it must be an object"),
    (second(STATE, entries=[{"name": "yaw"}]), "inputs[1].entries[0].name is 'yaw'; it must be on"),
    (
        second(STATE, entries=[{"name": "speed", "unit": "rad"}]),
        "inputs[1].entries[0].unit is 'rad'; it must be one of m/s, km/h, mph",
    ),
    (second(STATE, entries=STATE["entries"] * 2), "makes 2 numbers (2 a frame, 1 frames)"),
    (second(COMMAND, values=["a", "a"]), "inputs[1].values is ['a', 'a']; it must be a list of di"),
    (second(COMMAND, values=[["a"]]), "inputs[1].values is [['a']]"),
    (second(COMMAND, default="right"), "inputs[1].default is 'right'; it must be one of follow, l"),
    (
        second(COMMAND, encoding="one_hot"),
        "encoding is 'one_hot'; it must be one of index, one-hot",
    ),
    (second(COMMAND, encoding="one-hot"), "makes 2 numbers"),
    (second({"name": "speed", "what": "constant"}), "inputs[1].value is missing; it must be a num"),
    (second({"name": "speed", "what": "constant", "value": [1, 2]}), "inputs[1].value is [1, 2]"),
    (second({"name": "speed", "what": "constant", "value": [[]]}), "inputs[1].value is [[]]"),
    # Memory.
    (without("recurrent_state"), "input 'memory' of the model is not described"),
    (whole(recurrent_state={}), "recurrent_state is {}; it must be a list of objects"),
    (without("recurrent_state", 0, "output"), "recurrent_state[0].output is missing; it must be t"),
    (
        lambda v: v["recurrent_state"][0].update(output="points"),
        "recurrent_state[0]: output 'points' is float32 (1, 3, 2); it must be float32 (1, 2) as i",
    ),
    (
        lambda v: v["recurrent_state"][0].update(shape=[1, 3]),
        "recurrent_state[0].shape is [1, 3]; it must be that of the model: (1, 2)",
    ),
    (
        lambda v: v["recurrent_state"][0].update(initial="0"),
        "recurrent_state[0].initial is '0'; it must be a number",
    ),
    # Outputs.
    (output(what="steering"), "outputs[0].what is 'steering'; it must be one of curvature, tire_a"),
    (output(name="angle"), "outputs[0].name is 'angle'; it must be the name of an output of the m"),
    (without("outputs", 0, "unit"), "outputs[0].unit is missing; it must be one of 1/m"),
    (output(unit="rad"), "outputs[0].unit is 'rad'; it must be one of 1/m"),
    (
        output(what="tire_angle", unit="degrees"),
        "outputs[0].unit is 'degrees'; it must be one of r",
    ),
    (without("outputs", 0, "index"), "outputs[0].index is missing; output 'steering' of the model"),
    (output(index=2), "outputs[0].index is 2; it must be a whole number from 0 to 1"),
    (output(positive="clockwise"), "outputs[0].positive is 'clockwise'; it must be one of left, r"),
    (output(limit=0), "outputs[0].limit is 0; it must be a positive number"),
    (output(offset=None), "outputs[0].offset is None; it must be a number"),
    (output(response_time=1.0), "outputs[0]: field 'response_time' is unknown"),
    (lambda v: v["outputs"][1].update(what="curvature", unit="1/m"), "curvature is given twice"),
    (only(MEAN["outputs"][1]), "outputs: none of curvature, tire_angle, steering_wheel_angle, way"),
    (
        only(MEAN["outputs"][0], {**MEAN["outputs"][1], "what": "tire_angle", "unit": "rad"}),
        "outputs: curvature and tire_angle are both given; give one",
    ),
    (
        lambda v: v["outputs"].append({**MEAN["outputs"][1], "what": "speed", "unit": "m/s"}),
        "outputs: acceleration and speed are both given; give one",
    ),
    (only({**POINTS, "unit": "px"}), "outputs[0].unit is 'px'; it must be one of m"),
    (only({**POINTS, "frame": "camera"}), "outputs[0].frame is 'camera'; it must be one of vehicl"),
    (only({**POINTS, "distances": [3, 2, 1]}), "outputs[0].distances is [3, 2, 1]; it must be a l"),
    (only({**POINTS, "distances": [1, 2]}), "output 'points' of the model is (1, 3, 2); waypoints"),
    (only({**POINTS, "origin": [1]}), "outputs[0].origin is [1]; it must be [x, y] in m"),
    (only({**POINTS, "controller": {"kind": "pid"}}), "outputs[0].controller.kind is 'pid'; it mu"),
    (
        only({**POINTS, "controller": {"kind": "pure-pursuit", "lookahead": 0}}),
        "outputs[0].controller.lookahead is 0; it must be a positive number",
    ),
    # The vehicle.
    (whole(vehicle={"wheelbase": -1}), "vehicle.wheelbase is -1; it must be a positive number"),
    (
        whole(vehicle={"mass": 1}),
        "vehicle: field 'mass' is unknown; allowed: wheelbase, steering_r",
    ),
]


@pytest.mark.parametrize(("change", "message"), MISTAKES, ids=[m[1][:50] for m in MISTAKES])
def test_a_wrong_field_is_named(path, change, message):
    OnnxPolicy(path)
    edit(path, change)
    refuse(path, message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cannot be read as JSON"),
        ("[1]", "format is None"),
        ("[" * 100_000, "cannot be read as JSON"),
        ('{"format": 1, "format": 2}', "field 'format' is given twice"),
    ],
)
def test_a_description_that_is_none_is_told(path, text, message):
    path.with_suffix(".json").write_text(text)
    refuse(path, message)


def test_a_description_or_model_that_is_not_there_is_told(path):
    path.with_suffix(".json").unlink()
    refuse(path, "has no description beside it; write model.json or model.onnx.json")
    refuse(path.with_name("model2.onnx"), "no such file")


def test_what_is_no_onnx_model_is_told(path):
    path.write_bytes(b"\x80\x04pickle")
    refuse(path, "is not an ONNX model (it is cut off)")


def test_whole_numbers_take_no_normalization(tmp_path):
    path = write_passing(tmp_path / "model.onnx", [1, 4, 6, 3], TensorProto.UINT8)
    entry = {"name": "value", "what": "camera", "layout": "NHWC", "scale": 0.5}
    description = {**MEAN, "camera": {"size": [4, 6]}, "inputs": [entry], "recurrent_state": []}
    refuse(describe(path, description), "scale, mean and std must be 1, 0 and 1, since input 'val")


def test_a_type_that_holds_no_picture_is_told(tmp_path):
    path = write_passing(tmp_path / "model.onnx", [1, 4, 6, 3], TensorProto.BOOL)
    entry = {"name": "value", "what": "camera", "layout": "NHWC"}
    description = {**MEAN, "camera": {"size": [4, 6]}, "inputs": [entry], "recurrent_state": []}
    refuse(describe(path, description), "is bool; images can be float32")


def test_a_memory_without_a_size_must_be_given_one(tmp_path):
    path = write_passing(tmp_path / "model.onnx", [1, "n"])
    state = [{"input": "value", "output": "answer"}]
    description = {**MEAN, "inputs": [], "recurrent_state": state}
    refuse(
        describe(path, description), "recurrent_state[0].shape is missing; it must be the state'"
    )
