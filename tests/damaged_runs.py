"""Runs damaged by chance, each in one way: tables of other kinds, run.json, files that are none."""

import json
import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

TABLES = ("episodes", "steps", "timings", "frames", "roads")
VALUES = (None, "", "x" * 5000, -1, 0, 2**31, 2**63, 1e300, "NaN", [], [1], {}, {"a": 1}, True)


def damage(folder, rng):
    """Damage a run in one way; returns what was done."""
    operator = OPERATORS[rng.integers(len(OPERATORS))]
    return f"{operator.__name__}: {operator(folder, rng)}"


def _table(folder, rng):
    path = folder / f"{TABLES[rng.integers(len(TABLES))]}.parquet"
    table = pq.read_table(path)
    return path, table, table.column_names[rng.integers(table.num_columns)]


def _replaced(table, name, values):
    return table.set_column(table.schema.get_field_index(name), name, values)


def another_type(folder, rng):
    path, table, name = _table(folder, rng)
    n = table.num_rows
    kinds = {
        "texts": pa.array([str(i) for i in range(n)]),
        "long texts": pa.array(["x" * 3000] * n),
        "lists": pa.array([[1.0]] * n),
        "objects": pa.array([{"a": 1}] * n),
        "bytes": pa.array([b"\xff"] * n),
        "times": pa.array(np.arange(n), pa.timestamp("ns")),
        "yes and no": pa.array([True] * n),
        "nulls": pa.nulls(n),
        "halves": pa.array(np.arange(n) + 0.5),
        "dictionary": pa.array(["a"] * n).dictionary_encode(),
    }
    kind = list(kinds)[rng.integers(len(kinds))]
    pq.write_table(_replaced(table, name, kinds[kind]), path)
    return f"{path.name} {name}: {kind}"


def other_values(folder, rng):
    path, table, name = _table(folder, rng)
    values = table.column(name).to_pylist()
    if not values:
        return "nothing"
    number = pa.types.is_integer(table.schema.field(name).type)
    odd = (-1, 2**31 - 1, -(2**31), None, 10**6) if number else (
        float("nan"), float("inf"), -1e300, 1e300, 1e11, 0.0, -5.0, None,
    )  # fmt: skip
    if pa.types.is_string(table.schema.field(name).type):
        odd = ("", "\n\x00", "../../etc/passwd", "ä" * 900, None)
    if pa.types.is_boolean(table.schema.field(name).type):
        odd = (True, None)
    value = odd[rng.integers(len(odd))]
    for row in rng.integers(len(values), size=rng.integers(1, len(values) + 1)):
        values[row] = value
    changed = pa.array(values, table.schema.field(name).type)
    pq.write_table(_replaced(table, name, changed), path)
    return f"{path.name} {name}: {value!r:.40}"


def columns_gone_or_twice(folder, rng):
    path, table, name = _table(folder, rng)
    if rng.integers(2):
        pq.write_table(table.drop_columns([name]), path)
        return f"{path.name} without {name}"
    pq.write_table(table.append_column(name, table.column(name)), path)
    return f"{path.name} {name} twice"


def rows_gone_or_repeated(folder, rng):
    path, table, _ = _table(folder, rng)
    rows = rng.integers(table.num_rows, size=rng.integers(0, 2 * table.num_rows + 1))
    pq.write_table(table.take(pa.array(rows)), path)
    return f"{path.name}: {len(rows)} rows"


def very_many_rows(folder, rng):
    path, table, _ = _table(folder, rng)
    if not table.num_rows:
        return "nothing"
    pq.write_table(table.take(pa.array(np.zeros(rng.integers(10**5, 10**6), np.int64))), path)
    return path.name


def bytes_changed_or_cut(folder, rng):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    path = files[rng.integers(len(files))]
    data = bytearray(path.read_bytes())
    if rng.integers(2):
        data = data[: rng.integers(len(data))]
    else:
        for place in rng.integers(len(data), size=8):
            data[place] = rng.integers(256)
    path.write_bytes(data)
    return path.name


def no_file(folder, rng):
    names = sorted(path for path in folder.rglob("*"))
    path = names[rng.integers(len(names))]
    kind = ("pipe", "folder", "gone", "link", "device")[rng.integers(5)]
    moved = folder.parent / "moved"
    path.rename(moved)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "link":
        path.symlink_to(moved)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    return f"{path.name}: {kind}"


def run_json(folder, rng):
    path = folder / "run.json"
    info = json.loads(path.read_text())
    names = list(info)
    name = names[rng.integers(len(names))]
    value = VALUES[rng.integers(len(VALUES))]
    inner = info[name]
    if isinstance(inner, dict) and inner and rng.integers(2):
        key = list(inner)[rng.integers(len(inner))]
        inner[key] = value
    elif isinstance(inner, list) and inner and rng.integers(2):
        inner[0] = value
    else:
        info[name] = value
    path.write_text(json.dumps(info))
    return f"{name}: {value!r:.40}"


OPERATORS = (
    another_type,
    other_values,
    other_values,
    columns_gone_or_twice,
    rows_gone_or_repeated,
    very_many_rows,
    bytes_changed_or_cut,
    no_file,
    run_json,
)
