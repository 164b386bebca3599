"""Which recorded frames and cameras a view is made from, and through which lens it looks."""

import dataclasses
import json
import math
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import raycast

from vista_sim.errors import PolicyError, WorldError
from vista_sim.geometry.ground import ground_inverse_depth
from vista_sim.geometry.store import GeometryStore
from vista_sim.policies import CameraSpec
from vista_sim.sensors.camera import Camera, Synthesis
from vista_sim.sensors.registry import read_camera
from vista_sim.traces.calibration import CameraCalibration, Lens, Vehicle
from vista_sim.traces.trace import Trace
from vista_sim.traces.writer import TraceWriter
from vista_sim.transforms import camera_mount, planar_pose, quaternion_from_matrix
from vista_sim.world import World

SIZE = (96, 160)
PINHOLE = Lens.from_fov(SIZE, 1.2)
FISHEYE = Lens("fisheye", 62.0, 62.0, 79.5, 47.5, SIZE, (0.02, -0.01, 0.002, 0.0))
MOUNT = camera_mount(1.2, 0.0, 1.5, pitch=0.05)
FLAT = [raycast.ground()]
STEP = 0.8  # m between frames, 0.1 s apart


def record(folder, rig, frames=8, yaw=None, gain=None):
    """A straight drive over flat ground; `yaw` (rad) and `gain` of each frame are not recorded."""
    yaw = np.zeros(frames) if yaw is None else yaw
    gain = np.ones(frames) if gain is None else gain
    with TraceWriter(folder, name="tiny", licence="-", source="-", vehicle=Vehicle()) as writer:
        for name, (lens, mount) in rig.items():
            video = writer.add_camera(name, CameraCalibration(lens, mount), 10.0)
            for i in range(frames):
                image, _, _ = raycast.render(FLAT, planar_pose(i * STEP, 0, yaw[i]) @ mount, lens)
                video.write(np.round(image * gain[i]).astype(np.uint8), i * 100_000_000)
        x = np.arange(frames * 5) * STEP / 5
        zeros = np.zeros_like(x)
        rotation = np.tile(quaternion_from_matrix(np.eye(3)), (len(x), 1))
        t_ns = np.arange(len(x)) * 20_000_000
        position = np.stack([x, zeros, zeros], axis=1)
        writer.write_ego(t_ns, position, rotation, np.full_like(x, STEP / 0.1), zeros)
    return Trace.open(folder)


@pytest.fixture(scope="module")
def trace(tmp_path_factory):
    return record(tmp_path_factory.mktemp("plain") / "trace", {"front": (PINHOLE, MOUNT)})


def psnr(a, b, mask):
    error = (a.astype(float) - b.astype(float))[mask]
    return 10 * math.log10(255**2 / (error**2).mean())


def truth(t, offset, mount, lens):
    pose = planar_pose(STEP * t / 0.1, 0, 0) @ planar_pose(*offset) @ mount
    image, depth, _ = raycast.render(FLAT, pose, lens)
    return image, depth


@pytest.mark.parametrize("recorded", [PINHOLE, FISHEYE], ids=["from-pinhole", "from-fisheye"])
@pytest.mark.parametrize(
    "lens",
    [
        FISHEYE.resized((72, 120)),
        Lens("pinhole", 90.0, 90.0, 60.0, 30.0, (72, 120), (-0.2, 0.05, 0.001, -0.001, 0.0)),
    ],
    ids=["to-fisheye", "to-brown-conrady"],
)
def test_a_virtual_camera_looks_through_any_lens(tmp_path, recorded, lens):
    trace = record(tmp_path / "trace", {"front": (recorded, MOUNT)})
    mount = camera_mount(1.0, 0.2, 1.6, pitch=0.1)
    offset = (0, 0.6, 0.05)
    image, valid = Camera(trace, "front", lens=lens, mount=mount).render(0.43, offset)
    true, depth = truth(0.43, offset, mount, lens)
    mask = valid & (depth < 10)
    assert mask.mean() > 0.2
    assert psnr(image, true, mask) > 27


