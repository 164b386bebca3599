"""The run folder of a suite: cases enter it in their order, and a run that was ended goes on.

Processes finish cases in any order. A case enters the tables when all before it have, so that
the tables of a killed run are the beginning of those of the whole one, with final episode
numbers. Cases that have to wait for an earlier one are kept in `.waiting`, a JSON file each.

    cases.json   all cases, as `Case.to_json` has them
    .waiting/    cases that are driven but not yet in the tables
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic, perf_counter
from typing import Any

import pyarrow as pa

from vista_sim.errors import RunError
from vista_sim.evaluation.suites.rows import CaseRows, Row
from vista_sim.files import one_line
from vista_sim.locks import LOCK
from vista_sim.runs.run import FLUSH_EVERY, Run, read_run, versions
from vista_sim.runs.writer import RunWriter, run_lock, write_text
from vista_sim.scenarios.case import Case
from vista_sim.tasks.lane_following import Rewards

CASES = "cases.json"
WAITING = ".waiting"


class Book:
    """Writes cases into a run in their order.

    Args:
        writer: of the run; also an attribute.
        before: the run that is gone on with; None: it is new.

    Attributes:
        found: rows of the episodes of cases that the run had already, by index.
        writing_s: wall time that writing took, s.
    """

    def __init__(self, writer: RunWriter, before: Run | None = None) -> None:
        self.writer = writer
        self.writing_s = 0.0
        self._folder = None if writer.folder is None else writer.folder / WAITING
        self._waiting: dict[int, CaseRows] = {}  # for an earlier case
        self._kept: set[int] = set()  # of those, which are on disk
        self._flushed = monotonic()
        self.found = {} if before is None else episodes_by_case(before)
        self._entered = len(self.found)  # cases in the tables, from the first on
        self._episodes = 0 if before is None else before.episodes.num_rows
        if self._folder is not None and self._folder.is_dir():
            self._read_waiting(self._folder)

    def _read_waiting(self, folder: Path) -> None:
        for path in sorted(folder.glob("*.json")):
            index = int(path.stem)
            self._kept.add(index)
            if index >= self._entered:
                rows = CaseRows(**json.loads(path.read_text(encoding="utf-8")))
                self._waiting[index] = rows
                self.found[index] = rows.episodes
        self._enter()

    def add(self, index: int, rows: CaseRows) -> None:
        """Take what was driven of a case."""
        started = perf_counter()
        self._waiting[index] = rows
        self._enter()
        if monotonic() - self._flushed >= FLUSH_EVERY:
            self.flush()
        self.writing_s += perf_counter() - started

    def flush(self) -> None:
        """Write what has come since the last time."""
        self.writer.flush()
        if self._folder is not None:
            for index in set(self._waiting) - self._kept:
                self._keep(self._folder, index)
            for index in self._kept - set(self._waiting):
                (self._folder / f"{index:06d}.json").unlink(missing_ok=True)
            self._kept = set(self._waiting)
        self._flushed = monotonic()

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Whatever happens within, cases that were added are on disk at the end."""
        try:
            yield
        except BaseException:
            with suppress(RunError):
                self.flush()
            raise
        self.flush()

    def finish(self, results: Mapping[str, Any]) -> None:
        """All cases are in: make the tables whole, and write the results."""
        self.flush()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        self.writer.finish(results)

    def _enter(self) -> None:
        while self._entered in self._waiting:
            rows = self._waiting.pop(self._entered).numbered(self._episodes)
            for table, new in (
                (self.writer.steps, rows.steps),
                (self.writer.timings, rows.timings),
                (self.writer.episodes, rows.episodes),
                (self.writer.frames, rows.frames),
            ):
                for row in new:
                    table.append(row)
            self._episodes += len(rows.episodes)
            self._entered += 1

    def _keep(self, folder: Path, index: int) -> None:
        folder.mkdir(exist_ok=True)
        write_text(folder / f"{index:06d}.json", json.dumps(self._waiting[index].to_json()))


