"""What a sensor is like: what a policy was made for, and a world gives it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vista_sim.errors import PolicyError, TraceError
from vista_sim.files import check_whole, one_line
from vista_sim.traces.calibration import Lens

MAX_SIDE = 8192  # px of a policy's camera


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
