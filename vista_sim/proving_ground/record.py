"""Records a drive through the proving ground as a trace."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from scipy.spatial.transform import Rotation

from vista_sim.errors import VistaError
from vista_sim.proving_ground.driver import Trajectory, drive
from vista_sim.proving_ground.renderer import import_pybullet
from vista_sim.proving_ground.road import Road, RoadShape
from vista_sim.proving_ground.scene import Scene, drawn_lens
from vista_sim.proving_ground.street import Street
from vista_sim.proving_ground.traffic import (
    MOST_LEADING,
    SHORTEST_INTERVAL,
    TrafficCar,
    simulate_traffic,
    track_rows,
)
from vista_sim.traces.calibration import CameraCalibration, Lens, Vehicle
from vista_sim.traces.levelling import level_to_first_pose
from vista_sim.traces.sections import Label
from vista_sim.traces.writer import TraceWriter
from vista_sim.transforms import camera_mount, inverse, quaternion_from_matrix

Array = NDArray[np.float64]

WORLD_VERSION = 2  # rises when the same seed makes another world
EGO_RATE = 50.0  # Hz


@dataclass(frozen=True)
class Recording:
    """What is recorded, and with which sensors. Stored in the trace, for its ground truth."""

    seed: int = 7
    seconds: float = 90.0
    size: tuple[int, int] = (200, 320)  # (height, width), px
    fov: float = math.radians(75.0)  # rad, horizontal, before distortion
    rate: float = 10.0  # Hz
    mount: tuple[float, float, float] = (1.6, 0.0, 1.4)  # m from the rear axle on the ground
    pitch: float = math.radians(4.0)  # rad, down
    distortion: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0, 0.0)  # k1 k2 p1 p2 k3
    stereo: float = 0.0  # m from the front camera to a second one on its right; 0: none
    supersample: int = 2  # samples along each side of a pixel
    position_noise: float = 0.003  # m, deviation of the recorded positions
    angle_noise: float = math.radians(0.02)  # rad, deviation of the recorded attitude
    speed_noise: float = 0.02  # m/s
    yaw_rate_noise: float = 0.001  # rad/s
    traffic: int = 0  # other cars on the road: a quarter, at most three, lead; the rest come
    world_version: int = WORLD_VERSION
    street: Street | None = None  # a city street; None: a country road with villages

    def __post_init__(self) -> None:
        degrees = f"{math.degrees(self.fov):g} degrees"
        checks = {
            "seed": (self.seed >= 0, self.seed, "0 or more"),
            "seconds": (1.0 <= self.seconds <= 3600.0, self.seconds, "1 to 3600 s"),
            "size": (len(self.size) == 2 and min(self.size) >= 16, self.size, "16 px or more"),
            "fov": (0.1 <= self.fov <= math.radians(140.0), degrees, "6 to 140 degrees"),
            "rate": (0.5 <= self.rate <= 100.0, self.rate, "0.5 to 100 Hz"),
            "distortion": (len(self.distortion) == 5, self.distortion, "five numbers"),
            "stereo": (self.stereo >= 0, self.stereo, "0 (none) or a distance in m"),
            "supersample": (1 <= self.supersample <= 6, self.supersample, "1 to 6"),
            "position_noise": (self.position_noise >= 0, self.position_noise, "0 m or more"),
            "angle_noise": (self.angle_noise >= 0, self.angle_noise, "0 rad or more"),
            "speed_noise": (self.speed_noise >= 0, self.speed_noise, "0 m/s or more"),
            "yaw_rate_noise": (self.yaw_rate_noise >= 0, self.yaw_rate_noise, "0 rad/s or more"),
            "traffic": (
                0 <= self.traffic <= self.seconds / SHORTEST_INTERVAL,
                self.traffic,
                f"0 to one car in {SHORTEST_INTERVAL:g} s, here "
                f"{math.floor(self.seconds / SHORTEST_INTERVAL)}",
            ),
        }
        for name, (good, value, right) in checks.items():
            if not good:
                raise VistaError(f"{name} is {value}; it must be {right}")
        if self.street and not self.street.oncoming and self.traffic > MOST_LEADING:
            raise VistaError(
                f"traffic is {self.traffic}; it must be 0 to {MOST_LEADING} on a street of way "
                f"{self.street.way}, where all cars go ahead"
            )

    @property
    def cameras(self) -> dict[str, CameraCalibration]:
        """Calibrations by name: `front`, and `right` if there is a stereo camera."""
        lens = dataclasses.replace(
            Lens.from_fov(self.size, self.fov), distortion=tuple(self.distortion)
        )
        x, y, z = self.mount
        mounts = {"front": camera_mount(x, y, z, pitch=self.pitch)}
        if self.stereo:
            mounts["right"] = camera_mount(x, y - self.stereo, z, pitch=self.pitch)
        return {name: CameraCalibration(lens, mount) for name, mount in mounts.items()}

    @property
    def road_shape(self) -> RoadShape:
        """A road long enough for the fastest expert."""
        length = 100.0 * math.ceil(0.14 * self.seconds + 0.5)
        if self.street is None:
            return RoadShape(length=length)
        return RoadShape(
            length=length,
            lane_width=self.street.lane_width,
            min_radius=16.0,
            max_radius=500.0,
            straights=(30.0, 110.0),
            street=self.street,
        )

    def to_json(self) -> dict[str, Any]:
        values = dataclasses.asdict(self)
        if not self.traffic:  # a drive on an empty road is stored as it was before there was any
            del values["traffic"]
        if self.street is None:  # and one on a country road as before there were streets
            del values["street"]
        return values

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Recording:
        """Read what `to_json` wrote; unknown keys are ignored."""
        names = {f.name for f in dataclasses.fields(cls)}
        given: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in values.items() if k in names
        }
        if given.get("street") is not None:
            given["street"] = Street.from_json(given["street"])
        return cls(**given)


@dataclass(frozen=True, eq=False)
class Motion:
    """The expert's drive and its noisy record.

    Attributes:
        T_trace_scene: 4x4 pose of the proving ground's frame in the trace's world frame.
        traffic: the other cars, in the proving ground's frame.
        position, quaternion: (n, 3) and (n, 4) x y z w as recorded, trace's world frame.
    """

    drive: Trajectory
    traffic: tuple[TrafficCar, ...]
    t: Array
    T_trace_scene: Array
    position: Array
    quaternion: Array
    speed: Array
    yaw_rate: Array

    @classmethod
    def simulate(cls, recording: Recording, road: Road) -> Motion:
        """Drive, and add the recorder's noise: slow wobble and fast jitter in equal parts."""
        seconds = recording.seconds
        driven = drive(road, recording.seed, seconds, Vehicle())
        t = np.arange(math.floor(seconds * EGO_RATE + 1e-9) + 1) / EGO_RATE
        poses = driven.poses(t)
        rng = np.random.default_rng([recording.seed, 9])
        moved = recording.position_noise * _jitter(rng, len(t), 3)
        turned = Rotation.from_rotvec(recording.angle_noise * _jitter(rng, len(t), 3))
        noisy = poses[:, :3, :3] @ turned.as_matrix()
        raw_position = poses[:, :3, 3] + moved
        raw_quaternion = quaternion_from_matrix(noisy)
        position, quaternion = level_to_first_pose(raw_position, raw_quaternion)
        first = np.eye(4)
        first[:3, :3] = Rotation.from_quat(quaternion[0]).as_matrix()
        scene = np.eye(4)
        scene[:3, :3], scene[:3, 3] = noisy[0], raw_position[0]
        speed = driven.at("speed", t)
        yaw_rate = speed * driven.at("curvature", t)
        return cls(
            driven,
            simulate_traffic(recording.traffic, recording.seed, driven),
            t,
            first @ inverse(scene),
            position,
            quaternion,
            speed + recording.speed_noise * _jitter(rng, len(t), 1)[:, 0],
            yaw_rate + recording.yaw_rate_noise * _jitter(rng, len(t), 1)[:, 0],
        )


