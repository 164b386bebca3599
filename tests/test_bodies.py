"""Boxes in views: where they are, what hides them, and that every backend draws the same."""

import numpy as np
import pytest
import raycast
import torch
from range_sensor import RangeSpec

from vista_sim.dynamics.state import OFFSET_X, OFFSET_YAW, SCENE_TIME, empty_table
from vista_sim.scene.box import Box
from vista_sim.sensors import box_kernel, box_reference, numba_cpu, reference
from vista_sim.sensors.bodies import Bodies
from vista_sim.sensors.boxes import LIGHT, place_bodies, spans_of
from vista_sim.sensors.camera import BACKENDS, Camera
from vista_sim.sensors.pool import CameraPool
from vista_sim.sensors.registry import make_sensor
from vista_sim.sensors.spec import CameraSpec
from vista_sim.sensors.torch_boxes import Painter
from vista_sim.sensors.view import SceneView
from vista_sim.sensors.warp import BODY, normalized_rays
from vista_sim.traces.calibration import Lens, Vehicle
from vista_sim.traces.trace import Trace
from vista_sim.transforms import camera_mount, inverse, planar_pose, pose_from_euler

SIZE = (120, 192)
PLAIN = Lens.from_fov(SIZE, 1.3)
BENT = Lens("pinhole", 126.0, 126.0, 95.0, 60.5, SIZE, (-0.3, 0.06, 0.001, -0.002, 0.0))
FISHEYE = Lens("fisheye", 80.0, 80.0, 95.5, 59.5, SIZE, (0.02, -0.01, 0.002, 0.0))
LENSES = {"plain": PLAIN, "bent": BENT, "fisheye": FISHEYE}
MOUNT = camera_mount(1.2, 0.0, 1.5, pitch=0.02)
CAR = (4.5, 1.8, 1.5)
#: Ahead, behind that one, beside the camera and partly behind it, and behind the car.
STANDING = (
    (planar_pose(12.0, 0.5, 0.4), CAR, (200, 40, 40)),
    (planar_pose(20.0, -2.0, -1.2), (8.0, 2.5, 3.5), (40, 200, 40)),
    (planar_pose(2.5, 2.6, 0.1), CAR, (40, 40, 200)),
    (planar_pose(-9.0, 0.0, 0.0), CAR, (255, 255, 255)),
)


def bodies_of(*rows, starts=None):
    """`Bodies` of (pose, size, colour) each; of one view, unless starts are given."""
    pose, size, colour = zip(*rows, strict=True)
    return Bodies(starts or [0, len(rows)], np.array(pose), np.array(size), np.array(colour))


def placed(bodies, lens, offsets=((0.0, 0.0, 0.0),), mount=MOUNT):
    displaced = np.array([planar_pose(*offset) for offset in offsets])
    return place_bodies(bodies, displaced, mount, spans_of(normalized_rays(lens)))


def drawn(kernels, boxes, lens, depths):
    """What a backend makes of black views of these inverse depths (n, h, w)."""
    rays, depths = normalized_rays(lens), np.array(depths, dtype=np.float32)
    images, sources = np.zeros((*depths.shape, 3), np.uint8), np.zeros(depths.shape, np.uint8)
    if kernels == "torch":
        tensors = [torch.tensor(array) for array in (images, sources, depths)]
        Painter(torch.tensor(rays)[None]).draw(boxes, slice(0, len(depths)), *tensors)
        return [tensor.numpy() for tensor in tensors]
    room = np.full(lens.size, 9.0, np.float32), np.full(lens.size, 9, np.int32)
    for i in range(len(depths)):
        kernels.draw_boxes(boxes, i, rays, images[i], sources[i], depths[i], *room)
    return images, sources, depths


def sides(pose, size, seed):
    """The faces of a box as rectangles, in the order of `LIGHT`."""
    length, width, height = size
    faces = []
    for axis, end in ((0, 1), (0, -1), (1, 1), (1, -1), (2, 1), (2, 0)):
        middle = np.array([0.0, 0.0, height / 2, 1.0])
        middle[axis] = height * end if axis == 2 else end * size[axis] / 2
        others = [i for i in range(3) if i != axis]
        extents = [
            (-(length, width, height)[i] / 2, (length, width, height)[i] / 2) for i in others
        ]
        a, b = (tuple(pose[:3, i]) for i in others)
        faces.append(raycast.Rectangle(tuple((pose @ middle)[:3]), a, b, *extents, seed))
    return faces


