"""What a trace says about its car and its sensors: typed, checked, written as JSON.

Camera model: pinhole with Brown-Conrady distortion (k1, k2, p1, p2, k3; Brown 1966, in the
form of OpenCV's `projectPoints`), or fisheye (Kannala and Brandt 2006, k1..k4, in the form
of OpenCV's `fisheye`). The centre of the top left pixel is (0, 0).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vista_sim.errors import TraceError
from vista_sim.files import check_real, shown
from vista_sim.images import MAX_PIXELS, MAX_SIDE

MAX_FOCAL = 1e6  # px
MAX_COEFFICIENT = 1e6  # of the distortion
MAX_MOUNT = 100.0  # m from the rear axle
MAX_READOUT = 10.0  # s
#: Smallest and largest of each field of a vehicle.
_VEHICLE = {
    "length": (0.1, 100.0),
    "width": (0.1, 20.0),
    "height": (0.1, 20.0),
    "wheelbase": (0.05, 50.0),
    "rear_overhang": (0.0, 50.0),
    "steering_ratio": (0.1, 1000.0),
    "max_tire_angle": (1e-3, math.pi / 2),
    "max_tire_rate": (1e-3, 1e7),
    "max_acceleration": (1e-3, 1000.0),
    "max_deceleration": (1e-3, 1000.0),
}
DISTORTION_LENGTH = {"pinhole": 5, "fisheye": 4}
MAX_RAYLESS = 0.1  # share of pixels; calibrations of wide lenses often fail in the corners


@dataclass(frozen=True)
class Vehicle:
    """The recording car. What a recording does not say keeps its default and is in `assumed`."""

    length: float = 4.5  # m
    width: float = 1.8  # m
    height: float = 1.5  # m
    wheelbase: float = 2.7  # m
    rear_overhang: float = 0.9  # m, from the rear axle to the rear bumper
    steering_ratio: float = 15.0  # steering wheel angle per tire angle
    max_tire_angle: float = 0.6  # rad
    max_tire_rate: float = 0.6  # rad/s
    max_acceleration: float = 3.0  # m/s²
    max_deceleration: float = 8.0  # m/s²
    assumed: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, value in vehicle_values(self).items():
            _number(value, f"vehicle {name}", *_VEHICLE[name])

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Read the `vehicle` object of trace.json; fields it lacks are assumed."""
        names = [f.name for f in dataclasses.fields(cls) if f.name != "assumed"]
        given: dict[str, Any] = {}
        for name in names:
            if name in values:
                given[name] = _number(values[name], f"vehicle {name}", *_VEHICLE[name])
        assumed = {n for n in names if n not in given}
        assumed.update(n for n in _list(values.get("assumed"), "assumed") if n in names)
        return cls(**given, assumed=tuple(sorted(assumed)))

    def to_json(self) -> dict[str, Any]:
        return {**vehicle_values(self), "assumed": list(self.assumed)}


def vehicle_values(vehicle: Vehicle) -> dict[str, float]:
    """The physical fields of a vehicle by name."""
    values = dataclasses.asdict(vehicle)
    del values["assumed"]
    return values


