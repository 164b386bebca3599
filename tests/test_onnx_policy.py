"""Policies in ONNX format: what enters, what comes out, and that they drive as their originals."""

import json
import logging
import math

import numpy as np
import onnx
import pytest
import torch
from architectures import SMALL, build
from driving_models import MEAN, describe, write_mean, write_passing
from torch import nn
from vista_agents.actions import follow_waypoints
from vista_agents.export import Export, export_policy
from vista_agents.networks.sensors import own_sensors
from vista_agents.policy import PolicySpec, save_policy

from vista_sim.errors import PolicyError, PolicyNotFiniteError
from vista_sim.evaluation.evaluate import evaluate
from vista_sim.policies import Action, CameraSpec, OnnxPolicy, SocketPolicy
from vista_sim.policies.onnx.history import History
from vista_sim.policies.waypoints import WaypointPursuit
from vista_sim.runs.run import columns, read_run
from vista_sim.sensors.state_vector import STATE_NAMES
from vista_sim.traces.calibration import Vehicle

#: s; an untrained network does not come back to the path, and what PyTorch and ONNX Runtime
#: round differently grows tenfold each second on its way.
SECTION = (0.0, 2.0)


@pytest.fixture(autouse=True)
def _quiet(caplog):
    caplog.set_level(logging.ERROR)  # the ground is assumed flat where nothing was baked


