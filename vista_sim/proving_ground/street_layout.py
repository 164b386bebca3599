"""What stands along a city street: parked cars, houses, blocks of flats, trees and lamps."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np

from vista_sim.proving_ground import buildings, cars, plants, things
from vista_sim.proving_ground.blocks import block
from vista_sim.proving_ground.layout import Kinds, Layout
from vista_sim.proving_ground.prototype import Prototype
from vista_sim.proving_ground.street import Side, sides_of
from vista_sim.proving_ground.surface import Decal

CAR_WIDTH = 1.76  # m
TIGHTEST = 1 / 24.0  # 1/m, curvature beyond which nobody parks
ZEBRA_ROOM = 8.0  # m around a crossing where nobody parks


class StreetLayout(Layout):
    """Everything beside a city's street."""

    kinds: ClassVar[Kinds] = {
        "house": (buildings.house, 8),
        "block": (block, 7),
        "tree": (plants.tree, 6),
        "bush": (plants.bush, 4),
        "hedge": (plants.hedge, 3),
        "car": (cars.car, 14),
        "fence": (things.fence, 3),
        "wall": (buildings.wall, 4),
        "lamp": (things.lamp, 1),
        "sign": (things.sign, 4),
    }
    free, overhang = 0.12, 2.6

    def _fill(self) -> None:
        road, rng = self._road, self._rng
        street = road.shape.street
        assert street is not None
        self._mix = rng.dirichlet([1.2, 1.2, 0.5])  # of this part of the city
        self._oncoming = street.oncoming
        for side in sides_of(street, road.seed):
            self._parked_along(side)
            s = road.start
            while s < road.end - 30:
                end = min(s + float(rng.uniform(45.0, 130.0)), road.end - 5)
                kind = str(rng.choice(["houses", "blocks", "green"], p=self._mix))
                getattr(self, f"_{kind}")(s, end, side)
                self._pavement(s, end, side)
                s = end
        self._background()

    def _parked_along(self, side: Side) -> None:
        """Cars at the kerb, in runs with gaps for gates and corners."""
        rng, road = self._rng, self._road
        if side.parked == 0:
            return
        s = road.start + 4.0
        tidy = float(rng.uniform(0.02, 0.09))
        while s < road.end - 10:
            if rng.random() > side.parked:
                s += float(rng.uniform(4.0, 14.0))
                continue
            for _ in range(int(rng.integers(1, 7))):
                s += float(rng.uniform(4.9, 6.2))
                self._park(s, side, tidy)
            s += float(rng.uniform(0.0, 6.0))

    def _park(self, s: float, side: Side, tidy: float) -> None:
        rng, road = self._rng, self._road
        model = self._pick("car")
        gap = float(np.clip(rng.normal(0.36, tidy), 0.22, 0.5))
        against = self._oncoming and side.sign > 0  # parked as they came
        if rng.random() < 0.05:
            against = not against
        yaw = float(rng.normal(0, 0.012)) + (math.pi if against else 0.0)
        if abs(float(road.curvature_at(s))) > TIGHTEST:
            return
        if any(abs(s - zebra) < ZEBRA_ROOM for zebra in road.crossings):
            return
        lateral = side.sign * (road.half_width + gap + CAR_WIDTH / 2)
        self._placer.place(model, s, lateral, yaw=yaw, spacing=0.1)

    # What lies behind the pavement ------------------------------------------------------

    def _houses(self, start: float, end: float, side: Side) -> None:
        """Houses behind small gardens or at the pavement itself."""
        rng = self._rng
        edge = side.kerb + side.walk
        setback = float(rng.choice([1.6, 2.5, 4.0, 6.0])) + float(rng.uniform(0.0, 0.8))
        paved = rng.random() < 0.4
        s = start + float(rng.uniform(0.5, 4.0))
        while s < end - 7:
            model = self._pick("house")
            width = model.footprint[0] / self._stretch(s, side.sign * (edge + setback))
            if self._building(model, s + width / 2, side, edge + setback):
                gap = float(rng.uniform(1.0, 7.0))
                self._boundary(s, s + width + gap, side.sign, edge + 0.35, gate=s + width / 2)
                self._garden(s, s + width + gap, side, edge, setback, gap)
            else:
                gap = 0.0
            if paved:
                self._pave(s, s + width + gap, side, edge - 0.1, edge + setback)
            s += width + gap

    def _garden(
        self, start: float, end: float, side: Side, edge: float, setback: float, gap: float
    ) -> None:
        rng = self._rng
        for _ in range(int(rng.integers(1, 4))):
            at = float(rng.uniform(start, end))
            lateral = side.sign * (edge + float(rng.uniform(0.8, max(setback, 1.2))))
            self._placer.place(self._pick("bush"), at, lateral, spacing=0.2)
        if setback > 3.5 and rng.random() < 0.6:
            at = float(rng.uniform(start, end))
            self._placer.place(self._pick("tree"), at, side.sign * (edge + 2.2), spacing=0.0)
        if gap > 4.5 and rng.random() < 0.7:
            yaw = math.pi / 2 if rng.random() < 0.5 else -math.pi / 2
            lateral = side.sign * (edge + float(rng.uniform(3.0, 5.0)))
            self._pave(end - gap, end, side, edge - 0.1, edge + 8.0)
            self._placer.place(self._pick("car"), end - gap / 2, lateral, yaw=yaw, spacing=0.0)

    def _blocks(self, start: float, end: float, side: Side) -> None:
        """Blocks of flats, most wall to wall, at the pavement."""
        rng = self._rng
        edge = side.kerb + side.walk
        setback = float(rng.uniform(0.1, 0.6)) if rng.random() < 0.6 else rng.uniform(2.0, 6.0)
        s = start
        while s < end - 8:
            model = self._pick("block")
            width = model.footprint[0] / self._stretch(s, side.sign * (edge + setback))
            self._building(model, s + width / 2, side, edge + setback)
            s += width + (float(rng.uniform(3.0, 9.0)) if rng.random() < 0.25 else 0.05)
        self._pave(start, end, side, edge - 0.1, edge + setback + 6.0)

    def _green(self, start: float, end: float, side: Side) -> None:
        """A park: grass, trees, hedges, and a wall around some."""
        rng = self._rng
        edge = side.kerb + side.walk
        if rng.random() < 0.5:
            kind = str(rng.choice(["wall", "hedge", "fence"]))
            model = self._pick(kind)
            self._boundary_run(model, start + 1, end - 1, side.sign, edge + 0.5)
        self._scatter("tree", start, end, side.sign, 0.16, edge + 2.5, edge + 22.0)
        self._scatter("bush", start, end, side.sign, 0.12, edge + 1.2, edge + 12.0)
        for at in np.arange(start + 10.0, end - 10.0, 22.0):
            model = self._pick("block")
            self._building(model, float(at), side, edge + float(rng.uniform(24.0, 40.0)))

    # Helpers ----------------------------------------------------------------------------

    def _building(self, model: Prototype, s: float, side: Side, front: float) -> bool:
        """Put a building's front so far (m) from the middle of the street, if it has room."""
        lateral = side.sign * (front + model.footprint[1] / 2)
        free = side.kerb + 0.8 * side.walk - self._road.half_width
        return self._placer.place(model, s, lateral, facing=True, spacing=0.0, free=free)

    def _stretch(self, s: float, lateral: float) -> float:
        """How much longer a line beside the middle is than the middle, at s."""
        return max(1.0 - lateral * float(self._road.curvature_at(s)), 0.4)

    def _pave(self, start: float, end: float, side: Side, near: float, far: float) -> None:
        """Slabs between two distances from the middle of the street."""
        s = np.linspace(start, end, max(2, round((end - start) / 3.0)))
        ring = [self._road.point(s, side.sign * near), self._road.point(s[::-1], side.sign * far)]
        self._placer.decals.append(Decal("paving", np.concatenate(ring), 0.95, 0.04))

    def _background(self) -> None:
        """The city behind the first row: blocks, houses and trees."""
        rng, road = self._rng, self._road
        for s in np.arange(road.start, road.end, 11.0):
            for side in (1.0, -1.0):
                xy = road.point(s, side * rng.uniform(42.0, 110.0))
                if np.min(road.distance(xy)) < 36.0:
                    continue
                kind = str(rng.choice(["block", "house", "tree"], p=[0.35, 0.25, 0.4]))
                yaw = float(road.heading_at(s)) + float(rng.choice([0.0, math.pi / 2, math.pi]))
                self._placer.stand(self._pick(kind), xy, yaw, 0.5)

    def _pavement(self, start: float, end: float, side: Side) -> None:
        """Lamps, signs and trees at the kerb."""
        rng = self._rng
        lamps = np.arange(start + 8.0, end, 26.0)
        for at in lamps:
            self._placer.place(
                self._pick("lamp"), float(at), side.sign * (side.kerb + 0.45), True, spacing=0.0
            )
        if rng.random() < 0.62:
            model = self._pick("tree")
            step = float(rng.uniform(6.5, 13.0))
            for at in np.arange(start + 3.0, end - 2.0, step):
                if np.abs(lamps - at).min(initial=9.0) > 1.5 and rng.random() < 0.85:
                    lateral = side.sign * (side.kerb + 0.75)
                    yaw = float(rng.uniform(0, 6))
                    self._placer.place(model, float(at), lateral, yaw=yaw, spacing=0.0)
        for _ in range(rng.poisson(0.03 * (end - start))):
            at = float(rng.uniform(start, end))
            yaw = math.pi if side.sign > 0 else 0.0
            lateral = side.sign * (side.kerb + 0.55)
            self._placer.place(self._pick("sign"), at, lateral, yaw=yaw, spacing=0.0)
