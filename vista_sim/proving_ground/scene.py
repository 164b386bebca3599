"""The proving ground's world: generated from a seed, drawn by PyBullet from any pose."""

from __future__ import annotations

import functools
import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vista_sim.proving_ground import textures
from vista_sim.proving_ground.boxes import Box
from vista_sim.proving_ground.closing import Closing
from vista_sim.proving_ground.ground import Ground
from vista_sim.proving_ground.layout import Layout
from vista_sim.proving_ground.placing import Item
from vista_sim.proving_ground.renderer import Renderer
from vista_sim.proving_ground.road import Road, RoadShape
from vista_sim.proving_ground.shadows import shade_ground
from vista_sim.proving_ground.sky import Sky, Weather
from vista_sim.proving_ground.street_layout import StreetLayout
from vista_sim.proving_ground.street_surface import StreetSurface
from vista_sim.proving_ground.surface import Surface
from vista_sim.proving_ground.traffic import TrafficCar
from vista_sim.traces.calibration import Lens
from vista_sim.transforms import quaternion_from_matrix

WIDEST = math.radians(80.0)  # angle from the optical axis beyond which nothing can be drawn

OPTICAL_BLUR = 0.48  # px, deviation of the lens's and the sensor's blur, as real cameras have


@dataclass(frozen=True, eq=False)
class RenderedView:
    """A picture of the world and its exact geometry."""

    image: NDArray[np.uint8]  # (h, w, 3) RGB
    depth: NDArray[np.float32]  # (h, w) m along the optical axis, inf for the sky
    moving: NDArray[np.bool_]  # (h, w) True on the bodies of moving cars
    box: NDArray[np.int16]  # (h, w) which of the boxes that were given is seen, -1 for none


