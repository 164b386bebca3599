"""Metres for a reconstruction by the way that a log of the car's speed tells."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vista_sim.errors import TraceError
from vista_sim.traces.importers.visual.ground import smoothed
from vista_sim.transforms import way_along

Floats = NDArray[np.float64]

HALF = 4.0  # m to each side of a place, over which both ways are compared
APART = 1.0  # m between places
TRUST = 15.0  # a look at the road errs by 2.5 % and alike over 20 m, a log by 1 % over 8 m


def way_of(t: ArrayLike, speed: ArrayLike, wanted: ArrayLike) -> Floats:
    """The way (m,) m that speeds (n,) m/s at times (n,) s tell at times (m,); NaN beyond them."""
    t, speed, wanted = (np.asarray(values, dtype=np.float64) for values in (t, speed, wanted))
    t, speed = t[np.isfinite(speed)], speed[np.isfinite(speed)]
    if len(t) < 2:
        return np.full(len(wanted), np.nan)
    fine = np.union1d(t, wanted[(wanted >= t[0]) & (wanted <= t[-1])])
    even = np.abs(np.interp(fine, t, speed))
    way = np.concatenate([[0.0], np.cumsum(0.5 * (even[1:] + even[:-1]) * np.diff(fine))])
    return np.interp(wanted, fine, way, left=np.nan, right=np.nan)


def metres(poses: Floats, way: Floats) -> Floats:
    """Metres (n,) a unit of a chain of poses (n, 4, 4) at each of them, smoothed along the way.

    Args:
        way: (n,) m by the log, never decreasing; NaN where it does not tell.

    Raises TraceError: it tells too little.
    """
    arc = way_along(poses[:, :3, 3])
    known = np.isfinite(way)
    span = np.ptp(way[known]) if known.any() else 0.0
    if span < 4 * HALF:
        raise TraceError(
            f"the log tells {span:.1f} m of way where the pictures do; at least {4 * HALF:g} m are "
            "needed (are both of one drive, and time_offset right?)"
        )
    first = float(way[known][0])
    places = np.arange(first + HALF, first + span - HALF, APART)
    low, here, high = (
        np.interp(places + aside, way[known], arc[known]) for aside in (-HALF, 0.0, HALF)
    )
    units = np.maximum(high - low, 1e-12) / (2 * HALF)
    rows = np.minimum(np.searchsorted(arc, here), len(arc) - 1)
    ahead = poses[rows, :3, 2]
    turned = np.arccos(np.clip(np.sum(ahead[1:] * ahead[:-1], axis=1), -1.0, 1.0))
    course = smoothed(places, turned, units, np.full(len(units), TRUST))
    return np.asarray(1.0 / np.interp(arc, here, course))
