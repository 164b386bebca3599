"""Bags of ROS 1 and ROS 2 for tests, written by the writers of `rosbags`."""

from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from vista_sim.traces.importers.options import make_options
from vista_sim.traces.importers.registry import find_importer
from vista_sim.transforms import matrix_from_quaternion, planar_pose, quaternion_from_matrix

pytest.importorskip("rosbags")

from rosbags.rosbag1 import Writer as Writer1
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin
from rosbags.rosbag2 import Writer as Writer2
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

CONTAINERS = ("bag", "db3", "mcap")
NAMES = {"bag": "drive.bag", "db3": "drive", "mcap": "drive"}
DELAY = 3_000_000  # ns from a header's time to that of recording
VIDEO = """builtin_interfaces/Time timestamp
string frame_id
uint8[] data
string format
"""


@cache
def typestore(is_ros2):
    store = get_typestore(Stores.ROS2_HUMBLE if is_ros2 else Stores.ROS1_NOETIC)
    store.register(get_types_from_msg(VIDEO, "foxglove_msgs/msg/CompressedVideo"))
    tf = "tf2_msgs/msg/TFMessage"
    if tf not in store.types:
        text = "geometry_msgs/TransformStamped[] transforms"
        store.register(get_types_from_msg(text, tf))
    return store


