"""Pickles put together instruction by instruction, so that no pandas is needed to write a table."""

import gzip
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass
class Call:
    """A call of `module name` with arguments, and the state that is given to what it made."""

    name: str
    args: tuple[Any, ...] = ()
    state: Any = None


@dataclass
class Name:
    name: str


def put(value):
    """The instructions (protocol 3) that make a value."""
    match value:
        case None:
            return b"N"
        case bool():
            return b"\x88" if value else b"\x89"
        case int():
            data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
            return b"\x8a" + bytes([len(data)]) + data
        case float():
            return b"G" + struct.pack(">d", value)
        case str():
            return b"X" + struct.pack("<I", len(value.encode())) + value.encode()
        case bytes():
            return b"B" + struct.pack("<I", len(value)) + value
        case tuple():
            return b"(" + b"".join(map(put, value)) + b"t"
        case list():
            return b"](" + b"".join(map(put, value)) + b"e"
        case dict():
            return b"}(" + b"".join(put(x) for pair in value.items() for x in pair) + b"u"
        case Name():
            module, name = value.name.rsplit(" ", 1)
            return b"c" + module.encode() + b"\n" + name.encode() + b"\n"
        case Call():
            made = put(Name(value.name)) + put(value.args) + b"R"
            return made if value.state is None else made + put(value.state) + b"b"
    raise TypeError(value)


def pickled(value):
    return b"\x80\x03" + put(value) + b"."


def array(values):
    """A NumPy array of floats, whole numbers, truth values or objects, as it is pickled."""
    values = np.asarray(values)
    code = "O8" if values.dtype.kind == "O" else values.dtype.str[1:]
    dtype = Call("numpy dtype", (code, False, True), (3, "<", None, None, None, -1, -1, 0))
    data = values.ravel().tolist() if code == "O8" else values.tobytes()
    made = ("numpy.core.multiarray _reconstruct", (Name("numpy ndarray"), (0,), b"b"))
    return Call(*made, (1, values.shape, dtype, False, data))


def frame(columns):
    """A table as pandas 1.0, with which PandaSet was written, pickles it."""
    names = np.array(list(columns), dtype=object)
    index = Call(
        "pandas.core.indexes.base _new_Index",
        (Name("pandas.core.indexes.base Index"), {"data": array(names), "name": None}),
    )
    blocks = [
        {
            "values": array(np.asarray(values)[None]),
            "mgr_locs": Call("builtins slice", (place, place + 1, 1)),
        }
        for place, values in enumerate(columns.values())
    ]
    about = {"0.14.1": {"axes": [index, None], "blocks": blocks}}
    manager = Call("pandas.core.internals.managers BlockManager", (), ([], [], [], about))
    return Call("pandas.core.frame DataFrame", (), {"_data": manager, "_typ": "dataframe"})


def write_frame(path, columns):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(pickled(frame(columns)), 1))
