import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vista_sim.errors import TraceError
from vista_sim.files import (
    check_real,
    check_whole,
    one_line,
    parse_json,
    read_json,
    read_text,
    shown,
)
from vista_sim.parquet import read_columns


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1" * 400, "400 digits"),
        ("-18446744073709551616", "64 bits"),
        ("[1e999]", "too large"),
        ('{"a": 1, "a": 2}', "given twice"),
        ("[" * 100_000, "deep"),
        ("[" * 102 + "]" * 102, "deep"),
        ('{"a": NaN}', "no number"),
        ("[-Infinity]", "no number"),
        ("{", "Expecting"),
    ],
)
def test_json_that_cannot_be_computed_with_is_refused(text, said):
    with pytest.raises(ValueError, match=said):
        parse_json(text)


def test_json_numbers_of_64_bits_and_a_byte_order_mark_are_read(tmp_path):
    path = tmp_path / "values.json"
    path.write_text("\ufeff[-9223372036854775808, 18446744073709551615, 1e308]", "utf-8")
    assert read_json(path, TraceError) == [-(2**63), 2**64 - 1, 1e308]


def test_a_pipe_or_a_device_or_a_folder_is_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path, kind in ((tmp_path / "pipe", "pipe"), (tmp_path, "folder")):
        for read in (read_text, read_json, read_columns):
            with pytest.raises(TraceError, match=f"is a {kind}"):
                read(path, TraceError)
    with pytest.raises(TraceError, match="is a device"):
        read_text(type(tmp_path)("/dev/zero"), TraceError)


def test_a_file_that_is_too_large_or_no_text_is_refused(tmp_path):
    path = tmp_path / "text"
    path.write_bytes(b"a\nb\xff")
    with pytest.raises(TraceError, match="larger than 3 bytes"):
        read_text(path, TraceError, limit=3)
    with pytest.raises(TraceError, match="line 2: is not UTF-8"):
        read_text(path, TraceError)


def test_a_small_table_that_declares_gigabytes_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "bomb.parquet"
    pq.write_table(pa.table({"x": np.zeros(30_000_000, np.int64), "y": np.zeros(30_000_000)}), path)
    assert path.stat().st_size < 300_000
    before = pa.total_allocated_bytes()
    with pytest.raises(TraceError, match="declares 458 MiB"):
        read_columns(path, TraceError)
    assert pa.total_allocated_bytes() == before
    pq.write_table(pa.table({"x": pa.array(["x" * 10**6] * 1000).dictionary_encode()}), path)
    with pytest.raises(TraceError, match="texts of 1000000 bytes"):
        read_columns(path, TraceError)


def test_a_column_given_twice_is_refused(tmp_path):
    path = tmp_path / "twice.parquet"
    pq.write_table(pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"]), path)
    with pytest.raises(TraceError, match="column 'a' twice"):
        read_columns(path, TraceError)


def test_tables_are_read_as_they_were_written(tmp_path):
    path = tmp_path / "table.parquet"
    table = pa.table({"a": ["x", "y", None], "b": [[1, 2], [3], None], "c": [1.5, None, 2.5]})
    pq.write_table(table, path)
    assert read_columns(path, TraceError).equals(table)
    assert read_columns(path, TraceError, ["c", "none"]).column_names == ["c"]


def test_numbers_from_outside_are_bounded():
    assert check_real(3, "x", 0, 5) == 3.0
    assert check_whole(3, "x", 0, 5) == 3
    for value in (float("nan"), float("inf"), -1, 6, True, "3", None, 10**400):
        with pytest.raises(ValueError, match="x is"):
            check_real(value, "x", 0, 5)
        with pytest.raises(ValueError, match="x is"):
            check_whole(value, "x", 0, 5)
    with pytest.raises(ValueError, match=r"x is 3\.0"):
        check_whole(3.0, "x", 0, 5)


def test_whatever_is_shown_is_one_short_line():
    assert (
        one_line("a\nb\x0f\x1b[2Jc" * 10_000, 300)[:9]
        == "a b\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}[2Jc"
    )
    for value in (10**5000, "a\nb" * 10**6, list(range(10**6)), {"k": "v" * 1000}, b"\0" * 10**6):
        assert len(shown(value)) <= 80
        assert "\n" not in shown(value)


def test_a_file_of_gigabytes_that_is_all_holes_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "hollow"
    with path.open("wb") as file:
        file.truncate(2**33)
    with pytest.raises(TraceError, match="of its 8589934592 bytes hardly any are there"):
        read_text(path, TraceError, limit=2**40)