class Network(nn.Module):
    """Written here alone: a cropped image in BGR to the steering-wheel angle in degrees."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        self.layers = nn.Sequential(
            nn.Conv2d(3, 8, 5, stride=3),
            nn.ReLU(),
            nn.Conv2d(8, 8, 3, stride=2),
            nn.ReLU(),
            nn.Flatten(),
            nn.LazyLinear(1),
        )
        self(torch.zeros(1, 3, 24, 96))
        with torch.no_grad():
            self.layers[-1].weight.mul_(120.0)

    def forward(self, image):
        return self.layers(image)


MEAN_BGR, STD_BGR = (0.4, 0.45, 0.5), (0.2, 0.25, 0.3)
DESCRIPTION = {
    "format": "vista-onnx-policy/1",
    "camera": {"size": [40, 100], "fov": 1.0},
    "inputs": [
        {
            "name": "image",
            "what": "camera",
            "crop": {"top": 12, "bottom": 4, "left": 3, "right": 1},
            "colour": "BGR",
            "scale": 1 / 255,
            "mean": MEAN_BGR,
            "std": STD_BGR,
            "layout": "NCHW",
        }
    ],
    "outputs": [
        {"name": "angle", "what": "steering_wheel_angle", "unit": "deg", "positive": "right"}
    ],
}


class Original:
    """Drives by the network in PyTorch, as its author would write it."""

    camera = CameraSpec((40, 100), fov=1.0)

    def __init__(self, network):
        self.network = network

    def reset(self):
        pass

    def act(self, observation, car=None):
        image = torch.from_numpy(observation["camera"].copy()).flip(-1)[12:36, 3:99]
        x = (image.float() / 255 - torch.tensor(MEAN_BGR)) / torch.tensor(STD_BGR)
        with torch.no_grad():
            degrees = self.network(x.permute(2, 0, 1)[None]).item()
        tire_angle = -math.radians(degrees) / car.vehicle.steering_ratio
        return Action(math.tan(tire_angle) / car.vehicle.wheelbase)


@pytest.fixture(scope="module")
def foreign(tmp_path_factory):
    """The network, and its ONNX file made by plain `torch.onnx.export`."""
    path = tmp_path_factory.mktemp("foreign") / "model.onnx"
    network = Network().eval()
    torch.onnx.export(
        network,
        (torch.zeros(1, 3, 24, 96),),
        path,
        input_names=["image"],
        output_names=["angle"],
        verbose=False,
    )
    return network, describe(path, DESCRIPTION)


def tables(policy, trace, out):
    evaluate(policy, trace, out, recovery=False, video=False, section=SECTION)
    run = read_run(out)
    return run.episodes, run.steps


def assert_alike(found, wanted, tolerance):
    for one, other in zip(found, wanted, strict=True):
        one, other = columns(one), columns(other)
        assert one.keys() == other.keys()
        for name in one:
            if one[name].dtype == np.float64:
                assert np.allclose(
                    one[name], other[name], rtol=0, atol=tolerance, equal_nan=True
                ), name
            else:
                assert (one[name] == other[name]).all(), name


def test_a_network_that_this_project_never_saw_drives_as_its_original(
    foreign, road_trace, tmp_path
):
    network, path = foreign
    wanted = tables(Original(network), road_trace, tmp_path / "original")
    found = tables(str(path), road_trace, tmp_path / "onnx")
    steering = columns(found[1])["action_curvature"]
    assert np.nanstd(steering) > 0.001  # it steers by what it sees
    assert np.nanmin(steering) < 0 < np.nanmax(steering)
    assert_alike(found, wanted, 1e-4)


def test_on_the_way_of_its_original_it_answers_alike_step_by_step(foreign, road_trace):
    network, path = foreign
    found, wanted = [], []

    class Both(Original):
        def act(self, observation, car=None):
            action = super().act(observation, car)
            wanted.append(action.curvature)
            found.append(read.act(observation, car).curvature)
            return action

    read = OnnxPolicy(path)
    evaluate(Both(network), road_trace, recovery=False, section=(0.0, 8.0))
    assert len(wanted) > 60
    assert np.std(wanted) > 0.001
    assert np.allclose(found, wanted, rtol=0, atol=1e-6)


def test_what_the_description_says_decides_what_the_network_answers(foreign, tmp_path):
    network, path = foreign
    observation = {"camera": image((40, 100))}
    wanted = Original(network).act(observation, Truck()).curvature
    found = OnnxPolicy(path).act(observation, Truck()).curvature
    assert found == pytest.approx(wanted, rel=1e-4)
    changes = (
        {"colour": "RGB"},
        {"crop": {"top": 10, "bottom": 6, "left": 3, "right": 1}},
        {"mean": 0.0},
        {"scale": 1 / 256},
    )
    other = tmp_path / "other.onnx"
    other.write_bytes(path.read_bytes())
    for data in path.parent.glob("model.onnx.data"):
        (tmp_path / data.name).write_bytes(data.read_bytes())
    for change in changes:
        entry = {**DESCRIPTION["inputs"][0], **change}
        describe(other, {**DESCRIPTION, "inputs": [entry]})
        assert OnnxPolicy(other).act(observation, Truck()).curvature != pytest.approx(
            wanted, rel=1e-3
        ), change


def test_over_a_socket_it_drives_the_very_same_run(foreign, road_trace, tmp_path, serving):
    _, path = foreign
    wanted = tables(path, road_trace, tmp_path / "here")
    address = serving(lambda: OnnxPolicy(path))
    found = tables(str(address), road_trace, tmp_path / "there")
    assert all(a.equals(b) for a, b in zip(found, wanted, strict=True))


def test_an_exported_policy_drives_as_its_folder(road_trace, tmp_path):
    config = SMALL["lstm"]
    spec = PolicySpec(own_sensors(config, 1.1), config, name="x", training={})
    network = build(config)
    with torch.no_grad():
        network.head.output.weight.mul_(0.1)  # untrained, it would steer into a crash
    save_policy(tmp_path / "folder", spec, network.state_dict())
    path = export_policy(Export(tmp_path / "folder")).path
    wanted = tables(tmp_path / "folder", road_trace, tmp_path / "a")
    found = tables(path, road_trace, tmp_path / "b")
    assert np.nanstd(columns(found[1])["action_curvature"]) > 2e-4
    assert_alike(found, wanted, 1e-4)


# What enters.


def entered(path, dtype, shape, entry, observation, car=None, steps=1, camera=(4, 6)):
    """The tensor of a model's one input after some steps of observations."""
    write_passing(path, shape, dtype)
    description = {
        "format": "vista-onnx-policy/1",
        "camera": {"size": list(camera)},
        "inputs": [{"name": "value", **entry}],
        "outputs": [{"name": "answer", "what": "curvature", "unit": "1/m", "index": 0}],
    }
    (given,) = OnnxPolicy(describe(path, description)).description.inputs
    observations = observation if steps > 1 else [observation]
    frames = [given.frame(one, car) for one in observations][-given.history.length :]
    return given.arrange(given.history.choose(frames))


F = onnx.TensorProto.FLOAT


def image(size=(4, 6), seed=0):
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.onnx"


