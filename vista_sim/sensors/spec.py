"""What sensors are like: what a policy was made for, and a world gives it.

A spec is data alone; the sensor that reads for it is found by its class (`sensors.registry`).
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping
from dataclasses import astuple, dataclass, field
from typing import Any, ClassVar, Self, get_type_hints

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from vista_sim.errors import WorldError
from vista_sim.files import check_whole, shown
from vista_sim.sensors.state_vector import STATE_LIMITS
from vista_sim.traces.calibration import Lens
from vista_sim.traces.sections import COMMAND
from vista_sim.transforms import camera_mount

MAX_SIDE = 8192  # px of a policy's camera
SENSOR_NAME = re.compile(r"[A-Za-z0-9_-]{1,40}")  # it is part of files' names
TAKEN = ("speed", COMMAND)  # observations that are no sensors
#: Metadata of a spec's field that is a number, or a table of numbers: what files give it in.
UNIT = "unit"
MOUNT = {"x": "m", "y": "m", "z": "m", "roll": "rad", "pitch": "rad", "yaw": "rad"}
_PLAIN = {bool: bool, int: int, float: int | float, str: str}


class SensorSpec:
    """What a sensor is like: a frozen dataclass, told apart by its `kind`.

    A field with the metadata {"unit": "rad"} may be given in other units of its kind, as
    `vista_sim.units` lists them, where scenario files give it.

    Attributes:
        kind: names its class in files.
        privileged: whether it tells what no sensor of a car would; then it is never faulty.
    """

    kind: ClassVar[str]
    privileged: ClassVar[bool] = False

    def space(self) -> spaces.Space[Any]:
        """Of one reading."""
        raise NotImplementedError(f"{type(self).__name__} has no space()")

    @property
    def cameras(self) -> tuple[CameraSpec, ...]:
        """Whose views it is made from; its mount is that of the first."""
        return ()

    def to_json(self) -> dict[str, Any]:
        """Its fields, without the kind."""
        return dataclasses.asdict(self)  # type: ignore[call-overload]

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Of what `to_json` gave; raises whatever a wrong value leads to."""
        try:
            hints = get_type_hints(cls)
        except NameError:  # of a class that is no module's
            hints = {}
        for name, value in values.items():
            hint = hints.get(name)
            if hint in _PLAIN:
                _check_plain(name, value, hint)
        return cls(**{name: _frozen(value) for name, value in values.items()})