def frame_times(recording: Recording) -> Array:
    """Times (n,) s of the frames; the last one is not after the last ego row."""
    count = math.floor(recording.seconds * recording.rate + 1e-9) + 1
    return np.arange(count) / recording.rate


def build_scene(recording: Recording) -> Scene:
    """The world that is recorded, with its traffic. Raises MissingDependencyError."""
    road = Road(recording.seed, recording.road_shape)
    traffic = Motion.simulate(recording, road).traffic if recording.traffic else ()
    return Scene(recording.seed, recording.road_shape, traffic)


def record(
    destination: str | os.PathLike[str],
    recording: Recording | None = None,
    *,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
    scene: Scene | None = None,
) -> Path:
    """Drive through the proving ground and write the trace.

    Args:
        destination: folder to make.
        recording: what to record.
        overwrite: replace a trace that is there.
        progress: called with the number of frames done and of all frames.
        scene: what `build_scene` made of the same recording; it stays open. None: a new one.

    Raises:
        MissingDependencyError: PyBullet is not installed.
        VistaError: such a lens cannot be drawn.
        TraceError: the trace cannot be written.
    """
    recording = recording or Recording()
    import_pybullet()
    cameras = recording.cameras
    try:
        for camera in cameras.values():
            drawn_lens(camera.lens)
    except ValueError as error:
        raise VistaError(f"fov and distortion do not fit: {error}") from None
    writer = TraceWriter(
        destination,
        name=Path(destination).name,
        licence="MIT",
        source=f"vista_sim proving ground, seed {recording.seed}",
        vehicle=Vehicle(),
        overwrite=overwrite,
        extra={"proving_ground": recording.to_json()},
    )
    with writer, nullcontext(scene) if scene else build_scene(recording) as scene:
        motion = Motion.simulate(recording, scene.road)
        writer.write_ego(
            np.round(motion.t * 1e9).astype(np.int64),
            motion.position,
            motion.quaternion,
            motion.speed,
            motion.yaw_rate,
            steering_angle=motion.drive.at("tire_angle", motion.t) * Vehicle().steering_ratio,
            acceleration=motion.drive.at("acceleration", motion.t),
        )
        writer.write_road(*road_edges(motion))
        writer.write_labels(labels(motion, scene.weather.name))
        if motion.traffic:
            sizes = [scene.layout.car(car.model).size for car in motion.traffic]
            writer.write_tracks(
                **track_rows(motion.traffic, sizes, recording.seconds, motion.T_trace_scene)
            )
        videos = {name: writer.add_camera(name, c, recording.rate) for name, c in cameras.items()}
        times = frame_times(recording)
        poses = motion.drive.poses(times)
        for index, (t, pose) in enumerate(zip(times, poses, strict=True)):
            for name, camera in cameras.items():
                view = scene.render(
                    pose @ camera.T_vehicle_camera, camera.lens, recording.supersample, float(t)
                )
                videos[name].write(view.image, round(t * 1e9))
            if progress is not None:
                progress(index + 1, len(times))
    return Path(destination)


