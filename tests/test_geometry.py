"""The parts that inverse depth is made of, against formulas and plain NumPy."""

import dataclasses

import numpy as np
import pytest
from textured import LENS, MOUNT, STREET, draw, straight, wall

from vista_sim.errors import GeometryError
from vista_sim.geometry.census import BIT_COST, UNSEEN_COST, census, matching_cost
from vista_sim.geometry.consistency import fill, fuse
from vista_sim.geometry.ground import ground_inverse_depth
from vista_sim.geometry.multiview import MultiView
from vista_sim.geometry.neighbours import choose_neighbours, projections
from vista_sim.geometry.refine import detail, refine
from vista_sim.geometry.resample import sample_inverse_depth
from vista_sim.geometry.settings import BakeSettings, Matching, default_size
from vista_sim.geometry.sgm import aggregate, best_plane
from vista_sim.geometry.surface import fit_ground, smooth_ground
from vista_sim.geometry.tracks import corners, estimate_motion, follow, triangulate
from vista_sim.geometry.working import WorkingCamera, WorkingFrame
from vista_sim.traces.calibration import Lens
from vista_sim.transforms import camera_mount, inverse

DISTORTED = dataclasses.replace(LENS, distortion=(-0.25, 0.06, 0.001, -0.0005, 0.0))


@pytest.mark.parametrize("lens", [LENS, DISTORTED])
def test_ground_points_lie_at_the_inverse_depth_of_the_ground(lens):
    mount = camera_mount(1.2, 0.3, 1.5, roll=0.03, pitch=0.1, yaw=-0.2)
    ground = ground_inverse_depth(lens, mount)
    x, y = np.meshgrid(np.linspace(4, 40, 60), np.linspace(-10, 10, 41))
    points = np.stack([x, y, np.zeros_like(x), np.ones_like(x)], axis=-1)
    in_camera = (points @ inverse(mount).T)[..., :3]
    u, v = np.moveaxis(lens.project(in_camera), -1, 0)
    inside = (u > 1) & (u < lens.size[1] - 2) & (v > 1) & (v < lens.size[0] - 2)
    assert inside.sum() > 200
    i, j = np.floor(u[inside]).astype(int), np.floor(v[inside]).astype(int)
    corner = np.stack([ground[j + b, i + a] for a in (0, 1) for b in (0, 1)])
    found = 1 / in_camera[..., 2][inside]
    assert np.all(found > corner.min(axis=0) - 1e-6)
    assert np.all(found < corner.max(axis=0) + 1e-6)


