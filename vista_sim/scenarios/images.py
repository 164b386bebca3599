"""What a scenario makes of every image: fixed where `sensors.randomization` draws."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vista_sim.scenarios.settings import ImageSettings, SensorSettings
from vista_sim.sensors.randomization import GAMMA, Drawn, Randomization

#: CIE XYZ of linear RGB with the primaries of ITU-R BT.709 (D65), as IEC 61966-2-1 rounds it.
RGB_TO_XYZ = np.array(
    [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
)
NIGHT_BLUE = np.array([1.05, 0.97, 1.27])  # Thompson, Shirley and Ferwerda 2002, section 2
NIGHT_STOPS = 3.0  # that the light of a whole night is less


def night(image: NDArray[np.uint8], strength: float) -> NDArray[np.uint8]:
    """A day's image made to look as if taken at night.

    Thompson, Shirley and Ferwerda, "A Spatial Post-Processing Algorithm for Images of Night
    Scenes" (Journal of Graphics Tools 7, 2002): colours give way to the scotopic luminance
    V = Y (1.33 (1 + (Y + Z) / X) - 1.68), in bluish gray. Beside that, light falls by
    `NIGHT_STOPS`. Lamps and headlights are not added: it is a dark, colourless image, not a
    simulation of night driving.

    Args:
        image: uint8 (h, w, 3) RGB.
        strength: from 0, nothing, to 1: share of the scotopic image, and of the stops.
    """
    if strength == 0.0:
        return image
    import cv2

    values = np.arange(256) / 255.0
    linear = np.power(values, GAMMA).astype(np.float32)[image]
    xyz = cv2.transform(linear, RGB_TO_XYZ.astype(np.float32))
    X, Y, Z = xyz[..., 0], xyz[..., 1], xyz[..., 2]
    scotopic = Y * (1.33 * (1.0 + (Y + Z) / np.maximum(X, 1e-6)) - 1.68)
    # Gray of luminance Y has V about 2.2 Y, which the day's image, not the night's, is scaled to.
    gray = _scotopic_of_white()
    blue = (scotopic / gray)[..., None] * (NIGHT_BLUE / NIGHT_BLUE.mean()).astype(np.float32)
    mixed = (1.0 - strength) * linear + strength * blue
    mixed *= 2.0 ** (-NIGHT_STOPS * strength)
    coded = np.power(np.clip(mixed, 0.0, 1.0), 1 / GAMMA)
    return np.round(coded * 255.0).astype(np.uint8)


def _scotopic_of_white() -> float:
    X, Y, Z = (float(v) for v in RGB_TO_XYZ.sum(axis=1))
    return Y * (1.33 * (1.0 + (Y + Z) / X) - 1.68)


@dataclass(frozen=True)
class NightDrawn(Drawn):
    """As `Drawn`; the scene's light changes before lens and sensor do."""

    night: float = 0.0

    def apply(self, image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
        return super().apply(night(image, self.night), rng)


@dataclass(frozen=True)
class FixedChanges(Randomization):
    """What a scenario fixes, in the place of what is drawn for an episode."""

    drawn: Drawn = Drawn()  # noqa: RUF009  # frozen

    def draw(self, rng: np.random.Generator) -> Drawn:
        """The same for every camera and episode."""
        return self.drawn


def image_changes(image: ImageSettings, sensors: SensorSettings) -> FixedChanges | None:
    """What the cameras of a case are off by; None if by nothing."""
    light = 2.0**image.exposure
    drawn = NightDrawn(
        light=(light * 2.0**image.red, light, light * 2.0**image.blue),
        blur=image.blur,
        noise=image.noise,
        shift=(sensors.mount_x, sensors.mount_y, sensors.mount_z),
        turn=(sensors.mount_roll, sensors.mount_pitch, sensors.mount_yaw),
        night=image.night,
    )
    return None if drawn == NightDrawn() else FixedChanges(drawn=drawn)
