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
from vista_sim.evaluation.suites.killed import cases_of, set_aside
from vista_sim.evaluation.suites.rows import MOST_JSON, CaseRows, Row, was_killed
from vista_sim.files import one_line, read_json
from vista_sim.geometry.identity import TraceIdentity
from vista_sim.identity.runs import changed_traces, code_of, is_known, mapping
from vista_sim.identity.sources import simulator_sources
from vista_sim.runs.run import FLUSH_EVERY, Run, read_run, versions
from vista_sim.runs.writer import RunWriter, run_lock, write_text
from vista_sim.scenarios.case import Case, terms_of

CASES = "cases.json"
WAITING = ".waiting"


class SuiteWriter:
    """Writes cases into a run in their order.

    Args:
        run: its writer; also an attribute.
        before: the run that is gone on with; None: it is new.
        killed: names of its cases that are driven again.

    Attributes:
        found: rows of the episodes of cases that the run had already, by index.
        killed: names of the cases that are driven again because their process was killed.
        writing_s: wall time that writing took, s.
    """

    def __init__(
        self, run: RunWriter, before: Run | None = None, killed: Sequence[str] = ()
    ) -> None:
        self.run, self.killed = run, list(killed)
        self.writing_s = 0.0
        self._folder = None if run.folder is None else run.folder / WAITING
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
            if not path.stem.isdecimal():
                continue
            index = int(path.stem)
            rows = CaseRows.read(path, self.run.steps.schema)
            if rows is None or was_killed(rows.episodes):  # damaged, or killed: driven again
                path.unlink()
                if rows is not None and rows.case not in self.killed:
                    self.killed.append(rows.case)
                continue
            self._kept.add(index)
            if index >= self._entered:
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
        self.run.flush()
        if self._folder is not None:
            for index in set(self._waiting) - self._kept:
                keep_waiting(self._folder, index, self._waiting[index])
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
        self.run.finish(results)

    def _enter(self) -> None:
        while self._entered in self._waiting:
            rows = self._waiting.pop(self._entered).numbered(self._episodes)
            for table, new in (
                (self.run.steps, rows.steps),
                (self.run.timings, rows.timings),
                (self.run.episodes, rows.episodes),
                (self.run.frames, rows.frames),
            ):
                for row in new:
                    table.append(row)
            self._episodes += len(rows.episodes)
            self._entered += 1


def keep_waiting(folder: Path, index: int, rows: CaseRows) -> None:
    """Write the rows of a case that waits for an earlier one. Raises RunError."""
    folder.mkdir(exist_ok=True)
    write_text(folder / f"{index:06d}.json", json.dumps(rows.to_json()))


def cases_hash(cases: Sequence[Case], traces: Mapping[Path, TraceIdentity]) -> str:
    """SHA-256 over all that the cases fix, and the traces that they are driven on.

    Args:
        traces: what they hold, by folder; where they lie decides nothing.
    """
    fixed = [case.to_json() | {"trace": traces[case.trace].to_json()} for case in cases]
    return hashlib.sha256(json.dumps(fixed, sort_keys=True).encode()).hexdigest()


@contextmanager
def opened(
    out: Path | None,
    info: Mapping[str, Any],
    cases: Sequence[Case],
    before: Run | None,
    overwrite: bool,
    roads: pa.Table | None,
) -> Iterator[SuiteWriter]:
    """Writes a run, while nobody else may.

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
    terms = terms_of(cases)
    if before is None:
        with RunWriter(out, info, terms, overwrite, roads) as run:
            if out is not None:
                write_cases(out, cases)
            yield SuiteWriter(run)
        return
    with run_lock(before.folder):
        aside = set_aside(read_run(before.folder))  # as it is now that nobody else writes it
        for index, rows in aside.waiting.items():  # before they leave the tables
            keep_waiting(before.folder / WAITING, index, rows)
        with RunWriter(before.folder, info, terms, resumed=aside.run) as run:
            write_cases(before.folder, cases)  # the traces may lie elsewhere now
            yield SuiteWriter(run, aside.run, aside.killed)


def episodes_by_case(run: Run) -> dict[int, list[Row]]:
    """Rows of a run's episodes, by the index of their case: cases are in it in their order."""
    return dict(enumerate(cases_of(run).values()))


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
        cases = [Case.from_json(values) for values in read_json(path, RunError, MOST_JSON)]
    except RunError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise RunError(f"{path}: holds no cases ({one_line(error)})") from None
    return {case.case: case for case in cases}


