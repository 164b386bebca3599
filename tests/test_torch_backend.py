import importlib
import importlib.util
import sys

import cv2
import numpy as np
import pytest
import torch

from vista_sim.errors import MissingDependencyError
from vista_sim.sensors import reference, torch_kernels
from vista_sim.sensors.camera import Camera
from vista_sim.sensors.cpu import CpuRenderer
from vista_sim.sensors.plan import Plans
from vista_sim.sensors.torch_backend import TorchRenderer
from vista_sim.sensors.torch_frames import ResidentFrames, geometry_of
from vista_sim.sensors.warp import (
    INPAINTED,
    OTHER,
    UNSEEN,
    SourceFrame,
    View,
)
from vista_sim.traces.calibration import Lens
from vista_sim.transforms import camera_mount, inverse, planar_pose

SIZE = (120, 192)
PLAIN = Lens.from_fov(SIZE, 1.3)
BENT = Lens("pinhole", 126.0, 126.0, 95.0, 60.5, SIZE, (-0.3, 0.06, 0.001, -0.002, 0.0))
FISHEYE = Lens("fisheye", 80.0, 80.0, 95.5, 59.5, SIZE, (0.02, -0.01, 0.002, 0.0))
LENSES = {"plain": PLAIN, "bent": BENT, "fisheye": FISHEYE}
VIRTUAL = Lens.from_fov((66, 101), 1.1)
MOUNT = camera_mount(1.2, 0.0, 1.5, pitch=0.02)
OFFSETS = [(0, 0, 0), (0.7, -1.2, 0.1), (-2, 1.5, -0.2), (1, 0.1, 0.4)]
SCALE = 1 / 65535


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Small tensors are made faster by one."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(params=["cpu", "cuda"])
def device(request):
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA GPU")
    return request.param


class Frames:
    """What a renderer needs of a `FrameCache`: a street with boxes and sky in random texture."""

    def __init__(self, lens, count=6, seed=0):
        self.lens, self.size = lens, lens.size
        self.times = np.arange(count) / 10
        self.first, self.last = 0, count - 1
        self.read = []
        self._frames = [self._frame(np.random.default_rng([seed, i])) for i in range(count)]

    def __getitem__(self, index):
        self.read.append(index)
        return self._frames[index]

    def prefetch(self, indices):
        pass

    def _frame(self, rng):
        height, width = self.size
        rays = self.lens.rays()
        inverse_depth = np.maximum(rays[..., 1] / np.maximum(rays[..., 2], 0.05) / 1.5, 0)
        for _ in range(5):
            u, v = rng.integers(0, width - 30), rng.integers(0, height - 40)
            box = inverse_depth[v : v + rng.integers(10, 40), u : u + rng.integers(2, 30)]
            box[:] = np.maximum(box, 1 / rng.uniform(3, 20))
        codes = np.round(inverse_depth * 65535).clip(0, 65535).astype(np.uint16)
        noise = rng.integers(0, 201, (height, width, 3), dtype=np.uint8)
        image = cv2.GaussianBlur(noise, (0, 0), 1.0)
        return SourceFrame(image, codes, np.ascontiguousarray(codes[::2, ::2]), SCALE)


def planned(index, offset, recorded=0, gain=(1.0, 1.0, 1.0)):
    """A frame taken where the car was, for a view from `offset` (x, y, yaw) beside it."""
    return index, recorded, inverse(planar_pose(*offset) @ MOUNT) @ MOUNT, gain


def plans_of(views):
    """`Plans` of views, each a list of `planned` frames, the main one first."""
    most = max((len(frames) for frames in views), default=1)
    nothing = (-1, 0, np.eye(4), (1.0, 1.0, 1.0))
    padded = [[*frames, *[nothing] * (most - len(frames))] for frames in views]
    shapes = ((), (), (4, 4), (3,))
    index, recorded, pose, gain = (
        np.array([[frame[i] for frame in frames] for frames in padded]).reshape(
            len(views), most, *shape
        )
        for i, shape in enumerate(shapes)
    )
    return Plans(
        index.astype(np.int64),
        recorded.astype(np.int64),
        pose.astype(np.float32),
        inverse(pose).astype(np.float32),
        gain.astype(np.float32),
    )


