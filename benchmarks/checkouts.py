"""Two checkouts of the project in one run: each in processes of its own, on its own sources.

What is installed is of one checkout alone. A process of another one gets its sources first on the
import path, and with them its entry points; all other packages are those of the interpreter.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

HERE = Path(__file__).resolve().parents[1]
ROUNDS = 60
MOST = 1.03  # a checkout may be slower than another one by this factor, at most

_ROOT = "VISTA_CHECKOUT"


class Checkout:
    """The sources of a checkout, for processes to run on.

    Args:
        root: of the checkout.
        links: a folder to make, for what its packages are called.

    Raises:
        SystemExit: there is no checkout.
    """

    def __init__(self, root: Path, links: Path) -> None:
        self.root = root.resolve()
        try:
            project = tomllib.loads((self.root / "pyproject.toml").read_text(encoding="utf-8"))
            self._packages = _packages(project)
            self._entries = project["project"].get("entry-points", {})
        except (OSError, KeyError, tomllib.TOMLDecodeError) as error:
            raise SystemExit(f"{root}: is no checkout of the project ({error})") from None
        links.mkdir(parents=True)
        self._links = links
        for name, folder in self._packages.items():
            (links / name).symlink_to(self.root / folder)
        # Found before those of the installed checkout, which has the same name.
        about = links / "vista_sim-0.dist-info"
        about.mkdir()
        (about / "METADATA").write_text("Metadata-Version: 2.1\nName: vista-sim\nVersion: 0\n")
        lines = []
        for group, entries in self._entries.items():
            lines += [f"[{group}]", *(f"{name} = {what}" for name, what in entries.items())]
        (about / "entry_points.txt").write_text("\n".join(lines) + "\n")

    def start(self, script: Path, *arguments: object) -> subprocess.Popen[str]:
        """Start a script on these sources; it is to call `check_sources` first."""
        path = [str(self._links), str(self.root), os.environ.get("PYTHONPATH", "")]
        return subprocess.Popen(
            [sys.executable, str(script), *map(str, arguments)],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, path))} | self._mark(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def _mark(self) -> dict[str, str]:
        names = ",".join(("vista_sim", *self._packages))
        return {_ROOT: f"{self.root}{os.pathsep}{names}"}


def check_sources() -> None:
    """Make sure that this process runs on the sources it was started for."""
    root, names = os.environ[_ROOT].split(os.pathsep)
    for name in names.split(","):
        spec = find_spec(name)
        found = None if spec is None or spec.origin is None else Path(spec.origin).resolve()
        assert found is not None, f"{name} is not found"
        assert found.is_relative_to(root), f"{name} is {found}, which is not in {root}"


def _packages(project: Mapping[str, Any]) -> dict[str, str]:
    """Folders of the packages that do not lie under their own name, by that name."""
    folders: Mapping[str, str] = project["tool"]["setuptools"]["package-dir"]
    return {name: folder for name, folder in folders.items() if "." not in name and name != folder}


@contextmanager
def both(base: Path) -> Iterator[tuple[Checkout, Checkout, Path]]:
    """Another checkout, the current one, and a folder for what they write, gone at the end."""
    with tempfile.TemporaryDirectory(prefix="checkouts-") as name:
        work = Path(name)
        yield Checkout(base, work / "base"), Checkout(HERE, work / "own"), work


class Turn(NamedTuple):
    """What a turn took, s a step: the lower quartile of wall time, the mean of processor time.

    Other programs only ever add to wall time, so that its lower quartile is disturbed the least.
    """

    wall: float
    cpu: float


def take_turn(
    step: Callable[[], Any], seconds: float, before: Callable[[], Any] = lambda: None
) -> Turn:
    """Time calls of `step` for so long (s); `before`, called before each, is not timed."""
    walls: list[float] = []
    cpu, began = 0.0, time.perf_counter()
    while time.perf_counter() - began < seconds or len(walls) < 3:
        before()
        used, start = time.process_time(), time.perf_counter()
        step()
        walls.append(time.perf_counter() - start)
        cpu += time.process_time() - used
    return Turn(float(np.quantile(walls, 0.25)), cpu / len(walls))


#: Prepares a measurement, and returns what takes a turn of it.
Measurement = Callable[[], Callable[[], Turn]]


def serve(measurements: Mapping[str, Measurement]) -> None:
    """Take turns for `compare_speed`, as it asks."""
    check_sources()
    ready: dict[str, Callable[[], Turn]] = {}
    for line in sys.stdin:
        name = line.strip()
        if name not in ready:
            ready.clear()  # one at a time: what was measured may go
            ready[name] = measurements[name]()
            ready[name]()  # compile
        print(json.dumps(ready[name]()), flush=True)


class Ratio(NamedTuple):
    """How many times as long a step takes here as in another checkout.

    Args:
        median: of the rounds.
        low, high: 95 % interval of it.
    """

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.3f} ({self.low:.3f} to {self.high:.3f})"


def ratio_of(own: Sequence[float], base: Sequence[float]) -> Ratio:
    """Of paired times; the interval is that of order statistics, whatever the distribution.

    See Conover, Practical Nonparametric Statistics, section 3.2.
    """
    from scipy.stats import binom

    ratios = np.sort(np.asarray(own) / np.asarray(base))
    k = int(binom.ppf(0.025, len(ratios), 0.5))  # 0 where there are too few for an interval
    low, high = (ratios[k - 1], ratios[-k]) if k else (0.0, math.inf)
    return Ratio(float(np.median(ratios)), float(low), float(high))


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of a benchmark that can compare two checkouts."""
    group = parser.add_argument_group("comparing two checkouts")
    group.add_argument("--base", type=Path, help="another checkout, such as a git worktree")
    group.add_argument("--rounds", type=int, default=ROUNDS, help="turns of each checkout")
    group.add_argument(
        "--most", type=float, default=MOST, help="largest upper end of a ratio (exit status 1)"
    )
    group.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)


