"""The proving ground's world, renderer and driver against analytic answers."""

import math
import sys

import cv2
import numpy as np
import pytest

from vista_sim.errors import MissingDependencyError
from vista_sim.proving_ground.driver import drive, ground_poses
from vista_sim.proving_ground.layout import Layout
from vista_sim.proving_ground.meshes import MeshBuilder
from vista_sim.proving_ground.road import Road, RoadShape
from vista_sim.proving_ground.sky import Weather
from vista_sim.traces.calibration import Lens
from vista_sim.transforms import camera_mount

SEEDS = (1, 2, 7)
SHORT = RoadShape(length=150.0, before=60.0, after=150.0)


@pytest.fixture(scope="module", params=SEEDS)
def road(request: pytest.FixtureRequest) -> Road:
    return Road(request.param)


def test_curvature_is_continuous_and_radii_stay_in_range(road: Road) -> None:
    heading = np.unwrap(np.arctan2(*np.diff(road.xy, axis=0).T[::-1]))
    measured = np.diff(heading) / np.diff(road.s)[:-1]
    assert np.abs(measured - road.curvature[1:-1]).max() < 1e-3  # by differences of positions
    assert np.abs(np.diff(measured)).max() < 2e-3  # no jump: clothoids join straights and arcs
    assert np.abs(measured).max() < 1 / 24.0
    tightest = 1 / np.abs(road.curvature).max()
    assert 25.0 <= tightest < 60.0


def test_the_road_turns_left_and_right_and_goes_straight(road: Road) -> None:
    driven = (road.s > 0) & (road.s < 700)
    curvature = road.curvature[driven]
    for share in (curvature > 1 / 300, curvature < -1 / 300, np.abs(curvature) < 1e-6):
        assert share.mean() > 0.08


def test_the_road_keeps_away_from_itself(road: Road) -> None:
    every = slice(None, None, 16)
    xy, s = road.xy[every], road.s[every]
    apart = np.abs(s[:, None] - s[None]) > 150.0
    distance = np.linalg.norm(xy[:, None] - xy[None], axis=-1)
    assert distance[apart].min() > 60.0


def test_slopes_are_gentle_and_normals_fit_heights(road: Road) -> None:
    x, y = road.xy[::20].T
    gx, gy = road.terrain.gradient(x, y)
    assert np.hypot(gx, gy).max() < 0.07
    step = 0.01
    slope = (road.terrain.height(x + step, y) - road.terrain.height(x - step, y)) / (2 * step)
    assert np.allclose(gx, slope, atol=1e-5)


def test_projection_finds_where_a_point_was_made(road: Road) -> None:
    s = np.linspace(10.0, 800.0, 60)
    lateral = 5.0 * np.sin(s)
    along, side = road.project(road.point(s, lateral))
    assert np.abs(along - s).max() < 0.02
    assert np.abs(side - lateral).max() < 0.01


def test_nothing_stands_on_the_road_or_within_a_metre(road: Road) -> None:
    layout = Layout(road.seed, road, Weather.draw(road.seed))
    assert len(layout.items) > 300
    kinds = {item.prototype.name.rstrip("0123456789") for item in layout.items}
    assert {"house", "tree", "car", "fence", "pole", "bush"} <= kinds
    for item in layout.items:
        vertices = item.prototype.meshes[0].vertices
        low = vertices[vertices[:, 2] < 3.0]
        z, w = item.pose[1][2:]
        yaw = 2 * math.atan2(z, w)
        turn = np.array([[math.cos(yaw), -math.sin(yaw)], [math.sin(yaw), math.cos(yaw)]])
        ground = low[:, :2] @ turn.T + item.pose[0][:2]
        assert road.distance(ground).min() > road.half_width + 0.95, item.prototype.name


@pytest.mark.parametrize("seed", SEEDS)
def test_the_expert_keeps_its_lane_and_the_limits_of_comfort(seed: int) -> None:
    road = Road(seed)
    driven = drive(road, seed, 60.0)
    off_centre = np.linalg.norm(driven.xy - road.point(driven.s, -1.75), axis=1)
    assert off_centre.max() < 0.25
    assert off_centre.std() > 0.02  # it wanders
    step = np.linalg.norm(np.diff(driven.xy, axis=0), axis=1)
    turned = np.diff(driven.yaw)
    speed, yaw_rate = step / 0.01, turned / 0.01
    assert np.abs(speed * yaw_rate).max() < 2.0
    assert 5.0 < speed.min() < 10.0  # it slows for curves
    assert 11.0 < speed.max() < 14.0
    assert np.abs(np.diff(speed)[1:] / 0.01).max() < 2.5
    assert np.abs(np.diff(driven.tire_angle) / 0.01).max() < driven.vehicle.max_tire_rate
    assert np.abs(np.diff(driven.xy, axis=0) @ [1, 0] - step * np.cos(driven.yaw[1:])).max() < 1e-3