def road_edges(motion: Motion) -> tuple[Array, Array, Array]:
    """Arc length of the path and distances to the road's left and right edge, each second metre."""
    xy = motion.drive.xy
    steps = np.linalg.norm(np.diff(xy, axis=0), axis=1)
    s = np.concatenate([[0.0], np.cumsum(steps)])
    at = np.append(np.arange(0.0, s[-1], 2.0), s[-1])
    lateral = np.interp(at, s, motion.drive.lateral)
    half = motion.drive.road.half_width
    return at, half - lateral, half + lateral


def labels(motion: Motion, weather: str) -> list[Label]:
    """Weather of the whole drive, and its maneuvers: straight, left and right."""
    driven = motion.drive
    curvature = driven.road.curvature_at(driven.s)
    kind = np.where(np.abs(curvature) < 1 / 300, 0, np.sign(curvature)).astype(int)
    ends = np.append(np.flatnonzero(np.diff(kind)) + 1, len(kind) - 1)
    result = [Label(0.0, float(driven.t[-1]), "weather", weather)]
    start = 0
    for end in ends:
        if end > start:
            value = {0: "straight", 1: "left", -1: "right"}[int(kind[start])]
            t = driven.t
            result.append(Label(float(t[start]), float(t[end]), "maneuver", value))
        start = int(end)
    return result


def _jitter(rng: np.random.Generator, count: int, columns: int) -> Array:
    """Noise (count, columns) of unit deviation: half slow (about 0.5 s), half white."""
    white = rng.standard_normal((count, columns))
    sigma = 0.25 * EGO_RATE
    slow = gaussian_filter1d(rng.standard_normal((count, columns)), sigma, axis=0, mode="wrap")
    slow *= math.sqrt(2.0 * sigma * math.sqrt(math.pi))
    return np.asarray((white + slow) * math.sqrt(0.5))