def test_a_lens_and_a_field_of_view_exclude_each_other(trace):
    with pytest.raises(ValueError, match="fov and lens are both given"):
        Camera(trace, "front", fov=1.0, lens=PINHOLE)
    assert Camera(trace, "front", size=(48, 80), lens=PINHOLE).lens.fx == PINHOLE.fx / 2


def test_two_cameras_feed_one_view_where_their_fields_meet(tmp_path):
    left = camera_mount(1.2, 0.3, 1.5, pitch=0.15, yaw=0.5)
    right = camera_mount(1.2, -0.3, 1.5, pitch=0.15, yaw=-0.5)
    trace = record(tmp_path / "rig", {"left": (PINHOLE, left), "right": (PINHOLE, right)})
    mount, lens = camera_mount(1.2, 0.0, 1.5, pitch=0.15, yaw=0.1), Lens.from_fov((80, 200), 2.0)
    settings = {"lens": lens, "mount": mount, "synthesis": Synthesis(other_frames=())}
    offset = (0, 0.3, 0)
    both = Camera(trace, ["right", "left"], **settings).render_view(0.4, offset)
    one = Camera(trace, "left", **settings).render_view(0.4, offset)
    true, depth = truth(0.4, offset, mount, lens)
    near = depth < 10
    # The left camera looks more nearly the same way; the right one adds what lies on its side.
    np.testing.assert_array_equal(both.source == 0, one.source == 0)
    added = near & both.valid & ~one.valid
    assert added[:, :100].sum() < 20 < 1000 < added[:, 100:].sum()
    assert psnr(both.image, true, added) > 27
    assert psnr(both.image, true, near & (both.source == 0)) > 27


def test_a_view_ahead_is_made_from_the_frame_that_stood_there(trace):
    camera = Camera(trace, "front")
    image, valid = camera.render(0.2, (3 * STEP, 0, 0))
    there = trace.cameras["front"].frame(5)
    assert valid.mean() > 0.99
    assert np.abs(image.astype(int) - there)[valid].mean() < 1.0


def test_the_frame_behind_is_preferred_to_the_one_ahead(trace):
    camera = Camera(trace, "front")

    def main(t, x=0.0):
        return camera._planner.plan(np.array([t]), np.array([[x, 0, 0]])).frames[0, 0]

    assert [main(0.31), main(0.35), main(0.37)] == [3, 3, 3]
    assert main(0.39) == 4  # almost there
    assert main(0.35, STEP) == main(0.45) == 4
    assert main(0.35, -2 * STEP) == 1
    assert main(0.0, -3.0) == 0
    assert main(0.7, 30.0) == 7


class Geometry:
    """Flat ground, and true poses where the recorded ones err."""

    def __init__(self, poses, exposure):
        self.scale = 1 / 65535
        codes = np.round(ground_inverse_depth(PINHOLE, MOUNT) * 65535).astype(np.uint16)
        self.inverse_depth = np.broadcast_to(codes, (len(poses), *codes.shape))
        self.poses, self.exposure = poses, exposure
        self.size, self.path = PINHOLE.size, Path("by-hand") / str(hash(poses.tobytes()))


def bake_by_hand(monkeypatch, yaw, exposure):
    poses = np.array([planar_pose(i * STEP, 0, a) @ MOUNT for i, a in enumerate(yaw)])
    geometry = Geometry(poses, exposure)
    monkeypatch.setattr("vista_sim.sensors.frames.GeometryStore.find", lambda *_: geometry)


def test_views_do_not_jump_where_the_main_frame_changes(tmp_path, monkeypatch):
    wobble = 0.015 * np.array([0.0, 1.0, -1.0, 1.0, -1.0, 1.0, -1.0, 0.0])
    jumps = {}
    for name, yaw, known in (
        ("steady", 0 * wobble, 0 * wobble),
        ("unknown", wobble, 0 * wobble),
        ("refined", wobble, wobble),
    ):
        trace = record(tmp_path / name, {"front": (PINHOLE, MOUNT)}, yaw=yaw)
        bake_by_hand(monkeypatch, known, np.zeros((8, 3)))
        camera = Camera(trace, "front", synthesis=Synthesis(other_frames=(), lead=0.0))
        before, after = (camera.render_view(t, (0, 0.5, 0)) for t in (0.39999, 0.40001))
        mask = before.valid & after.valid & (before.inverse_depth > 0.1)
        error = (before.image.astype(float) - after.image)[mask]
        jumps[name] = float(np.sqrt((error**2).mean()))
    # Even a steady drive differs a little: one frame shows the road from farther away.
    assert jumps["unknown"] > 2 * jumps["steady"]
    assert jumps["refined"] < 1.15 * jumps["steady"]