class BagFile:
    """Writes one bag, message by message, each recorded `DELAY` after its time unless told."""

    def __init__(self, path, kind, packed=""):
        self.is_ros2 = kind != "bag"
        self.store = typestore(self.is_ros2)
        if self.is_ros2:
            plugin = StoragePlugin.MCAP if kind == "mcap" else StoragePlugin.SQLITE3
            self.writer = Writer2(path, version=9, storage_plugin=plugin)
            if packed:
                mode = CompressionMode.STORAGE
                self.writer.set_compression(mode, CompressionFormat[packed.upper()])
        else:
            self.writer = Writer1(path)
            if packed:
                self.writer.set_compression(Writer1.CompressionFormat[packed.upper()])
        self.connections = {}

    def type(self, name):
        return self.store.types[name]

    def make(self, name, /, **fields):
        return self.type(name)(**fields)

    def time(self, ns):
        return self.make("builtin_interfaces/msg/Time", sec=ns // 10**9, nanosec=ns % 10**9)

    def header(self, ns, frame):
        fields = {"stamp": self.time(ns), "frame_id": frame}
        return self.make("std_msgs/msg/Header", **fields, **({} if self.is_ros2 else {"seq": 0}))

    def write(self, topic, kind, message, log_ns):
        if topic not in self.connections:
            self.connections[topic] = self.writer.add_connection(topic, kind, typestore=self.store)
        serialize = self.store.serialize_cdr if self.is_ros2 else self.store.serialize_ros1
        self.writer.write(self.connections[topic], int(log_ns), serialize(message, kind))

    def vector(self, xyz, kind="Vector3"):
        return self.make(
            f"geometry_msgs/msg/{kind}", **dict(zip("xyz", map(float, xyz), strict=True))
        )

    def quaternion(self, xyzw):
        return self.make(
            "geometry_msgs/msg/Quaternion", **dict(zip("xyzw", map(float, xyzw), strict=True))
        )

    def transform(self, topic, ns, parent, child, pose, log_ns=None):
        turn = quaternion_from_matrix(pose[:3, :3])
        one = self.make(
            "geometry_msgs/msg/TransformStamped",
            header=self.header(ns, parent),
            child_frame_id=child,
            transform=self.make(
                "geometry_msgs/msg/Transform",
                translation=self.vector(pose[:3, 3]),
                rotation=self.quaternion(turn),
            ),
        )
        kind = "tf2_msgs/msg/TFMessage"
        log_ns = ns + DELAY if log_ns is None else log_ns
        self.write(topic, kind, self.make(kind, transforms=[one]), log_ns)

    def pose(self, pose):
        return self.make(
            "geometry_msgs/msg/Pose",
            position=self.vector(pose[:3, 3], "Point"),
            orientation=self.quaternion(quaternion_from_matrix(pose[:3, :3])),
        )

    def odometry(
        self,
        topic,
        ns,
        pose,
        velocity=(0, 0, 0),
        rates=(0, 0, 0),
        spread=None,
        frames=None,
        log_ns=None,
    ):
        world, child = frames or ("odom", "base_link")
        kind = "nav_msgs/msg/Odometry"
        covariance = np.zeros(36)
        if spread is not None:
            covariance[[0, 7, 35]] = spread
        message = self.make(
            kind,
            header=self.header(ns, world),
            child_frame_id=child,
            pose=self.make(
                "geometry_msgs/msg/PoseWithCovariance",
                pose=self.pose(pose),
                covariance=covariance,
            ),
            twist=self.make(
                "geometry_msgs/msg/TwistWithCovariance",
                twist=self.make(
                    "geometry_msgs/msg/Twist",
                    linear=self.vector(velocity),
                    angular=self.vector(rates),
                ),
                covariance=np.zeros(36),
            ),
        )
        self.write(topic, kind, message, ns + DELAY if log_ns is None else log_ns)

    def pose_stamped(self, topic, ns, pose, frame="map"):
        kind = "geometry_msgs/msg/PoseStamped"
        message = self.make(kind, header=self.header(ns, frame), pose=self.pose(pose))
        self.write(topic, kind, message, ns + DELAY)

    def fix(self, topic, ns, latitude, longitude, altitude, frame="gps", status=0, spread=None):
        kind = "sensor_msgs/msg/NavSatFix"
        covariance = np.zeros(9)
        if spread is not None:
            covariance[[0, 4, 8]] = spread
        message = self.make(
            kind,
            header=self.header(ns, frame),
            status=self.make("sensor_msgs/msg/NavSatStatus", status=status, service=1),
            latitude=latitude,
            longitude=longitude,
            altitude=altitude,
            position_covariance=covariance,
            position_covariance_type=0 if spread is None else 2,
        )
        self.write(topic, kind, message, ns + DELAY)

    def imu(self, topic, ns, turn, rates=(0, 0, 0), frame="imu_link", valid=True):
        kind = "sensor_msgs/msg/Imu"
        covariance = np.zeros(9)
        covariance[0] = 0 if valid else -1
        message = self.make(
            kind,
            header=self.header(ns, frame),
            orientation=self.quaternion(quaternion_from_matrix(turn)),
            orientation_covariance=covariance,
            angular_velocity=self.vector(rates),
            angular_velocity_covariance=np.zeros(9),
            linear_acceleration=self.vector((0, 0, 9.81)),
            linear_acceleration_covariance=np.zeros(9),
        )
        self.write(topic, kind, message, ns + DELAY)

    def image(
        self,
        topic,
        ns,
        data,
        size,
        encoding,
        step=None,
        big=False,
        frame="camera_optical",
        log_ns=None,
    ):
        kind = "sensor_msgs/msg/Image"
        data = np.frombuffer(bytes(data), np.uint8)
        message = self.make(
            kind,
            header=self.header(ns, frame),
            height=size[0],
            width=size[1],
            encoding=encoding,
            is_bigendian=int(big),
            step=len(data) // size[0] if step is None else step,
            data=data,
        )
        self.write(topic, kind, message, ns + DELAY if log_ns is None else log_ns)

    def compressed(self, topic, ns, content, format="png", frame="camera_optical", log_ns=None):
        kind = "sensor_msgs/msg/CompressedImage"
        message = self.make(
            kind,
            header=self.header(ns, frame),
            format=format,
            data=np.frombuffer(content, np.uint8),
        )
        self.write(topic, kind, message, ns + DELAY if log_ns is None else log_ns)

    def video(self, topic, ns, content, format="h264", frame="camera_optical"):
        kind = "foxglove_msgs/msg/CompressedVideo"
        message = self.make(
            kind,
            timestamp=self.time(ns),
            frame_id=frame,
            data=np.frombuffer(content, np.uint8),
            format=format,
        )
        self.write(topic, kind, message, ns + DELAY)

    def info(
        self,
        topic,
        ns,
        size,
        K,
        D=(0.0,) * 5,
        P=None,
        R=None,
        model="plumb_bob",
        frame="camera_optical",
        binning=(0, 0),
        roi=(0, 0, 0, 0),
        log_ns=None,
    ):
        kind = "sensor_msgs/msg/CameraInfo"
        K = np.asarray(K, float)
        P = np.hstack([K, np.zeros((3, 1))]) if P is None else np.asarray(P, float)
        matrices = {
            "K": K.ravel(),
            "D": np.array(D, float),
            "R": (np.eye(3) if R is None else np.asarray(R, float)).ravel(),
            "P": P.ravel(),
        }
        if self.is_ros2:
            matrices = {name.lower(): value for name, value in matrices.items()}
        message = self.make(
            kind,
            header=self.header(ns, frame),
            height=size[0],
            width=size[1],
            distortion_model=model,
            binning_x=binning[1],
            binning_y=binning[0],
            roi=self.make(
                "sensor_msgs/msg/RegionOfInterest",
                y_offset=roi[0],
                x_offset=roi[1],
                height=roi[2],
                width=roi[3],
                do_rectify=False,
            ),
            **matrices,
        )
        self.write(topic, kind, message, ns + DELAY if log_ns is None else log_ns)

    def cloud(self, topic, ns, points, padding=0, frame="lidar", big=False, rows=1, row_padding=0):
        """`points` is a structured array; its fields are laid out one after the other."""
        kind = "sensor_msgs/msg/PointCloud2"
        codes = {"i1": 1, "u1": 2, "i2": 3, "u2": 4, "i4": 5, "u4": 6, "f4": 7, "f8": 8}
        dtype = points.dtype
        fields = [
            self.make(
                "sensor_msgs/msg/PointField",
                name=name,
                offset=dtype.fields[name][1],
                datatype=codes[dtype.fields[name][0].str[1:]],
                count=1,
            )
            for name in dtype.names
        ]
        step = dtype.itemsize + padding
        width = len(points) // rows
        raw = np.full((rows, width * step + row_padding), 0xA5, np.uint8)
        filled = raw[:, : width * step].reshape(rows, width, step).copy()
        whole = np.frombuffer(points.tobytes(), np.uint8).reshape(rows, width, dtype.itemsize)
        filled[..., : dtype.itemsize] = whole
        raw[:, : width * step] = filled.reshape(rows, -1)
        message = self.make(
            kind,
            header=self.header(ns, frame),
            height=rows,
            width=width,
            fields=fields,
            is_bigendian=big,
            point_step=step,
            row_step=width * step + row_padding,
            data=raw.ravel(),
            is_dense=True,
        )
        self.write(topic, kind, message, ns + DELAY)


@contextmanager
def bag_file(path, kind, packed=""):
    """A bag to be written: a file .bag, or a folder of ROS 2; its chunks packed or not."""
    file = BagFile(Path(path), kind, packed)
    with file.writer:
        yield file


def write_recording(path, kind, recording, count=None):
    """Any recording as a bag: Odometry of the vehicle frame, PNG images, points, tf_static.

    Args:
        count: of the images and sweeps of each sensor that are written; None: all.
    """
    import cv2

    motion = recording.motion
    first = int(motion.t_ns[0])
    with bag_file(path, kind) as bag:
        poses = np.tile(np.eye(4), (len(motion.t_ns), 1, 1))
        poses[:, :3, :3] = matrix_from_quaternion(motion.quaternion)
        poses[:, :3, 3] = motion.position
        rows = zip(motion.t_ns, poses, motion.speed, motion.yaw_rate, strict=True)
        for ns, pose, speed, rate in rows:
            bag.odometry("/odom", int(ns), pose, (speed, 0, 0), (0, 0, rate))
        for name in recording.usual:
            stream = recording.cameras[name]()
            lens, frame = stream.calibration.lens, f"{name}_optical"
            mount = stream.calibration.T_vehicle_camera
            bag.transform("/tf_static", first, "base_link", frame, mount)
            bag.info(
                f"/{name}/camera_info", first, lens.size, lens.matrix, lens.distortion, frame=frame
            )
            t_ns = stream.t_ns[:count]
            for ns, image in zip(t_ns, stream.frames(range(len(t_ns))), strict=True):
                content = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1]
                bag.compressed(
                    f"/{name}/image_raw/compressed", int(ns), content.tobytes(), frame=frame
                )
        for name, lidar in recording.lidars.items():
            mount = lidar.calibration.T_vehicle_lidar
            bag.transform("/tf_static", first, "base_link", name, mount)
            t_ns = lidar.t_ns[:count]
            for ns, points in zip(t_ns, lidar.sweeps(range(len(t_ns))), strict=True):
                fields = [("x", "<f8"), ("y", "<f8"), ("z", "<f8"), ("intensity", "<f8")]
                fields += [] if points.ring is None else [("ring", "<u2")]
                fields += [] if points.t_ns is None else [("t", "<i4")]
                table = np.zeros(len(points.xyz), fields)
                for k, axis in enumerate("xyz"):
                    table[axis] = points.xyz[:, k]
                table["intensity"] = points.intensity
                if points.ring is not None:
                    table["ring"] = points.ring
                if points.t_ns is not None:
                    table["t"] = points.t_ns - ns
                bag.cloud(f"/{name}/points", int(ns), table, padding=4, frame=name)
    return path