def test_ground_is_infinitely_far_above_the_horizon():
    ground = ground_inverse_depth(LENS, camera_mount(0, 0, 1.5))
    assert (ground[: LENS.size[0] // 2] == 0).all()
    assert (ground[LENS.size[0] // 2 + 1 :] > 0).all()


def test_census_has_a_bit_for_each_darker_neighbour():
    gray = np.random.default_rng(0).integers(0, 9, (12, 15), dtype=np.uint8)
    found = census(gray)
    padded = np.pad(gray, 2, mode="edge")
    shifts = [(dv, du) for dv in range(5) for du in range(5) if (dv, du) != (2, 2)]
    bits = [padded[dv : dv + 12, du : du + 15] < gray for dv, du in shifts]
    expected = sum(bit.astype(np.uint64) << (23 - k) for k, bit in enumerate(bits))
    np.testing.assert_array_equal(found, expected)


def test_matching_cost_is_the_mean_hamming_distance_where_neighbours_see_the_point():
    rng = np.random.default_rng(1)
    size, planes = (10, 14), np.linspace(0, 0.5, 16, dtype=np.float32)
    codes = rng.integers(0, 2**24, (3, *size), dtype=np.uint32)
    rotations = np.stack([np.eye(3), np.eye(3)]).astype(np.float32)
    translations = np.array([[6.13, 0.57, 0.41], [-9.21, 1.03, -0.83]], dtype=np.float32)
    prior = np.full(size, 4.0, np.float32)
    found = matching_cost(codes[0], codes[1:], rotations, translations, planes, prior, 16.0, 5.0)
    for v, u, d in zip(*(rng.integers(0, n, 200) for n in (*size, 16)), strict=True):
        distances = []
        for k in range(2):
            p = np.array([u, v, 1.0]) + planes[d] * translations[k]
            i, j = np.floor(p[:2] / p[2] + 0.5).astype(int)
            if 0 <= i < size[1] and 0 <= j < size[0]:
                distances.append(int(codes[0, v, u] ^ codes[1 + k, j, i]).bit_count())
        extra = min(abs(int(d) - 4), 5)
        expected = BIT_COST * np.mean(distances) if distances else UNSEEN_COST
        assert abs(int(found[v, u, d]) - expected - extra) <= 1


def _aggregate_slowly(cost, gray, p1, p2, edge):
    """Semi-global matching by its formula, path by path."""
    height, width, count = cost.shape
    total = np.zeros(cost.shape)
    for dv, du in [(a, b) for a in (-1, 0, 1) for b in (-1, 0, 1) if (a, b) != (0, 0)]:
        path = np.zeros(cost.shape)
        rows = range(height) if dv >= 0 else range(height - 1, -1, -1)
        columns = range(width) if du >= 0 else range(width - 1, -1, -1)
        for v in rows:
            for u in columns:
                path[v, u] = cost[v, u]
                a, b = v - dv, u - du
                if not (0 <= a < height and 0 <= b < width):
                    continue
                last = path[a, b]
                contrast = abs(int(gray[v, u]) - int(gray[a, b]))
                large = max(p2 * edge // (edge + contrast), p1 + 3)
                near = np.full((3, count), np.inf)
                near[0], near[1, 1:], near[2, :-1] = last, last[:-1] + p1, last[1:] + p1
                path[v, u] += np.minimum(near.min(axis=0), last.min() + large) - last.min()
        total += path
    return total


def test_semi_global_matching_agrees_with_its_formula():
    rng = np.random.default_rng(2)
    cost = rng.integers(0, 100, (9, 11, 16), dtype=np.uint8)
    gray = rng.integers(0, 256, (9, 11), dtype=np.uint8)
    found = aggregate(cost, gray, 5, 60, 30)
    np.testing.assert_array_equal(found, _aggregate_slowly(cost, gray, 5, 60, 30))


def test_the_best_plane_lies_between_planes_where_costs_are_a_tent():
    truth = np.array([[3.3, 7.0, 5.75]])
    total = (1000 * np.abs(np.arange(16) - truth[..., None])).astype(np.uint16)
    sky = np.zeros((1, 3), dtype=bool)
    np.testing.assert_allclose(best_plane(total, sky, 10), truth, atol=0.01)


def test_infinity_is_taken_in_the_sky_unless_another_plane_is_clearly_better():
    total = np.full((1, 2, 16), 500, np.uint16)
    total[0, 0, 6], total[0, 1, 6] = 480, 300
    found = best_plane(total, np.ones((1, 2), dtype=bool), 64)
    assert found[0, 0] == 0
    assert found[0, 1] == 6


def _view(x, lens=LENS, scene=STREET):
    poses = straight(x) @ MOUNT
    drawn = [draw(scene, pose, lens) for pose in poses]
    return poses, [d[0] for d in drawn], [d[1] for d in drawn]


def _match(poses, images, index, lens=LENS):
    """Inverse depth of one frame from all others."""
    camera = WorkingCamera(lens)
    view = MultiView(camera.lens, MOUNT, poses, Matching())
    gray = [camera.gray(image) for image in images]
    frames = [WorkingFrame(g, census(g), i) for g, i in zip(gray, images, strict=True)]
    others = [k for k in range(len(poses)) if k != index]
    found = view.match(index, others, frames[index], [frames[k] for k in others])
    return camera.to_recorded(found, ground_inverse_depth(lens, MOUNT))


def test_a_wall_and_the_ground_are_found_where_they_are():
    scene = (STREET[0], wall(14.0, z=(0, 9)))
    poses, images, depths = _view([-1.8, -0.9, 0.0, 0.9, 1.8], scene=scene)
    found = _match(poses, images, 2)
    truth = 1 / depths[2]
    inner = np.s_[8:-8, 12:-12]
    error = np.abs(found - truth)[inner] / truth[inner]
    # Where the motion points to, nothing moves; there is no way to tell the distance.
    assert np.median(error) < 0.01
    assert np.quantile(error, 0.9) < 0.06


@pytest.mark.parametrize("offsets", [[0.0, 0.9, 1.8, 2.7], [-2.7, -1.8, -0.9, 0.0]])
def test_neighbours_on_one_side_are_enough(offsets):
    poses, images, depths = _view(offsets)
    index = offsets.index(0.0)
    error = np.abs(_match(poses, images, index) - 1 / depths[index])[8:-8, 12:-12]
    flat = np.abs(ground_inverse_depth(LENS, MOUNT) - 1 / depths[index])[8:-8, 12:-12]
    assert np.median(error) < 0.002
    assert error.mean() < 0.5 * flat.mean()


def test_depth_is_given_in_the_grid_of_a_distorted_lens():
    poses, images, depths = _view([-1.8, -0.9, 0.0, 0.9, 1.8], lens=DISTORTED)
    found = _match(poses, images, 2, lens=DISTORTED)
    error = np.abs(found - 1 / depths[2])
    assert np.median(error) < 0.002
    assert np.quantile(error, 0.85) < 0.01
    # As if the lens had none, depth would be wrong by far more towards the edges.
    edges = np.r_[0:12, -12:0]
    ideal = np.abs(_match(poses, images, 2, lens=LENS) - 1 / depths[2])
    assert np.median(error[:, edges]) < 0.5 * np.median(ideal[:, edges])


def test_a_working_camera_covers_what_a_fisheye_sees_in_front():
    lens = Lens("fisheye", 60.0, 60.0, 79.5, 47.5, (96, 160), (0.01, 0.0, 0.0, 0.0))
    camera = WorkingCamera(lens)
    depth = 1 / np.maximum(ground_inverse_depth(lens, MOUNT), 1e-3)
    values = ground_inverse_depth(camera.lens, MOUNT)
    found = camera.to_recorded(values, np.full(lens.size, -1.0, np.float32))
    seen = found >= 0
    near = seen & (depth < 30)
    assert seen.mean() > 0.6
    assert np.quantile(np.abs(found - 1 / depth)[near], 0.95) < 0.01


def test_refinement_moves_depth_to_where_brightness_agrees():
    lens = LENS.resized((192, 320))
    poses, images, depths = _view([-0.9, 0.0, 0.9], lens=lens, scene=(STREET[0], wall(9.0)))
    truth = (1 / depths[1]).astype(np.float32)
    gray = [image[..., 0] for image in images]
    rotations, translations = projections(lens.matrix, poses, 1, [0, 2])
    others = np.stack([detail(gray[0]), detail(gray[2])])
    start = truth * np.float32(1.04)
    found = refine(start, detail(gray[1]), others, rotations, translations, 4, 0.01)
    v, u = np.mgrid[0:192, 0:320]
    moves = (np.hypot(u - 160, v - 80) > 60) & (u > 24) & (u < 296) & (v > 16) & (v < 176)
    before, after = np.abs(start - truth)[moves], np.abs(found - truth)[moves]
    assert np.median(after) < 0.5 * np.median(before)


def test_consistent_neighbours_agree_and_a_floating_point_is_denied():
    poses, _, depths = _view([-0.9, 0.0, 0.9], scene=(STREET[0], wall(12.0)))
    truth = (1 / np.array(depths)).astype(np.float32)
    own = truth[1].copy()
    own[30:50, 60:90] *= 3.0
    rotations, translations = projections(LENS.matrix, poses, 1, [0, 2])
    others = np.ascontiguousarray(truth[[0, 2]])
    fused, agree, deny = fuse(own, others, rotations, translations, 0.006, 0.03)
    wrong = np.zeros(own.shape, dtype=bool)
    wrong[30:50, 60:90] = True
    assert (agree[wrong] == 0).all()
    assert (deny[wrong] >= 1).mean() > 0.95
    inner = np.zeros_like(wrong)
    inner[12:-24, 16:-16] = True
    assert (agree[inner & ~wrong] == 2).mean() > 0.9
    assert np.quantile(np.abs(fused - truth[1])[inner & ~wrong], 0.9) < 0.002


def test_filling_takes_the_value_of_the_same_thing():
    gray = np.full((40, 60), 60, np.uint8)
    gray[:, 30:] = 180
    depth = np.where(gray > 100, 0.3, 0.05).astype(np.float32)
    reliable = np.ones(gray.shape, dtype=bool)
    reliable[10:30, 20:40] = False
    broken = np.where(reliable, depth, 0.9).astype(np.float32)
    found = fill(broken, reliable, gray, np.zeros_like(depth))
    np.testing.assert_array_equal(found, depth)


def test_filling_goes_on_along_the_plane_of_the_ground():
    truth = ground_inverse_depth(LENS, MOUNT)
    reliable = np.zeros(truth.shape, dtype=bool)
    reliable[50:70] = True
    broken = np.where(reliable, truth, 0.01).astype(np.float32)
    found = fill(broken, reliable, np.full(truth.shape, 90, np.uint8), truth)
    np.testing.assert_allclose(found[70:], truth[70:], rtol=1e-4)


def test_the_ground_is_smoothed_and_what_stands_on_it_is_not():
    rng = np.random.default_rng(3)
    truth = ground_inverse_depth(LENS, MOUNT)
    noisy = truth + np.where(truth > 0, rng.normal(0, 0.006, truth.shape), 0)
    noisy[40:80, 70:90] = 0.45
    noisy = noisy.astype(np.float32)
    plane = fit_ground(noisy, ground_inverse_depth(LENS, camera_mount(1.5, 0, 1.4, pitch=0.07)))
    found, averaged = smooth_ground(noisy, plane, 0.08)
    assert averaged[60:, :60].mean() > 0.9
    assert not averaged[45:75, 72:88].any()
    np.testing.assert_array_equal(found[45:75, 72:88], noisy[45:75, 72:88])
    road = np.zeros(truth.shape, dtype=bool)
    road[60:, :60] = True
    assert np.abs(plane - truth)[road].max() < 0.005
    assert np.std((found - truth)[road]) < 0.3 * np.std((noisy - truth)[road])


def test_resampling_does_not_invent_depths_between_near_and_far():
    values = np.full((10, 10), 0.02, np.float32)
    values[:, 5:] = 0.4
    u = np.full((10, 10), 4.5, np.float32) + np.linspace(-0.4, 0.4, 10, dtype=np.float32)
    v = np.repeat(np.arange(10, dtype=np.float32)[:, None], 10, axis=1)
    found = sample_inverse_depth(values, u, v, np.zeros((10, 10), np.float32))
    assert set(np.unique(found)) == {np.float32(0.02), np.float32(0.4)}


def test_a_motion_is_corrected_by_what_the_frames_show():
    lens = LENS.resized((192, 320))
    poses, images, depths = _view([0.0, 0.9], lens=lens)
    truth = inverse(poses[1]) @ poses[0]
    error = camera_mount(0, 0, 0, roll=0.002, pitch=-0.004, yaw=0.003)
    error[:3, :3] = error[:3, :3] @ camera_mount(0, 0, 0)[:3, :3].T
    recorded = error @ truth
    recorded[:3, 3] += (0.02, -0.015, 0.0)
    gray = [image[..., 0] for image in images]
    points = corners(gray[0], 300)
    tracks = follow(gray[0], gray[1], points, lens.matrix)
    assert tracks.found.sum() > 100
    found = estimate_motion(tracks.here, tracks.there, recorded, lens.fx).corrected()

    def turn(a):
        return np.degrees(
            np.arccos(np.clip((np.trace(a[:3, :3] @ truth[:3, :3].T) - 1) / 2, -1, 1))
        )

    assert turn(recorded) > 0.25
    assert turn(found) < 0.03
    direction = [m[:3, 3] / np.linalg.norm(m[:3, 3]) for m in (truth, recorded, found)]
    wrong = [np.linalg.norm(d - direction[0]) for d in direction[1:]]
    assert wrong[1] < 0.4 * wrong[0]
    w, _ = triangulate(tracks.here, tracks.there, truth)
    u, v = (tracks.here[:, :2] * [lens.fx, lens.fy] + [lens.cx, lens.cy]).round().astype(int).T
    assert np.median(np.abs(w - 1 / depths[0][v, u])) < 0.01


def test_neighbours_are_chosen_by_distance_on_both_sides_within_a_stretch():
    x = np.concatenate([np.arange(0, 10, 0.25), np.full(100, 10.0), 10 + np.arange(1, 9) * 1.5])
    positions = np.stack([x, 0 * x, 0 * x], axis=1)
    times = np.arange(len(x)) / 10
    stretch = np.where(times < 0.95, 0, 1)
    chosen = choose_neighbours(positions, times, stretch, Matching())
    assert set(chosen[20]) == {10, 13, 17, 23, 27, 30}
    assert min(chosen[10]) > 10  # nothing across the gap
    assert max(chosen[9]) < 9
    assert chosen[90] == ()  # has stood for longer than frames may be apart
    assert set(chosen[-1]) == {len(x) - 2, len(x) - 3, len(x) - 4}
    assert choose_neighbours(positions[:1], times[:1], stretch[:1], Matching()) == [()]


def test_large_recordings_are_halved_and_small_ones_kept():
    assert default_size((376, 1241)) == (188, 620)
    assert default_size((200, 320)) == (200, 320)
    assert default_size((1080, 1920)) == (216, 384)


def test_impossible_settings_are_refused():
    with pytest.raises(GeometryError, match="5x320"):
        BakeSettings(size=(5, 320))
    with pytest.raises(GeometryError, match="magic"):
        BakeSettings(size=(96, 160), sources=("magic",))
