"""Parked cars."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from vista_sim.proving_ground import textures
from vista_sim.proving_ground.meshes import MeshBuilder, Rect
from vista_sim.proving_ground.prototype import Generator, Prototype, blank_atlas, put
from vista_sim.proving_ground.textures import Image

CAR_PROFILE = np.array(
    [
        (-2.10, 0.24),
        (-2.14, 0.62),
        (-2.02, 0.92),
        (-1.62, 1.02),
        (-1.18, 1.40),
        (-0.55, 1.47),
        (0.25, 1.43),
        (1.02, 1.00),
        (1.70, 0.88),
        (2.06, 0.70),
        (2.14, 0.46),
        (2.08, 0.24),
    ]
)
CAR_COLOURS = (
    (0.62, 0.63, 0.65),
    (0.16, 0.17, 0.19),
    (0.74, 0.74, 0.73),
    (0.45, 0.10, 0.09),
    (0.12, 0.20, 0.38),
    (0.30, 0.33, 0.31),
    (0.52, 0.44, 0.32),
    (0.10, 0.28, 0.22),
)


def car(rng: Generator, name: str) -> Prototype:
    """A parked car: a profile drawn out to the width, painted sides, four wheels."""
    scale = np.array([rng.uniform(0.92, 1.08), rng.uniform(0.96, 1.12)])
    profile = CAR_PROFILE * scale
    if rng.random() < 0.4:  # an estate: the roof goes on to the tail
        profile[2:5] = np.array([(-2.06, 0.95), (-1.98, 1.12), (-1.78, 1.38)]) * scale
    colour = np.array(CAR_COLOURS[rng.integers(len(CAR_COLOURS))]) * rng.uniform(0.85, 1.15)
    atlas = blank_atlas(256)
    side: Rect = (0.0, 0.55, 1.0, 1.0)
    strip: Rect = (0.0, 0.0, 0.72, 0.53)
    wheel: Rect = (0.76, 0.28, 1.0, 0.53)
    tyre: Rect = (0.76, 0.0, 1.0, 0.25)
    put(atlas, _car_side(rng, profile, colour), side)
    put(atlas, _car_strip(rng, profile, colour), strip)
    put(atlas, _hubcap(rng), wheel)
    put(atlas, textures.plaster(rng, (0.07, 0.07, 0.075), 64), tyre)
    half = 0.88
    y = np.where(profile[:, 1] > 1.02 * scale[1], 0.68, half)
    lo, hi = profile.min(0), profile.max(0)
    b = MeshBuilder()
    along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(profile, axis=0), axis=1))])
    along = along / along[-1]
    for i in range(len(profile) - 1):
        (x0, z0), (x1, z1) = profile[i], profile[i + 1]
        rect = (strip[0], strip[3] * along[i], strip[2], strip[3] * along[i + 1])
        b.quad([(x0, y[i], z0), (x0, -y[i], z0), (x1, -y[i + 1], z1), (x1, y[i + 1], z1)], rect)
    middle = np.array([0.0, 0.62 * scale[1]])
    fan = np.vstack([middle, profile])
    ys = np.concatenate([[half], y])
    uv = np.column_stack(
        [
            (fan[:, 0] - lo[0]) / (hi[0] - lo[0]),
            side[1] + (side[3] - side[1]) * (fan[:, 1] - lo[1]) / (hi[1] - lo[1]),
        ]
    )
    index = [[0, i, i % (len(profile)) + 1] for i in range(1, len(profile) + 1)]
    for sign in (-1.0, 1.0):
        points = np.column_stack([fan[:, 0], sign * ys, fan[:, 1]])
        b.add(points, np.tile([0, sign, 0.15], (len(points), 1)), uv, index)
    for x in (-1.32 * scale[0], 1.36 * scale[0]):
        for sign in (-1.0, 1.0):
            b.cylinder(
                (x, sign * 0.60, 0.32),
                (x, sign * 0.90, 0.32),
                (0.325, 0.325),
                tyre,
                12,
                cap=True,
                cap_rect=wheel,
            )
    return Prototype(
        name, (b.build(),), atlas, 4.3 / 256, 2.3, 1.5, (4.25 * scale[0], 1.76), 220.0, tilts=True
    )


def _car_side(rng: Generator, profile: NDArray[np.float64], colour: NDArray[np.float64]) -> Image:
    h, w = 240, 720
    image = np.empty((h, w, 3), np.float32)
    image[:] = colour
    image *= (0.72 + 0.34 * np.linspace(1, 0, h, dtype=np.float32))[:, None, None]
    lo, hi = profile.min(0), profile.max(0)

    def px(points: object) -> NDArray[np.int32]:
        p = np.asarray(points, float)
        q = np.column_stack(
            [(p[:, 0] - lo[0]) / (hi[0] - lo[0]) * w, (1 - (p[:, 1] - lo[1]) / (hi[1] - lo[1])) * h]
        )
        return np.round(q).astype(np.int32).reshape(-1, 1, 2)

    sx, sz = hi[0] / 2.14, hi[1] / 1.47
    belt, roof = 1.0 * sz, 1.36 * sz
    tail = float(profile[4, 0])
    glass = [(tail + 0.12, belt), (tail + 0.32, roof), (0.16 * sx, roof), (0.84 * sx, belt)]
    cv2.fillPoly(image, [px(glass)], (0.07, 0.09, 0.11))
    shine = [(tail + 0.5, belt), (tail + 0.7, roof), (tail + 1.1, roof), (tail + 0.9, belt)]
    cv2.fillPoly(image, [px(shine)], (0.30, 0.34, 0.38))
    for x in (-0.35 * sx, tail + 0.45):
        cv2.polylines(image, [px([(x, belt), (x, roof)])], False, (colour * 0.6).tolist(), 10)
    for x in (-0.40 * sx, 0.78 * sx, -1.05 * sx):
        cv2.polylines(image, [px([(x, 0.36), (x, belt)])], False, (colour * 0.35).tolist(), 3)
    for x in (-0.62 * sx, 0.45 * sx):
        cv2.fillPoly(
            image,
            [px([(x, 0.86), (x + 0.16, 0.86), (x + 0.16, 0.90), (x, 0.90)])],
            tuple(map(float, colour * 0.4)),
        )
    cv2.fillPoly(
        image,
        [px([(lo[0], 0.24), (hi[0], 0.24), (hi[0], 0.36), (lo[0], 0.36)])],
        (0.08, 0.08, 0.085),
    )
    for x in (-1.32 * sx, 1.36 * sx):
        at = px([(x, 0.34)])[0, 0]
        cv2.ellipse(
            image,
            tuple(map(int, at)),
            (int(0.40 / (hi[0] - lo[0]) * w), int(0.40 / (hi[1] - lo[1]) * h)),
            0,
            0,
            360,
            (0.035, 0.035, 0.04),
            -1,
        )
    for x, rgb in ((hi[0] - 0.14, (0.85, 0.85, 0.8)), (lo[0] + 0.08, (0.55, 0.06, 0.05))):
        cv2.fillPoly(
            image, [px([(x - 0.1, 0.62), (x + 0.1, 0.62), (x + 0.1, 0.78), (x - 0.1, 0.78)])], rgb
        )
    image *= 1 + 0.03 * rng.standard_normal((h, w, 1)).astype(np.float32)
    return np.clip(image, 0.02, 1.0)


def _car_strip(rng: Generator, profile: NDArray[np.float64], colour: NDArray[np.float64]) -> Image:
    """Tail, rear window, roof, windscreen, bonnet and nose, from the lowest row up."""
    h, w = 512, 184
    image = np.empty((h, w, 3), np.float32)
    image[:] = colour
    step = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(profile, axis=0), axis=1))])
    row = (h - step / step[-1] * h).round().astype(int)

    def band(i0: float, i1: float, c0: float, c1: float, rgb: ArrayLike) -> None:
        r = np.interp([i0, i1], np.arange(len(row)), row).round().astype(int)
        image[r[1] : r[0], round(c0 * w) : round(c1 * w)] = np.asarray(rgb, np.float32)

    band(3.1, 4.0, 0.08, 0.92, (0.08, 0.10, 0.12))
    band(3.4, 3.8, 0.2, 0.5, (0.25, 0.29, 0.33))
    band(6.05, 6.95, 0.07, 0.93, (0.08, 0.10, 0.12))
    band(6.2, 6.7, 0.5, 0.8, (0.30, 0.34, 0.38))
    band(7.0, 7.05, 0.0, 1.0, colour * 0.4)
    band(1.0, 1.7, 0.02, 0.2, (0.55, 0.06, 0.05))
    band(1.0, 1.7, 0.8, 0.98, (0.55, 0.06, 0.05))
    band(0.9, 1.2, 0.35, 0.65, (0.85, 0.85, 0.75))
    band(0.0, 0.45, 0.0, 1.0, (0.09, 0.09, 0.09))
    band(9.0, 9.9, 0.02, 0.25, (0.85, 0.85, 0.80))
    band(9.0, 9.9, 0.75, 0.98, (0.85, 0.85, 0.80))
    band(9.2, 10.4, 0.3, 0.7, (0.10, 0.10, 0.11))
    band(10.3, 10.8, 0.35, 0.65, (0.85, 0.85, 0.75))
    band(10.8, 11.0, 0.0, 1.0, (0.09, 0.09, 0.09))
    image *= 1 + 0.03 * rng.standard_normal((h, w, 1)).astype(np.float32)
    return np.clip(image, 0.02, 1.0)


def _hubcap(rng: Generator) -> Image:
    y, x = np.mgrid[-1:1:64j, -1:1:64j]
    r, a = np.hypot(x, y), np.arctan2(y, x)
    spokes = 0.5 + 0.3 * np.cos(a * int(rng.integers(5, 8)))
    value = np.where(r < 0.68, spokes * (r > 0.12) + 0.25 * (r <= 0.12), 0.06)
    return np.repeat(np.asarray(value, np.float32)[..., None], 3, axis=-1)
