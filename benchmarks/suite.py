"""What a sweep of many cases costs by one process and by two, and whether both say the same.

    python benchmarks/suite.py [--json] [--cases 200] [--workers 2] [--policy POLICY] [--seed 0]
                               [--rounds 3]

The sweep is on the sample trace: starts along it, each at four lateral offsets, five seconds
each. The default policy steers like the privileged reference but is shown a view of 66 x 200
pixels each step, so that what is timed is a judge's own work; give a trained one to see what its
network adds. The speed-up is the ratio of whole calls, with the start of the processes, the
writing of the run and the judging of its tables; rounds of one process and of several take turns,
and it is the median of theirs, because the machine's speed drifts. `cpu_s` is the processor time
of this process and of those that drive, which other programs disturb less. Then the run by
several processes is killed at a random moment and resumed. `identical` says whether steps and
episodes are the same to the last bit, as tables and as files. Measure on idle cores.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vista_sim.policies import CameraSpec
from vista_sim.policies.reference import ReferenceDriver

LATERALS = (-0.75, -0.25, 0.25, 0.75)  # m
SECONDS = 5.0  # of a case


class Seeing(ReferenceDriver):
    """Steers like the reference, and is shown what a policy is shown."""

    camera = CameraSpec((66, 200), fov=1.2)


def seeing() -> Seeing:
    """The default policy, for other processes to load."""
    return Seeing()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--cases", type=int, default=200, help="rounded up to a multiple of four")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--policy", default="suite:seeing", help="as vista-sim evaluate takes it")
    parser.add_argument("--rounds", type=int, default=1, help="how often both are timed")
    parser.add_argument("--seed", type=int, default=0, help="draws when the run is killed")
    options = parser.parse_args()

    import vista_sim
    from vista_sim.geometry.bake import bake

    bake(vista_sim.sample_trace("proving-ground"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        suite = write_sweep(folder, options.cases)
        rounds = []
        for number in range(max(1, options.rounds)):
            pair = [("one", 1), ("many", options.workers)]
            rounds.append(
                {
                    name: judge(suite, options.policy, folder / name, count, overwrite=True)
                    for name, count in (pair if number % 2 == 0 else pair[::-1])
                }
            )
        one, many = rounds[-1]["one"], rounds[-1]["many"]
        speed_ups = [pair["one"]["call_s"] / pair["many"]["call_s"] for pair in rounds]
        killed = kill_and_resume(suite, options, many["cases"], folder / "killed")
        result: dict[str, Any] = {
            "cores": len(os.sched_getaffinity(0)),
            "policy": options.policy,
            "cases": many["cases"],
            "one": one,
            "many": many,
            "speed_up": statistics.median(speed_ups),
            "speed_ups": speed_ups,
            "load": os.getloadavg()[0],
            "identical": identical(folder / "one", folder / "many"),
            "killed": killed | {"identical": identical(folder / "one", folder / "killed")},
        }
    print(json.dumps(result, indent=2) if options.json else as_text(result))


def write_sweep(folder: Path, cases: int) -> Path:
    """The scenario file of the sweep."""
    starts = -(-cases // len(LATERALS))
    path = folder / "sweep.toml"
    path.write_text(
        'format = "vista-scenario/1"\n'
        'name = "sweep"\n'
        'traces = "sample:proving-ground"\n'
        f"time_limit = {SECONDS}\n"
        "[start]\n"
        f"fraction = {{ from = 0.0, to = 0.95, steps = {starts} }}\n"
        f"lateral = {{ values = {list(LATERALS)} }}\n",
        encoding="utf-8",
    )
    return path


def judge(suite: Path, policy: str, out: Path, workers: int, **options: Any) -> dict[str, Any]:
    """Judge by so many processes; what it cost, and `call_s`, the wall time of the whole call."""
    import vista_sim

    began, own, theirs = time.perf_counter(), time.process_time(), _children()
    report = vista_sim.evaluate(policy, suite, out, video=False, workers=workers, **options)
    call = round(time.perf_counter() - began, 3)
    assert report.suite is not None
    cpu = {"parent": time.process_time() - own, "workers": _children() - theirs}
    measured = {"call_s": call, "cpu_s": cpu, "resumed_cases": report.suite.resumed}
    return dict(report.suite.cost) | measured


def _children() -> float:
    """Processor time of the processes that this one had, s."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def kill_and_resume(
    suite: Path, options: argparse.Namespace, cases: int, out: Path
) -> dict[str, Any]:
    """Kill a run when a random number of its cases are on disk, and go on with it."""
    command = ["evaluate", "--suite", str(suite), "--policy", options.policy, "--out", str(out)]
    command += ["--workers", str(options.workers), "--no-video"]
    program = f"from vista_sim.cli import main; main({command!r})"
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    process = subprocess.Popen(
        [sys.executable, "-c", program], env=environment, stdout=subprocess.DEVNULL
    )
    enough = random.Random(options.seed).randint(1, max(1, cases // 2))
    while cases_on_disk(out) < enough and process.poll() is None:
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    status = process.wait()
    resumed = judge(suite, options.policy, out, options.workers, resume=True)
    return {"killed": status == -signal.SIGKILL, "resumed_cases": resumed["resumed_cases"]}


def cases_on_disk(out: Path) -> int:
    """How many cases a run that is being written has in its tables."""
    import pyarrow.parquet as pq

    parts = out.glob("episodes.parquet/*.parquet")
    return sum(pq.ParquetFile(part).metadata.num_rows for part in parts)


def identical(a: Path, b: Path) -> bool:
    """Whether steps and episodes of two runs are the same, as tables and as files."""
    from vista_sim.runs.run import read_run

    run_a, run_b = read_run(a), read_run(b)
    tables = run_a.steps.equals(run_b.steps) and run_a.episodes.equals(run_b.episodes)
    files = (f"{name}.parquet" for name in ("steps", "episodes"))
    return bool(tables) and all((a / f).read_bytes() == (b / f).read_bytes() for f in files)


def as_text(result: Mapping[str, Any]) -> str:
    """For people."""
    lines = [f"{result['cases']} cases of {SECONDS:g} s, {result['policy']}"]
    for name in ("one", "many"):
        cost = result[name]
        parts = ", ".join(f"{part} {spent:.1f} s" for part, spent in cost["seconds"].items())
        lines.append(
            f"{cost['workers']} process(es): {cost['call_s']:.1f} s, "
            f"{cost['simulated_s_per_wall_s']:.1f} simulated seconds a second ({parts}); "
            f"processor time {cost['cpu_s']['parent']:.1f} s and {cost['cpu_s']['workers']:.1f} s"
        )
    lines.append(
        f"speed-up {result['speed_up']:.2f} ("
        + ", ".join(f"{each:.2f}" for each in result["speed_ups"])
        + f") on {result['cores']} cores at load {result['load']:.1f}; "
        f"identical: {result['identical']}"
    )
    killed = result["killed"]
    lines.append(
        f"{'killed' if killed['killed'] else 'ended'} with {killed['resumed_cases']} cases done, "
        "and resumed; "
        f"identical: {killed['identical']}"
    )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
