"""Behaviour cloning: recorded frames, labelled with what the human did there.

Pomerleau, "ALVINN" (1989); Bojarski et al. (2016). On recorded frames alone nothing is off the
path, so nothing teaches the way back: a policy that drifts meets views it has never seen (Ross
and Bagnell, "Efficient Reductions for Imitation Learning", 2010). The classic remedy are shifted
views: frames as a camera to the left or right, or turned, would have seen them, with a label that
leads back to the path. Shifts alone teach to steer towards the path, but not to straighten up on
the way there: a car that steers by its offset alone swings about the path.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from vista_sim.dynamics.state import OFFSET_X, OFFSET_YAW, SCENE_TIME
from vista_sim.sensors.rig import Rig
from vista_sim.world import World

from ..networks.network import DrivingNetwork
from .drives import SplitTrace, command_at
from .frames import Batch, Frames
from .gather import stacked
from .labels import Labeller
from .road import Interval, balanced_weights
from .sampling import Sampler
from .setup import Setup

# Farther to the side (m), or turned further (rad), little of a view was recorded.
FARTHEST, STEEPEST = 5.0, 0.5
ROW = np.array([0])  # of the one car


@dataclass(frozen=True)
class ShiftConfig:
    """Shifted views of recorded frames."""

    lateral: tuple[float, ...] = ()
    """Shifts to the left, m, such as -1 1; none: recorded frames alone."""
    heading: tuple[float, ...] = ()
    """Turns to the left, rad, such as -0.1 0.1; each is seen at each shift, and at none."""
    time: float = 1.0
    """Time after which the circle that leads a shifted car back meets the path, s."""

    def __post_init__(self) -> None:
        if not 0 < self.time < math.inf:
            raise ValueError(f"time is {self.time} s; it must be positive and finite")
        for shift in self.lateral:
            if not abs(shift) <= FARTHEST:
                raise ValueError(f"lateral is {shift} m; at most {FARTHEST:g} m can be seen from")
        for turn in self.heading:
            if not abs(turn) <= STEEPEST:
                raise ValueError(
                    f"heading is {turn} rad; at most {STEEPEST:g} rad can be seen from"
                )

    @property
    def offsets(self) -> Iterator[tuple[float, float]]:
        """Every lateral shift (m) with every turn (rad), the recording itself first."""
        return product((0.0, *self.lateral), (0.0, *self.heading))


class RecordedSource:
    """Windows of recorded frames, bends of every curvature equally often."""

    def __init__(self, setup: Setup, shift: ShiftConfig) -> None:
        drives = [RecordedDrive(setup, drive) for drive in setup.open()]
        self._seed = setup.seed
        labeller = setup.labeller
        train = _frames(drives, labeller, shift, validation=False)
        held_out = _frames(drives, labeller, shift, validation=True)
        weights = balanced_weights(train.curvature.astype(np.float64))
        self._sampler = Sampler(setup.windows, [train], [weights])
        self._validation = setup.windows.of_all(held_out)

    def prepare(self, step: int, network: DrivingNetwork) -> None:
        """All data are there."""

    def batch(self, step: int, size: int) -> Batch:
        return self._sampler.batch(size, np.random.default_rng([self._seed, 1, step]))

    def validation(self) -> Batch:
        return self._validation

    def close(self) -> None:
        """Nothing works in the background."""


def _frames(
    drives: Sequence[RecordedDrive], labeller: Labeller, shift: ShiftConfig, validation: bool
) -> Frames:
    parts = []
    for along in drives:
        for interval in along.drive.validation if validation else along.drive.train:
            for offset in shift.offsets:
                rows = list(_episode(along, labeller, interval, offset, shift.time))
                if rows:
                    parts.append(stacked(rows))
    return Frames.joined(parts)


def _episode(
    along: RecordedDrive,
    labeller: Labeller,
    interval: Interval,
    offset: tuple[float, float],
    time: float,
) -> Iterator[dict[str, object]]:
    """Rows of frames recorded on a stretch of road, seen from an offset to the left (m, rad)."""
    drive = along.drive
    trace, path = drive.trace, drive.path
    lateral, heading = offset
    times = trace.ego.t if drive.recorded is None else trace.cameras[drive.recorded].t
    along.begin()
    for t in map(float, times):
        s = path.arc_length(t)
        if not interval[0] <= s <= interval[1]:
            continue
        speed = trace.speed(t)
        back = way_back(lateral, heading, max(speed * time, 1.0))
        yield {
            "episode": 0,
            "speed": speed,
            "command": command_at(trace, t),
            "curvature": path.curvature(s) + back,
            "acceleration": labeller.acceleration(path, s, speed),
            "waypoints": labeller.waypoints(path, *path.place(s, lateral, heading), s),
            "readings": along.read(t, s, lateral, heading),
        }


class RecordedDrive:
    """What a policy's sensors read along a recorded drive; they remember what they read since
    `begin`.

    Args:
        setup: what is learned from, and for.
        drive: that is read along.
    """

    def __init__(self, setup: Setup, drive: SplitTrace) -> None:
        self.drive = drive
        self._car = World([drive.trace], recorded_camera=setup.recorded).spawn_agent()
        self._rig = Rig()
        for name, spec in setup.sensors.items():
            self._rig.add(name, spec)
        self.begin()

    def begin(self) -> None:
        """Forget what was read."""
        self._begun = False

    def read(self, t: float, s: float, lateral: float, heading: float) -> dict[str, Any]:
        """Readings, by name.

        Args:
            t: moment of the recording, s.
            s: arc length of the path there, m.
            lateral, heading: of the sensors' car, to the left of the recorded one, m and rad.
        """
        self._car.start(0, s, lateral, heading)
        view = self._car.view()
        view.table = view.table.copy()
        view.table[view.rows, SCENE_TIME] = t
        view.table[view.rows, OFFSET_X : OFFSET_YAW + 1] = 0.0, lateral, heading
        if not self._begun:
            self._rig.reset(view, ROW, [np.random.default_rng(0)])
            self._begun = True
        readings = self._rig.empty()
        self._rig.read([(view, ROW)], readings)
        return {name: one.value[0] for name, one in readings.items()}


def way_back(lateral: float, heading: float, ahead: float) -> float:
    """Curvature of the circle from beside a straight path back to it, 1/m.

    Args:
        lateral, heading: of the car, to the left of the path, m and rad.
        ahead: distance along the path to the point where the circle meets it, m.
    """
    # The chord's lateral component in the car's frame, times 2 over its length squared.
    beside = -math.sin(heading) * ahead - math.cos(heading) * lateral
    return 2.0 * beside / (ahead**2 + lateral**2)
