"""GoPro's metadata format (GPMF): keys, types, sizes and values within each other.

After github.com/gopro/gpmf-parser: a key of four letters, a type (1 byte), the size of a value (1),
how many there are (2), all big-endian; then these, padded to four bytes. Type 0 holds others.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

_DEPTH = 8  # of entries within each other
_HEADER = struct.Struct(">4sBBH")
_NUMBERS = {
    "b": "i1",
    "B": "u1",
    "s": ">i2",
    "S": ">u2",
    "l": ">i4",
    "L": ">u4",
    "j": ">i8",
    "J": ">u8",
    "f": ">f4",
    "d": ">f8",
}


@dataclass(frozen=True)
class Entry:
    """One entry: its key, type (a letter; "" where it holds others), size of a value, and bytes."""

    key: str
    type: str
    size: int
    data: bytes

    @property
    def text(self) -> str:
        """What a text says."""
        return self.data.rstrip(b"\0").decode("latin-1")

    def numbers(self, type: str = "") -> Any:
        """Rows (n, k) float64 of numbers.

        Args:
            type: letters of the columns, where the entry's own is "?" (a TYPE entry before it).

        Raises ValueError: these are no numbers.
        """
        letters = type if self.type == "?" else self.type
        if not letters or any(letter not in _NUMBERS for letter in letters) or not self.size:
            raise ValueError(f"{self.key} has the type {letters or self.type!r}")
        if len(letters) == 1:
            each = np.dtype(_NUMBERS[letters]).itemsize
            if self.size % each:
                raise ValueError(f"{self.key} has values of {self.size} bytes")
            flat = np.frombuffer(self.data, _NUMBERS[letters])
            return flat.reshape(-1, self.size // each).astype(np.float64)
        row = np.dtype([(f"c{k}", _NUMBERS[letter]) for k, letter in enumerate(letters)])
        if row.itemsize != self.size:
            raise ValueError(f"{self.key} has rows of {self.size} bytes; TYPE says {row.itemsize}")
        rows = np.frombuffer(self.data, row)
        return np.stack([rows[name].astype(np.float64) for name in rows.dtype.names or ()], axis=1)


def entries(data: bytes) -> Iterator[Entry]:
    """The entries of a level, in order. Raises ValueError: one is longer than what holds it."""
    at = 0
    while at + _HEADER.size <= len(data):
        key, type, size, count = _HEADER.unpack_from(data, at)
        if key == b"\0\0\0\0":  # padding at the end
            return
        at += _HEADER.size
        length = size * count
        if at + length > len(data):
            raise ValueError(f"{key!r} has {length} bytes, and {len(data) - at} are left")
        letter = chr(type) if type else ""
        yield Entry(key.decode("latin-1"), letter, size, data[at : at + length])
        at += (length + 3) // 4 * 4


def streams(data: bytes, depth: int = 0) -> Iterator[list[Entry]]:
    """The streams (STRM) of a payload, each with its own entries in order. Raises ValueError."""
    if depth > _DEPTH:
        raise ValueError(f"entries are nested more than {_DEPTH} deep")
    for entry in entries(data):
        if entry.key == "STRM" and not entry.type:
            yield list(entries(entry.data))
        elif not entry.type:
            yield from streams(entry.data, depth + 1)
