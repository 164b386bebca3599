"""City streets of the proving ground: where one drives, and what stands beside."""

import json
import math

import numpy as np
import pytest
from scipy.spatial import cKDTree

from vista_sim.errors import VistaError
from vista_sim.proving_ground import street_layout
from vista_sim.proving_ground.driver import drive
from vista_sim.proving_ground.record import Motion, Recording, road_edges
from vista_sim.proving_ground.road import Road
from vista_sim.proving_ground.sky import Weather
from vista_sim.proving_ground.street import WAYS, Street, sides_of
from vista_sim.proving_ground.street_layout import StreetLayout
from vista_sim.proving_ground.street_surface import StreetSurface

SEED = 21
MIDDLES = {"two-way": -1.5, "one-way": 0.0, "right-lane": -1.5, "left-lane": 1.5}


def recorded(way: str, **values: object) -> Recording:
    street = Street(way, "all", 3.0, (0.8, 0.8))
    return Recording(seed=SEED, seconds=10.0, street=street, **values)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def road() -> Road:
    return Road(SEED, recorded("one-way").road_shape)


@pytest.fixture(scope="module")
def layout(road: Road) -> StreetLayout:
    with pytest.MonkeyPatch.context() as patch:  # a few models are as good as all
        few = {kind: (make, 1) for kind, (make, _) in StreetLayout.kinds.items()}
        patch.setattr(street_layout.StreetLayout, "kinds", few)
        return StreetLayout(SEED, road, Weather.draw(SEED))


@pytest.mark.parametrize("way", WAYS)
def test_the_drive_keeps_to_the_middle_of_its_way(way: str) -> None:
    recording = recorded(way)
    road = Road(SEED, recording.road_shape)
    driven = drive(road, SEED, 10.0)
    off = np.linalg.norm(driven.xy - road.point(driven.s, MIDDLES[way]), axis=1)
    assert off.max() < 0.25
    assert driven.speed.max() < 11.0


def test_road_edges_lie_a_lane_width_from_the_middle_of_the_street() -> None:
    recording = recorded("left-lane")
    motion = Motion.simulate(recording, Road(SEED, recording.road_shape))
    _, left, right = road_edges(motion)
    assert np.allclose(left + right, 6.0)
    assert np.allclose(left, 1.5, atol=0.25)


def test_parked_cars_stand_beside_the_driven_way(road: Road, layout: StreetLayout) -> None:
    cars = [item for item in layout.items if item.prototype.name.startswith("car")]
    path = cKDTree(drive(road, SEED, 10.0).xy)
    near = 0
    for car in cars:
        z, w = car.pose[1][2:]
        yaw = 2 * math.atan2(z, w)
        length, width = car.prototype.footprint
        along, across = np.meshgrid(np.linspace(-0.5, 0.5, 21), (-0.5, 0.5))
        local = np.column_stack([along.ravel() * length, across.ravel() * width])
        turn = np.array([[math.cos(yaw), -math.sin(yaw)], [math.sin(yaw), math.cos(yaw)]])
        outline = local @ turn.T + car.center
        assert road.distance(outline).min() > road.half_width  # its edge is 3 m from the middle
        distance, _ = path.query(outline)
        assert distance.min() > 1.2
        near += bool(distance.min() < 4.0)
    assert near >= 8
    _, lateral = road.project(np.array([car.center for car in cars]))
    kerbside = np.abs(lateral) < 4.6
    for side in (lateral > 0, lateral < 0):
        assert np.sum(kerbside & side) > 10


def test_buildings_leave_the_pavement_free(road: Road, layout: StreetLayout) -> None:
    sides = sides_of(road.shape.street, SEED)
    houses = [i for i in layout.items if i.prototype.name.startswith(("house", "block"))]
    assert len(houses) > 20
    for house in houses:
        low = house.prototype.meshes[0].vertices
        low = low[low[:, 2] < 0.2, :2]
        z, w = house.pose[1][2:]
        yaw = 2 * math.atan2(z, w)
        turn = np.array([[math.cos(yaw), -math.sin(yaw)], [math.sin(yaw), math.cos(yaw)]])
        _, lateral = road.project(low @ turn.T + house.center)
        kerb = sides[0].kerb if lateral.mean() > 0 else sides[1].kerb
        assert np.abs(lateral).min() > kerb


def test_the_ground_shows_kerbs_and_only_the_lines_that_were_asked_for(road: Road) -> None:
    def strip(lines: str) -> np.ndarray:
        shape = Recording(seed=SEED, street=Street("two-way", lines, 3.0, (0.8, 0.0))).road_shape
        return StreetSurface(SEED, Road(SEED, shape)).strip(0.0, 32.0, 128, 200)

    bare, lined = strip("none"), strip("centre")
    middle = slice(97, 103)  # columns of 0.1 m: 0.3 m on either side of the middle
    assert lined[:, middle].max() - bare[:, middle].max() > 0.1
    beside = np.r_[40:90, 110:125]
    assert np.abs(lined[:, beside] - bare[:, beside]).mean() < 0.02
    right_kerb, right_lane = bare[:, 131], bare[:, 110:125]
    assert right_kerb.mean() > right_lane.mean()


def test_nobody_comes_the_other_way_on_a_one_way_street() -> None:
    recording = recorded("one-way", traffic=2)
    motion = Motion.simulate(recording, Road(SEED, recording.road_shape))
    assert [car.oncoming for car in motion.traffic] == [False, False]
    assert all(np.abs(car.lateral).max() < 0.3 for car in motion.traffic)
    with pytest.raises(VistaError, match=r"traffic is 4.*one-way"):
        recorded("one-way", traffic=4)


def test_a_street_is_read_back_and_a_country_road_says_nothing_of_one() -> None:
    recording = recorded("left-lane")
    assert Recording.from_json(json.loads(json.dumps(recording.to_json()))) == recording
    assert "street" not in Recording().to_json()


def test_a_seed_draws_streets_that_differ_but_keeps_what_is_asked_for() -> None:
    drawn = [Street.draw(seed) for seed in range(40)]
    assert {street.way for street in drawn} == set(WAYS)
    assert {street.lines for street in drawn} == {"none", "centre", "edges", "all"}
    assert Street.draw(3) == drawn[3]
    assert {Street.draw(seed, "one-way", "none").way for seed in range(9)} == {"one-way"}


@pytest.mark.parametrize(
    "wrong",
    [{"way": "up"}, {"lines": "red"}, {"lane_width": 9.0}, {"parked": (0.5, 1.5)}],
)
def test_a_wrong_value_is_one_line_that_names_it(wrong: dict[str, object]) -> None:
    with pytest.raises(VistaError, match=next(iter(wrong))) as caught:
        Street(**wrong)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    with pytest.raises(VistaError, match=next(iter(wrong))):
        Recording.from_json({"street": wrong})