def plan(main, offset, behind=(), **options):
    """A view from `offset`, its main frame, and others taken 2 m further behind each."""
    x, y, yaw = offset
    others = [planned(i, (x + 2 * n, y, yaw), **options) for n, i in enumerate(behind, 1)]
    return [planned(main, offset, options.get("recorded", 0)), *others]


def reference_view(caches, view, lens, min_unseen=0.002):
    """The view by the steps of `reference.py`, one after the other."""
    image, source = np.empty((1, *lens.size, 3), np.uint8), np.empty((1, *lens.size), np.uint8)
    depth = np.empty((1, *lens.size), np.float32)
    renderer = CpuRenderer(caches, lens, reference, min_unseen)
    renderer.render(plans_of([view]), image, source, [0], depths=depth)
    return View(image[0], source[0], depth[0])


def assert_agrees(view, expected):
    """The stated tolerance."""
    off = np.abs(view.image.astype(int) - expected.image).max(axis=-1)
    assert (view.source == expected.source).mean() >= 0.999
    assert (off <= 1).mean() >= 0.999
    assert (np.abs(view.inverse_depth - expected.inverse_depth) <= 1e-4).mean() >= 0.999


@pytest.fixture(scope="module")
def frames():
    return {name: Frames(lens) for name, lens in LENSES.items()}


@pytest.mark.parametrize("offset", OFFSETS)
@pytest.mark.parametrize("virtual", [False, True], ids=["recorded", "virtual"])
@pytest.mark.parametrize("name", LENSES)
def test_views_agree_with_the_reference(device, frames, name, virtual, offset):
    caches = [frames[name]]
    lens = VIRTUAL if virtual else LENSES[name]
    wanted = plan(1, offset, behind=(0, 4), gain=(1.2, 0.9, 0.7))
    view = TorchRenderer(caches, lens, device).render(plans_of([wanted])).on_host()[0]
    expected = reference_view(caches, wanted, lens)
    if offset == OFFSETS[-1] and not virtual:
        assert set(np.unique(expected.source)) == {0, OTHER, INPAINTED}
    assert_agrees(view, expected)


def test_cameras_of_other_lenses_and_sizes_feed_one_view(device, frames):
    small = Lens.from_fov((67, 121), 1.2)
    caches = [Frames(small, seed=1), frames["bent"], frames["fisheye"]]
    plans = [
        (planned(1, (0, 1, 0.3), 0), planned(2, (1, 1, 0.3), 2), planned(0, (2, 1, 0), 1)),
        (planned(3, (0.5, -1, -0.2), 2), planned(1, (1, -1, -0.2), 0)),
        (planned(4, (0, 0.5, -0.4), 1),),
    ]
    views = TorchRenderer(caches, VIRTUAL, device).render(plans_of(plans)).on_host()
    for view, wanted in zip(views, plans, strict=True):
        assert_agrees(view, reference_view(caches, wanted, VIRTUAL))


@pytest.mark.parametrize("name", LENSES)
def test_a_view_does_not_depend_on_its_batch(device, frames, name):
    lens = LENSES[name].resized((53, 91))
    caches = [frames[name]]
    plans = [
        plan(i % 5, (0.3 * i, 0.4 * i - 1, 0.06 * i), behind=(5, 0)[: i % 3]) for i in range(7)
    ]
    batch = TorchRenderer(caches, lens, device, chunk=5).render(plans_of(plans))
    one = TorchRenderer(caches, lens, device)
    for i, wanted in enumerate(plans):
        view = one.render(plans_of([wanted]))
        assert torch.equal(view.image[0], batch.image[i])
        assert torch.equal(view.source[0], batch.source[i])
        assert torch.equal(view.inverse_depth[0], batch.inverse_depth[i])
    assert one.render(plans_of([])).image.shape == (0, 53, 91, 3)


def test_other_frames_are_tried_only_while_more_is_unseen(device, frames):
    # The first view lacks less than the limit, the second more until one other frame was read.
    caches = [frames["plain"]]
    plans = [
        plan(1, (0, 0, 0.1), (0, 2)),
        plan(1, (0, 0, 0.4), (0, 2)),
        plan(1, (0, 0, 0.5), (0, 2)),
    ]
    limit = 0.2
    views = TorchRenderer(caches, PLAIN, device, min_unseen=limit).render(plans_of(plans)).on_host()
    expected = [reference_view(caches, wanted, PLAIN, limit) for wanted in plans]
    for view, truth in zip(views, expected, strict=True):
        assert_agrees(view, truth)
    assert OTHER not in views[0].source
    assert OTHER in views[1].source
    assert views[0].valid.mean() > 1 - limit


