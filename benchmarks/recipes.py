"""What each way of learning takes and gives, on the sample drives.

    python benchmarks/recipes.py --out runs/recipes [--seeds 0 1 2] [RECIPE ...]

Each recipe is one `vista-train` command: it learns on the sample drive in one thread, and is
judged on that drive and on one that it never saw, as `vista-sim evaluate` does. Minutes are of
processor time, of the training and of all processes it starts, so that other work on the machine
matters little. What is measured already is kept: interrupted, the same command goes on. The table
is OUT/recipes.md.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transfer_study.files import write_text
from transfer_study.preparing import TRAIN

import vista_sim
from vista_sim.errors import VistaError
from vista_sim.geometry.bake import bake
from vista_sim.interrupts import interruptible

LEARNED, UNSEEN = "proving-ground", "proving-ground-unseen"
RESULT = "recipe.json"  # beside the policy, once it is trained and judged
FROM_REWARD = ("ppo", "recurrent-ppo", "reinforce")

RECIPES: dict[str, tuple[str, ...]] = {
    "bc": ("bc",),
    "bc-shifted": ("bc", "--shift.lateral", "-1", "1", "--shift.heading", "-0.1", "0.1"),
    "guided": ("guided",),
    "guided-lstm": ("guided", "--architecture", "lstm"),
    "guided-attention": ("guided", "--architecture", "attention"),
    "dagger": ("dagger",),
    "ppo": ("ppo", "--iterations", "40", "--evaluate-every", "5"),
    "recurrent-ppo": ("recurrent-ppo", "--iterations", "30", "--evaluate-every", "5"),
    "reinforce": ("reinforce", "--iterations", "60"),
}


@dataclass(frozen=True)
class Job:
    """One recipe with one seed."""

    recipe: str
    seed: int
    out: Path

    @property
    def folder(self) -> Path:
        return self.out / f"{self.recipe}-seed{self.seed}"

    @property
    def arguments(self) -> list[str]:
        """Of `vista-train`, but for traces and folder."""
        return [*RECIPES[self.recipe], "--seed", str(self.seed), "--threads", "1"]


def main() -> None:
    options = parse_options()
    for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    jobs = [Job(name, seed, options.out) for name in options.recipes for seed in options.seeds]
    try:
        with interruptible("interrupted; the same command goes on"):
            for job in jobs:
                measure(job)
    except VistaError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    every = [Job(name, seed, options.out) for name in RECIPES for seed in range(100)]
    results = [found for job in every if (found := kept(job)) is not None]
    table = as_markdown(results)
    write_text(options.out / "recipes.md", table)
    print(json.dumps(results, indent=2) if options.json else table, end="")


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    known = ", ".join(RECIPES)
    parser.add_argument("recipes", metavar="RECIPE", nargs="*", help=f"of {known}; none: all")
    parser.add_argument("--out", type=Path, default=Path("runs/recipes"), help="folder")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="0 to 99")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    for name in options.recipes:
        if name not in RECIPES:
            parser.error(f"no recipe is called {name!r}; known: {known}")
    for seed in options.seeds:
        if not 0 <= seed < 100:
            parser.error(f"--seeds holds {seed}; seeds are from 0 to 99")
    options.recipes = options.recipes or list(RECIPES)
    return options


def measure(job: Job) -> None:
    """Train and judge, unless that is done. Raises VistaError."""
    if kept(job) is not None:
        return
    learned, unseen = vista_sim.sample_trace(LEARNED), vista_sim.sample_trace(UNSEEN)
    for trace in (learned, unseen):
        bake(trace)
    print(f"{job.folder}: training", file=sys.stderr, flush=True)
    seconds = train(job, learned)
    result = {"recipe": job.recipe, "seed": job.seed, "arguments": job.arguments}
    result["processor_minutes"] = round(seconds / 60, 2)
    for name, trace in (("learned", learned), ("unseen", unseen)):
        print(f"{job.folder}: judging on the {name} drive", file=sys.stderr, flush=True)
        report = vista_sim.evaluate(job.folder, [trace], video=False)
        result[name] = {
            "crashes": int(report.metrics["crashes"]),
            "mean_cross_track_error_m": report.metrics["mean_cross_track_error_m"],
            "max_cross_track_error_m": report.metrics["max_cross_track_error_m"],
            "recovery": None if report.recovery is None else report.recovery.rate,
        }
    write_text(job.folder / RESULT, json.dumps(result, indent=2) + "\n")


def train(job: Job, trace: Path) -> float:
    """Train from nothing; processor time of the training and its processes, s."""
    command = [sys.executable, "-c", TRAIN, *job.arguments, "--traces", str(trace)]
    command += ["--out", str(job.folder), "--overwrite", "--json"]
    job.out.mkdir(parents=True, exist_ok=True)
    log = job.out / f"{job.folder.name}.log"
    with log.open("wb") as said, subprocess.Popen(command, stdout=said, stderr=said) as process:
        # Of the process, and of those that it started and waited for.
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise VistaError(f"{job.folder.name}: exit status {process.returncode}; see {log}")
    return usage.ru_utime + usage.ru_stime


def kept(job: Job) -> dict[str, Any] | None:
    """The result that is there already, if it is of the recipe as it is now."""
    try:
        values = json.loads((job.folder / RESULT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    same = isinstance(values, dict) and values.get("arguments") == job.arguments
    return values if same else None


def as_markdown(results: Sequence[Mapping[str, Any]]) -> str:
    """A row a recipe; of several seeds, each seed's figure."""
    lines = [
        "| `vista-train ...` | seeds | minutes of one core | crashes: learned, unseen drive "
        "| cross-track error on the unseen drive, mean / max | recovers there, of the expert's |",
        "|---" * 6 + "|",
    ]
    for name in RECIPES:
        rows = [r for r in results if r["recipe"] == name]
        if not rows:
            continue
        minutes = each(f"{r['processor_minutes']:.1f}" for r in rows)
        crashes = each(f"{r['learned']['crashes']}, {r['unseen']['crashes']}" for r in rows)
        error = each(
            f"{r['unseen']['mean_cross_track_error_m']:.2f} / "
            f"{r['unseen']['max_cross_track_error_m']:.2f} m"
            for r in rows
        )
        if name in FROM_REWARD:
            error = ""  # nothing asks these to keep to the path
        recovery = each(percent(r["unseen"]["recovery"]) for r in rows)
        command, seeds = " ".join(RECIPES[name]), each(str(r["seed"]) for r in rows)
        lines.append(f"| `{command}` | {seeds} | {minutes} | {crashes} | {error} | {recovery} |")
    return "\n".join(lines) + "\n"


def each(figures: Iterable[str]) -> str:
    return "; ".join(figures)


def percent(rate: float | None) -> str:
    return "-" if rate is None or math.isnan(rate) else f"{100 * rate:.0f} %"


if __name__ == "__main__":
    main()