def test_pixels_enter_as_they_are_where_nothing_else_is_said(path):
    seen = image()
    found = entered(path, F, [1, 4, 6, 3], {"what": "camera", "layout": "NHWC"}, {"camera": seen})
    assert found.dtype == np.float32
    assert np.array_equal(found[0], seen.astype(np.float32))
    entry = {"what": "camera", "layout": "CHW"}
    found = entered(path, onnx.TensorProto.UINT8, [3, 4, 6], entry, {"camera": seen})
    assert found.dtype == np.uint8
    assert np.array_equal(found, seen.transpose(2, 0, 1))


def test_a_box_and_cut_sides_keep_the_same_pixels(path):
    seen = image()
    for crop in ({"top": 1, "left": 2, "right": 1}, {"x": 2, "y": 1, "width": 3, "height": 3}):
        entry = {"what": "camera", "layout": "HWC", "crop": crop}
        found = entered(path, F, [3, 3, 3], entry, {"camera": seen})
        assert np.array_equal(found, seen[1:4, 2:5])


def test_each_channel_is_normalized_in_the_order_of_the_model(path):
    seen = np.zeros((4, 6, 3), np.uint8)
    seen[...] = (10, 20, 30)  # RGB
    entry = {"what": "camera", "layout": "NCHW", "colour": "BGR"}
    entry |= {"scale": 0.1, "mean": [1.0, 2.0, 3.0], "std": [2.0, 4.0, 8.0]}
    found = entered(path, F, ["n", 3, "h", "w"], entry, {"camera": seen})
    assert found.shape == (1, 3, 4, 6)
    # Blue (3 - 1) / 2, green (2 - 2) / 4, red (1 - 3) / 8.
    assert found[0, :, 2, 2] == pytest.approx([1.0, 0.0, -0.25])


def test_gray_and_yuv_weigh_colours_as_bt601_does(path):
    seen = np.zeros((4, 6, 3), np.uint8)
    seen[...] = (200, 100, 50)
    luma = 0.299 * 200 + 0.587 * 100 + 0.114 * 50
    entry = {"what": "camera", "layout": "HW", "colour": "gray"}
    assert entered(path, F, [4, 6], entry, {"camera": seen})[0, 0] == pytest.approx(luma, abs=0.51)
    entry = {"what": "camera", "layout": "HWC", "colour": "YUV"}
    y, u, v = entered(path, F, [4, 6, 3], entry, {"camera": seen})[0, 0]
    assert y == pytest.approx(luma, abs=0.51)
    assert u == pytest.approx(128 + 0.492 * (50 - luma), abs=1.0)
    assert v == pytest.approx(128 + 0.877 * (200 - luma), abs=1.0)


@pytest.mark.parametrize(("name", "mode"), [("linear", "bilinear"), ("nearest", "nearest")])
def test_resizing_is_that_of_pytorch(path, name, mode):
    seen = image((8, 12))
    resize = {"size": [4, 6], "interpolation": name}
    entry = {"what": "camera", "layout": "CHW", "resize": resize}
    found = entered(path, F, [3, 4, 6], entry, {"camera": seen}, camera=(8, 12))
    given = torch.from_numpy(seen).permute(2, 0, 1)[None].float()
    wanted = torch.nn.functional.interpolate(given, (4, 6), mode=mode)[0].numpy()
    assert np.abs(found - wanted).max() <= 0.5001  # images are whole gray levels


def test_resizing_by_area_is_the_mean_of_the_pixels(path):
    seen = image((8, 12))
    resize = {"size": [4, 6], "interpolation": "area"}
    entry = {"what": "camera", "layout": "HWC", "resize": resize}
    found = entered(path, F, [4, 6, 3], entry, {"camera": seen}, camera=(8, 12))
    wanted = seen.reshape(4, 2, 6, 2, 3).mean(axis=(1, 3))
    assert np.abs(found - wanted).max() <= 0.5001


def frames_of(found):
    """The gray level that tells which frame is where."""
    return found.reshape(-1).tolist()


@pytest.mark.parametrize(
    ("history", "steps", "wanted"),
    [
        (3, 5, [2, 3, 4]),
        ({"frames": 3, "stride": 2}, 6, [1, 3, 5]),
        ({"frames": 3, "order": "newest-first"}, 5, [4, 3, 2]),
        ({"frames": 3}, 2, [0, 0, 1]),
        ({"frames": 3, "stride": 2, "padding": "zeros"}, 4, [-1, 1, 3]),
    ],
)
def test_a_history_holds_the_frames_it_says(path, history, steps, wanted):
    seen = [{"camera": np.full((1, 1, 3), i + 1, np.uint8)} for i in range(steps)]
    count = len(wanted)
    shapes = {"TCHW": [count, 1, 1, 1], "NCHW": [1, count, 1, 1], "NTHW": [1, count, 1, 1]}
    for layout, shape in shapes.items():
        entry = {"what": "camera", "colour": "gray", "layout": layout, "history": history}
        found = entered(path, F, shape, entry, seen, steps=steps, camera=(1, 1))
        assert found.shape == tuple(shape)
        assert [round(v - 1) for v in frames_of(found)] == wanted


