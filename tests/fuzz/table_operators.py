"""Damage to Parquet tables: columns, types, values, and what a small file declares to hold."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from .operators import NotApplicableError, extreme, operator

TABLE = ".parquet"


def _read(path):
    try:
        table = pq.ParquetFile(path).read()
    except (pa.ArrowException, OSError, ValueError):
        raise NotApplicableError from None
    if not table.num_columns:
        raise NotApplicableError
    return table


def _column(rng, table, wanted=lambda kind: True):
    places = [i for i, field in enumerate(table.schema) if wanted(field.type)]
    if not places:
        raise NotApplicableError
    return rng.choice(places)


@operator("column twice", TABLE)
def column_twice(rng, path):
    table = _read(path)
    place = _column(rng, table)
    field, column = table.schema.field(place), table.column(place)
    pq.write_table(table.add_column(rng.randint(0, table.num_columns), field, column), path)
    return "refused"


@operator("column renamed", TABLE)
def column_renamed(rng, path):
    table = _read(path)
    names = table.column_names
    place = _column(rng, table)
    names[place] = rng.choice(
        (names[place].upper(), "", " " + names[place], "x" * 5000, "é.\n", "x.y")
    )
    pq.write_table(table.rename_columns(names), path)


@operator("column dropped", TABLE)
def column_dropped(rng, path):
    table = _read(path)
    pq.write_table(table.remove_column(_column(rng, table)), path)


@operator("columns exchanged", TABLE)
def columns_exchanged(rng, path):
    table = _read(path)
    names = table.column_names
    a, b = rng.randrange(len(names)), rng.randrange(len(names))
    names[a], names[b] = names[b], names[a]
    pq.write_table(table.rename_columns(names), path)


@operator("column of another type", TABLE)
def column_of_another_type(rng, path):
    table = _read(path)
    place = _column(rng, table)
    rows = table.num_rows
    made = rng.choice(
        (
            lambda: pa.array([str(i) for i in range(rows)]),
            lambda: pa.array([str(i) for i in range(rows)]).dictionary_encode(),
            lambda: pa.array([i % 2 == 0 for i in range(rows)]),
            lambda: pa.array(np.arange(rows) % 100, pa.int8()),
            lambda: pa.array(np.arange(rows, dtype=np.uint64) + np.uint64(2**63)),
            lambda: pa.array(np.arange(rows, dtype=np.float16)),
            lambda: pa.array(np.arange(rows, dtype=np.float32)),
            lambda: pa.array([[i] for i in range(rows)]),
            lambda: pa.array([{"a": i} for i in range(rows)]),
            lambda: pa.array([b"\xff\xfe"] * rows),
            lambda: pa.array([Decimal(i) for i in range(rows)]),
            lambda: pa.array(np.arange(rows), pa.timestamp("ns")),
            lambda: pa.array(np.arange(rows), pa.duration("us")),
            lambda: pa.array(np.arange(rows, dtype=np.int32), pa.date32()),
            lambda: pa.array([[("k", 1)]] * rows, pa.map_(pa.string(), pa.int64())),
            lambda: pa.nulls(rows),
        )
    )()
    pq.write_table(table.set_column(place, table.column_names[place], made), path)


@operator("nulls", TABLE)
def nulls(rng, path):
    table = _read(path)
    place, rows = _column(rng, table), table.num_rows
    share = rng.choice((0.0, 0.1, 1.0))
    gone = {rng.randrange(rows) for _ in range(1 + int(share * rows))} if rows else set()
    kind = table.schema.field(place).type
    values = [None if i in gone else v for i, v in enumerate(table.column(place).to_pylist())]
    column = pa.nulls(rows, kind) if share == 1.0 else pa.array(values, kind)
    pq.write_table(table.set_column(place, table.column_names[place], column), path)


@operator("strange values", TABLE)
def strange_values(rng, path):
    table = _read(path)
    place = _column(rng, table, lambda k: pa.types.is_integer(k) or pa.types.is_floating(k))
    kind = table.schema.field(place).type
    values = table.column(place).to_pylist()
    if not values:
        raise NotApplicableError
    width = kind.bit_width - 1
    for _ in range(rng.choice((1, 1, len(values)))):
        at = rng.choice((0, len(values) - 1, rng.randrange(len(values))))
        if pa.types.is_floating(kind):
            values[at] = extreme(rng)
        else:
            values[at] = rng.choice((0, -1, 1, 2**width - 1, -(2**width), 2 ** (width - 1), 10**9))
    pq.write_table(_with(table, place, values, kind), path)


@operator("values in another unit", TABLE)
def values_in_another_unit(rng, path):
    table = _read(path)
    place = _column(rng, table, lambda k: pa.types.is_integer(k) or pa.types.is_floating(k))
    kind = table.schema.field(place).type
    factor = rng.choice((-1, 0, 1e-9, 1e-6, 1e-3, 3.6, 57.3, 1e3, 1e6, 1e9, 1e300))
    values = np.array([0 if v is None else v for v in table.column(place).to_pylist()], float)
    values = values * factor + rng.choice((0, 0, 0, 1e9, 1e18, -1e18))
    if pa.types.is_integer(kind):
        most = 2.0 ** (kind.bit_width - 1)
        made = [int(v) for v in np.clip(values, -most, most * (1 - 1e-9))]
    else:
        made = values.tolist()
    pq.write_table(_with(table, place, made, kind), path)


@operator("rows changed", TABLE)
def rows_changed(rng, path):
    table = _read(path)
    rows = table.num_rows
    order = rng.choice(
        (
            [],
            [0] if rows else [],
            [0, 0] if rows else [],
            list(range(rows))[::-1],
            rng.sample(range(rows), rows),
            sorted([*range(rows), *range(rows)]),
            list(range(rows)) * 40,
            sorted(rng.sample(range(rows), rows // 2)),
        )
    )
    pq.write_table(table.take(pa.array(order, pa.int64())), path)


@operator("strange texts", TABLE)
def strange_texts(rng, path):
    table = _read(path)
    place = _column(rng, table, pa.types.is_string)
    text = rng.choice(
        (
            "",
            "..",
            "../../etc/passwd",
            "/dev/zero",
            "x" * 3_000_000,
            "a\nb\x1b[2J",
            "\0",
            "é" * 300,
            "<img src=x onerror=alert(1)>",
            "nan",
        )
    )
    values = table.column(place).to_pylist()
    if not values:
        raise NotApplicableError
    for _ in range(rng.choice((1, len(values)))):
        values[rng.randrange(len(values))] = text
    pq.write_table(_with(table, place, values, pa.string()), path)


@operator("thousands of columns", TABLE)
def thousands_of_columns(rng, path):
    table = _read(path)
    rows = table.num_rows
    further = {f"further{i}": np.zeros(rows, np.int8) for i in range(rng.choice((500, 5000)))}
    made = pa.table(dict(zip(table.column_names, table.columns, strict=True)) | further)
    pq.write_table(made, path)


@operator("millions of rows declared", TABLE)
def millions_of_rows_declared(rng, path):
    """Every column says its first value again and again: some 50 kB that decode to gigabytes."""
    table = _read(path)
    if not table.num_rows:
        raise NotApplicableError
    group, values = 2**18, rng.choice((4 * 2**18, 250_000_000))
    groups = 1 + values // (group * table.num_columns)
    first = table.slice(0, 1)
    rows = pa.table(
        {
            name: pa.repeat(first.column(name)[0], group)
            if first.column(name)[0].is_valid
            else pa.nulls(group, table.schema.field(name).type)
            for name in table.column_names
        },
        schema=table.schema,
    )
    codec = rng.choice(("zstd", "snappy"))
    with pq.ParquetWriter(path, table.schema, compression=codec) as writer:
        for _ in range(groups):
            writer.write_table(rows)


@operator("other compression", TABLE)
def other_compression(rng, path):
    table = _read(path)
    codec = rng.choice(("none", "snappy", "gzip", "zstd", "brotli", "lz4"))
    pq.write_table(
        table, path, compression=codec, version=rng.choice(("1.0", "2.6")),
        row_group_size=rng.choice((1, 7, 10_000)), use_dictionary=rng.random() < 0.5,
    )  # fmt: skip


@operator("footer of another table", TABLE)
def footer_of_another_table(rng, path):
    """Pages of this table under the footer of another one."""
    others = [p for p in sorted(path.parent.glob("*.parquet")) if p != path and p.is_file()]
    if not others:
        raise NotApplicableError
    own, other = path.read_bytes(), rng.choice(others).read_bytes()
    length = int.from_bytes(own[-8:-4], "little") + 8
    further = int.from_bytes(other[-8:-4], "little") + 8
    path.write_bytes(own[:-length] + other[-further:])


@operator("footer's length", TABLE)
def footers_length(rng, path):
    data = bytearray(path.read_bytes())
    if len(data) < 12:
        raise NotApplicableError
    length = rng.choice((0, 1, len(data), 2**31 - 1, 2**32 - 1, rng.randrange(2**20)))
    data[-8:-4] = length.to_bytes(4, "little")
    path.write_bytes(data)


def _with(table, place, values, kind):
    return table.set_column(place, table.column_names[place], pa.array(values, kind))
