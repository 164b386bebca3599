"""What a city street looks like: asphalt to the kerbs, parking lanes, pavements, its paint."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vista_sim.proving_ground.road import Road
from vista_sim.proving_ground.street import KERB, STRIP_HALF_WIDTH, Side, sides_of
from vista_sim.proving_ground.surface import Surface, Texels, box_coverage, dashes, lookup
from vista_sim.proving_ground.textures import Image, blend, smoothstep

LINE_WIDTH = 0.11  # m
SEAM_WIDTH = 0.07  # m, of the bitumen in cracks that were sealed
KERB_HEIGHT, KERB_SLOPE = 0.10, 0.06  # m
STRIPE, ZEBRA_LENGTH = 0.5, 3.0  # m


class StreetSurface(Surface):
    """Colours of the ground of a city."""

    def __init__(self, seed: int, road: Road) -> None:
        super().__init__(seed, road, [])
        street = road.shape.street
        assert street is not None
        self._street = street
        self._sides = sides_of(street, seed)
        self.half_width = STRIP_HALF_WIDTH
        self._tracks = street.tracks
        rng = np.random.default_rng([seed, 15])
        tone = float(rng.uniform(0.24, 0.52))
        warm = float(rng.normal(0.015, 0.025))
        self._wear = [
            replace(w, tone=tone * float(rng.uniform(0.88, 1.12)), warm=warm) for w in self._wear
        ]
        self._seams = _draw_seams(rng, road)
        self._crossings = road.crossings
        self._arrows = [s - 9.0 for s in self._crossings if rng.random() < 0.6]

    def cross_section(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        w, half = self.half_width, self.road.half_width
        left, right = (side.kerb for side in self._sides)
        lateral = [w, w - 0.4, left + KERB_SLOPE, left, half - 0.05, 0.0]
        lateral += [0.05 - half, -right, -right - KERB_SLOPE, 0.4 - w, -w]
        h = KERB_HEIGHT
        return np.array(lateral), np.array([-0.16, h, h, 0, 0, 0, 0, 0, h, h, -0.16])

    def _paint_verge(self, ground: Image, asphalt: Image, at: Texels) -> tuple[Image, Image]:
        left, right = (self._paint_side(side, ground, asphalt, at) for side in self._sides)
        return np.where(at.lateral[..., None] > 0, left, right), np.zeros_like(at.lateral)

    def _paint_side(self, side: Side, ground: Image, asphalt: Image, at: Texels) -> Image:
        """Parking lane, kerb, pavement and what lies beyond, on one side."""
        reach = side.sign * at.lateral
        beyond = np.asarray(reach - side.kerb, np.float32)

        def past(value: Image) -> Image:
            return smoothstep(-0.5 * at.texel, 0.5 * at.texel, value)

        colour = asphalt
        if side.bay == "paved" and side.parked > 0:
            setts = lookup(self._paving, at.along, at.lateral, 0.0045, at.size) * side.bay_tone
            colour = blend(
                colour, np.asarray(setts, np.float32), past(reach - self.road.half_width)
            )
            row = box_coverage(reach - self.road.half_width - 0.08, 0.16, at.texel)
            colour = blend(colour, self._kerb(at), row)
        gutter = 1.0 - 0.22 * np.exp(-((np.minimum(beyond, 0.0) / 0.28) ** 2))
        colour = colour * np.asarray(gutter, np.float32)[..., None]
        face = 1.0 - 0.35 * (beyond < KERB_SLOPE)
        stone = self._kerb(at) * np.asarray(face, np.float32)[..., None]
        slabs = lookup(self._paving, at.lateral, at.along, 0.0094 * side.slab, at.size)
        dirt = np.asarray(1 + 0.06 * at.wide + 0.03 * at.spots, np.float32)[..., None]
        walk = np.asarray(slabs * dirt * side.tint, np.float32)
        walk = blend(stone, walk, smoothstep(KERB - 0.01, KERB + 0.01, beyond))
        colour = blend(np.asarray(colour, np.float32), walk, past(beyond))
        end = np.asarray(beyond - side.walk + 0.03 * at.spots, np.float32)
        return blend(colour, ground, smoothstep(0.0, 0.1, end))

    def _lines(self, at: Texels) -> Image:
        lines, half = self._street.lines, self.road.half_width
        paint = np.zeros_like(at.lateral)
        if lines in ("centre", "all") and self._street.way != "one-way":
            paint += box_coverage(at.lateral, LINE_WIDTH, at.texel) * dashes(at.along, at.step)
        if lines in ("edges", "all"):
            for side in self._sides:
                middle = side.sign * (half - 0.15)
                line = box_coverage(at.lateral - middle, LINE_WIDTH, at.texel)
                paint += line * (dashes(2 * at.along, 2 * at.step) if side.parked else 1.0)
        for s in self._crossings:
            if at.s[0] - ZEBRA_LENGTH < s < at.s[-1] + ZEBRA_LENGTH:
                along = box_coverage(at.along - s, ZEBRA_LENGTH, at.step)
                near = box_coverage(at.along - s, ZEBRA_LENGTH + 2.0, at.step)
                across = (at.lateral + half) % (2 * STRIPE) - STRIPE
                bars = box_coverage(across, STRIPE, at.texel) * (np.abs(at.lateral) < half - 0.2)
                paint = paint * (1 - near) + bars * along
        for s in self._arrows:
            if at.s[0] - 6.0 < s < at.s[-1] + 6.0:
                paint = np.maximum(paint, self._arrow(at, s))
        return np.asarray(np.clip(paint, 0.0, 1.0), np.float32)

    def _arrow(self, at: Texels, s: float) -> Image:
        """An arrow straight ahead, 4 m long, in the middle of the recorder's lane."""
        off = np.abs(at.lateral - self.road.lane)
        ahead = np.asarray(at.along - s, np.float32)
        shaft = box_coverage(off, 0.16, at.texel) * box_coverage(ahead - 1.3, 2.6, at.step)
        wide = np.where((ahead > 2.6) & (ahead < 4.0), 0.42 * (4.0 - ahead) / 1.4, 0.0)
        head = np.clip((wide - off) / at.texel + 0.5, 0.0, 1.0) * (wide > 0)
        return np.asarray(np.maximum(shaft, head), np.float32)

    def _paint_damage(
        self, value: Image, s: NDArray[np.float64], step: float, texel: float
    ) -> Image:
        value = super()._paint_damage(value, s, step, texel)
        ends = float(s[0]), float(s[-1])
        return self._paint_cracks(value, self._seams, SEAM_WIDTH, *ends, step, texel)


def _draw_seams(rng: np.random.Generator, road: Road) -> list[tuple[NDArray[np.float64], float]]:
    """Long sealed cracks along the street and short ones across (see `draw_cracks`)."""
    seams = []
    half = road.half_width
    density = float(rng.uniform(0.0, 1.0)) ** 1.5
    for _ in range(int(density * (road.end - road.start) / 5.0)):
        length = float(rng.uniform(3.0, 22.0))
        along = rng.random() < 0.6
        count = int(length / 0.3) if along else int(rng.uniform(4, 14))
        bend = np.cumsum(rng.normal(0, 0.16, count)) * 0.5 + rng.normal(0, 0.3, count)
        direction = (0.0 if along else math.pi / 2) + bend - bend.mean()
        start = rng.uniform(road.start, road.end), rng.uniform(-half, 0.9 * half)
        points = np.array(start) + 0.3 * np.cumsum(
            np.stack([np.cos(direction), np.sin(direction)], -1), axis=0
        )
        points = points[np.abs(points[:, 1]) < half]
        if len(points) > 3:
            seams.append((points, float(rng.uniform(0.3, 0.7))))
    return seams