class Scene(Closing):
    """The world of one seed. Pictures depend on seed, traffic, moment, pose and lens, not on what
    came before.

    Several scenes may live in one process. `close` (or leaving a with block) frees PyBullet's
    memory.

    Args:
        seed, shape: of the road, which `traffic` must have been simulated on.
        traffic: cars that drive on it.
    """

    def __init__(
        self, seed: int, shape: RoadShape | None = None, traffic: Sequence[TrafficCar] = ()
    ) -> None:
        self._renderer = Renderer()
        self.seed = seed
        self.road = Road(seed, shape)
        self.weather = Weather.draw(seed)
        self.layout: Layout
        if self.road.shape.street:
            self.layout = StreetLayout(seed, self.road, self.weather)
            self.surface: Surface = StreetSurface(seed, self.road)
        else:
            self.layout = Layout(seed, self.road, self.weather)
            self.surface = Surface(seed, self.road, self.layout.urban)
        self.surface.add_decals(self.layout.decals)
        self.sky = Sky(seed, self.weather)
        self.ground = Ground(self.road, self.surface)
        self.traffic = tuple(traffic)

    def close(self) -> None:
        self._renderer.close()

    def render(
        self,
        T_world_camera: NDArray[np.float64],
        lens: Lens,
        supersample: int = 2,
        t: float = 0.0,
        boxes: Sequence[Box] = (),
    ) -> RenderedView:
        """Draw the world.

        Args:
            T_world_camera: 4x4 pose of the camera (x right, y down, z forward) in the world.
            lens: any lens whose rays stay within 80 degrees of the optical axis.
            supersample: how many samples a pixel has along each side.
            t: moment of the drive, s: where the traffic is.
            boxes: that stand in it too.

        Raises:
            ValueError: the lens sees farther to the side, its distortion folds the image, or
                supersample is below 1.
        """
        if supersample < 1:
            raise ValueError(f"supersample is {supersample}; it must be at least 1")
        height, width = lens.size
        fine = lens.resized((height * supersample, width * supersample))
        drawn = drawn_lens(fine)
        cars = self._moving_cars(t)
        placed = [box.item(number) for number, box in enumerate(boxes)]
        self._stream(T_world_camera, drawn.pinhole, cars, placed)
        weather = self.weather
        image, depth, bodies = self._renderer.draw(
            T_world_camera, drawn.pinhole, weather.sun, weather.ambient
        )
        moving = self._which(bodies, cars) >= 0
        box = self._which(bodies, placed)
        image = shade_ground(
            image,
            depth,
            moving | (box >= 0),
            [*cars, *placed],
            T_world_camera,
            drawn.rays,
            weather,
            self.road.terrain,
        )
        image = self.sky.compose(image, depth, drawn.rays, T_world_camera[:3, :3])
        inverse = 1.0 / depth
        if drawn.maps is not None:
            image = cv2.remap(image, *drawn.maps, cv2.INTER_LINEAR)
            inverse = cv2.remap(inverse, *drawn.maps, cv2.INTER_NEAREST)
            moving = cv2.remap(moving.view(np.uint8), *drawn.maps, cv2.INTER_NEAREST) > 0
            box = cv2.remap(box, *drawn.maps, cv2.INTER_NEAREST)
        image = cv2.GaussianBlur(image, (0, 0), OPTICAL_BLUR * supersample)
        if supersample > 1:
            image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
        with np.errstate(divide="ignore"):
            true_depth = 1.0 / _shrink_inverse_depth(inverse, supersample)
        found = np.full((height, width), -1, dtype=np.int16)
        for number in range(len(boxes)):
            found[_shrink_mask(box == number, supersample)] = number
        moving = _shrink_mask(moving, supersample)
        return RenderedView(image, true_depth.astype(np.float32), moving, found)

    def _which(self, bodies: NDArray[np.int32], items: Sequence[Item]) -> NDArray[np.int16]:
        """Which of some items each pixel of `bodies` (h, w) shows, -1 for none."""
        found = np.full(bodies.shape, -1, dtype=np.int16)
        for number, item in enumerate(items):
            if item.key in self._renderer.keys:
                found[bodies == self._renderer.body(item.key)] = number
        return found

    def _moving_cars(self, t: float) -> list[Item]:
        """The traffic at t as things to draw, without mesh and texture."""
        items = []
        for car in self.traffic:
            if car.on_road(t):
                T = car.poses(t)[0]
                quaternion = [float(q) for q in quaternion_from_matrix(T[:3, :3])]
                x, y, z = (float(v) for v in T[:3, 3])
                model = self.layout.car(car.model)
                key = ("traffic", car.track_id)
                items.append(Item(key, (x, y), model.radius, ([x, y, z], quaternion), model))
        return items

    def _stream(
        self,
        T_world_camera: NDArray[np.float64],
        lens: Lens,
        cars: list[Item],
        boxes: list[Item],
    ) -> None:
        """Bring in what this camera sees and remove the rest."""
        renderer = self._renderer
        if renderer.crowded:
            renderer.reset()
        xy = T_world_camera[:2, 3]
        sees = _Frustum(T_world_camera, lens)
        wanted: set[Hashable] = set()
        for piece in self.ground.pieces(xy, lens.fx):
            if not sees(piece.center, piece.radius):
                continue
            wanted.add(piece.key)
            texture = (piece.key, piece.texture)
            if not renderer.has_texture(texture):
                renderer.load_texture(texture, self.ground.image(piece))
            if not renderer.has_mesh(piece.key):
                renderer.load_mesh(piece.key, self.ground.mesh(piece.key))
            renderer.place(piece.key, piece.key, texture)
        for item in self.layout.visible(xy, lens.fx):
            if not sees(item.center, item.radius):
                continue
            wanted.add(item.key)
            self._load(item)
            renderer.place(item.key, item.mesh, item.texture, item.pose)
        for car in cars:
            distance = math.dist(xy, car.center)
            if distance > car.prototype.reach or not sees(car.center, car.radius):
                continue
            wanted.add(car.key)
            item = self.layout.dressed(car, distance, lens.fx)
            self._load(item)
            renderer.place(car.key, item.mesh, item.texture, item.pose)
            renderer.move(car.key, item.pose)
        for box in boxes:
            if not sees(box.center, box.radius):
                continue
            wanted.add(box.key)
            if not renderer.has_texture(box.texture):
                renderer.load_texture(box.texture, textures.to_bytes(box.prototype.texture))
            if not renderer.has_mesh(box.mesh):
                renderer.load_mesh(box.mesh, box.prototype.meshes[0])
            renderer.place(box.key, box.mesh, box.texture, box.pose)
            renderer.move(box.key, box.pose)
        for key in renderer.keys - wanted:
            renderer.remove(key)

    def _load(self, item: Item) -> None:
        renderer = self._renderer
        if not renderer.has_texture(item.texture):
            renderer.load_texture(item.texture, self.layout.image(item.texture))
        if not renderer.has_mesh(item.mesh):
            renderer.load_mesh(item.mesh, self.layout.mesh(item.mesh))


