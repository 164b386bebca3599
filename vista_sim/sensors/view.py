"""What a sensor is given to read: where some cars are in a scene, and what is seen from there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vista_sim.dynamics import state as c
from vista_sim.dynamics.state import Table
from vista_sim.sensors.bodies import Bodies
from vista_sim.sensors.pool import WorldCamera, WorldCameras
from vista_sim.sensors.spec import CameraSpec

if TYPE_CHECKING:
    from vista_sim.traces.trace import Trace


class Look(NamedTuple):
    """n views through one camera.

    Args:
        image: uint8 (n, height, width, 3), RGB.
        valid: bool (n, height, width), False where no recorded frame saw it and no body is seen.
        inverse_depth: float32 (n, height, width), 1/m along the optical axis, of bodies too.
    """

    image: NDArray[np.uint8]
    valid: NDArray[np.bool_]
    inverse_depth: NDArray[np.float32]


@dataclass(eq=False, slots=True)
class SceneView:
    """n rows of one trace: cars that a sensor is read of together.

    Args:
        table: (m, WIDTH) of the cars, see `dynamics.state`.
        rows: (n,) which of them.
        cameras: that the scene is seen through.
        trace: index of the trace among those of `cameras`.
        recording: that trace.
        displaced: (n, 4, 4) T_recorded_displaced, in place of the cars' own offsets.
        workers: threads that may work on it; what is read does not depend on it.
        bodies: that were not recorded and that the n cars may see, each its own; None: none.
    """

    table: Table
    rows: NDArray[np.int64]
    cameras: WorldCameras
    trace: int
    recording: Trace
    displaced: NDArray[np.float64] | None = None
    workers: int = 1
    bodies: Bodies | None = None

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def scene_time(self) -> NDArray[np.float64]:
        """(n,) moment of the recording that is seen, s of the trace."""
        if self.rows is c.FIRST:  # a slice takes a tenth of the time
            return self.table[:1, c.SCENE_TIME]
        return self.table[self.rows, c.SCENE_TIME]

    @property
    def time(self) -> NDArray[np.float64]:
        """(n,) since the start of the episode, s."""
        return self.table[self.rows, c.TIME]

    @property
    def offset(self) -> NDArray[np.float64]:
        """Of the cars in the recorded car's frame at `scene_time`.

        (n, 3): x, y, yaw, m and rad; or (n, 4, 4) T_recorded_displaced.
        """
        if self.displaced is not None:
            return self.displaced
        rows = slice(1) if self.rows is c.FIRST else self.rows
        return self.table[rows, c.OFFSET_X : c.OFFSET_YAW + 1]

    def camera(self, spec: CameraSpec) -> WorldCamera:
        """The camera of a spec in this trace."""
        return self.cameras.camera(self.trace, spec)

    def look(self, spec: CameraSpec) -> Look:
        """What a camera sees from where the cars are, with inverse depth."""
        depth = np.empty((len(self), *spec.size), dtype=np.float32)
        image, valid = self.camera(spec).render_batch(
            self.scene_time,
            self.offset,
            workers=self.workers,
            inverse_depth=depth,
            bodies=self.bodies,
        )
        return Look(image, valid, depth)

    def only(
        self, which: Sequence[int] | NDArray[np.int64], displaced: NDArray[np.float64] | None = None
    ) -> SceneView:
        """The view of some of its rows; `displaced` of these."""
        bodies = None if self.bodies is None else self.bodies.only(which)
        return replace(self, rows=self.rows[which], displaced=displaced, bodies=bodies)
