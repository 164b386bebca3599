"""A run on disk: what was driven, step by step, and how it went.

    run.json          format "vista-run/1": what, versions, seeds, traces, policy, status, results
    episodes.parquet  a row each time a car was set on a path
    steps.parquet     a row each step, and one for each start
    timings.parquet   wall times of the steps, apart because they differ from run to run
    views/*.mp4
    cases.json        of a suite: what each case fixes (see `suites.book`)

While a run is being written, each Parquet table is a folder of that name with parts in it,
added every few seconds, each whole when it appears: any Parquet reader takes the folder as
the table, also after a kill. When the run ends well the parts become one file.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from vista_sim.errors import RunError
from vista_sim.traces.tables import one_line

FORMAT = "vista-run"
VERSION = 1
TABLES = ("episodes", "steps", "timings")
FLUSH_EVERY = 2.0  # s of wall time that a kill can lose
PACKAGES = (
    "vista-sim",
    "numpy",
    "gymnasium",
    "numba",
    "opencv-python-headless",
    "pyarrow",
    "torch",
)

EPISODE_FIELDS: dict[str, pa.DataType] = {
    "episode": pa.int32(),
    "kind": pa.string(),  # closed_loop or recovery
    "driver": pa.string(),  # policy, or expert for the reference beside it
    "trace": pa.int32(),
    "trace_name": pa.string(),
    "road": pa.string(),  # straight, left or right; null where it was not looked at
    "section_start_s": pa.float64(),
    "section_end_s": pa.float64(),
    "start_s": pa.float64(),
    "start_lateral": pa.float64(),
    "start_heading": pa.float64(),
    "end_s": pa.float64(),
    "steps": pa.int32(),
    "duration": pa.float64(),
    "distance": pa.float64(),
    "reward": pa.float64(),
    "ending": pa.string(),
    "recovered": pa.bool_(),
    "recovery_time": pa.float64(),
    # Null in runs of plain traces, and in runs older than these columns.
    "scenario": pa.string(),
    "case": pa.string(),  # unique in its suite; further episodes of it follow a set-back
    "seed": pa.int64(),
    "weight": pa.float64(),  # of the scenario
    # Why the policy broke, null where it did not: "raised: ...", "timed out: ...",
    # "not finite: ...", or "died: ..." (its process ended).
    "failure": pa.string(),
}
STEP_FIELDS: dict[str, pa.DataType] = {
    "episode": pa.int32(),
    "step": pa.int32(),
    **dict.fromkeys(
        (
            "t",
            "scene_time",
            "s",
            "lateral",
            "heading_error",
            "x",
            "y",
            "yaw",
            "speed",
            "tire_angle",
            "curvature",
            "action_curvature",  # null in the row of a start
            "action_acceleration",  # null where the speed is as recorded
            "validity",  # null without a camera
            "distance_to_recording",
            "reward",
        ),
        pa.float64(),
    ),
    "ending": pa.string(),
}
TIMING_FIELDS: dict[str, pa.DataType] = {
    "episode": pa.int32(),
    "step": pa.int32(),
    "policy_s": pa.float64(),
    "dynamics_s": pa.float64(),
    "view_s": pa.float64(),
}


@dataclass(frozen=True)
class Run:
    """A run read from disk: run.json and its tables."""

    folder: Path
    info: dict[str, Any]
    episodes: pa.Table
    steps: pa.Table
    timings: pa.Table


class RunWriter:
    """Writes a run as it goes; a context manager.

    Args:
        folder: to make; None keeps the tables in memory alone.
        info: for run.json.
        reward_terms: names of the task's terms; a column reward_<term> each.
        overwrite: replace a run that is there already.
        resumed: the run in that folder to go on with, without the steps of the episodes that it
            does not hold: those of an episode that was being driven.

    Raises:
        RunError: the folder is there already, or cannot be written.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str] | None,
        info: Mapping[str, Any],
        reward_terms: Sequence[str] = (),
        overwrite: bool = False,
        resumed: Run | None = None,
    ) -> None:
        self.folder = None if folder is None else Path(folder)
        self.info: dict[str, Any] = {
            "format": f"{FORMAT}/{VERSION}",
            **info,
            "versions": versions(),
            "status": "running",
        }
        terms = {f"reward_{term}": pa.float64() for term in reward_terms}
        before: dict[str, pa.Table] = {}
        if resumed is not None:
            before = {
                "episodes": resumed.episodes,
                "steps": _of_episodes(resumed.steps, resumed.episodes),
                "timings": _of_episodes(resumed.timings, resumed.episodes),
            }
        elif self.folder is not None:
            _make_folder(self.folder, overwrite)
        fields = {"episodes": EPISODE_FIELDS, "steps": STEP_FIELDS | terms}
        self.episodes, self.steps, self.timings = (
            _GrowingTable(self.folder, name, fields.get(name, TIMING_FIELDS), before.get(name))
            for name in TABLES
        )
        self._flushed = monotonic()
        self._write_info()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
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
        for table in (self.steps, self.timings, self.episodes):
            table.flush()
        self._flushed = monotonic()

    def finish(self, results: Mapping[str, Any]) -> None:
        """Merge the tables' parts, and write the results into run.json."""
        self.flush()
        for table in (self.steps, self.timings, self.episodes):
            table.merge()
        self.info |= {"status": "complete", "results": dict(results)}
        self._write_info()

    def view_path(self, name: str) -> Path | None:
        """Where a video of the run goes."""
        return None if self.folder is None else self.folder / "views" / f"{name}.mp4"

    def _write_info(self) -> None:
        if self.folder is not None:
            text = json.dumps(self.info, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
            with _writing(self.folder):
                temporary = self.folder / ".run.json.part"
                temporary.write_text(text, encoding="utf-8")
                os.replace(temporary, self.folder / "run.json")


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
                self._parts = [before.select(self.schema.names).cast(self.schema)]
            self._reopen()
        elif self.path is not None:
            self.path.mkdir()

    def _reopen(self) -> None:
        """Make what is there a folder of parts again, with what is kept of it."""
        if self.path is None:
            return
        opened, whole = self.path.with_name(f".{self.path.name}.opened"), _merged(self.path)
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
            with _writing(self.path):
                temporary = self.path / ".part"
                pq.write_table(part, temporary)
                os.replace(temporary, self.path / f"{len(self._parts):06d}.parquet")
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
            whole = _merged(self.path)
            pq.write_table(self.table(), whole, compression="zstd")
            _swap(whole, self.path)


def read_run(folder: str | os.PathLike[str]) -> Run:
    """Read a run, also one that was interrupted.

    Raises:
        RunError: it is missing, malformed or of a newer version.
    """
    folder = Path(folder)
    path = folder / "run.json"
    try:
        info = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RunError(f"{path}: not found; a run is a folder with run.json") from None
    except (OSError, ValueError) as error:
        raise RunError(f"{path}: cannot be read as JSON ({one_line(error)})") from None
    found = str(info.get("format")) if isinstance(info, dict) else None
    if found is None or found.split(".")[0] != f"{FORMAT}/{VERSION}":
        raise RunError(f"{path}: format is {found!r}; this version reads '{FORMAT}/{VERSION}'")
    episodes, steps, timings = (_read_table(folder / f"{name}.parquet") for name in TABLES)
    return Run(folder, info, _with_all_columns(episodes), steps, timings)


def _with_all_columns(episodes: pa.Table) -> pa.Table:
    """With nulls for the columns that older runs do not have."""
    for name, kind in EPISODE_FIELDS.items():
        if name not in episodes.column_names:
            episodes = episodes.append_column(name, pa.nulls(episodes.num_rows, kind))
    return episodes


def _of_episodes(table: pa.Table, episodes: pa.Table) -> pa.Table:
    """The rows of those episodes alone."""
    if not table.num_rows or not episodes.num_rows:
        return table.slice(0, 0)
    return table.filter(pc.is_in(table.column("episode"), episodes.column("episode")))


def columns(table: pa.Table) -> dict[str, NDArray[Any]]:
    """A table as arrays by column name; nulls are NaN, "" and False."""
    result: dict[str, NDArray[Any]] = {}
    for name in table.column_names:
        column = table.column(name).combine_chunks()
        if pa.types.is_string(column.type):
            result[name] = np.array(column.fill_null("").to_pylist(), dtype=object)
        elif pa.types.is_boolean(column.type):
            result[name] = column.fill_null(False).to_numpy(zero_copy_only=False)
        else:
            result[name] = column.to_numpy(zero_copy_only=False)
    return result


def versions() -> dict[str, str]:
    """Versions of what a run's numbers depend on."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _merged(path: Path) -> Path:
    return path.with_name(f".{path.name}.merged")


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


def _read_table(path: Path) -> pa.Table:
    merged = _merged(path)
    # A kill between the last two steps of a merge leaves the whole file under its first name.
    where = merged if merged.exists() and not path.exists() else path
    try:
        return pq.read_table(where)
    except FileNotFoundError:
        raise RunError(f"{path}: not found") from None
    except (pa.ArrowException, OSError, ValueError) as error:
        raise RunError(f"{path}: cannot be read as Parquet ({one_line(error)})") from None


def _make_folder(folder: Path, overwrite: bool) -> None:
    with _writing(folder):
        if folder.exists() and not folder.is_dir():
            raise RunError(f"{folder}: is there already and is no folder")
        if folder.exists() and any(folder.iterdir()):
            if not overwrite:
                raise RunError(f"{folder}: is there already; choose another name or overwrite it")
            if not (folder / "run.json").is_file():
                raise RunError(f"{folder}: holds no run (no run.json), so it is not overwritten")
            shutil.rmtree(folder)
        folder.mkdir(parents=True, exist_ok=True)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RunError(f"{path}: cannot be written ({one_line(error)})") from error