@pytest.mark.parametrize("kernels", [reference, numba_cpu, "torch"], ids=list(BACKENDS))
@pytest.mark.parametrize("name", LENSES)
def test_boxes_are_where_rays_meet_their_sides(kernels, name):
    lens = LENSES[name]
    wall = raycast.wall(7.0, (-1.0, -0.2), (0.0, 2.5), seed=3)
    scene = [raycast.ground(), wall]
    boxes = [side for k, (pose, size, _) in enumerate(STANDING) for side in sides(pose, size, k)]
    offset = (0.4, -0.8, 0.1)
    camera = planar_pose(*offset) @ MOUNT
    _, depth, _ = raycast.render(scene, camera, lens)
    _, true_depth, index = raycast.render([*scene, *boxes], camera, lens)
    bodies = bodies_of(*STANDING)
    image, source, found = (
        array[0] for array in drawn(kernels, placed(bodies, lens, [offset]), lens, [1 / depth])
    )
    rayless = np.isnan(normalized_rays(lens)[0])
    shown = (index >= len(scene)) & ~rayless
    # At an outline, rounding decides.
    assert ((source == BODY) != shown).mean() < 0.001
    seen = shown & (source == BODY)
    assert set(np.unique((index[seen] - len(scene)) // 6)) == {0, 1, 2}
    np.testing.assert_allclose(found[seen], 1 / true_depth[seen], rtol=1e-4)
    np.testing.assert_array_equal(found[source == 0], (1 / depth).astype(np.float32)[source == 0])
    paint = np.array(
        [[np.floor(np.array(c) * light + 0.5) for light in LIGHT] for *_, c in STANDING]
    )
    right = (image[seen] == paint.reshape(-1, 3)[index[seen] - len(scene)]).all(axis=-1)
    assert right.mean() > 0.99  # but for pixels at an edge
    assert not image[source == 0].any()


def hilly_depths(lens, rng, count):
    """Inverse depths of ground with things on it, near and far, and sky."""
    rays = lens.rays()
    ground = np.maximum(rays[..., 1] / np.maximum(rays[..., 2], 0.05) / 1.5, 0)
    depths = np.repeat(ground[None], count, axis=0)
    for depth in depths:
        for _ in range(8):
            v, u = rng.integers(0, SIZE[0] - 40), rng.integers(0, SIZE[1] - 40)
            part = depth[v : v + rng.integers(10, 40), u : u + rng.integers(5, 40)]
            part[:] = np.maximum(part, 1 / rng.uniform(3, 40))
    return depths


@pytest.mark.parametrize("name", LENSES)
def test_all_backends_draw_what_the_reference_draws(name):
    rng, lens, rows = np.random.default_rng(4), LENSES[name], []
    for _ in range(40):
        pose = pose_from_euler(*rng.uniform((-4, -8, -0.5), (35, 8, 0.5)), *rng.normal(0, 0.05, 2))
        pose = pose @ planar_pose(0, 0, rng.uniform(-3, 3))
        rows.append((pose, rng.uniform((1, 0.5, 0.5), (9, 3, 4)), rng.integers(0, 256, 3)))
    bodies = bodies_of(*rows, starts=[0, 12, 12, 13, 30, 40])
    offsets = rng.uniform((-1, -2, -0.3), (1, 2, 0.3), (5, 3))
    boxes, depths = placed(bodies, lens, offsets), hilly_depths(lens, rng, 5)
    image, source, depth = drawn(reference, boxes, lens, depths)
    assert 0.05 < (source == BODY).mean() < 0.9
    assert not (source[1] == BODY).any()
    # The same operations in the same order: that the bounds hold all of a box, shows here.
    for ours, theirs in zip(
        drawn(numba_cpu, boxes, lens, depths), (image, source, depth), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)
    # Single precision: the stated tolerance of the backend.
    their_image, their_source, their_depth = drawn("torch", boxes, lens, depths)
    assert (their_source == source).mean() >= 0.999
    assert (np.abs(their_image.astype(int) - image).max(-1) <= 1).mean() >= 0.999
    assert (np.abs(their_depth - depth) <= 1e-4 * np.maximum(depth, 1)).mean() >= 0.999


def test_bounds_leave_out_what_shows_nothing():
    boxes = placed(bodies_of(*STANDING), PLAIN)
    rays = normalized_rays(PLAIN)
    areas = []
    for k in range(len(STANDING)):
        top, bottom, left, right = boxes.bounds[k]
        areas.append((bottom - top) * (right - left))
        shown = box_reference.cast(boxes.pose[k], boxes.size[k], rays)[0] > 0
        if k < 2:  # exactly what the box covers
            rows, columns = np.flatnonzero(shown.any(1)), np.flatnonzero(shown.any(0))
            assert (top, bottom, left, right) == (
                rows[0],
                rows[-1] + 1,
                columns[0],
                columns[-1] + 1,
            )
    assert areas[2] == SIZE[0] * SIZE[1]  # it reaches behind the camera
    assert areas[3] == 0


def test_of_two_boxes_the_nearer_is_seen_whatever_their_order():
    far, near = STANDING[1], (planar_pose(12.0, -1.0, 0.4), CAR, (200, 40, 40))
    depth = np.zeros((1, *SIZE))
    images = [
        drawn(box_kernel, placed(bodies_of(*rows), PLAIN), PLAIN, depth)
        for rows in ((far, near), (near, far))
    ]
    for ours, theirs in zip(*images, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert (images[0][0] == np.array([150, 30, 30])).all(-1).sum() > 450  # its rear


def visible(depth, pose, mount=MOUNT, size=CAR):
    """Share of a box that is seen in a view of this inverse depth (h, w)."""
    boxes = placed(bodies_of((pose, size, (9, 9, 9))), PLAIN, mount=mount)
    _, alone, _ = drawn(box_kernel, boxes, PLAIN, np.zeros((1, *SIZE)))
    _, source, _ = drawn(box_kernel, boxes, PLAIN, depth[None])
    return (source == BODY).sum() / (alone == BODY).sum()


def flat_ground(mount=MOUNT, height=0.0):
    ground = raycast.Rectangle((0, 0, height), (1, 0, 0), (0, 1, 0), (-500, 500), (-500, 500), 1)
    return 1 / raycast.render([ground], mount, PLAIN)[1]


@pytest.mark.parametrize("ahead", [8.0, 20.0, 40.0])
def test_ground_that_is_recorded_too_near_or_too_far_does_not_hide_the_foot_of_a_box(ahead):
    pose = planar_pose(ahead, 0.0, 0.3)
    for share in (0.9, 1.0, 1.1):
        assert visible(share * flat_ground(), pose) == 1.0
    assert visible(2.0 * flat_ground(), pose) < 0.9


def test_what_is_clearly_nearer_hides_a_box_and_what_is_about_as_far_does_not():
    pose = planar_pose(20.0, 0.0, 0.0)
    rear = np.float32(1 / (20.0 - CAR[0] / 2 - 1.2))
    for share, seen in ((0.0, 1.0), (0.9, 1.0), (1.04, 1.0), (1.2, 0.0), (3.0, 0.0)):
        depth = np.full(SIZE, share * rear)
        # The ground below the line of sight is low; a thing that stands there is not.
        depth[SIZE[0] // 2 + 12 :] = 0.0
        assert visible(depth, pose) == pytest.approx(seen, abs=0.25 if seen == 0 else 0)


def test_a_crest_hides_a_box_beyond_it():
    # The road falls 2 m behind a crest: the box stands lower than the ground before it.
    pose = pose_from_euler(30.0, 0.0, -2.0)
    crest = raycast.Rectangle((0, 0, 0), (1, 0, 0), (0, 1, 0), (-50, 15), (-50, 50), 1)
    depth = 1 / raycast.render([crest], MOUNT, PLAIN)[1]
    counts = [
        (raycast.render([*scene, *sides(pose, CAR, 2)], MOUNT, PLAIN)[2] >= len(scene)).sum()
        for scene in ([crest], [])
    ]
    assert 0.5 < counts[0] / counts[1] < 0.7
    assert visible(depth, pose) == pytest.approx(counts[0] / counts[1], abs=0.02)
    low = camera_mount(1.2, 0.0, 0.15)  # and from below the plane that a box stands on
    above = pose_from_euler(12.0, 0.0, 0.5)
    depth = flat_ground(low, 0.1)
    assert visible(depth, above, low) == 1.0


def test_the_frame_of_a_box_lies_below_its_middle():
    vehicle = Vehicle(length=4.0, width=1.7, height=1.4, rear_overhang=0.7)
    box = Box.of_vehicle(vehicle)
    assert box.size == (4.0, 1.7, 1.4)
    # Of a car that comes.
    pose = planar_pose(10.0, 0.0, np.pi) @ planar_pose(box.ahead, 0.0, 0.0)
    _, source, depth = drawn(
        box_kernel,
        placed(bodies_of((pose, box.size, (9, 9, 9))), PLAIN),
        PLAIN,
        np.zeros((1, *SIZE)),
    )
    # Its nose is 3.3 m this side of its rear axle; the camera looks down by 0.02.
    at = MOUNT @ np.array([0.0, 0.0, 0.0, 1.0])
    nose = np.array([10.0 - 3.3, 0.0, 0.7, 1.0])
    u, v = PLAIN.project((inverse(MOUNT) @ nose)[:3]).round().astype(int)
    reach = nose[0] - at[0]
    assert source[0, v, u] == BODY
    assert 1 / depth[0, v, u] == pytest.approx(reach, abs=0.05)


# In cameras, views and sensors --------------------------------------------------------------


@pytest.fixture(scope="module")
def trace(road_trace):
    return Trace.open(road_trace)


def ahead(lateral=0.0, way=9.0):
    return planar_pose(way, lateral, 0.2), CAR, (220, 30, 30)


@pytest.mark.filterwarnings("error")
@pytest.mark.usefixtures("_own_threads", "_unwarned")
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_batch_with_bodies_is_its_views_one_by_one(trace, backend):
    camera = Camera(trace, "front", backend=backend)
    ts, offsets = np.array([1.0, 1.5, 2.0, 6.0]), np.array([(0, 0.2 * i, 0.0) for i in range(4)])
    rows = [ahead(), ahead(1.0, 15.0), ahead(-1.0), ahead(0.5), ahead(-0.5, 7.0)]
    bodies = bodies_of(*rows, starts=[0, 2, 2, 3, 5])
    depths = np.empty((4, *camera.size), np.float32)
    images, valids = camera.render_batch(
        ts, offsets, workers=2, inverse_depth=depths, bodies=bodies
    )
    plain = camera.render_batch(ts, offsets)
    for i in range(4):
        image, valid = camera.render(ts[i], offsets[i], bodies.only([i]))
        view = camera.render_view(ts[i], offsets[i], bodies.only([i]))
        for one in (image, view.image):
            np.testing.assert_array_equal(images[i], one)
        np.testing.assert_array_equal(depths[i], view.inverse_depth)
        for one in (valid, view.valid):
            np.testing.assert_array_equal(valids[i], one)
        there = view.source == BODY
        assert there.any() == (i != 1)
        assert valids[i][there].all()
        np.testing.assert_array_equal(images[i][~there], plain[0][i][~there])
        np.testing.assert_array_equal(valids[i][~there], plain[1][i][~there])
    if backend == "torch":
        views = camera.render_tensors(ts, offsets, bodies)
        np.testing.assert_array_equal(views.image.numpy(), images)
        np.testing.assert_array_equal(views.inverse_depth.numpy(), depths)


@pytest.mark.usefixtures("_unwarned")
def test_torch_draws_boxes_in_parts_of_a_batch_as_in_all_of_it(trace):
    camera = Camera(trace, "front", backend="torch")
    ts, offsets = np.linspace(1, 4, 7), np.zeros((7, 3))
    bodies = bodies_of(*[ahead(0.1 * i) for i in range(9)], starts=[0, 1, 1, 4, 5, 5, 8, 9])
    depths = np.empty((2, 7, *camera.size), np.float32)
    whole = camera.render_batch(ts, offsets, inverse_depth=depths[0], bodies=bodies)
    camera.device_renderer.chunk = 2
    parts = camera.render_batch(ts, offsets, inverse_depth=depths[1], bodies=bodies)
    for ours, theirs in zip((*whole, depths[0]), (*parts, depths[1]), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.usefixtures("_unwarned")
def test_boxes_on_a_gpu_are_those_of_the_reference(trace):
    bodies = bodies_of(ahead(), ahead(1.0, 15.0), ahead(-1.0), starts=[0, 2, 3])
    camera = Camera(trace, "front", backend="torch", device="cuda")
    views = camera.render_tensors([1.0, 2.0], np.zeros((2, 3)), bodies)
    assert views.image.device.type == "cuda"
    plain = Camera(trace, "front", backend="numpy")
    for i, view in enumerate(views.on_host()):
        truth = plain.render_view([1.0, 2.0][i], (0, 0, 0), bodies.only([i]))
        assert (truth.source == BODY).sum() > 200
        assert (view.source == truth.source).mean() >= 0.999
        assert (np.abs(view.image.astype(int) - truth.image).max(-1) <= 1).mean() >= 0.999
        assert (np.abs(view.inverse_depth - truth.inverse_depth) <= 1e-4).mean() >= 0.999


def seen_by_two_cars(trace, bodies, backend="numba"):
    table = empty_table(3)
    table[:, OFFSET_X : OFFSET_YAW + 1] = 0.0
    table[:, SCENE_TIME] = (1.0, 2.0, 3.0)
    return SceneView(
        table, np.array([0, 2]), CameraPool([trace], backend=backend), 0, trace, bodies=bodies
    )


@pytest.mark.usefixtures("_unwarned")
def test_sensors_see_the_bodies_of_a_scene(trace):
    bodies = bodies_of(ahead(0.0, 12.0), ahead(0.0, 6.5), starts=[0, 1, 2])
    view, spec = seen_by_two_cars(trace, bodies), CameraSpec((48, 96))
    look, empty = view.look(spec), seen_by_two_cars(trace, None).look(spec)
    for i, way in enumerate((12.0, 6.5)):
        nearer = look.inverse_depth[i] > empty.inverse_depth[i] + 0.01
        assert nearer.sum() > 100
        assert look.valid[i][nearer].all()
        # Its rear's middle, 2.25 m before its own, from a camera 1.5 m ahead of the rear axle.
        assert 1 / look.inverse_depth[i].max(initial=0, where=nearer) < way - 1.5
    for which in ([1], [1, 0]):
        some = view.only(which).look(spec)
        for one, both in zip(some, look, strict=True):
            np.testing.assert_array_equal(one, both[which])
    for one in (view, view.only([0])):
        sensor = make_sensor(spec, 3)
        out = sensor.empty(3)
        sensor.read(one, one.rows, out)
        np.testing.assert_array_equal(out.value[one.rows], look.image[: len(one)])
        np.testing.assert_array_equal(out.valid[one.rows], look.valid[: len(one)])
    ranger = make_sensor(RangeSpec(), 3)
    values = []
    for one in (view, seen_by_two_cars(trace, None)):
        ranger.reset(one, one.rows, [])
        out = ranger.empty(3)
        ranger.read(one, one.rows, out)
        values.append(out.value[one.rows])
    # Its rays meet the ground 4.1 m ahead of the camera, and the rear of a box before that.
    assert values[1] == pytest.approx(4.1, abs=0.2)
    assert values[0][0] == pytest.approx(values[1][0])
    assert values[0][1][8:16] == pytest.approx(6.5 - 2.25 - 1.5, abs=0.3)


def test_bodies_go_by_their_views():
    rows = [(planar_pose(i, 0, 0), CAR, (i, i, i)) for i in range(5)]
    pose, size, colour = (np.array(column) for column in zip(*rows, strict=True))
    bodies = Bodies.by_view([3, 0, 3, 1, 0], 4, pose, size, colour)
    assert bodies.views == 4
    assert [bodies.pose[bodies.of_view(i), 0, 3].tolist() for i in range(4)] == [
        [1, 4],
        [3],
        [],
        [0, 2],
    ]
    some = bodies.only([3, 2, 0])
    assert some.starts.tolist() == [0, 2, 2, 4]
    assert some.colour[:, 0].tolist() == [0, 2, 1, 4]
    none = Bodies.by_view([], 2, np.empty((0, 4, 4)), [], [])
    assert (none.views, len(none)) == (2, 0)


@pytest.mark.usefixtures("_unwarned")
def test_bodies_that_cannot_be_are_refused(trace):
    good = {"starts": [0, 1], "pose": np.eye(4)[None], "size": [CAR], "colour": [(1, 2, 3)]}
    for field, value, message in (
        ("starts", [0, 2], "end with 1"),
        ("starts", [0, 2, 1], "must not fall"),
        ("pose", np.eye(4), r"pose has shape \(4, 4\)"),
        ("pose", np.full((1, 4, 4), np.nan), "not finite"),
        ("size", [(4.5, 1.8)], "size has shape"),
        ("size", [(4.5, 1.8, 0.0)], "above 0"),
        ("size", [("a", 1, 2)], "size must be numbers"),
        ("colour", [], "colour has shape"),
    ):
        with pytest.raises(ValueError, match=message):
            Bodies(**good | {field: value})
    with pytest.raises(ValueError, match="up to less than 2"):
        Bodies.by_view([2], 2, np.eye(4)[None], [CAR], [(1, 2, 3)])
    camera = Camera(trace, "front")
    with pytest.raises(ValueError, match="bodies are of 1 views, not of 2"):
        camera.render_batch([1.0, 2.0], np.zeros((2, 3)), bodies=Bodies(**good))
