"""`VistaSim/LaneFollowing-v0` as a vector environment: many cars in one process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import ArrayLike, NDArray

from vista_sim.arguments import check_count
from vista_sim.dynamics import state as c
from vista_sim.dynamics.state import Table
from vista_sim.envs import arguments
from vista_sim.envs.lane_following import LaneFollowingEnv
from vista_sim.envs.vector_driving import DrivingVectorEnv
from vista_sim.sensors.rig import Group
from vista_sim.sensors.view import SceneView
from vista_sim.tasks.endings import CUT, name_of

#: What `info` tells straight from the cars' states.
_INFO = {
    "s": c.S,
    "lateral": c.LATERAL,
    "heading_error": c.HEADING_ERROR,
    "speed": c.SPEED,
    "distance_to_recording": c.DISTANCE,
}

_CAMERAS_TO_SPARE = 16


class LaneFollowingVectorEnv(DrivingVectorEnv):
    """Cars that each follow a recorded path, moved as arrays, their views made in one batch.

    Environment i seeded with seed + i gives the same bytes as a `LaneFollowingEnv` with that
    seed, through resets too. Observations, actions and infos are those of `LaneFollowingEnv`
    in Gymnasium's vector format; infos hold numbers alone, so that tensors can be made of them
    (`ending_code`: see `endings` of `envs`), but for final_info, which has all.

    Args:
        num_envs: how many.
        autoreset_mode: what happens after an episode: "next_step": the next step resets and
            ignores the action; "same_step": the step that ends it resets, its last
            observation and info are infos["final_obs"] and ["final_info"]; "disabled": it
            must be reset with `reset(options={"reset_mask": ...})`. Also as Gymnasium's
            `AutoresetMode`.
        copy: whether every step returns new arrays; False: the same ones, overwritten.
        workers: threads that read sensors; None: as many as there are cores, at most 8. What
            is read does not depend on it.
        render_mode: None or "rgb_array".
        max_episode_steps: steps after which an episode is cut, as Gymnasium's `TimeLimit` does;
            None: only the task ends it.
        tensors: whether observations are PyTorch tensors on the device that makes the views, where
            images stay, for a learner that reads them there; the cameras' backend is then "torch",
            such as with `world_options={"backend": "torch", "device": "cuda"}`.
        settings: arguments of `LaneFollowingEnv`.

    Attributes:
        envs: one environment a car, all in one world; they share its traces and frames.
        copy: as given.

    Raises:
        WorldError: an argument that cannot be.
    """

    def __init__(
        self,
        num_envs: int = 1,
        *,
        autoreset_mode: str | AutoresetMode = AutoresetMode.NEXT_STEP,
        copy: bool = True,
        workers: int | None = None,
        render_mode: str | None = None,
        max_episode_steps: int | None = None,
        tensors: bool = False,
        **settings: Any,
    ) -> None:
        count = check_count("num_envs", num_envs)
        arguments.check_pictures(render_mode)
        # Cars in as many traces must not throw each other's cameras out.
        kept = {"cameras_kept": count + _CAMERAS_TO_SPARE}
        options = settings.get("world_options")
        if options is None or isinstance(options, Mapping):
            settings["world_options"] = kept | dict(options or {})
        first = LaneFollowingEnv(render_mode=render_mode, **settings)
        self.world = first.world
        envs = [first, *(first.beside() for _ in range(count - 1))]
        cameras: Any = self.world.cameras  # some that are given have no backend
        device = arguments.tensor_device(
            tensors, getattr(cameras, "backend", None), getattr(cameras, "device", "cpu")
        )
        super().__init__(envs, autoreset_mode, copy, workers, max_episode_steps, device)
        for env, seat in zip(envs, self.seats(), strict=True):
            env.car.join(seat)
        self._cars = np.array([env.car.row for env in envs])  # rows of the table
        self._seat_of = np.zeros(self._cars.max() + 1, dtype=np.int64)
        self._seat_of[self._cars] = np.arange(count)
        self._info_columns = dict(_INFO)
        if arguments.CAMERA in first.sensors:
            self._info_columns["validity"] = c.VALIDITY
        # By the codes of endings; 0: none.
        self._cuts = np.array([False, *(one.kind == CUT for one in self.world.task.endings)])

    def _drive(self, rows: NDArray[np.int64], actions: ArrayLike) -> NDArray[np.float64]:
        values = arguments.check_actions(actions, self.action_space.shape, rows)
        world, own = self.world, self._cars[rows]
        states = world.table
        limits = np.array([self.envs[i].curvature_limit for i in rows.tolist()])
        states[own, c.TARGET_CURVATURE] = values[:, 0] * limits
        if values.shape[1] > 1:
            pedal = values[:, 1]
            strongest = states[own, np.where(pedal > 0, c.MAX_ACCELERATION, c.MAX_DECELERATION)]
            states[own, c.TARGET_ACCELERATION] = pedal * strongest
        world.drive(own)
        rewards = np.zeros(len(rows))
        for term in world.terms[own].T:  # one after the other, as a single one does
            rewards += term
        codes = world.codes[own]
        self._ended[rows] = codes != 0
        self._cut[rows] = self._cuts[codes]
        for i, code in zip(rows.tolist(), codes.tolist(), strict=True):
            if code:
                self.envs[i].car.ending = name_of(world.task.endings, code)
        if self.render_mode is not None:
            for i in rows.tolist():
                self.envs[i].follow()
        return rewards

    def _unset(self) -> NDArray[np.bool_]:
        return np.isnan(self._states[:, c.TRACE])

    @property
    def _states(self) -> Table:
        """(num_envs, WIDTH) a copy of the cars' rows."""
        return self.world.table[self._cars]

    def _groups(self, rows: NDArray[np.int64]) -> list[Group]:
        world = self.world
        groups = []
        for trace, own in world.by_trace(self._cars[rows]):
            seats = self._seat_of[own]
            bodies = world.company(trace, own)
            recording = world.traces[trace]
            view = SceneView(world.table, own, world.cameras, trace, recording, bodies=bodies)
            groups.append((view, seats))
        return groups

    def _note(
        self, rows: NDArray[np.int64], shares: NDArray[np.float64], seconds: float
    ) -> NDArray[np.float64]:
        table, own = self.world.table, self._cars[rows]
        table[own, c.VALIDITY], table[own, c.VIEW_SECONDS] = shares, seconds
        return table[own, c.SPEED]

    def _infos(self, told: NDArray[np.bool_]) -> dict[str, Any]:
        states, world = self._states, self.world
        infos: dict[str, Any] = {
            name: np.where(told, states[:, column], 0.0)
            for name, column in self._info_columns.items()
        }
        infos["trace"] = np.where(told, states[:, c.TRACE], 0.0).astype(np.int64)
        infos["ending_code"] = np.where(told, world.codes[self._cars], 0)
        terms = {
            name: np.where(told, values, 0.0)
            for name, values in zip(world.task.terms, world.terms[self._cars].T, strict=True)
        }
        infos["reward_terms"] = terms | {f"_{name}": told.copy() for name in terms}
        return infos | {f"_{name}": told.copy() for name in infos}
