import math

import cv2
import numpy as np
import pytest
import raycast

from vista_sim.errors import TraceError
from vista_sim.sensors import numba_cpu, reference
from vista_sim.sensors.camera import Camera, Synthesis, virtual_lens
from vista_sim.sensors.warp import (
    INPAINTED,
    UNSEEN,
    halved,
    lens_parameters,
    normalized_rays,
)
from vista_sim.traces.calibration import CameraCalibration, Lens, Vehicle
from vista_sim.traces.trace import Trace
from vista_sim.traces.writer import TraceWriter
from vista_sim.transforms import camera_mount, inverse, planar_pose, quaternion_from_matrix

SIZE = (120, 192)
PLAIN = Lens.from_fov(SIZE, 1.3)
BENT = Lens("pinhole", 126.0, 126.0, 95.0, 60.5, SIZE, (-0.3, 0.06, 0.001, -0.002, 0.0))
FISHEYE = Lens("fisheye", 80.0, 80.0, 95.5, 59.5, SIZE, (0.02, -0.01, 0.002, 0.0))
MOUNT = camera_mount(1.2, 0.0, 1.5, pitch=0.02)
FLAT = [raycast.ground()]


def record(folder, scene, lens=PLAIN, frames=12, step=0.8):
    """A straight drive through a scene, a frame every `step` metres, 0.1 s apart."""
    t_ns = np.arange(frames * 5) * 20_000_000
    x = np.arange(frames * 5) * step / 5
    with TraceWriter(folder, name="tiny", licence="-", source="-", vehicle=Vehicle()) as writer:
        camera = writer.add_camera("front", CameraCalibration(lens, MOUNT), 10.0)
        for i in range(frames):
            image, _, _ = raycast.render(scene, planar_pose(i * step, 0, 0) @ MOUNT, lens)
            camera.write(image, i * 100_000_000)
        zeros = np.zeros_like(x)
        rotation = np.tile(quaternion_from_matrix(np.eye(3)), (len(x), 1))
        speed = np.full_like(x, step / 0.1)
        writer.write_ego(t_ns, np.stack([x, zeros, zeros], axis=1), rotation, speed, zeros)
    return folder


def psnr(a, b, mask):
    error = (a.astype(float) - b.astype(float))[mask]
    return 10 * math.log10(255**2 / (error**2).mean())


@pytest.fixture(scope="module")
def flat_trace(tmp_path_factory):
    return Trace.open(record(tmp_path_factory.mktemp("flat") / "trace", FLAT))


@pytest.mark.parametrize("lens", [PLAIN, BENT, FISHEYE], ids=["plain", "bent", "fisheye"])
def test_a_lens_projects_as_opencv_does(lens):
    rng = np.random.default_rng(0)
    points = np.stack([*rng.uniform(-2, 2, (2, 200)), rng.uniform(2.5, 9, 200)], axis=-1)
    zero = np.zeros(3)
    module = cv2.fisheye if lens.model == "fisheye" else cv2
    distortion = np.array(lens.distortion)
    if lens.model == "fisheye":
        expected, _ = module.projectPoints(points[None], zero, zero, lens.matrix, distortion)
    else:
        expected, _ = module.projectPoints(points, zero, zero, lens.matrix, distortion)
    pixels = lens.project(points)
    np.testing.assert_allclose(pixels, expected.reshape(-1, 2), atol=1e-6)
    rays = lens.unproject(pixels)
    np.testing.assert_allclose(rays[:, :2] / rays[:, 2:], points[:, :2] / points[:, 2:], atol=1e-6)


def test_a_resized_lens_sees_the_same_directions():
    half = PLAIN.resized((60, 96))
    # The centre of the half-size pixel (10, 20) lies where four full-size pixels meet.
    np.testing.assert_allclose(half.unproject([20.0, 10.0]), PLAIN.unproject([40.5, 20.5]))


