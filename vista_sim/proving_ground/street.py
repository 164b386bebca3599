"""What a city street looks like across: ways, lines, parked cars, kerbs and pavements."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from vista_sim.errors import VistaError

WAYS = ("two-way", "one-way", "right-lane", "left-lane")
LINES = ("none", "centre", "edges", "all")
PARKING = 2.3  # m from the driven surface to the kerb where cars may park
KERB = 0.15  # m, width of the kerb's stone
STRIP_HALF_WIDTH = 10.0  # m from the middle up to which the street's ground is drawn as one


@dataclass(frozen=True)
class Street:
    """A city street, in place of the proving ground's country road.

    The driven surface is two lanes wide, whatever the way. On each side follow a parking lane
    (if cars park there), a kerb and a pavement.

    Attributes:
        way: "two-way" (driven in its right lane), "one-way" (driven in its middle), or
            "right-lane" and "left-lane" of a street whose two lanes go the same way.
        lines: "none", "centre", "edges" or "all": the white lines there are.
        lane_width: m, half of the driven surface.
        parked: shares of the left and the right kerb at which cars are parked, 0 to 1.

    Raises:
        VistaError: a value is none of these.
    """

    way: str = "two-way"
    lines: str = "none"
    lane_width: float = 3.0
    parked: tuple[float, float] = (0.7, 0.7)

    def __post_init__(self) -> None:
        shares = isinstance(self.parked, tuple) and len(self.parked) == 2
        checks = {
            "way": (self.way in WAYS, self.way, "one of " + ", ".join(WAYS)),
            "lines": (self.lines in LINES, self.lines, "one of " + ", ".join(LINES)),
            "lane_width": (2.4 <= self.lane_width <= 3.75, self.lane_width, "2.4 to 3.75 m"),
            "parked": (
                shares and all(0.0 <= share <= 1.0 for share in self.parked),
                self.parked,
                "two shares of 0 to 1, left and right",
            ),
        }
        for name, (good, value, right) in checks.items():
            if not good:
                raise VistaError(f"street: {name} is {value}; it must be {right}")

    @property
    def lane(self) -> float:
        """Where the recorder drives, m to the left of the street's middle."""
        half = self.lane_width / 2
        return {"two-way": -half, "right-lane": -half, "one-way": 0.0, "left-lane": half}[self.way]

    @property
    def oncoming(self) -> bool:
        """Whether others come the other way."""
        return self.way == "two-way"

    @property
    def tracks(self) -> tuple[float, ...]:
        """Where wheels have run, m to the left of the middle."""
        middles = (0.0,) if self.way == "one-way" else (-self.lane_width / 2, self.lane_width / 2)
        return tuple(middle + side * 0.76 for middle in middles for side in (-1.0, 1.0))

    @property
    def kerbs(self) -> tuple[float, float]:
        """Distances (m) from the middle to the left and the right kerb."""
        left, right = (self.lane_width + PARKING * (share > 0) for share in self.parked)
        return left, right

    @classmethod
    def draw(cls, seed: int, way: str = "any", lines: str = "any") -> Street:
        """A street of a seed; "any" leaves a value to the seed too. Raises VistaError."""
        rng = np.random.default_rng([seed, 13])
        drawn_way = str(rng.choice(WAYS))
        drawn_lines = str(rng.choice(LINES, p=[0.4, 0.25, 0.1, 0.25]))
        width = float(rng.uniform(2.6, 3.6))
        shares = np.where(rng.random(2) < 0.25, 0.0, rng.uniform(0.35, 0.95, 2))
        return cls(
            drawn_way if way == "any" else way,
            drawn_lines if lines == "any" else lines,
            round(width, 2),
            (round(float(shares[0]), 2), round(float(shares[1]), 2)),
        )

    @classmethod
    def from_json(cls, values: Any) -> Street:
        """Read what `dataclasses.asdict` gave. Raises VistaError."""
        if not isinstance(values, Mapping):
            raise VistaError("street: must be an object of way, lines, lane_width and parked")
        given: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v
            for k, v in values.items()
            if k in cls.__dataclass_fields__
        }
        numbers = [given.get("lane_width", 3.0), *given.get("parked", ())]
        if not all(isinstance(v, int | float) and math.isfinite(v) for v in numbers):
            raise VistaError("street: lane_width and parked must be numbers")
        return cls(**given)


@dataclass(frozen=True)
class Side:
    """What follows beside the driven surface, on one side.

    sign: 1 left, -1 right; parked: share of the kerb; kerb: m from the middle; walk: m, width
    of the pavement; slab: size of its slabs beside common ones; tint: colour (3,) of them;
    bay: what parked cars stand on, "asphalt" or "paved"; bay_tone: of the paved ones.
    """

    sign: float
    parked: float
    kerb: float
    walk: float
    slab: float
    tint: tuple[float, float, float]
    bay: str
    bay_tone: float


def sides_of(street: Street, seed: int) -> tuple[Side, Side]:
    """The left and the right side of a seed's street."""
    rng = np.random.default_rng([seed, 14])
    slab = float(rng.uniform(0.5, 1.2))
    red = float(rng.uniform(-0.05, 0.22)) if rng.random() < 0.5 else 0.0
    tone = float(rng.uniform(0.7, 1.1))
    tint = (tone * (1 + red), tone, tone * (1 - 0.6 * red))
    bay = "paved" if rng.random() < 0.35 else "asphalt"
    bay_tone = float(rng.uniform(0.5, 0.85))
    left, right = (
        Side(sign, share, kerb, float(rng.uniform(1.8, 3.4)), slab, tint, bay, bay_tone)
        for sign, share, kerb in zip((1.0, -1.0), street.parked, street.kerbs, strict=True)
    )
    return left, right


def draw_crossings(seed: int, start: float, end: float) -> tuple[float, ...]:
    """Places (m along the street) of zebra crossings between two ends."""
    rng = np.random.default_rng([seed, 16])
    places = start + np.cumsum(rng.uniform(45.0, 190.0, math.ceil((end - start) / 45.0)))
    return tuple(float(s) for s in places if s < end)