@dataclass(frozen=True, eq=False)
class CameraSpec(SensorSpec):
    """The camera a policy was made for; resolved to a recorded camera trace by trace.

    Args:
        size: (height, width), px.
        fov: horizontal, rad; None: that of the recorded camera, or of `lens`.
        mount: T_vehicle_camera; None: that of the recorded camera.
        lens: in place of `fov`, of a camera with distortion; resized to `size`.
        used: (top, bottom, left, right), px: rows from top and columns from left on, up to bottom
            and right, are what the policy gets of the image; None: all of it. Only these count
            where it is told how much of a view was really recorded.
    """

    kind: ClassVar[str] = "camera"

    size: tuple[int, int] = (66, 200)
    fov: float | None = field(default=None, metadata={UNIT: "rad"})
    mount: NDArray[np.float64] | None = field(default=None, metadata={UNIT: MOUNT})
    lens: Lens | None = None
    used: tuple[int, int, int, int] | None = None

    def __post_init__(self) -> None:
        if self.mount is not None:  # of its own: the caller may go on to write into the array
            mount = np.array(self.mount, dtype=np.float64)
            mount.setflags(write=False)
            object.__setattr__(self, "mount", mount)
        if self.fov is not None and not 0 < self.fov < math.pi:
            raise ValueError(f"fov is {self.fov} rad; it must be between 0 and pi")
        if self.lens is not None and self.fov is not None:
            raise ValueError("fov and lens are both given; a lens has its own field of view")
        if self.used is not None:
            (top, bottom, left, right), (height, width) = self.used, self.size
            if not (0 <= top < bottom <= height and 0 <= left < right <= width):
                raise ValueError(
                    f"used is {self.used}; it must be rows and columns of {height} x {width} pixels"
                )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CameraSpec) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple[object, ...]:
        """All of it, of values that can be compared: arrays cannot."""
        mount = None if self.mount is None else self.mount.tobytes()
        lens = None if self.lens is None else astuple(self.lens)
        return tuple(self.size), self.fov, mount, lens, self.used

    def space(self) -> spaces.Space[Any]:
        """uint8 (height, width, 3), RGB."""
        return spaces.Box(0, 255, (*self.size, 3), np.uint8)

    @property
    def cameras(self) -> tuple[CameraSpec, ...]:
        """Itself."""
        return (self,)

    def share_seen(self, valid: NDArray[np.bool_]) -> float:
        """Share of the pixels that the policy gets which a recorded frame saw.

        Args:
            valid: bool (height, width), which pixels one saw.
        """
        used = valid[self._kept]
        return float(np.count_nonzero(used) / used.size)

    def shares_seen(self, valids: Any, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """`share_seen` of some rows, (n,).

        Args:
            valids: bool (m, height, width), an array, or a tensor on any device.
            rows: (n,) which of them.
        """
        if isinstance(valids, np.ndarray):
            return np.array([self.share_seen(valids[i]) for i in rows.tolist()])
        used = valids[rows.tolist()][:, *self._kept]
        seen: NDArray[np.int64] = used.sum((1, 2)).cpu().numpy()
        return seen / (used.shape[1] * used.shape[2])

    @property
    def _kept(self) -> tuple[slice, slice]:
        """Rows and columns of the image that the policy gets."""
        if self.used is None:
            return slice(None), slice(None)
        top, bottom, left, right = self.used
        return slice(top, bottom), slice(left, right)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Of what `to_json` gave; raises whatever a wrong value leads to.

        A mount may also be said by x, y, z, roll, pitch and yaw, see `transforms.camera_mount`.
        """
        known = [member.name for member in dataclasses.fields(cls)]
        for name in values:
            if name not in known:
                raise ValueError(f"there is no {shown(name)}; known are {', '.join(known)}")
        if "size" not in values:
            raise ValueError("size is missing; give [height, width] in pixels")
        height, width = (check_whole(v, "size", 1, MAX_SIDE) for v in values["size"])
        fov = None if values.get("fov") is None else float(values["fov"])
        mount = None if values.get("mount") is None else _mount(values["mount"])
        lens = values.get("lens")
        if lens is not None:
            sides, bends = tuple(lens["size"]), tuple(lens["distortion"])
            lens = Lens(**{**lens, "size": sides, "distortion": bends})
        used = values.get("used")
        if used is not None:
            top, bottom, left, right = (int(v) for v in used)
            used = top, bottom, left, right
        return cls((height, width), fov, mount, lens, used)

    def to_json(self) -> dict[str, Any]:
        values: dict[str, Any] = {"size": list(self.size), "fov": self.fov}
        values["mount"] = None if self.mount is None else self.mount.tolist()
        if self.lens is not None:
            values["lens"] = dataclasses.asdict(self.lens)
        if self.used is not None:
            values["used"] = list(self.used)
        return values


def _mount(values: Any) -> NDArray[np.float64]:
    """T_vehicle_camera of its 16 numbers, or of where it is and how it is turned."""
    if isinstance(values, Mapping):
        wrong = [name for name in values if name not in MOUNT]
        missing = [name for name in ("x", "y", "z") if name not in values]
        if wrong or missing:
            said = f"has no {missing[0]}" if missing else f"has {shown(wrong[0])}"
            raise ValueError(f"mount {said}; give x, y and z in m, and roll, pitch and yaw in rad")
        mount = camera_mount(**{name: float(value) for name, value in values.items()})
    else:
        mount = np.array(values, dtype=np.float64).reshape(4, 4)
    if not np.isfinite(mount).all():
        raise ValueError("mount is not finite")
    return mount


def _frozen(value: Any) -> Any:
    """A value with its lists as tuples, which JSON does not know."""
    return tuple(_frozen(one) for one in value) if isinstance(value, list) else value


def _check_plain(name: str, value: Any, kind: type) -> None:
    """Raise TypeError unless a value is of the plain type that a field is of."""
    right = isinstance(value, _PLAIN[kind]) and (kind is bool or not isinstance(value, bool))
    if not right or value != value:
        raise TypeError(f"{name} is {shown(value)}; it must be of type {kind.__name__}")


@dataclass(frozen=True)
class StateSpec(SensorSpec):
    """The privileged state vector, float32 (K,); see `sensors.state_vector`."""

    kind: ClassVar[str] = "state"
    privileged: ClassVar[bool] = True

    def space(self) -> spaces.Space[Any]:
        """float32 (K,), within `STATE_LIMITS`."""
        return spaces.Box(*STATE_LIMITS, dtype=np.float32)


def check_sensor(name: Any, spec: Any) -> None:
    """Refuse a name, or a spec under it, that cannot be. Raises WorldError."""
    if not isinstance(name, str) or not SENSOR_NAME.fullmatch(name):
        raise WorldError(
            f"sensor name is {shown(name)}; it must be 1 to 40 letters, digits, _ or -"
        )
    if name in TAKEN:
        raise WorldError(f"there is an observation {name!r} already; choose another name")
    if not isinstance(spec, SensorSpec):
        raise WorldError(f"sensor {name!r} is {shown(spec)}; give a spec such as CameraSpec")
    for kind in (CameraSpec, StateSpec):
        if name == kind.kind and not isinstance(spec, kind):
            raise WorldError(
                f"sensor {name!r} is {type(spec).__name__}; under this name it is "
                f"{kind.__name__}; choose another name"
            )


def cameras_of(sensors: Mapping[str, SensorSpec]) -> dict[str, CameraSpec]:
    """The cameras among some sensors, by name."""
    return {name: spec for name, spec in sensors.items() if isinstance(spec, CameraSpec)}


def first_camera(sensors: Mapping[str, SensorSpec]) -> CameraSpec | None:
    """The one that is called "camera"; None: there is none."""
    camera = sensors.get(CameraSpec.kind)
    return camera if isinstance(camera, CameraSpec) else None


def check_sensors(sensors: Any) -> dict[str, SensorSpec]:
    """What a policy or an environment asks for, by name, the camera first.

    The first camera is "camera", so that a policy finds it whatever the others are called, and
    the state vector "state"; speed and command are observed beside the sensors.

    Raises:
        WorldError: a name or a spec that cannot be.
    """
    if not isinstance(sensors, Mapping):
        raise WorldError(
            f"sensors is {shown(sensors)}; give specs by name, such as "
            "{'camera': vista_sim.CameraSpec((66, 200))}"
        )
    for name, spec in sensors.items():
        check_sensor(name, spec)
        if isinstance(spec, CameraSpec) and CameraSpec.kind not in sensors:
            raise WorldError(f"the first camera is observed as 'camera', not as {name!r}")
    first = [name for name in sensors if name == CameraSpec.kind]
    return {name: sensors[name] for name in [*first, *(n for n in sensors if n not in first)]}
