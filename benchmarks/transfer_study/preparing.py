"""Records and bakes the worlds, and trains the policies; what is there already is kept."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from transfer_study.files import write_text
from transfer_study.plan import Training, policy_name, world_name
from vista_sim.errors import VistaError
from vista_sim.geometry.bake import bake
from vista_sim.geometry.identity import identify_trace
from vista_sim.identity.sources import SIMULATOR, sources_digest
from vista_sim.proving_ground.record import Recording, record
from vista_sim.proving_ground.truth import GroundTruth
from vista_sim.traces.trace import Trace

Say = Callable[[str], None]

TRAINED = "trained.json"  # says how the policy beside it was trained, once it is whole
TRAIN = "import sys; from vista_agents.cli import main; main(sys.argv[1:])"


def make_worlds(
    recordings: Sequence[Recording], folder: Path, workers: int, say: Say
) -> list[Path]:
    """Record and bake worlds that are not there yet; the traces, in order.

    Raises:
        VistaError: a trace there holds another recording, or cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / world_name(r) for r in recordings]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        waiting = [pool.submit(make_world, *job) for job in zip(recordings, paths, strict=True)]
        _wait(waiting, lambda done, path: say(f"world {done} of {len(waiting)}: {path}"))
    return paths


def make_world(recording: Recording, path: Path) -> Path:
    """Record one world and bake its trace, unless that is done."""
    if not (path / "trace.json").exists():
        record(path, recording, overwrite=True)
    elif GroundTruth(path).recording != recording:
        raise VistaError(f"{path}: is another recording; choose another --out, or delete it")
    bake(path)
    return path


def train_policies(
    trainings: Sequence[Training], traces: Sequence[Path], folder: Path, workers: int, say: Say
) -> None:
    """Train what is not trained yet, each in a process of its own; interrupted ones go on.

    Raises:
        VistaError: a training fails; the message is its own.
    """
    folder.mkdir(parents=True, exist_ok=True)
    jobs = [(training, seed) for training in trainings for seed in training.seeds]
    with ThreadPoolExecutor(workers) as pool:
        waiting = [pool.submit(train_policy, *job, traces, folder) for job in jobs]
        _wait(waiting, lambda done, path: say(f"policy {done} of {len(waiting)}: {path}"))


def train_policy(training: Training, seed: int, traces: Sequence[Path], folder: Path) -> Path:
    """Train one policy, unless that is done."""
    out = folder / policy_name(training.name, seed)
    how = {
        "arguments": list(training.arguments),
        "seed": seed,
        "traces": {trace.name: trace_hash(trace) for trace in traces},
        "code": [sources_digest(SIMULATOR), sources_digest("vista_agents")],
    }
    if trained_as(out) == how:
        return out
    begun = out.with_name(f".{out.name}.json")  # of a training that has not ended yet
    again = begun.exists() and json.loads(begun.read_text(encoding="utf-8")) == how
    write_text(begun, json.dumps(how))
    command = [sys.executable, "-c", TRAIN, *training.arguments, "--seed", str(seed), "--json"]
    command += ["--traces", *map(str, traces), "--out", str(out), "--threads", "1"]
    command.append("--resume" if again else "--overwrite")
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode != 0:
        last = (done.stderr.strip() or f"exit status {done.returncode}").splitlines()[-1]
        raise VistaError(f"training {out.name}: {last}")
    write_text(out / TRAINED, json.dumps(how, indent=2))
    begun.unlink()
    return out


def trained_as(folder: Path) -> dict[str, Any] | None:
    """How the policy in a folder was trained; None if it is not there, or not whole."""
    try:
        values = json.loads((folder / TRAINED).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return values if isinstance(values, dict) and (folder / "policy.json").is_file() else None


def trace_hash(folder: Path) -> dict[str, str | None]:
    """SHA-256 over a trace's recording, and over what was baked from it."""
    return identify_trace(Trace.open(folder)).to_json()


def _wait(waiting: Sequence[Future[Path]], done: Callable[[int, Path], None]) -> None:
    """Tell of each that is done; the first that fails stops those that have not begun."""
    try:
        for count, future in enumerate(as_completed(waiting), 1):
            done(count, future.result())
    except BaseException:
        for future in waiting:
            future.cancel()
        raise
