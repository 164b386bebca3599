"""Whether poses come often enough for the curves that are driven."""

from __future__ import annotations

import numpy as np

from vista_sim.traces.checks.finding import Finding
from vista_sim.traces.checks.motion import Motion
from vista_sim.traces.checks.units import EGO

LARGEST = 0.1  # m between the interpolated and the driven way
TURN, BRAKE = 3.0, 12.0  # rad/s and m/s²; what changes faster is a fault of the columns


def pose_rate(motion: Motion) -> list[Finding]:
    """Poses between two rows are a straight line: off by the arc's rise, and by the braking.

    A chord c that turns by a has the rise c a / 8; a speed that changes by dv within dt is off
    by dv dt / 8 from a straight line (both to second order).
    """
    dt = motion.dt
    way = 0.5 * np.abs(motion.speed[1:] + motion.speed[:-1]) * dt
    turn, change = np.abs(np.diff(motion.yaw)), np.abs(np.diff(motion.speed))
    possible = motion.steps_sound & (turn < TURN * dt) & (change < BRAKE * dt)
    error = np.where(possible, np.hypot(way * turn, change * dt) / 8.0, 0.0)
    bad = error > LARGEST
    if np.count_nonzero(bad) < 2:  # one alone is a jump
        return []
    row = int(np.argmax(error))
    needed = np.ceil(np.sqrt(error[row] / LARGEST) / dt[row])
    text = (
        f"poses are {dt[row]:.2g} s apart; between them the way is off by up to "
        f"{error[row]:.2f} m ({motion.t[row]:.1f} s)"
    )
    remedy = f"record or interpolate poses at {needed:.0f} Hz or more to stay within {LARGEST} m"
    return [Finding("pose-rate", "warn", EGO, text, remedy)]
