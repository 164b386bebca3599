"""Runs cases: makes the inputs, damages them, runs the command, judges; in several processes."""

from __future__ import annotations

import importlib
import json
import os
import random
import shlex
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .limits import noting_the_unforeseen, run_case, take_orphans
from .plans import FULL, UNREADABLE, Plan, Target
from .targets import TARGETS
from .verdict import Fault, judge, listing, read_outside, unread

#: What is imported before the processes of targets are forked.
SHARED = (
    *("vista_sim.cli", "vista_sim.traces.trace", "vista_sim.sensors.camera", "rich.table", "av"),
    *("vista_sim.evaluation.evaluate", "vista_sim.evaluation.judging", "vista_sim.geometry.bake"),
    *("vista_sim.sensors.numba_cpu", "vista_sim.scenarios.suite"),
)
CHUNK = 500  # cases of a target that a process does
_DAMAGE_SECONDS = 300


@dataclass(frozen=True)
class Result:
    """What came of a case."""

    target: str
    seed: int
    operators: tuple[str, ...]
    command: str
    status: int | None
    seconds: float
    memory: int
    faults: list[Fault] = field(default_factory=list)
    only: str | None = None

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Result:
        faults = [Fault(**fault) for fault in values.pop("faults")]
        return cls(**{**values, "operators": tuple(values["operators"]), "faults": faults})

    @property
    def reproduction(self) -> str:
        only = "" if self.only is None else f" --operator {shlex.quote(self.only)}"
        return f"python -m tests.fuzz --target {self.target} --seed {self.seed}{only} --keep DIR"


def run_seeds(
    target: Target, seeds: Iterable[int], place: Path, only: str | None = None
) -> Iterator[Result]:
    """Run cases of a target, in processes forked from this one, which is made ready for them.

    Args:
        place: folder to work in.
        only: name of the operator that damages; None: any that fits.
    """
    take_orphans()
    _be_on_one_thread()
    os.environ["XDG_CACHE_HOME"] = str(place / "cache")
    os.environ["VISTA_SIM_UNBAKED"] = "1"  # what is asked is how damage is answered
    # Made where the cases will be: runs know the paths of their traces.
    inputs, folder = place / "inputs", place / "case"
    folder.mkdir(parents=True)
    target.make(folder)
    folder.rename(inputs)
    target.warm(inputs, folder)
    noting_the_unforeseen(lambda: str(place / "notes" / "stack"))
    for seed in seeds:
        yield run_seed(target, seed, inputs, place, only)


def run_seed(
    target: Target, seed: int, inputs: Path, place: Path, only: str | None = None
) -> Result:
    """Run one case; its folder and its notes lie in `place` afterwards."""
    folder, notes = place / "case", place / "notes"
    for path in (folder, notes):
        shutil.rmtree(path, ignore_errors=True)
    shutil.copytree(inputs, folder)
    notes.mkdir()
    plan = _planned(target, seed, folder, notes / "plan.json", only)
    if plan is None:
        words = (notes / "plan.json").read_text().splitlines()[-1:] or ["no word"]
        fault = Fault("harness", "damaging", words[0][:200])
        return Result(target.name, seed, (), "", None, 0.0, 0, [fault], only)
    unread(folder)  # by operators that came after the one that made it
    before = listing(folder)
    outcome = run_case(lambda where: target.case(plan.command, where), folder, notes)
    rules = plan.command.rules
    if outcome.status == UNREADABLE:
        words = outcome.err.strip().splitlines()[-1:]
        faults = [Fault("made what cannot be read", plan.command.then[0], "".join(words)[:200])]
    else:
        after = {p: v for p, v in listing(folder).items() if not p.startswith(FULL)}
        faults = judge(outcome, rules, plan.refused, before, after) + read_outside(folder)
    return Result(
        target.name,
        seed,
        plan.operators,
        str(plan.command),
        outcome.status,
        round(outcome.seconds, 3),
        outcome.memory,
        faults,
        only,
    )


