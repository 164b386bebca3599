"""What the ground looks like: meadow, earth, the road with its markings, wear and shadows.

Everything is a function of place, so neighbouring textures meet without a seam. Texel
arrays have rows along increasing y (or s) and columns along increasing x (or lateral).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vista_sim.proving_ground import textures
from vista_sim.proving_ground.road import Road
from vista_sim.proving_ground.textures import Image, blend, smoothstep, tinted
from vista_sim.proving_ground.wear import Wear, draw_cracks, draw_patches, draw_wear

STRIP_HALF_WIDTH = 7.0  # m of a country road and its verge
MARKING_WIDTH = 0.13  # m
DASH, GAP = 3.0, 5.0  # m, centre line


@dataclass(frozen=True, eq=False)
class Decal:
    """Something painted on the ground: a polygon (n, 2) in the world's xy plane.

    kind: "shadow" (darkens by `strength`) or "dapple" (the same, with light flecks);
    "gravel", "paving" or "dirt" (replaces the ground).
    """

    kind: str
    polygon: NDArray[np.float64]
    strength: float = 1.0
    soft: float = 0.05  # m, blur of the edge


@dataclass(frozen=True, eq=False)
class Texels:
    """A strip's texels: rows along s, columns to the right.

    s: (h,) m; along, lateral: (h, w) m; spots, wide: (h, w) noise, fine and coarse; texel,
    step: m, their size across and along; size: m, for `lookup`; wear: (h,) of the rows.
    """

    s: NDArray[np.float64]
    along: Image
    lateral: Image
    spots: Image
    wide: Image
    texel: float
    step: float
    size: float
    wear: list[Wear]


class Surface:
    """Colours of the ground at any place and resolution.

    Attributes:
        half_width: m of the road and its verge that are drawn as one strip.
    """

    def __init__(self, seed: int, road: Road, urban: list[tuple[float, float]]) -> None:
        rng = np.random.default_rng([seed, 2])
        self.road = road
        self.decals: list[Decal] = []
        self._boxes = np.zeros((0, 4))
        self._grass = _levels(textures.grass(rng))
        self._dirt = _levels(textures.dirt(rng))
        self._gravel = _levels(textures.gravel(rng))
        self._paving = _levels(textures.paving(rng))
        self._asphalt = _levels(textures.asphalt(rng))
        self._spots = _levels(textures.noise(rng, 512, 1.0, 4, 120))
        self._wide = [_levels(textures.noise(rng, 512, 1.3, 2, 100)) for _ in range(3)]
        self.half_width = STRIP_HALF_WIDTH
        self._tracks: tuple[float, ...] = (-2.5, -1.0, 1.0, 2.5)
        self._tint = 1 + 0.06 * rng.standard_normal(3).astype(np.float32)
        self._urban = urban  # stretches of s with kerb and pavement instead of a shoulder
        self._wear = draw_wear(rng, road)
        self._cracks = draw_cracks(rng, road)
        self._patches = draw_patches(rng, road)

    def add_decals(self, decals: list[Decal]) -> None:
        self.decals += decals
        boxes = [
            (*(d.polygon.min(0) - 3 * d.soft), *(d.polygon.max(0) + 3 * d.soft))
            for d in self.decals
        ]
        self._boxes = np.array(boxes).reshape(-1, 4)

    def cross_section(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Lateral positions (n,) of the strip's mesh, from its left, and how high they are, m."""
        w, half = self.half_width, self.road.half_width
        lateral = np.array([w, w - 0.4, half, 0.0, -half, 0.4 - w, -w])
        rise = np.array([-0.16, 0.0, 0.0, 0.0, 0.0, 0.0, -0.16])  # the edges dive under the tiles
        return lateral, rise

    def tile(self, x0: float, y0: float, size: float, count: int) -> Image:
        """A square of ground, (count, count, 3), with its lower left corner at (x0, y0)."""
        texel = size / count
        x = x0 + texel * (np.arange(count, dtype=np.float32) + 0.5)
        y = y0 + texel * (np.arange(count, dtype=np.float32) + 0.5)
        xg, yg = np.meshgrid(x, y)
        colour = self._ground(xg, yg, texel)

        def to_pixels(polygon: NDArray[np.float64]) -> NDArray[np.float64]:
            return np.asarray((polygon - (x0, y0)) / texel - 0.5)

        box = (x0, y0, x0 + size, y0 + size)
        flecks = self._flecks(xg, yg, texel)
        return self._paint_decals(colour, box, to_pixels, (texel, texel), flecks)

    def strip(self, s0: float, s1: float, count: int, width: int) -> Image:
        """The road from s0 to s1, (count, width, 3), columns from left to right of the road."""
        road, half_width = self.road, self.half_width
        step, texel = (s1 - s0) / count, 2 * half_width / width
        s = s0 + step * (np.arange(count, dtype=np.float64) + 0.5)
        lateral = half_width - texel * (np.arange(width, dtype=np.float64) + 0.5)
        xy = road.point(s[:, None], lateral[None])
        xg, yg = xy[..., 0].astype(np.float32), xy[..., 1].astype(np.float32)
        colour = self._ground(xg, yg, max(step, texel))
        flecks = self._flecks(xg, yg, max(step, texel))
        corners = road.point([s0, s0, s1, s1], np.array([1, -1, 1, -1]) * half_width)
        box = (*corners.min(0) - 0.5, *corners.max(0) + 0.5)

        def to_pixels(polygon: NDArray[np.float64]) -> NDArray[np.float64]:
            along, side = road.project(polygon)
            return np.stack([(half_width - side) / texel - 0.5, (along - s0) / step - 0.5], axis=-1)

        colour = self._paint_decals(colour, box, to_pixels, (texel, step), flecks, shadows=False)
        colour = self._paint_road(colour, s, lateral, step, texel)
        return self._paint_decals(colour, box, to_pixels, (texel, step), flecks, shadows=True)

    def _flecks(self, x: Image, y: Image, texel: float) -> Image:
        """How much of the shade below a tree is shade at x, y (h, w), 0 to 1."""
        spot = lookup(self._spots, x, y, 0.05, texel) + 0.5 * lookup(
            self._spots, 0.8 * y, 0.8 * x, 0.11, texel
        )
        return np.asarray(1.0 - 0.75 * smoothstep(0.5, 1.1, np.asarray(spot)), np.float32)

    def _ground(self, x: Image, y: Image, texel: float) -> Image:
        """Meadow and earth at x, y (h, w)."""
        a = lookup(self._grass, x, y, 0.02, texel)
        b = lookup(self._grass, 0.79 * x - 0.61 * y, 0.61 * x + 0.79 * y, 0.053, texel)
        colour = np.asarray(0.62 * a + 0.38 * b, np.float32)
        low = [lookup(w, x, y, 0.5, texel) for w in self._wide[:2]]
        very_low = lookup(self._wide[2], x, y, 2.3, texel)
        spot = lookup(self._spots, x, y, 0.06, texel)
        bare = smoothstep(0.75, 1.5, np.asarray(low[0] + 0.45 * spot, np.float32))
        earth = lookup(self._dirt, x, y, 0.025, texel)
        colour = blend(colour, earth, bare)
        value = 1.0 + 0.10 * low[1] + 0.07 * very_low + 0.06 * spot
        dry = np.clip(0.5 + 0.35 * very_low + 0.3 * low[1], 0, 1)[..., None]
        colour = colour * np.asarray(value, np.float32)[..., None]
        colour = colour * (1 + dry * np.array([0.22, 0.04, 0.0], np.float32)) * self._tint
        return np.asarray(colour, np.float32)

    def _paint_road(
        self,
        ground: Image,
        s: NDArray[np.float64],
        lateral: NDArray[np.float64],
        step: float,
        texel: float,
    ) -> Image:
        sg, lg = (g.astype(np.float32) for g in np.meshgrid(s, lateral, indexing="ij"))
        size = max(texel, min(step, 8 * texel))
        grain = lookup(self._asphalt, lg, sg, 0.015, size)
        coarse = lookup(self._asphalt, 0.5 * sg + 0.87 * lg, 0.87 * sg - 0.5 * lg, 0.041, size)
        low = lookup(self._wide[0], sg, lg, 0.12, size)
        value = grain * (0.4 + 0.6 * coarse) * (1 + 0.055 * low)
        for wheel in self._tracks:
            value -= 0.055 * np.exp(-(((lg - wheel) / 0.28) ** 2))
        wear = [self._wear_at(float(v)) for v in s]
        tone = np.array([w.tone for w in wear], np.float32)[:, None]
        warm = np.array([w.warm for w in wear], np.float32)[:, None]
        value = self._paint_damage(value, s, step, texel)
        gray = value * tone
        colour = np.stack([gray * (1 + warm), gray, gray * (1 - warm)], axis=-1)
        edge_noise = lookup(self._wide[1], sg, lg, 0.05, size)
        spot = lookup(self._spots, sg, lg, 0.03, size)
        colour = np.asarray(colour, np.float32)
        texels = Texels(s, sg, lg, spot, edge_noise, texel, step, size, wear)
        verge, wobble = self._paint_verge(ground, colour, texels)
        reach = np.abs(lg) - self.road.half_width - wobble
        side = smoothstep(-0.5 * texel, 0.5 * texel, np.asarray(reach, np.float32))
        paint = self._paint_markings(texels)
        white = tinted((0.80, 0.80, 0.77), np.asarray(0.85 + 0.15 * grain, np.float32))
        return blend(blend(colour, white, paint), verge, side)

    def _paint_verge(self, ground: Image, asphalt: Image, at: Texels) -> tuple[Image, Image]:
        """Colours (h, w, 3) beside the driven surface, and how far (h, w) its edge wobbles, m.

        Args:
            ground: (h, w, 3) that lies beyond; asphalt: (h, w, 3) of the surface.
        """
        half, spot, edge_noise = self.road.half_width, at.spots, at.wide
        urban = np.array([any(a <= v < b for a, b in self._urban) for v in at.s])[:, None]
        reach = np.abs(at.lateral)
        wobble = np.where(urban, 0.0, 0.035 * spot + 0.03 * edge_noise)
        shoulder = lookup(self._gravel, at.lateral, at.along, 0.012, at.size)
        width = 0.75 + 0.22 * edge_noise + 0.10 * spot
        fade = smoothstep(-0.25, 0.25, np.asarray(reach - half - width, np.float32))
        rural = blend(shoulder, ground, fade)
        slabs = lookup(self._paving, at.lateral, at.along, 0.4 * 12 / 512, at.size)
        kerb = self._kerb(at)
        walk = blend(kerb, slabs, smoothstep(0.14, 0.16, np.asarray(reach - half, np.float32)))
        edge = smoothstep(1.5, 1.6, np.asarray(reach - half + 0.04 * spot, np.float32))
        verge = np.where(urban[..., None], blend(walk, ground, edge), rural)
        return verge, wobble

    def _kerb(self, at: Texels) -> Image:
        """Colours (h, w, 3) of kerb stones, each a metre long."""
        tone = 0.56 + 0.05 * at.spots + np.where((at.along % 1.0) < 0.025, -0.2, 0.0)
        return np.repeat(np.asarray(tone, np.float32)[..., None], 3, -1)

    def _paint_markings(self, at: Texels) -> Image:
        """Coverage (h, w) by white paint."""
        paint = self._lines(at)
        worn = column([w.worn for w in at.wear])
        loss = smoothstep(0.0, 1.2, np.asarray(at.spots + 0.6 * at.wide + 3.2 * worn - 2.2))
        return np.asarray(paint * (1 - 0.9 * loss) * (0.92 - 0.25 * worn), np.float32)

    def _lines(self, at: Texels) -> Image:
        """Coverage (h, w) by paint that is not worn."""

        def line(center: float) -> Image:
            return box_coverage(at.lateral - center, MARKING_WIDTH, at.texel)

        edge = self.road.half_width - 0.22
        paint = column([w.center for w in at.wear]) * line(0.0) * dashes(at.along, at.step)
        paint = paint + column([w.left for w in at.wear]) * line(edge)
        paint = paint + column([w.right for w in at.wear]) * line(-edge)
        return np.asarray(paint, np.float32)

    def _paint_damage(
        self, value: Image, s: NDArray[np.float64], step: float, texel: float
    ) -> Image:
        """Patches and cracks on the asphalt's gray value."""
        s0, s1 = float(s[0]), float(s[-1])
        for start, end, left, right, tone in self._patches:
            if end < s0 - 0.3 or start > s1 + 0.3:
                continue
            lateral = self.half_width - texel * (np.arange(value.shape[1]) + 0.5)
            a = box_coverage(s - (start + end) / 2, end - start, step)[:, None]
            b = box_coverage(lateral - (left + right) / 2, left - right, texel)[None]
            inner_a = box_coverage(s - (start + end) / 2, end - start - 0.08, step)[:, None]
            inner_b = box_coverage(lateral - (left + right) / 2, left - right - 0.08, texel)[None]
            seam = a * b - inner_a * inner_b
            worn = value * (1 + (tone - 1) * a * b) * (1 - 0.42 * seam)
            value = np.asarray(worn, np.float32)
        return self._paint_cracks(value, self._cracks, 0.022, s0, s1, step, texel)

    def _paint_cracks(
        self,
        value: Image,
        cracks: list[tuple[NDArray[np.float64], float]],
        wide: float,
        s0: float,
        s1: float,
        step: float,
        texel: float,
    ) -> Image:
        """Dark lines (see `draw_cracks`), `wide` m wide, on the gray value of s0 to s1."""
        mask = np.zeros(value.shape, np.float32)
        width = max(1, round(wide / texel))
        for points, strength in cracks:
            if points[:, 0].max() < s0 - 0.5 or points[:, 0].min() > s1 + 0.5:
                continue
            pixels = np.stack(
                [(self.half_width - points[:, 1]) / texel - 0.5, (points[:, 0] - s0) / step], -1
            )
            line = [np.round(pixels * 16).astype(np.int32).reshape(-1, 1, 2)]
            cv2.polylines(mask, line, False, strength, width, cv2.LINE_AA, 4)
        thin = min(1.0, wide / texel) * min(1.0, 0.06 / step)
        return np.asarray(value * (1 - mask * thin), np.float32)

    def _wear_at(self, s: float) -> Wear:
        for wear in self._wear:
            if s < wear.end:
                return wear
        return self._wear[-1]

    def _paint_decals(
        self,
        colour: Image,
        box: tuple[float, float, float, float],
        to_pixels: Callable[[NDArray[np.float64]], NDArray[np.float64]],
        texel: tuple[float, float],
        flecks: Image,
        shadows: bool | None = None,
    ) -> Image:
        """Paint the decals that touch box (x0, y0, x1, y1); `texel` is the size in x, y (m)."""
        x0, y0, x1, y1 = box
        b = self._boxes
        near = (b[:, 0] < x1) & (b[:, 2] > x0) & (b[:, 1] < y1) & (b[:, 3] > y0)
        h, w = colour.shape[:2]
        dark = np.zeros((h, w), np.float32)
        for index in np.flatnonzero(near):
            decal = self.decals[index]
            shades = decal.kind in ("shadow", "dapple")
            if shadows is not None and shadows != shades:
                continue
            pixels = to_pixels(decal.polygon)
            blur = (decal.soft / texel[0], decal.soft / texel[1])
            pad = (3 * blur[0] + 2, 3 * blur[1] + 2)
            lo = np.floor(np.maximum(pixels.min(0) - pad, (-pad[0], -pad[1]))).astype(int)
            hi = np.ceil(np.minimum(pixels.max(0) + pad, (w + pad[0], h + pad[1]))).astype(int)
            if hi[0] <= max(lo[0], 0) or hi[1] <= max(lo[1], 0) or lo[0] >= w or lo[1] >= h:
                continue
            mask = np.zeros((hi[1] - lo[1], hi[0] - lo[0]), np.float32)
            points = np.round((pixels - lo) * 16).astype(np.int32).reshape(-1, 1, 2)
            cv2.fillPoly(mask, [points], 1.0, cv2.LINE_8, 4)
            if max(blur) > 0.3:
                mask = cv2.GaussianBlur(mask, (0, 0), max(blur[0], 0.1), sigmaY=max(blur[1], 0.1))
            c0, r0 = max(lo[0], 0), max(lo[1], 0)
            c1, r1 = min(hi[0], w), min(hi[1], h)
            mask = mask[r0 - lo[1] : r1 - lo[1], c0 - lo[0] : c1 - lo[0]]
            if decal.kind == "dapple":
                mask = mask * flecks[r0:r1, c0:c1]
            if shades:  # the sun is hidden once, however many things hide it
                patch = dark[r0:r1, c0:c1]
                np.maximum(patch, mask * np.float32(decal.strength), out=patch)
            else:
                colour[r0:r1, c0:c1] = self._decal_colour(colour[r0:r1, c0:c1], mask, decal)
        return np.asarray(colour * (1 - dark)[..., None], np.float32)

    def _decal_colour(self, colour: Image, mask: Image, decal: Decal) -> Image:
        source = {"gravel": self._gravel, "paving": self._paving, "dirt": self._dirt}[decal.kind]
        level = source[1][:-1, :-1]
        h, w = mask.shape
        tile = np.tile(level, (-(-h // level.shape[0]), -(-w // level.shape[1]), 1))[:h, :w]
        return blend(colour, tile, np.asarray(mask * decal.strength, np.float32))


def dashes(s: Image, step: float) -> Image:
    """How much of texels at s, `step` m long, the dashes of a line cover."""
    cover = box_coverage((s % (DASH + GAP)) - DASH / 2 - 0.5, DASH, step)
    return np.full_like(cover, DASH / (DASH + GAP)) if step > DASH + GAP else cover


def column(values: list[float]) -> Image:
    """Values (h,) of rows as an image (h, 1)."""
    return np.array(values, np.float32)[:, None]


def box_coverage(x: NDArray[np.floating], width: float, texel: float) -> Image:
    """How much of a texel at distance x from its centre a band of `width` covers."""
    reach = (np.minimum(x + texel / 2, width / 2) - np.maximum(x - texel / 2, -width / 2)) / texel
    return np.asarray(np.clip(reach, 0.0, 1.0), np.float32)


def _levels(image: Image) -> list[Image]:
    """The pyramid of a repeating texture, each level with its first row and column repeated."""
    return [
        cv2.copyMakeBorder(level, 0, 1, 0, 1, cv2.BORDER_WRAP) for level in textures.pyramid(image)
    ]


def lookup(levels: list[Image], x: Image, y: Image, size: float, texel: float) -> Image:
    """Bilinear samples of a repeating texture (see `_levels`), its finest texel `size` m wide."""
    level = int(np.clip(math.floor(math.log2(max(texel / size, 1.0)) + 0.3), 0, len(levels) - 1))
    padded = levels[level]
    count = padded.shape[0] - 1
    scale = np.float32(1.0 / (size * 2**level))
    u, v = (_wrapped(np.asarray(at, np.float32) * scale, count) for at in (x, y))
    return np.asarray(cv2.remap(padded, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))


def _wrapped(value: Image, period: int) -> Image:
    """The remainder by a power of two, which np.mod takes four times as long for."""
    turns = np.floor(value * np.float32(1.0 / period))
    turns *= np.float32(period)
    return np.subtract(value, turns, out=turns)