@pytest.mark.parametrize("offset", [(0, 0, 0), (0, 1.0, 0), (0, -1.5, 0.1), (0.4, 0.5, -0.15)])
def test_a_flat_road_looks_as_it_does_from_there(flat_trace, offset):
    t = 0.53  # between frames
    camera = Camera(flat_trace, "front")
    image, valid = camera.render(t, offset)
    pose = flat_trace.pose(t) @ planar_pose(*offset) @ MOUNT
    truth, depth, _ = raycast.render(FLAT, pose, PLAIN)
    mask = valid & (depth < 20)
    assert mask.sum() > 0.3 * mask.size
    assert psnr(image, truth, mask) > 30


def test_a_distorted_camera_keeps_its_distortion(tmp_path):
    trace = record(tmp_path / "bent", FLAT, BENT)
    offset = (0, 0.8, 0.05)
    image, valid = Camera(trace, "front").render(0.5, offset)
    pose = planar_pose(4.0, 0, 0) @ planar_pose(*offset) @ MOUNT
    truth, depth, _ = raycast.render(FLAT, pose, BENT)
    straight, _, _ = raycast.render(FLAT, pose, PLAIN)
    mask = valid & (depth < 15)
    # Distortion shows at the sides.
    mask[:, 30:-30] = False
    assert psnr(image, truth, mask) > 28
    assert psnr(image, straight, mask) < 22


def test_a_virtual_camera_has_its_own_lens_and_mount(flat_trace):
    mount = camera_mount(1.0, 0.3, 1.8, pitch=0.1)
    camera = Camera(flat_trace, "front", size=(66, 200), fov=1.0, mount=mount)
    image, valid = camera.render(0.7, (0, -0.5, 0))
    pose = flat_trace.pose(0.7) @ planar_pose(0, -0.5, 0) @ mount
    truth, depth, _ = raycast.render(FLAT, pose, Lens.from_fov((66, 200), 1.0))
    mask = valid & (depth < 12)
    assert mask.sum() > 2000
    assert psnr(image, truth, mask) > 27


class TrueGeometry:
    """Inverse depth of every frame of `record`, from the ray caster."""

    def __init__(self, trace, scene, step=0.8):
        self.path, self.size = trace.root / "geometry", PLAIN.size
        self.scale = 1 / 65535
        self.inverse_depth, poses = [], []
        for i in range(trace.cameras["front"].frame_count):
            pose = planar_pose(i * step, 0, 0) @ MOUNT
            _, depth, _ = raycast.render(scene, pose, PLAIN)
            self.inverse_depth.append(np.round(65535 / depth).astype(np.uint16))
            poses.append(pose)
        self.poses = np.array(poses)
        self.exposure = np.zeros((len(poses), 3))


