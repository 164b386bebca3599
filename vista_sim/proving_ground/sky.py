"""Sky, distant hills and haze: what lies behind everything the renderer draws."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vista_sim.proving_ground import textures
from vista_sim.proving_ground.textures import Image, blend, smoothstep

LOWEST, HIGHEST = math.radians(-8.0), math.radians(70.0)  # elevations of the panorama
EXPOSURE = 1.1  # gain of what is drawn, so that sunlit ground is as bright as in photographs
SIZE = (640, 4096)  # rows (highest first) and columns (azimuth 0 to 2 pi) of the panorama


@dataclass(frozen=True)
class Weather:
    """Light of one world, drawn from its seed."""

    sun_azimuth: float  # rad, towards the sun
    sun_elevation: float  # rad
    haze_length: float  # m after which 1 - 1/e of the contrast is gone
    clouds: float  # 0 clear, 1 overcast
    ambient: float  # share of light that comes from the whole sky
    name: str  # "clear", "cloudy" or "hazy"

    @classmethod
    def draw(cls, seed: int) -> Weather:
        rng = np.random.default_rng([seed, 3])
        clouds = float(rng.uniform(0.2, 0.75))
        haze = float(np.exp(rng.uniform(math.log(350.0), math.log(1600.0))))
        name = "hazy" if haze < 550 else "cloudy" if clouds > 0.5 else "clear"
        return cls(
            sun_azimuth=float(rng.uniform(0, 2 * math.pi)),
            sun_elevation=math.radians(float(rng.uniform(28.0, 58.0))),
            haze_length=haze,
            clouds=clouds,
            ambient=0.52 + 0.14 * clouds,
            name=name,
        )

    @property
    def sun(self) -> NDArray[np.float64]:
        """Unit vector towards the sun."""
        c = math.cos(self.sun_elevation)
        return np.array(
            [
                c * math.cos(self.sun_azimuth),
                c * math.sin(self.sun_azimuth),
                math.sin(self.sun_elevation),
            ]
        )

    @property
    def shadow_strength(self) -> float:
        """How much darker the ground is where an object hides the sun."""
        return 0.55 * (1.0 - 0.45 * self.clouds)


class Sky:
    """A panorama at infinity, and the haze before it."""

    def __init__(self, seed: int, weather: Weather) -> None:
        rng = np.random.default_rng([seed, 4])
        self.weather = weather
        self.haze = np.array([0.78, 0.83, 0.88], np.float32) - 0.10 * np.float32(weather.clouds)
        self._panorama = self._paint(rng)

    def _paint(self, rng: np.random.Generator) -> NDArray[np.uint8]:
        rows, columns = SIZE
        elevation = np.linspace(HIGHEST, LOWEST, rows)[:, None].astype(np.float32)
        azimuth = (2 * math.pi * np.arange(columns) / columns)[None].astype(np.float32)
        up = np.clip(np.sin(elevation), 0, 1)
        zenith = np.array([0.27, 0.46, 0.76], np.float32)
        gradient = self.haze + (zenith - self.haze) * (up**0.55)[..., None]
        colour: Image = np.repeat(gradient, columns, axis=1)
        sun = self.weather.sun
        towards = (
            np.cos(elevation) * (np.cos(azimuth) * sun[0] + np.sin(azimuth) * sun[1])
            + np.sin(elevation) * sun[2]
        )
        colour = colour + 0.35 * (np.clip(towards, 0, 1) ** 24)[..., None]
        colour = blend(colour, self._cloud_colour(towards), self._clouds(rng, elevation, azimuth))
        for layer in range(3):
            colour = self._hills(rng, colour, elevation, layer)
        return textures.to_bytes(colour)

    def _clouds(self, rng: np.random.Generator, elevation: Image, azimuth: Image) -> Image:
        """Coverage by clouds on a plane overhead, (rows, columns)."""
        field = textures.noise(rng, 1024, 1.9, 5, 90)
        high = 1.0 / np.maximum(np.tan(np.maximum(elevation, math.radians(1.0))), 0.02)
        scale = np.float32(75.0)
        u = np.mod(scale * high * np.cos(azimuth), 1024).astype(np.float32)
        v = np.mod(scale * high * np.sin(azimuth), 1024).astype(np.float32)
        padded = cv2.copyMakeBorder(field, 0, 1, 0, 1, cv2.BORDER_WRAP)
        value = cv2.remap(padded, u, v, cv2.INTER_LINEAR)
        threshold = 1.2 - 2.4 * self.weather.clouds
        cover = smoothstep(threshold, threshold + 1.7, value)
        return np.asarray(cover * smoothstep(0.02, 0.16, elevation) * 0.9, np.float32)

    def _cloud_colour(self, towards: Image) -> Image:
        value = 0.88 + 0.10 * towards - 0.16 * self.weather.clouds
        return np.asarray(value[..., None] * np.array([1.0, 1.0, 1.01], np.float32), np.float32)

    def _hills(
        self, rng: np.random.Generator, colour: Image, elevation: Image, layer: int
    ) -> Image:
        """A wooded ridge along the horizon; farther layers first."""
        columns = colour.shape[1]
        low = textures.noise(rng, 64, 1.0, 2, 20)[0]
        ridge = np.interp(np.arange(columns) / columns * 64, np.arange(65), np.append(low, low[0]))
        fine = np.repeat(textures.noise(rng, 512, 0.6, 10)[0], columns // 512)
        height = np.radians((4.2, 2.8, 1.5)[layer] + (1.3, 0.9, 0.5)[layer] * ridge)
        height = height + np.radians((0.0, 0.08, 0.16)[layer]) * fine
        cover = smoothstep(-0.0016, 0.0016, np.asarray(height[None] - elevation, np.float32))
        wood = textures.noise(rng, 512, 0.7, 6, 200)
        wood = np.tile(wood, (2, columns // 512))[: colour.shape[0]]
        clear = np.array([0.22, 0.28, 0.15], np.float32) * (1 + 0.22 * wood[..., None])
        distance = (3000.0, 1500.0, 800.0)[layer]
        veil = 1 - math.exp(-distance / (2.2 * self.weather.haze_length))
        return blend(colour, np.asarray(clear + (self.haze - clear) * veil, np.float32), cover)

    def compose(
        self,
        image: NDArray[np.uint8],
        depth: Image,
        rays: Image,
        rotation: NDArray[np.float64],
    ) -> NDArray[np.uint8]:
        """Lay haze over an image and the panorama behind it.

        Args:
            image: (h, w, 3) as rendered.
            depth: (h, w) m along the optical axis, inf where nothing was drawn.
            rays: (h, w, 3) viewing rays in the camera frame with z = 1.
            rotation: R_world_camera (3, 3).
        """
        length = np.sqrt(np.einsum("hwc,hwc->hw", rays, rays))
        clear = np.exp(-(depth * length) * np.float32(1.0 / self.weather.haze_length))
        haze = self.haze * np.float32(255.0)
        result = haze + (image * np.float32(EXPOSURE) - haze) * clear[..., None]
        empty = ~np.isfinite(depth)
        direction = rays[empty] @ rotation.T.astype(np.float32)
        if len(direction):
            flat = np.hypot(direction[:, 0], direction[:, 1])
            elevation = np.arctan2(direction[:, 2], flat)
            azimuth = np.arctan2(direction[:, 1], direction[:, 0])
            u = np.mod(azimuth / np.float32(2 * math.pi), 1.0) * (SIZE[1] - 1)
            v = (HIGHEST - elevation) / (HIGHEST - LOWEST) * (SIZE[0] - 1)
            pixels = _sample(self._panorama, u, v)
            result[empty] = pixels.reshape(-1, 3)
        return np.asarray(np.clip(result + 0.5, 0, 255), np.uint8)


def _sample(
    image: NDArray[np.uint8], u: NDArray[np.floating], v: NDArray[np.floating]
) -> NDArray[np.uint8]:
    """Bilinear samples (n, 3) at points (n,); a row of cv2.remap may not be that long."""
    width = 16384
    pad = -len(u) % width
    shape = (-1, width)
    us = np.pad(u, (0, pad)).astype(np.float32).reshape(shape)
    vs = np.clip(np.pad(v, (0, pad)), 0, image.shape[0] - 1).astype(np.float32).reshape(shape)
    pixels = cv2.remap(image, us, vs, cv2.INTER_LINEAR)
    return np.asarray(pixels.reshape(-1, 3)[: len(u)])
