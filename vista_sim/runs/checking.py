"""What the files of a run must be, checked once when they are read.

Whoever reads a `Run` can rely on it: each known column is of its kind, what is needed is there
in every row, numbers are finite and of a size that can be computed with, episodes and steps are
numbered once, and time goes forward. A value that is not needed and cannot be (infinite, or too
large to have been measured) is taken as missing, and told.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vista_sim.errors import RunError
from vista_sim.files import one_line, shown
from vista_sim.parquet import check_size, open_table, plain_texts

REWARD = "reward_"  # columns of the terms of a task's reward begin so
LARGEST = 1e12  # what is larger was not measured
LONGEST = 2000  # characters of a text
MOST_TERMS = 100
#: Rows that a table may have however small its file is, and so many for a byte: of what is
#: recorded a row takes 1.5 bytes (frames) to hundreds (steps), but what repeats itself can be
#: declared for nothing.
FEW_ROWS, ROWS_PER_BYTE = 300_000, 4.0
FEW_EPISODES, EPISODES_PER_BYTE = 20_000, 0.25
UNFINISHED = 10_000  # episodes that a kill can leave without a row
SHORTEST_STEP = 5e-4  # s; settings allow a millisecond

#: Columns that a row cannot do without.
NEEDED: dict[str, tuple[str, ...]] = {
    "episodes": ("episode", "trace"),
    "steps": ("episode", "step", "t"),
    "timings": ("episode", "step"),
    "frames": ("episode", "step", "view", "file", "frame"),
    "roads": ("trace", "s", "x", "y", "yaw"),
}
#: Limits of numbers; others are within +-LARGEST.
LIMITS: dict[str, tuple[float, float]] = {
    "episode": (0, 2**31 - 1),
    "step": (0, 2**31 - 1),
    "steps": (0, 2**31 - 1),
    "trace": (0, 2**31 - 1),
    "frame": (0, 2**31 - 1),
    "section": (-1, 2**31 - 1),
    "seed": (-(2**63), 2**63 - 1),
    "t": (0, 1e9),
    "duration": (0, 1e9),
    "weight": (0, 1e9),
    "recovery_time": (0, 1e9),
    "distance": (0, LARGEST),
    "validity": (0, 1),
}
#: Kinds of the fields of run.json that are read; others are only shown.
INFO: dict[str, tuple[type, str]] = {
    "status": (str, "a text"),
    "what": (str, "a text"),
    "policy": (dict, "an object"),
    "versions": (dict, "an object"),
    "traces": (list, "a list"),
    "suite": (dict, "an object"),
    "results": (dict, "an object"),
    "cases_sha256": (str, "a text"),
}


def checked_info(path: Path, info: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The fields of run.json without those of another kind, and a line for each of these."""
    sound, notes = dict(info), []
    for name, (kind, words) in INFO.items():
        value = info.get(name)
        if value is None:
            sound.pop(name, None)
        elif not isinstance(value, kind):
            notes.append(f"{path}: {name}: is {shown(value)}; it must be {words}; it is left out")
            del sound[name]
    return sound, notes


def read_table(
    path: Path, name: str, fields: Mapping[str, pa.DataType]
) -> tuple[pa.Table, tuple[str, ...]]:
    """A table of a run: a file, or the folder of its parts.

    Args:
        path: of the table.
        name: of the table, a key of `NEEDED`.
        fields: the types of its columns.

    Returns:
        The columns that are known, each of its type, and a note where values were left out.

    Raises:
        RunError: it is missing, or is not such a table.
    """
    paths = [path]
    if path.is_dir():
        paths = [part for part in sorted(path.glob("*.parquet")) if part.name[0] not in "._"]
    parts: list[pa.Table] = []
    rows = size = left_out = 0
    for part in paths:
        with open_table(part, RunError) as file:
            rows, size = rows + file.metadata.num_rows, size + os.path.getsize(part)
            _check_count(path, name, rows, size)
            names = _known(part, file.schema_arrow.names, fields, terms=name == "steps")
            check_size(part, file, names, RunError)
            table = plain_texts(part, file.read(names), RunError)
        table, lost = _checked(part, name, table, fields)
        parts.append(table)
        left_out += lost
    if not parts:  # a folder without any part yet
        return pa.schema(list(fields.items())).empty_table(), ()
    notes = (f"{path}: {left_out} values are no finite, possible numbers; they are left out",)
    together = pa.concat_tables(parts, promote_options="default").combine_chunks()
    return together, notes if left_out else ()


def _check_count(path: Path, name: str, rows: int, size: int) -> None:
    few, each = FEW_ROWS, ROWS_PER_BYTE
    if name == "episodes":
        few, each = FEW_EPISODES, EPISODES_PER_BYTE
    if rows > max(few, each * size):
        raise RunError(f"{path}: declares {rows} rows in {size} bytes; it is damaged")