def constant_frames(colours, codes=6553):
    """Frames of one colour each, 10 m away."""
    frames = Frames(PLAIN.resized((24, 32)), count=0)
    plane = np.full(frames.size, codes, np.uint16)
    for colour in colours:
        image = np.full((*frames.size, 3), colour, np.uint8)
        frames._frames.append(SourceFrame(image, plane, plane[::2, ::2].copy(), SCALE))
    frames.times, frames.last = np.arange(len(colours)) / 10, len(colours) - 1
    return frames


def test_colours_of_other_frames_are_matched_in_exposure(device):
    frames = constant_frames([(100, 100, 100), (200, 100, 31)])
    turned = planned(0, (0, 0, 0.3), gain=(9, 9, 9))
    straight = planned(1, (0, 0, 0), gain=(1.5, 1.0, 0.5))
    views = TorchRenderer([frames], frames.lens, device).render(plans_of([(turned, straight)]))
    view = views.on_host()[0]
    assert (view.image[view.source == 0] == 100).all()
    assert (view.source == OTHER).sum() > 50
    # 200 * 1.5 is more than there is; 31 * 0.5 is rounded.
    assert (view.image[view.source == OTHER] == (255, 100, 16)).all()
    assert (view.source != INPAINTED).all()


def test_frames_that_do_not_fit_come_and_go(device):
    caches = [Frames(PLAIN.resized((60, 96)), count=10)]
    lens = caches[0].lens
    plans = [plan(i, (0, 0.5, 0.2), behind=((i + 5) % 10,)) for i in (0, 1, 2, 3, 4, 9, 8, 0, 1)]
    small = TorchRenderer(caches, lens, device, resident_bytes=0)
    views = small.render(plans_of(plans))
    large = TorchRenderer(caches, lens, device)
    caches[0].read.clear()
    expected = large.render(plans_of(plans))
    assert sorted(caches[0].read) == list(range(10))
    assert torch.equal(views.image, expected.image)
    assert torch.equal(views.inverse_depth, expected.inverse_depth)
    large.render(plans_of(plans[::-1]))
    assert len(caches[0].read) == 10
    with pytest.raises(ValueError, match=r"6 frames are wanted at once; .* room for 4"):
        small.render(plans_of([plan(0, (0, 0, 0.1), behind=(1, 2, 3, 4, 5))]))


def test_the_least_recently_used_frame_makes_room():
    cache = Frames(PLAIN.resized((60, 96)), count=6)
    frames = ResidentFrames([cache], torch.device("cpu"), 0, least=3)
    for wanted in ([0, 1, 2], [0], [3], [0, 2]):
        frames.hold(np.array(wanted))
    assert cache.read == [0, 1, 2, 3]  # 3 took the place of 1
    assert (frames.slots >= 0).tolist() == [True, False, True, True, False, False]
    slot = frames.slots[3]
    image = frames.images[slot].view(torch.uint8).view(60, 96, 4)[..., :3]
    np.testing.assert_array_equal(image.numpy(), cache[3].image)


def test_resident_geometry_is_codes_and_their_slopes(frames):
    codes = frames["plain"][0].codes
    geometry = geometry_of(codes)
    np.testing.assert_array_equal(geometry[0].astype(int) + 32768, codes)
    inner = codes[1:-1, 1:-1].astype(float)
    for axis, slope in ((1, geometry[1]), (0, geometry[2])):
        change = np.gradient(codes.astype(float), axis=axis)[1:-1, 1:-1]
        smooth = np.abs(change) <= 0.06 * inner
        np.testing.assert_array_equal(slope[1:-1, 1:-1] / 2, np.where(smooth, change, 0))


