"""Places on the ellipsoid WGS 84 and metres around one of them.

Frames: geodetic (degrees, m above the ellipsoid); earth, centred and fixed (ECEF, m); local: east,
north and up of a place, in the plane that touches the ellipsoid there. Formulas: Hofmann-Wellenhof,
Lichtenegger, Wasle, "GNSS", 2008, sections 8.2 and 8.3.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

_A, _F = 6378137.0, 1 / 298.257223563  # m; semi-major axis and flattening
_B, _E2 = _A * (1 - _F), _F * (2 - _F)


def earth_of_geodetic(latitude: ArrayLike, longitude: ArrayLike, altitude: ArrayLike) -> Floats:
    """Earth-fixed positions (n, 3), m, of latitudes and longitudes, degrees, and altitudes, m."""
    lat, lon = np.radians(np.asarray(latitude, float)), np.radians(np.asarray(longitude, float))
    height = np.asarray(altitude, dtype=np.float64)
    normal = _A / np.sqrt(1 - _E2 * np.sin(lat) ** 2)
    across = (normal + height) * np.cos(lat)
    z = (normal * (1 - _E2) + height) * np.sin(lat)
    return np.stack([across * np.cos(lon), across * np.sin(lon), z], axis=-1)


def geodetic_of_earth(position: ArrayLike) -> tuple[Floats, Floats, Floats]:
    """Latitude and longitude, degrees, and altitude, m, of earth-fixed positions (n, 3), m.

    Bowring's formula: on the road exact to far below a millimetre.
    """
    x, y, z = np.moveaxis(np.asarray(position, dtype=np.float64), -1, 0)
    across = np.hypot(x, y)
    beta = np.arctan2(_A * z, _B * across)
    for _ in range(2):
        lat = np.arctan2(
            z + (_A**2 / _B**2 - 1) * _B * np.sin(beta) ** 3, across - _E2 * _A * np.cos(beta) ** 3
        )
        beta = np.arctan2((1 - _F) * np.sin(lat), np.cos(lat))
    normal = _A / np.sqrt(1 - _E2 * np.sin(lat) ** 2)
    height = across * np.cos(lat) + z * np.sin(lat) - _A**2 / normal
    return np.degrees(lat), np.degrees(np.arctan2(y, x)), height


def local_of_geodetic(latitude: ArrayLike, longitude: ArrayLike, altitude: ArrayLike) -> Floats:
    """Positions (n, 3), m east, north and up of the first of these places (n,)."""
    earth = earth_of_geodetic(latitude, longitude, altitude)
    axes = _axes(float(np.ravel(latitude)[0]), float(np.ravel(longitude)[0]))
    return np.asarray((earth - earth[0]) @ axes.T)


def geodetic_of_local(
    position: ArrayLike, latitude: float, longitude: float, altitude: float
) -> tuple[Floats, Floats, Floats]:
    """Latitude and longitude, degrees, and altitude, m, of positions (..., 3) m east, north and up
    of a place.
    """
    there = earth_of_geodetic(latitude, longitude, altitude)
    return geodetic_of_earth(
        there + np.asarray(position, dtype=np.float64) @ _axes(latitude, longitude)
    )


def _axes(latitude: float, longitude: float) -> Floats:
    s, c = math.sin(math.radians(latitude)), math.cos(math.radians(latitude))
    sl, cl = math.sin(math.radians(longitude)), math.cos(math.radians(longitude))
    return np.array([[-sl, cl, 0.0], [-s * cl, -s * sl, c], [c * cl, c * sl, s]])
