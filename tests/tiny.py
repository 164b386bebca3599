"""A tiny trace with frames that can be told apart, for tests of files and formats."""

import numpy as np

from vista_sim.traces.calibration import CameraCalibration, Lens, Vehicle
from vista_sim.traces.sections import Label
from vista_sim.traces.writer import TraceWriter
from vista_sim.transforms import camera_mount

SIZE = (47, 71)  # odd both ways
SPEED = 8.0  # m/s
RADIUS = 40.0  # m
START_NS = 1_317_000_000_000_000_000  # a date: nanoseconds do not fit into a float


def circle_motion(t):
    """Position (n, 3), quaternion (n, 4) and yaw (n,) of a left turn at SPEED and RADIUS."""
    yaw = SPEED * t / RADIUS
    position = np.stack([RADIUS * np.sin(yaw), RADIUS * (1 - np.cos(yaw)), 0 * t], axis=1)
    quaternion = np.stack([0 * t, 0 * t, np.sin(yaw / 2), np.cos(yaw / 2)], axis=1)
    return position, quaternion, yaw


def frame_of(index, size=SIZE):
    """A frame whose gray level says its index (smooth, so that coding keeps it)."""
    v, u = np.mgrid[0 : size[0], 0 : size[1]]
    image = 40 + 5 * (index % 32) + 20 * np.sin(u / 11) + 10 * np.cos(v / 7)
    return np.repeat(np.round(image).astype(np.uint8)[..., None], 3, axis=2)


def calibration(size=SIZE):
    return CameraCalibration(Lens.from_fov(size, 1.2), camera_mount(1.2, 0.0, 1.5))


def write_tiny_trace(folder, *, frame_t=None, ego_t=None, speed=None, labels=(), **settings):
    """Three seconds around a circle: ego at 50 Hz, camera "front" at 10 Hz."""
    ego_t = np.arange(0, 3.0001, 0.02) if ego_t is None else np.asarray(ego_t)
    frame_t = np.arange(0, 3.0001, 0.1) if frame_t is None else np.asarray(frame_t)
    position, quaternion, _ = circle_motion(ego_t)
    about = {"name": "tiny", "licence": "MIT", "source": "computed by a test", **settings}
    with TraceWriter(folder, vehicle=Vehicle(), **about) as writer:
        writer.write_ego(
            START_NS + np.round(ego_t * 1e9).astype(np.int64),
            position,
            quaternion,
            np.full(len(ego_t), SPEED) if speed is None else speed,
            np.full(len(ego_t), SPEED / RADIUS),
        )
        camera = writer.add_camera("front", calibration(), 10.0)
        for index, t in enumerate(frame_t):
            camera.write(frame_of(index), START_NS + round(t * 1e9))
        if labels:
            writer.write_labels([Label(*label) for label in labels])
    return folder
