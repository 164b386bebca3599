"""Parquet tables of a trace: written in one call, read with every value checked.

Each reader names its columns and their kind. What it returns is finite, of one length and
of one type (int64, float64, bool or str); unknown columns are ignored. Every failure is a
`TraceError` of one line that names the file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from vista_sim.errors import TraceError
from vista_sim.files import one_line
from vista_sim.parquet import column_names, read_columns

Array = NDArray[Any]

#: ns; the years 1824 to 2116. Differences of two such times fit into 64 bits.
MAX_TIME = 2**62
SHORTEST_STEP, LONGEST_STEP = 5e-4, 30.0  # s, median of the rows of a table

_NAMES = {
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "vector": "a list of numbers",
}


def write_table(path: Path, columns: Mapping[str, Any]) -> None:
    """Write equally long columns to a Parquet file (zstd)."""
    table = pa.table({name: _arrow(values) for name, values in columns.items()})
    pq.write_table(table, path, compression="zstd")


class GrowingTable:
    """A Parquet file (zstd) that is written piece by piece, each a row group or two.

    Args:
        path: of the file; it appears with the first piece.
        repeated: columns in which values come again, to be stored as numbers of a dictionary.
        rising: columns of whole numbers that lie near to the one before.
    """

    def __init__(
        self, path: Path, repeated: Sequence[str] = (), rising: Sequence[str] = ()
    ) -> None:
        self._path, self._repeated, self._rising = path, repeated, rising
        self._file: pq.ParquetWriter | None = None

    def append(self, columns: Mapping[str, Any]) -> None:
        """Write equally long columns, the same at each call. Raises OSError."""
        table = pa.table({name: _arrow(values) for name, values in columns.items()})
        if self._file is None:
            there = set(table.column_names)
            self._file = pq.ParquetWriter(
                self._path,
                table.schema,
                compression="zstd",
                use_dictionary=[name for name in self._repeated if name in there],
                column_encoding={
                    name: "DELTA_BINARY_PACKED" for name in self._rising if name in there
                },
            )
        self._file.write_table(table)

    def close(self) -> None:
        """End the file. Calling it again does nothing."""
        file, self._file = self._file, None
        if file is not None:
            file.close()


def _arrow(values: Any) -> pa.Array:
    array = np.asarray(values)
    if array.ndim == 2:
        return pa.FixedSizeListArray.from_arrays(pa.array(array.ravel()), array.shape[1])
    return pa.array(array.tolist(), pa.string()) if array.dtype.kind in "UO" else pa.array(array)


def read_table(
    path: Path,
    required: Mapping[str, str],
    optional: Mapping[str, str] | None = None,
) -> dict[str, Array]:
    """Read the named columns of a Parquet file.

    Args:
        path: the file.
        required: column names, each with its kind: "int", "float", "str", or "vector".
        optional: columns that may be absent; absent ones are absent in the result too.

    Returns:
        Columns by name: int64, float64 or object (str) of shape (n,); vectors (n, k).

    Raises:
        TraceError: unreadable, a column missing or of another type, a value missing or not
            finite.
    """
    wanted = {**required, **(optional or {})}
    table = read_columns(path, TraceError, wanted)
    missing = [name for name in required if name not in table.column_names]
    if missing:
        present = sorted(column_names(path, TraceError))
        raise TraceError(
            f"{path}: column {missing[0]!r} is missing; it has {one_line(str(present))}"
        )
    return to_columns(path, table, wanted)


def to_columns(
    path: Path, table: pa.Table, kinds: Mapping[str, str], first_row: int = 0
) -> dict[str, Array]:
    """Columns of a table that are there, checked as `read_table` does. Raises TraceError.

    Args:
        path: named in errors.
        table: rows of the file, from `first_row` on.
        kinds: column names, each with its kind.
    """
    return {
        name: _column(path, name, table.column(name).combine_chunks(), kind, first_row)
        for name, kind in kinds.items()
        if name in table.column_names
    }


def _column(path: Path, name: str, column: pa.Array, kind: str, first_row: int) -> Array:
    if column.null_count:
        row = first_row + int(np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))[0])
        raise TraceError(f"{path}: row {row}: {name} has no value; every row needs one")
    kinds = pa.types
    type_ = column.type
    array: Array
    if kind == "vector" and (kinds.is_list(type_) or kinds.is_fixed_size_list(type_)):
        array = _vectors(path, name, column)
    elif kind == "int" and kinds.is_integer(type_):
        array = _whole(path, name, column.to_numpy(zero_copy_only=False))
    elif kind == "float" and (kinds.is_integer(type_) or kinds.is_floating(type_)):
        array = column.to_numpy(zero_copy_only=False).astype(np.float64)
    elif kind == "str" and (
        kinds.is_string(type_) or kinds.is_large_string(type_) or kinds.is_dictionary(type_)
    ):
        return np.array(column.to_pylist(), dtype=object)
    else:
        raise TraceError(f"{path}: column {name!r} is of type {type_}; it must be {_NAMES[kind]}")
    if array.dtype.kind == "f":
        bad = ~np.isfinite(array)
        if bad.any():
            row = int(np.argwhere(bad)[0][0])
            raise TraceError(
                f"{path}: row {first_row + row}: {name} is {array[row]}; it must be finite"
            )
    return array


def _whole(path: Path, name: str, values: Array) -> Array:
    if values.dtype == np.uint64 and (values > np.iinfo(np.int64).max).any():
        raise TraceError(f"{path}: column {name!r} holds numbers that 63 bits do not hold")
    return values.astype(np.int64)


def _vectors(path: Path, name: str, column: pa.Array) -> Array:
    rows = column.to_pylist()
    if not rows:
        return np.zeros((0, 0))
    lengths = {len(row) for row in rows}
    if len(lengths) > 1:
        raise TraceError(
            f"{path}: column {name!r} has rows of {min(lengths)} to {max(lengths)} numbers"
        )
    try:
        return np.array(rows, dtype=np.float64).reshape(len(rows), -1)
    except (TypeError, ValueError):
        raise TraceError(f"{path}: column {name!r} must hold lists of numbers") from None


def check_times(
    path: Path, t_ns: NDArray[np.int64], name: str = "t_ns", strict: bool = True
) -> None:
    """Raise TraceError unless times increase (or, if not strict, never decrease)."""
    bad = (t_ns <= -MAX_TIME) | (t_ns >= MAX_TIME)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise TraceError(f"{path}: row {row}: {name} is {t_ns[row]}; it must be in nanoseconds")
    step = np.diff(t_ns)  # of two such times fits
    bad = step <= 0 if strict else step < 0
    if bad.any():
        row = int(np.flatnonzero(bad)[0]) + 1
        raise TraceError(
            f"{path}: row {row}: {name} {t_ns[row]} follows {t_ns[row - 1]}; time must increase"
        )


def check_span(path: Path, t_ns: NDArray[np.int64]) -> None:
    """Raise TraceError if times can hardly be nanoseconds."""
    if len(t_ns) < 2:
        return
    median = float(np.median(np.diff(t_ns))) * 1e-9
    if not SHORTEST_STEP < median < LONGEST_STEP:
        raise TraceError(
            f"{path}: rows are {median:.3g} s apart if t_ns is in nanoseconds; is it another unit?"
        )


def check_size(
    path: Path, name: str, values: Array, most: float, right: str, first_row: int = 0
) -> None:
    """Raise TraceError unless all values (n,) or (n, k) are within -most and most."""
    bad = ~((values >= -most) & (values <= most))  # |-2**63| is negative
    if bad.any():
        place = tuple(int(i) for i in np.argwhere(bad)[0])
        row, value = first_row + place[0], abs(float(values[place]))
        raise TraceError(f"{path}: row {row}: {name} is {value:.4g}; {right}")


def require_same_length(path: Path, columns: Mapping[str, Sequence[Any] | Array]) -> int:
    """The common length of columns to be written; raises TraceError if they differ."""
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise TraceError(f"{path}: columns have different lengths: {lengths}")
    return next(iter(lengths.values()), 0)