def test_frames_stacked_along_channels_keep_their_channels_together(path):
    seen = [{"camera": image(seed=i)} for i in range(2)]
    entry = {"what": "camera", "layout": "NCHW", "history": 2}
    found = entered(path, F, [1, 6, 4, 6], entry, seen, steps=2)
    assert np.array_equal(found[0, :3], seen[0]["camera"].transpose(2, 0, 1))
    assert np.array_equal(found[0, 3:], seen[1]["camera"].transpose(2, 0, 1))
    entry["layout"] = "NCTHW"
    found = entered(path, F, [1, 3, 2, 4, 6], entry, seen, steps=2)
    assert np.array_equal(found[0, :, 1], seen[1]["camera"].transpose(2, 0, 1))


@pytest.mark.parametrize(("unit", "factor"), [("m/s", 1.0), ("km/h", 3.6), ("mph", 2.2369363)])
def test_speed_enters_in_its_unit(path, unit, factor):
    entry = {"what": "speed", "unit": unit, "scale": 0.1, "mean": 0.5, "std": 2.0}
    found = entered(path, F, [1, 1], entry, {"speed": np.array([10.0], np.float32)})
    assert found.shape == (1, 1)
    assert found.item() == pytest.approx((factor - 0.5) / 2)


def test_entries_of_the_state_vector_are_chosen_by_name_and_unit(path):
    class Car:
        def state_vector(self):
            return np.arange(1, len(STATE_NAMES) + 1, dtype=np.float32) / 10

    entries = [
        {"name": "tire_angle", "unit": "deg"},
        {"name": "lateral", "unit": "m"},
        {"name": "speed", "unit": "km/h"},
    ]
    entry = {"what": "state_vector", "entries": entries, "mean": [0.0, 0.1, 0.0]}
    found = entered(path, F, [1, 3], entry, {}, Car())
    assert found[0] == pytest.approx([math.degrees(0.4), 0.0, 0.3 * 3.6], rel=1e-5)
    again = entered(path, F, [3], entry, {"state": Car().state_vector()})
    assert np.array_equal(again, found[0])
    with pytest.raises(PolicyError, match=r"call act\(observation, car\)"):
        entered(path, F, [1, 3], entry, {})


def test_commands_enter_by_place_or_one_hot(path):
    values = ["follow", "left", "right"]
    entry = {"what": "command", "values": values, "default": "right"}
    integer = onnx.TensorProto.INT64
    for command, place in (("left", 1), (None, 2), (np.array([0]), 0), (1, 1)):
        found = entered(path, integer, [1], entry, {"command": command})
        assert (found.tolist(), found.dtype) == ([place], np.int64)
    one_hot = {**entry, "encoding": "one-hot"}
    found = entered(path, F, [1, 3], one_hot, {"command": "left"})
    assert found.tolist() == [[0.0, 1.0, 0.0]]
    with pytest.raises(PolicyError, match="command 'back' is unknown; known: follow, left, right"):
        entered(path, integer, [1], entry, {"command": "back"})


def test_constants_enter_whole(path):
    entry = {"what": "constant", "value": [[1, 0], [2, 3]]}
    assert entered(path, F, [2, 2], entry, {}).tolist() == [[1, 0], [2, 3]]
    entry = {"what": "constant", "value": 0.5}
    assert entered(path, F, [2, "n", 3], entry, {}).tolist() == [[[0.5] * 3]] * 2


# What comes out.

OBSERVATION = {"camera": np.full((40, 100, 3), 51, np.uint8), "speed": np.array([2.0], np.float32)}


class Truck:
    vehicle = Vehicle(wheelbase=4.0, steering_ratio=20.0)

    def state_vector(self):
        return np.zeros(len(STATE_NAMES), np.float32)


def answer(path, outputs, car=None, observation=OBSERVATION, **changes):
    """The action of `write_mean`'s model: it answers 0.2 and the speed."""
    return OnnxPolicy(write_mean(path, outputs=outputs, **changes)).act(observation, car)