def compare_speed(
    script: str, names: Sequence[str], options: argparse.Namespace, *arguments: object
) -> int:
    """Let both checkouts run a script of this one with --serve, and print how they compare.

    Args:
        script: calls `serve`.
        names: of the measurements.
        options: of `add_options`.
        arguments: further ones of the script.

    Returns:
        The exit status: 1 if an upper end of wall time is beyond `options.most`.
    """
    if options.rounds < 10:
        raise SystemExit(f"--rounds is {options.rounds}; give at least 10")
    slow = False
    print(f"time of a step over that of {options.base}: median and its 95 % interval")
    with both(options.base) as (base, own, _), ExitStack() as stack:
        children = []
        for checkout in (base, own):
            child = checkout.start(Path(script), "--serve", *arguments)
            stack.callback(_end, child)
            children.append(child)
        for name in names:
            turns: tuple[list[Turn], list[Turn]] = ([], [])
            for k in range(-1, options.rounds):  # the first round prepares
                for i in (0, 1) if k % 2 else (1, 0):
                    turn = _ask(children[i], name)
                    if k >= 0:
                        turns[i].append(turn)
            wall, cpu = (
                ratio_of([x[i] for x in turns[1]], [x[i] for x in turns[0]]) for i in (0, 1)
            )
            took = [1e6 * float(np.median([x.wall for x in each])) for each in turns]
            slow |= wall.high > options.most
            print(
                f"{name:>36}: {wall}, processor time {cpu}; {took[0]:.0f} and {took[1]:.0f} µs",
                flush=True,
            )
    return int(slow)


def _ask(child: subprocess.Popen[str], name: str) -> Turn:
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write(name + "\n")
    child.stdin.flush()
    answer = child.stdout.readline()
    if not answer:
        raise SystemExit(f"{name}: its process ended with status {child.wait()}")
    return Turn(*json.loads(answer))


def _end(child: subprocess.Popen[str]) -> None:
    """End a child that serves: by itself, so that it tidies up."""
    assert child.stdin is not None
    child.stdin.close()
    try:
        child.wait(timeout=10)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