def resumable(
    folder: Path, info: Mapping[str, Any], cases: Sequence[Case], same_policy: bool = False
) -> Run | None:
    """The run to go on with; None if there is none yet.

    Args:
        folder: of the run.
        info: what run.json of this run would say.
        cases: of this run.
        same_policy: the user says that what cannot be known of the policy is as it was.

    Raises:
        RunError: what is there is not a run of the same suite, policy, settings, recordings and
            code, or it cannot be known whether it is; the line names the first thing that differs.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return None
    run = read_run(folder)
    again = "start anew with another --out, or with --overwrite"
    if "suite" not in run.info:
        raise RunError(f"{folder}: is a run of plain traces; only runs of suites are resumed")
    now = {**info, "versions": versions(), "sources": simulator_sources()}
    for reason in _reasons_against(run, now, cases, same_policy):
        raise RunError(f"{folder}: cannot be resumed: {reason}; {again}")
    names = [case.case for case in cases]
    driven = list(dict.fromkeys(run.episodes.column("case").to_pylist()))
    if driven != names[: len(driven)]:
        raise RunError(f"{folder}: cannot be resumed: its episodes are of other cases; {again}")
    return run


def _reasons_against(
    run: Run, now: Mapping[str, Any], cases: Sequence[Case], same_policy: bool
) -> Iterator[str]:
    """Why a run cannot go on as another one, what a user would look at first coming first."""
    yield from _differing(_settings(run.info), _settings(now))
    if not is_known(run.info):
        yield "it was written before runs said which recordings and code decide them"
    policies = (mapping(run.info, "policy"), mapping(now, "policy"))
    yield from _differing_policy(*policies)
    for change in changed_traces(run.info, now):
        yield f"{change} since its cases were driven"
    if run.info.get("cases_sha256") != now["cases_sha256"]:
        yield _differing_case(run.folder, cases)
    yield from _differing(code_of(run.info), code_of(now))
    unknown = policies[1].get("unknown")
    if unknown and not same_policy:
        yield (
            f"it is not known whether {unknown} is what it was ({now['remedy']}); if you know that "
            "it is, add --same-policy"
        )


#: What of a policy must be the same, by what it is called.
_POLICY = {
    "the policy's hash": "sha256",
    "the hash of the code that reads the policy": "code",
    "the policy's version": "version",
}


def _differing_policy(*policies: Mapping[str, Any]) -> Iterator[str]:
    """What differs. Where files alone decide, the name does not: it says where they lie."""
    if not all(_is_known_by_files(policy) for policy in policies):
        yield from _differing(*({"the policy": policy.get("name")} for policy in policies))
    yield from _differing(*({label: p.get(k) for label, k in _POLICY.items()} for p in policies))


def _is_known_by_files(policy: Mapping[str, Any]) -> bool:
    """Of a factory, a version or that it is unknown is told too."""
    return bool(policy.get("sha256")) and not (policy.get("version") or policy.get("unknown"))


def _settings(info: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "the suite": mapping(info, "suite").get("name"),
        "the time limit of a step": info.get("step_timeout"),
    }


def _differing(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """What differs, a sentence each."""
    for name in dict.fromkeys((*before, *now)):
        if before.get(name) != now.get(name):
            yield f"{name} was {before.get(name)}, is {now.get(name)}"


def _differing_case(folder: Path, cases: Sequence[Case]) -> str:
    """The first case that is not what it was."""
    try:
        before = read_json(folder / CASES, RunError, MOST_JSON)
    except RunError:
        return "its cases differ"
    if not isinstance(before, list) or not all(isinstance(old, dict) for old in before):
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
