"""Small valid inputs of every kind; imported heavy parts stay in the functions."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
from tiny import RADIUS, SPEED, START_NS, calibration, circle_motion, frame_of, write_tiny_trace

DRIVE = "drive"
SOCKET_PROTOCOL = "vista-policy-socket/1"


def write_drive(folder: Path) -> None:
    """A trace of three seconds with all that a trace may hold."""
    from vista_sim.traces.calibration import LidarCalibration, Vehicle
    from vista_sim.traces.sections import Label
    from vista_sim.traces.writer import TraceWriter

    t = np.arange(0, 3.0001, 0.02)
    position, quaternion, _ = circle_motion(t)
    ns = START_NS + np.round(t * 1e9).astype(np.int64)
    about = {"name": DRIVE, "licence": "MIT", "source": "computed by a test"}
    with TraceWriter(folder / DRIVE, vehicle=Vehicle(), **about) as writer:
        speed = np.full(len(t), SPEED)
        angle = np.full(len(t), 0.07)
        writer.write_ego(ns, position, quaternion, speed, speed / RADIUS, steering_angle=angle)
        camera = writer.add_camera("front", calibration(), 10.0)
        for index in range(31):
            camera.write(frame_of(index), START_NS + index * 100_000_000)
        lidar = writer.add_lidar("top", LidarCalibration())
        for number, points in enumerate(np.random.default_rng(0).uniform(-20, 20, (6, 20, 3))):
            t_ns = START_NS + number * 500_000_000
            lidar.write(t_ns, points, np.ones(20), ring=np.arange(20) % 4)
        s = np.linspace(0, 24, 12)
        writer.write_road(s, np.full(12, 3.0), np.full(12, 1.5))
        writer.write_labels([Label(0.0, 2.0, "maneuver", "left")])
        pose = np.tile([9.0, 3.0, 0.0, 0.0, 0.0, 0.0, 1.0], (4, 1))
        sizes = [[4.5, 1.8, 1.5]] * 4
        writer.write_tracks(ns[:4], [4] * 4, ["car"] * 4, pose, sizes)


def write_small_drive(folder: Path) -> None:
    """A trace that is there for others to drive on."""
    write_tiny_trace(folder / DRIVE)


def write_baked(folder: Path) -> None:
    write_small_drive(folder)
    vista("bake", folder / DRIVE, "--geometry", "ground")


def write_filmed(folder: Path) -> None:
    """A trace, and a run with videos."""
    from filmed_runs import write_run

    write_small_drive(folder)
    trace = {"name": DRIVE, "path": "drive"}
    write_run(folder / "run", trace=trace, endings=("off_road", "end_of_trace"))


def write_runs(folder: Path) -> None:
    """Runs: filmed, of made-up tables, and of a suite that can be gone on with."""
    from filmed_runs import write_run
    from made_up_runs import Drive, Start, write

    write_filmed(folder)
    drives = [Drive(("off_road", "end_of_trace"), scenario="a", case=f"a/{i}") for i in range(4)]
    starts = [Start(5.0 * i, recovered=i != 1, scenario="b", case=f"b/{i}") for i in range(4)]
    write(folder / "starts", [*drives, *starts], seed=3)
    trace = {"name": DRIVE, "path": "drive"}
    write_run(folder / "other", name="other", trace=trace, lateral=1.2, endings=("end_of_trace",))
    write_suite(folder)
    with contextlib.chdir(folder):
        suite = ("evaluate", "--suite", "suite.toml", "--policy", "expert", "--out", "judged")
        vista(*suite, "--workers", "0", "--no-video")


def write_suite(folder: Path) -> None:
    from suite_files import scenario, suite

    one = scenario(
        folder, DRIVE, "bend", top=["time_limit = 0.4"], start=["lateral = 0.2"],
        image=["blur = 1.5"], vehicle=['actuation_delay = "100 ms"'],
        sensors__rear=['kind = "camera"', "size = [12, 16]", 'fov = "60 deg"',
                       "mount = { x = 0.0, y = 0.0, z = 1.2, yaw = 0.5 }"],
    )  # fmt: skip
    other = scenario(
        folder, DRIVE, "restart", top=["time_limit = 0.4"], section=["time = [0.0, 2.0]"],
        start=["heading = { from = -0.1, to = 0.1, steps = 2 }"], endings=["max_lateral = 1.5"],
    )  # fmt: skip
    third = scenario(
        folder, DRIVE, "stop", top=["time_limit = 0.4"], task=['name = "stop-at-end"'],
        task__rewards=["stop = 5.0"], endings=['within = "200 cm"'], speed=['mode = "free"'],
    )  # fmt: skip
    limit = ("[pass]", "crashes_per_km = { max = 20.0 }")
    suite(folder, "suite", [one, other, third], *limit)


def write_scenarios(folder: Path) -> None:
    write_small_drive(folder)
    write_suite(folder)


def write_policy(folder: Path) -> None:
    """A trace, and the folder of a small network."""
    from architectures import SMALL, build
    from vista_agents.policy import PolicySpec, save_policy

    from vista_sim.policies import CameraSpec

    write_small_drive(folder)
    for name in ("cnn", "gru"):
        config = SMALL[name]
        spec = PolicySpec({"camera": CameraSpec(config.camera_size, 1.1)}, config, name=name)
        save_policy(folder / name, spec, build(config, 1).state_dict())


def write_onnx(folder: Path) -> None:
    """A trace, a policy and a depth model."""
    from driving_models import MEAN, describe, write_mean
    from onnx_models import write_weighted

    write_small_drive(folder)
    describe(write_mean(folder / "policy.onnx"), MEAN)
    settings = {"layout": "NCHW", "kind": "relative", "output": "inverse_depth", "scale": 0.01}
    weights = [0.2, 0.3, 0.5]
    write_weighted(folder / "depth.onnx", weights, (32, 64), settings=settings)


def write_kitti_folder(folder: Path) -> None:
    """Images, poses, times and calibration in KITTI's layout, computed here."""
    from test_kitti import write_kitti

    write_kitti(folder / "kitti", cameras=(0, 1))
    for image in (folder / "kitti").glob("sequences/00/image_*/*.png"):
        if int(image.stem) >= 10:
            image.unlink()
    for name in ("poses/00.txt", "sequences/00/times.txt"):
        path = folder / "kitti" / name
        path.write_text("\n".join(path.read_text().splitlines()[:10]) + "\n")


