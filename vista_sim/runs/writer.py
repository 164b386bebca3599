"""Writes a run to disk as it is driven; `runs` says what is in it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vista_sim.atomic import WholeFolder, resolved, sweep, whole_file, why_not
from vista_sim.errors import RunError
from vista_sim.files import absolute
from vista_sim.identity.sources import simulator_sources
from vista_sim.locks import Lock, is_held
from vista_sim.runs.run import (
    FLUSH_EVERY,
    FORMAT,
    ROADS,
    TABLES,
    VERSION,
    VIEWS,
    Run,
    merged_path,
    versions,
    with_columns,
)


class RunWriter:
    """Writes a run as it goes; a context manager.

    Args:
        folder: to make; None keeps the tables in memory alone.
        info: for run.json.
        reward_terms: names of the task's terms; a column reward_<term> each.
        roads: that are driven, see `roads.road_table`.
        overwrite: replace a run that is there already.
        resumed: the run in that folder to go on with, without the steps of the episodes that it
            does not hold: those of an episode that was being driven.

    A new run is kept to this process until `finish`, or the end of the context or the process; who
    goes on with one holds its lock (`run_lock`) already.

    Raises:
        RunError: the folder is there already, cannot be written, or another process writes it.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str] | None,
        info: Mapping[str, Any],
        reward_terms: Sequence[str] = (),
        overwrite: bool = False,
        roads: pa.Table | None = None,
        resumed: Run | None = None,
    ) -> None:
        self.folder = None if folder is None else Path(folder)
        self.info: dict[str, Any] = {
            "format": f"{FORMAT}/{VERSION}",
            **info,
            "versions": versions(),
            "sources": simulator_sources(),
            "status": "running",
        }
        terms = {f"reward_{term}": pa.float64() for term in reward_terms}
        before: dict[str, pa.Table] = {}
        self._lock: Lock | None = None
        if resumed is not None:
            check_own(resumed.folder)
            before = {"episodes": resumed.episodes} | {
                name: _of_episodes(table, resumed.episodes)
                for name, table in (
                    ("steps", resumed.steps),
                    ("timings", resumed.timings),
                    ("frames", resumed.frames),
                )
            }
        elif self.folder is not None:
            self._lock = _make_folder(self.folder, overwrite, self.info, roads)
        fields = TABLES | {"steps": TABLES["steps"] | terms}
        self.episodes, self.steps, self.timings, self.frames = (
            _GrowingTable(self.folder, name, fields[name], before.get(name)) for name in TABLES
        )
        self._flushed = monotonic()
        if resumed is not None:
            self._write_info()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self._end(kind)
        finally:
            self._give_back()

    def _end(self, kind: type[BaseException] | None) -> None:
        if kind is None:
            return
        # What was driven so far stays readable; the error goes on to the user.
        self.info["status"] = "failed" if issubclass(kind, Exception) else "interrupted"
        try:
            self.flush()
            self._write_info()
        except RunError:
            return

    def flush_now_and_then(self) -> None:
        """Write what has come up if the last time was some seconds ago."""
        if monotonic() - self._flushed >= FLUSH_EVERY:
            self.flush()

    def flush(self) -> None:
        """Write what has come up."""
        for table in self._tables:
            table.flush()
        self._flushed = monotonic()

    def finish(self, results: Mapping[str, Any]) -> None:
        """Merge the tables' parts, and write the results into run.json."""
        self.flush()
        for table in self._tables:
            table.merge()
        self.info |= {"status": "complete", "results": dict(results)}
        self._write_info()
        self._give_back()

    def _give_back(self) -> None:
        if self._lock is not None:
            self._lock.release()

    def add_info(self, **more: Any) -> None:
        """Say more in run.json."""
        self.info |= more
        self._write_info()

    @property
    def views(self) -> Path | None:
        """The folder that videos of the run go into."""
        return None if self.folder is None else self.folder / VIEWS

    @property
    def _tables(self) -> tuple[_GrowingTable, ...]:
        return self.steps, self.timings, self.frames, self.episodes

    def _write_info(self) -> None:
        if self.folder is not None:
            _write_info(self.folder, self.info)


class _GrowingTable:
    """Rows of one table, written in parts.

    Args:
        folder: of the run; None keeps them in memory alone.
        name, fields: of the table.
        before: what it holds already, in the folder too; None: it is new.
    """

    def __init__(
        self,
        folder: Path | None,
        name: str,
        fields: Mapping[str, pa.DataType],
        before: pa.Table | None = None,
    ) -> None:
        self.path = None if folder is None else folder / f"{name}.parquet"
        self.schema = pa.schema(list(fields.items()))
        self._rows: list[dict[str, Any]] = []
        self._parts: list[pa.Table] = []
        if before is not None:
            if before.num_rows:
                whole = with_columns(before, fields).select(self.schema.names)
                self._parts = [whole.cast(self.schema)]
            self._reopen()

    def _reopen(self) -> None:
        """Make what is there a folder of parts again, with what is kept of it."""
        if self.path is None:
            return
        opened, whole = self.path.with_name(f".{self.path.name}.opened"), merged_path(self.path)
        with _writing(self.path):
            shutil.rmtree(opened, ignore_errors=True)
            opened.mkdir()
            for number, part in enumerate(self._parts):
                pq.write_table(part, opened / f"{number:06d}.parquet")
            pq.write_table(self.table(), whole)
            _swap(opened, self.path)
            whole.unlink()

    def append(self, row: dict[str, Any]) -> None:
        """Add a row; columns it lacks are null."""
        self._rows.append(row)

    def flush(self) -> None:
        if not self._rows:
            return
        part = pa.Table.from_pylist(self._rows, schema=self.schema)
        if self.path is not None:
            whole = self.path / f"{len(self._parts):06d}.parquet"
            with _writing(self.path), whole_file(whole) as temporary:
                pq.write_table(part, temporary)
        self._parts.append(part)
        self._rows = []

    def table(self) -> pa.Table:
        """All rows so far."""
        rows = pa.Table.from_pylist(self._rows, schema=self.schema)
        return pa.concat_tables([*self._parts, rows]).combine_chunks()

    def merge(self) -> None:
        """Turn the folder of parts into one file."""
        if self.path is None:
            return
        with _writing(self.path):
            whole = merged_path(self.path)
            pq.write_table(self.table(), whole, compression="zstd")
            _swap(whole, self.path)