def test_poses_that_are_on_the_device_give_the_same_views(device, frames):
    caches = [frames["plain"], frames["bent"]]
    plans = [
        (
            planned(i, (0.2 * i, 0.3 * i, 0.3), i % 2),
            planned(i + 1, (1, 0.3 * i, 0.3), 1, (0.9, 1.1, 1.2)),
            planned(0, (2, 0.3 * i, 0.1), 0),
        )
        for i in range(4)
    ]
    renderer = TorchRenderer(caches, VIRTUAL, device, chunk=3)
    expected = renderer.render(plans_of(plans)).on_host()
    wanted = plans_of(plans)
    index, recorded, pose, gain = (
        torch.tensor(array, device=device)
        for array in (wanted.frames, wanted.recorded, wanted.forth, wanted.gains)
    )
    arguments = {
        "others": index[:, 1:],
        "T_view_others": pose[:, 1:],
        "gains": gain[:, 1:],
        "recorded": recorded[:, 0],
        "recorded_others": recorded[:, 1:],
    }
    if device == "cuda":
        torch.cuda.set_sync_debug_mode("error")
    try:
        views = renderer.render_tensors(index[:, 0], pose[:, 0], **arguments)
    finally:
        if device == "cuda":
            torch.cuda.set_sync_debug_mode("default")
    for tensor in (views.image, views.source, views.inverse_depth, views.valid):
        assert tensor.device.type == device
    for view, truth in zip(views.on_host(), expected, strict=True):
        assert_agrees(view, truth)


def test_a_frame_that_is_not_resident_saw_nothing(device, frames):
    renderer = TorchRenderer([frames["plain"]], PLAIN, device)
    renderer.upload(0, [2])
    pose = torch.eye(4, device=device).expand(2, 4, 4)
    main = torch.tensor([2, 3], device=device)
    alone = renderer.render_tensors(main, pose)
    assert (alone.source[0] == 0).all()
    assert (alone.source[1] == INPAINTED).all()
    assert (alone.image[1] == 0).all()
    others = torch.tensor([[-1, 4], [-1, 2]], device=device)
    views = renderer.render_tensors(main, pose, others, pose[:, None].expand(2, 2, 4, 4))
    assert (views.source[0] == 0).all()
    assert (views.source[1] == OTHER).float().mean() > 0.99


def test_no_step_waits_for_the_device_or_uses_double_precision(frames):
    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            result = function(*args, **(kwargs or {}))
            name = str(function)
            assert not any(word in name for word in ("local_scalar", "nonzero", "masked_select"))
            for tensor in result if isinstance(result, tuple | list) else [result]:
                assert getattr(tensor, "dtype", None) is not torch.float64, name
            return result

    renderer = TorchRenderer([frames["bent"], frames["fisheye"]], PLAIN)
    renderer.upload(0, [0, 1])
    indices = torch.tensor([0, 1])
    pose = torch.eye(4).expand(2, 4, 4)
    with Watch():
        renderer.render_tensors(indices, pose, indices[:, None], pose[:, None])


@pytest.fixture
def triton(device, monkeypatch):
    """Triton's kernels: on a CPU run by its interpreter."""
    pytest.importorskip("triton")
    monkeypatch.setenv("TRITON_INTERPRET", str(int(device == "cpu")))
    name = "vista_sim.sensors.triton_splat"
    sys.modules.pop(name, None)
    yield importlib.import_module(name)
    sys.modules.pop(name, None)


@pytest.mark.parametrize("name", LENSES)
def test_the_triton_kernel_splats_as_the_operations_do(triton, device, name):
    lens = LENSES[name].resized((48, 41))
    caches = [Frames(lens, 2, seed=1), Frames(PLAIN.resized((44, 36)), 2)]
    plans = [(planned(i, (1, 1, 0.2), i), planned(1, (1.5, 1, 0.2), 1 - i)) for i in (0, 1)]
    views = TorchRenderer(caches, lens, device, triton=True).render(plans_of(plans)).on_host()
    expected = TorchRenderer(caches, lens, device).render(plans_of(plans)).on_host()
    for view, truth in zip(views, expected, strict=True):
        assert OTHER in truth.source
        assert_agrees(view, truth)


def inpainted(device, source, image, depth):
    tensors = (
        torch.tensor(np.array(array), device=device)[None] for array in (image, source, depth)
    )
    return [tensor[0].cpu().numpy() for tensor in torch_kernels.inpaint(*tensors)]


