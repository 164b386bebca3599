"""Time, memory and size of a report's page; prints JSON.

    python benchmarks/report_page.py

A run of 10,000 steps is driven by the expert on the sample traces, and filmed all the way (scene
and recorded frames); its report is built in a process of its own, of which time and peak memory
are those of the whole command. The page of 51 episodes is of
five seconds each, filmed in all views.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

import vista_sim
from vista_sim.runs.filming import Filming

STEPS = 10_000
TRACES = ("proving-ground", "proving-ground-unseen")
PIECES = """
format = "vista-scenario/1"
name = "pieces"
description = "Five seconds from 17 places on straight, left and right road each"
traces = ["sample:proving-ground", "sample:proving-ground-unseen"]
time_limit = 5.0

[start]
places = 17
lateral = 0.2
"""

#: The command, and then the most memory that its process had, KiB: ru_maxrss would count that of
#: the process that started it.
PROGRAM = """
from vista_sim.cli import main

try:
    main()
finally:
    with open("/proc/self/status") as status:
        print(next(line for line in status if line.startswith("VmHWM:")).split()[1])
"""


def drive_many(folder: Path) -> dict[str, Any]:
    """A run of at least `STEPS` steps, filmed all the way.

    One round of the traces is filmed; the films of the others are copies, as all are alike.
    """
    roots = [vista_sim.sample_trace(name) for name in TRACES]
    lengths = sum(vista_sim.Trace.open(root).duration for root in roots)
    rounds = -(-STEPS // int(lengths * 10))
    drives = [root for _ in range(rounds) for root in roots]
    vista_sim.evaluate("expert", drives, folder, recovery=False, video=False)
    filmed, views = folder.with_name("filmed"), folder / "views"
    filming = Filming(("scene", "recorded"))
    vista_sim.evaluate("expert", roots, filmed, recovery=False, video=filming)
    views.mkdir(exist_ok=True)
    frames = pq.read_table(filmed / "frames.parquet")
    parts = []
    for i in range(rounds):
        for row in frames.to_pylist():
            file = f"{i}-{row['file']}"
            if not (views / file).exists():
                shutil.copyfile(filmed / "views" / row["file"], views / file)
            parts.append(row | {"episode": row["episode"] + i * len(roots), "file": file})
    table = pa.Table.from_pylist(parts, schema=frames.schema)
    pq.write_table(table, folder / "frames.parquet")
    steps = pq.read_metadata(folder / "steps.parquet").num_rows
    return {"steps": steps, "frames": len(parts), "video_mb": _megabytes(views)}


def drive_pieces(folder: Path) -> dict[str, Any]:
    """A run of 51 episodes of five seconds, with a film of each."""
    scenario = folder.with_suffix(".toml")
    scenario.write_text(PIECES, encoding="utf-8")
    vista_sim.evaluate("expert", str(scenario), folder, video=True)
    episodes = pq.read_table(folder / "episodes.parquet")
    return {
        "episodes": episodes.num_rows,
        "simulated_s": round(float(pa.compute.sum(episodes["duration"]).as_py()), 1),
        "video_mb": _megabytes(folder / "views"),
    }


def build(run: Path, out: Path, *more: str) -> dict[str, Any]:
    """Build a report by the command, and measure its process."""
    arguments = [sys.executable, "-c", PROGRAM, "report", str(run), "-o", str(out), *more]
    started = perf_counter()
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    printed = process.stdout.read().split()
    _, status, used = os.wait4(process.pid, 0)
    seconds = perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"the report of {run} failed with status {process.returncode}")
    return {
        "seconds": round(seconds, 1),
        "cpu_seconds": round(used.ru_utime + used.ru_stime, 1),
        "peak_memory_mib": round(int(printed[-1]) / 1024),
        "page_mb": round(out.stat().st_size / 1e6, 1),
    }


def _megabytes(folder: Path) -> float:
    return round(sum(path.stat().st_size for path in folder.glob("*.mp4")) / 1e6, 1)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        many, pieces = folder / "many", folder / "pieces"
        result = {
            "steps_10000": drive_many(many)
            | {
                "videos_embedded": build(many, folder / "a.html"),
                "videos_linked": build(many, folder / "b.html", "--videos", "link"),
                "no_videos": build(many, folder / "c.html", "--videos", "none"),
            },
            "episodes_51": drive_pieces(pieces) | build(pieces, folder / "d.html"),
        }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
