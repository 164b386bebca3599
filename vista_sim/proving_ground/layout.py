"""Where things stand: villages, fields, woods and avenues along the road, and their shadows."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from dataclasses import replace
from typing import ClassVar, cast

import numpy as np
from numpy.typing import NDArray

from vista_sim.proving_ground import buildings, cars, plants, textures, things
from vista_sim.proving_ground.meshes import Mesh
from vista_sim.proving_ground.placing import FREE, Item, Placer
from vista_sim.proving_ground.prototype import Prototype
from vista_sim.proving_ground.road import Road
from vista_sim.proving_ground.sky import Weather
from vista_sim.proving_ground.surface import Decal

COARSE_FROM = 55.0  # m from which plants are drawn with fewer triangles

Kinds = dict[str, tuple[Callable[[np.random.Generator, str], Prototype], int]]

MODELS: Kinds = {
    "house": (buildings.house, 8),
    "hall": (buildings.hall, 2),
    "tree": (plants.tree, 6),
    "conifer": (plants.conifer, 3),
    "bush": (plants.bush, 4),
    "hedge": (plants.hedge, 3),
    "car": (cars.car, 8),
    "fence": (things.fence, 5),
    "wall": (buildings.wall, 3),
    "lamp": (things.lamp, 1),
    "pole": (things.pole, 2),
    "post": (things.post, 1),
    "sign": (things.sign, 3),
    "rock": (things.rock, 3),
    "hay_bale": (things.hay_bale, 1),
}


class Layout:
    """Everything beside the road of one seed.

    Attributes:
        urban: stretches (start, end) of s with kerbs and pavements.
        decals: shadows and parking bays, to be painted on the ground.
        items: what stands there.
    """

    kinds: ClassVar[Kinds] = MODELS
    free, overhang = FREE, 0.0  # of its `Placer`

    def __init__(self, seed: int, road: Road, weather: Weather) -> None:
        self._rng = np.random.default_rng([seed, 5])
        self._road = road
        models = np.random.default_rng([seed, 6])
        self._models = {
            kind: [make(models, f"{kind}{i}") for i in range(count)]
            for kind, (make, count) in self.kinds.items()
        }
        self._prototypes = {p.name: p for ps in self._models.values() for p in ps}
        self._pyramids = {name: textures.pyramid(p.texture) for name, p in self._prototypes.items()}
        self._placer = Placer(road, weather, self.free, self.overhang)
        self.urban: list[tuple[float, float]] = []
        self._fill()
        self.items, self.decals = self._placer.items, self._placer.decals
        self._xy = np.array([item.center for item in self.items]).reshape(-1, 2)
        self._reach = np.array([i.prototype.reach + i.radius for i in self.items])

    def visible(self, xy: NDArray[np.float64], focal: float) -> list[Item]:
        """Items within reach of a camera at xy, with the detail that suits its distance."""
        distance = np.linalg.norm(self._xy - xy, axis=1)
        near = np.flatnonzero(distance < self._reach)
        return [self.dressed(self.items[i], float(distance[i]), focal) for i in near]

    def dressed(self, item: Item, distance: float, focal: float) -> Item:
        """An item with the mesh and the texture to draw it with from a distance (m)."""
        d = max(distance - item.radius, 1.0)
        coarse = len(item.prototype.meshes) > 1 and d > COARSE_FROM
        level = round(math.log2(max(0.9 * d / focal / item.prototype.texel, 1.0)))
        level = min(level, len(self._pyramids[item.prototype.name]) - 1)
        return replace(
            item,
            key=(item.key, coarse),
            mesh=(item.prototype.name, coarse),
            texture=(item.prototype.name, level),
        )

    def car(self, model: int) -> Prototype:
        """One of the cars; numbers beyond their count go round."""
        return self._models["car"][model % len(self._models["car"])]

    def mesh(self, mesh: Hashable) -> Mesh:
        """Mesh named (prototype, whether coarse)."""
        name, coarse = cast(tuple[str, bool], mesh)
        return self._prototypes[name].meshes[1 if coarse else 0]

    def image(self, texture: Hashable) -> NDArray[np.uint8]:
        """Texture (rows, columns, 3) named (prototype, pyramid level)."""
        name, level = cast(tuple[str, int], texture)
        return textures.to_bytes(self._pyramids[name][level])

    # Zones ------------------------------------------------------------------------------

    def _fill(self) -> None:
        rng, road = self._rng, self._road
        kinds: list[str] = []
        s = road.start
        while s < road.end - 30:
            if not kinds:
                kinds = [str(k) for k in rng.permutation(["village", "field", "wood", "avenue"])]
            kind = kinds.pop()
            length = float(rng.uniform(60.0, 120.0)) * (1.35 if kind == "village" else 1.0)
            end = min(s + length, road.end - 5)
            if kind == "village":
                self.urban.append((s, end))
            for side in (1.0, -1.0):
                getattr(self, f"_{kind}")(s, end, side)
            s = end
        self._background()

    def _village(self, start: float, end: float, side: float) -> None:
        rng = self._rng
        s = start + rng.uniform(2, 6)
        while s < end - 8:
            lot = float(rng.uniform(17.0, 26.0))
            middle = s + lot / 2
            kind = "hall" if rng.random() < 0.10 else "house"
            setback = float(rng.uniform(9.3, 14.0))
            model = self._pick(kind)
            self._placer.place(
                model, middle, side * (setback + model.footprint[1] / 2), facing=True
            )
            self._boundary(s, s + lot, side, 7.6, gate=middle)
            for _ in range(int(rng.integers(2, 5))):
                at = s + rng.uniform(0, lot)
                self._placer.place(self._pick("bush"), at, side * rng.uniform(8.4, setback + 1))
            for _ in range(int(rng.integers(1, 4))):
                plant = self._pick("tree" if rng.random() < 0.75 else "conifer")
                lateral = rng.uniform(8.5, 12) if rng.random() < 0.35 else rng.uniform(22, 38)
                self._placer.place(plant, s + rng.uniform(0, lot), side * lateral)
            s += lot
        self._parked_cars(start + 4, end - 4, side, 0.55)
        if side > 0:
            for at in np.arange(start + 6, end - 2, 27.0):
                self._placer.place(self._pick("lamp"), float(at), side * 5.35, facing=True)
        self._signs(start, end, side, 0.022)

    def _boundary(self, start: float, end: float, side: float, lateral: float, gate: float) -> None:
        """Hedge, wall or fence along a lot, with a gap at the gate."""
        rng = self._rng
        kind = str(rng.choice(["hedge", "wall", "fence", "none"], p=[0.32, 0.25, 0.33, 0.10]))
        if kind == "none":
            return
        model = self._pick(kind)
        scale = 1.0 - side * lateral * float(self._road.curvature_at((start + end) / 2))
        step = 4.0 / max(scale, 0.4)
        for at in np.arange(start + step / 2, end - step / 2 + 0.01, step):
            if abs(at - gate) > 2.6:
                self._placer.place(model, float(at), side * lateral, facing=True, spacing=0.0)

    def _parked_cars(self, start: float, end: float, side: float, share: float) -> None:
        rng = self._rng
        s = start
        while s < end - 6:
            if rng.random() > share:
                s += float(rng.uniform(6, 16))
                continue
            count = int(rng.integers(1, 4))
            stop = min(s + 6.2 * count, end)
            edge = np.linspace(s, stop, 8)
            ring = np.concatenate(
                [self._road.point(edge, side * 5.0), self._road.point(edge[::-1], side * 7.15)]
            )
            placed = False
            for i in range(count):
                at = s + 3.1 + 6.2 * i
                if at + 2.4 < stop:
                    lateral = side * (6.05 + rng.normal(0, 0.06))
                    turned = rng.random() < 0.35
                    yaw = rng.normal(0, 0.02) + (math.pi if turned else 0.0)
                    model = self._pick("car")
                    placed |= self._placer.place(
                        model, at, lateral, facing=True, yaw=yaw, spacing=0.2
                    )
            if placed:
                self._placer.decals.append(Decal("gravel", ring, 0.92, 0.06))
            s = stop + float(rng.uniform(3, 12))

    def _signs(self, start: float, end: float, side: float, rate: float) -> None:
        rng = self._rng
        for _ in range(rng.poisson(rate * (end - start))):
            yaw = 0.0 if side < 0 else math.pi
            at = float(rng.uniform(start, end))
            self._placer.place(
                self._pick("sign"), at, side * rng.uniform(4.95, 5.3), yaw=yaw, spacing=0.3
            )

    def _field(self, start: float, end: float, side: float) -> None:
        rng = self._rng
        if rng.random() < 0.7:
            model = self._pick("fence")
            lateral = float(rng.uniform(7.4, 9.0))
            self._boundary_run(model, start + 2, end - 2, side, lateral)
        if rng.random() < 0.6:
            for at in np.arange(start + 5, end, 36.0):
                self._placer.place(self._pick("pole"), float(at), side * 10.2, facing=True)
        self._scatter("tree", start, end, side, 0.055, 11.0, 45.0)
        self._scatter("bush", start, end, side, 0.16, 6.0, 16.0)
        self._scatter("rock", start, end, side, 0.07, 5.6, 14.0)
        if rng.random() < 0.6:
            self._scatter("hay_bale", start, end, side, 0.05, 12.0, 40.0)
        if rng.random() < 0.5:
            kind = "house" if rng.random() < 0.6 else "hall"
            at = float(rng.uniform(start, end))
            self._placer.place(
                self._pick(kind), at, side * rng.uniform(24, 42), yaw=rng.uniform(0, 6)
            )
        self._posts(start, end, side)
        self._signs(start, end, side, 0.012)
        if rng.random() < 0.4:
            self._parked_cars(start + 10, end - 10, side, 0.25)

    def _boundary_run(
        self, model: Prototype, start: float, end: float, side: float, lateral: float
    ) -> None:
        s = start
        while s < end:
            scale = 1.0 - side * lateral * float(self._road.curvature_at(s))
            step = 4.0 / max(scale, 0.4)
            self._placer.place(model, s + step / 2, side * lateral, facing=True, spacing=0.0)
            s += step

    def _wood(self, start: float, end: float, side: float) -> None:
        rng = self._rng
        area = (end - start) * 34.0
        conifers = rng.random()
        for _ in range(int(area / rng.uniform(22, 40))):
            model = self._pick("conifer" if rng.random() < conifers else "tree")
            lateral = 7.0 + 38.0 * rng.random() ** 1.3
            self._placer.place(model, float(rng.uniform(start, end)), side * lateral, spacing=1.1)
        self._scatter("bush", start, end, side, 0.35, 5.9, 16.0)
        self._scatter("rock", start, end, side, 0.07, 5.6, 12.0)
        self._posts(start, end, side)

    def _avenue(self, start: float, end: float, side: float) -> None:
        rng = self._rng
        step = float(rng.uniform(8.0, 12.0))
        model = self._pick("tree")
        for at in np.arange(start + 4, end - 2, step):
            lateral = 7.6 + rng.normal(0, 0.15)
            self._placer.place(model, float(at), side * lateral, spacing=0.5, yaw=rng.uniform(0, 6))
        self._scatter("bush", start, end, side, 0.12, 6.0, 14.0)
        self._scatter("tree", start, end, side, 0.05, 16.0, 45.0)
        self._scatter("rock", start, end, side, 0.05, 5.6, 14.0)
        if rng.random() < 0.5:
            self._boundary_run(self._pick("fence"), start + 2, end - 2, side, 10.5)
        if rng.random() < 0.5:
            at = float(rng.uniform(start, end))
            self._placer.place(self._pick("house"), at, side * rng.uniform(20, 34), facing=True)
        self._posts(start, end, side)
        self._signs(start, end, side, 0.012)

    def _posts(self, start: float, end: float, side: float) -> None:
        model = self._pick("post")
        for at in np.arange(math.ceil(start / 25) * 25, end, 25.0):
            self._placer.place(model, float(at), side * 4.75, facing=True, spacing=0.1)

    def _scatter(
        self, kind: str, start: float, end: float, side: float, rate: float, near: float, far: float
    ) -> None:
        """`rate` things per metre of road between two lateral distances."""
        rng = self._rng
        for _ in range(rng.poisson(rate * (end - start))):
            at = float(rng.uniform(start, end))
            self._placer.place(
                self._pick(kind), at, side * rng.uniform(near, far), yaw=rng.uniform(0, 6)
            )

    def _background(self) -> None:
        """Groves and farms between 50 and 170 m from the road."""
        rng, road = self._rng, self._road
        for s in np.arange(road.start, road.end, 14.0):
            side = 1.0 if rng.random() < 0.5 else -1.0
            center = road.point(s, side * rng.uniform(52, 170))
            conifers = rng.random() < 0.4
            for _ in range(int(rng.integers(1, 7))):
                xy = center + rng.normal(0, 7.0, 2)
                model = self._pick("conifer" if conifers else "tree")
                self._placer.stand(model, xy, float(rng.uniform(0, 6)), 1.0)
            if rng.random() < 0.10:
                xy = center + rng.uniform(-15, 15, 2)
                self._placer.stand(self._pick("house"), xy, float(rng.uniform(0, 6)), 1.0)

    def _pick(self, kind: str) -> Prototype:
        models = self._models[kind]
        return models[int(self._rng.integers(len(models)))]
