"""Fixtures of many tests: small traces whose geometry is known exactly."""

import logging
import math
import os
import signal
import threading
from pathlib import Path

import numpy as np
import pytest
from slow_files import slow_files
from tiny import write_tiny_trace

from vista_sim.policies import PolicyServer
from vista_sim.traces.calibration import CameraCalibration, Lens, Vehicle
from vista_sim.traces.writer import TraceWriter
from vista_sim.transforms import camera_mount, planar_pose, quaternion_from_matrix

#: (length m, curvature 1/m) of the pieces of `road_trace`'s path.
ROAD_PIECES = ((40.0, 0.0), (40.0, 1 / 40), (30.0, 0.0), (45.0, -1 / 45), (25.0, 0.0))
ROAD_SPEED = 8.0  # m/s


# Few of these traces are baked, and few tests are about what stands on the ground: the commands
# take them as they are, but where a test wants to see them refuse.
os.environ.setdefault("VISTA_SIM_UNBAKED", "1")

# A shell's background jobs ignore Ctrl-C, those of nohup a hangup, and so would all commands that
# tests start from one.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_addoption(parser):
    parser.addoption("--fast", action="store_true", help="leave out the files of slow_files.txt")


def pytest_ignore_collect(collection_path, config):
    return True if config.getoption("--fast") and collection_path in slow_files() else None


def pytest_collection_modifyitems(config, items):
    """Files that take long come first, so that no process waits for the last of them."""
    if not config.pluginmanager.hasplugin("randomly"):
        slow = slow_files()
        items.sort(key=lambda item: slow.get(item.path, len(slow)))


def road_pose(s):
    """(x, y, yaw) of `road_trace`'s path at arc length s: straight lines and circles."""
    x = y = yaw = 0.0
    for length, curvature in ROAD_PIECES:
        d = min(s, length)
        if curvature:
            radius = 1 / curvature
            x += radius * (math.sin(yaw + d * curvature) - math.sin(yaw))
            y -= radius * (math.cos(yaw + d * curvature) - math.cos(yaw))
        else:
            x, y = x + d * math.cos(yaw), y + d * math.sin(yaw)
        yaw += d * curvature
        s -= d
        if s <= 0:
            break
    return x, y, yaw


def ground_color(x, y):
    """Color (..., 3) of the ground at world (x, y): soft blotches of several sizes."""
    value = sum(
        np.sin(x * f + 3 * np.sin(y * f * 0.7)) * np.cos(y * f * 1.3 + f) for f in (0.4, 1.1, 2.9)
    )
    gray = 110 + 30 * value
    return np.stack([gray, gray + 12 * np.sin(x), gray - 12 * np.cos(y)], axis=-1)


def view_of_ground(lens, T_world_camera):
    """What a camera sees of the ground z = 0 under an even sky: uint8 (h, w, 3)."""
    rays = lens.rays() @ T_world_camera[:3, :3].T
    eye = T_world_camera[:3, 3]
    down = rays[..., 2] < -1e-3
    reach = np.where(down, -eye[2] / np.where(down, rays[..., 2], -1.0), 0.0)
    point = eye + reach[..., None] * rays
    image = np.where(down[..., None], ground_color(point[..., 0], point[..., 1]), 205.0)
    return np.clip(np.round(image), 0, 255).astype(np.uint8)


def write_straight(folder, speed_of_time, seconds=30.0):
    """A straight drive without sensors; returns its speed (m/s) and position (m) over time."""
    t = np.arange(0, seconds + 1e-9, 0.02)
    speed = np.array([speed_of_time(v) for v in t])
    x = np.concatenate([[0], np.cumsum(0.5 * (speed[1:] + speed[:-1]) * np.diff(t))])
    with TraceWriter(folder, name="straight", licence="", source="", vehicle=Vehicle()) as writer:
        writer.write_ego(
            np.round(t * 1e9).astype(np.int64),
            np.column_stack([x, 0 * x, 0 * x]),
            np.tile([0.0, 0.0, 0.0, 1.0], (len(t), 1)),
            speed,
            np.zeros(len(t)),
        )
    return t, speed, x


def write_road(folder, fov=1.2, size=(48, 96), camera="front", length=None) -> Path:
    """A drive along `ROAD_PIECES`, or so many metres of them, over flat ground; camera at 10 Hz."""
    length = length or sum(piece[0] for piece in ROAD_PIECES)
    t = np.arange(0, length / ROAD_SPEED + 1e-9, 0.02)
    poses = np.array([road_pose(ROAD_SPEED * v) for v in t])
    matrices = np.array([planar_pose(*pose) for pose in poses])
    lens = Lens.from_fov(size, fov)
    mount = camera_mount(1.5, 0.0, 1.4, pitch=0.08)
    with TraceWriter(
        folder, name="road", licence="MIT", source="computed by a test", vehicle=Vehicle()
    ) as writer:
        video = writer.add_camera(camera, CameraCalibration(lens, mount), 10.0)
        for i in range(0, len(t), 5):
            video.write(view_of_ground(lens, matrices[i] @ mount), round(t[i] * 1e9))
        writer.write_ego(
            np.round(t * 1e9).astype(np.int64),
            np.column_stack([poses[:, :2], np.zeros(len(t))]),
            quaternion_from_matrix(matrices[:, :3, :3]),
            np.full(len(t), ROAD_SPEED),
            np.gradient(np.unwrap(poses[:, 2]), t),
        )
        s = np.linspace(0, length, 50)
        writer.write_road(s, np.full(50, 3.0), np.full(50, 1.5))
    return folder


@pytest.fixture(scope="session")
def road_trace(tmp_path_factory) -> Path:
    """A drive at 8 m/s over flat ground: straights and circles, 180 m, 22.5 s, camera at 10 Hz."""
    return write_road(tmp_path_factory.mktemp("traces") / "road")


@pytest.fixture
def serving():
    """Serves a policy, or what makes one, in a thread; gives its address. At the end it closes."""
    servers = []

    def serve(policy, address="127.0.0.1:0"):
        server = PolicyServer(policy, address)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        servers.append((server, thread))
        return server.address

    yield serve
    for server, thread in servers:
        server.close()
        thread.join(timeout=60)
        assert not thread.is_alive()


@pytest.fixture(scope="session")
def tiny_trace(tmp_path_factory) -> Path:
    """Three seconds around a circle, 31 frames of 47 x 71 (see `tiny`). Copy it to change it."""
    return write_tiny_trace(tmp_path_factory.mktemp("traces") / "tiny")


@pytest.fixture
def _unwarned(caplog):
    """Nothing is said of the ground, which is assumed flat where nothing was baked."""
    caplog.set_level(logging.ERROR)


@pytest.fixture
def _own_threads():
    """As many threads of PyTorch afterwards as before."""
    import torch

    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
