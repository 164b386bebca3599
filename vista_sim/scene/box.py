"""What a body looks like to sensors: a box of one colour."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from vista_sim.traces.calibration import Vehicle

#: Of cars, one after the other.
PAINTS = (
    (176, 32, 28),
    (36, 84, 156),
    (208, 206, 198),
    (58, 62, 66),
    (204, 160, 44),
    (44, 118, 74),
)
GREY = (128, 128, 128)


@dataclass(frozen=True)
class Box:
    """A box that stands on the ground.

    Args:
        size: length, width and height, m.
        colour: RGB, 0 to 255, in full light.
        ahead: m from the body's origin to the middle of the box, along its x axis.
    """

    size: tuple[float, float, float]
    colour: tuple[int, int, int] = GREY
    ahead: float = 0.0

    @classmethod
    def of_vehicle(cls, vehicle: Vehicle, colour: tuple[int, int, int] = GREY) -> Self:
        """Of a car, whose origin is on the ground below the middle of its rear axle."""
        ahead = 0.5 * vehicle.length - vehicle.rear_overhang
        return cls((vehicle.length, vehicle.width, vehicle.height), colour, ahead)
