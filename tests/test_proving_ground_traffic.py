"""Moving cars in the proving ground: where they drive, how they are drawn, what the trace says."""

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest

import vista_sim
from vista_sim.cli import main
from vista_sim.errors import VistaError
from vista_sim.proving_ground.driver import drive
from vista_sim.proving_ground.record import Motion, Recording
from vista_sim.proving_ground.road import Road, RoadShape
from vista_sim.proving_ground.traffic import HALF_CAR, TrafficCar, simulate_traffic
from vista_sim.proving_ground.truth import GroundTruth
from vista_sim.traces.trace import Trace
from vista_sim.transforms import inverse, matrix_from_quaternion

SEEDS = (1, 5, 101)
SMALL = Recording(seed=5, seconds=4.0, size=(60, 96), rate=2.0, supersample=1, traffic=2)


@pytest.fixture(scope="module", params=SEEDS)
def traffic(request: pytest.FixtureRequest) -> tuple[Road, object, tuple[TrafficCar, ...]]:
    road = Road(request.param, RoadShape(length=400.0))
    driven = drive(road, request.param, 24.0)
    return road, driven, simulate_traffic(12, request.param, driven)


def test_a_quarter_leads_and_the_rest_comes(traffic) -> None:
    _, driven, cars = traffic
    assert [car.oncoming for car in cars] == [False] * 3 + [True] * 9
    for car in cars:
        speed = np.gradient(car.s, car.t)[[car.on_road(t) for t in car.t]]
        assert np.abs(speed).max() < 17.0  # m/s
        assert (np.sign(speed) == (-1 if car.oncoming else 1)).all()
    leader = np.gradient(cars[0].s, cars[0].t) - np.interp(cars[0].t, driven.t, driven.speed)
    assert leader.min() < -0.5 < 0.5 < leader.max()  # slower and faster than the recorder


def test_cars_keep_to_their_lanes_and_head_where_they_go(traffic) -> None:
    road, _, cars = traffic
    for car in cars:
        times = car.t[[car.on_road(t) for t in car.t]][1:-1]
        poses = car.poses(times)
        corners = np.array([[x, y, 0.0] for x in (-2.3, 2.3) for y in (-0.9, 0.9)])
        ground = poses[:, None, :3, :3] @ corners[..., None]
        ground = ground[..., 0] + poses[:, None, :3, 3]
        _, lateral = road.project(ground[..., :2])
        side = 1.0 if car.oncoming else -1.0
        assert (side * lateral).min() > 0.5  # m from the middle of the road
        assert (side * lateral).max() < road.half_width
        moved = car.poses(times + 0.02)[:, :3, 3] - car.poses(times - 0.02)[:, :3, 3]
        moved /= np.linalg.norm(moved, axis=-1, keepdims=True)
        assert ((moved * poses[:, :3, 0]).sum(-1)).min() > math.cos(math.radians(1.0))


def test_nobody_runs_into_anybody(traffic) -> None:
    road, driven, cars = traffic
    t = cars[0].t[cars[0].t <= driven.t[-1]]
    recorder = np.interp(t, driven.t, driven.s)
    lanes = {
        False: [recorder - 0.9 + 2.25],  # its middle is ahead of its rear axle
        True: [],
    }
    for car in cars:
        s = np.interp(t, car.t, car.s)
        there = (s > road.start + 6) & (s < road.end - 6)
        lanes[car.oncoming].append(np.where(there, s, np.nan))
    for lane in lanes.values():
        for i, a in enumerate(lane):
            for b in lane[:i]:
                gap = np.abs(a - b)
                assert not (gap < 2 * HALF_CAR + 2.0).any()  # NaN: not both on the road


def test_oncoming_cars_pass_the_recorder_one_after_the_other(traffic) -> None:
    _, driven, cars = traffic
    for i, car in enumerate(c for c in cars if c.oncoming):
        before, after = 24.0 * i / 9, 24.0 * (i + 1) / 9
        ahead = [float(np.interp(t, car.t, car.s) - driven.at("s", t)) for t in (before, after)]
        assert ahead[0] > 0 > ahead[1]


@pytest.mark.parametrize("wrong", [-1, 3])
def test_more_cars_than_have_room_are_refused(wrong: int) -> None:
    with pytest.raises(VistaError, match=rf"traffic is {wrong}; .*here 2"):
        Recording(seconds=4.0, traffic=wrong)


def test_traffic_is_the_same_for_the_same_seed_and_leaves_the_drive_as_it_was() -> None:
    road = Road(SMALL.seed, SMALL.road_shape)
    first, again = Motion.simulate(SMALL, road), Motion.simulate(SMALL, road)
    empty = Motion.simulate(dataclasses.replace(SMALL, traffic=0), road)
    assert len(first.traffic) == 2
    assert empty.traffic == ()
    for a, b in zip(first.traffic, again.traffic, strict=True):
        assert a.model == b.model
        assert np.array_equal(a.poses(a.t), b.poses(b.t))
    for name in ("position", "quaternion", "speed", "yaw_rate"):
        assert np.array_equal(getattr(first, name), getattr(empty, name)), name


def test_without_traffic_the_sample_trace_is_recorded_as_it_was() -> None:
    folder = vista_sim.sample_trace("proving-ground-unseen")
    stored = json.loads((folder / "trace.json").read_text())["proving_ground"]
    recording = Recording.from_json(stored)
    assert recording.traffic == 0
    assert json.dumps(recording.to_json()) == json.dumps(stored)
    motion = Motion.simulate(recording, Road(recording.seed, recording.road_shape))
    assert np.abs(motion.position - Trace.open(folder).ego.position).max() < 1e-9


