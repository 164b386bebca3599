"""How closely the car follows the recorded path: an error for each row of the steps."""

from __future__ import annotations

import numpy as np

from vista_sim.evaluation.metrics.tables import Floats, Table, floats


def cross_track_error(steps: Table) -> Floats:
    """Distance from the recorded path, (n,), a row each. Unit: m.

    Summed up as mean, root mean square, 95th percentile (`tables.percentile_95`) and maximum,
    over rows, which are equally far apart in time.
    """
    return np.abs(floats(steps, "lateral"))


def heading_error(steps: Table) -> Floats:
    """Size of the angle to the recorded path's direction, (n,), a row each. Unit: rad.

    Summed up as the cross-track error is.
    """
    return np.abs(floats(steps, "heading_error"))
