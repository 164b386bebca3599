"""Whether two checkouts drive alike, to the byte: every form of environment, and suites judged.

    git worktree add /tmp/base main
    python benchmarks/golden.py /tmp/base [--only 'scenario/*'] [--steps 60] [--seed 0]

Both checkouts, each in a process of its own with its own sources, are given the same traces,
scenarios, policies, seeds and random actions. Observations, rewards with their terms, endings,
infos, tables of runs and metrics are compared: bytes, types and shapes. For a form that differs
the first difference is named, with how much of it differs and by how much at most in the whole
drive, and what else differs. Traces and policies are made by BASE, which is taken to be the older
one. Nothing is kept from run to run, for bytes differ between processors and versions of packages.

Exit status 1 where something differs. What both checkouts leave out for want of a package is said
and is no difference. Speed is compared by `speed.py --base` and `vector.py --base`.
"""

from __future__ import annotations

import argparse
import fnmatch
import math
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from checkouts import HERE, Checkout, both
from golden_worker import forms
from numpy.typing import NDArray

WORKER = Path(__file__).with_name("golden_worker.py")
SAMPLE = HERE / "assets" / "proving-ground"
MISSING = ("ModuleNotFoundError", "ImportError", "MissingDependencyError")

Values = Mapping[str, NDArray[Any]]


def main() -> int:
    description, _, epilog = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("base", type=Path, nargs="?", help="another checkout of the project")
    parser.add_argument("--only", action="append", help="names of forms, with * and ?; repeatable")
    parser.add_argument("--list", action="store_true", help="print the names of all forms")
    parser.add_argument("--steps", type=int, default=60, help="of each environment")
    parser.add_argument("--seed", type=int, default=0, help="of starts and actions")
    parser.add_argument(
        "--tolerance",
        type=float,
        default=0.0,
        help="numbers may differ by so much (default: bytes are equal)",
    )
    options = parser.parse_args()
    names = [name for name in forms() if _wanted(name, options.only)]
    if options.list:
        print(*names, sep="\n")
        return 0
    if options.base is None or not names:
        parser.error("give BASE, the other checkout" if names else f"no form is {options.only}")
    os.environ["OMP_NUM_THREADS"] = "1"  # sums have one order
    with both(options.base) as (base, own, work):
        print(f"BASE {base.root}, here {own.root}: {len(names)} forms, seed {options.seed}")
        given = work / "given"
        given.mkdir()
        run(base, given, "--prepare", SAMPLE)
        for checkout, out in ((base, "of-base"), (own, "of-own")):
            (work / out).mkdir()
            drive = ["--out", work / out, "--steps", options.steps, "--seed", options.seed]
            run(checkout, given, *drive, "--forms", *names, count=len(names))
        verdicts = [
            verdict(read(work / "of-base", k), read(work / "of-own", k), options.tolerance)
            for k in range(len(names))
        ]
    print(table(names, verdicts))
    return int(any(each.differs for each in verdicts))


def _wanted(name: str, patterns: Sequence[str] | None) -> bool:
    return not patterns or any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def run(checkout: Checkout, given: Path, *arguments: object, count: int = 0) -> None:
    """Run the worker and show how far it is. Raises SystemExit if it ends with an error."""
    child = checkout.start(WORKER, given, *arguments)
    assert child.stdout is not None
    for done, line in enumerate(child.stdout, 1):
        print(f"{checkout.root.name}: {done} of {count}, {line.strip()}", file=sys.stderr)
    if child.wait() != 0:
        raise SystemExit(f"{checkout.root}: its process ended with status {child.returncode}")


def read(folder: Path, number: int) -> Values:
    with np.load(folder / f"{number}.npz", allow_pickle=False) as found:
        return dict(found)


class Verdict(NamedTuple):
    """How one form compares.

    Args:
        differs: whether it does.
        text: how, in one line.
    """

    differs: bool
    text: str


