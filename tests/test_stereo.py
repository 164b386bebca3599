"""Geometry from a second camera, against exact depth, the proving ground, and KITTI's pairs."""

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest
from rig import FRONT, beside, write_rig
from textured import LENS, MOUNT, STREET, wall

from vista_sim.cli import main
from vista_sim.errors import GeometryError
from vista_sim.geometry.bake import bake, bake_camera
from vista_sim.geometry.ground import ground_inverse_depth
from vista_sim.geometry.pairs import find_pair
from vista_sim.geometry.settings import StereoMatching
from vista_sim.geometry.sources import available
from vista_sim.geometry.stereo import match_pair
from vista_sim.geometry.store import GeometryStore
from vista_sim.traces.calibration import Lens
from vista_sim.traces.trace import Trace

KITTI = Path(__file__).resolve().parents[2] / "shared" / "data" / "kitti-odometry"
SCENE = (*STREET, wall(14.0, y=(-2.5, 0.5), z=(0, 2.0)))
BENT = dataclasses.replace(LENS, distortion=(-0.2, 0.05, 0.001, -0.0005, 0.0))
FISHEYE = Lens("fisheye", 120.0, 120.0, 79.5, 47.5, (96, 160), (0.02, -0.01, 0.0, 0.0))


def _judge(folder, camera, lens, mount, depths, best=0.004):
    bake(folder, camera, geometry="stereo")
    with Trace.open(folder) as trace:
        store = GeometryStore.find(trace, camera)
    flat = ground_inverse_depth(lens, mount)
    for index, depth in enumerate(depths):
        error = np.abs(store.metric(index) - 1 / depth)
        scene = np.isfinite(depth)  # the sky is without any texture
        assert np.median(error[scene]) < best
        assert error[scene].mean() < 0.4 * np.abs(flat - 1 / depth)[scene].mean()
        sure = np.array(store.confidence[index]) > 128
        assert sure[scene].mean() > 0.6
        assert (error[scene & sure] > 0.03).mean() < 0.03


def test_depth_of_both_cameras_of_a_rectified_pair(tmp_path):
    cameras = FRONT | {"right": beside(-0.5)}
    depths = write_rig(tmp_path / "rig", SCENE, cameras, frames=2)
    for name, (lens, mount) in cameras.items():
        _judge(tmp_path / "rig", name, lens, mount, depths[name])


@pytest.mark.parametrize(
    ("own", "other"),
    [
        (LENS, beside(-0.5, turn=(0.02, -0.015, 0.05))),
        (LENS, beside(0.5, lens=BENT, turn=(-0.01, 0.02, -0.04))),
        (BENT, beside(-0.5, lens=BENT)),
        (FISHEYE, beside(-0.5, lens=LENS)),
    ],
    ids=["turned", "turned and bent", "bent alike", "fisheye and pinhole"],
)
def test_pairs_that_are_not_rectified_are_rectified_first(tmp_path, own, other):
    depths = write_rig(tmp_path / "rig", SCENE, {"front": (own, MOUNT), "side": other}, frames=1)
    _judge(tmp_path / "rig", "front", own, MOUNT, depths["front"], best=0.005)


@pytest.mark.parametrize(
    ("cameras", "late", "reason"),
    [
        (FRONT, 0.0, "it is the only one"),
        (FRONT | {"rear": beside(0.5, turn=(0, 0, np.pi))}, 0.0, "turned by 180"),
        (FRONT | {"same": beside(0.0)}, 0.0, "0 m away"),
        (FRONT | {"right": beside(-0.5)}, 0.03, "no frame within 1 ms"),
    ],
)
def test_a_rig_without_a_pair_is_one_line_and_status_2(tmp_path, capsys, cameras, late, reason):
    write_rig(tmp_path / "rig", STREET, cameras, frames=2, late=late)
    for geometry in ("stereo", "multiview+stereo"):
        with pytest.raises(SystemExit) as end:
            main(["bake", str(tmp_path / "rig"), "--camera", "front", "--geometry", geometry])
        assert end.value.code == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert reason in error
    assert not (tmp_path / "rig" / "geometry").exists()
    with Trace.open(tmp_path / "rig") as trace:
        assert available(trace, "front") == ["multiview"]


def test_a_camera_above_or_ahead_is_no_partner(tmp_path):
    ahead = MOUNT.copy()
    ahead[0, 3] += 0.4
    above = MOUNT.copy()
    above[2, 3] += 0.4
    cameras = FRONT | {"ahead": (LENS, ahead), "above": (LENS, above)}
    write_rig(tmp_path / "rig", STREET, cameras, frames=2)
    with Trace.open(tmp_path / "rig") as trace, pytest.raises(GeometryError) as refusal:
        find_pair(trace, "front", StereoMatching())
    assert str(refusal.value).count("does not stand beside it") == 2


