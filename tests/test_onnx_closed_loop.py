"""A trained policy drives a whole road through ONNX and over a socket as it does in PyTorch."""

import json
import math

import numpy as np
import pytest
import torch
from conftest import ROAD_SPEED, road_pose
from driving_models import describe
from scipy.spatial import cKDTree
from torch import nn

import vista_sim
from vista_sim.evaluation.evaluate import evaluate
from vista_sim.policies import Action, CameraSpec, OnnxPolicy
from vista_sim.runs.run import columns, read_run
from vista_sim.traces.calibration import CameraCalibration, Lens, Vehicle
from vista_sim.traces.writer import TraceWriter
from vista_sim.transforms import camera_mount, planar_pose, quaternion_from_matrix

SIZE, FOV = (40, 100), 1.0
CROP = {"top": 12, "bottom": 4, "left": 3, "right": 1}
MEAN_BGR, STD_BGR = (0.4, 0.45, 0.5), (0.2, 0.25, 0.3)
LOOKAHEAD = 8.0  # m
LENGTH = 180.0  # m, of the road

#: m and rad, in each row of a run. What PyTorch and ONNX Runtime round differently turns single
#: pixels from one level to the next, which moves the car by some tenths of a millimetre. It does
#: not grow on the way, because the policy steers back to the road.
TOLERANCE = 2e-3


@pytest.fixture(scope="module")
def striped(tmp_path_factory):
    """A drive of 22 s along a white stripe, past stripes to the left and right of it."""
    t = np.arange(0, LENGTH / ROAD_SPEED, 0.02)
    poses = np.array([road_pose(ROAD_SPEED * v) for v in t])
    matrices = np.array([planar_pose(*pose) for pose in poses])
    path = np.array([road_pose(s) for s in np.arange(0, LENGTH + 40, 0.1)])
    near = cKDTree(path[:, :2])
    mount = camera_mount(1.5, 0.0, 1.4, pitch=0.08)
    lens = Lens.from_fov((48, 96), 1.2)
    folder = tmp_path_factory.mktemp("traces") / "striped"
    with TraceWriter(folder, name="striped", licence="", source="", vehicle=Vehicle()) as writer:
        video = writer.add_camera("front", CameraCalibration(lens, mount), 10.0)
        for i in range(0, len(t), 5):
            video.write(_view(lens, matrices[i] @ mount, near), round(t[i] * 1e9))
        writer.write_ego(
            np.round(t * 1e9).astype(np.int64),
            np.column_stack([poses[:, :2], np.zeros(len(t))]),
            quaternion_from_matrix(matrices[:, :3, :3]),
            np.full(len(t), ROAD_SPEED),
            np.gradient(np.unwrap(poses[:, 2]), t),
        )
    return folder


def _view(lens, T_world_camera, near):
    rays = lens.rays() @ T_world_camera[:3, :3].T
    eye = T_world_camera[:3, 3]
    down = rays[..., 2] < -1e-3
    reach = np.where(down, -eye[2] / np.where(down, rays[..., 2], -1.0), 0.0)
    point = eye + reach[..., None] * rays
    away, _ = near.query(point[..., :2])
    stripe = np.exp(-((away / 0.4) ** 2)) + 0.5 * np.exp(-(((away - 3.0) / 0.4) ** 2))
    gray = np.where(down & (reach < 60), 90 + 150 * stripe, np.where(down, 90.0, 200.0))
    tinted = gray[..., None] * np.array([1.0, 0.95, 0.85])  # red, green and blue differ
    return np.clip(np.round(tinted), 0, 255).astype(np.uint8)


class Network(nn.Module):
    """From a cropped image in BGR to degrees of the steering wheel, positive to the right."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.features = nn.Sequential(
            nn.Conv2d(3, 8, 5, stride=3), nn.ReLU(), nn.AvgPool2d((1, 2)), nn.Flatten()
        )
        self.angle = nn.LazyLinear(1)
        self.angle(self.features(torch.zeros(1, 3, 24, 96)))

    def forward(self, image):
        return self.angle(self.features(image))


def pixels(image):
    """A camera's image as the network takes it, (3, 24, 96)."""
    image = torch.from_numpy(image.copy()).flip(-1)[12:36, 3:99]
    x = (image.float() / 255 - torch.tensor(MEAN_BGR)) / torch.tensor(STD_BGR)
    return x.permute(2, 0, 1)


@pytest.fixture(scope="module")
def trained(striped):
    """The network; its last layer is fitted to a look-ahead controller on synthesized views."""
    rng = np.random.default_rng(0)
    trace = vista_sim.Trace.open(striped)
    camera = vista_sim.Camera(trace, "front", size=SIZE, fov=FOV)
    count = 1500
    s = rng.uniform(1.0, LENGTH - 2.0, count)
    lateral, heading = rng.uniform(-1.0, 1.0, count), rng.uniform(-0.15, 0.15, count)
    offsets = np.column_stack([np.zeros(count), lateral, heading])
    images, _ = camera.render_batch(s / ROAD_SPEED, offsets)
    degrees = [_wanted(*values) for values in zip(s, lateral, heading, strict=True)]
    network = Network().eval()
    with torch.no_grad():
        seen = network.features(torch.stack([pixels(image) for image in images])).double()
        seen = torch.cat([seen, torch.ones(count, 1, dtype=seen.dtype)], dim=1)
        normal = seen.T @ seen + 30.0 * torch.eye(seen.shape[1], dtype=seen.dtype)
        fitted = torch.linalg.solve(normal, seen.T @ torch.tensor(degrees, dtype=seen.dtype))
        network.angle.weight.copy_(fitted[None, :-1])
        network.angle.bias.copy_(fitted[-1:])
    return network