def verdict(base: Values, own: Values, tolerance: float = 0.0) -> Verdict:
    """Compare what both told.

    Args:
        base, own: arrays by "place|name", in the order in which they came.
        tolerance: by which numbers may differ; 0: bytes are equal.
    """
    keys = list(dict.fromkeys([*base, *own]))
    failed = {_name(key, 0) for key in keys if _name(key, 1) == "error"}
    different = [key for key in keys if not _same(base.get(key), own.get(key), tolerance)]
    if failed and not different:
        error = next(str(base[key]) for key in keys if _name(key, 1) == "error")
        # A module of the project that is not there has moved; the worker must learn its place.
        if failed <= set(MISSING) and "vista_" not in error:
            return Verdict(False, f"left out by both: {error}")
        return Verdict(True, f"fails in both: {', '.join(failed)}: {error}")
    if not different:
        return Verdict(False, f"equal, {len(keys)} values")
    # An error says more than that what comes after it is missing.
    first = next((key for key in different if _name(key, 1) == "error"), different[0])
    named = _name(first, 1)
    alike = [key for key in different if _name(key, 1) == named]
    text = f"{_name(first, 0)}: {named} {_how(base.get(first), own.get(first))}"
    if len(alike) > 1:
        text += f", in {len(alike)} places"
        gaps = [_gap(base[key], own[key]) for key in alike if key in base and key in own]
        finite = [gap for gap in gaps if math.isfinite(gap)]
        text += f" by at most {max(finite):.3g}" if finite else ""
    others = sorted({_name(key, 1) for key in different} - {named})
    if others:
        shown = ", ".join(others[:4]) + (", ..." if len(others) > 4 else "")
        text += f"; {len(others)} more differ: {shown}"
    return Verdict(True, text)


def table(names: Sequence[str], verdicts: Sequence[Verdict]) -> str:
    """A line a form, and how many differ."""
    width = max(len(name) for name in names)
    lines = [
        f"{'DIFFERS' if found.differs else 'ok':>7}  {name:<{width}}  {found.text}"
        for name, found in zip(names, verdicts, strict=True)
    ]
    count = sum(found.differs for found in verdicts)
    return "\n".join([*lines, f"{count} of {len(names)} forms differ"])


def _name(key: str, part: int) -> str:
    return key.split("|", 1)[part]


def _same(a: NDArray[Any] | None, b: NDArray[Any] | None, tolerance: float) -> bool:
    if a is None or b is None or (a.dtype, a.shape) != (b.dtype, b.shape):
        return False
    return a.tobytes() == b.tobytes() or (a.dtype.kind in "iufb" and _gap(a, b) <= tolerance > 0)


def _how(a: NDArray[Any] | None, b: NDArray[Any] | None) -> str:
    """How two arrays differ, BASE's first."""
    if a is None or b is None:
        there = b if a is None else a
        assert there is not None
        value = f" ({there})" if there.ndim == 0 else ""
        return f"is only {'here' if a is None else 'in BASE'}{value}"
    if a.dtype.kind != b.dtype.kind or a.dtype.kind not in "iufb":
        if a.dtype.kind == b.dtype.kind == "U":
            i = 0 if a.ndim == 0 else int(np.argmax(a != b)) if a.shape == b.shape else -1
            pair = (a.item(), b.item()) if a.ndim == 0 else (a[i], b[i])
            return f"is {pair[0]!r} in BASE, {pair[1]!r} here"
        return f"is {a.dtype} in BASE, {b.dtype} here"
    if (a.dtype, a.shape) != (b.dtype, b.shape):
        return f"is {a.dtype} {a.shape} in BASE, {b.dtype} {b.shape} here"
    if a.ndim == 0:
        return f"is {a.item()!r} in BASE, {b.item()!r} here"
    count = int(np.count_nonzero(_apart(a, b)))
    return f"differs in {count} of {a.size} numbers by at most {_gap(a, b):.3g}"


def _apart(a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.bool_]:
    """Where two arrays differ in bytes."""
    if a.dtype.kind == "f":
        a, b = (np.ascontiguousarray(x).view(f"u{x.dtype.itemsize}") for x in (a, b))
    return np.asarray(a != b)


def _gap(a: NDArray[Any], b: NDArray[Any]) -> float:
    """The largest difference; infinite where only one is a number, or shapes differ."""
    if a.shape != b.shape or {a.dtype.kind, b.dtype.kind} - set("iufb"):
        return float("inf")
    if a.size == 0:
        return 0.0
    x, y = a.astype(np.float64), b.astype(np.float64)
    with np.errstate(invalid="ignore"):
        gap = np.nan_to_num(np.abs(x - y), nan=np.inf, posinf=np.inf)
    same = (x == y) | (np.isnan(x) & np.isnan(y))
    return float(np.where(same, 0.0, gap).max())


if __name__ == "__main__":
    sys.exit(main())