def test_a_known_shift_is_found_to_a_tenth_of_a_pixel_from_either_side():
    rng = np.random.default_rng(3)
    fine = cv2.GaussianBlur(rng.uniform(0, 255, (60, 960)).astype(np.float32), (0, 0), 4)
    fine = cv2.normalize(fine, None, 0, 255, cv2.NORM_MINMAX)
    shift = 7.25  # px: 29 samples of the fine texture, four a pixel

    def view(start):
        return np.ascontiguousarray(fine[:, start : start + 800 : 4].round().astype(np.uint8))

    left, right = view(40), view(40 + 29)
    for own, other, side in ((left, right, 1), (right, left, -1)):
        found, sure = match_pair(own, other, side, 32, StereoMatching())
        middle = (slice(8, -8), slice(40, -40))
        assert np.median(np.abs(found - shift)[middle]) < 0.1
        assert sure[middle].mean() > 0.8
        # What the other one cannot see has no match back.
        edge = sure[:, :6] if side > 0 else sure[:, -6:]
        assert edge.mean() < 0.4


def test_merged_with_neighbouring_frames_it_is_better_than_either_in_the_proving_ground(tmp_path):
    pytest.importorskip("pybullet")
    from vista_sim.proving_ground.record import Recording, build_scene, record
    from vista_sim.proving_ground.truth import GroundTruth

    recording = Recording(seed=31, seconds=1.0, size=(120, 192), stereo=0.5)
    scene = build_scene(recording)
    trace = Trace.open(record(tmp_path / "short", recording, scene=scene))
    frames = (4, 7)
    with GroundTruth(trace.root, scene) as truth:
        depth = np.array([truth.depth("front", i) for i in frames])
    true = np.where(np.isfinite(depth), 1 / depth, 0.0)
    error, off = {}, {}
    for geometry in ("ground", "multiview", "stereo", "auto"):
        done = bake_camera(trace, "front", geometry=geometry)
        store = GeometryStore.find(trace, "front")
        difference = np.abs(np.array([store.metric(i) for i in frames]) - true)
        error[geometry] = difference[np.isfinite(depth)].mean()
        off[geometry] = (difference > 0.1 * true)[depth < 50].mean()
    assert done.report["sources"] == ["multiview", "stereo"]
    assert error["stereo"] < 0.5 * error["ground"]
    assert off["stereo"] < 0.15
    assert error["auto"] < min(error["multiview"], error["stereo"])
    assert off["auto"] < min(off["multiview"], off["stereo"])


@pytest.mark.skipif(not KITTI.is_dir(), reason="the recording is not there")
def test_real_pairs_explain_each_other(tmp_path):
    """The right picture, looked up where stereo says, is the left one."""
    pytest.importorskip("vista_sim.traces.importers.kitti_odometry")
    from vista_sim.geometry.pairs import Pair
    from vista_sim.geometry.settings import BakeSettings
    from vista_sim.geometry.stereo import StereoSource
    from vista_sim.traces.calibration import CameraCalibration
    from vista_sim.transforms import camera_mount

    lens = Lens("pinhole", 718.856, 718.856, 607.1928, 185.2157, (376, 1241))
    half = lens.resized((188, 620))

    class Still:
        def __init__(self, folder, y):
            path = KITTI / "sequences" / "00" / folder / "000040.png"
            self.image = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
            mount = camera_mount(1.08, y, 1.65, pitch=0.0093)
            self.calibration, self.t = CameraCalibration(lens, mount), np.zeros(1)

        def frame(self, _):
            return self.image

    left, right = Still("image_0", 0.0), Still("image_1", -0.537)
    mount = left.calibration.T_vehicle_camera

    class Context:
        settings = BakeSettings((188, 620), ("stereo",))
        ground = ground_inverse_depth(half, mount)
        scale = 0.4 / 65535

    Context.lens, Context.mount = half, mount
    pair = Pair(left, right, 0.537, 1, np.zeros(1, np.int64))
    values, sure, _ = StereoSource(Context, pair).estimate(0)
    grays = [
        cv2.resize(x.image[..., 0], (620, 188), interpolation=cv2.INTER_AREA) for x in (left, right)
    ]
    v, u = np.mgrid[0:188, 0:620].astype(np.float32)

    def difference(inverse_depth):
        there = cv2.remap(grays[1], u - inverse_depth * np.float32(half.fx * 0.537), v, 1)
        return np.abs(there.astype(float) - grays[0])[:, 90:]

    trusted = sure[:, 90:] > 0.5
    assert trusted.mean() > 0.6
    assert difference(values)[trusted].mean() < 6
    assert difference(values).mean() < 0.4 * difference(Context.ground).mean()
