"""Frames that show no parallax, and frames of other exposure, in a drive that comes to a halt."""

import numpy as np
import pytest
from textured import LENS, MOUNT, STREET, draw, straight
from textured import wall as house

from vista_sim.geometry.bake import bake
from vista_sim.geometry.ground import ground_inverse_depth
from vista_sim.geometry.store import EXPOSURE, GeometryStore
from vista_sim.traces.calibration import CameraCalibration, Vehicle
from vista_sim.traces.trace import Trace
from vista_sim.traces.writer import TraceWriter
from vista_sim.transforms import planar_pose, quaternion_from_matrix

MOVING, STANDING = 6, 45  # frames; those at the end are farther in time than neighbours may be
SCENE = (*STREET, house(14.0, y=(-2, 0.5), z=(0, 3)))
DRAWN = 4  # standing frames that are drawn: it turns on the spot, and then nothing changes


@pytest.fixture(scope="module")
def drive(tmp_path_factory):
    """A baked drive, its depths, and the gains (n, 3) that its frames were multiplied by."""
    folder = tmp_path_factory.mktemp("standing") / "drive"
    way = straight(0.9 * np.arange(MOVING))
    turned = [way[-1] @ planar_pose(0, 0, 0.01 * min(k, DRAWN)) for k in range(1, STANDING + 1)]
    poses = np.concatenate([way, turned])
    rng = np.random.default_rng(5)
    gains = np.exp(rng.uniform(-0.12, 0.12, (len(poses), 3)))
    t_ns = np.arange(len(poses)) * 100_000_000
    depths = []
    with TraceWriter(
        folder, name="drive", licence="MIT", source="computed by a test", vehicle=Vehicle()
    ) as writer:
        camera = writer.add_camera("front", CameraCalibration(LENS, MOUNT), 10.0, crf=6)
        for k, pose in enumerate(poses):
            if k < MOVING + DRAWN:
                image, depth = draw(SCENE, pose @ MOUNT, LENS, fine=2)
            shown = np.clip(np.minimum(image, 215) * gains[k] + 0.5, 0, 255)
            camera.write(shown.astype(np.uint8), int(t_ns[k]))
            depths.append(depth)
        speed = np.where(np.arange(len(poses)) < MOVING, 9.0, 0.0)
        quaternion = quaternion_from_matrix(poses[:, :3, :3])
        writer.write_ego(t_ns, poses[:, :3, 3], quaternion, speed, 0 * speed)
    bake(folder)
    return folder, np.array(depths), gains


def _find(folder):
    with Trace.open(folder) as trace:
        return GeometryStore.find(trace, "front")


def test_a_standing_car_knows_what_it_saw_when_it_drove(drive):
    store = _find(drive[0])
    flat = ground_inverse_depth(LENS, MOUNT)
    for index in (MOVING + 1, MOVING + STANDING // 2, MOVING + STANDING - 1):
        truth = 1 / drive[1][index]
        error = np.abs(store.metric(index) - truth)
        assert np.median(error) < 0.004
        assert error.mean() < 0.4 * np.abs(flat - truth).mean()
    late = store.confidence[-1]
    assert (late > 0).mean() > 0.5
    assert late.max() < 128
    assert store.confidence[2].max() > 200


def test_exposure_is_found_by_channel_and_brings_one_frame_to_another(drive):
    store = _find(drive[0])
    gains = np.log(drive[2])
    assert store.exposure.shape == gains.shape
    assert (store.exposure[0] == 0).all()
    found, truth = np.diff(store.exposure, axis=0), np.diff(gains, axis=0)
    assert np.abs(found - truth).max() < 0.02
    for i, j in ((0, 3), (7, 4)):
        gain = np.exp(store.exposure[i] - store.exposure[j])
        np.testing.assert_allclose(gain, drive[2][i] / drive[2][j], rtol=0.03)


def test_geometry_without_measured_exposure_has_none(drive):
    store = _find(drive[0])
    path = store.path / EXPOSURE
    kept = path.read_bytes()
    path.unlink()
    assert (_find(drive[0]).exposure == np.zeros((MOVING + STANDING, 3))).all()
    path.write_bytes(kept)