def write_recordings(folder: Path) -> None:
    """Small recordings of several formats, computed here."""
    write_kitti_folder(folder)
    from ros_bags import bag_file, write_camera, write_odometry
    from test_pandaset import write_sequence

    for name, kind in (("drive.bag", "bag"), ("mcap", "mcap"), ("sqlite", "db3")):
        with bag_file(folder / name, kind) as bag:
            write_odometry(bag)
            write_camera(bag)
    write_sequence(folder / "pandaset", cameras=("front",))
    for path in (folder / "pandaset").glob("**/*.pkl.gz"):
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()


def write_film(folder: Path) -> None:
    """Videos of five seconds of the small drive, with a position log of each kind beside them."""
    from test_video import sentence

    from vista_sim.traces.video import VideoWriter

    logs = {".csv": csv_log, ".gpx": gpx_log, ".nmea": lambda rows: nmea_log(rows, sentence)}
    t = np.arange(0.0, 5.01, 0.2)
    position, quaternion, _ = circle_motion(t)
    yaw = np.unwrap(2 * np.arctan2(quaternion[:, 2], quaternion[:, 3]))
    rows = list(zip(t.tolist(), *position[:, :2].T.tolist(), yaw.tolist(), strict=True))
    for suffix, log in logs.items():
        place = folder / "films" / suffix[1:]
        place.mkdir(parents=True)
        video = VideoWriter(place / "drive.mp4", calibration().lens.size, 10.0)
        for index in range(50):
            video.write(frame_of(index))
        video.close()
        (place / "drive").with_suffix(suffix).write_text(log(rows))


