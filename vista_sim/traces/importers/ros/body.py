"""What a bag tells the motion of: a body that is fixed to the car."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from vista_sim.errors import TraceError
from vista_sim.traces.importers.recording import Floats, Times
from vista_sim.traces.importers.ros.bag import Topic
from vista_sim.traces.importers.ros.survey import Survey
from vista_sim.transforms import Matrix

MAX_STD = 100.0  # m or rad; more stands for "not known"


@dataclass(frozen=True, eq=False)
class Body:
    """Poses of what a bag tells the motion of: (n, 4, 4) at times (n,), ns, in a frame with z up.

    Args:
        frame: its name; "": not told. turn: of what its axes are, where that is another's: an
            Imu's beside an antenna; "vehicle": the car's own.
        velocity, rates: (n, 3) m/s and rad/s, along its own axes; NaN: not told.
        std: of the position, m, and of the heading, rad, (n,) each, where told.
        place: latitude, longitude, altitude of the frame's origin.
    """

    t_ns: Times
    poses: Matrix
    frame: str
    velocity: Floats
    rates: Floats
    std: Mapping[str, Floats]
    place: tuple[float, float, float] | None = None
    turn: str = ""


def rows_of(survey: Survey, topic: Topic, where: str) -> tuple[Times, Floats]:
    """Times, ns, and what is kept of the messages of a topic. Raises TraceError: under two."""
    kept = survey.kept(topic.name)
    rows = survey.series[topic.name].table()[kept.numbers]
    if len(rows) < 2:
        raise TraceError(f"{where}: holds {len(rows)} usable messages; at least 2 are needed")
    return kept.t_ns, rows


def told_std(std: Mapping[str, Floats]) -> dict[str, Floats]:
    """Those that say something: not all zero, nor of a size that stands for "not known"."""
    return {
        name: values
        for name, values in std.items()
        if np.isfinite(values).all() and values.any() and values.max() <= MAX_STD
    }
