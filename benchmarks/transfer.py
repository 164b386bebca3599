"""Does it transfer? Policies that learned from synthesized views, where everything is rendered.

    python benchmarks/transfer.py --out runs/transfer [--workers 2] [STAGE ...]

The proving ground stands for reality. In order, each stage keeping what is there already:

    record   worlds to learn from and unseen worlds; their traces are baked
    train    policies, by `vista-train`, on views synthesized from the first worlds alone
    deploy   trained policies drive the unseen worlds, rendered where the car really is: crashes
             per km, and from which offsets and headings they recover
    verdict  policies of widely different quality, many made worse on purpose, are judged in
             unseen worlds twice, on synthesized and on rendered views of the same road, from
             the same starts, by the same code: do both put them in the same order?
    report   what all results so far say; written after every other stage too

Without a stage, all of them. The report is OUT/transfer.json, transfer.md, deployment.png and
verdict.png. Interrupted, the same command goes on where it was. The plan is in
transfer_study/plan.py; `--quick` is a tiny one, to see that everything works: its figures mean
nothing.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transfer_study.files import write_text
from transfer_study.going_on import study
from transfer_study.judging import Results, Trial, run_trials
from transfer_study.pictures import draw_deployment, draw_verdict
from transfer_study.plan import (
    BAKED_FRAME,
    FULL,
    QUICK,
    RECORDED_FRAME,
    Plan,
    Views,
    world_name,
)
from transfer_study.preparing import make_worlds, train_policies, trained_as
from transfer_study.summary import summarize
from transfer_study.tables import as_markdown

from vista_sim.errors import VistaError
from vista_sim.proving_ground.renderer import import_pybullet

STAGES = ("record", "train", "deploy", "verdict", "report")


def main() -> None:
    options = parse_options()
    with study():
        summary = run(options)
    if options.json:
        print(json.dumps(summary, indent=2))
    else:
        print((options.out / "transfer.md").read_text(encoding="utf-8"), end="")


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("stages", metavar="STAGE", nargs="*", help=", ".join(STAGES))
    parser.add_argument("--out", type=Path, default=Path("runs/transfer"), help="folder")
    parser.add_argument("--workers", type=int, default=2, help="processes at a time")
    parser.add_argument("--only", nargs="+", metavar="TRAINING", help="these trainings alone")
    parser.add_argument("--quick", action="store_true", help="a tiny study: not to be quoted")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser.parse_args()


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Do the stages that are asked for; what all results so far say. Raises VistaError."""
    stages = options.stages or STAGES
    for stage in stages:
        if stage not in STAGES:
            raise VistaError(f"no stage is called {stage!r}; stages: {', '.join(STAGES)}")
    if options.workers < 1:
        raise VistaError(f"--workers is {options.workers}; it must be at least 1")
    import_pybullet()
    plan = QUICK if options.quick else FULL
    if options.only:
        plan = plan.only(tuple(options.only))
    out: Path = options.out
    if out.exists() and not out.is_dir():
        raise VistaError(f"{out}: is a file; --out names a folder")
    say(estimate(plan, stages, options.workers, out))

    if "record" in stages:
        make_worlds([*plan.learned, *plan.unseen], out / "traces", options.workers, say)
    if "train" in stages:
        learned = [out / "traces" / world_name(recording) for recording in plan.learned]
        need(learned, "trace.json", "record")
        train_policies(plan.trainings, learned, out / "policies", options.workers, say)
    results = Results(out / "results")
    wanted = [
        t for part in ("deploy", "verdict") if part in stages for t in trials(plan, out, part)
    ]
    if wanted:
        need(sorted({t.trace for t in wanted}), "trace.json", "record")
        need(sorted({t.policy for t in wanted}), "policy.json", "train")
        run_trials(wanted, results, options.workers, say)
    return report(plan, out, results)


def trials(plan: Plan, out: Path, part: str) -> list[Trial]:
    """What is judged: what is quick first, and one policy after the other, in every world."""
    candidates, kinds = plan.deployed, list[Views](["rendered"])
    if part == "verdict":
        candidates, kinds = plan.candidates, ["synthesized", "rendered"]
    return [
        Trial(
            candidate,
            out / "policies" / candidate.policy,
            out / "traces" / world_name(recording),
            views,
            plan.test,
            plan.seed,
            plan.trial_seconds(recording, views),
        )
        for views in kinds
        for candidate in candidates
        for recording in plan.unseen
    ]


def report(plan: Plan, out: Path, results: Results) -> dict[str, Any]:
    """Write tables and pictures of all results that are there."""
    found = {}
    for trial in {*trials(plan, out, "deploy"), *trials(plan, out, "verdict")}:
        if (trial.policy / "policy.json").exists() and (trial.trace / "trace.json").exists():
            result = results.find(trial)
            if result is not None:
                found[trial.candidate.name, trial.trace.name, trial.views] = result
    summary = summarize(plan, found)
    out.mkdir(parents=True, exist_ok=True)
    write_text(out / "transfer.json", json.dumps(summary, indent=2) + "\n")
    write_text(out / "transfer.md", as_markdown(summary))
    if summary["deployment"]:
        draw_deployment(summary, out / "deployment.png")
    if summary["verdict"]["policies"]:
        draw_verdict(summary, out / "verdict.png")
    return summary


def need(folders: list[Path], file: str, stage: str) -> None:
    """Raise VistaError unless each folder is whole: it holds a file that a stage writes."""
    for folder in folders:
        if not (folder / file).is_file() or (stage == "train" and trained_as(folder) is None):
            raise VistaError(f"{folder}: is not there yet; run the stage {stage!r} first")


def estimate(plan: Plan, stages: Sequence[str], workers: int, out: Path) -> str:
    """About how long the stages take from nothing, as a sentence."""
    policies = sum(len(t.seeds) for t in plan.trainings)
    frames = sum(r.seconds * r.rate for r in (*plan.learned, *plan.unseen))
    seconds = {
        "record": frames * (RECORDED_FRAME + BAKED_FRAME),
        "train": sum(60.0 * t.minutes * len(t.seeds) for t in plan.trainings),
    }
    judged = {
        t for part in ("deploy", "verdict") if part in stages for t in trials(plan, out, part)
    }
    total = sum(t.seconds for t in judged) + sum(seconds.get(stage, 0.0) for stage in stages)
    return (
        f"{len(plan.learned)} + {len(plan.unseen)} worlds, {policies} policies trained, "
        f"{len(judged)} trials of {plan.starts} starts and {plan.unseen[0].seconds:g} s of road; "
        f"from nothing about {total / 60 / workers:.0f} min with {workers} workers"
    )


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