def hand_made(rows, depths):
    """Rows of one letter a pixel, `.` unseen: image, source, inverse depth."""
    letters = np.array([[ord(c) for c in row] for row in rows], dtype=np.uint8)
    source = np.where(letters == ord("."), UNSEEN, 0).astype(np.uint8)
    return source, np.repeat(letters[..., None], 3, axis=-1), np.array(depths, dtype=np.float32)


@pytest.mark.parametrize(
    ("row", "near", "filled"),
    [
        ("abc..def", "right", "abcbadef"),  # the left is farther: its mirror image
        ("abc..def", "left", "abcfedef"),
        ("...abcde", "left", "dcbabcde"),  # at the border there is only one side
        ("abcde...", "right", "abcdedcb"),
        ("ab......", "left", "abababab"),  # back and forth in a short stretch
        (".a....b.", "right", "aaaaaabb"),  # a stretch of one pixel repeats
        ("..ab.cd.", "left", "ababdcdc"),
    ],
)
def test_a_hole_mirrors_the_background_beside_it(device, row, near, filled):
    depth = np.linspace(0.1, 0.2, 8) if near == "right" else np.linspace(0.2, 0.1, 8)
    image, source, depth_out = inpainted(device, *hand_made([row], [depth]))
    assert "".join(map(chr, image[0, :, 0])) == filled
    expected = np.where([c == "." for c in row], INPAINTED, 0)
    np.testing.assert_array_equal(source[0], expected)
    seen = [c != "." for c in row]
    np.testing.assert_array_equal(depth_out[0][seen], np.float32(depth)[seen])
    assert np.isin(depth_out[0], np.float32(depth)[seen]).all()


def test_a_row_that_no_frame_saw_repeats_the_nearest(device):
    rows = ["....", "....", "ab.d", "....", "....", "efgh", "...."]
    depths = np.arange(28).reshape(7, 4) / 100
    image, source, depth = inpainted(device, *hand_made(rows, depths))
    # Of two rows as near the upper one is repeated, with what was filled into it.
    names = ["".join(map(chr, row)) for row in image[:, :, 0]]
    assert names == ["abad"] * 4 + ["efgh"] * 3
    np.testing.assert_array_equal(depth[:4], np.float32([[0.08, 0.09, 0.09, 0.11]] * 4))
    np.testing.assert_array_equal(depth[4:], np.float32(depths[[5, 5, 5]]))
    np.testing.assert_array_equal(source == 0, [[c != "." for c in row] for row in rows])


def test_where_nothing_was_seen_all_is_black(device):
    source = np.full((5, 6), UNSEEN, np.uint8)
    image, depth = np.full((5, 6, 3), 77, np.uint8), np.full((5, 6), 0.3, np.float32)
    image, source, depth = inpainted(device, source, image, depth)
    assert (image == 0).all()
    assert (depth == 0).all()
    assert (source == INPAINTED).all()