def _of_episodes(table: pa.Table, episodes: pa.Table) -> pa.Table:
    """The rows of those episodes alone."""
    if not table.num_rows or not episodes.num_rows:
        return table.slice(0, 0)
    return table.filter(pc.is_in(table.column("episode"), episodes.column("episode")))


def _write_table(table: pa.Table, path: Path) -> None:
    with _writing(path), whole_file(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def write_text(path: Path, text: str) -> None:
    """Write a file of a run whole or not at all. Raises RunError."""
    with _writing(path), whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _swap(new: Path, path: Path) -> None:
    """Put a file or folder in the place of a table, of which `_merged` holds all meanwhile."""
    old = path.with_name(f".{path.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    old.unlink(missing_ok=True)
    if path.exists():
        os.replace(path, old)
    os.replace(new, path)
    if old.is_dir():
        shutil.rmtree(old)
    else:
        old.unlink(missing_ok=True)


def check_folder(folder: str | os.PathLike[str], overwrite: bool = False) -> None:
    """Whether a run may be written there, as far as can be told before.

    Raises:
        RunError: something is there already that is not to be overwritten, another process is
            writing it, or nobody may write.
    """
    folder = Path(folder)
    try:
        _check_free(folder, overwrite)
    except RunError:
        if is_held(_lock_file(folder)):
            raise RunError(_busy(folder)) from None
        raise


def _check_free(folder: Path, overwrite: bool) -> None:
    with _writing(folder):
        if folder.exists() and not folder.is_dir():
            raise RunError(f"{folder}: is there already and is no folder")
        if folder.exists() and any(folder.iterdir()):
            if not overwrite:
                raise RunError(f"{folder}: is there already; choose another name or overwrite it")
            if not (folder / "run.json").is_file():
                raise RunError(f"{folder}: holds no run (no run.json), so it is not overwritten")
        places = (folder, *absolute(folder, RunError).parents)
        there = next(place for place in places if place.exists())
        if not there.is_dir():
            raise RunError(f"{folder}: cannot be written ({there} is no folder)")
        if not os.access(there, os.W_OK | os.X_OK):
            raise RunError(f"{folder}: cannot be written (nothing may be written in {there})")


def run_lock(folder: Path) -> Lock:
    """The right to write a run. Raises RunError if another process has it.

    It is held beside the folder, which may be exchanged for another one.
    """
    return Lock(_lock_file(folder), RunError, _busy(folder))


def _lock_file(folder: Path) -> Path:
    place = resolved(folder)
    return place.with_name(f".{place.name}.lock")


def _busy(folder: Path) -> str:
    return f"{folder}: another process is writing this run"


def tidy(folder: Path) -> None:
    """Remove what killed writers of a run left beside it, unless some process writes it."""
    with suppress(RunError), run_lock(folder):
        sweep(resolved(folder))


def _make_folder(
    folder: Path, overwrite: bool, info: Mapping[str, Any], roads: pa.Table | None
) -> Lock:
    """Put a run that holds nothing yet at a name, in one step: at no moment there is none."""
    check_folder(folder, overwrite)
    with _writing(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
    lock = run_lock(folder)
    try:
        _check_free(folder, overwrite)  # another process may have finished one meanwhile
        with _writing(folder), WholeFolder(folder) as new:
            try:
                for name in TABLES:
                    (new.path / f"{name}.parquet").mkdir()
                if roads is not None:
                    _write_table(roads, new.path / ROADS)
                _write_info(new.path, info)
                new.finish(lambda place: _check_free(place, overwrite))
            except RunError as error:  # name the place the user knows
                raise RunError(str(error).replace(str(new.path), str(folder))) from error
    except BaseException:
        lock.release()
        raise
    return lock


def _write_info(folder: Path, info: Mapping[str, Any]) -> None:
    text = json.dumps(info, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    write_text(folder / "run.json", text)


def check_own(folder: Path) -> None:
    """Whether all that is written into a run that is gone on with lies in its folder.

    Raises:
        RunError: one of its folders is a link, which may lead anywhere.
    """
    for name in (VIEWS, *(f"{table}.parquet" for table in TABLES)):
        if (folder / name).is_symlink():
            raise RunError(
                f"{folder / name}: is a link; what is written there would be outside the run; put "
                "a folder in its place"
            )


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RunError(f"{path}: {why_not(error)}") from error
