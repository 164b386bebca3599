"""A street filmed from a car whose motion is known: straight, a bend to the left, straight."""

import math

import numpy as np
from raycast import Rectangle, ground

from vista_sim.traces.calibration import Lens
from vista_sim.transforms import camera_mount, planar_pose

SIZE = (180, 320)
LENS = Lens("pinhole", 260.0, 260.0, 159.5, 84.5, SIZE)
HEIGHT, PITCH, YAW, AHEAD = 1.5, math.radians(2.0), math.radians(-1.5), 1.2
MOUNT = camera_mount(AHEAD, 0.0, HEIGHT, pitch=PITCH, yaw=YAW)
STEP = 0.6  # m from frame to frame
RADIUS, TURN, STRAIGHT = 20.0, math.radians(65.0), 12.0
COUNT = 76


def pose_at(s):
    """T_world_vehicle (4, 4) after s m."""
    bend = min(max(s - STRAIGHT, 0.0), RADIUS * TURN)
    yaw = bend / RADIUS
    x = min(s, STRAIGHT) + RADIUS * math.sin(yaw)
    y = RADIUS * (1 - math.cos(yaw))
    rest = max(s - STRAIGHT - RADIUS * TURN, 0.0)
    return planar_pose(x + rest * math.cos(yaw), y + rest * math.sin(yaw), yaw)


def street():
    """Road, and walls of different heights along both sides of it."""
    rng = np.random.default_rng(3)
    parts = [ground(5)]
    for i, s in enumerate(np.arange(-4.0, 80.0, 4.5)):
        pose = pose_at(s) if s >= 0 else planar_pose(s, 0.0, 0.0)
        for side in (-1, 1):
            aside = side * rng.uniform(5.0, 9.0)
            origin = tuple(pose[:3, 3] + aside * pose[:3, 1])
            height = rng.uniform(1.5, 7.0)
            parts.append(
                Rectangle(
                    origin,
                    tuple(pose[:3, 0]),
                    (0, 0, 1),
                    (-2.2, 2.2),
                    (0, height),
                    100 + 10 * i + side,
                )
            )
    return parts


def film(ways=None):
    """Gray pictures (n, h, w) along the drive, and T_world_camera (n, 4, 4).

    Args:
        ways: m of the drive at each picture; None: every `STEP`.
    """
    scene, pictures, poses = street(), [], []
    for s in STEP * np.arange(COUNT) if ways is None else ways:
        pose = pose_at(float(s)) @ MOUNT
        near = [part for part in scene if _is_near(part, pose)]
        pictures.append(_gray(near, pose))
        poses.append(pose)
    return np.array(pictures), np.array(poses)


def _is_near(part, pose):
    """Whether a part may be seen: the ground, and walls ahead that are not far."""
    there = (np.array(part.origin) - pose[:3, 3]) @ pose[:3, 2]
    return part.origin == (0, 0, 0) or -3.0 < there < 60.0


def _gray(scene, pose):
    directions = (LENS.rays() @ pose[:3, :3].T).reshape(-1, 3)
    nearest = np.full(len(directions), np.inf)
    gray = np.full(len(directions), 235.0)
    where = np.zeros((len(directions), 2))
    index = np.full(len(directions), -1)
    for i, part in enumerate(scene):
        a, b = np.array(part.a, float), np.array(part.b, float)
        normal = np.cross(a, b)
        with np.errstate(divide="ignore", invalid="ignore"):
            k = ((np.array(part.origin) - pose[:3, 3]) @ normal) / (directions @ normal)
        ahead = np.flatnonzero((k > 1e-6) & (k < nearest))
        there = pose[:3, 3] + k[ahead, None] * directions[ahead] - np.array(part.origin)
        p, q = there @ a, there @ b
        hit = (p >= part.extent_a[0]) & (p <= part.extent_a[1])
        hit &= (q >= part.extent_b[0]) & (q <= part.extent_b[1])
        rows = ahead[hit]
        nearest[rows], index[rows] = k[rows], i
        where[rows] = np.stack([p[hit], q[hit]], axis=1)
    for i in np.unique(index[index >= 0]):
        shown = index == i
        gray[shown] = _noise(where[shown, 0], where[shown, 1], scene[i].seed)
    return gray.reshape(SIZE).astype(np.uint8)


def _noise(p, q, seed):
    """Values of random blocks of several sizes, smooth between them, 20 to 230."""
    value = np.zeros(p.shape)
    for k, (size, weight) in enumerate(((1.6, 60.0), (0.5, 50.0), (0.17, 25.0))):
        x, y = p / size, q / size
        i, j = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
        u, v = _eased(x - i), _eased(y - j)
        for di, wu in ((0, 1 - u), (1, u)):
            for dj, wv in ((0, 1 - v), (1, v)):
                value += weight * wu * wv * _hash(i + di, j + dj, 31 * seed + k)
    return np.clip(125.0 + value, 20, 230)


def _eased(x):
    return x * x * (3 - 2 * x)


def _hash(i, j, seed):
    """Pseudo-random numbers from -1 to 1 of whole numbers."""
    bits = (i * 73856093) ^ (j * 19349663) ^ (seed * 83492791)
    bits = (bits ^ (bits >> 13)) * 1274126177
    return ((bits ^ (bits >> 16)) & 0xFFFF) / 32767.5 - 1.0