def test_other_frames_are_brought_to_the_exposure_of_the_main_one(tmp_path, monkeypatch):
    gain = 0.55 + 0.05 * np.arange(8)
    trace = record(tmp_path / "exposure", {"front": (PINHOLE, MOUNT)}, gain=gain)
    bake_by_hand(monkeypatch, np.zeros(8), np.repeat(np.log(gain)[:, None], 3, axis=1))
    offset = (0, 0.0, 0.25)
    view = Camera(trace, "front", synthesis=Synthesis(other_frames=(-3.0,))).render_view(
        0.5, offset
    )
    true, depth = truth(0.5, offset, MOUNT, PINHOLE)
    other = (view.source == 1) & (depth < 12)
    assert other.sum() > 50
    ratio = view.image[other].astype(float).mean() / (true[other] * gain[5]).mean()
    assert ratio == pytest.approx(1.0, abs=0.01)
    # Unmatched, frame 1 would be darker by a quarter.
    assert gain[1] / gain[5] < 0.77


def test_a_batch_may_be_written_into_given_rows_by_several_threads(trace):
    camera = Camera(trace, "front", size=(66, 200))
    rng = np.random.default_rng(0)
    ts = rng.uniform(0.0, 0.7, 12)
    offsets = np.stack([0 * ts, rng.uniform(-1, 1, 12), rng.uniform(-0.2, 0.2, 12)], axis=1)
    alone, masks = camera.render_batch(ts, offsets)
    out = np.zeros((20, 66, 200, 3), np.uint8), np.zeros((20, 66, 200), bool)
    rows = rng.permutation(20)[:12]
    depths = np.zeros((20, 66, 200), np.float32)
    images, valids = camera.render_batch(ts, offsets, out, rows, workers=3, inverse_depth=depths)
    assert images is out[0]
    np.testing.assert_array_equal(images[rows], alone)
    np.testing.assert_array_equal(valids[rows], masks)
    assert not images[np.setdiff1d(np.arange(20), rows)].any()
    for i, row in enumerate(rows):
        np.testing.assert_array_equal(
            depths[row], camera.render_view(ts[i], offsets[i]).inverse_depth
        )
    with pytest.raises(ValueError, match="inverse_depth must be a C contiguous float32 array"):
        camera.render_batch(ts, offsets, out, rows, inverse_depth=depths.astype(np.float64))


@pytest.mark.parametrize(
    ("out", "rows", "said"),
    [
        (((1, 30, 60, 3), (1, 66, 200)), None, "images must be a C contiguous uint8 array"),
        (((1, 66, 200), (1, 66, 200)), None, "images must be a C contiguous uint8 array"),
        (((1, 66, 200, 3), (1, 4, 6)), None, "valids must be a C contiguous bool array"),
        (((1, 66, 200, 3), (1, 66, 200)), [1], "rows must be 1 places below 1"),
        (((2, 66, 200, 3), (2, 66, 200)), [0, 1], "rows must be 1 places below 2"),
        (((0, 66, 200, 3), (0, 66, 200)), None, "rows must be 1 places below 0"),
    ],
)
def test_a_batch_is_not_written_into_what_does_not_hold_it(trace, out, rows, said):
    camera = Camera(trace, "front", size=(66, 200))
    arrays = np.zeros(out[0], np.uint8), np.zeros(out[1], bool)
    with pytest.raises(ValueError, match=said):
        camera.render_batch([0.3], [(0, 0, 0)], out=arrays, rows=rows)


