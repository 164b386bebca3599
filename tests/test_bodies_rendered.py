"""Boxes in views, against the proving ground's true render of the same boxes."""

import numpy as np
import pytest

from vista_sim.geometry.bake import bake
from vista_sim.proving_ground.deployment import RenderedWorlds
from vista_sim.proving_ground.record import Recording, build_scene, record
from vista_sim.proving_ground.street import Street
from vista_sim.sensors.bodies import Bodies
from vista_sim.sensors.box_reference import cast
from vista_sim.sensors.camera import Camera
from vista_sim.sensors.rays import shared_rays
from vista_sim.sensors.spec import CameraSpec
from vista_sim.sensors.warp import BODY
from vista_sim.traces.trace import Trace
from vista_sim.transforms import inverse, planar_pose

pytest.importorskip("pybullet")

SIZE = (400, 640)
CAR, COLOUR = (4.5, 1.8, 1.5), (200, 40, 200)


RECORDING = Recording(
    seed=102, seconds=5.5, size=(200, 320), rate=5.0, supersample=1, street=Street()
)


@pytest.fixture(scope="module")
def street():
    """A city street with parked cars at both sides."""
    scene = build_scene(RECORDING)
    yield scene
    scene.close()


@pytest.fixture(scope="module")
def trace(street, tmp_path_factory):
    """A drive along it, baked."""
    folder = record(tmp_path_factory.mktemp("street") / "drive", RECORDING, scene=street)
    bake(folder)
    return Trace.open(folder)


@pytest.fixture(scope="module")
def cameras(street, trace):
    """One that synthesizes, and one in the world itself, which sees at the centres of pixels."""
    with pytest.MonkeyPatch.context() as patch, RenderedWorlds(supersample=1) as worlds:
        patch.setattr("vista_sim.proving_ground.truth.build_scene", lambda _: street)
        yield Camera(trace, "front", size=SIZE), worlds.cameras([trace]).camera(0, CameraSpec(SIZE))


def box_at(trace, t, s, lateral=0.0, yaw=0.0):
    """A box on the ground of the recorded path at s (m), beside it and turned, for a view at t."""
    pose = inverse(trace.pose(t)) @ trace.path.pose(s) @ planar_pose(0.0, lateral, yaw)
    return Bodies([0, 1], pose[None], [CAR], [COLOUR])


def iou(a, b):
    return (a & b).sum() / (a | b).sum()


@pytest.mark.parametrize(
    ("ahead", "lateral", "yaw", "offset"),
    [
        (8.0, 0.0, 0.0, (0.0, 0.0, 0.0)),
        (12.0, 0.5, 0.5, (0.0, 0.8, -0.05)),
        (20.0, 0.0, 0.0, (0.0, -0.8, 0.05)),
        (40.0, 0.0, 0.0, (0.0, 0.0, 0.0)),
    ],
)
def test_the_outline_of_a_box_in_free_sight_is_that_of_its_true_render(
    trace, cameras, ahead, lateral, yaw, offset
):
    camera, true = cameras
    t = trace.path.time(5.0)
    bodies = box_at(trace, t, 5.0 + ahead, lateral, yaw)
    view, truth = camera.render_view(t, offset, bodies), true.view(t, offset, bodies)
    drawn, there = view.source == BODY, truth.box == 0
    assert iou(drawn, there) >= (0.93 if ahead <= 20 else 0.85)
    both = drawn & there
    np.testing.assert_allclose(view.inverse_depth[both], 1 / truth.depth[both], rtol=0.03)
    inner = truth.image[there].mean(axis=0)
    assert inner[1] < 0.6 * min(inner[0], inner[2])  # magenta in both
    assert (view.image[drawn][:, 1] < 0.6 * view.image[drawn][:, 0]).all()


def test_a_parked_car_hides_the_part_of_a_box_behind_it(trace, cameras):
    camera, true = cameras
    t = trace.path.time(28.0)
    bodies = box_at(trace, t, 42.0, -2.7)
    view, truth = camera.render_view(t, (0, 0, 0), bodies), true.view(t, (0, 0, 0), bodies)
    boxes = camera.plan([t], [(0, 0, 0)], bodies).boxes
    outline = cast(boxes.pose[0], boxes.size[0], shared_rays(camera.lens))[0] > 0
    drawn, there = view.source == BODY, truth.box == 0
    assert 0.4 < there.sum() / outline.sum() < 0.7
    assert iou(drawn, there) > 0.8
    assert iou(outline, there) < 0.7  # as it would be if nothing hid it


def test_a_rendered_world_shows_bodies_to_the_views_that_they_are_of(trace, cameras):
    _, true = cameras
    ts, offsets = [trace.path.time(5.0), trace.path.time(6.0)], np.zeros((2, 3))
    one = box_at(trace, ts[1], 18.0)
    bodies = Bodies([0, 0, 1], one.pose, one.size, one.colour)
    small = type(true)(true._worlds, trace, true.lens.resized((40, 64)), true.T_vehicle_camera)
    depths = np.empty((2, 40, 64), np.float32)
    images, valids = small.render_batch(ts, offsets, inverse_depth=depths, bodies=bodies)
    plain, _ = small.render_batch(ts, offsets)
    np.testing.assert_array_equal(images[0], plain[0])
    np.testing.assert_array_equal(images[1], small.render(ts[1], offsets[1], one)[0])
    box = small.view(ts[1], offsets[1], one).box == 0
    assert box.sum() > 50
    assert valids.all()
    assert (np.abs(images[1].astype(int) - plain[1])[box].max(axis=-1) > 20).mean() > 0.9
    # Its rear, 12 m ahead of the rear axle, less half of its length and the camera's 1.6 m.
    assert 1 / np.median(depths[1][box]) == pytest.approx(12.0 - 2.25 - 1.6, abs=0.3)
    with pytest.raises(ValueError, match="bodies are of 2 views, not of 1"):
        small.render(ts[0], offsets[0], bodies)