def _wanted(s, lateral, heading):
    """Degrees of the steering wheel by pure pursuit from beside the path."""
    x, y, yaw = road_pose(s)
    x, y = x - lateral * math.sin(yaw), y + lateral * math.cos(yaw)
    ahead = road_pose(s + LOOKAHEAD)
    dx, dy, yaw = ahead[0] - x, ahead[1] - y, yaw + heading
    left = -dx * math.sin(yaw) + dy * math.cos(yaw)
    curvature = 2 * left / (dx**2 + dy**2)
    vehicle = Vehicle()
    return -math.degrees(math.atan(curvature * vehicle.wheelbase) * vehicle.steering_ratio)


class Original:
    """Drives by the network in PyTorch, as its author would write it."""

    camera = CameraSpec(SIZE, fov=FOV)

    def __init__(self, network):
        self.network = network

    def reset(self):
        pass

    def act(self, observation, car=None):
        with torch.no_grad():
            degrees = self.network(pixels(observation["camera"])[None]).item()
        tire_angle = -math.radians(degrees) / car.vehicle.steering_ratio
        return Action(math.tan(tire_angle) / car.vehicle.wheelbase)


@pytest.fixture(scope="module")
def exported(trained, tmp_path_factory):
    """Its ONNX file, made by plain `torch.onnx.export`, with a JSON file written by hand."""
    path = tmp_path_factory.mktemp("exported") / "model.onnx"
    torch.onnx.export(
        trained,
        (torch.zeros(1, 3, 24, 96),),
        path,
        input_names=["image"],
        output_names=["angle"],
        verbose=False,
    )
    image = {
        "name": "image",
        "what": "camera",
        "crop": CROP,
        "colour": "BGR",
        "scale": 1 / 255,
        "mean": MEAN_BGR,
        "std": STD_BGR,
        "layout": "NCHW",
    }
    angle = {"name": "angle", "what": "steering_wheel_angle", "unit": "deg", "positive": "right"}
    return describe(
        path,
        {
            "format": "vista-onnx-policy/1",
            "camera": {"size": list(SIZE), "fov": FOV},
            "inputs": [image],
            "outputs": [angle],
        },
    )


@pytest.fixture(scope="module")
def runs(striped, trained, exported, tmp_path_factory):
    """What the original drove, and what its ONNX file drove."""
    out = tmp_path_factory.mktemp("runs")
    return [
        judged(policy, striped, out / name)
        for name, policy in (("original", Original(trained)), ("onnx", str(exported)))
    ]


def judged(policy, trace, out):
    report = evaluate(policy, trace, out, recovery=False, video=False)
    return report, read_run(out)


@pytest.mark.usefixtures("_unwarned")
def test_the_original_drives_the_whole_road(runs):
    report, run = runs[0]
    (episode,) = run.episodes.to_pylist()
    assert (episode["ending"], report.metrics["crashes"]) == ("end_of_trace", 0)
    assert episode["duration"] > 20
    assert report.metrics["max_cross_track_error_m"] < 0.5
    steering = columns(run.steps)["action_curvature"]
    assert np.nanmax(steering) > 0.8 / 40  # through the bends, whose radii are 40 and 45 m
    assert np.nanmin(steering) < -0.8 / 45


@pytest.mark.usefixtures("_unwarned")
def test_its_onnx_file_drives_the_same_way_all_along(runs):
    (wanted_report, wanted), (found_report, found) = runs
    assert found.steps.num_rows == wanted.steps.num_rows
    one, other = columns(found.steps), columns(wanted.steps)
    for name in ("x", "y", "yaw", "s", "lateral", "heading_error", "tire_angle"):
        assert np.abs(one[name] - other[name]).max() < TOLERANCE, name
    assert [e["ending"] for e in found.episodes.to_pylist()] == ["end_of_trace"]
    for name, value in wanted_report.metrics.items():
        assert found_report.metrics[name] == pytest.approx(value, rel=1e-2, nan_ok=True), name


@pytest.mark.usefixtures("_unwarned")
def test_over_a_socket_it_is_the_very_same_run(runs, striped, exported, tmp_path, serving):
    address = serving(lambda: OnnxPolicy(exported))
    _, found = judged(str(address), striped, tmp_path / "run")
    _, wanted = runs[1]
    assert found.steps.equals(wanted.steps)
    assert found.episodes.equals(wanted.episodes)


@pytest.mark.usefixtures("_unwarned")
def test_a_wrong_colour_order_drives_another_way(runs, striped, exported, tmp_path):
    path = tmp_path / "model.onnx"
    for file in exported.parent.glob("model.onnx*"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    values = json.loads(exported.with_suffix(".json").read_text())
    values["inputs"][0]["colour"] = "RGB"
    _, run = judged(str(describe(path, values)), striped, tmp_path / "run")
    wanted, found = (columns(r.steps)["lateral"] for r in (runs[1][1], run))
    count = min(len(wanted), len(found))
    assert np.abs(found[:count] - wanted[:count]).max() > 10 * TOLERANCE
