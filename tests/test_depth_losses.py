"""What the depth network is judged by, against projections and similarities computed elsewhere."""

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity
from textured import LENS, MOUNT, STREET, draw, straight
from vista_agents.depth.losses import (
    neighbour_pixels,
    photometric_error,
    photometric_loss,
    smoothness_loss,
    supervised_loss,
    warp,
)
from vista_agents.depth.train import half_resolution

from vista_sim.geometry.neighbours import projections
from vista_sim.transforms import inverse

POSES = straight([0.0, 1.1]) @ MOUNT
WALL = ((9.0, 0, 0), (-1, 0, 0), (0, 1, 0), (0, 0, 1), (-50, 50), (-50, 50), 4)


def _motion(lens=LENS, poses=POSES):
    """K R K⁻¹ and K t from the first pose to the second, as tensors (1, 1, ...)."""
    rotation, translation = projections(lens.matrix, poses, 0, [1])
    return torch.from_numpy(rotation)[None], torch.from_numpy(translation)[None]


def _tensor(array):
    return torch.from_numpy(np.asarray(array, dtype=np.float32))[None]


def _gray(image):
    return _tensor(image[..., 0] / 255.0)


def test_pixels_of_a_plane_are_where_the_lens_projects_its_points():
    _, depth = draw([WALL], POSES[0], LENS)
    pixels, in_front = neighbour_pixels(_tensor(1 / depth), *_motion())
    points = np.concatenate([LENS.rays() * depth[..., None], np.ones((*depth.shape, 1))], axis=-1)
    there = points @ (inverse(POSES[1]) @ POSES[0]).T
    np.testing.assert_allclose(pixels[0, 0].numpy(), LENS.project(there[..., :3]), atol=2e-3)
    assert in_front.all()


def test_the_picture_of_a_plane_warped_by_its_depth_is_the_picture_taken():
    (image, depth), (other, _) = (draw([WALL], pose, LENS) for pose in POSES)
    pixels, _ = neighbour_pixels(_tensor(1 / depth), *_motion())
    warped, inside = warp(_gray(other)[:, None], pixels)
    error = (warped[0, 0] - _gray(image)[0]).abs()[inside[0, 0]]
    assert inside.float().mean() > 0.7
    assert error.mean() < 0.35 * (_gray(image) - _gray(other)).abs().mean()
    whole = torch.stack(torch.meshgrid(torch.arange(96.0), torch.arange(160.0), indexing="ij"))
    same, _ = warp(_gray(other)[:, None], whole.flip(0).permute(1, 2, 0)[None, None])
    torch.testing.assert_close(same[0, 0], _gray(other)[0], atol=1e-4, rtol=0)


def test_what_lies_behind_the_neighbour_is_told():
    poses = np.array([np.eye(4), np.eye(4)])
    poses[1, 2, 3] = 5.0  # m ahead of what is seen at 2 m
    _, in_front = neighbour_pixels(torch.full((1, *LENS.size), 0.5), *_motion(poses=poses))
    assert not in_front.any()


def test_the_true_depth_of_a_street_fits_better_than_any_that_is_wrong():
    (image, depth), (other, _) = (draw(STREET, pose, LENS) for pose in POSES)
    true = _tensor(1 / depth)
    ones, nothing = torch.ones_like(true), torch.zeros_like(true)

    def loss(inverse_depth):
        return photometric_loss(
            inverse_depth, _gray(image), _gray(other)[:, None], *_motion(), ones, nothing
        )

    best = float(loss(true))
    assert all(best < 0.8 * float(loss(true * factor)) for factor in (0.8, 1.25))


def test_half_the_resolution_moves_half_the_pixels():
    rotation, translation = _motion()
    half_lens = LENS.resized((LENS.size[0] // 2, LENS.size[1] // 2))
    wanted_rotation, wanted_translation = _motion(half_lens)
    found_rotation, found_translation = half_resolution(rotation, translation)
    torch.testing.assert_close(found_rotation, wanted_rotation, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found_translation, wanted_translation, atol=1e-4, rtol=1e-4)


def test_the_photometric_error_is_ssim_and_absolute_difference():
    rng = np.random.default_rng(0)
    a, b = rng.random((2, 40, 50))
    b = 0.5 * a + 0.5 * b
    _, similarity = structural_similarity(
        a, b, win_size=3, data_range=1.0, full=True, use_sample_covariance=False
    )
    wanted = 0.85 * (1 - similarity) / 2 + 0.15 * np.abs(a - b)
    found = photometric_error(_tensor(a), _tensor(b))[0].numpy()
    np.testing.assert_allclose(found[1:-1, 1:-1], wanted[1:-1, 1:-1], atol=1e-4)


def test_what_does_not_move_with_the_scene_is_ignored():
    image, _ = draw(STREET, POSES[0], LENS)
    depth = torch.full((1, *LENS.size), 0.1)
    gray = _gray(image)
    loss = photometric_loss(
        depth, gray, gray[:, None], *_motion(), torch.ones_like(gray), torch.zeros_like(gray)
    )
    assert float(loss) == 0.0


def test_the_own_car_is_not_looked_at():
    (image, _), (other, _) = (draw(STREET, pose, LENS) for pose in POSES)
    depth = torch.full((1, *LENS.size), 0.1, requires_grad=True)
    scene = torch.ones(1, *LENS.size)
    scene[:, 60:] = 0.0
    photometric_loss(
        depth, _gray(image), _gray(other)[:, None], *_motion(), scene, torch.zeros_like(scene)
    ).backward()
    assert depth.grad[:, 62:].abs().max() == 0
    assert depth.grad[:, :58].abs().max() > 0


def test_planes_are_smooth_at_any_slope_and_bends_cost_less_at_edges():
    v, u = torch.meshgrid(torch.arange(30.0), torch.arange(40.0), indexing="ij")
    even = torch.full((1, 30, 40), 0.5)
    plane = (0.1 + 0.01 * v + 0.003 * u)[None]
    assert float(smoothness_loss(plane, even)) < 1e-6
    bent = torch.where(u < 20, 0.1, 0.3)[None]
    edge = torch.where(u < 20, 0.2, 0.8)[None]
    assert float(smoothness_loss(bent, edge)) < 0.1 * float(smoothness_loss(bent, even))


def test_supervision_counts_where_it_is_sure():
    known = torch.full((1, 4, 4), 0.09)
    sure = torch.zeros(1, 4, 4)
    assert float(supervised_loss(2 * known, known, sure)) == 0.0
    sure[0, 0] = 1.0
    found = float(supervised_loss(2 * known + 0.01, known, sure))
    assert found == pytest.approx(np.log(2.0) / 4, rel=1e-5)
