"""Worlds rendered where their traces were recorded, against the ground truth of both."""

import json
import math
from dataclasses import astuple
from pathlib import Path

import numpy as np
import pytest

from vista_sim.dynamics import state as c
from vista_sim.errors import TraceError, WorldError
from vista_sim.evaluation.evaluate import evaluate
from vista_sim.geometry.bake import bake
from vista_sim.policies import Action, CameraSpec
from vista_sim.policies.reference import ReferenceDriver
from vista_sim.proving_ground.deployment import RenderedWorlds
from vista_sim.proving_ground.driver import ground_poses
from vista_sim.proving_ground.record import Recording, record
from vista_sim.proving_ground.road import Road
from vista_sim.proving_ground.scene import RenderedView
from vista_sim.proving_ground.sky import Weather
from vista_sim.scenarios.places import RecoveryTest
from vista_sim.sensors.camera import Camera
from vista_sim.sensors.randomization import Randomization
from vista_sim.traces.trace import Trace
from vista_sim.transforms import camera_mount, inverse, planar_pose, yaw_of
from vista_sim.world import World

pytest.importorskip("pybullet")

SPEC = CameraSpec((40, 64))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Six seconds of drive, baked."""
    recording = Recording(seed=5, seconds=6.0, size=(100, 160), supersample=1)
    folder = record(tmp_path_factory.mktemp("deployment") / "drive", recording)
    bake(folder)
    return folder


@pytest.fixture(scope="module")
def real():
    with RenderedWorlds() as worlds:
        yield worlds


def psnr(a, b):
    error = np.mean((a.astype(np.float64) - b) ** 2)
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)


class Noting:
    """In place of a rendered world: notes from where it is looked at."""

    def __init__(self, recording):
        self.road = Road(recording.seed, recording.road_shape)
        self.weather = Weather.draw(recording.seed)
        self.poses = []

    def render(self, T_world_camera, lens, supersample=2, t=0.0, boxes=()):
        self.poses.append(T_world_camera)
        height, width = lens.size
        nothing = np.zeros((height, width))
        image = np.zeros((height, width, 3), np.uint8)
        return RenderedView(image, nothing, nothing > 0, nothing.astype(np.int16))

    def close(self):
        pass


@pytest.mark.parametrize(("metres", "radians"), [(0.0, 0.0), (0.2, 0.02)])
def test_a_car_sees_from_where_it_stands_whatever_the_recorders_error(
    tmp_path, monkeypatch, metres, radians
):
    recording = Recording(
        seed=6, seconds=6.0, size=(16, 16), rate=1.0, position_noise=metres, angle_noise=radians
    )
    scene = Noting(recording)
    trace = Trace.open(record(tmp_path / "noisy", recording, scene=scene))
    monkeypatch.setattr("vista_sim.proving_ground.truth.build_scene", lambda _: scene)
    with RenderedWorlds() as worlds:
        truth = worlds.truth(trace)
        car = World(trace, cameras=worlds.cameras).spawn_agent()
        car.spawn_camera("camera", SPEC.size)
        car.reset(trace=0, s=15.0, lateral=0.7, heading=0.1)
        mount = car.world.cameras.mount(0, SPEC)
        for _ in range(5):
            pose = inverse(truth.motion.T_trace_scene) @ planar_pose(car.x, car.y, car.yaw)
            stands = ground_poses(truth.road, pose[0, 3], pose[1, 3], yaw_of(pose))[0]
            seen = inverse(stands) @ scene.poses[-1] @ inverse(mount)
            assert np.abs(seen - np.eye(4)).max() < 5e-3
            car.step(Action(0.05))
        error = abs(inverse(truth.pose(3.0)) @ trace.pose(3.0) - np.eye(4)).max()
        assert (error > 0.01) == (metres > 0)


def test_a_view_is_the_ground_truths(folder, real):
    trace = Trace.open(folder)
    camera, truth = real.cameras([trace]).camera(0, SPEC), real.truth(trace)
    for t, offset in ((0.0, (0.0, 0.0, 0.0)), (3.33, (0.3, 1.0, -0.1))):
        image, valid = camera.render(t, offset)
        # The recorder's error is 3 mm and 0.02 degrees: less than a gray level for most pixels.
        there = truth.view(t, offset, camera.lens, supersample=2).image
        assert np.abs(image.astype(int) - there).mean() < 1.0
        assert valid.all()
        assert valid.shape == (40, 64)


@pytest.mark.parametrize("offset", [(0.0, 0.0, 0.0), (0.0, 0.5, 0.0), (0.2, -1.0, 0.05)])
def test_a_synthesized_view_looks_like_the_rendered_one(folder, real, offset):
    trace = Trace.open(folder)
    image, _ = real.cameras([trace]).camera(0, SPEC).render(3.0, offset)
    synthesized, _ = Camera(trace, "front", size=SPEC.size).render(3.0, offset)
    elsewhere, _ = Camera(trace, "front", size=SPEC.size).render(3.0, (0.0, offset[1] + 0.5, 0.0))
    assert psnr(synthesized, image) > 26.5
    assert psnr(synthesized, image) > psnr(elsewhere, image) + 2


def test_a_car_moves_and_ends_the_same_in_both_worlds(folder, real):
    worlds = World(folder), World(folder, cameras=real.cameras)
    cars = [world.spawn_agent() for world in worlds]
    for car in cars:
        car.spawn_camera("camera", SPEC.size)
        car.reset(trace=0, s=0.0, lateral=0.5, heading=-0.05)
    driver = ReferenceDriver()
    while not cars[0].done:
        action = driver.act({}, cars[0]) if cars[0].steps < 25 else Action(0.15)
        for car in cars:
            car.step(action)
        motion = [car.state[0].copy() for car in cars]
        for state in motion:
            state[[c.VALIDITY, c.VIEW_SECONDS]] = 0.0
        assert np.array_equal(*motion, equal_nan=True)
    assert [car.ending for car in cars] == ["heading", "heading"]
    assert cars[0].validity < cars[1].validity == 1.0
    images = [car.observations["camera"] for car in cars]
    assert not np.array_equal(*images)


def test_no_recorded_frame_is_looked_at(folder, real):
    world = World(folder, cameras=real.cameras)
    video = folder / "front.mp4"
    try:
        video.rename(folder / "away.mp4")
        car = world.spawn_agent()
        car.spawn_camera("camera", SPEC.size)
        car.reset(trace=0, s=10.0, lateral=0.3, heading=0.0)
        car.step(Action(0.0))
        assert car.observations["camera"].std() > 20
    finally:
        (folder / "away.mp4").rename(video)


def test_an_evaluation_says_which_world_it_was_in(folder, real, tmp_path):
    test = RecoveryTest(laterals=(0.8,), headings=(0.0,), starts_per_kind=1, within_time=4.0)

    class Straight:
        camera = SPEC

        def reset(self):
            pass

        def act(self, observation, car=None):
            return Action(0.0)

    reports = [
        evaluate(Straight(), folder, tmp_path / name, recovery=test, video=False, cameras=cameras)
        for name, cameras in (("synthesized", None), ("rendered", real.cameras))
    ]
    for name in ("synthesized", "rendered"):
        assert json.loads((tmp_path / name / "run.json").read_text())["views"] == name
    # It steers blindly, so it drives the same where the same rules judge it.
    kept = [{k: v for k, v in r.metrics.items() if "valid" not in k} for r in reports]
    assert kept[0] == kept[1]
    assert reports[0].recovery.to_json() == reports[1].recovery.to_json()
    assert reports[1].metrics["mean_validity"] == 1.0


def test_lens_mount_and_its_jitter_are_those_of_synthesized_views(folder, real):
    trace = Trace.open(folder)
    mount = camera_mount(1.0, 0.4, 1.2, yaw=0.3)
    for spec in (SPEC, CameraSpec((30, 60), fov=0.8, mount=mount)):
        camera = real.cameras([trace]).camera(0, spec)
        synthesizing = World(folder).cameras.camera(0, spec)
        assert astuple(camera.lens) == astuple(synthesizing.lens)
        assert np.array_equal(camera.T_vehicle_camera, synthesizing.T_vehicle_camera)
    turned = Randomization(mount_jitter=(0.0, 0.3))
    images = []
    for randomization in (None, turned, turned):
        world = World(folder, randomization=randomization, cameras=real.cameras)
        car = world.spawn_agent()
        car.spawn_camera("camera", SPEC.size)
        world.reset(seed=3)
        images.append(car.observations["camera"])
    assert np.array_equal(images[1], images[2])
    assert not np.array_equal(images[0], images[1])


def test_a_batch_is_its_views_one_by_one(folder, real):
    camera = real.cameras([Trace.open(folder)]).camera(0, SPEC)
    ts, offsets = [1.0, 2.0], [(0.0, 0.5, 0.0), (0.0, -0.5, 0.1)]
    images, valids = camera.render_batch(ts, offsets)
    assert valids.all()
    placed = np.zeros((4, 40, 64, 3), np.uint8), np.zeros((4, 40, 64), bool)
    depths = np.zeros((4, 40, 64), np.float32)
    camera.render_batch(ts, offsets, placed, rows=[3, 1], workers=2, inverse_depth=depths)
    truth = real.truth(Trace.open(folder)).view(2.0, (0.0, -0.5, 0.1), camera.lens)
    assert np.abs(depths[1] - 1 / truth.depth).mean() < 2e-3  # but for the recorder's error
    assert not depths[[0, 2]].any()
    for i, place in enumerate((3, 1)):
        single, _ = camera.render(ts[i], offsets[i])
        assert np.array_equal(images[i], single)
        assert np.array_equal(placed[0][place], single)
    assert placed[1].any(axis=(1, 2)).tolist() == [False, True, False, True]


def test_what_cannot_be_rendered_is_named(folder, road_trace, real):
    with pytest.raises(TraceError, match="not recorded in the proving ground"):
        World(road_trace, cameras=real.cameras)
    with pytest.raises(WorldError, match="no camera 'dash'"):
        real.cameras([Trace.open(folder)], "dash").camera(0, SPEC)
    with pytest.raises(TraceError, match="lasts from 0 to 6"):
        real.cameras([Trace.open(folder)]).camera(0, SPEC).render(7.0)
    with pytest.raises(ValueError, match="supersample"):
        RenderedWorlds(supersample=0)


def test_worlds_that_were_closed_are_made_again(folder, real):
    camera = real.cameras([Trace.open(folder)]).camera(0, SPEC)
    first, _ = camera.render(2.0)
    real.close()
    again, _ = camera.render(2.0)
    assert np.array_equal(first, again)
