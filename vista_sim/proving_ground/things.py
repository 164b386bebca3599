"""Fences, lamps, poles, signs, rocks and bales."""

from __future__ import annotations

import cv2
import numpy as np

from vista_sim.proving_ground import textures
from vista_sim.proving_ground.meshes import MeshBuilder, Rect
from vista_sim.proving_ground.prototype import BURIED, Generator, Prototype, blank_atlas, put


def fence(rng: Generator, name: str) -> Prototype:
    """Four metres of fence: rails, pickets or boards, by chance."""
    kind = int(rng.integers(3))
    atlas = blank_atlas(128)
    rgb = ((0.46, 0.38, 0.30), (0.70, 0.68, 0.64), (0.38, 0.30, 0.22))[int(rng.integers(3))]
    put(atlas, textures.planks(rng, rgb, 128), (0.0, 0.0, 1.0, 1.0))
    board: Rect = (0.02, 0.0, 0.10, 1.0)
    b = MeshBuilder()
    height = (1.1, 1.0, 1.6)[kind]
    for x in (-2.0, 0.0):
        b.box((x, 0, -BURIED), (0.13, 0.13, height + 0.12 + BURIED), board)
    if kind == 0:
        for z in (0.3, 0.62, 0.94):
            b.box((0, -0.07, z), (4.05, 0.05, 0.13), (0.0, 0.1, 0.9, 0.2))
    elif kind == 1:
        for z in (0.25, 0.75):
            b.box((0, -0.06, z), (4.05, 0.04, 0.09), (0.0, 0.1, 0.9, 0.2))
        for i in range(20):
            x = -1.9 + 0.2 * i
            b.box((x, -0.1, 0.1), (0.10, 0.025, height - 0.1), (i % 8 / 8, 0, i % 8 / 8 + 0.12, 1))
    else:
        b.box((0, -0.05, 0.05), (4.02, 0.05, height), (0.0, 0.0, 1.0, 1.0))
    return Prototype(name, (b.build(),), atlas, 0.02, 2.1, height, (4.0, 0.15), 170.0, tilts=True)


def lamp(rng: Generator, name: str) -> Prototype:
    """A street lamp of 6 m; its arm reaches towards -y."""
    atlas = blank_atlas(64)
    put(atlas, textures.plaster(rng, (0.42, 0.44, 0.45), 64), (0.0, 0.0, 1.0, 0.8))
    put(atlas, textures.plaster(rng, (0.8, 0.8, 0.75), 64), (0.0, 0.82, 1.0, 1.0))
    b = MeshBuilder()
    b.cylinder((0, 0, -BURIED), (0, 0, 1.1), (0.11, 0.11), (0, 0, 1, 0.3))
    b.cylinder((0, 0, 1.1), (0, 0, 6.0), (0.075, 0.05), (0, 0, 1, 0.8))
    b.cylinder((0, 0, 5.9), (0, -1.2, 6.15), (0.045, 0.04), (0, 0, 1, 0.3), sides=5)
    b.box((0, -1.35, 6.08), (0.22, 0.6, 0.12), (0, 0.82, 1, 1))
    return Prototype(name, (b.build(),), atlas, 0.03, 0.3, 6.0, (0.2, 0.2), 190.0)


def pole(rng: Generator, name: str) -> Prototype:
    """A wooden utility pole with a cross-arm along y."""
    atlas = blank_atlas(128)
    put(atlas, textures.bark(rng, 128), (0.0, 0.0, 1.0, 1.0))
    height = float(rng.uniform(7.0, 8.5))
    b = MeshBuilder()
    b.cylinder((0, 0, -BURIED), (0, 0, height), (0.14, 0.10), (0, 0, 1, 1))
    b.box((0, 0, height - 0.7), (0.12, 1.9, 0.12), (0, 0.4, 1, 0.5))
    for y in (-0.85, -0.4, 0.4, 0.85):
        b.cylinder((0, y, height - 0.6), (0, y, height - 0.38), (0.05, 0.04), (0, 0, 0.2, 0.1), 5)
    return Prototype(name, (b.build(),), atlas, 0.03, 0.3, height, (0.25, 0.25), 220.0)


