"""Recorded poses that err by centimetres and tenths of a degree do not ruin the geometry."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from textured import LENS, MOUNT, STREET, draw, straight, wall

from vista_sim.geometry.census import census
from vista_sim.geometry.motion import refine_motions
from vista_sim.geometry.multiview import MultiView
from vista_sim.geometry.settings import Matching, MotionRefinement
from vista_sim.geometry.working import WorkingFrame
from vista_sim.transforms import inverse

FRAMES, MIDDLE = 11, 5
BIG = LENS.resized((144, 240))


@pytest.fixture(scope="module")
def drive():
    """True and recorded T_world_camera, what was refined, images and depths."""
    rng = np.random.default_rng(2)
    true = straight(0.9 * np.arange(FRAMES)) @ MOUNT
    drawn = [draw((*STREET, wall(30.0)), pose, BIG, fine=2) for pose in true]
    recorded = true.copy()
    recorded[:, :3, 3] += rng.normal(0, 0.03, (FRAMES, 3))
    turned = Rotation.from_rotvec(np.radians(rng.normal(0, 0.2, (FRAMES, 3))))
    recorded[:, :3, :3] = turned.as_matrix() @ recorded[:, :3, :3]
    gray = [image[..., 0].copy() for image, _ in drawn]
    with ThreadPoolExecutor(1) as pool:
        refined = refine_motions(
            recorded,
            np.zeros(FRAMES, dtype=int),
            gray.__getitem__,
            BIG.matrix,
            MotionRefinement(),
            pool,
        )
    return true, recorded, refined, [image for image, _ in drawn], [depth for _, depth in drawn]


def _steps(poses):
    return inverse(poses[:-1]) @ poses[1:]


def _differences(one, other):
    """Angles (deg) and distances (m) between the motions of two records."""
    between = inverse(_steps(one)) @ _steps(other)
    turns = Rotation.from_matrix(between[:, :3, :3]).magnitude()
    return np.degrees(turns), np.linalg.norm(between[:, :3, 3], axis=1)


def test_motion_between_frames_is_brought_near_the_true_one(drive):
    true, recorded, refined, _, _ = drive
    turns, shifts = _differences(true, recorded)
    turns_after, shifts_after = _differences(true, refined.poses)
    assert np.median(turns) > 0.3
    assert np.median(turns_after) < 0.2 * np.median(turns)
    assert np.median(shifts_after) < 0.5 * np.median(shifts)


def test_the_report_says_how_much_was_moved(drive):
    _, recorded, refined, _, _ = drive
    turns, shifts = _differences(recorded, refined.poses)
    report = refined.report
    assert report["keyframes"] == FRAMES
    assert report["median_turn_deg"] == pytest.approx(np.median(turns), rel=1e-3)
    assert report["max_turn_deg"] == pytest.approx(turns.max(), rel=1e-3)
    assert report["median_shift_m"] == pytest.approx(np.median(shifts), rel=1e-3)
    assert report["max_shift_m"] == pytest.approx(shifts.max(), rel=1e-3)


def test_depth_is_as_good_as_from_true_poses(drive):
    true, recorded, refined, images, depths = drive
    truth = 1 / depths[MIDDLE]
    neighbours = [MIDDLE - 2, MIDDLE - 1, MIDDLE + 1, MIDDLE + 2]
    frames = [WorkingFrame(g, census(g), i) for i in images for g in [i[..., 0].copy()]]

    def error(poses):
        view = MultiView(BIG, MOUNT, poses, Matching())
        others = [frames[k] for k in neighbours]
        found = view.match(MIDDLE, neighbours, frames[MIDDLE], others)
        return np.abs(found - truth)[8:-8, 12:-12].mean()

    best = error(true)
    assert error(recorded) > 1.5 * best
    assert error(refined.poses) < 1.15 * best
