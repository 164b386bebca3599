"""Which files an ONNX model takes its weights from: the names stand in its tensors.

Read from the file's protocol buffers (https://protobuf.dev/programming-guides/encoding/, fields
as in onnx.proto3 of ONNX 1.17), so that nothing of the model is loaded and no package is needed.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from vista_sim.errors import VistaError
from vista_sim.files import one_line, open_file, shown

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
#: Fields that lead to tensors, by the kind of message that they are in, and what they hold.
_LEADS: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "entry"},
}
_KEY, _VALUE = 1, 2  # of an entry
_MOST_FIELDS = 20_000_000  # a model has some thousands a layer
_MOST_FILES = 10_000


def weight_files(model: Path, error: type[VistaError]) -> list[Path]:
    """The files beside a model that its tensors name, each once, in order of their names.

    Raises:
        error: the model cannot be read or is no ONNX model, or names what does not lie in its
            folder.
    """
    names = sorted(set(_locations(model, error)))
    for name in names:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or "\0" in name or not path.parts:
            raise error(
                f"{model}: takes weights from {shown(name)}, which does not lie in its folder"
            )
    if len(names) > _MOST_FILES:
        raise error(f"{model}: takes weights from {len(names)} files; it is damaged")
    return [model.parent / name for name in names]


def _locations(model: Path, error: type[VistaError]) -> Iterator[str]:
    with open_file(model, error, "cannot be read (No such file or directory)") as file:
        if not file.read(1):
            raise error(f"{model}: is not an ONNX model (it is empty)")
        try:
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                yield from _Walk(data).locations()
        except (ValueError, IndexError, OSError) as reason:  # what has no size cannot be mapped
            raise error(f"{model}: is not an ONNX model ({one_line(reason)})") from None


class _Walk:
    """Goes through the messages of a model that tensors can be in."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self._fields = 0

    def locations(self) -> Iterator[str]:
        """What tensors name as the file of their values."""
        waiting = [("model", 0, len(self._data))]
        while waiting:
            kind, start, end = waiting.pop()
            if kind == "entry":
                entry = {number: self._data[a:b] for number, a, b in self._messages(start, end)}
                if entry.get(_KEY) == b"location":
                    yield entry.get(_VALUE, b"").decode("utf-8")
                continue
            leads = _LEADS[kind]
            for number, a, b in self._messages(start, end):
                if number in leads:
                    waiting.append((leads[number], a, b))

    def _messages(self, at: int, end: int) -> Iterator[tuple[int, int, int]]:
        """Number, start and end of the fields between two places that hold bytes."""
        while at < end:
            self._fields += 1
            if self._fields > _MOST_FIELDS:
                raise ValueError("it has too many fields")
            tag, at = self._varint(at, end)
            kind = tag & 7
            if kind == _BYTES:
                length, at = self._varint(at, end)
                if length > end - at:
                    raise ValueError("it is cut off")
                yield tag >> 3, at, at + length
                at += length
            elif kind == _VARINT:
                _, at = self._varint(at, end)
            elif kind in (_FIXED64, _FIXED32):
                at += 8 if kind == _FIXED64 else 4
            else:
                raise ValueError(f"it has a field of type {kind}")
        if at != end:
            raise ValueError("it is cut off")

    def _varint(self, at: int, end: int) -> tuple[int, int]:
        value = 0
        for shift in range(0, 70, 7):
            if at >= end:
                raise ValueError("it is cut off")
            byte = self._data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value, at
        raise ValueError("it has a number of more than 64 bits")