def steering(what, unit, **more):
    return [{"name": "steering", "what": what, "unit": unit, "index": 0, **more}]


VEHICLE = {"wheelbase": 2.5, "steering_ratio": 10.0}


@pytest.mark.parametrize(
    ("outputs", "curvature"),
    [
        (steering("curvature", "1/m"), 0.2),
        (steering("curvature", "1/m", positive="right"), -0.2),
        (steering("curvature", "1/m", scale=0.5, offset=0.1), 0.2),
        (steering("curvature", "1/m", limit=0.15), 0.15),
        (steering("curvature", "1/m", limit=0.15, scale=-1.0), -0.15),
        (steering("tire_angle", "rad"), math.tan(0.2) / 2.5),
        (steering("tire_angle", "deg", scale=10.0), math.tan(math.radians(2.0)) / 2.5),
        (steering("steering_wheel_angle", "rad", scale=5), math.tan(0.1) / 2.5),
        (
            steering("steering_wheel_angle", "deg", scale=300.0, positive="right"),
            -math.tan(math.radians(6.0)) / 2.5,
        ),
        (steering("tire_angle", "rad", scale=100.0), math.tan(1.5) / 2.5),
    ],
)
def test_an_output_becomes_the_curvature_that_it_means(path, outputs, curvature):
    found = answer(path, outputs, vehicle=VEHICLE)
    assert found.curvature == pytest.approx(curvature, rel=1e-6)
    assert found.acceleration is None


def test_the_recorded_car_says_what_an_angle_means_unless_the_file_does(path):
    outputs = steering("steering_wheel_angle", "rad")
    assert answer(path, outputs, Truck()).curvature == pytest.approx(math.tan(0.01) / 4.0)
    mixed = answer(path, outputs, Truck(), vehicle={"wheelbase": 2.0})
    assert mixed.curvature == pytest.approx(math.tan(0.01) / 2.0)
    with pytest.raises(PolicyError, match=r"vehicle\.steering_ratio is missing .* no car is given"):
        answer(path, outputs)


def test_speed_and_acceleration_become_an_acceleration(path):
    curvature = steering("curvature", "1/m")
    pull = {"name": "steering", "what": "acceleration", "unit": "g", "index": 1, "limit": 0.5}
    assert answer(path, [*curvature, pull]).acceleration == pytest.approx(0.5 * 9.80665)
    aim = {"name": "steering", "what": "speed", "unit": "km/h", "index": 1, "scale": 3.6}
    aim |= {"offset": 7.2, "response_time": 4.0}
    # 2 m/s more than the car has, within 4 s.
    assert answer(path, [*curvature, aim]).acceleration == pytest.approx(0.5)


def circle(radius, distances):
    """Points (x forward, y left) of a circle through the car, to its left."""
    angles = np.array(distances) / radius
    return np.column_stack([radius * np.sin(angles), radius * (1 - np.cos(angles))])


@pytest.mark.parametrize("radius", [8.0, 25.0, -40.0])
@pytest.mark.parametrize("speed", [0.0, 3.0, 30.0])
def test_waypoints_of_a_circle_give_its_curvature(radius, speed):
    distances = (2.0, 4.0, 7.0, 11.0)
    points = circle(radius, distances)
    pursuit = WaypointPursuit()
    assert pursuit.curvature(points, speed, distances) == pytest.approx(1 / radius)
    assert pursuit.curvature(points, speed) == pytest.approx(1 / radius)


def test_waypoints_are_followed_as_a_trained_policy_follows_them():
    points = np.random.default_rng(0).normal(0, 5, (50, 4, 2))
    distances = (3.0, 6.0, 9.0, 15.0)
    for speed in (0.0, 4.0, 12.0, 40.0):
        given = torch.full((50,), speed, dtype=torch.float64)
        wanted = follow_waypoints(torch.from_numpy(points), distances, given).tolist()
        found = [WaypointPursuit().curvature(way, speed, distances) for way in points]
        assert found == pytest.approx(wanted)


def test_waypoints_that_coincide_do_not_divide_by_zero():
    still = np.zeros((4, 2))
    assert WaypointPursuit().curvature(still, 5.0) == 0.0
    assert WaypointPursuit().curvature(np.array([[4.0, 1.0]] * 3), 9.0) == pytest.approx(2 / 17)


