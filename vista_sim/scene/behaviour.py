"""What moves the bodies of a scene that nobody drives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vista_sim.dynamics import state as c
from vista_sim.dynamics.state import Table
from vista_sim.errors import WorldError
from vista_sim.scene.box import GREY, Box
from vista_sim.traces.trace import Trace
from vista_sim.traces.tracks import Track
from vista_sim.transforms import yaw_of

Rows = NDArray[np.int64]


class Behaviour(Protocol):
    """Says where some bodies of a scene are; one may serve many scenes, and keeps nothing of them.

    A body without a place, X is NaN, is not there.
    """

    def bodies(self, recording: Trace) -> Sequence[Box]:
        """Those that come along where a scene begins in a recording. Raises VistaError."""

    def act(self, recording: Trace, table: Table, rows: Rows, time: float) -> None:
        """Move its bodies.

        Args:
            recording: that the scene is in.
            table: of all bodies, see `dynamics.state`; those that do not stand on the recorded
                road have Z, PITCH and ROLL.
            rows: theirs, in the order of `bodies`.
            time: the moment of the scene, s of the recording.
        """


class RecordedTracks:
    """Other road users drive as they were recorded (`tracks.parquet`).

    Args:
        colour: of their boxes, RGB.
    """

    def __init__(self, colour: tuple[int, int, int] = GREY) -> None:
        self._colour = colour

    def bodies(self, recording: Trace) -> Sequence[Box]:
        """See `Behaviour`."""
        return [Box(_size(track), self._colour) for track in recording.road_users]

    def act(self, recording: Trace, table: Table, rows: Rows, time: float) -> None:
        """See `Behaviour`."""
        for row, track in zip(rows.tolist(), recording.road_users, strict=True):
            ((pose,), (known,)) = track.at(np.array([time]))
            table[row, c.X] = np.nan
            if known:
                table[row, [c.X, c.Y, c.Z]] = pose[:3, 3]
                table[row, c.YAW] = yaw_of(pose)
                table[row, c.PITCH] = -np.arcsin(np.clip(pose[2, 0], -1.0, 1.0))
                table[row, c.ROLL] = np.arctan2(pose[2, 1], pose[2, 2])


class RecordedDrive:
    """A car drives as one did before: its rows of the table, step by step.

    Args:
        rows: (n, WIDTH) of the car at `times`, each a copy of `Car.state`.
        times: (n,) s of the recording, increasing: `Scene.time` then; between two of them the car
            is where it was at the earlier, and before the first and after the last it is not there.
        box: of the car.

    Raises:
        WorldError: other shapes, or times that do not increase.
    """

    def __init__(self, rows: Table, times: NDArray[np.float64], box: Box) -> None:
        self._rows = np.array(rows, dtype=np.float64).reshape(-1, c.WIDTH)
        self._times, self._box = np.array(times, dtype=np.float64), box
        if self._times.shape != (len(self._rows),) or not len(self._rows):
            raise WorldError(f"a drive has {len(self._rows)} rows and {self._times.size} times")
        if not (np.diff(self._times) > 0).all():
            raise WorldError("the times of a drive must increase")

    def bodies(self, recording: Trace) -> Sequence[Box]:
        """See `Behaviour`."""
        return (self._box,)

    def act(self, recording: Trace, table: Table, rows: Rows, time: float) -> None:
        """See `Behaviour`."""
        (row,) = rows.tolist()
        rounding = 1e-9  # s: the same moment, added up in another way
        place = int(np.searchsorted(self._times, time + rounding, side="right")) - 1
        over = place == len(self._times) - 1 and time > self._times[-1] + rounding
        table[row, c.X] = np.nan
        if place >= 0 and not over:
            table[row, : c.SCENE] = self._rows[place, : c.SCENE]


def _size(track: Track) -> tuple[float, float, float]:
    length, width, height = track.size.tolist()
    return length, width, height
