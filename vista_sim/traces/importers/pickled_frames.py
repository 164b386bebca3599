"""Pandas tables out of pickles, without running anything that a pickle asks for.

A pickle is a program: `pickle.load` calls whatever it names. Here its instructions are read by
`pickletools`, and what they would have made is only told (`_Told`); names beside those of tables
and arrays are refused, and so are instructions that no such pickle needs. Arrays are then taken
from their bytes. Tables of numbers, truth values and objects are read as pandas 1 to 3 write them,
at protocol 3 or later; pandas itself is not needed.
"""

from __future__ import annotations

import gzip
import io
import math
import pickletools
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vista_sim.errors import TraceError
from vista_sim.files import one_line, read_bytes, shown

MAX_FILE = 2**27  # bytes of a file
MAX_PICKLE = 2**28  # bytes when unpacked
MAX_INSTRUCTIONS = 2_000_000
MAX_ROWS = 2**26
MAX_NUMBER = 1e10  # of what is read as one; times are s since 1970
_GZIP = b"\x1f\x8b"

_ARRAY, _BUFFER, _DTYPE, _SLICE = "array", "buffer", "dtype", "slice"
_FRAME, _MANAGER, _BLOCK, _INDEX = "frame", "manager", "block", "index"
#: Everything that a pickle may name.
_NAMES = {
    "pandas.core.frame DataFrame": _FRAME,
    "pandas DataFrame": _FRAME,
    "pandas.core.internals BlockManager": _MANAGER,
    "pandas.core.internals.managers BlockManager": _MANAGER,
    "pandas._libs.internals _unpickle_block": _BLOCK,
    "pandas.core.internals.blocks new_block": _BLOCK,
    "pandas.core.indexes.base _new_Index": _INDEX,
    "pandas.core.indexes.base Index": "",
    "pandas Index": "",
    "pandas.core.indexes.range RangeIndex": "",
    "pandas RangeIndex": "",
    "pandas.core.indexes.numeric Int64Index": "",
    "pandas.core.indexes.numeric UInt64Index": "",
    "pandas.core.indexes.numeric Float64Index": "",
    "numpy.core.multiarray _reconstruct": _ARRAY,
    "numpy._core.multiarray _reconstruct": _ARRAY,
    "numpy.core.numeric _frombuffer": _BUFFER,
    "numpy._core.numeric _frombuffer": _BUFFER,
    "numpy dtype": _DTYPE,
    "numpy ndarray": "",
    "builtins slice": _SLICE,
    "__builtin__ slice": _SLICE,
}


@dataclass(eq=False)
class _Told:
    """What a pickle would have made: by which of `_NAMES`, of what, and in which state."""

    kind: str
    args: Any = ()
    state: Any = None


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
        return _columns(_told(content))
    except (IndexError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"it is not built as a table of pandas is: {one_line(error)}") from None


def _told(content: bytes) -> Any:
    """What the instructions of a pickle tell. Raises ValueError, IndexError or TypeError."""
    stack: list[Any] = []
    marks: list[int] = []
    memo: dict[int, Any] = {}

    def marked() -> list[Any]:
        start = marks.pop()
        items = stack[start:]
        del stack[start:]
        return items

    arg: Any
    for count, (code, arg, _) in enumerate(pickletools.genops(content)):
        if count > MAX_INSTRUCTIONS:
            raise ValueError(f"it has more than {MAX_INSTRUCTIONS} instructions")
        match code.name:
            case "PROTO" | "FRAME":
                pass
            case "STOP":
                return stack.pop()
            case "MARK":
                marks.append(len(stack))
            case "NONE":
                stack.append(None)
            case "NEWTRUE" | "NEWFALSE":
                stack.append(code.name == "NEWTRUE")
            case (
                "BININT" | "BININT1" | "BININT2" | "LONG1" | "BINFLOAT"
                | "BINUNICODE" | "SHORT_BINUNICODE" | "BINUNICODE8"
                | "BINBYTES" | "SHORT_BINBYTES" | "BINBYTES8" | "BYTEARRAY8"
            ):  # fmt: skip
                stack.append(arg)
            case "EMPTY_TUPLE":
                stack.append(())
            case "TUPLE":
                stack.append(tuple(marked()))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                marks.append(len(stack) - int(code.name[-1]))
                stack.append(tuple(marked()))
            case "EMPTY_LIST":
                stack.append([])
            case "APPEND":
                _append(stack[-2], [stack.pop()])
            case "APPENDS":
                items = marked()
                _append(stack[-1], items)
            case "EMPTY_DICT":
                stack.append({})
            case "SETITEM":
                _set(stack[-3], [stack.pop(-2), stack.pop()])
            case "SETITEMS":
                items = marked()
                _set(stack[-1], items)
            case "BINPUT" | "LONG_BINPUT":
                memo[arg] = stack[-1]
            case "MEMOIZE":
                memo[len(memo)] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(memo[arg])
            case "GLOBAL":
                stack.append(_named(arg))
            case "STACK_GLOBAL":
                name, module = stack.pop(), stack.pop()
                stack.append(_named(f"{_plain(module, str)} {_plain(name, str)}"))
            case "REDUCE" | "NEWOBJ":
                args, kind = stack.pop(), stack.pop()
                stack.append(_Told(_plain(kind, _Told).kind, _plain(args, tuple)))
            case "BUILD":
                state = stack.pop()
                _plain(stack[-1], _Told).state = state
            case _:
                raise ValueError(f"its instruction {code.name} is none that a table needs")
    raise ValueError("it has no end")