@pytest.mark.parametrize(
    ("frame", "at", "origin"),
    [
        ("vehicle: x forward, y left", (6.0, 1.0), (0.0, 0.0)),
        ("vehicle: x forward, y right", (6.0, -1.0), (0.0, 0.0)),
        ("vehicle: x right, y forward", (-1.0, 6.0), (0.0, 0.0)),
        ("vehicle: x left, y forward", (1.0, 6.0), (0.0, 0.0)),
        ("vehicle: x forward, y left", (4.5, 0.7), (1.5, 0.3)),
    ],
)
def test_waypoints_are_read_in_their_frame(path, frame, at, origin):
    entry = {"name": "answer", "what": "waypoints", "unit": "m", "frame": frame}
    description = {
        "format": "vista-onnx-policy/1",
        "camera": None,
        "inputs": [{"name": "value", "what": "constant", "value": [v / 2 for v in at]}],
        "outputs": [{**entry, "origin": origin, "scale": 2.0}],
    }
    policy = OnnxPolicy(describe(write_passing(path, [1, 1, 2]), description))
    assert policy.act({"speed": 1.0}).curvature == pytest.approx(2 * 1.0 / (36 + 1), rel=1e-6)


def test_memory_is_carried_and_a_reset_forgets_it(path):
    policy = OnnxPolicy(write_mean(path))
    found = [policy.act(OBSERVATION) for _ in range(3)]
    assert [a.curvature for a in found] == pytest.approx([0.2, 0.4, 0.6])
    assert [a.acceleration for a in found] == pytest.approx([2.0, 4.0, 6.0])
    policy.reset()
    assert policy.act(OBSERVATION) == found[0]


def test_memory_begins_as_the_file_says(path):
    state = [{**MEAN["recurrent_state"][0], "initial": 0.5, "shape": [1, 2], "dtype": "float32"}]
    policy = OnnxPolicy(write_mean(path, recurrent_state=state))
    assert policy.act(OBSERVATION).curvature == pytest.approx(0.7)


def test_a_reset_forgets_the_frames_that_were_seen(path):
    entry = {"name": "value", "what": "speed", "unit": "m/s", "history": 2}
    description = {
        "format": "vista-onnx-policy/1",
        "camera": None,
        "inputs": [entry],
        "outputs": [{"name": "answer", "what": "curvature", "unit": "1/m", "index": 0}],
    }
    policy = OnnxPolicy(describe(write_passing(path, [1, 2]), description))

    def drive(speeds):
        return [policy.act({"speed": np.array([v])}).curvature for v in speeds]

    assert drive([1, 2, 3]) == [1, 1, 2]
    policy.reset()
    assert drive([4, 5]) == [4, 4]
    assert History(frames=2, stride=3).length == 4


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_an_answer_that_is_not_finite_is_named(path, value):
    observation = {**OBSERVATION, "speed": np.array([value], np.float32)}
    outputs = [*steering("curvature", "1/m"), {**MEAN["outputs"][1]}]
    with pytest.raises(PolicyNotFiniteError) as caught:
        answer(path, outputs, observation=observation)
    assert str(caught.value) == f"not finite: output 'steering' (acceleration) is {value}"


def test_what_is_not_observed_is_named(path):
    policy = OnnxPolicy(write_mean(path))
    with pytest.raises(PolicyError, match="the policy takes 'speed', which is not observed"):
        policy.act({"camera": OBSERVATION["camera"]})
    with pytest.raises(
        PolicyError, match=r"shape \(66, 200, 3\); this policy takes \(40, 100, 3\)"
    ):
        policy.act({**OBSERVATION, "camera": np.zeros((66, 200, 3), np.uint8)})
    with pytest.raises(PolicyError, match="the camera image is float32; it must be uint8"):
        policy.act({**OBSERVATION, "camera": np.zeros((40, 100, 3), np.float32)})


def test_the_file_of_export_and_the_plain_name_are_both_found(path):
    write_mean(path)
    path.with_suffix(".json").rename(path.with_name("model.onnx.json"))
    assert OnnxPolicy(path).act(OBSERVATION).curvature == pytest.approx(0.2)
    assert json.loads(path.with_name("model.onnx.json").read_text()) == json.loads(json.dumps(MEAN))


def test_the_socket_policy_of_a_served_model_wants_its_camera(path, serving):
    policy = OnnxPolicy(write_mean(path))
    there = SocketPolicy(str(serving(policy)))
    assert there.camera.to_json() == policy.camera.to_json()
