"""Parquet tables from outside: what they declare is checked before it is read into memory.

Importing this module loads PyArrow.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from vista_sim.files import one_line, require_file

#: Decoded bytes that a table may take: so many however small the file is, and so many times its
#: size. Recorded tables take 2 to 30 times their size; run-length encoding makes 50 kB declare
#: gigabytes. Nothing takes more than `MAX_DECODED` at once.
SMALL = 64 * 2**20
MAX_RATIO = 200
MAX_DECODED = 4 * 2**30
MAX_COLUMNS = 10_000
_WIDTHS = {"BOOLEAN": 1, "INT32": 4, "INT64": 8, "INT96": 12, "FLOAT": 4, "DOUBLE": 8}


@contextmanager
def open_table(
    path: Path, error: type[Exception], metadata: pq.FileMetaData | None = None
) -> Iterator[pq.ParquetFile]:
    """A Parquet file whose columns are named once. Raises `error` with one line.

    What PyArrow raises inside the block is turned into `error` too.

    Args:
        path: of the file.
        error: what is raised.
        metadata: of this file as it is, where it was read before: of many row groups that takes
            longer than a few of them.
    """
    size = require_file(path, error)
    if size < 12:
        raise error(f"{path}: cannot be read as Parquet (it has {size} bytes: it is cut off)")
    try:
        if metadata is None:
            metadata = pq.read_metadata(path)
        # Read as dictionaries, a long text that many rows share is in memory once.
        with pq.ParquetFile(path, metadata=metadata, read_dictionary=_texts(metadata)) as file:
            _check_columns(path, file, error)
            yield file
    except error:
        raise
    except (pa.ArrowException, OSError, ValueError, KeyError, OverflowError) as reason:
        raise error(f"{path}: cannot be read as Parquet ({one_line(reason)})") from None


def column_names(path: Path, error: type[Exception]) -> list[str]:
    """Names of a Parquet file's columns. Raises `error`."""
    with open_table(path, error) as file:
        return list(file.schema_arrow.names)


def read_columns(
    path: Path, error: type[Exception], names: Iterable[str] | None = None
) -> pa.Table:
    """Columns of a Parquet file, those of `names` that are there (None: all). Raises `error`."""
    with open_table(path, error) as file:
        present = file.schema_arrow.names
        chosen = present if names is None else [name for name in names if name in present]
        check_size(path, file, chosen, error)
        return plain_texts(path, file.read(chosen), error)


def plain_texts(path: Path, table: pa.Table, error: type[Exception]) -> pa.Table:
    """A table read by `open_table` with texts in place of dictionaries of them. Raises `error`."""
    for place, field in enumerate(table.schema):
        if not pa.types.is_dictionary(field.type):
            continue
        column = table.column(place)
        longest = max(
            (len(value.as_buffer()) for chunk in column.chunks for value in chunk.dictionary),
            default=0,
        )
        if longest * len(column) > max(SMALL, MAX_RATIO * path.stat().st_size):
            raise error(f"{path}: column {one_line(field.name)!r} holds texts of {longest} bytes")
        text = column.cast(field.type.value_type)
        table = table.set_column(place, pa.field(field.name, text.type), text)
    return table


def _texts(metadata: pq.FileMetaData) -> list[str]:
    columns = [metadata.schema.column(place) for place in range(len(metadata.schema))]
    return [column.path for column in columns if column.physical_type == "BYTE_ARRAY"]


def check_size(
    path: Path,
    file: pq.ParquetFile,
    names: Iterable[str],
    error: type[Exception],
    groups: Iterable[int] | None = None,
) -> None:
    """Raise `error` if columns declare more than a file of this size can honestly hold.

    Args:
        groups: the row groups that will be read; None: all.
    """
    metadata, chosen = file.metadata, set(names)
    decoded = 0
    for group in range(metadata.num_row_groups) if groups is None else groups:
        rows = metadata.row_group(group)
        if not 0 <= rows.num_rows <= metadata.num_rows:
            raise error(f"{path}: row group {group} declares {rows.num_rows} rows; it is damaged")
        for place in range(rows.num_columns):
            column = rows.column(place)
            if column.path_in_schema.split(".")[0] in chosen:
                width = _WIDTHS.get(column.physical_type, 8)
                decoded += max(column.num_values * width, column.total_uncompressed_size)
    size = path.stat().st_size
    if decoded > min(max(SMALL, MAX_RATIO * size), MAX_DECODED):
        raise error(
            f"{path}: declares {decoded / 2**20:.0f} MiB of values in a file of {size} bytes; "
            "it is damaged, or no recording"
        )


def _check_columns(path: Path, file: pq.ParquetFile, error: type[Exception]) -> None:
    names = file.schema_arrow.names
    if len(names) > MAX_COLUMNS:
        raise error(f"{path}: declares {len(names)} columns; it is damaged")
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise error(f"{path}: has the column {one_line(name)!r} twice; remove one")
        seen.add(name)