def cases_hash(cases: Sequence[Case]) -> str:
    """SHA-256 over all that the cases fix."""
    text = json.dumps([case.to_json() for case in cases], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


@contextmanager
def opened(
    out: Path | None,
    info: Mapping[str, Any],
    cases: Sequence[Case],
    before: Run | None,
    overwrite: bool,
    roads: pa.Table | None,
) -> Iterator[Book]:
    """The book of a run, while nobody else may write it.

    Args:
        out: run folder; None keeps everything in memory.
        info: for run.json.
        cases: of the suite.
        before: the run to go on with; None: a new one.
        overwrite: replace one that is there.
        roads: that are driven; None for a run that is not written, or has them already.

    Raises:
        RunError: the folder is in use, or cannot be written.
    """
    terms = tuple(vars(Rewards()))
    if before is None:
        with RunWriter(out, info, terms, overwrite, roads) as writer:
            if out is not None:
                write_cases(out, cases)
            yield Book(writer)
        return
    with run_lock(before.folder):
        before = read_run(before.folder)  # as it is now that nobody else writes it
        with RunWriter(before.folder, info, terms, resumed=before) as writer:
            if not (before.folder / CASES).exists():
                write_cases(before.folder, cases)
            yield Book(writer, before)


def episodes_by_case(run: Run) -> dict[int, list[Row]]:
    """Rows of a run's episodes, by the index of their case: cases are in it in their order."""
    cases: dict[str, list[Row]] = {}
    for row in run.episodes.to_pylist():
        cases.setdefault(row["case"], []).append(row)
    return dict(enumerate(cases.values()))


def write_cases(folder: Path, cases: Sequence[Case]) -> None:
    """Write `cases.json` into a run folder. Raises RunError."""
    text = json.dumps([case.to_json() for case in cases], indent=1, ensure_ascii=False) + "\n"
    write_text(folder / CASES, text)


def read_cases(folder: Path) -> dict[str, Case]:
    """The cases of `cases.json` in a run folder, by name; none where it is no run of a suite.

    Raises:
        RunError: the file is damaged, or settings in it are not possible.
    """
    path = folder / CASES
    if not path.exists():
        return {}
    try:
        cases = [Case.from_json(values) for values in json.loads(path.read_text(encoding="utf-8"))]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise RunError(f"{path}: holds no cases ({one_line(error)})") from None
    return {case.case: case for case in cases}


def resumable(folder: Path, info: Mapping[str, Any], cases: Sequence[Case]) -> Run | None:
    """The run to go on with; None if there is none yet.

    Args:
        folder: of the run.
        info: what run.json of this run would say.
        cases: of this run.

    Raises:
        RunError: what is there is not a run of the same suite, policy, settings and versions; the
            line names the first thing that differs.
    """
    if not folder.exists() or (folder.is_dir() and not any(_visible(folder))):
        return None
    run = read_run(folder)
    again = "start anew with another --out, or with --overwrite"
    if "suite" not in run.info:
        raise RunError(f"{folder}: is a run of plain traces; only runs of suites are resumed")
    for label, before, now in _differing(run.info, info):
        raise RunError(f"{folder}: cannot be resumed: {label} was {before}, is {now}; {again}")
    if run.info["cases_sha256"] != info["cases_sha256"]:
        what = _differing_case(folder, cases)
        raise RunError(f"{folder}: cannot be resumed: {what}; {again}")
    return run


def _differing(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    old, new = _identity(before), _identity({**now, "versions": versions()})
    for name in dict.fromkeys((*old, *new)):
        if old.get(name) != new.get(name):
            yield name, old.get(name), new.get(name)


def _identity(info: Mapping[str, Any]) -> dict[str, Any]:
    """What must be the same for one run to go on as the other, by what it is called."""
    policy = info.get("policy", {})
    return {
        "the suite": info["suite"].get("name"),
        "the policy": policy.get("name"),
        "the policy's hash": policy.get("sha256"),
        "the time limit of a step": info.get("step_timeout"),
        **{f"the version of {name}": v for name, v in info.get("versions", {}).items()},
    }


def _differing_case(folder: Path, cases: Sequence[Case]) -> str:
    """The first case that is not what it was."""
    try:
        before = json.loads((folder / CASES).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return "its cases differ"
    if len(before) != len(cases):
        return f"the suite had {len(before)} cases, has {len(cases)}"
    for old, case in zip(before, cases, strict=True):
        new = json.loads(json.dumps(case.to_json()))
        if old != new:
            for field in dict.fromkeys((*old, *new)):
                if old.get(field) != new.get(field):
                    return f"{field} of case {case.case} differs"
    return "its cases differ"


def _visible(folder: Path) -> Iterator[Path]:
    return (path for path in folder.iterdir() if path.name != LOCK)
