"""Any single environment of this package, with a run folder of what was driven in it."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any, SupportsFloat

import gymnasium

from vista_sim.arguments import check_count
from vista_sim.envs.driving import DrivingEnv
from vista_sim.errors import RunError, WorldError
from vista_sim.geometry.identity import describe_traces
from vista_sim.policies.saliency import SaliencySource
from vista_sim.runs.filming import CAMERA, SALIENCY, SCENE, Filming, Films, ViewRecorder
from vista_sim.runs.kinds import DRIVING
from vista_sim.runs.recorder import Recorder, Rows
from vista_sim.runs.roads import road_table
from vista_sim.runs.writer import RunWriter
from vista_sim.world import Car

CUT = "cut"  # ending of an episode that the environment itself had not ended


class RecordRun(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Writes what is driven in an environment into a run, as `vista-sim evaluate` writes one.

        env = gymnasium.make("VistaSim/LaneFollowing-v0", traces=["my-drive"])
        env = vista_sim.RecordRun(env, "runs/practice", every=10, saliency=policy.saliency)
        PPO("MultiInputPolicy", env).learn(100_000)
        env.close()

    Steps, actions, reward terms and episodes are those of the task; reward wrappers do not change
    them. An episode that something else cut (`TimeLimit`, a reset, `close`) has the ending "cut".
    The run is readable while it is written and after a kill; `close` makes it complete. What is
    written is bounded: by `every`, `max_steps`, `rate`, `views`, `width` and `max_frames`.

    It adds nothing to observations, rewards and infos, and may stand anywhere among wrappers.
    Each environment of Gymnasium's vector environments and of Stable-Baselines3's `DummyVecEnv`
    can be wrapped before they are put together; `vista_sim.envs.vector` cannot.

    Args:
        env: `VistaSim/LaneFollowing-v0` or `VistaSim/Scenario-v0`, with wrappers or without.
        out: folder of the run, to be made.
        views: that are filmed, of `runs.filming.VIEWS`; () films nothing.
        rate: frames per second of driving, at most.
        width: of what is filmed through the recorded camera, px.
        every: an episode is recorded every so many, the first one always.
        max_steps: of the run; nothing beyond is recorded.
        max_frames: of the run, in each view; nothing beyond is filmed.
        saliency: gives what the policy looked at when it acted last, (height, width) of the
            camera from 0 to 1, or None; or a policy with such a `saliency()`.
        policy: name of what drives, for tables.
        overwrite: replace a run that is there already.

    Attributes:
        folder: of the run.

    Raises:
        WorldError: another environment.
        RunError: a value that cannot be, or the folder is there already.
    """

    def __init__(
        self,
        env: gymnasium.Env[Any, Any],
        out: str | os.PathLike[str],
        *,
        views: Sequence[str] = (SCENE, CAMERA, SALIENCY),
        rate: float = 10.0,
        width: int = 640,
        every: int = 1,
        max_steps: int = 200_000,
        max_frames: int = 6000,
        saliency: Callable[[], Any] | object | None = None,
        policy: str = "recorded",
        overwrite: bool = False,
    ) -> None:
        driving = getattr(env, "unwrapped", None)
        if not isinstance(driving, DrivingEnv):
            raise WorldError(
                f"RecordRun is given {type(driving or env).__name__}; it records "
                "VistaSim/LaneFollowing-v0 and VistaSim/Scenario-v0, each environment by itself"
            )
        super().__init__(env)
        if isinstance(views, str):
            raise RunError(f"views is {views!r}; give a list of names")
        self._driving = driving
        self._filming = Filming(tuple(views), rate, width, check_count("max_frames", max_frames))
        self._every = check_count("every", every)
        self._max_steps = check_count("max_steps", max_steps)
        self._source = _source(saliency)
        traces = driving.episodes.traces()
        self._writer = RunWriter(
            out,
            {
                "what": f"recording of {_name(env, driving)}",
                "env": _name(env, driving),
                "policy": {"name": str(policy), "sha256": None},
                "traces": describe_traces(traces),
                "seed": None,
                "dt": driving.dt,
                "views": "synthesized",
                "every": self._every,
            },
            reward_terms=driving.terms,
            overwrite=overwrite,
            roads=road_table(traces),
        )
        assert self._writer.folder is not None
        self.folder: Path = self._writer.folder
        self._recorder = Recorder(self._writer)
        self._frames = _Frames(self._writer.frames)
        self._film: ViewRecorder | None = None
        self._films = ExitStack()
        self._recording = self._closed = False
        self._begun = self._steps = 0
        self._waiting_since = perf_counter()

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise RunError(
            f"a RecordRun cannot be copied or pickled: two would write {self.folder}; copy the "
            "environment below it (env.env) and record that one into another folder"
        )

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Start an episode; one that still went on is cut."""
        self._end()
        found = self.env.reset(seed=seed, options=options)
        if self._begun == 0:
            self._writer.add_info(seed=seed)
        wanted = self._begun % self._every == 0 and self._steps < self._max_steps
        self._begun += 1
        if wanted and not self._closed:
            self._begin(seed)
        self._waiting_since = perf_counter()
        return found

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """Drive one step and record it."""
        started = perf_counter()
        found = self.env.step(action)
        if self._recording:
            car = self._driving.car
            thinking, driving = started - self._waiting_since, perf_counter() - started
            self._recorder.step(car, thinking, max(0.0, driving - car.view_seconds))
            self._steps += 1
            self._shoot(car)
            if found[2] or found[3] or self._steps >= self._max_steps:
                self._end()
        self._waiting_since = perf_counter()
        return found

    def close(self) -> None:
        """Make the run complete, and close the environment. Again, it does nothing to the run."""
        if not self._closed:
            self._closed = True
            self._end()
            self._writer.finish(
                {
                    "episodes": self._recorder.episode + 1,
                    "episodes_driven": self._begun,
                    "steps": self._steps,
                }
            )
        super().close()

    def _begin(self, seed: int | None) -> None:
        driving = self._driving
        car = driving.car
        labels = {"seed": seed} | driving.episodes.labels()
        self._recorder.begin(car, DRIVING, **labels)
        self._recording = True
        left = self._filming.max_frames - self._frames.most
        if self._filming.views and left > 0:
            views = self._writer.views
            assert views is not None
            filming = replace(self._filming, max_frames=left)
            name = f"{self._recorder.episode:06d}-{car.trace.name}"
            self._film = self._films.enter_context(
                Films(views, filming).of(
                    driving.world, car.trace_index, name, self._frames, self._source
                )
            )
        self._shoot(car)

    def _shoot(self, car: Car) -> None:
        if self._film is not None:
            self._film.shoot(car, self._recorder.episode)

    def _end(self) -> None:
        """The episode that is recorded is over, if there is one."""
        if not self._recording:
            return
        self._recording = False
        self._film = None
        self._films.close()
        driving = self._driving
        ending = driving.ending
        more: dict[str, Any] = {"ending": CUT if ending is None else ending}
        more |= driving.episodes.outcome()
        self._recorder.end(driving.car, cut_short=ending is None, **more)


class _Frames:
    """Passes rows of frames on, and counts them."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._counts: Counter[str] = Counter()

    @property
    def most(self) -> int:
        """Of any view."""
        return max(self._counts.values(), default=0)

    def append(self, row: dict[str, Any], /) -> None:
        self._rows.append(row)
        self._counts[row["view"]] += 1


def _source(saliency: Any) -> SaliencySource | None:
    if saliency is None:
        return None
    ask = getattr(saliency, "saliency", saliency)
    if not callable(ask):
        raise RunError(
            f"saliency is {saliency!r}; give what returns a map, such as policy.saliency"
        )
    return SaliencySource(ask)


def _name(env: gymnasium.Env[Any, Any], driving: DrivingEnv) -> str:
    return type(driving).__name__ if env.spec is None else env.spec.id