@pytest.mark.parametrize("lateral", [-1.0, 1.0])
def test_near_things_hide_far_ones(tmp_path, monkeypatch, lateral):
    near = raycast.wall(14.0, (-1.0, 1.0), (0.0, 2.5), seed=5)
    far = raycast.wall(24.0, (-60, 60), (0.0, 60), seed=6)
    scene = [raycast.ground(), near, far]
    trace = Trace.open(record(tmp_path / "walls", scene))
    geometry = TrueGeometry(trace, scene)
    monkeypatch.setattr("vista_sim.sensors.frames.GeometryStore.find", lambda *_: geometry)
    view = Camera(trace, "front").render_view(0.5, (0, lateral, 0))
    pose = planar_pose(4.0, lateral, 0) @ MOUNT
    truth, depth, surface = raycast.render(scene, pose, PLAIN)
    inner = cv2.erode((surface == 1).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    assert inner.sum() > 500
    assert view.valid[inner].all()
    np.testing.assert_allclose(view.inverse_depth[inner], 1 / depth[inner], rtol=0.02)
    assert psnr(view.image, truth, inner) > 28
    # Beside the near wall the far one comes into sight; some of it no frame saw.
    beyond = cv2.erode((surface == 2).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    np.testing.assert_allclose(view.inverse_depth[beyond], 1 / depth[beyond], rtol=0.05)
    assert psnr(view.image, truth, beyond & view.valid) > 28


def test_red_stays_red(tmp_path):
    with TraceWriter(
        tmp_path / "red", name="-", licence="-", source="-", vehicle=Vehicle()
    ) as writer:
        camera = writer.add_camera("front", CameraCalibration(PLAIN, MOUNT), 10.0)
        for i in range(3):
            camera.write(np.full((*SIZE, 3), (200, 30, 20), np.uint8), i * 100_000_000)
        x = np.arange(3) * 1.0
        rotation = np.tile([0.0, 0, 0, 1], (3, 1))
        position = np.stack([x, 0 * x, 0 * x], axis=1)
        writer.write_ego(np.arange(3) * 100_000_000, position, rotation, 0 * x + 10, 0 * x)
    image, _ = Camera(tmp_path / "red", "front").render(0.1, (0, 0.5, 0))
    np.testing.assert_allclose(image.reshape(-1, 3).mean(axis=0), (200, 30, 20), atol=4)


def test_what_was_not_seen_is_not_valid(flat_trace):
    one = Camera(flat_trace, "front", synthesis=Synthesis(other_frames=()))
    turn = 0.4
    view = one.render_view(0.5, (0, 0, turn))
    # Rays further left than the edge of the recorded view were never seen.
    columns = np.arange(SIZE[1])
    bearing = turn - np.arctan((columns - PLAIN.cx) / PLAIN.fx)
    unseen = bearing > PLAIN.fov / 2 + 0.02
    assert unseen.sum() > 20
    middle = SIZE[0] // 2
    assert not view.valid[middle, unseen].any()
    assert view.valid[middle, bearing < PLAIN.fov / 2 - 0.02].all()
    assert (view.source[~view.valid] == INPAINTED).all()
    assert view.image[middle, unseen].std() > 0


def test_a_time_outside_the_trace_is_refused(flat_trace):
    camera = Camera(flat_trace, "front")
    with pytest.raises(TraceError, match="lasts from 0"):
        camera.render(flat_trace.duration + 1)
    with pytest.raises(TraceError, match="no camera 'rear'; cameras: front"):
        Camera(flat_trace, "rear")
    with pytest.raises(ValueError, match="must be finite"):
        camera.render(0.5, (0, float("nan"), 0))


def test_a_batch_is_its_views(flat_trace):
    camera = Camera(flat_trace, "front", size=(66, 200))
    ts, offsets = [0.2, 0.5], [(0, 0.2, 0), (0, -0.7, 0.1)]
    images, valids = camera.render_batch(ts, offsets)
    for i in range(2):
        image, valid = camera.render(ts[i], offsets[i])
        np.testing.assert_array_equal(images[i], image)
        np.testing.assert_array_equal(valids[i], valid)


def test_the_field_of_view_of_a_recorded_camera_is_kept_at_another_aspect():
    lens = virtual_lens(BENT, (66, 200), None)
    assert not lens.distorted
    assert lens.fov == pytest.approx(BENT.fov)
    assert virtual_lens(BENT, (60, 96), None).distortion == BENT.distortion


def scene_codes(lens, rng):
    """Inverse depth of a road with boxes and sky, in codes of 1/65535."""
    rays = lens.rays()
    inverse_depth = np.maximum(rays[..., 1] / rays[..., 2] / 1.5, 0)
    height, width = lens.size
    for _ in range(5):
        u, v = rng.integers(0, width - 30), rng.integers(0, height - 40)
        box = inverse_depth[v : v + rng.integers(10, 40), u : u + rng.integers(2, 30)]
        box[:] = np.maximum(box, 1 / rng.uniform(3, 20))
    return np.round(inverse_depth * 65535).clip(0, 65535).astype(np.uint16)


@pytest.mark.parametrize("lens", [PLAIN, BENT, FISHEYE], ids=["plain", "bent", "fisheye"])
@pytest.mark.parametrize("offset", [(0, 0, 0), (0.7, -1.2, 0.1), (-5, 1.5, -0.2), (3, 0.1, 0.0)])
def test_numba_agrees_with_the_reference(lens, offset):
    rng = np.random.default_rng(3)
    codes = scene_codes(lens, rng)
    image = cv2.GaussianBlur(rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8), (0, 0), 1.0)
    main = inverse(planar_pose(*offset) @ MOUNT) @ MOUNT
    other = inverse(planar_pose(*offset) @ MOUNT) @ planar_pose(-1.5, 0.2, 0.05) @ MOUNT
    rays, numbers = normalized_rays(lens), lens_parameters(lens)
    coarse_rays, coarse_codes = np.ascontiguousarray(rays[:, ::2, ::2]), codes[::2, ::2].copy()
    scale, ratio = np.float32(1 / 65535), np.float32(1)
    gain = np.array([1.1, 1.0, 0.9], np.float32)
    results = []
    for kernels in (reference, numba_cpu):
        depth, scratch, map_u, map_v = np.empty((4, *SIZE), np.float32)
        coarse, coarse_scratch = np.empty((2, *coarse_codes.shape), np.float32)
        source, holes = np.empty(SIZE, np.uint8), np.empty(SIZE[0] * SIZE[1], np.int32)
        forth, back = main.astype(np.float32), inverse(main).astype(np.float32)
        optics = (rays, back, numbers)
        count = kernels.warp(
            *(rays, codes, scale, forth, numbers, ratio),
            *optics,
            *(depth, scratch, map_u, map_v, source, holes),
        )
        assert count < source.size
        np.testing.assert_array_equal(holes[:count], np.flatnonzero(source == UNSEEN))
        view = cv2.remap(image, map_u, map_v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        forth, back = other.astype(np.float32), inverse(other).astype(np.float32)
        left = kernels.complete(
            *(255 - image, gain, coarse_rays, coarse_codes, scale, forth, halved(numbers), ratio),
            *(rays, back, numbers, coarse, coarse_scratch),
            *(view, source, depth, holes, count),
        )
        assert left < count or count == 0
        np.testing.assert_array_equal(holes[:left], np.flatnonzero(source == UNSEEN))
        results.append((view, source, depth, holes, left))
    (view_a, source_a, depth_a, holes, left), (view_b, source_b, depth_b, *_) = results
    # A pixel that lands within rounding of a border may fall on either side of it.
    assert (source_a != source_b).mean() < 0.002
    seen = (source_a != UNSEEN) & (source_b != UNSEEN)
    assert (np.abs(view_a.astype(int) - view_b).max(axis=-1) > 1)[seen].mean() < 0.005
    assert (np.abs(depth_a - depth_b) > 1e-4)[seen].mean() < 0.005
    # Of the same holes, both make the same picture.
    filled = [[x.copy() for x in (view_a, source_a, depth_a)] for _ in range(2)]
    for kernels, arrays in zip((reference, numba_cpu), filled, strict=True):
        kernels.inpaint(*arrays, holes, left)
        assert (arrays[1] == INPAINTED).sum() == left
    for a, b in zip(*filled, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("share", [0.1, 0.6, 0.9])
def test_numba_closes_gaps_as_the_reference_does(share):
    rng = np.random.default_rng(2)
    rows = np.linspace(0.05, 0.3, 60)[:, None]
    depth = (rows * rng.uniform(0.97, 1.03, (60, 40))).astype(np.float32)
    depth[rng.random(depth.shape) < share] = -1.0
    closed = depth.copy()
    numba_cpu.close_gaps(closed)
    np.testing.assert_allclose(closed, reference.close_gaps(depth), rtol=1e-5)
    assert (closed < 0).sum() < (depth < 0).sum()


def test_an_identity_view_is_the_frame_itself(flat_trace):
    camera = Camera(flat_trace, "front")
    frame = flat_trace.cameras["front"].frame(5)
    image, valid = camera.render(0.5)
    assert valid.mean() > 0.99
    assert np.abs(image.astype(int) - frame)[valid].mean() < 1.0