@pytest.mark.parametrize("share", [0.05, 0.5, 0.97])
def test_random_holes_are_filled_as_in_the_reference(device, share):
    rng = np.random.default_rng(0)
    source = np.where(rng.random((40, 57)) < share, UNSEEN, rng.integers(0, 2, (40, 57)))
    source[[0, 7, 8, 39]] = UNSEEN
    source = source.astype(np.uint8)
    image = rng.integers(0, 256, (40, 57, 3), dtype=np.uint8)
    depth = rng.integers(0, 9, (40, 57)).astype(np.float32)
    result = inpainted(device, source, image, depth)
    reference.inpaint(image, source, depth, np.flatnonzero(source == UNSEEN), 0)
    for ours, theirs in zip(result, (image, source, depth), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("size", [(6, 8), (7, 9), (66, 101)])
def test_depth_is_closed_and_doubled_as_in_the_reference(device, size):
    rng = np.random.default_rng(1)
    coarse = rng.uniform(0.01, 0.013, (-(-size[0] // 2), -(-size[1] // 2))).astype(np.float32)
    coarse[rng.random(coarse.shape) < 0.2] *= 3
    coarse[rng.random(coarse.shape) < 0.3] = -1.0
    closed, doubled = np.empty_like(coarse), np.empty(size, np.float32)
    reference.close_cracks(coarse, closed)
    reference.double(reference.close_gaps(coarse), doubled)
    depth = torch.tensor(coarse, device=device)[None]
    result = torch_kernels.close_cracks(depth)[0].cpu().numpy()
    np.testing.assert_allclose(result, closed, rtol=1e-6)
    result = torch_kernels.double(torch_kernels.close_gaps(depth), size)[0].cpu().numpy()
    np.testing.assert_allclose(result, doubled, rtol=1e-6)


def test_what_cannot_be_is_refused_in_one_line(frames):
    caches = [frames["plain"]]
    with pytest.raises(ValueError, match="device is 'tpu'; use cpu, cuda"):
        TorchRenderer(caches, PLAIN, "tpu")
    with pytest.raises(ValueError, match="chunk is 0"):
        TorchRenderer(caches, PLAIN, chunk=0)
    with pytest.raises(ValueError, match="4 x 4 pixels at least"):
        TorchRenderer(caches, Lens.from_fov((2, 9), 1.0))
    with pytest.raises(ValueError, match="compiled and triton are both asked for"):
        TorchRenderer(caches, PLAIN, compiled=True, triton=True)
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="PyTorch finds 0 CUDA devices"):
            TorchRenderer(caches, PLAIN, "cuda")
    renderer = TorchRenderer(caches, PLAIN)
    with pytest.raises(ValueError, match="frame is 6; usable frames of camera 0 are 0 to 5"):
        renderer.upload(0, [6])
    with pytest.raises(ValueError, match="recorded is 1; there are 1 cameras"):
        renderer.render(plans_of([plan(0, (0, 0, 0), recorded=1)]))


def test_the_triton_kernel_is_refused_on_a_cpu(frames, monkeypatch):
    pytest.importorskip("triton")
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    with pytest.raises(ValueError, match="runs on a CUDA device"):
        TorchRenderer([frames["plain"]], PLAIN, triton=True)


@pytest.mark.skipif(importlib.util.find_spec("triton") is not None, reason="triton is installed")
def test_without_triton_the_package_is_named(frames):
    with pytest.raises(MissingDependencyError, match="triton is not installed"):
        TorchRenderer([frames["plain"]], PLAIN, triton=True)


def test_without_torch_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "vista_sim.sensors.torch_backend")
    with pytest.raises(MissingDependencyError, match=r"pip install 'vista-sim\[train\]'"):
        import vista_sim.sensors.torch_backend  # noqa: F401


def test_gaps_along_columns_are_closed_as_in_the_reference(device):
    rng = np.random.default_rng(2)
    depth = np.cumsum(rng.uniform(0, 0.01, (40, 31)), axis=0).astype(np.float32)
    depth[rng.random(depth.shape) < 0.7] = -1.0
    expected = reference.close_gaps(depth)
    assert 100 < ((depth < 0) & (expected >= 0)).sum() < (depth < 0).sum() - 100
    result = torch_kernels.close_gaps(torch.tensor(depth, device=device)[None])[0]
    np.testing.assert_allclose(result.cpu().numpy(), expected, rtol=1e-6)


@pytest.mark.parametrize("fov", [None, 0.9])
def test_a_camera_makes_its_views_on_the_device(device, road_trace, fov):
    ts, offsets = [2.0, 7.31, 12.5], [(0, 0.8, 0.1), (0, -1.2, -0.3), (0.5, 0, 0)]
    camera = Camera(road_trace, "front", (40, 80), fov, backend="torch", device=device)
    plain = Camera(road_trace, "front", (40, 80), fov, backend="numpy")
    views = camera.render_tensors(ts, offsets)
    assert views.image.device.type == device
    depths = np.empty((3, 40, 80), np.float32)
    images, valids = camera.render_batch(ts, offsets, inverse_depth=depths)
    np.testing.assert_array_equal(depths, views.inverse_depth.cpu().numpy())
    np.testing.assert_array_equal(images, views.image.cpu().numpy())
    np.testing.assert_array_equal(valids, views.valid.cpu().numpy())
    for i in range(3):
        expected = plain.render_view(ts[i], offsets[i])
        assert_agrees(camera.render_view(ts[i], offsets[i]), expected)
        assert_agrees(views.on_host()[i], expected)
    with pytest.raises(ValueError, match="needs backend='torch'"):
        plain.render_tensors(ts, offsets)
    with pytest.raises(ValueError, match="backend 'numba' runs on the cpu only"):
        Camera(road_trace, "front", device="cuda")