def post(rng: Generator, name: str) -> Prototype:
    """A delineator: white with a slanting black band."""
    atlas = blank_atlas(64)
    image = textures.plaster(rng, (0.85, 0.85, 0.83), 64)
    image[10:24] = 0.06
    put(atlas, image, (0.0, 0.0, 1.0, 1.0))
    b = MeshBuilder()
    b.box((0, 0, -0.2), (0.12, 0.10, 1.2), (0, 0, 1, 1))
    return Prototype(name, (b.build(),), atlas, 0.02, 0.15, 1.0, (0.12, 0.1), 120.0)


def sign(rng: Generator, name: str) -> Prototype:
    """A traffic sign on a steel pole; its face looks along -x."""
    atlas = blank_atlas(128)
    face = np.full((128, 128, 3), 0.85, np.float32)
    kind = int(rng.integers(3))
    rgb = ((0.65, 0.08, 0.07), (0.08, 0.20, 0.50), (0.75, 0.60, 0.10))[kind]
    if kind == 0:
        cv2.circle(face, (64, 64), 50, rgb, 18)
        cv2.rectangle(face, (48, 36), (56, 92), (0.08, 0.08, 0.08), -1)
        cv2.rectangle(face, (68, 36), (88, 92), (0.08, 0.08, 0.08), 8)
    elif kind == 1:
        face[6:122, 6:122] = rgb
        cv2.rectangle(face, (44, 28), (54, 100), (0.9, 0.9, 0.9), -1)
        cv2.rectangle(face, (44, 28), (84, 64), (0.9, 0.9, 0.9), 10)
    else:
        corners = np.array([(64, 8), (8, 116), (120, 116)]).reshape(-1, 1, 2)
        cv2.fillPoly(face, [corners], rgb)
        cv2.fillPoly(face, [(corners - (64, 80)) * 2 // 3 + (64, 80)], (0.12, 0.12, 0.12))
    put(atlas, face, (0.0, 0.3, 0.7, 1.0))
    put(atlas, textures.plaster(rng, (0.48, 0.49, 0.50), 64), (0.0, 0.0, 1.0, 0.28))
    put(atlas, textures.plaster(rng, (0.40, 0.41, 0.42), 64), (0.72, 0.3, 1.0, 1.0))
    b = MeshBuilder()
    metal: Rect = (0.0, 0.0, 1.0, 0.26)
    b.cylinder((0.04, 0, -BURIED), (0.04, 0, 2.75), (0.035, 0.035), metal, sides=6)
    b.quad(
        [(-0.01, 0.33, 2.1), (-0.01, -0.33, 2.1), (-0.01, -0.33, 2.76), (-0.01, 0.33, 2.76)],
        (0.01, 0.31, 0.69, 0.99),
    )
    b.quad(
        [(0.005, -0.33, 2.1), (0.005, 0.33, 2.1), (0.005, 0.33, 2.76), (0.005, -0.33, 2.76)],
        (0.74, 0.32, 0.98, 0.98),
    )
    return Prototype(name, (b.build(),), atlas, 0.01, 0.35, 2.8, (0.1, 0.66), 150.0)


def rock(rng: Generator, name: str) -> Prototype:
    """A boulder or a heap of earth."""
    atlas = blank_atlas(128)
    grey = rng.random() < 0.5
    skin = textures.gravel(rng, 128) if grey else textures.dirt(rng, 128)
    put(atlas, skin, (0.0, 0.0, 1.0, 1.0))
    r = float(rng.uniform(0.35, 0.9))
    b = MeshBuilder()
    b.blob((0, 0, 0.2 * r), (r, 0.8 * r, 0.7 * r), (0, 0, 1, 1), rng, 0.14, 5, 9)
    return Prototype(name, (b.build(),), atlas, 0.02, r, 0.9 * r, (2 * r, 1.6 * r), 130.0)


def hay_bale(rng: Generator, name: str) -> Prototype:
    """A round bale lying on its side."""
    atlas = blank_atlas(128)
    straw = textures.bark(rng, 128) * np.array([1.9, 1.85, 1.3], np.float32)
    put(atlas, np.clip(straw.transpose(1, 0, 2), 0, 0.9), (0.0, 0.0, 1.0, 1.0))
    b = MeshBuilder()
    for a, c in ((-0.6, 0.6), (0.6, -0.6)):
        b.cylinder(
            (a, 0, 0.68),
            (c, 0, 0.68),
            (0.7, 0.7),
            (0, 0, 1, 0.6),
            14,
            cap=True,
            cap_rect=(0, 0, 1, 1),
        )
    return Prototype(name, (b.build(),), atlas, 0.015, 0.95, 1.4, (1.2, 1.4), 220.0)
