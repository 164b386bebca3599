"""A run on disk: what was driven, step by step, and how it went.

    run.json          format "vista-run/1": what, versions, seeds, traces, policy, status, results;
                      of traces, policy and code the hashes by which they are known
    episodes.parquet  a row each time a car was set on a path
    steps.parquet     a row each step, and one for each start
    timings.parquet   wall times of the steps, apart because they differ from run to run
    roads.parquet     the recorded roads that were driven (see `roads`)
    frames.parquet    which frame of which video shows a step
    views/*.mp4       videos of the views that were filmed (see `runs.filming`)
    cases.json        of a suite, judged or driven: what each case fixes (see `suites.run_folder`)

roads and frames are missing in older runs.

While a run is being written, each Parquet table is a folder of that name with parts in it,
added every few seconds, each whole when it appears: any Parquet reader takes the folder as
the table, also after a kill. When the run ends well the parts become one file.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vista_sim.atomic import left_beside
from vista_sim.errors import RunError
from vista_sim.files import one_line, read_json, require_file, shown
from vista_sim.runs.asked import of_older
from vista_sim.runs.checking import check_numbering, checked_info, read_table
from vista_sim.runs.endings import ending_kinds
from vista_sim.tasks.endings import TIME_LIMIT

FORMAT = "vista-run"
VERSION = 1
ROADS, VIEWS = "roads.parquet", "views"
FLUSH_EVERY = 2.0  # s of wall time that a kill can lose
PACKAGES = (
    "vista-sim",
    "numpy",
    "gymnasium",
    "numba",
    "opencv-python-headless",
    "pyarrow",
    "torch",
    "av",
    "scipy",
    "onnxruntime",
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
    # Where a time limit, or whoever broke it off, had it end; null: at the section's end.
    "asked_s": pa.float64(),
    "steps": pa.int32(),
    "duration": pa.float64(),
    "distance": pa.float64(),
    "reward": pa.float64(),
    "ending": pa.string(),
    "ending_kind": pa.string(),  # crash, cut or success; null where the policy broke
    "missed": pa.bool_(),  # cut before it had come to the success that its task asks for
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
FRAME_FIELDS: dict[str, pa.DataType] = {
    "episode": pa.int32(),
    "step": pa.int32(),
    "view": pa.string(),  # of `runs.filming.VIEWS`, or of a further camera, "camera.NAME"
    "file": pa.string(),  # in views/
    "frame": pa.int32(),  # counted from 0 in the file
}
ROAD_FIELDS: dict[str, pa.DataType] = {
    "trace": pa.int32(),  # index into the traces of run.json
    "section": pa.int32(),  # drivable section of the trace; null outside of them
    **dict.fromkeys(
        (
            "s",
            "t",
            "x",
            "y",
            "z",
            "yaw",
            "curvature",  # as the human drove, 1/m
            "speed",  # as recorded, m/s
            "left",  # m from the path to the road's edge; null where it is not known
            "right",
        ),
        pa.float64(),
    ),
}
#: Tables that grow while a run is driven.
TABLES: dict[str, dict[str, pa.DataType]] = {
    "episodes": EPISODE_FIELDS,
    "steps": STEP_FIELDS,
    "timings": TIMING_FIELDS,
    "frames": FRAME_FIELDS,
}
_SINCE_LATER = ("frames",)  # tables that older runs lack


@dataclass(frozen=True)
class Run:
    """A run read from disk: run.json and its tables, as `runs.checking` says they are.

    Args:
        notes: what was left out because it cannot be, a line each.
    """

    folder: Path
    info: dict[str, Any]
    episodes: pa.Table
    steps: pa.Table
    timings: pa.Table
    frames: pa.Table
    notes: tuple[str, ...] = ()

    @cached_property
    def roads(self) -> pa.Table:
        """The recorded roads; without rows in older runs. Raises RunError where it is damaged."""
        path = self.folder / ROADS
        if not os.path.lexists(path):
            return _empty(ROAD_FIELDS)
        return read_table(path, "roads", ROAD_FIELDS)[0]

    @property
    def policy_name(self) -> str:
        """What the policy is called: of a path its last part, of none the run's folder."""
        policy = self.info.get("policy")
        name = policy.get("name") if isinstance(policy, dict) else None
        text = one_line(str(name or self.folder.resolve().name))
        return text.rstrip("/").rsplit("/", 1)[-1] or text

    def video(self, file: str) -> Path:
        """Path of a video that `frames` names; it may be missing.

        Raises:
            RunError: the name leads elsewhere than into the run's folder of views, or to what is
                no file.
        """
        if not _is_plain(file):
            raise RunError(f"{self.folder / 'frames.parquet'}: file {file!r} is no plain file name")
        path = self.folder / VIEWS / file
        for one in (path.parent, path):
            if os.path.islink(one):
                raise RunError(f"{one}: is a link; a run's videos are files of it")
        if os.path.lexists(path):
            require_file(path, RunError)
        return path


