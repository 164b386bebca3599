"""Pandas tables out of pickles, without running anything that a pickle asks for.

What the pickle would make is told by `pickle_instructions`; arrays are taken from their bytes.
Tables of numbers, truth values and objects are read as pandas 1 to 3 write them, at protocol 3 or
later; pandas itself is not needed.
"""

from __future__ import annotations

import gzip
import io
import math
import re
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vista_sim.errors import TraceError
from vista_sim.files import one_line, read_bytes, shown
from vista_sim.traces.importers.pickle_instructions import (
    ARRAY,
    BLOCK,
    BUFFER,
    DTYPE,
    FRAME,
    INDEX,
    MANAGER,
    MAX_INSTRUCTIONS,
    SLICE,
    Told,
    plain,
    told,
)

MAX_FILE = 2**27  # bytes of a file
MAX_PICKLE = 2**28  # bytes when unpacked
MAX_ROWS = 2**26
MAX_NUMBER = 1e10  # of what is read as one; times are s since 1970
_GZIP = b"\x1f\x8b"


def read_frame(path: Path) -> dict[str, NDArray[Any]]:
    """The columns (n,) of a pickled table, packed by gzip or not.

    Columns of text and of mixed values are arrays of objects; each is text, a number, a truth
    value or None.

    Raises:
        TraceError: in one line: it is not there, too large, damaged, or asks for anything but a
            table of pandas.
    """
    content = read_bytes(path, TraceError, MAX_FILE)
    if content.startswith(_GZIP):
        try:
            with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
                content = file.read(MAX_PICKLE + 1)
        except (OSError, EOFError, zlib.error) as error:
            raise TraceError(f"{path}: cannot be unpacked ({one_line(error)})") from None
        if len(content) > MAX_PICKLE:
            raise TraceError(f"{path}: holds more than {MAX_PICKLE} bytes when unpacked")
    try:
        return frame_of(content)
    except ValueError as error:
        raise TraceError(
            f"{path}: cannot be read as a table ({one_line(error)}); take the file as published"
        ) from None


def frame_of(content: bytes) -> dict[str, NDArray[Any]]:
    """The columns of a table by name. Raises ValueError."""
    try:
        return _columns(told(content))
    except (IndexError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"it is not built as a table of pandas is: {one_line(error)}") from None


def _columns(frame: Any) -> dict[str, NDArray[Any]]:
    if plain(frame, Told).kind != FRAME:
        raise ValueError("it is no table of pandas")
    state = plain(frame.state, dict)
    manager = plain(state["_mgr"] if "_mgr" in state else state["_data"], Told)
    if manager.kind != MANAGER:
        raise TypeError("its manager is none")
    if manager.args:
        blocks, axes = manager.args
        parts = [plain(block, Told).args[:2] for block in blocks if block.kind == BLOCK]
    else:
        about = manager.state[3]["0.14.1"]
        axes, blocks = about["axes"], about["blocks"]
        parts = [(block["values"], block["mgr_locs"]) for block in blocks]
    names = [plain(name, str) for name in _index(axes[0])]
    columns: dict[str, NDArray[Any]] = {}
    objects = 0
    for values, places in parts:
        array = np.atleast_2d(_array(values))
        objects += array.size if array.dtype.kind == "O" else 0
        if objects > MAX_INSTRUCTIONS:  # the same list in many columns is no memory there, but here
            raise ValueError("its columns hold more than it does")
        for row, place in zip(array, _places(places, len(names)), strict=True):
            if names[place] in columns:
                raise ValueError(f"column {shown(names[place])} is there twice")
            columns[names[place]] = row
    if len(columns) != len(names) or len({len(column) for column in columns.values()}) > 1:
        raise ValueError("its columns are not all there, or differ in length")
    return columns


def _index(index: Any) -> list[Any]:
    if plain(index, Told).kind != INDEX:
        raise TypeError("its columns have no names")
    return list(_array(index.args[1]["data"]))


def _places(places: Any, count: int) -> range | list[int]:
    if isinstance(places, Told) and places.kind == SLICE:
        return range(*slice(*(plain(arg, int) for arg in places.args)).indices(count))
    return [range(count)[int(place)] for place in _array(places)]


def _array(made: Any) -> NDArray[Any]:
    """An array of at most two dimensions, of numbers, truth values or objects."""
    if plain(made, Told).kind == BUFFER:
        data, about, shape, order = made.args
        fortran = order == "F"
    elif made.kind == ARRAY:
        _, shape, about, fortran, data = made.state
    else:
        raise TypeError("no array where one is due")
    shape = tuple(plain(side, int) for side in plain(shape, tuple))
    if not (1 <= len(shape) <= 2 and all(0 <= side <= MAX_ROWS for side in shape)):
        raise ValueError(f"an array of shape {shown(shape)}")
    dtype = _dtype(about)
    count = math.prod(shape)
    if dtype.kind == "O":
        items = plain(data, list)
        if len(items) != count or not all(_is_plain(item) for item in items):
            raise ValueError("an array that does not hold what it says")
        array = np.empty(count, dtype=object)
        array[:] = items
        return array.reshape(shape)
    if not isinstance(data, bytes | bytearray) or len(data) != count * dtype.itemsize:
        raise ValueError("an array that is not as long as it says")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")


def _is_plain(item: Any) -> bool:
    return item is None or type(item) in (str, int, float, bool)


def _dtype(made: Any) -> np.dtype[Any]:
    if plain(made, Told).kind != DTYPE:
        raise TypeError("an array of no type")
    code = plain(made.args[0], str)
    if code in ("O", "O8"):
        return np.dtype(object)
    if not re.fullmatch(r"b1|[iu][1248]|f[248]", code):
        raise ValueError(f"an array of type {shown(code)}")
    order = made.state[1] if made.state is not None else "|"
    return np.dtype((">" if order == ">" else "<") + code)


def numbers_of(
    path: Path, columns: dict[str, NDArray[Any]], names: Sequence[str]
) -> dict[str, NDArray[np.float64]]:
    """Columns of finite numbers, (n,) each. Raises TraceError naming the column and the row."""
    found = {}
    for name in names:
        if name not in columns:
            have = one_line(", ".join(sorted(columns)))
            raise TraceError(f"{path}: column {name!r} is missing; it has {have}")
        values = columns[name]
        if values.dtype.kind not in "iuf":
            raise TraceError(f"{path}: column {name!r} must hold numbers")
        values = values.astype(np.float64)
        bad = np.flatnonzero(~(np.abs(values) < MAX_NUMBER))
        if len(bad):
            raise TraceError(
                f"{path}: row {bad[0]}: {name} is {values[bad[0]]}; it must be finite and below "
                f"{MAX_NUMBER:g}"
            )
        found[name] = values
    return found
