"""`VistaSim/Scenario-v0` as a vector environment: many cases in one process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import ArrayLike, NDArray

from vista_sim.arguments import check_count
from vista_sim.envs import arguments
from vista_sim.envs.scenario import ScenarioEnv
from vista_sim.envs.vector_driving import DrivingVectorEnv
from vista_sim.envs.views import CAMERA, Batch, Renderers
from vista_sim.sensors.pool import WorldCamera


class ScenarioVectorEnv(DrivingVectorEnv):
    """Cars that each drive a case of their own, their views made together, on several threads.

    Environment i seeded with seed + i draws the same cases and gives the same bytes as a
    `ScenarioEnv` with that seed, through resets too, whatever its cases are: traces, delay,
    limits, faults, image changes and modes differ from car to car. Each car is moved, judged and
    given its faults on its own, as a single environment does it; only what costs most, the
    views, is made for all together, camera by camera.

    Args:
        num_envs: how many.
        autoreset_mode, copy, workers, render_mode, max_episode_steps: see
            `LaneFollowingVectorEnv`.
        settings: arguments of `ScenarioEnv`.

    Attributes:
        envs: one environment a car; they share cases, traces and frames.

    Raises:
        ScenarioError, WorldError: an argument that cannot be.
    """

    envs: Sequence[ScenarioEnv]

    def __init__(
        self,
        num_envs: int = 1,
        *,
        autoreset_mode: str | AutoresetMode = AutoresetMode.NEXT_STEP,
        copy: bool = True,
        workers: int | None = None,
        render_mode: str | None = None,
        max_episode_steps: int | None = None,
        **settings: Any,
    ) -> None:
        count = check_count("num_envs", num_envs)
        threads = arguments.check_workers(workers)
        arguments.check_pictures(render_mode)
        first = ScenarioEnv(render_mode=render_mode, **settings)
        first.keep(count)
        envs = [first, *(first.beside() for _ in range(count - 1))]
        super().__init__(envs, first.terms, autoreset_mode, copy, max_episode_steps)
        self._observed = first.observe
        self._renderers = Renderers(threads)

    def close_extras(self, **_: Any) -> None:
        """End the threads that make views."""
        self._renderers.close()

    def _drive(self, rows: NDArray[np.int64], actions: ArrayLike) -> None:
        values = arguments.check_actions(actions, self.action_space.shape, rows)
        for i, action in zip(rows.tolist(), values, strict=True):
            env = self.envs[i]
            terms = env.move(action)
            self._terms[i] = [terms[name] for name in self._names]
            self._ended[i] = env.ending is not None
            self._cut[i] = env.ending in env.truncations

    def _unset(self) -> NDArray[np.bool_]:
        return np.array([not env.started for env in self.envs])

    def _observe(self, rows: NDArray[np.int64]) -> None:
        if self._valids is not None:
            self._renderers.render(self._batches(rows), self._seen[CAMERA], self._valids)
        for i in rows.tolist():
            env = self.envs[i]
            if self._valids is None:
                env.car.take({}, None)
            else:
                image, valid = self._seen[CAMERA][i], self._valids[i]
                if env.car.delivery is not None:
                    image = image.copy()  # it may be seen only some steps later
                env.car.take({CAMERA: image}, valid.copy())
            for name, value in env.observation().items():
                self._seen[name][i] = value

    def _batches(self, rows: NDArray[np.int64]) -> list[Batch]:
        """The views of some cars, by camera and by the kind of their offsets."""
        found: dict[tuple[int, int], tuple[WorldCamera, list[int]]] = {}
        offsets = {}
        for i in rows.tolist():
            car = self.envs[i].car
            camera = car.world.cameras.camera(car.trace_index, car.specs[CAMERA])
            offsets[i] = np.asarray(car.offset_of(CAMERA), dtype=np.float64)
            found.setdefault((id(camera), offsets[i].ndim), (camera, []))[1].append(i)
        return [
            Batch(
                camera,
                np.array([self.envs[i].car.scene_time for i in own]),
                np.stack([offsets[i] for i in own]),
                np.array(own),
            )
            for camera, own in found.values()
        ]

    def _infos(self, told: NDArray[np.bool_]) -> dict[str, Any]:
        infos: dict[str, Any] = {}
        for i in np.flatnonzero(told).tolist():
            terms = dict(zip(self._names, self._terms[i].tolist(), strict=True))
            infos = self._add_info(infos, self.envs[i].numbers(terms), i)
        return infos
