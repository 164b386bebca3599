"""What the simulator knows of a policy: what it sees, and what it asks of the car."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from vista_sim.errors import PolicyError, PolicyNotFiniteError, TraceError
from vista_sim.files import check_whole, one_line, shown
from vista_sim.traces.calibration import Lens

if TYPE_CHECKING:
    from vista_sim.world import Car

#: Key of a trace's labels that are navigation commands, and of what a car observes of them.
COMMAND = "command"
MAX_SIDE = 8192  # px of a policy's camera


@dataclass(frozen=True)
class Action:
    """What a policy asks of the car, in physical units.

    Args:
        curvature: of the path to drive, 1/m, positive to the left.
        acceleration: m/s²; None: the speed of the recording.

    Both are kept as Python's floats; NumPy's numbers may be given, arrays and tensors may not.

    Raises:
        PolicyNotFiniteError: one of them is NaN, infinite or no number.
    """

    curvature: float
    acceleration: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "curvature", _number("curvature", self.curvature))
        if self.acceleration is not None:
            object.__setattr__(self, "acceleration", _number("acceleration", self.acceleration))


def _number(name: str, value: Any) -> float:
    """A finite number. Raises PolicyNotFiniteError: whatever else a car would do is a guess."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise PolicyNotFiniteError(f"{name} is {shown(value)}; it must be a number: float(x)")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise PolicyNotFiniteError(f"{name} is {shown(value)}; it must be finite")
    return number


@dataclass(frozen=True, eq=False)
class CameraSpec:
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

    size: tuple[int, int] = (66, 200)
    fov: float | None = None
    mount: NDArray[np.float64] | None = None
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

    def share_seen(self, valid: NDArray[np.bool_]) -> float:
        """Share of the pixels that the policy gets which a recorded frame saw.

        Args:
            valid: bool (height, width), which pixels one saw.
        """
        if self.used is not None:
            top, bottom, left, right = self.used
            valid = valid[top:bottom, left:right]
        return float(np.count_nonzero(valid) / valid.size)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> CameraSpec:
        try:
            height, width = (check_whole(v, "size", 1, MAX_SIDE) for v in values["size"])
            fov = None if values.get("fov") is None else float(values["fov"])
            mount = values.get("mount")
            mount = None if mount is None else np.array(mount, dtype=np.float64).reshape(4, 4)
            if mount is not None and not np.isfinite(mount).all():
                raise ValueError("mount is not finite")
            lens = values.get("lens")
            if lens is not None:
                sides, bends = tuple(lens["size"]), tuple(lens["distortion"])
                lens = Lens(**{**lens, "size": sides, "distortion": bends})
            used = values.get("used")
            if used is not None:
                top, bottom, left, right = (int(v) for v in used)
                used = top, bottom, left, right
            return cls((height, width), fov, mount, lens, used)
        except (KeyError, TypeError, ValueError, OverflowError, TraceError) as error:
            raise PolicyError(
                f"policy.json: field 'camera' is not usable ({one_line(error)})"
            ) from None

    def to_json(self) -> dict[str, Any]:
        values: dict[str, Any] = {"size": list(self.size), "fov": self.fov}
        values["mount"] = None if self.mount is None else self.mount.tolist()
        if self.lens is not None:
            values["lens"] = dataclasses.asdict(self.lens)
        if self.used is not None:
            values["used"] = list(self.used)
        return values


@runtime_checkable
class Policy(Protocol):
    """Anything that can drive. `camera` is None for a privileged expert that needs no image."""

    camera: CameraSpec | None

    def reset(self) -> None:
        """Forget everything: a new episode begins."""

    def act(self, observation: Mapping[str, Any], car: Car | None = None) -> Action:
        """Choose an action.

        Args:
            observation: "camera": uint8 (height, width, 3); "speed": float32 (1,), m/s;
                "command": a navigation command, where the trace has labels with that key.
            car: for privileged experts alone.
        """


@runtime_checkable
class SalientPolicy(Policy, Protocol):
    """A policy that can say what it looked at."""

    def saliency(self) -> NDArray[np.float32] | None:
        """Where the answer of the last `act` came from; it changes none of those that follow.

        Returns:
            (height, width) of its camera, from 0 to 1; None where there is nothing to say.
        """


def check_policy(policy: Any, what: str) -> None:
    """Refuse what is no policy, in words that begin with `what`. Raises PolicyError."""
    if isinstance(policy, type) or not isinstance(policy, Policy):
        raise PolicyError(
            f"{what} {shown(policy)}, which is no policy: it needs reset(), act(observation, "
            "car) and camera"
        )
    if not (policy.camera is None or isinstance(policy.camera, CameraSpec)):
        raise PolicyError(
            f"{what} a policy whose camera is {shown(policy.camera)}; it must be a "
            "vista_sim.CameraSpec or None"
        )


def place_of_command(command: Any, known: Sequence[str], default: str) -> int:
    """Place of a navigation command among those that a policy knows.

    Args:
        command: its name or number, as observed; None: `default`.
        known: their names.

    Raises:
        PolicyError: there is no such command.
    """
    if command is None:
        command = default
    if isinstance(command, np.ndarray) and command.size == 1:
        command = command.item()
    if isinstance(command, str) and command in known:
        return known.index(command)
    if isinstance(command, int | np.integer) and 0 <= command < len(known):
        return int(command)
    raise PolicyError(f"command {command!r} is unknown; known: {', '.join(known)}")
