"""Drives of a car with two cameras or a lidar through streets of textured planes."""

import numpy as np
from textured import LENS, MOUNT, draw

from vista_sim.traces.calibration import CameraCalibration, LidarCalibration, Vehicle
from vista_sim.traces.writer import TraceWriter
from vista_sim.transforms import planar_pose, pose_from_euler, quaternion_from_matrix

#: The lidar stands above and behind the camera.
LIDAR_MOUNT = pose_from_euler(0.9, 0.0, 2.0, 0.0, 0.02, 0.01)
SPEED = 9.0  # m/s


def vehicle_at(t):
    """True T_world_vehicle at t (s): a slight left bend."""
    x = SPEED * t
    return planar_pose(x, 0.002 * x * x, 0.004 * x)


def reach(scene, eyes, directions):
    """How many times its direction (n, 3) each ray from (n, 3) goes until it hits; else inf."""
    best = np.full(len(eyes), np.inf)
    for point, normal, a, b, extent_a, extent_b, _ in scene:
        with np.errstate(divide="ignore", invalid="ignore"):
            k = ((np.array(point) - eyes) @ np.array(normal)) / (directions @ np.array(normal))
            there = eyes + k[:, None] * directions - np.array(point)
            p, q = there @ np.array(a), there @ np.array(b)
            hit = (k > 1e-6) & (k < best) & (p >= extent_a[0]) & (p <= extent_a[1])
            hit &= (q >= extent_b[0]) & (q <= extent_b[1])
        best[hit] = k[hit]
    return best


def write_rig(folder, scene, cameras, frames=3, late=0.0, lidar=None):
    """Write a drive; returns depths (n, h, w) by camera.

    scene: planes, or what gives those of a time (s).
    cameras: name to (lens, mount). late: s by which all cameras but the first are late.
    lidar: "compensated", "timed" (points as measured, each with its time), or None.
    """
    t = np.arange(frames) / 10
    ego_t = np.arange(-0.2, t[-1] + late + 0.21, 0.02)
    vehicles = np.array([vehicle_at(v) for v in ego_t])
    offset = 0.2  # of the first frame after the first ego row
    depths = {}
    scene_at = scene if callable(scene) else lambda time: scene
    with TraceWriter(
        folder, name="rig", licence="MIT", source="computed by a test", vehicle=Vehicle()
    ) as writer:
        for k, (name, (lens, mount)) in enumerate(cameras.items()):
            video = writer.add_camera(name, CameraCalibration(lens, mount), 10.0, crf=6)
            depths[name] = []
            for time in t + (late if k else 0.0):
                image, depth = draw(scene_at(time), vehicle_at(time) @ mount, lens)
                video.write(image, round((time + offset) * 1e9))
                depths[name].append(depth)
        if lidar is not None:
            calibration = LidarCalibration(LIDAR_MOUNT, lidar == "compensated")
            scanner = writer.add_lidar("top", calibration)
            for start, points, point_t_ns in sweeps(scene_at, t, offset, lidar == "compensated"):
                scanner.write(start, points, np.ones(len(points)), point_t_ns=point_t_ns)
        writer.write_ego(
            np.round((ego_t + offset) * 1e9).astype(np.int64),
            vehicles[:, :3, 3] - vehicles[0, :3, 3],
            quaternion_from_matrix(vehicles[:, :3, :3]),
            np.full(len(ego_t), SPEED),
            np.zeros(len(ego_t)),
        )
    return {name: np.array(values) for name, values in depths.items()}


def sweeps(scene_at, t, offset, compensated, rings=40):
    """Time, points and their times of a lidar that turns once in 0.1 s, ahead in the middle."""
    elevation = np.radians(np.linspace(6, -24, rings))
    azimuth = np.radians(np.arange(60, -60, -0.4))
    a, e = (x.ravel() for x in np.meshgrid(azimuth, elevation, indexing="ij"))
    rays = np.stack([np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e)], axis=1)
    for middle in t:
        times = middle - a / (2 * np.pi) * 0.1 if not compensated else np.full(len(a), middle)
        start = middle if compensated else middle - 0.05
        poses = np.array([vehicle_at(v) for v in np.unique(times)]) @ LIDAR_MOUNT
        pose = poses[np.searchsorted(np.unique(times), times)]
        far = reach(
            scene_at(middle), pose[:, :3, 3], np.einsum("nij,nj->ni", pose[:, :3, :3], rays)
        )
        seen = far < 90
        points = rays[seen] * far[seen, None]
        measured = np.round((times[seen] + offset) * 1e9).astype(np.int64)
        yield round((start + offset) * 1e9), points, None if compensated else measured


FRONT = {"front": (LENS, MOUNT)}


def beside(y, lens=LENS, turn=(0.0, 0.0, 0.0)):
    """A camera y (m) to the left of `FRONT`, turned by roll, pitch, yaw (rad)."""
    mount = MOUNT.copy()
    mount[1, 3] += y
    mount[:3, :3] = pose_from_euler(0, 0, 0, *turn)[:3, :3] @ mount[:3, :3]
    return lens, mount