def test_poses_stand_on_the_ground_with_z_along_its_normal() -> None:
    road = Road(3)
    pose = ground_poses(road, 40.0, -3.0, 0.4)[0]
    assert np.allclose(pose[:3, :3] @ pose[:3, :3].T, np.eye(3), atol=1e-12)
    assert np.linalg.det(pose[:3, :3]) == pytest.approx(1.0)
    assert math.atan2(pose[1, 0], pose[0, 0]) == pytest.approx(0.4)
    ahead = pose[:3, 3] + 0.01 * pose[:3, 0]
    assert ahead[2] == pytest.approx(float(road.terrain.height(ahead[0], ahead[1])), abs=1e-6)


def test_without_pybullet_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    from vista_sim.proving_ground.renderer import import_pybullet

    monkeypatch.setitem(sys.modules, "pybullet", None)
    with pytest.raises(MissingDependencyError, match=r"PyBullet.*3\.11.*pip install") as error:
        import_pybullet()
    assert "\n" not in str(error.value)


# Pictures --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bullet() -> object:
    return pytest.importorskip("pybullet")


LENS = Lens("pinhole", 260.0, 270.0, 171.3, 96.2, (200, 320))
MOUNT = camera_mount(0.4, 0.1, 1.4, pitch=0.09, yaw=0.05)


def draw_chequered_ground() -> tuple[np.ndarray, np.ndarray]:
    """Red channel and depth of a flat floor of 2 m squares, x from -20 to 44 m."""
    from vista_sim.proving_ground.renderer import Renderer

    renderer = Renderer()
    cells = np.indices((32, 32)).sum(0) % 2 * 200 + 20
    texture = np.repeat(np.kron(cells, np.ones((16, 16)))[..., None], 3, -1).astype(np.uint8)
    renderer.load_texture("floor", texture[::-1])  # its first row is at the largest y
    mesh = MeshBuilder()
    mesh.quad([(-20, -32, 0), (44, -32, 0), (44, 32, 0), (-20, 32, 0)], (0, 0, 1, 1))
    renderer.load_mesh("square", mesh.build())
    renderer.place("body", "square", "floor")
    image, depth, _ = renderer.draw(MOUNT, LENS, np.array([0.0, 0.0, 1.0]), 0.5)
    renderer.close()
    return image[..., 0], depth


def floor_points(shift: tuple[float, float]) -> np.ndarray:
    """Where the rays of pixels moved by shift (u, v) meet z = 0: (h, w, 2), NaN above it."""
    v, u = np.mgrid[0 : LENS.size[0], 0 : LENS.size[1]].astype(float)
    rays = LENS.unproject(np.stack([u + shift[0], v + shift[1]], -1)) @ MOUNT[:3, :3].T
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = np.where(rays[..., 2] < 0, -MOUNT[2, 3] / rays[..., 2], np.nan)
    return MOUNT[:2, 3] + rays[..., :2] * scale[..., None]


@pytest.mark.usefixtures("bullet")
def test_every_pixel_shows_what_its_ray_meets_and_a_quarter_pixel_aside_does_not() -> None:
    image, depth = draw_chequered_ground()

    def mismatches(shift: tuple[float, float]) -> int:
        points = floor_points(shift)
        cells = np.floor((points + np.array([20.0, 32.0])) / 2.0)
        bright = cells.sum(-1) % 2 == 1
        near = (depth < 20.0) & np.isfinite(points).all(-1)
        return int(((image > 120) != bright)[near].sum())

    exact = mismatches((0.0, 0.0))
    assert exact < 20
    for shift in ((0.25, 0.0), (-0.25, 0.0), (0.0, 0.25), (0.0, -0.25)):
        assert mismatches(shift) > 5 * max(exact, 20)


@pytest.mark.usefixtures("bullet")
def test_depth_of_a_plane_is_exact() -> None:
    _, depth = draw_chequered_ground()
    rays = LENS.rays() @ MOUNT[:3, :3].T
    with np.errstate(divide="ignore"):
        expected = np.where(rays[..., 2] < 0, -MOUNT[2, 3] / rays[..., 2], np.inf)
    near = expected < 40.0
    assert near.mean() > 0.4
    assert np.abs(depth[near] / expected[near] - 1).max() < 1e-4
    assert np.isinf(depth[rays[..., 2] > 0]).all()


