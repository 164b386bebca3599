"""python -m tests.fuzz: damage inputs, and see that nothing surprises.

Runs so many cases of each target, goes on where it was broken off, prints a table and every
distinct fault with a command that reproduces it, and ends with status 1 if there is one.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections import defaultdict
from dataclasses import asdict
from pathlib import Path

# Before NumPy, Numba and PyTorch are imported: threads do not survive a fork.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

from .campaign import Campaign, Result, run_seeds  # noqa: E402
from .limits import MEMORY, SECONDS  # noqa: E402
from .targets import TARGETS  # noqa: E402


def main() -> int:
    """The exit status."""
    options = _options()
    names = options.target or list(TARGETS)
    if options.keep is not None:
        return _show(names[0], options.seed, options.operator, options.keep)
    if options.anew:
        shutil.rmtree(options.out, ignore_errors=True)
    campaign = Campaign(options.out, options.workers, options.operator)
    results = campaign.run(names, options.seed, options.count)
    summary = summarize(results)
    (options.out / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    if options.json:
        print(json.dumps(summary, indent=2))
    else:
        print(told(summary))
    return int(bool(summary["faults"]))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--target", action="append", choices=TARGETS, help="all where not given")
    parser.add_argument("--count", type=int, default=1000, help="cases of each target (1000)")
    parser.add_argument("--seed", type=int, default=0, help="of the first case (0)")
    parser.add_argument("--workers", type=int, default=2, help="processes (2)")
    parser.add_argument("--out", type=Path, default=Path("runs/fuzz"), help="results (runs/fuzz)")
    parser.add_argument("--anew", action="store_true", help="forget the results at OUT")
    parser.add_argument("--keep", type=Path, help="run one case, show it, and keep its folder here")
    parser.add_argument("--operator", help="damage by this one alone (any that fits)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser.parse_args()


def _show(name: str, seed: int, only: str | None, keep: Path) -> int:
    """Run a case and print what it was and what came of it."""
    place = Path(tempfile.mkdtemp(prefix="vista-fuzz-"))
    (result,) = run_seeds(TARGETS[name], [seed], place, only)
    print(f"{', '.join(result.operators)}\n{result.command}\nexit status {result.status}, "
          f"{result.seconds:.1f} s, {result.memory / 2**20:.0f} MiB")  # fmt: skip
    for kind in ("out", "err", "stack"):
        text = (place / "notes" / kind).read_text(errors="replace")
        print(f"--- {kind}\n{text[:4000]}" if text else f"--- no {kind}")
    for fault in result.faults:
        print(f"fault: {fault.kind}: {fault.where}: {fault.detail}")
    shutil.rmtree(keep, ignore_errors=True)
    shutil.move(place / "case", keep)
    shutil.rmtree(place, ignore_errors=True)
    return int(bool(result.faults))


def summarize(results: list[Result]) -> dict:
    """Cases by target and status, and the distinct faults with an example each."""
    targets: dict[str, dict] = {}
    groups: dict[tuple[str, str, str], list[Result]] = defaultdict(list)
    details: dict[tuple[str, str, str], str] = {}
    operators: dict[str, set[str]] = defaultdict(set)
    for result in results:
        row = targets.setdefault(
            result.target,
            {
                "cases": 0,
                "accepted": 0,
                "refused": 0,
                "with_fault": 0,
                "slowest_s": 0.0,
                "most_mib": 0.0,
            },
        )
        row["cases"] += 1
        row["accepted"] += result.status in (0, 1) and not result.faults
        row["refused"] += result.status == 2 and not result.faults
        row["with_fault"] += bool(result.faults)
        row["slowest_s"] = max(row["slowest_s"], result.seconds)
        row["most_mib"] = max(row["most_mib"], round(result.memory / 2**20, 1))
        operators[result.target] |= {name.split(" (")[0] for name in result.operators}
        for fault in result.faults:
            key = (result.target, fault.kind, fault.where)
            groups[key].append(result)
            details.setdefault(key, fault.detail)
    kinds: dict[str, int] = defaultdict(int)
    for _, kind, _ in groups:
        kinds[kind] += 1
    return {
        "limits": {"seconds": SECONDS, "mib": MEMORY / 2**20},
        "cases": len(results),
        "cases_with_fault": sum(bool(result.faults) for result in results),
        "targets": targets,
        "operators": {name: sorted(found) for name, found in sorted(operators.items())},
        "distinct_faults_by_kind": dict(sorted(kinds.items())),
        "faults": [
            {
                "target": target,
                "kind": kind,
                "where": where,
                "cases": len(found),
                "detail": details[target, kind, where],
                "seeds": [result.seed for result in found[:8]],
                "operators": sorted({o.split(" (")[0] for r in found for o in r.operators})[:12],
                "example": asdict(found[0]) | {"reproduction": found[0].reproduction},
            }
            for (target, kind, where), found in sorted(
                groups.items(), key=lambda item: (item[0][0], item[0][1], -len(item[1]))
            )
        ],
    }


def told(summary: dict) -> str:
    """The summary as text."""
    lines = [
        f"{'target':<11}{'cases':>7}{'accepted':>10}{'refused':>9}{'fault':>7}{'slowest':>10}{'most':>10}"
    ]
    for name, row in summary["targets"].items():
        lines.append(
            f"{name:<11}{row['cases']:>7}{row['accepted']:>10}{row['refused']:>9}"
            f"{row['with_fault']:>7}{row['slowest_s']:>8.1f} s{row['most_mib']:>6.0f} MiB"
        )
    lines.append(f"{summary['cases']} cases, {summary['cases_with_fault']} with a fault")
    for kind, count in summary["distinct_faults_by_kind"].items():
        lines.append(f"  {kind}: {count} distinct")
    for fault in summary["faults"]:
        example = fault["example"]
        lines += [
            "",
            f"{fault['target']}: {fault['kind']}: {fault['where']} ({fault['cases']} cases)",
            f"  {fault['detail']}",
            f"  {', '.join(example['operators'])}; {example['command']}",
            f"  {example['reproduction']}",
        ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