# Pictures --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drive among two cars, recorded by the command."""
    pytest.importorskip("pybullet")
    where = tmp_path_factory.mktemp("traffic") / "drive"
    arguments = f"record {where} --seed 5 --seconds 4 --rate 2 --size 60x96 --supersample 1"
    with pytest.raises(SystemExit) as end:
        main([*arguments.split(), "--traffic", "2"])
    assert not end.value.code
    return where


@pytest.fixture(scope="module")
def truth(folder: Path):
    with GroundTruth(folder) as made:
        yield made


def track_at(trace: Trace, track_id: int, t: float) -> tuple[np.ndarray, np.ndarray]:
    """T_world_box (4, 4) and size (3,) of a track's row at t."""
    tracks = trace.tracks()
    (row,) = np.flatnonzero((tracks["track_id"] == track_id) & (np.abs(tracks["t"] - t) < 1e-6))
    pose = np.eye(4)
    pose[:3, :3] = matrix_from_quaternion(tracks["pose"][row, 3:])
    pose[:3, 3] = tracks["pose"][row, :3]
    return pose, tracks["size"][row]


def test_tracks_survive_the_trip_through_the_trace(folder: Path, truth: GroundTruth) -> None:
    trace = Trace.open(folder)
    tracks = trace.tracks()
    assert set(tracks["category"]) == {"car"}
    assert set(tracks["track_id"]) == {0, 1}
    assert tracks["t"][0] == 0.0
    assert tracks["t"][-1] == pytest.approx(trace.duration)
    for car in truth.motion.traffic:
        pose, size = track_at(trace, car.track_id, 1.7)
        exact = truth.motion.T_trace_scene @ car.poses(1.7)[0]
        assert np.allclose(pose, exact, atol=1e-9)
        assert (size > (4.0, 1.7, 1.3)).all()
        assert (size < (4.7, 1.9, 1.7)).all()
        ground = inverse(truth.motion.T_trace_scene) @ pose
        assert ground[2, 3] == pytest.approx(float(truth.road.terrain.height(*ground[:2, 3])))


@pytest.mark.parametrize("track_id", [0, 1])
def test_mask_and_depth_of_a_car_agree_with_the_box_of_its_track(
    folder: Path, truth: GroundTruth, track_id: int
) -> None:
    trace = Trace.open(folder)
    front = truth.recording.cameras["front"]
    lens, mount = front.lens.resized((300, 480)), front.T_vehicle_camera
    found = 0
    for t in np.arange(0.0, trace.duration, 0.3):
        T_world_box, size = track_at(trace, track_id, t)
        T_box_camera = inverse(T_world_box) @ truth.pose(t) @ mount
        middle = inverse(T_box_camera) @ [0, 0, 0.5 * size[2], 1]
        u, v = lens.project(middle[:3])
        if not (3.0 < middle[2] < 40.0 and 60 < u < 420 and 0 < v < 300):
            continue
        found += 1
        view = truth.view(float(t), lens=lens)
        points = lens.rays() * np.minimum(view.depth, 1e4)[..., None]
        in_box = points @ T_box_camera[:3, :3].T + T_box_camera[:3, 3]
        half = np.array([size[0] / 2, size[1] / 2])
        inside = (np.abs(in_box[..., :2]) < half + 0.05).all(-1)
        inside &= (in_box[..., 2] > 0.10) & (in_box[..., 2] < size[2] + 0.05)
        assert inside.sum() > 60
        assert view.moving[inside].mean() > 0.97  # what is in the box is the car
        seen = in_box[view.moving & (np.abs(in_box).max(-1) < 4.0)]
        outside = np.maximum(np.abs(seen[:, :2]) - half, 0.0).max()
        assert outside < 0.1 + 0.02 * middle[2]  # the car is in the box
        assert -0.1 < seen[:, 2].min() < 0.2  # its wheels are on the road
        break
    assert found


def test_a_car_darkens_the_ground_beside_it_and_changes_nothing_else(truth: GroundTruth) -> None:
    recording = truth.recording
    T = truth.motion.drive.poses(1.0)[0] @ recording.cameras["front"].T_vehicle_camera
    lens = recording.cameras["front"].lens.resized((150, 240))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(truth.scene, "traffic", ())
        without = truth.scene.render(T, lens, 1, 1.0)
    view = truth.scene.render(T, lens, 1, 1.0)
    assert view.moving.any()
    assert not without.moving.any()
    assert np.array_equal(view.depth[~view.moving], without.depth[~view.moving])
    change = view.image.astype(int) - without.image
    changed = np.abs(change).max(-1) > 2
    grown = np.array(view.moving)
    for axis, step in ((0, 1), (0, -1), (1, 1), (1, -1)):  # the lens's blur
        grown |= np.roll(view.moving, step, axis)
    grown |= np.roll(grown, 1, 0) | np.roll(grown, -1, 0)
    shadow = changed & ~grown
    assert 10 < shadow.sum() < 0.1 * shadow.size
    assert (change[shadow] <= 2).all()
    cars = np.array([car.poses(1.0)[0, :3, 3] for car in truth.motion.traffic])
    points = T[:3, 3] + (lens.rays() * view.depth[..., None])[shadow] @ T[:3, :3].T
    assert np.linalg.norm(points[:, None] - cars, axis=-1).min(axis=1).max() < 7.0
