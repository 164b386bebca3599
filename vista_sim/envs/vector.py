"""`VistaSim/LaneFollowing-v0` as a vector environment: many cars in one process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space, create_empty_array
from numpy.typing import ArrayLike, NDArray

from vista_sim.dynamics import state as c
from vista_sim.envs import arguments
from vista_sim.envs.lane_following import LaneFollowingEnv, Observation
from vista_sim.envs.views import BatchViews, Group, available_workers
from vista_sim.errors import WorldError
from vista_sim.tasks.lane_following import ENDINGS, LaneFollowing
from vista_sim.tasks.state_vector import MAX_SPEED

Step = tuple[Observation, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]

#: What `info` tells straight from the cars' states.
_INFO = {
    "s": c.S,
    "lateral": c.LATERAL,
    "heading_error": c.HEADING_ERROR,
    "speed": c.SPEED,
    "distance_to_recording": c.DISTANCE,
}

_CAMERAS_TO_SPARE = 16


class LaneFollowingVectorEnv(VectorEnv[Observation, NDArray[np.float32], NDArray[Any]]):
    """Cars that each follow a recorded path, moved as arrays, their views made in one batch.

    Environment i seeded with seed + i gives the same bytes as a `LaneFollowingEnv` with that
    seed, through resets too. Observations, actions and infos are those of `LaneFollowingEnv`
    in Gymnasium's vector format.

    Args:
        num_envs: how many.
        autoreset_mode: what happens after an episode: "next_step": the next step resets and
            ignores the action; "same_step": the step that ends it resets, its last
            observation and info are infos["final_obs"] and ["final_info"]; "disabled": it
            must be reset with `reset(options={"reset_mask": ...})`. Also as Gymnasium's
            `AutoresetMode`.
        copy: whether every step returns new arrays; False: the same ones, overwritten.
        workers: threads that make views; None: as many as there are cores, at most 8. What
            is seen does not depend on it.
        render_mode: None or "rgb_array".
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
        **settings: Any,
    ) -> None:
        self.num_envs = arguments.check_count("num_envs", num_envs)
        workers = (
            available_workers() if workers is None else arguments.check_count("workers", workers)
        )
        if render_mode not in (None, "rgb_array"):
            raise WorldError(f"render_mode is {render_mode!r}; many environments know rgb_array")
        mode = arguments.autoreset_mode(autoreset_mode)
        # Cars in as many traces must not throw each other's cameras out.
        kept = {"cameras_kept": self.num_envs + _CAMERAS_TO_SPARE}
        settings["world_options"] = kept | dict(settings.get("world_options") or {})
        first = LaneFollowingEnv(render_mode=render_mode, **settings)
        self.envs = [first, *(first.beside() for _ in range(self.num_envs - 1))]
        self.render_mode = render_mode
        self.metadata = {**first.metadata, "render_modes": ["rgb_array"]}
        self.autoreset_mode = mode
        self.single_observation_space = first.observation_space
        self.single_action_space = first.action_space
        self.observation_space = batch_space(first.observation_space, self.num_envs)
        self.action_space = batch_space(first.action_space, self.num_envs)

        self.world = first.world
        task = self.world.task
        assert isinstance(task, LaneFollowing)
        self._task = task
        self.copy = bool(copy)
        n = self.num_envs
        self._observed = first.observe
        arrays: Any = create_empty_array(first.observation_space, n)
        self._seen: Observation = arrays
        self._views: BatchViews | None = None
        self._info_columns = dict(_INFO)
        if first.observe == "camera":
            self._views = BatchViews(self.world, first.car.specs["camera"], workers)
            self._info_columns["validity"] = c.VALIDITY
            self._valids = np.zeros(self._seen["camera"].shape[:3], dtype=np.bool_)
        self._everyone = np.arange(n)
        self._terms = np.zeros((n, len(task.terms)))
        self._codes = np.zeros(n, dtype=np.int64)  # indices of ENDINGS
        names = [str(name) for name in ENDINGS]
        self._cuts = np.array([name in task.truncations for name in names])

    @property
    def autoreset_mode(self) -> AutoresetMode:
        """What happens after an episode; also `metadata["autoreset_mode"]`."""
        mode: AutoresetMode = self.metadata["autoreset_mode"]
        return mode

    @autoreset_mode.setter
    def autoreset_mode(self, mode: str | AutoresetMode) -> None:
        self.metadata["autoreset_mode"] = arguments.autoreset_mode(mode)

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> tuple[Observation, dict[str, Any]]:
        """Start episodes.

        Args:
            seed: environment i gets seed + i; or one seed each. None: each goes on with its
                own randomness.
            options: as `LaneFollowingEnv.reset` takes them, the same for all; "reset_mask",
                bool (num_envs,), names the environments to reset, else all are.

        Raises:
            WorldError: seeds or options that cannot be.
        """
        start = dict(options or {})
        rows = self._everyone
        if "reset_mask" in start:
            mask = arguments.check_mask(start.pop("reset_mask"), self.num_envs)
            if self._unset()[~mask].any():
                raise WorldError("reset_mask leaves out environments that were never reset")
            rows = np.flatnonzero(mask)
        return self.restart(
            rows.tolist(), arguments.seeds_of(seed, self.num_envs), [start] * self.num_envs
        )

    def restart(
        self,
        rows: Sequence[int],
        seeds: Sequence[int | None],
        options: Sequence[Mapping[str, Any] | None],
    ) -> tuple[Observation, dict[str, Any]]:
        """Start episodes of some environments, each with its own seed and options.

        Args:
            rows: indices of the environments.
            seeds, options: (num_envs,) those of others are not used.
        """
        chosen = np.asarray(rows, dtype=np.int64)
        self._begin(chosen, seeds, options)
        self._fresh(keep=len(chosen) < self.num_envs)
        self._observe(chosen)
        told = np.zeros(self.num_envs, dtype=np.bool_)
        told[chosen] = True
        return self._observation(), self._infos(told)

    def step(self, actions: ArrayLike) -> Step:
        """Drive every car by one step; see `autoreset_mode` for what follows an episode.

        Args:
            actions: (num_envs, 1 or 2) as `LaneFollowingEnv.step` takes them.

        Returns:
            Observations, rewards (num_envs,), terminations, truncations, infos.

        Raises:
            WorldError: actions that cannot be, or an environment that must be reset first.
        """
        over = self._codes != 0
        mode = self.autoreset_mode
        if self._unset().any():
            raise WorldError("call reset before the first step")
        if mode is not AutoresetMode.NEXT_STEP and over.any():
            i = int(over.argmax())
            raise WorldError(
                f"environment {i} is over ({self.envs[i].car.ending}); "
                "reset it first: reset(options={'reset_mask': ...})"
            )
        driven = np.flatnonzero(~over)
        self._drive(driven, actions)
        rewards = np.zeros(self.num_envs)
        for term in self._terms[driven].T:  # one after the other, as a single one does
            rewards[driven] += term
        if over.any():
            self._begin(np.flatnonzero(over))
        ended = self._codes != 0
        truncated = self._cuts[self._codes]
        terminated = ended & ~truncated
        self._fresh()
        self._observe(self._everyone)
        infos: dict[str, Any] = {}
        if mode is AutoresetMode.SAME_STEP and ended.any():
            again = np.flatnonzero(ended)
            for i in again.tolist():
                last = {name: array[i].copy() for name, array in self._seen.items()}
                terms = dict(zip(self._task.terms, self._terms[i].tolist(), strict=True))
                final = {"final_obs": last, "final_info": self.envs[i].info(terms)}
                infos = self._add_info(infos, final, i)
            self._begin(again)
            self._observe(again)
        infos |= self._infos(np.ones(self.num_envs, dtype=np.bool_))
        return self._observation(), rewards, terminated, truncated, infos

    def render(self) -> tuple[Any, ...]:
        """A picture of each environment: uint8 RGB (height, width, 3)."""
        return tuple(env.render() for env in self.envs)

    def call(self, name: str, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        """Call a method of every environment of `envs`, or read an attribute."""
        found = [env.get_wrapper_attr(name) for env in self.envs]
        return tuple(f(*args, **kwargs) if callable(f) else f for f in found)

    def get_attr(self, name: str) -> tuple[Any, ...]:
        """An attribute of every environment of `envs`."""
        return tuple(env.get_wrapper_attr(name) for env in self.envs)

    def set_attr(self, name: str, values: Any) -> None:
        """Set an attribute of every environment of `envs`: one value each (list or tuple)."""
        each = values if isinstance(values, list | tuple) else [values] * self.num_envs
        if len(each) != self.num_envs:
            raise WorldError(f"{name}: {len(each)} values for {self.num_envs} environments")
        for env, value in zip(self.envs, each, strict=True):
            env.set_wrapper_attr(name, value)

    @property  # type: ignore[misc]
    def np_random(self) -> tuple[np.random.Generator, ...]:  # type: ignore[override]
        """The generator of every environment."""
        return self.get_attr("np_random")

    @property
    def np_random_seed(self) -> tuple[int | None, ...]:  # type: ignore[override]
        """What each of them was seeded with."""
        return self.get_attr("np_random_seed")

    def close_extras(self, **_: Any) -> None:
        """End the threads that make views."""
        if self._views is not None:
            self._views.close()

    def _begin(
        self,
        rows: NDArray[np.int64],
        seeds: Sequence[int | None] | None = None,
        options: Sequence[Mapping[str, Any] | None] | None = None,
    ) -> None:
        """Start episodes without observing."""
        for i in rows.tolist():
            self.envs[i].start(seeds[i] if seeds else None, options[i] if options else None)
        self._terms[rows] = 0.0
        self._codes[rows] = 0

    def _drive(self, rows: NDArray[np.int64], actions: ArrayLike) -> None:
        """Move cars by one step and judge it."""
        values = arguments.check_actions(actions, self.action_space.shape, rows)
        states = self.world.states
        limits = np.array([self.envs[i].curvature_limit for i in rows.tolist()])
        states[rows, c.TARGET_CURVATURE] = values[:, 0] * limits
        if values.shape[1] > 1:
            pedal = values[:, 1]
            strongest = states[rows, np.where(pedal > 0, c.MAX_ACCELERATION, c.MAX_DECELERATION)]
            states[rows, c.TARGET_ACCELERATION] = pedal * strongest
        for trace, some in self._by_trace(rows):
            self.world.surroundings(trace).drive(states, some, self.world.dt)
        self._task.judge(states, rows, self.world.dt, self._terms, self._codes)
        for i in rows[self._codes[rows] != 0].tolist():
            self.envs[i].car.ending = ENDINGS[self._codes[i]]
        if self.render_mode is not None:
            for i in rows.tolist():
                self.envs[i].follow()

    def _unset(self) -> NDArray[np.bool_]:
        """Which environments were never reset."""
        return np.isnan(self.world.states[:, c.TRACE])

    def _by_trace(self, rows: NDArray[np.int64]) -> list[Group]:
        """The same rows, by the trace that the cars drive in."""
        if len(rows) == 0:
            return []
        traces = self.world.states[rows, c.TRACE].astype(np.int64)
        if (traces == traces[0]).all():
            return [(int(traces[0]), rows)]
        return [(trace, rows[traces == trace]) for trace in np.unique(traces).tolist()]

    def _fresh(self, keep: bool = False) -> None:
        """With `copy`, go on with new arrays; those returned before stay as they are."""
        if self.copy:
            new = np.copy if keep else np.empty_like
            self._seen = {name: new(array) for name, array in self._seen.items()}

    def _observe(self, rows: NDArray[np.int64]) -> None:
        groups, states = self._by_trace(rows), self.world.states
        if self._views is not None:
            self._views.render(groups, self._seen["camera"], self._valids)
        else:
            for trace, some in groups:
                self.world.surroundings(trace).sense(states, some, self._seen["state"])
        self._seen["speed"][rows, 0] = np.minimum(states[rows, c.SPEED], MAX_SPEED)
        views, speeds = list(self._seen[self._observed]), list(self._seen["speed"])
        for i in rows.tolist():
            seen = {self._observed: views[i], "speed": speeds[i]}
            self.envs[i].car.observations = seen

    def _observation(self) -> Observation:
        return dict(self._seen)

    def _infos(self, told: NDArray[np.bool_]) -> dict[str, Any]:
        """Infos of the environments in the mask `told`; of others, zeros and None."""
        infos: dict[str, Any] = {
            name: np.where(told, self.world.states[:, column], 0.0)
            for name, column in self._info_columns.items()
        }
        infos["trace"] = np.where(told, self.world.states[:, c.TRACE], 0.0).astype(np.int64)
        infos["ending"] = np.full(self.num_envs, None, dtype=object)
        for i in np.flatnonzero(told & (self._codes != 0)).tolist():
            infos["ending"][i] = ENDINGS[self._codes[i]]
        terms = {
            name: np.where(told, values, 0.0)
            for name, values in zip(self._task.terms, self._terms.T, strict=True)
        }
        infos["reward_terms"] = terms | {f"_{name}": told for name in terms}
        return infos | {f"_{name}": told for name in infos}