@pytest.mark.parametrize(
    ("mount", "said"),
    [
        (np.full((4, 4), np.nan), "mount .* not finite"),
        (np.zeros((4, 4)), "mount .* not a rigid transform"),
        (np.eye(3), "mount .* shape"),
    ],
)
def test_a_mount_that_cannot_be_is_refused(trace, mount, said):
    with pytest.raises(ValueError, match=said):
        Camera(trace, "front", mount=mount)
    with pytest.raises(WorldError, match=said):
        World([trace], min_speed=0.0).spawn_agent().spawn_camera("camera", (24, 48), mount=mount)


def test_numbers_of_a_batch_are_named(trace):
    camera = Camera(trace, "front", size=(66, 200))
    with pytest.raises(ValueError, match="ts has shape"):
        camera.render_batch([[0.1, 0.2]], [(0, 0, 0)])
    with pytest.raises(ValueError, match="offsets must be numbers, all of one kind"):
        camera.render_batch([0.1, 0.2], [(0, 0, 0), np.eye(4)])
    with pytest.raises(ValueError, match="lens is 3"):
        Camera(trace, "front", lens=3)


def test_an_environment_looks_through_the_lens_and_the_cameras_it_is_given(tmp_path):
    left = camera_mount(1.2, 0.3, 1.5, pitch=0.15, yaw=0.5)
    right = camera_mount(1.2, -0.3, 1.5, pitch=0.15, yaw=-0.5)
    rig = {"left": (PINHOLE, left), "right": (PINHOLE, right)}
    trace = record(tmp_path / "rig", rig, frames=40)
    env = gymnasium.make(
        "VistaSim/LaneFollowing-v0",
        traces=[trace],
        size=(48, 80),
        lens=FISHEYE,
        mount=MOUNT,
        recorded_camera=["left", "right"],
        section=(0.0, 3.9),
    )
    observation, _ = env.reset(seed=0, options={"s": 5.0, "lateral": 0.4})
    car = env.unwrapped.car
    camera = Camera(trace, ["left", "right"], size=(48, 80), lens=FISHEYE, mount=MOUNT)
    image, valid = camera.render(car.scene_time, car.offset)
    np.testing.assert_array_equal(observation["camera"], image)
    # Either camera alone leaves half of the view unseen.
    alone = Camera(trace, "left", size=(48, 80), lens=FISHEYE, mount=MOUNT)
    assert valid.mean() > alone.render(car.scene_time, car.offset)[1].mean() + 0.1


def test_the_lens_of_a_policy_survives_its_json():
    spec = CameraSpec((48, 80), lens=FISHEYE)
    again = CameraSpec.from_json(json.loads(json.dumps(spec.to_json())))
    assert dataclasses.asdict(again.lens) == dataclasses.asdict(FISHEYE)
    broken = spec.to_json() | {"lens": {"model": "telescope"}}
    with pytest.raises(PolicyError, match="field 'camera' is not usable"):
        read_camera(broken, "field 'camera'", PolicyError)


def test_what_moves_is_not_shown_again_where_another_frame_saw_it(tmp_path, monkeypatch):
    trace = record(tmp_path / "moving", {"front": (PINHOLE, MOUNT)})
    codes = np.round(ground_inverse_depth(PINHOLE, MOUNT) * 65535).astype(np.uint16) & 0xFFFE
    moving = np.zeros(SIZE, bool)
    moving[70:90, 10:40] = True
    views = []
    for moves in (False, True):
        bake_by_hand(monkeypatch, np.zeros(8), np.zeros((8, 3)))
        geometry = GeometryStore.find(trace, "front")
        geometry.inverse_depth = np.broadcast_to(codes | (moving & moves), (8, *SIZE))
        geometry.moving_bit, geometry.path = True, geometry.path / str(moves)
        camera = Camera(trace, "front", synthesis=Synthesis(other_frames=(-2.0,), min_unseen=0.0))
        views.append(camera.render_view(0.5, (0, 0.8, 0.2)))
    shown, hidden = views
    # The main frame shows what it shows; the other one fills less.
    np.testing.assert_array_equal(shown.source == 0, hidden.source == 0)
    assert (hidden.source == 1).sum() < (shown.source == 1).sum() - 50
    assert not ((hidden.source == 1) & (shown.source != 1)).any()
