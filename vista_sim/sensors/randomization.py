"""Domain randomization: what differs from one camera, lens and mount to the next.

Drawn anew for every episode and camera: exposure, white balance, blur, strength of the noise,
and how the mount is off. Drawn for every image: the noise. All from the generator that is
given, so the same seed gives the same bytes. In the order in which it happens in a camera:
the mount is off (`Drawn.displacement`, before the view is made), then `Drawn.apply` blurs,
scales and adds noise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vista_sim.errors import WorldError
from vista_sim.transforms import Matrix, inverse, pose_from_euler

#: Exponent between stored values and light (ITU-R BT.709, annex: display gamma about 2.2):
#: twice the light is 2 ** (1 / 2.2) times the stored value.
GAMMA = 2.2
_LIMITS = {"exposure": 4.0, "white_balance": 1.0, "blur": 10.0, "noise": 64.0}
_JITTER_LIMITS = (1.0, 0.5)  # m, rad
_LEAST_BLUR = 0.15  # px; below, a Gaussian kernel is one pixel in 8 bit
_UNIT = 1024  # steps of the noise table that a standard deviation has
_TABLE = 1 << 18


@dataclass(frozen=True)
class Randomization:
    """How far things may be off. All are drawn uniformly; 0 is never off.

    Args:
        exposure: stops; light is scaled by 2 ** u, u in [-exposure, exposure].
        white_balance: light in red and in blue, each by itself, is scaled by
            (1 + white_balance) ** u, u in [-1, 1]; green stays.
        blur: px; standard deviation of a Gaussian in [0, blur].
        noise: levels of 255; standard deviation in [0, noise] of Gaussian noise that is
            independent from value to value and from image to image.
        mount_jitter: (m, rad); each coordinate of the mount in the vehicle frame, and each
            of roll, pitch and yaw about the vehicle's axes, is off by up to so much.

    Raises:
        WorldError: a value that is negative, too large or not finite.
    """

    exposure: float = 0.0
    white_balance: float = 0.0
    blur: float = 0.0
    noise: float = 0.0
    mount_jitter: tuple[float, float] = (0.0, 0.0)

    def __post_init__(self) -> None:
        for name, most in _LIMITS.items():
            _check(name, getattr(self, name), most)
        try:
            position, angle = self.mount_jitter
        except (TypeError, ValueError):
            raise WorldError(
                f"randomization mount_jitter is {self.mount_jitter!r}; it must be (m, rad)"
            ) from None
        _check("mount_jitter (m)", position, _JITTER_LIMITS[0])
        _check("mount_jitter (rad)", angle, _JITTER_LIMITS[1])

    def draw(self, rng: np.random.Generator) -> Drawn:
        """Draw one camera of an episode; always the same count of numbers."""
        u = rng.uniform(-1.0, 1.0, 11).tolist()
        light = 2.0 ** (self.exposure * u[0])
        red, blue = ((1.0 + self.white_balance) ** x for x in u[1:3])
        position, angle = self.mount_jitter
        return Drawn(
            light=(light * red, light, light * blue),
            blur=self.blur * abs(u[3]),
            noise=self.noise * abs(u[4]),
            shift=(position * u[5], position * u[6], position * u[7]),
            turn=(angle * u[8], angle * u[9], angle * u[10]),
        )


@dataclass(frozen=True)
class Drawn:
    """What `Randomization.draw` drew for one camera of one episode.

    Args:
        light: factors of the light in red, green and blue.
        blur: px. noise: levels of 255. Standard deviations.
        shift: of the mount in the vehicle frame, m.
        turn: roll, pitch and yaw of the mount about the vehicle's axes, rad.
    """

    light: tuple[float, float, float] = (1.0, 1.0, 1.0)
    blur: float = 0.0
    noise: float = 0.0
    shift: tuple[float, float, float] = (0.0, 0.0, 0.0)
    turn: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def apply(self, image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
        """What this camera makes of an image, uint8 (h, w, 3) RGB, which stays as it is.

        `rng` is drawn from if, and only if, there is noise.
        """
        import cv2

        if self.blur >= _LEAST_BLUR:
            reach = 2 * math.ceil(3 * self.blur) + 1
            image = cv2.GaussianBlur(image, (reach, reach), self.blur)
        if self._table is not None:
            image = cv2.LUT(image, self._table)
        if self.noise > 0:
            image = _add_noise(image, self.noise, rng)
        return image

    def displacement(self, T_vehicle_camera: ArrayLike) -> Matrix:
        """T (4, 4) of the vehicle frame, such that T @ T_vehicle_camera is the mount as it is.

        To be put between a car's pose, or `offset`, and the mount: `Camera.render(t, offset @ T)`.
        """
        mount = np.asarray(T_vehicle_camera, dtype=np.float64)
        return self.jitter(mount) @ inverse(mount)

    def jitter(self, T_vehicle_camera: ArrayLike) -> Matrix:
        """The mount as it is: shifted, and turned about the camera's centre."""
        mount = np.array(T_vehicle_camera, dtype=np.float64)
        roll, pitch, yaw = self.turn
        turn = pose_from_euler(roll=roll, pitch=pitch, yaw=yaw)
        mount[:3, :3] = turn[:3, :3] @ mount[:3, :3]
        mount[:3, 3] += self.shift
        return mount

    @cached_property
    def _table(self) -> NDArray[np.uint8] | None:
        """(1, 256, 3): what becomes of each value of each channel; None: nothing."""
        if self.light == (1.0, 1.0, 1.0):
            return None
        gains = np.power(np.array(self.light), 1 / GAMMA)
        values = np.round(np.arange(256)[:, None] * gains)
        return np.clip(values, 0, 255).astype(np.uint8)[None]


class RandomizedCamera:
    """What was drawn for a camera of a car, and how far that moves its views.

    displacement: see `Drawn.displacement`; None: the mount is as it should be.
    """

    def __init__(self, drawn: Drawn, T_vehicle_camera: ArrayLike) -> None:
        self.drawn = drawn
        off = any(drawn.shift) or any(drawn.turn)
        self.displacement = drawn.displacement(T_vehicle_camera) if off else None


def _check(name: str, value: Any, most: float) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not (number and 0 <= value <= most):
        raise WorldError(f"randomization {name} is {value!r}; it must be from 0 to {most:g}")


@lru_cache(maxsize=1)
def _noise_table() -> NDArray[np.int16]:
    """Standard normal numbers, in steps of 1 / _UNIT; the same in every process."""
    drawn = np.random.default_rng(0).standard_normal(_TABLE)
    return np.round(np.clip(drawn, -6.0, 6.0) * _UNIT).astype(np.int16)


def _add_noise(
    image: NDArray[np.uint8], deviation: float, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Add Gaussian noise: each row takes a random stretch of one table, which is fast."""
    from vista_sim.sensors.noise import add_rows

    table = _noise_table()
    rows = np.ascontiguousarray(image).reshape(len(image), -1)
    if rows.shape[1] >= _TABLE:
        raise ValueError(f"an image is {rows.shape[1]} values wide; noise reaches {_TABLE - 1}")
    starts = rng.integers(0, _TABLE - rows.shape[1], len(rows))
    result = np.empty_like(rows)
    add_rows(rows, table, starts, np.int32(round(deviation * 256)), result)
    return result.reshape(image.shape)
