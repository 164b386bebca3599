"""The views of many cars in one go: by trace, on several threads."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vista_sim.dynamics import state as c
from vista_sim.sensors.pool import WorldCamera
from vista_sim.sensors.spec import CameraSpec
from vista_sim.world import World

#: Cars (a row each of the world's states) that drive in the same trace.
Group = tuple[int, NDArray[np.int64]]

CAMERA = "camera"  # the one that is rendered


class Batch(NamedTuple):
    """Views through one camera.

    Args:
        camera: that sees.
        ts, offsets: n of each, as `Camera.render_batch` takes them.
        rows: (n,) where in the arrays each view goes.
    """

    camera: WorldCamera
    ts: NDArray[np.float64]
    offsets: NDArray[np.float64]
    rows: NDArray[np.int64]


class Renderers:
    """Threads that render batches.

    Args:
        workers: how many threads.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._pool: ThreadPoolExecutor | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return Renderers, (self._workers,)  # a copy starts threads of its own

    def render(
        self, batches: Sequence[Batch], images: NDArray[np.uint8], valids: NDArray[np.bool_]
    ) -> None:
        """Fill the rows of images and valids, see `BatchViews.render`."""
        few: list[Batch] = []

        def run(batch: Batch, workers: int = 1) -> None:
            camera, ts, offsets, rows = batch
            camera.render_batch(ts, offsets, out=(images, valids), workers=workers, rows=rows)

        for batch in batches:
            if len(batches) == 1 or len(batch.rows) > self._workers:
                run(batch, self._workers)
            else:  # too few to share among threads: a camera goes to a thread
                few.append(batch)
        if self._workers == 1 or len(few) < 2:
            for batch in few:
                run(batch)
        else:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self._workers, thread_name_prefix="views")
            list(self._pool.map(run, few))

    def close(self) -> None:
        """End the threads."""
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None


class BatchViews:
    """Renders one camera of many cars of a world.

    Args:
        world: whose states say where the cars are.
        spec: the camera.
        workers: threads to use.
    """

    def __init__(self, world: World, spec: CameraSpec, workers: int) -> None:
        self._world = world
        self._spec = spec
        self._renderers = Renderers(workers)

    def render(
        self, groups: Sequence[Group], images: NDArray[np.uint8], valids: NDArray[np.bool_]
    ) -> None:
        """Fill the images and valids of the cars of `groups`, and their validity.

        Args:
            groups: by trace, each trace once.
            images: uint8 (cars, height, width, 3).
            valids: bool (cars, height, width).
        """
        started = perf_counter()
        states = self._world.states
        batches = [
            Batch(
                self._world.cameras.camera(trace, self._spec),
                states[rows, c.SCENE_TIME],
                self._offsets(rows),
                rows,
            )
            for trace, rows in groups
        ]
        self._renderers.render(batches, images, valids)
        count = 0
        for _, rows in groups:
            count += len(rows)
            for i in rows.tolist():
                if self._world.randomization is not None:
                    images[i] = self._world.cars[i].developed(CAMERA, images[i])
                states[i, c.VALIDITY] = self._spec.share_seen(valids[i])
        seconds = (perf_counter() - started) / max(1, count)
        for _, rows in groups:
            states[rows, c.VIEW_SECONDS] = seconds

    def _offsets(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Where the views of some cars are from, as `Camera.render_batch` takes it."""
        randomization = self._world.randomization
        if randomization is None or not any(randomization.mount_jitter):
            return self._world.states[rows, c.OFFSET_X : c.OFFSET_YAW + 1]
        return np.stack([self._world.cars[i].offset_of(CAMERA) for i in rows.tolist()])

    def close(self) -> None:
        """End the threads."""
        self._renderers.close()