class _Frustum:
    """Whether a disc on the ground can be seen, by its direction alone."""

    def __init__(self, T_world_camera: NDArray[np.float64], lens: Lens) -> None:
        self._xy = T_world_camera[:2, 3]
        forward = T_world_camera[:2, 2]
        self._upright = float(np.linalg.norm(forward)) > 0.7
        self._heading = math.atan2(forward[1], forward[0])
        width = lens.size[1]
        left = math.atan2(lens.cx + 0.5, lens.fx)
        right = math.atan2(width - 0.5 - lens.cx, lens.fx)
        # A tilted or rolled camera sees farther to the side than its middle row does.
        self._half = max(left, right) + math.radians(12.0)

    def __call__(self, center: tuple[float, float], radius: float) -> bool:
        dx, dy = center[0] - self._xy[0], center[1] - self._xy[1]
        distance = math.hypot(dx, dy)
        if distance <= radius + 1.0 or not self._upright:
            return True
        off = abs(math.remainder(math.atan2(dy, dx) - self._heading, 2 * math.pi))
        return off < self._half + math.asin(min(radius / distance, 1.0))


@dataclass(frozen=True, eq=False)
class DrawnLens:
    """The ideal pinhole that is drawn in place of a lens.

    Attributes:
        pinhole: covers all rays of the lens.
        rays: (h, w, 3) of the pinhole's pixels, z = 1.
        maps: where the lens's pixels lie in the pinhole's image, or None if they are the same.
    """

    pinhole: Lens
    rays: NDArray[np.float32]
    maps: tuple[NDArray[np.float32], NDArray[np.float32]] | None


def drawn_lens(lens: Lens) -> DrawnLens:
    """The pinhole to draw for a lens; the last few are remembered.

    Raises:
        ValueError: the lens sees more than 80 degrees to the side, or its distortion folds
            the image.
    """
    return _drawn_lens(lens.model, lens.fx, lens.fy, lens.cx, lens.cy, lens.size, lens.distortion)


@functools.lru_cache(maxsize=6)
def _drawn_lens(
    model: str,
    fx: float,
    fy: float,
    cx: float,
    cy: float,
    size: tuple[int, int],
    distortion: tuple[float, ...],
) -> DrawnLens:
    lens = Lens(model, fx, fy, cx, cy, size, distortion)
    rays = lens.rays()
    if not lens.distorted:
        return DrawnLens(lens, rays.astype(np.float32), None)
    ahead = rays[..., 2] > math.cos(WIDEST) * np.linalg.norm(rays, axis=-1)
    if not (np.isfinite(rays).all() and ahead.all()):
        raise ValueError("the lens sees more than 80 degrees to the side; it cannot be drawn")
    v, u = np.mgrid[0 : size[0], 0 : size[1]]
    if not np.abs(lens.project(rays) - np.stack([u, v], axis=-1)).max() < 0.5:
        raise ValueError("the distortion folds the image; no ray belongs to some pixels")
    x, y = rays[..., 0] / rays[..., 2], rays[..., 1] / rays[..., 2]
    left = math.ceil(2 - float(x.min()) * fx)
    top = math.ceil(2 - float(y.min()) * fy)
    width = left + math.ceil(float(x.max()) * fx) + 3
    height = top + math.ceil(float(y.max()) * fy) + 3
    pinhole = Lens("pinhole", fx, fy, float(left), float(top), (height, width))
    maps = ((x * fx + left).astype(np.float32), (y * fy + top).astype(np.float32))
    return DrawnLens(pinhole, pinhole.rays().astype(np.float32), maps)


def _shrink_mask(mask: NDArray[np.bool_], by: int) -> NDArray[np.bool_]:
    """Pixels at least half of whose by x by samples are True: those that have its depth."""
    h, w = mask.shape[0] // by, mask.shape[1] // by
    count = mask.reshape(h, by, w, by).sum(axis=(1, 3))
    return np.asarray(2 * count >= by * by)


def _shrink_inverse_depth(inverse: NDArray[np.float32], by: int) -> NDArray[np.float32]:
    """Inverse depth at the pixels' centres from by x by samples each.

    It is linear in the image on a plane, so samples that belong together are averaged;
    across an edge the middle one of the sorted samples is taken. Close to the horizon the
    ground's samples differ by a fifth and still belong together.
    """
    if by == 1:
        return inverse
    h, w = inverse.shape[0] // by, inverse.shape[1] // by
    blocks = inverse.reshape(h, by, w, by).swapaxes(1, 2).reshape(h, w, by * by)
    blocks = np.sort(blocks, axis=-1)
    smooth = blocks[..., -1] - blocks[..., 0] < 0.3 * blocks[..., -1]
    middle = blocks[..., (by * by) // 2]
    return np.asarray(np.where(smooth, blocks.mean(axis=-1), middle), np.float32)