@dataclass(frozen=True, eq=False)
class Lens:
    """Intrinsics of a camera at one image size.

    Args:
        model: "pinhole" or "fisheye".
        fx, fy, cx, cy: focal lengths and principal point, px.
        distortion: k1 k2 p1 p2 k3 (pinhole) or k1..k4 (fisheye).
        size: (height, width), px.
    """

    model: str
    fx: float
    fy: float
    cx: float
    cy: float
    size: tuple[int, int]
    distortion: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.model not in DISTORTION_LENGTH:
            raise TraceError(f"camera model is {shown(self.model)}; known are pinhole and fisheye")
        if not self.distortion:
            object.__setattr__(self, "distortion", (0.0,) * DISTORTION_LENGTH[self.model])
        if len(self.distortion) != DISTORTION_LENGTH[self.model]:
            raise TraceError(
                f"a {self.model} camera has {DISTORTION_LENGTH[self.model]} distortion "
                f"coefficients, not {len(self.distortion)}"
            )
        for name in ("cx", "cy"):
            _number(getattr(self, name), f"camera {name}", -MAX_FOCAL, MAX_FOCAL)
        for name in ("fx", "fy"):
            _number(getattr(self, name), f"camera focal length {name}", 1e-3, MAX_FOCAL)
        for value in self.distortion:
            _number(value, "distortion", -MAX_COEFFICIENT, MAX_COEFFICIENT)
        check_sides(self.size)

    @classmethod
    def from_fov(cls, size: tuple[int, int], fov: float) -> Self:
        """An undistorted, centred pinhole lens with a horizontal field of view (rad)."""
        if not 0 < fov < math.pi:
            raise ValueError(f"fov is {fov} rad; a pinhole camera has between 0 and pi")
        height, width = size
        focal = 0.5 * width / math.tan(0.5 * fov)
        return cls("pinhole", focal, focal, (width - 1) / 2, (height - 1) / 2, (height, width))

    @property
    def matrix(self) -> NDArray[np.float64]:
        """The 3x3 intrinsic matrix K."""
        return np.array([[self.fx, 0.0, self.cx], [0.0, self.fy, self.cy], [0.0, 0.0, 1.0]])

    @property
    def distorted(self) -> bool:
        """Whether projection differs from an ideal pinhole."""
        return self.model == "fisheye" or any(k != 0 for k in self.distortion)

    @property
    def fov(self) -> float:
        """Horizontal field of view between the outer edges of the middle row, rad."""
        edges = self.unproject(np.array([[-0.5, self.cy], [self.size[1] - 0.5, self.cy]]))
        left, right = np.arctan2(edges[:, 0], edges[:, 2])
        return float(right - left)

    def resized(self, size: tuple[int, int]) -> Lens:
        """The same lens for the image resized to (height, width): u becomes (u + 0.5) s - 0.5."""
        sy, sx = size[0] / self.size[0], size[1] / self.size[1]
        return dataclasses.replace(
            self,
            fx=self.fx * sx,
            fy=self.fy * sy,
            cx=(self.cx + 0.5) * sx - 0.5,
            cy=(self.cy + 0.5) * sy - 0.5,
            size=(int(size[0]), int(size[1])),
        )

    def project(self, points: ArrayLike) -> NDArray[np.float64]:
        """Pixels (..., 2) as (u, v) of points (..., 3) in the camera frame.

        Points behind a pinhole camera have no image: NaN.
        """
        x, y, z = np.moveaxis(np.asarray(points, dtype=np.float64), -1, 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            if self.model == "fisheye":
                r = np.hypot(x, y)
                theta = np.arctan2(r, z)
                t2 = theta * theta
                k1, k2, k3, k4 = self.distortion
                bent = theta * (1 + t2 * (k1 + t2 * (k2 + t2 * (k3 + t2 * k4))))
                scale = np.where(r > 1e-12, bent / r, 1.0 / z)
                xd, yd = x * scale, y * scale
            else:
                front = z > 0
                xn = np.where(front, x / z, np.nan)
                yn = np.where(front, y / z, np.nan)
                k1, k2, p1, p2, k3 = self.distortion
                r2 = xn * xn + yn * yn
                radial = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
                xd = xn * radial + 2 * p1 * xn * yn + p2 * (r2 + 2 * xn * xn)
                yd = yn * radial + p1 * (r2 + 2 * yn * yn) + 2 * p2 * xn * yn
        return np.stack([self.fx * xd + self.cx, self.fy * yd + self.cy], axis=-1)

    def unproject(self, pixels: ArrayLike) -> NDArray[np.float64]:
        """Viewing rays (..., 3) of pixels (..., 2): z = 1 for a pinhole, unit length for a fisheye.

        The inverse of `project`, by fixed-point iteration (pinhole) and Newton's
        method (fisheye).
        """
        pixels = np.asarray(pixels, dtype=np.float64)
        xd = (pixels[..., 0] - self.cx) / self.fx
        yd = (pixels[..., 1] - self.cy) / self.fy
        if self.model == "fisheye":
            bent = np.hypot(xd, yd)
            theta = bent.copy()
            k1, k2, k3, k4 = self.distortion
            for _ in range(12):
                t2 = theta * theta
                value = theta * (1 + t2 * (k1 + t2 * (k2 + t2 * (k3 + t2 * k4)))) - bent
                slope = 1 + t2 * (3 * k1 + t2 * (5 * k2 + t2 * (7 * k3 + t2 * 9 * k4)))
                theta = theta - value / slope
            scale = np.where(bent > 1e-12, np.sin(theta) / np.maximum(bent, 1e-12), 1.0)
            return np.stack([xd * scale, yd * scale, np.cos(theta)], axis=-1)
        k1, k2, p1, p2, k3 = self.distortion
        x, y = xd, yd
        if self.distorted:
            for _ in range(25):
                r2 = x * x + y * y
                radial = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
                dx = 2 * p1 * x * y + p2 * (r2 + 2 * x * x)
                dy = p1 * (r2 + 2 * y * y) + 2 * p2 * x * y
                x, y = (xd - dx) / radial, (yd - dy) / radial
        return np.stack([x, y, np.ones_like(x)], axis=-1)

    def rayless_share(self) -> float:
        """Share of the pixels that no ray is projected to: where distortion folds the image back.

        Coefficients are fitted in the middle of pictures; at their corners they may fold.
        """
        if not self.distorted:
            return 0.0
        v, u = np.meshgrid(*(np.linspace(0, n - 1, 24) for n in self.size), indexing="ij")
        pixels = np.stack([u, v], axis=-1)
        with np.errstate(all="ignore"):
            error = np.abs(self.project(self.unproject(pixels)) - pixels).max(axis=-1)
        return float(1.0 - (error < 0.5).mean())

    def rays(self) -> NDArray[np.float64]:
        """Viewing rays (height, width, 3) of every pixel, as `unproject` scales them."""
        v, u = np.mgrid[0 : self.size[0], 0 : self.size[1]]
        return self.unproject(np.stack([u, v], axis=-1))


@dataclass(frozen=True, eq=False)
class CameraCalibration:
    """One recorded camera: its lens, its mount, and what its time stamps mean."""

    lens: Lens
    T_vehicle_camera: NDArray[np.float64] = field(default_factory=lambda: np.eye(4))
    timestamp: str = "middle"  # moment of the exposure that t_ns is: start, middle or end
    readout: float = 0.0  # s, from the first to the last row (rolling shutter)
    mask: str | None = None  # PNG beside trace.json: non-zero where the own car hides the scene

    def __post_init__(self) -> None:
        object.__setattr__(
            self, "T_vehicle_camera", check_rigid(self.T_vehicle_camera, "T_vehicle_camera")
        )
        blind = self.lens.rayless_share()
        if blind > MAX_RAYLESS:
            raise TraceError(
                f"distortion {list(self.lens.distortion)} leaves {100 * blind:.0f} % of the pixels "
                "without a ray; is it of another lens, or in another unit?"
            )
        if self.timestamp not in ("start", "middle", "end"):
            raise TraceError(
                f"timestamp is {shown(self.timestamp)}; it must be start, middle or end"
            )
        _number(self.readout, "readout", 0.0, MAX_READOUT)
        if self.mask is not None and not isinstance(self.mask, str):
            raise TraceError(f"mask is {shown(self.mask)}; it must be the name of a PNG")

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Read one camera of trace.json. Raises TraceError naming the missing or wrong field."""
        for name in ("model", "K", "size", "T_vehicle_camera"):
            if name not in values:
                raise TraceError(f"calibration field {name!r} is missing")
        k = _array(values["K"], (3, 3), "K")
        size = _sides(values["size"])
        if k[0, 1] != 0 or k[1, 0] != 0 or tuple(k[2]) != (0, 0, 1):
            raise TraceError("K must be fx 0 cx, 0 fy cy, 0 0 1 (pixels without skew)")
        distortion = _list(values.get("distortion"), "distortion")
        lens = Lens(
            model=str(values["model"]),
            fx=float(k[0, 0]),
            fy=float(k[1, 1]),
            cx=float(k[0, 2]),
            cy=float(k[1, 2]),
            size=size,
            distortion=tuple(
                _number(d, "distortion", -MAX_COEFFICIENT, MAX_COEFFICIENT) for d in distortion
            ),
        )
        return cls(
            lens=lens,
            T_vehicle_camera=_array(values["T_vehicle_camera"], (4, 4), "T_vehicle_camera"),
            timestamp=str(values.get("timestamp", "middle")),
            readout=_number(values.get("readout", 0.0), "readout", 0.0, MAX_READOUT),
            mask=values.get("mask"),
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "type": "camera",
            "model": self.lens.model,
            "K": self.lens.matrix.tolist(),
            "distortion": list(self.lens.distortion),
            "size": list(self.lens.size),
            "T_vehicle_camera": self.T_vehicle_camera.tolist(),
            "timestamp": self.timestamp,
            "readout": self.readout,
            "mask": self.mask,
        }


@dataclass(frozen=True, eq=False)
class LidarCalibration:
    """One recorded lidar: its mount, and whether its points are already motion-compensated."""

    T_vehicle_lidar: NDArray[np.float64] = field(default_factory=lambda: np.eye(4))
    motion_compensated: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(
            self, "T_vehicle_lidar", check_rigid(self.T_vehicle_lidar, "T_vehicle_lidar")
        )

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        if "T_vehicle_lidar" not in values:
            raise TraceError("calibration field 'T_vehicle_lidar' is missing")
        mount = _array(values["T_vehicle_lidar"], (4, 4), "T_vehicle_lidar")
        compensated = values.get("motion_compensated", True)
        if not isinstance(compensated, bool):
            raise TraceError(
                f"motion_compensated is {shown(compensated)}; it must be true or false"
            )
        return cls(mount, compensated)

    def to_json(self) -> dict[str, Any]:
        return {
            "type": "lidar",
            "T_vehicle_lidar": self.T_vehicle_lidar.tolist(),
            "motion_compensated": self.motion_compensated,
        }


def check_sides(size: tuple[int, int], name: str = "camera size") -> None:
    """Raise TraceError unless a size (height, width) is one that a picture can have."""
    if not (min(size) >= 1 and max(size) <= MAX_SIDE and size[0] * size[1] <= MAX_PIXELS):
        raise TraceError(
            f"{name} is {shown(size)}; it must be (height, width) of 1 to {MAX_SIDE} pixels each"
        )


def _sides(value: Any) -> tuple[int, int]:
    height, width = _array(value, (2,), "size")
    if height != int(height) or width != int(width):
        raise TraceError(f"size is {shown(value)}; it must be whole numbers (height, width)")
    return int(height), int(width)


def _number(value: Any, name: str, low: float, high: float) -> float:
    if isinstance(value, np.number):
        value = value.item()
    return check_real(value, name, low, high, TraceError)


def _list(value: Any, name: str) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list | tuple):
        raise TraceError(f"{name} is {shown(value)}; it must be a list")
    return list(value)


def _array(value: Any, shape: tuple[int, ...], name: str) -> NDArray[np.float64]:
    try:
        array = np.array(value)
        if array.dtype.kind not in "iuf":  # text such as "1" would be taken for a number
            raise TypeError
        array = array.astype(np.float64)
    except (TypeError, ValueError, OverflowError):
        raise TraceError(f"{name} must be numbers of shape {shape}") from None
    if array.shape != shape:
        raise TraceError(f"{name} has shape {array.shape}; it must be {shape}")
    if not np.isfinite(array).all():
        raise TraceError(f"{name} has a value that is not finite")
    return array


def check_rigid(value: ArrayLike, name: str) -> NDArray[np.float64]:
    """A pose (4, 4), read only. Raises TraceError, naming it, unless it is a rigid transform."""
    pose = _array(value, (4, 4), name)
    rotation = pose[:3, :3]
    if np.abs(rotation).max() > 1.001:
        raise TraceError(f"{name} is not a rigid transform (rotation and translation)")
    orthonormal = np.abs(rotation @ rotation.T - np.eye(3)).max() < 1e-4
    if not orthonormal or np.linalg.det(rotation) < 0 or not np.allclose(pose[3], (0, 0, 0, 1)):
        raise TraceError(f"{name} is not a rigid transform (rotation and translation)")
    if np.abs(pose[:3, 3]).max() > MAX_MOUNT:
        raise TraceError(f"{name} is over {MAX_MOUNT:g} m from the rear axle; it must be in m")
    pose.setflags(write=False)
    return pose
