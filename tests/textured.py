"""Drives through a street of textured planes, drawn ray by ray: depth and motion are exact."""

import numpy as np

from vista_sim.traces.calibration import CameraCalibration, Lens, Vehicle
from vista_sim.traces.writer import TraceWriter
from vista_sim.transforms import camera_mount, planar_pose, quaternion_from_matrix

MOUNT = camera_mount(1.5, 0.0, 1.4, pitch=0.06)
LENS = Lens.from_fov((96, 160), 1.3)

#: Point, normal, two axes, extents along them (m), seed of the texture: the ground, two rows
#: of houses, and a wall across the end of the road.
GROUND = ((0, 0, 0), (0, 0, 1), (1, 0, 0), (0, 1, 0), (-900, 900), (-900, 900), 1)
LEFT = ((0, 6, 0), (0, -1, 0), (1, 0, 0), (0, 0, 1), (-900, 900), (0, 5), 2)
RIGHT = ((0, -5, 0), (0, 1, 0), (1, 0, 0), (0, 0, 1), (-900, 900), (0, 4), 3)
STREET = (GROUND, LEFT, RIGHT)


def wall(x, y=(-50, 50), z=(0, 30)):
    """A wall across the road."""
    return ((x, 0, 0), (-1, 0, 0), (0, 1, 0), (0, 0, 1), y, z, 4)


def noise(p, q, seed):
    """Gray levels in [20, 235] of surface coordinates (m): noise at three scales, interpolated."""
    total = np.zeros(p.shape)
    for level, cell in enumerate((0.13, 0.41, 1.7)):
        table = np.random.default_rng([seed, level]).uniform(-1, 1, (64, 64))
        x, y = p / cell, q / cell
        i, j = np.floor(x).astype(int), np.floor(y).astype(int)
        fx, fy = x - i, y - j
        corner = [table[(i + a) % 64, (j + b) % 64] for a in (0, 1) for b in (0, 1)]
        total += (corner[0] * (1 - fy) + corner[1] * fy) * (1 - fx)
        total += (corner[2] * (1 - fy) + corner[3] * fy) * fx
    return np.clip(128 + 55 * total, 20, 235)


def draw(scene, T_world_camera, lens, fine=3):
    """Image uint8 (h, w, 3), sampled fine x fine a pixel, and depth (h, w) of pixel centres."""
    big = lens.resized((lens.size[0] * fine, lens.size[1] * fine))
    shades = _cast(scene, T_world_camera, big)[0]
    shades = shades.reshape(lens.size[0], fine, lens.size[1], fine).mean(axis=(1, 3))
    image = np.repeat(np.round(shades).astype(np.uint8)[..., None], 3, axis=2)
    return image, _cast(scene, T_world_camera, lens)[1]


def _cast(scene, T_world_camera, lens):
    rays = lens.rays()
    directions = rays @ T_world_camera[:3, :3].T
    eye = T_world_camera[:3, 3]
    reach = np.full(lens.size, np.inf)
    shade = np.full(lens.size, 220.0)
    for point, normal, a, b, extent_a, extent_b, seed in scene:
        with np.errstate(divide="ignore", invalid="ignore"):
            k = ((np.array(point) - eye) @ np.array(normal)) / (directions @ np.array(normal))
            there = eye + k[..., None] * directions - np.array(point)
            p, q = there @ np.array(a), there @ np.array(b)
            hit = (k > 1e-6) & (k < reach)
            hit &= (p >= extent_a[0]) & (p <= extent_a[1])
            hit &= (q >= extent_b[0]) & (q <= extent_b[1])
        reach[hit] = k[hit]
        shade[hit] = noise(p[hit], q[hit], seed)
    return shade, reach * rays[..., 2]


def straight(x):
    """T_world_vehicle (n, 4, 4) at distances x (n,) along a slight left bend."""
    x = np.asarray(x, dtype=float)
    return np.array([planar_pose(v, 0.002 * v * v, 0.004 * v) for v in x])


def write_drive(folder, scene, vehicles, lens=LENS, t=None, recorded=None, mount=MOUNT):
    """Write a drive as a trace; returns its depths (n, h, w).

    vehicles: true T_world_vehicle (n, 4, 4) of the frames. recorded: what the ego table
    says, if that is something else. t: seconds, by default ten frames a second.
    """
    t = np.arange(len(vehicles)) / 10 if t is None else np.asarray(t)
    recorded = vehicles if recorded is None else recorded
    if len(vehicles) == 1:  # an ego table has two rows at least
        rows_t, rows = np.array([t[0], t[0] + 0.1]), np.concatenate([recorded, recorded])
    else:
        rows_t, rows = t, recorded
    speed = np.gradient(np.concatenate([[0], np.cumsum(_steps(rows))]), rows_t)
    depths = []
    with TraceWriter(
        folder, name="drive", licence="MIT", source="computed by a test", vehicle=Vehicle()
    ) as writer:
        camera = writer.add_camera("front", CameraCalibration(lens, mount), 10.0, crf=6)
        for vehicle, time in zip(vehicles, t, strict=True):
            image, depth = draw(scene, vehicle @ mount, lens)
            camera.write(image, round(time * 1e9))
            depths.append(depth)
        writer.write_ego(
            np.round(rows_t * 1e9).astype(np.int64),
            rows[:, :3, 3],
            quaternion_from_matrix(rows[:, :3, :3]),
            speed,
            np.zeros(len(rows)),
        )
    return np.array(depths)


def _steps(poses):
    return np.linalg.norm(np.diff(poses[:, :3, 3], axis=0), axis=1)