@pytest.fixture(scope="module")
def scene(bullet: object):
    from vista_sim.proving_ground.scene import Scene

    with Scene(7, SHORT) as made:
        yield made


def standing(scene, s: float, lateral: float = -1.75, turn: float = 0.0) -> np.ndarray:
    x, y = scene.road.point(s, lateral)
    return ground_poses(scene.road, x, y, float(scene.road.heading_at(s)) + turn)[0]


def test_the_road_ahead_has_the_depth_of_the_terrain(scene) -> None:
    T = standing(scene, 20.0) @ camera_mount(1.6, 0.0, 1.4, pitch=0.07)
    lens = Lens.from_fov((100, 160), 1.3)
    view = scene.render(T, lens)
    depth = np.minimum(view.depth, 1e4)
    points = T[:3, 3] + (lens.rays() * depth[..., None]) @ T[:3, :3].T
    _, lateral = scene.road.project(points[..., :2].reshape(-1, 2))
    on_road = (np.abs(lateral.reshape(view.depth.shape)) < 3.4) & (view.depth < 25.0)
    assert on_road.mean() > 0.25
    height = scene.road.terrain.height(points[on_road][:, 0], points[on_road][:, 1])
    assert np.abs(points[on_road][:, 2] - height).max() < 0.03
    assert np.isinf(view.depth[:20]).mean() > 0.1  # sky
    assert view.image[on_road].std() > 8  # texture


def test_pictures_do_not_depend_on_what_was_drawn_before(
    scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vista_sim.proving_ground import renderer
    from vista_sim.proving_ground.scene import Scene

    lens = Lens.from_fov((80, 128), 1.3)
    mount = camera_mount(1.6, 0.0, 1.4, pitch=0.07)
    T = standing(scene, 35.0, -0.5, 0.1) @ mount
    first = scene.render(T, lens)
    scene.render(standing(scene, 90.0) @ mount, lens)
    again = scene.render(T, lens)
    monkeypatch.setattr(renderer, "TEXTURE_BUDGET", 1)  # the world is thrown away now and then
    with Scene(7, SHORT) as other:
        other.render(standing(other, 60.0) @ mount, lens)
        other.render(standing(other, 40.0) @ mount, lens)
        fresh = other.render(T, lens)
    for view in (again, fresh):
        assert np.array_equal(view.image, first.image)
        assert np.array_equal(view.depth, first.depth)


def test_a_distorted_view_is_the_ideal_one_bent_by_the_lens(scene) -> None:
    T = standing(scene, 20.0) @ camera_mount(1.6, 0.0, 1.4, pitch=0.07)
    ideal = Lens.from_fov((200, 320), 1.4)
    bent = Lens(
        "pinhole", 210.0, 208.0, 158.0, 97.0, (160, 300), (-0.25, 0.06, 0.001, -0.0005, 0.0)
    )
    whole, view = scene.render(T, ideal), scene.render(T, bent)
    v, u = np.mgrid[8:192:4, 8:312:4]
    rays = ideal.unproject(np.stack([u, v], -1))
    at = bent.project(rays).astype(np.float32)
    inside = (at > 2).all(-1) & (at[..., 0] < 297) & (at[..., 1] < 157)
    sampled = cv2.remap(view.image, at[..., 0], at[..., 1], cv2.INTER_LINEAR)
    difference = np.abs(sampled.astype(float) - whole.image[v, u])[inside].mean()
    shifted = cv2.remap(view.image, at[..., 0] + 1.5, at[..., 1], cv2.INTER_LINEAR)
    assert inside.mean() > 0.5
    assert difference < 4.0
    assert difference < 0.6 * np.abs(shifted.astype(float) - whole.image[v, u])[inside].mean()
    depth = cv2.remap(view.depth, at[..., 0], at[..., 1], cv2.INTER_NEAREST)
    flat = inside & (v > 130) & np.isfinite(depth)
    assert np.median(np.abs(depth[flat] / whole.depth[v, u][flat] - 1)) < 0.02


def test_a_lens_that_sees_behind_itself_is_refused(scene) -> None:
    fisheye = Lens("fisheye", 40.0, 40.0, 79.5, 59.5, (120, 160), (0.0, 0.0, 0.0, 0.0))
    with pytest.raises(ValueError, match="80 degrees"):
        scene.render(standing(scene, 20.0) @ camera_mount(1.6, 0, 1.4), fisheye)