def _named(name: str) -> _Told:
    if name not in _NAMES:
        raise ValueError(f"it asks for {shown(name)}, which is not part of a table; not run")
    return _Told(_NAMES[name])


def _plain(value: Any, kind: type[Any]) -> Any:
    if type(value) is not kind:
        raise TypeError(f"{shown(type(value).__name__)} in place of {kind.__name__}")
    return value


def _append(target: Any, items: list[Any]) -> None:
    _plain(target, list).extend(items)


def _set(target: Any, items: list[Any]) -> None:
    # Keys are text: of tuples within tuples, hashing may take for ever.
    keys = [_plain(key, str) for key in items[::2]]
    _plain(target, dict).update(zip(keys, items[1::2], strict=True))


def _columns(frame: Any) -> dict[str, NDArray[Any]]:
    if _plain(frame, _Told).kind != _FRAME:
        raise ValueError("it is no table of pandas")
    state = _plain(frame.state, dict)
    manager = _plain(state["_mgr"] if "_mgr" in state else state["_data"], _Told)
    if manager.kind != _MANAGER:
        raise TypeError("its manager is none")
    if manager.args:
        blocks, axes = manager.args
        parts = [_plain(block, _Told).args[:2] for block in blocks if block.kind == _BLOCK]
    else:
        about = manager.state[3]["0.14.1"]
        axes, blocks = about["axes"], about["blocks"]
        parts = [(block["values"], block["mgr_locs"]) for block in blocks]
    names = [_plain(name, str) for name in _index(axes[0])]
    columns: dict[str, NDArray[Any]] = {}
    for values, places in parts:
        array = np.atleast_2d(_array(values))
        for row, place in zip(array, _places(places, len(names)), strict=True):
            if names[place] in columns:
                raise ValueError(f"column {shown(names[place])} is there twice")
            columns[names[place]] = row
    if len(columns) != len(names) or len({len(column) for column in columns.values()}) > 1:
        raise ValueError("its columns are not all there, or differ in length")
    return columns


def _index(index: Any) -> list[Any]:
    if _plain(index, _Told).kind != _INDEX:
        raise TypeError("its columns have no names")
    return list(_array(index.args[1]["data"]))


def _places(places: Any, count: int) -> range | list[int]:
    if isinstance(places, _Told) and places.kind == _SLICE:
        return range(*slice(*(_plain(arg, int) for arg in places.args)).indices(count))
    return [range(count)[int(place)] for place in _array(places)]


def _array(told: Any) -> NDArray[Any]:
    """An array of at most two dimensions, of numbers, truth values or objects."""
    if _plain(told, _Told).kind == _BUFFER:
        data, about, shape, order = told.args
        fortran = order == "F"
    elif told.kind == _ARRAY:
        _, shape, about, fortran, data = told.state
    else:
        raise TypeError("no array where one is due")
    shape = tuple(_plain(side, int) for side in _plain(shape, tuple))
    if not (1 <= len(shape) <= 2 and all(0 <= side <= MAX_ROWS for side in shape)):
        raise ValueError(f"an array of shape {shown(shape)}")
    dtype = _dtype(about)
    count = math.prod(shape)
    if dtype.kind == "O":
        items = _plain(data, list)
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


def _dtype(told: Any) -> np.dtype[Any]:
    if _plain(told, _Told).kind != _DTYPE:
        raise TypeError("an array of no type")
    code = _plain(told.args[0], str)
    if code in ("O", "O8"):
        return np.dtype(object)
    if not re.fullmatch(r"b1|[iu][1248]|f[248]", code):
        raise ValueError(f"an array of type {shown(code)}")
    order = told.state[1] if told.state is not None else "|"
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