def csv_log(rows: list[tuple[float, ...]]) -> str:
    lines = [f"{t:.2f},{x:.4f},{y:.4f},{SPEED},{yaw:.5f}" for t, x, y, yaw in rows]
    return "\n".join(["t_s,x,y,speed,yaw_rad", *lines]) + "\n"


def gpx_log(rows: list[tuple[float, ...]]) -> str:
    points = [
        f'<trkpt lat="{49 + y / 111_200:.7f}" lon="{8 + x / 73_000:.7f}"><ele>110</ele>'
        f"<time>2024-05-01T10:00:{t:06.3f}Z</time></trkpt>"
        for t, x, y, _ in rows
    ]
    head = '<gpx version="1.1" xmlns="http://www.topografix.com/GPX/1/1"><trk><trkseg>'
    return "\n".join(['<?xml version="1.0"?>', head, *points, "</trkseg></trk></gpx>"]) + "\n"


def nmea_log(rows: list[tuple[float, ...]], sentence: Callable[[str], str]) -> str:
    lines = []
    for t, x, y, yaw in rows:
        place = f"49{60 * y / 111_200:08.5f},N,008{60 * x / 73_000:08.5f},E"
        course = (90 - np.degrees(yaw)) % 360
        lines.append(
            sentence(
                f"GPRMC,1000{t:05.2f},A,{place},{SPEED / 0.514444:.2f},{course:.2f},010524,,,A"
            )
        )
    return "\r\n".join(lines)


def write_messages(folder: Path) -> None:
    """What a client and a server of policies say to each other, a file for each message."""
    import msgpack

    image = {"dtype": "uint8", "shape": [4, 6, 3], "bytes": bytes(72)}
    speed = {"dtype": "float32", "shape": [1], "bytes": bytes(4)}
    state = {"dtype": "float32", "shape": [12], "bytes": bytes(48)}
    vehicle = {"length": 4.5, "width": 1.8, "height": 1.5, "wheelbase": 2.7, "assumed": []}
    camera = {"size": [24, 48], "fov": 1.1}
    messages = {
        "hello": {"type": "hello", "protocol": SOCKET_PROTOCOL, "client": "a test"},
        "reset": {"type": "reset"},
        "act": {
            "type": "act",
            "step": 0,
            "observation": {"camera": image, "speed": speed, "command": "left"},
            "car": {"state": state, "vehicle": vehicle},
        },
        "ready": {"type": "ready", "protocol": SOCKET_PROTOCOL, "name": "x", "camera": camera},
        "done": {"type": "done"},
        "action": {"type": "action", "step": 0, "curvature": 0.01, "acceleration": None},
        "error": {"type": "error", "kind": "raised", "message": "a policy's words"},
    }
    for name, message in messages.items():
        data = msgpack.packb(message)
        (folder / f"{name}.msg").write_bytes(struct.pack(">I", len(data)) + data)
    write_small_drive(folder)


def write_page_messages(folder: Path) -> None:
    """What a browser says to the drive page's server."""
    said = {
        "input": {
            "type": "input",
            "seq": 17,
            "steer": 0.4,
            "throttle": 0,
            "brake": 0.1,
            "keys": False,
        },
        "command": {"type": "command", "name": "pause"},
        "ack": {"type": "ack", "frame": 42},
        "ping": {"type": "ping", "id": 3},
    }
    for name, message in said.items():
        (folder / f"{name}.json").write_text(json.dumps(message))
    (folder / "frame.ws").write_bytes(b"")
    lines = ("GET / HTTP/1.1", "Host: 127.0.0.1:8700", "Accept: */*", "", "")
    (folder / "page.http").write_bytes("\r\n".join(lines).encode())
    lines = (
        *("GET /socket HTTP/1.1", "Host: 127.0.0.1:8700", "Origin: http://127.0.0.1:8700"),
        *("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"),
        *("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "", ""),
    )
    (folder / "socket.http").write_bytes("\r\n".join(lines).encode())


def vista(*words: object) -> None:
    """Run a command of vista-sim that has to end well."""
    from vista_sim.cli import main

    status: object = 0
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            main([str(word) for word in words])
        except SystemExit as end:
            status = end.code
    if status:
        raise AssertionError(words)
