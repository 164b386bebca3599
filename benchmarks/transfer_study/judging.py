"""Judges policies, one in one world at a time, and keeps each result on disk.

A result is a JSON file of its own, written whole or not at all, and named by a hash of all
that decides it: an interrupted study goes on where it was, and a changed policy, trace or test
is judged anew.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from transfer_study.degradations import Degradation, DegradedPolicy
from transfer_study.files import write_text
from transfer_study.plan import Candidate, Views
from transfer_study.preparing import Say, trace_hash
from vista_sim.errors import VistaError
from vista_sim.evaluation.evaluate import evaluate
from vista_sim.identity.sources import SIMULATOR, sources_digest
from vista_sim.policies import CameraSpec, load_policy
from vista_sim.policies.identity import identify_policy
from vista_sim.policies.policy import policy_camera
from vista_sim.proving_ground.deployment import SUPERSAMPLE, RenderedWorlds
from vista_sim.scenarios.places import RecoveryTest
from vista_sim.sensors.pool import CameraChoice
from vista_sim.traces.trace import Trace

FORMAT = "vista-transfer/1"
Result = dict[str, Any]


@dataclass(frozen=True)
class Trial:
    """One policy in one world.

    Args:
        candidate: what is judged.
        policy: its folder.
        trace: of the world.
        views: what the world shows.
        test, seed: which starts are tried.
        seconds: that it takes, about.
    """

    candidate: Candidate
    policy: Path
    trace: Path
    views: Views
    test: RecoveryTest
    seed: int
    seconds: float

    @property
    def name(self) -> str:
        return f"{self.candidate.name}, {self.trace.name}, {self.views}"

    def decided_by(self) -> dict[str, Any]:
        """All that decides the result."""
        return {
            "format": FORMAT,
            "policy": identify_policy(self.policy).to_json(),
            "trace": trace_hash(self.trace),
            "code": sources_digest(SIMULATOR),
            "views": self.views,
            "supersample": SUPERSAMPLE if self.views == "rendered" else None,
            "degradation": dataclasses.asdict(self.candidate.degradation),
            "test": dataclasses.asdict(self.test),
            "seed": self.seed,
        }

    @property
    def key(self) -> str:
        text = json.dumps(self.decided_by(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def judge(trial: Trial) -> Result:
    """Drive the whole trace and try every start; crashes, errors and recoveries as JSON values."""
    started = time.perf_counter()
    trace = Trace.open(trial.trace)
    policy = load_policy(trial.policy)
    asked = policy_camera(policy)
    camera = None if asked is None else resolved(asked, trace)
    how = trial.candidate.degradation
    driver = policy if how == Degradation() else DegradedPolicy(policy, how, camera, trial.seed)
    report = evaluate(
        driver,
        trace,
        seed=trial.seed,
        recovery=trial.test,
        video=False,
        cameras=_worlds().cameras if trial.views == "rendered" else None,
    )
    values = report.to_json()
    return {
        "metrics": values["metrics"],
        "recovery": values["recovery"],
        "seconds": round(time.perf_counter() - started, 1),
    }


def resolved(camera: CameraSpec, trace: Trace) -> CameraSpec:
    """A policy's camera with the field of view and mount that it has in a trace."""
    choice = CameraChoice([trace])
    fov = camera.fov if camera.lens is not None else choice.lens(0, camera).fov
    return dataclasses.replace(camera, fov=fov, mount=choice.mount(0, camera))


@cache
def _worlds() -> RenderedWorlds:
    """The rendered worlds of this process: opening one takes longer than many views."""
    return RenderedWorlds()


class Results:
    """The results in a folder, a file each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, trial: Trial) -> Path:
        return self.folder / f"{trial.key[:24]}.json"

    def find(self, trial: Trial) -> Result | None:
        """The result of a trial, if it is there. Raises VistaError if its file is damaged."""
        path = self.path(trial)
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            key, found = values["key"], values["result"]
            whole = key == trial.key and {"metrics", "recovery"} <= set(found)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError):
            whole = False
        if not whole:
            raise VistaError(f"{path}: is no result of this study; delete it")
        return dict(found)

    def keep(self, trial: Trial, result: Result) -> None:
        values = {
            "key": trial.key,
            "candidate": trial.candidate.name,
            "trace": trial.trace.name,
            "decided_by": trial.decided_by(),
            "result": result,
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        write_text(self.path(trial), json.dumps(values, indent=2) + "\n")


def run_trials(
    trials: Sequence[Trial],
    results: Results,
    workers: int,
    say: Say,
    judging: Callable[[Trial], Result] = judge,
) -> None:
    """Judge what has no result yet.

    Raises:
        VistaError: a policy or trace cannot be used; results until then are kept.
    """
    wanted = list(dict.fromkeys(trials))
    pending = [trial for trial in wanted if results.find(trial) is None]
    if len(pending) < len(wanted):
        say(f"{len(wanted) - len(pending)} of {len(wanted)} trials are done already")
    left, spent, started = sum(t.seconds for t in pending), 0.0, time.monotonic()
    done = _in_processes(pending, workers, judging) if workers > 1 else _here(pending, judging)
    for count, (trial, result) in enumerate(done, 1):
        results.keep(trial, result)
        left, spent = left - trial.seconds, spent + trial.seconds
        minutes = (time.monotonic() - started) / 60 * left / max(spent, 1e-9)
        say(f"trial {count} of {len(pending)}, {minutes:.0f} min left: {_told(trial, result)}")


def _told(trial: Trial, result: Result) -> str:
    metrics, recovery = result["metrics"], result["recovery"]
    rate = recovery["rate"]
    recovered = "none to recover" if rate is None else f"recovers {100 * rate:.0f} %"
    return f"{trial.name}: {metrics['crashes']:.0f} crashes, {recovered}, {result['seconds']} s"


def _here(
    trials: Sequence[Trial], judging: Callable[[Trial], Result]
) -> Iterator[tuple[Trial, Result]]:
    for trial in trials:
        yield trial, judging(trial)


def _in_processes(
    trials: Sequence[Trial], workers: int, judging: Callable[[Trial], Result]
) -> Iterator[tuple[Trial, Result]]:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        waiting = {pool.submit(judging, trial): trial for trial in trials}
        try:
            for future in as_completed(waiting):
                yield waiting[future], future.result()
        except BaseException:
            for worker in multiprocessing.active_children():  # nobody waits for what they are at
                worker.kill()
            raise
        finally:
            pool.shutdown(cancel_futures=True)
