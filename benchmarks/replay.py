"""How fast `vista-sim replay` opens a long run, and how much memory it takes.

    python benchmarks/replay.py                      # drives 10,000 steps, then replays them
    python benchmarks/replay.py --run runs/long      # replays a run that is there

Each replay is a process of its own. Prints JSON: seconds until the address of the page is told,
until the first part (scene, plots, videos) and until everything can be had from the page; seconds
until the .rrd file is written; and the peak of the resident memory of the process, MiB.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import vista_sim
from vista_sim.runs.filming import Filming
from vista_sim.runs.run import read_run

STEPS = 10_000
VIEWS = ("scene", "camera", "recorded", "validity")
COMMAND = [sys.executable, "-c", "from vista_sim.cli import main; main()", "replay"]
ALL_SENT = "Ctrl-C ends it"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--run", type=Path, help="a run to replay; without it one is driven")
    parser.add_argument("--policy", default="expert", help="that drives it")
    parser.add_argument("--steps", type=int, default=STEPS, help="at least so many are driven")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vista-replay-") as folder:
        run = options.run or drive(Path(folder) / "run", options.policy, options.steps)
        read = read_run(run)
        result = {
            "steps": read.steps.num_rows,
            "frames": read.frames.num_rows,
            "videos_mib": round(sum(f.stat().st_size for f in run.glob("views/*.mp4")) / 2**20, 1),
            "web": web(run),
            "save": save(run, Path(folder) / "run.rrd"),
        }
    print(json.dumps(result, indent=2))


def drive(out: Path, policy: str, steps: int) -> Path:
    """Drive the sample trace over and over, filming every step."""
    folder = vista_sim.sample_trace("proving-ground")
    each = int(vista_sim.Trace.open(folder).duration / 0.1) - 20
    vista_sim.evaluate(
        policy, [folder] * -(-steps // each), out=out, recovery=False, video=Filming(views=VIEWS)
    )
    return out


def web(run: Path) -> dict[str, Any]:
    """Serve the page, wait until all is sent, and end it."""
    started = time.perf_counter()
    child = subprocess.Popen([*COMMAND, "--web", str(run)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    times: dict[str, float] = {}
    names = {"open": "address_s", "shown:": "first_part_s", ALL_SENT.split()[0]: "all_s"}
    for line in child.stdout:
        if name := names.get(line.split()[0]):
            times[name] = round(time.perf_counter() - started, 2)
        if line.startswith(ALL_SENT):
            break
    memory = {"peak_mib": _peak(child.pid)}
    child.send_signal(signal.SIGTERM)
    child.wait(timeout=30)
    return times | memory


def save(run: Path, out: Path) -> dict[str, Any]:
    """Write the .rrd file."""
    started = time.perf_counter()
    child = subprocess.Popen([*COMMAND, "--save", str(out), str(run)], stdout=subprocess.DEVNULL)
    peak = 0.0
    while child.poll() is None:  # what wait4 tells counts this process too, which was forked
        peak = max(peak, _peak(child.pid))
        time.sleep(0.02)
    if child.returncode:
        raise SystemExit("the replay failed")
    return {
        "all_s": round(time.perf_counter() - started, 2),
        "peak_mib": peak,
        "file_mib": round(out.stat().st_size / 2**20, 1),
    }


def _peak(pid: int) -> float:
    """Peak resident memory of a process, MiB."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmHWM:"):
            return round(int(line.split()[1]) / 1024, 1)
    return 0.0


if __name__ == "__main__":
    main()
