"""Runs the tests again and again on a busy machine, in another order each time: `make endurance`.

    python tests/endurance.py --times 10 --burners 2 --seed 0 --work runs/endurance

While the tests run, other processes burn the processor. The order of the tests is drawn from the
seed and the number of the run. It can be broken off and goes on where it was: `rounds.jsonl` in the
work folder holds a line for each run that ended. Exit status 1 if any test failed in any of them.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
#: Burns a processor until whoever started it is gone, however that ended.
BURN = """
import os
parent = os.getppid()
while os.getppid() == parent:
    for _ in range(10**6):
        pass
"""
COUNTED = re.compile(r"(\d+) (passed|failed|error|errors|skipped|xfailed)\b")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--times", type=int, default=10, help="how many runs")
    parser.add_argument("--burners", type=int, default=2, help="processes that burn beside them")
    parser.add_argument("--seed", type=int, default=0, help="of the order of the tests")
    parser.add_argument("--workers", type=int, default=2, help="processes that run tests")
    parser.add_argument("--work", type=Path, default=Path("runs/endurance"), help="folder")
    parser.add_argument("tests", nargs="*", default=[], help="files and folders; all if none")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    told = options.work / "rounds.jsonl"
    done = [json.loads(line) for line in told.read_text().splitlines()] if told.exists() else []
    for number in range(len(done), options.times):
        with burning(options.burners):
            outcome = run(number, options)
        with told.open("a") as file:
            file.write(json.dumps(outcome) + "\n")
        done.append(outcome)
        print(line_of(outcome), flush=True)
    failed = [outcome for outcome in done if outcome["status"] != 0]
    print(f"{len(done)} runs, {len(failed)} with a failure")
    sys.exit(1 if failed else 0)


@contextmanager
def burning(count: int) -> Iterator[None]:
    """Keep the processor busy with so many processes."""
    burners = [subprocess.Popen([sys.executable, "-c", BURN]) for _ in range(count)]
    try:
        yield
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()


def run(number: int, options: argparse.Namespace) -> dict[str, Any]:
    """Run the tests once; what came of it."""
    seed = options.seed + number
    log = options.work / f"run-{number:02d}.log"
    command = [sys.executable, "-m", "pytest", "-q", "-n", str(options.workers)]
    command += ["--dist", "loadfile", "--no-loadscope-reorder"]
    command += ["-p", "pytest_randomly", f"--randomly-seed={seed}"]
    started = time.monotonic()
    with log.open("w") as out:
        ended = subprocess.run(
            [*command, *options.tests],
            cwd=ROOT,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    text = log.read_text(errors="replace")
    counts = {kind: int(number) for number, kind in COUNTED.findall(text.splitlines()[-1])}
    failures = sorted(set(re.findall(r"^(?:FAILED|ERROR) (\S+)", text, re.MULTILINE)))
    seconds = round(time.monotonic() - started, 1)
    outcome = {"seed": seed, "status": ended.returncode, "seconds": seconds, "failures": failures}
    return outcome | counts


def line_of(outcome: dict[str, Any]) -> str:
    """An outcome for people."""
    kinds = [kind for kind in ("passed", "failed", "error", "errors", "skipped") if kind in outcome]
    counts = ", ".join(f"{outcome[kind]} {kind}" for kind in kinds)
    failures = "".join(f"\n  {name}" for name in outcome["failures"])
    return f"seed {outcome['seed']}: {counts or 'nothing ran'} in {outcome['seconds']} s{failures}"


if __name__ == "__main__":
    main()