START, STEP, COUNT = 1_700_000_000_123_456_789, 100_000_000, 12
SPEED, RADIUS = 5.0, 20.0
SIZE = (24, 32)
K = np.array([[30.0, 0, 15.5], [0, 31.0, 11.5], [0, 0, 1]])
FORWARD = np.array([[0.0, 0, 1, 1.5], [-1, 0, 0, 0.2], [0, -1, 0, 1.4], [0, 0, 0, 1]])


def circle(i):
    """Pose of the rear axle after i steps on a circle to the left."""
    turned = SPEED * i * STEP * 1e-9 / RADIUS
    return planar_pose(RADIUS * np.sin(turned), RADIUS * (1 - np.cos(turned)), turned)


def write_odometry(bag, T_vehicle_body=None, count=COUNT, topic="/odom", **further):
    """The circle as Odometry of something that is fixed to the car, its twist as it moves there."""
    T = np.eye(4) if T_vehicle_body is None else T_vehicle_body
    rate = SPEED / RADIUS
    velocity = np.array([SPEED, 0, 0]) + np.cross([0, 0, rate], T[:3, 3])
    for i in range(count):
        bag.odometry(
            topic, START + i * STEP, circle(i) @ T, T[:3, :3].T @ velocity,
            T[:3, :3].T @ [0, 0, rate], **further,
        )  # fmt: skip


def gray(i):
    return np.full((*SIZE, 3), 20 * i, np.uint8)


def write_camera(bag, count=COUNT, name="front", mount=FORWARD):
    """A camera of plain gray pictures, each lighter than the one before."""
    frame = f"{name}_optical"
    bag.transform("/tf_static", START, "base_link", frame, mount)
    bag.info(f"/{name}/camera_info", START, SIZE, K, frame=frame)
    for i in range(count):
        data = gray(i).tobytes()
        bag.image(f"/{name}/image_raw", START + i * STEP, data, SIZE, "rgb8", frame=frame)


def opened(src, **options):
    """A bag as the importer opens it."""
    importer = find_importer("ros")
    return importer.open(Path(src), make_options(importer.options, options))


def write_drive(place, kind):
    """A drive with one camera in a folder; returns the bag."""
    with bag_file(place / NAMES[kind], kind) as bag:
        write_odometry(bag)
        write_camera(bag)
    return place / NAMES[kind]