def _planned(target: Target, seed: int, folder: Path, told: Path, only: str | None) -> Plan | None:
    """Damage the inputs in a process of its own, so that this one stays as it is."""
    pid = os.fork()
    if pid == 0:
        signal.alarm(_DAMAGE_SECONDS)
        try:
            plan = target.plan(random.Random(f"{target.name} {seed}"), folder, only)
            place = target.commands.index(plan.command)
            told.write_text(json.dumps([plan.operators, place, plan.refused]))
            os._exit(0)
        except BaseException:
            told.write_text(traceback.format_exc())
        os._exit(1)
    _, how = os.waitpid(pid, 0)
    if how != 0 or not told.exists():
        told.touch()
        return None
    operators, place, refused = json.loads(told.read_text())
    return Plan(tuple(operators), target.commands[place], refused)


def load() -> None:
    """Import what most targets need, once, before their processes are forked from this one."""
    for name in SHARED:
        importlib.import_module(name)
    _be_on_one_thread()


def _be_on_one_thread() -> None:
    """Threads do not survive a fork; cases run beside each other anyway."""
    import cv2
    import pyarrow as pa

    cv2.setNumThreads(0)
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)


class Campaign:
    """Many cases, in processes side by side; one that is broken off goes on where it was.

    Args:
        out: folder of the results.
        workers: processes.
        only: see `run_seeds`.
    """

    def __init__(self, out: Path, workers: int, only: str | None = None) -> None:
        self.out, self.workers, self.only = out, workers, only
        self.started = time.monotonic()
        out.mkdir(parents=True, exist_ok=True)

    def results(self) -> list[Result]:
        """Of all cases so far, one for each."""
        found: dict[tuple[str, int], Result] = {}
        for path in sorted(self.out.glob("results-*.jsonl")):
            for line in path.read_text().splitlines():
                try:
                    result = Result.from_json(json.loads(line))
                except (ValueError, KeyError, TypeError):  # cut off where it was broken off
                    continue
                found[result.target, result.seed] = result
        return list(found.values())

    def run(self, names: list[str], first: int, count: int) -> list[Result]:
        """Run the cases that are not done yet; the results of all."""
        done = {(r.target, r.seed) for r in self.results()}
        tasks = []
        for start in range(first, first + count, CHUNK):
            for name in names:
                seeds = range(start, min(start + CHUNK, first + count))
                left = [seed for seed in seeds if (name, seed) not in done]
                if left:
                    tasks.append((name, left))
        wanted = {(name, seed) for name in names for seed in range(first, first + count)}
        if tasks:
            load()
        self._work(tasks, wanted)
        return sorted(
            (r for r in self.results() if (r.target, r.seed) in wanted),
            key=lambda r: (r.target, r.seed),
        )

    def _work(self, tasks: list[tuple[str, list[int]]], wanted: set[tuple[str, int]]) -> None:
        running: dict[int, Path] = {}
        told = time.monotonic()
        try:
            while tasks or running:
                while tasks and len(running) < self.workers:
                    place = Path(tempfile.mkdtemp(prefix="vista-fuzz-"))
                    running[self._start(*tasks.pop(0), place)] = place
                pid, how = os.waitpid(-1, os.WNOHANG)
                if pid in running:
                    shutil.rmtree(running.pop(pid), ignore_errors=True)
                    if how != 0:
                        raise SystemExit(f"a worker ended with {how}; see above")
                elif time.monotonic() - told > 10.0:
                    told = time.monotonic()
                    self._tell(wanted)
                else:
                    time.sleep(0.1)
        finally:
            for pid, place in running.items():
                os.kill(pid, signal.SIGTERM)
                os.waitpid(pid, 0)
                shutil.rmtree(place, ignore_errors=True)

    def _start(self, name: str, seeds: list[int], place: Path) -> int:
        pid = os.fork()
        if pid:
            return pid
        status = 1
        try:
            os.setpgid(0, 0)  # Ctrl-C is of the one that started it
            with open(self.out / f"results-{os.getpid()}-{name}.jsonl", "a") as file:
                for result in run_seeds(TARGETS[name], seeds, place, self.only):
                    file.write(json.dumps(asdict(result)) + "\n")
                    file.flush()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)

    def _tell(self, wanted: set[tuple[str, int]]) -> None:
        results = [r for r in self.results() if (r.target, r.seed) in wanted]
        faults = sum(bool(r.faults) for r in results)
        minutes = (time.monotonic() - self.started) / 60
        print(
            f"{len(results)} of {len(wanted)} cases, {faults} with a fault, {minutes:.1f} min",
            file=sys.stderr,
            flush=True,
        )