def read_run(folder: str | os.PathLike[str]) -> Run:
    """Read a run, also one that was interrupted.

    Raises:
        RunError: it is missing, malformed or of a newer version.
    """
    folder = Path(folder)
    path = folder / "run.json"
    info = read_json(
        path, RunError, missing=f"not found; a run is a folder with run.json{left_beside(folder)}"
    )
    found = str(info.get("format")) if isinstance(info, dict) else None
    if found is None or found.split(".")[0] != f"{FORMAT}/{VERSION}":
        raise RunError(f"{path}: format is {shown(found)}; this version reads '{FORMAT}/{VERSION}'")
    info, lines = checked_info(path, info)
    tables = {}
    for name in TABLES:
        tables[name], notes = _read_grown(folder, name)
        lines += notes
    check_numbering(folder, tables["episodes"], tables["steps"])
    older = "asked_s" not in tables["episodes"].column_names
    tables["episodes"] = _with_kinds(with_columns(tables["episodes"], EPISODE_FIELDS))
    run = Run(folder, info, **tables, notes=tuple(lines))
    return _with_asked(run) if older else run


def _with_kinds(episodes: pa.Table) -> pa.Table:
    """Episodes with the kinds of their endings, where they are older and do not say."""
    names = (episodes.column(name).to_pylist() for name in ("ending", "ending_kind"))
    place = episodes.schema.get_field_index("ending_kind")
    return episodes.set_column(place, "ending_kind", pa.array(ending_kinds(*names), pa.string()))


def _with_asked(run: Run) -> Run:
    """An older run with what its time limits asked for."""
    if TIME_LIMIT not in run.episodes.column("ending").unique().to_pylist():
        return run
    place = run.episodes.schema.get_field_index("asked_s")
    asked = of_older(run.episodes, run.steps, run.roads)
    return replace(run, episodes=run.episodes.set_column(place, "asked_s", asked))


def merged_path(path: Path) -> Path:
    """Where a table is whole before it takes the place of its parts."""
    return path.with_name(f".{path.name}.merged")


def _read_grown(folder: Path, name: str) -> tuple[pa.Table, tuple[str, ...]]:
    """A table that grew, and what was left out of it."""
    path = folder / f"{name}.parquet"
    merged = merged_path(path)
    # A kill between the last two steps of a merge leaves the whole file under its first name.
    where = merged if merged.exists() and not path.exists() else path
    if name in _SINCE_LATER and not os.path.lexists(where):
        return _empty(TABLES[name]), ()
    return read_table(where, name, TABLES[name])


def _empty(fields: Mapping[str, pa.DataType]) -> pa.Table:
    return pa.schema(list(fields.items())).empty_table()


def _is_plain(name: object) -> bool:
    return (
        isinstance(name, str)
        and name not in ("", ".", "..")
        and not any(c in name for c in "/\\\0")
    )


def with_columns(table: pa.Table, fields: Mapping[str, pa.DataType]) -> pa.Table:
    """A table with nulls for the columns that it, being older, does not have."""
    for name, kind in fields.items():
        if name not in table.column_names:
            table = table.append_column(name, pa.nulls(table.num_rows, kind))
    return table


def columns(table: pa.Table) -> dict[str, NDArray[Any]]:
    """A table as arrays by column name; nulls are NaN, "" and False."""
    result: dict[str, NDArray[Any]] = {}
    for name in table.column_names:
        column = table.column(name).combine_chunks()
        if pa.types.is_string(column.type):
            # Each text is in memory once, however many rows share it.
            texts = column.fill_null("").dictionary_encode()
            known = np.array([*texts.dictionary.to_pylist(), ""], dtype=object)
            result[name] = known[texts.indices.to_numpy()]
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