def _known(
    path: Path, names: Sequence[str], fields: Mapping[str, pa.DataType], terms: bool
) -> list[str]:
    """The columns that are read: those with a name that means something."""
    of_terms = [name for name in names if terms and name.startswith(REWARD)]
    if len(of_terms) > MOST_TERMS:
        raise RunError(f"{path}: has {len(of_terms)} reward terms; at most {MOST_TERMS} are read")
    found = [name for name in names if name in fields or name in of_terms]
    if not found:
        raise RunError(f"{path}: has no column that is known")
    return found


def _checked(
    path: Path, name: str, table: pa.Table, fields: Mapping[str, pa.DataType]
) -> tuple[pa.Table, int]:
    """The table with each column as it must be, and how many values were left out."""
    found: dict[str, pa.ChunkedArray] = {}
    left_out = 0
    for column in NEEDED[name]:
        if column not in table.column_names:
            raise RunError(f"{path}: {column}: the column is missing")
    for column in table.column_names:
        needed = column in NEEDED[name]
        values = _of_type(path, column, table.column(column), fields.get(column, pa.float64()))
        if needed and values.null_count:
            raise RunError(f"{path}: {column}: {values.null_count} values are missing")
        if pa.types.is_string(values.type):
            _check_lengths(path, column, values)
        elif not pa.types.is_boolean(values.type):
            impossible = _impossible(column, values, needed)
            count = int(impossible.sum())
            if needed and count:
                low, high = LIMITS.get(column, (-LARGEST, LARGEST))
                raise RunError(
                    f"{path}: {column}: holds values that are no finite numbers from {low:g} to "
                    f"{high:g} ({count} of {len(values)})"
                )
            if count:
                values = pc.if_else(pa.array(impossible), pa.scalar(None, values.type), values)
                left_out += count
        found[column] = values
    return pa.table(found), left_out


def _of_type(
    path: Path, name: str, values: pa.ChunkedArray, wanted: pa.DataType
) -> pa.ChunkedArray:
    """A column cast to its type, where it holds values of that kind."""
    if not pa.types.is_null(values.type) and _kind(values.type) != _kind(wanted):
        raise RunError(f"{path}: {name}: is {one_line(str(values.type))}; it must be {wanted}")
    try:
        return values.cast(wanted)
    except (pa.ArrowException, ValueError) as error:
        raise RunError(f"{path}: {name}: is no {wanted} ({one_line(error)})") from None


def _kind(type_: pa.DataType) -> str:
    if pa.types.is_integer(type_) or pa.types.is_floating(type_):
        return "numbers"
    if pa.types.is_string(type_) or pa.types.is_large_string(type_):
        return "texts"
    return "yes or no" if pa.types.is_boolean(type_) else str(type_)


def _check_lengths(path: Path, name: str, values: pa.ChunkedArray) -> None:
    longest = pc.max(pc.binary_length(values)).as_py() or 0
    if longest > LONGEST:
        raise RunError(f"{path}: {name}: holds a text of {longest} bytes; {LONGEST} are read")


def _impossible(name: str, values: pa.ChunkedArray, needed: bool) -> NDArray[np.bool_]:
    """Where numbers are beyond their limits; NaN is only where one is needed, else missing."""
    low, high = LIMITS.get(name, (-LARGEST, LARGEST))
    numbers = values.combine_chunks().to_numpy(zero_copy_only=False)
    beyond = ~((numbers >= low) & (numbers <= high))
    missing: NDArray[np.bool_] = np.isnan(numbers)
    return beyond if needed else beyond & ~missing


def check_numbering(folder: Path, episodes: pa.Table, steps: pa.Table) -> None:
    """Refuse episodes or steps that are there twice, strangers, and time that stands still.

    Raises:
        RunError: naming the first of them.
    """
    known = episodes.column("episode").to_numpy()
    if len(np.unique(known)) != len(known):
        raise RunError(f"{folder / 'episodes.parquet'}: episode: a number is there twice")
    path = folder / "steps.parquet"
    episode, step, t = (steps.column(name).to_numpy() for name in ("episode", "step", "t"))
    order = np.lexsort((step, episode))
    episode, step, t = episode[order], step[order], t[order]
    same = episode[1:] == episode[:-1]
    for bad, what in (
        (same & (step[1:] == step[:-1]), "is there twice"),
        (same & (np.diff(t) < SHORTEST_STEP), "is not later than the one before (t)"),
    ):
        if bad.any():
            at = int(np.flatnonzero(bad)[0]) + 1
            raise RunError(f"{path}: step {step[at]} of episode {episode[at]} {what}")
    strangers = len(np.setdiff1d(episode, known))
    if strangers > UNFINISHED:
        raise RunError(f"{path}: {strangers} episodes are not in episodes.parquet; it is damaged")
