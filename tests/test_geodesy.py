"""Places on earth against published positions, and there and back."""

import math

import numpy as np
import pytest

from vista_sim.errors import TraceError
from vista_sim.traces.geodesy import (
    earth_of_geodetic,
    geodetic_of_earth,
    geodetic_of_local,
    local_of_geodetic,
)
from vista_sim.traces.known import read_known
from vista_sim.traces.origin import Origin
from vista_sim.transforms import planar_pose


def test_the_axes_of_the_ellipsoid_are_those_of_wgs_84():
    found = earth_of_geodetic([0, 0, 90], [0, 90, 0], [0, 0, 0])
    wanted = [[6378137.0, 0, 0], [0, 6378137.0, 0], [0, 0, 6356752.314245]]
    np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_earth_and_back():
    rng = np.random.default_rng(0)
    latitude, longitude = rng.uniform(-89.9, 89.9, 50), rng.uniform(-180, 180, 50)
    altitude = rng.uniform(-400, 9000, 50)
    back = geodetic_of_earth(earth_of_geodetic(latitude, longitude, altitude))
    np.testing.assert_allclose(back[0], latitude, atol=1e-12)
    np.testing.assert_allclose(back[1], longitude, atol=1e-12)
    np.testing.assert_allclose(back[2], altitude, atol=1e-7)


@pytest.mark.parametrize("latitude", [0.0, 49.0, -33.0])
def test_small_ways_are_those_of_the_radii_of_curvature(latitude):
    """Meridian and prime vertical radius, from the ellipsoid's axes."""
    a, b = 6378137.0, 6356752.314245
    c, s = math.cos(math.radians(latitude)), math.sin(math.radians(latitude))
    w = math.hypot(a * c, b * s)
    meridian, vertical = (a * b) ** 2 / w**3, a**2 / w
    step = 1e-4
    local = local_of_geodetic(
        [latitude, latitude + step, latitude], [8.0, 8.0, 8.0 + step], [100.0, 100.0, 107.0]
    )
    north, east = math.radians(step) * (meridian + 100), math.radians(step) * (vertical + 107) * c
    np.testing.assert_allclose(local[1], [0, north, 0], atol=1e-4)
    np.testing.assert_allclose(local[2], [east, 0, 7], atol=1e-4)


def test_a_frame_that_is_moved_lies_where_its_origin_says():
    origin = Origin(49.0, 8.4, 120.0, heading=math.radians(30))
    pose = planar_pose(1000.0, -200.0, math.radians(-50))
    pose[2, 3] = 3.0
    moved = origin.moved(pose)
    assert moved.heading == pytest.approx(math.radians(-20))
    back = local_of_geodetic(
        [origin.latitude, moved.latitude],
        [origin.longitude, moved.longitude],
        [origin.altitude, moved.altitude],
    )[1]
    c, s = math.cos(origin.heading), math.sin(origin.heading)
    np.testing.assert_allclose(back, [1000 * c + 200 * s, 1000 * s - 200 * c, 3.0], atol=1e-6)
    there = geodetic_of_local(back, origin.latitude, origin.longitude, origin.altitude)
    assert [float(value) for value in there] == pytest.approx(
        [moved.latitude, moved.longitude, moved.altitude]
    )


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"latitude": 91.0, "longitude": 0.0},
            "latitude is 91.0; it must be a number from -90 to 90",
        ),
        ({"latitude": "north", "longitude": 0.0}, "latitude is 'north'"),
        ({"longitude": 0.0}, "latitude is missing"),
        ({"latitude": 0.0, "longitude": 0.0, "heading": math.nan}, "heading is nan"),
        ([49.0, 8.0], "must be an object"),
    ],
)
def test_a_wrong_origin_is_refused(values, message):
    with pytest.raises(TraceError, match=message):
        Origin.from_json(values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"front": {"lens": "guessed"}}, "known of 'front': 'lens' is 'guessed'; it must be recor"),
        ({"front": "recorded"}, "must be a JSON object"),
        (["front"], "must be a JSON object"),
    ],
)
def test_where_a_calibration_comes_from_is_one_of_four_words(values, message):
    with pytest.raises(TraceError, match=message):
        read_known(values)
    assert read_known({"front": {"lens": "given"}}) == {"front": {"lens": "given"}}
